package dispatchtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/catalog"
	"longshore/pkg/changelog"
	"longshore/pkg/dispatch"
	"longshore/pkg/event"
	"longshore/pkg/fault"
	"longshore/pkg/logline"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/sweep"
)

// deaf is a queue that takes nothing.
type deaf struct{}

// Send implements queue.Sender.
func (deaf) Send(context.Context, string, queue.Message, time.Duration, string) error {
	return fault.Wrap(fault.Unavailable, errors.New("no queue"), "the queue cannot be reached")
}

// change delivers a change of an entity, whose blueprint names a webhook, and returns the delivery.
func (w *world) change(t *testing.T, s queue.Sender) *run.Run {
	t.Helper()
	e := &event.Event{
		ID: event.ID("entity", "e_1", "7"), Action: event.Update, Resource: event.Entity, UserID: "client", Origin: "API", At: w.clock(),
		Context: json.RawMessage(`{"blueprintIdentifier":"service","entityIdentifier":"cart"}`), Blueprint: "service", Entity: "cart",
		Before: json.RawMessage(`{"n":1}`), After: json.RawMessage(`{"n":2}`),
	}
	b := &catalog.Blueprint{Identifier: "service", Definition: json.RawMessage(`{"changelogDestination":{"type":"WEBHOOK","url":"https://example.com/"}}`)}
	l := changelog.New(changelog.Config{
		Runs: w.store, Send: s, Configured: func(string) bool { return true }, OrgID: "org_1", Log: slog.New(slog.DiscardHandler), Now: w.clock,
	})
	// Twice: a feed may tell it again.
	for range 2 {
		if err := l.Deliver(t.Context(), e, b); err != nil {
			t.Fatalf("deliver: %v", err)
		}
	}
	return w.get(t, run.ChangeID(e.At, e.ID))
}

// unseen fails the test if a delivery of a change can be seen as a run.
func (w *world) unseen(t *testing.T, d *run.Run) {
	t.Helper()
	page, err := w.store.List(t.Context(), run.Filter{Limit: 10})
	if err != nil || len(page.Runs) != 0 {
		t.Errorf("listed are %+v, %v", page, err)
	}
	for _, id := range []string{d.ID, d.NoticeOf} {
		if lines, err := w.store.Logs(t.Context(), id, run.LogQuery{Limit: 10}); err != nil || len(lines) != 0 {
			t.Errorf("log of %s: %v, %v", id, lines, err)
		}
	}
}

func changeNotSent(t *testing.T, w *world) {
	d := w.change(t, deaf{})
	w.until(d.Due)
	if report := w.sweep(t); report.Sent != 1 {
		t.Fatalf("sweep: %+v, want one sent", report)
	}
	m := w.receive(t, d.ID)
	w.handle(t, w.dispatcher(), []queue.Received{m})
	w.want(t, d.ID, 1, run.Success, run.Delivered, "202")
	w.handle(t, w.dispatcher(), []queue.Received{m})
	w.want(t, d.ID, 1, run.Success, run.Delivered, "202")
	w.unseen(t, d)
}

// What becomes of it is in the log of the process.
func changeGivenUp(t *testing.T, w *world) {
	d := w.change(t, w.queue)
	m := w.receive(t, d.ID)
	w.target.answers(backend.Outcome{Verdict: run.Retry, StatusCode: 503, Error: "the target answered 503"})
	var log bytes.Buffer
	for range run.MaxAttempts {
		w.handle(t, w.dispatcher(func(c *dispatch.Config) { c.Log = slog.New(logline.Handler(slog.NewTextHandler(&log, nil))) }), []queue.Received{m})
		w.pass(time.Hour)
	}
	w.want(t, d.ID, run.MaxAttempts, run.Failure, run.Undeliverable, "503", "503", "503", "503", "503", "503")
	w.unseen(t, d)
	for _, want := range []string{d.ID, d.NoticeOf, "The changelog message failed after 6 attempts; the last: the target answered 503"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log says %s, want %q in it", log.String(), want)
		}
	}
}

func changeDeadLetter(t *testing.T, w *world) {
	d := w.change(t, w.queue)
	m := w.receive(t, d.ID)
	for range run.MaxAttempts {
		w.handle(t, w.dieAfterClaim(), []queue.Received{m}, m)
		w.pass(dispatch.DefaultLease)
	}
	if again := w.deadLetters().Handle(t.Context(), []queue.Received{m}); len(again) != 0 {
		t.Errorf("%q come again", again)
	}
	i := "interrupted"
	w.want(t, d.ID, 0, run.Failure, run.Undeliverable, i, i, i, i, i, i)
	w.unseen(t, d)
}

// One whose backend is never configured is given up before it vanishes.
func changeTimedOut(t *testing.T, w *world) {
	d := w.change(t, deaf{})
	w.until(d.StartedAt.Add(run.NoticeTimeout))
	none := func(c *sweep.Config) { c.Configured = func(string) bool { return false } }
	if report := w.sweep(t, none); report.TimedOut != 1 {
		t.Errorf("sweep: %+v, want one timed out", report)
	}
	w.want(t, d.ID, 0, run.Failure, run.Pending)
	w.unseen(t, d)
}
