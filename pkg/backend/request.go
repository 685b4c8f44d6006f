package backend

import (
	"context"
	"io"
	"net/http"
	"time"

	"longshore/pkg/trace"
)

// DefaultCallTimeout bounds one call, connecting and reading the answer included.
const DefaultCallTimeout = 25 * time.Second

const (
	// drainTime is how long the rest of an answer that nobody needs is read, so that its connection
	// can be used again; drainBytes is how much of it.
	drainTime  = 200 * time.Millisecond
	drainBytes = 256 << 10
)

// SetHeaders sets what every request of ours carries beside the action's own headers, which win:
// User-Agent, Idempotency-Key, for a request with a body Content-Type, and the trace that the context is
// at, traceparent and tracestate.
func SetHeaders(ctx context.Context, h http.Header, version, runID string, body bool) {
	fallback(h, "User-Agent", "Longshore/"+version)
	fallback(h, "Idempotency-Key", runID)
	if body {
		fallback(h, "Content-Type", "application/json")
	}
	trace.From(ctx).Set(h)
}

// fallback sets a header that the action does not set, under its canonical name.
func fallback(h http.Header, name, value string) {
	if _, ok := h[name]; !ok {
		h[name] = []string{value}
	}
}

// Drain reads the rest of an answer, within bounds. Cancel ends the call.
func Drain(body io.Reader, cancel context.CancelFunc) {
	timer := time.AfterFunc(drainTime, cancel)
	defer timer.Stop()
	_, _ = io.CopyN(io.Discard, body, drainBytes)
}
