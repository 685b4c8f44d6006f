package trace

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Kind is a span's side of a call, by OTLP's numbers (opentelemetry/proto/trace/v1, Span.SpanKind).
type Kind int

// Kinds of span.
const (
	Internal Kind = 1
	Server   Kind = 2
	Client   Kind = 3
	Producer Kind = 4
	Consumer Kind = 5
)

// Tracer makes spans of steps. A nil one makes none and passes contexts on.
type Tracer struct{ take func(Step) }

// NewTracer returns a tracer that hands each step that has ended to take, which must not wait.
func NewTracer(take func(Step)) *Tracer { return &Tracer{take} }

// Step is a step that has ended.
type Step struct {
	Context
	// Parent is the span that it belongs to, zero for the first of a trace.
	Parent     [8]byte
	Name       string
	Kind       Kind
	Start, End time.Time
	Attrs      []slog.Attr
	// Failed says that it did, and Why in a word.
	Failed bool
	Why    string
}

// Span is a step under way. A nil one is not recorded; all methods take it.
type Span struct {
	tracer *Tracer

	mu    sync.Mutex
	step  Step
	ended bool
}

// Start begins a step of the trace that ctx is at, or a new trace. The context it returns is at that
// step. A step is recorded if there is a collector and the caller has not said that the trace is not
// sampled; else the position is passed on as it came and the span is nil.
func (t *Tracer) Start(ctx context.Context, name string, kind Kind, attrs ...slog.Attr) (context.Context, *Span) {
	return t.StartAt(ctx, time.Time{}, name, kind, attrs...)
}

// StartAt is Start of a step that began earlier; zero means now.
func (t *Tracer) StartAt(ctx context.Context, began time.Time, name string, kind Kind, attrs ...slog.Attr) (context.Context, *Span) {
	parent := From(ctx)
	root := parent.None()
	if root {
		parent = New()
		ctx = With(ctx, parent)
	}
	if t == nil || !parent.Sampled {
		return ctx, nil
	}
	if began.IsZero() {
		began = time.Now()
	}
	s := &Span{tracer: t, step: Step{Context: parent, Name: name, Kind: kind, Start: began}}
	// A copy, so that callers' attributes cost nothing where nothing is recorded.
	s.step.Attrs = append(s.step.Attrs, attrs...)
	if !root {
		s.step.Parent, s.step.SpanID = parent.SpanID, newSpanID()
		ctx = With(ctx, s.step.Context)
	}
	return ctx, s
}

// Set adds attributes: never a payload, a header, a URL or anything else that may hold a secret.
func (s *Span) Set(attrs ...slog.Attr) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step.Attrs = append(s.step.Attrs, attrs...)
}

// Fail marks the step as failed, with a word.
func (s *Span) Fail(why string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step.Failed, s.step.Why = true, why
}

// End ends the step; the first call counts. It never waits.
func (s *Span) End() {
	if s == nil {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	s.step.End = now
	if now.Before(s.step.Start) {
		// The start was measured by another machine's clock.
		s.step.End = s.step.Start
	}
	s.tracer.take(s.step)
}
