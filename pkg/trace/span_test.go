package trace_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"longshore/pkg/trace"
)

func TestSteps(t *testing.T) {
	t.Parallel()
	var steps []trace.Step
	tracer := trace.NewTracer(func(s trace.Step) { steps = append(steps, s) })
	client, _ := trace.Parse(parent, "foo=1")
	ctx, outer := tracer.Start(trace.With(t.Context(), client), "request", trace.Server, slog.String("a", "b"))
	began := time.Now().Add(-time.Minute)
	ctx, inner := tracer.StartAt(ctx, began, "queue", trace.Consumer)
	inner.Fail("late")
	inner.End()
	inner.End()
	outer.Set(slog.Int("status", 200))
	outer.End()
	if len(steps) != 2 {
		t.Fatalf("%d steps, want 2", len(steps))
	}
	queue, request := steps[0], steps[1]
	if request.ID() != traceID || request.Parent != client.SpanID || request.State != "foo=1" || len(request.Attrs) != 2 || request.Failed {
		t.Errorf("request %+v", request)
	}
	if queue.ID() != traceID || queue.Parent != request.SpanID || !queue.Start.Equal(began) || !queue.Failed || queue.Why != "late" || queue.Kind != trace.Consumer {
		t.Errorf("queue %+v", queue)
	}
	if at := trace.From(ctx); at.SpanID != queue.SpanID {
		t.Errorf("the context is at %v, want the last step", at)
	}
}

// Who takes no steps, and who must not, hands the client's own position on: one that nobody records
// would have no parent.
func TestPositionIsPassedOn(t *testing.T) {
	t.Parallel()
	recording := trace.NewTracer(func(s trace.Step) { t.Errorf("step %+v", s) })
	for name, tt := range map[string]struct {
		tracer      *trace.Tracer
		traceparent string
	}{
		"no tracer":   {nil, parent},
		"not sampled": {recording, "00-" + traceID + "-" + spanID + "-00"},
	} {
		client, _ := trace.Parse(tt.traceparent, "")
		ctx, span := tt.tracer.Start(trace.With(t.Context(), client), "request", trace.Server)
		span.Set(slog.String("a", "b"))
		span.Fail("x")
		span.End()
		if got := trace.From(ctx).Traceparent(); got != tt.traceparent {
			t.Errorf("%s: the context is at %s, want %s", name, got, tt.traceparent)
		}
	}
	ctx, span := (*trace.Tracer)(nil).Start(context.Background(), "request", trace.Server)
	if span != nil || trace.From(ctx).None() {
		t.Errorf("without a tracer and a client's trace: span %v, at %v, want a new trace", span, trace.From(ctx))
	}
}
