package dispatch

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/logline"
	"longshore/pkg/metric"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/trace"
)

// about names a message's run in the log lines that follow.
func about(ctx context.Context, m queue.Message) {
	logline.Set(ctx, slog.String(logline.RunID, m.PK), slog.Int("generation", m.Generation))
}

// begin returns the context of a message: its log lines name it and its trace. A message that the
// sweeper sent brings no trace along: those of one run share one.
func begin(ctx context.Context, received queue.Received) context.Context {
	position, ok := received.Trace()
	if !ok {
		position = trace.Of(runOf(received))
	}
	return logline.Begin(trace.With(ctx, position),
		slog.String(logline.MessageID, received.ID), slog.String(logline.TraceID, position.ID()))
}

// observed handles a message as two steps of its trace: the time in the queue, as far as it is known,
// and what is done about it.
func (d *Dispatcher) observed(ctx context.Context, log *slog.Logger, received queue.Received) (Event, bool) {
	if !received.Sent.IsZero() {
		var waited *trace.Span
		ctx, waited = d.c.Trace.StartAt(ctx, received.Sent, "queue "+d.c.Name, trace.Consumer,
			slog.String("messaging.destination.name", d.c.Name), slog.String("messaging.message.id", received.ID))
		waited.End()
	}
	ctx, span := d.c.Trace.Start(ctx, "dispatch "+d.c.Name, trace.Consumer,
		slog.String("messaging.destination.name", d.c.Name), slog.String("messaging.message.id", received.ID),
		slog.Int("longshore.message.receives", received.Count))
	defer span.End()
	event, done := d.handle(ctx, log, received)
	span.Set(slog.String("longshore.run.id", logline.Get(ctx, logline.RunID)), slog.String("longshore.outcome", string(event)))
	switch event {
	case Retried, Failed, Undecodable, Broken:
		span.Fail(string(event))
	}
	return event, done
}

// runOf is the run of a message as queue.Encode writes it, without reading it whole; for any other text
// the message itself.
func runOf(received queue.Received) string {
	_, rest, _ := strings.Cut(received.Body, `"pk":"`)
	if id, _, found := strings.Cut(rest, `"`); found && id != "" {
		return id
	}
	return received.ID
}

// timed makes a call as a step of the trace, whose position the backend passes on, and records how long
// it took. Of a run with secrets the host is not recorded, which a template may have made of one.
func (d *Dispatcher) timed(ctx context.Context, secrets bool, c backend.Call) backend.Outcome {
	ctx, span := d.c.Trace.Start(ctx, "call "+d.c.Name, trace.Client,
		slog.String("longshore.run.id", c.RunID), slog.String("longshore.action", c.Action), slog.Int("longshore.attempt", c.Attempt))
	// A backend may panic.
	defer span.End()
	began := time.Now()
	o := d.c.Backend.Call(ctx, c)
	d.c.Metrics.Observe(metric.CallTime, time.Since(began), "backend", d.c.Name)
	if span != nil && !secrets && c.Invocation.Webhook != nil {
		if u, err := url.Parse(c.Invocation.Webhook.URL); err == nil {
			span.Set(slog.String("server.address", u.Hostname()))
		}
	}
	if o.StatusCode != 0 {
		span.Set(slog.Int("http.response.status_code", o.StatusCode))
	}
	if o.Verdict == run.Retry || o.Verdict == run.Fail {
		span.Fail("delivery failed")
	}
	return o
}
