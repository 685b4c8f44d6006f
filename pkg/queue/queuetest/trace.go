package queuetest

import (
	"testing"
	"time"

	"longshore/pkg/trace"
)

// traceGoesWithTheMessage: the trace of the context that a message is sent in comes with it, at every
// receive; a message that is sent without one has none.
func traceGoesWithTheMessage(t *testing.T, q Queue) {
	before := time.Now()
	position, _ := trace.Parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=a b,other=1")
	if err := q.Send(trace.With(t.Context(), position), backend, message(1), 0, ""); err != nil {
		t.Fatalf("send: %v", err)
	}
	for range 2 {
		got := collect(t, q, backend, 1)[0]
		if c, ok := got.Trace(); !ok || c != position {
			t.Errorf("the message came with %q, %q, want %s, %s", got.Traceparent, got.Tracestate, position.Traceparent(), position.State)
		}
		if q.Pass == nil && got.Count == 1 && (got.Sent.Before(before.Add(-time.Minute)) || got.Sent.After(time.Now().Add(time.Minute))) {
			t.Errorf("the message was sent at %v, want about %v", got.Sent, before)
		}
		pass(q, visibility+time.Second)
	}
	ack(t, q, collect(t, q, backend, 1)...)
	send(t, q, 2, 0, "")
	got := collect(t, q, backend, 1)[0]
	if c, ok := got.Trace(); ok {
		t.Errorf("a message without a trace came with %s", c.Traceparent())
	}
}
