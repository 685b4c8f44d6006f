package dispatchtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/dispatch"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/sweep"
)

func deadLetter(t *testing.T, w *world) {
	r, m := w.start(t)
	letters := w.deadLetters()
	// acknowledged fails the test unless the letter is dropped and the run left alone.
	acknowledged := func(when string) {
		t.Helper()
		before := w.get(t, r.ID)
		if again := letters.Handle(t.Context(), []queue.Received{m}); len(again) != 0 {
			t.Errorf("%s: the letter comes again", when)
		}
		if after := w.get(t, r.ID); after.Rev != before.Rev {
			t.Errorf("%s: the run was changed", when)
		}
	}
	acknowledged("untouched")
	w.handle(t, w.dieAfterClaim(), []queue.Received{m}, m)
	acknowledged("leased")
	w.pass(queue.Visibility)
	acknowledged("interrupted, attempts left")
	w.target.answers(backend.Outcome{Verdict: run.Retry, StatusCode: 503, RetryAfter: time.Hour})
	w.handle(t, w.dispatcher(), []queue.Received{m})
	acknowledged("a retry waits")
	for range run.MaxAttempts - 2 {
		w.pass(time.Hour)
		w.handle(t, w.dieAfterClaim(), []queue.Received{m}, m)
	}
	acknowledged("attempts used up, leased")
	w.pass(dispatch.DefaultLease)
	if again := letters.Handle(t.Context(), []queue.Received{m}); len(again) != 0 {
		t.Error("attempts used up: the letter comes again")
	}
	i := "interrupted"
	w.want(t, r.ID, 1, run.Failure, run.Undeliverable, i, "503", i, i, i, i)
	w.wantLog(t, r.ID, "Delivery failed after 6 attempts; the last: interrupted: no outcome was recorded")
	acknowledged("ended")
	w.redeliver(t, r.ID)
	acknowledged("of an older generation")

	delivered, n := w.start(t)
	w.target.answers(backend.Outcome{Verdict: run.Deliver, StatusCode: 202})
	w.handle(t, w.dispatcher(), []queue.Received{n})
	r, m = delivered, n
	acknowledged("delivered")
	for name, body := range map[string]string{
		"no JSON":      "\x00{",
		"unknown run":  `{"v":1,"pk":"r_0000000000000000","generation":1,"kind":"run"}`,
		"unknown kind": `{"v":1,"pk":"` + r.ID + `","generation":1,"kind":"later"}`,
		"newer":        `{"v":2,"pk":"` + r.ID + `","generation":1,"kind":"run"}`,
	} {
		m.Body = body
		acknowledged(name)
	}
}

// redeliver opens the next generation and sends nothing.
func (w *world) redeliver(t *testing.T, id string) *run.Run {
	t.Helper()
	r, err := w.store.Update(t.Context(), id, func(r *run.Run) (*run.Write, error) {
		closed, err := r.Redeliver(w.clock(), "client")
		if err != nil {
			return nil, err
		}
		return &run.Write{Closed: closed, ClosedGeneration: r.Generation - 1}, nil
	})
	if err != nil {
		t.Fatalf("redeliver: %v", err)
	}
	return r
}

func tickNotMoved(t *testing.T, w *world) {
	r := w.record(t)
	w.until(r.Due)
	report := w.sweep(t, func(c *sweep.Config) {
		c.Runs = &updates{w.store, func(context.Context, string, func(*run.Run) (*run.Write, error)) (*run.Run, error) {
			panic(died("before the move"))
		}}
	})
	if report.Failed != 1 {
		t.Errorf("first sweep: %+v, want one failed", report)
	}
	w.out.wantSent(t, 1)
	first := w.receive(t, r.ID)
	if report := w.sweep(t); report.Sent != 1 {
		t.Errorf("second sweep: %+v, want one sent", report)
	}
	w.handle(t, w.dispatcher(), []queue.Received{first, w.receive(t, r.ID)})
	w.want(t, r.ID, 1, run.InProgress, run.Delivered, "202")
}

func tickTwice(t *testing.T, w *world) {
	r := w.record(t)
	w.until(r.Due)
	w.listed(t)
	// Both have sent before either moves the run.
	var both sync.WaitGroup
	both.Add(2)
	meet := w.sweeper(func(c *sweep.Config) {
		c.Runs = &updates{w.store, func(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
			both.Done()
			both.Wait()
			return w.store.Update(ctx, id, move)
		}}
	})
	reports := make([]sweep.Report, 2)
	var all sync.WaitGroup
	for i := range reports {
		all.Go(func() {
			var err error
			if reports[i], err = meet.Sweep(t.Context()); err != nil {
				t.Errorf("sweep: %v", err)
			}
		})
	}
	all.Wait()
	if sent, skipped := reports[0].Sent+reports[1].Sent, reports[0].Skipped+reports[1].Skipped; sent != 1 || skipped != 1 {
		t.Errorf("%d moved the run and %d found it moved, want 1 and 1", sent, skipped)
	}
	w.out.wantSent(t, 2)
	if left := w.get(t, r.ID); left.Delivery.Sends != 1 {
		t.Errorf("%d sends are counted, want 1", left.Delivery.Sends)
	}
	w.handle(t, w.dispatcher(), []queue.Received{w.receive(t, r.ID), w.receive(t, r.ID)})
	w.want(t, r.ID, 1, run.InProgress, run.Delivered, "202")
}

func redeliverNotSent(t *testing.T, w *world) {
	r, m := w.start(t)
	w.target.answers(backend.Outcome{Verdict: run.Fail, StatusCode: 404, Error: "HTTP 404"})
	w.handle(t, w.dispatcher(), []queue.Received{m})
	w.want(t, r.ID, 1, run.Failure, run.Undeliverable, "404")
	w.wantLog(t, r.ID, "Delivery failed after 1 attempt: HTTP 404")
	w.target.answers(backend.Outcome{Verdict: run.Deliver, StatusCode: 202})
	reopened := w.redeliver(t, r.ID)
	// A message of the generation before is dropped.
	w.handle(t, w.dispatcher(), []queue.Received{m})
	w.want(t, r.ID, 1, run.InProgress, run.Pending)
	w.until(reopened.Due)
	if report := w.sweep(t); report.Sent != 1 {
		t.Errorf("sweep: %+v, want one sent", report)
	}
	if sent := w.out.wantSent(t, 1); len(sent) == 1 && sent[0].Generation != 2 {
		t.Errorf("the message is of generation %d, want 2", sent[0].Generation)
	}
	w.handle(t, w.dispatcher(), []queue.Received{w.receive(t, r.ID)})
	w.want(t, r.ID, 2, run.InProgress, run.Delivered, "202")
	if closed, err := w.store.Attempts(t.Context(), r.ID); err != nil || len(closed) != 1 || closed[0].StatusCode != 404 {
		t.Errorf("attempts of the closed generation are %+v, %v", closed, err)
	}
}
