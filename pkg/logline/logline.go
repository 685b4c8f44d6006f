// Package logline carries what every log line of a request, a message or a run has in common — the
// request's id, the run's, the trace's — in the context, so that it is attached once, where it becomes
// known, and each line that is logged with that context has it.
//
// It promises that a line has each of them once, and that a line which names one itself keeps its own.
package logline

import (
	"context"
	"log/slog"
	"sync"
)

// The names that the lines of all packages have in common.
const (
	// RequestID is the id that the answer's X-Request-Id repeats; of an event that is no request, the
	// platform's id of the invocation.
	RequestID = "request_id"
	// InvocationID is the platform's id of the invocation that dealt with a request.
	InvocationID = "lambda_request_id"
	// ClientRequestID is the X-Request-Id that a client came with.
	ClientRequestID = "client_request_id"
	// MessageID is the queue's id of a message.
	MessageID = "message_id"
	// RunID is a run's id, or a notice's.
	RunID = "run_id"
	// TraceID is the id of the trace, in hexadecimal.
	TraceID = "trace_id"
)

type key struct{}

// scope is what the lines have in common; it may grow while its context is in use.
type scope struct {
	mu    sync.Mutex
	attrs []slog.Attr
}

// Begin returns a context whose lines have these attributes beside those of ctx. What is Set in it does
// not show in the lines of ctx.
func Begin(ctx context.Context, attrs ...slog.Attr) context.Context {
	s := &scope{}
	if outer, ok := ctx.Value(key{}).(*scope); ok {
		outer.mu.Lock()
		s.attrs = append(make([]slog.Attr, 0, len(outer.attrs)+len(attrs)+2), outer.attrs...)
		outer.mu.Unlock()
	}
	s.set(attrs)
	return context.WithValue(ctx, key{}, s)
}

// Set adds attributes to all lines of the Begin that ctx comes from, or gives them other values. It does
// nothing without one.
func Set(ctx context.Context, attrs ...slog.Attr) {
	if s, ok := ctx.Value(key{}).(*scope); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.set(attrs)
	}
}

// set is called with the lock held, or before anybody else has the scope.
func (s *scope) set(attrs []slog.Attr) {
next:
	for _, a := range attrs {
		for i := range s.attrs {
			if s.attrs[i].Key == a.Key {
				s.attrs[i] = a
				continue next
			}
		}
		s.attrs = append(s.attrs, a)
	}
}

// Get returns the text of an attribute of ctx, empty when there is none.
func Get(ctx context.Context, name string) string {
	s, ok := ctx.Value(key{}).(*scope)
	if !ok {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.attrs {
		if a.Key == name {
			return a.Value.String()
		}
	}
	return ""
}

// Handler returns a handler that adds to each record what its context has.
func Handler(h slog.Handler) slog.Handler { return &handler{h} }

type handler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	s, ok := ctx.Value(key{}).(*scope)
	if !ok {
		return h.Handler.Handle(ctx, r)
	}
	// A record may be handled by others, too.
	r = r.Clone()
	s.mu.Lock()
	for _, a := range s.attrs {
		own := false
		r.Attrs(func(has slog.Attr) bool {
			own = has.Key == a.Key
			return !own
		})
		if !own {
			r.AddAttrs(a)
		}
	}
	s.mu.Unlock()
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler { return &handler{h.Handler.WithGroup(name)} }
