// Package dispatchtest tests what a crash leaves, at every point of a delivery at which a process can
// die, and that it is repaired: dispatcher, sweeper, dead letters and redelivery over a store and a
// queue that they share. Every pair of store and queue passes the same tests.
//
// A process dies by a panic at the fault point: nothing after it happens, and the message is not
// acknowledged. The tests move their own clock; what a queue would bring after its visibility
// time-out is handed over by the test.
package dispatchtest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/dispatch"
	"longshore/pkg/fault"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// Crashes runs a test for each point. Open returns an empty store and an empty queue, which no other
// call has, and closes them with t.Cleanup. The store keeps runs for at least a day.
func Crashes(t *testing.T, open func(t *testing.T) (run.Store, queue.Queue)) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, w *world)
	}{
		{"trigger: head", triggerHead},
		{"dispatcher: claim", dispatcherClaim},
		{"dispatcher: claim, message after its visibility", dispatcherClaimMessage},
		{"dispatcher: during or after the call", dispatcherCall},
		{"dispatcher: outcome, before ack", dispatcherOutcome},
		{"dispatcher: retry written, before delayed send", dispatcherRetry},
		{"dispatcher: retry written, delayed send fails", dispatcherRetrySendFails},
		{"dispatcher: last attempt interrupted", dispatcherLastAttempt},
		{"outcome write throttled to the end", outcomeThrottled},
		{"outcome write throttled for a while", outcomeThrottledForAWhile},
		{"duplicate message while leased", duplicateWhileLeased},
		{"stale dispatcher wakes up late", staleDispatcher},
		{"partial batch, panic in one", partialBatch},
		{"dead letter while leased or while a retry waits", deadLetter},
		{"tick: message sent, dueAt not moved", tickNotMoved},
		{"tick: two at once", tickTwice},
		{"redeliver: reopened, not sent", redeliverNotSent},
		{"approval: decision written, not sent", approvalNotSent},
		{"approval: waited for too long", approvalTimedOut},
		{"trigger: notice written, run not", noticeOfNoRun},
		{"trigger: notice and run written, notice not sent", noticeNotSent},
		{"notice: attempts used up", noticeGivenUp},
		{"notice: dead letter", noticeDeadLetter},
		{"changelog: delivery written, not sent", changeNotSent},
		{"changelog: attempts used up", changeGivenUp},
		{"changelog: dead letter", changeDeadLetter},
		{"changelog: waited for too long", changeTimedOut},
		{"agent: claimed, answer lost", agentClaimLost},
		{"agent: ack lost", agentAckLost},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, newWorld(open(t)))
		})
	}
}

func triggerHead(t *testing.T, w *world) {
	r := w.record(t)
	began := w.clock()
	w.until(r.Due)
	if report := w.sweep(t); report.Sent != 1 {
		t.Fatalf("sweep: %+v, want one sent", report)
	}
	w.handle(t, w.dispatcher(), []queue.Received{w.receive(t, r.ID)})
	w.want(t, r.ID, 1, run.InProgress, run.Delivered, "202")
	if late := w.clock().Sub(began); late > 2*time.Minute {
		t.Errorf("the run was sent %s after its start, want 2 minutes at most", late)
	}
}

// dieAfterClaim is a dispatcher whose process dies once the claim is written.
func (w *world) dieAfterClaim() *dispatch.Dispatcher {
	return w.dispatcher(func(c *dispatch.Config) {
		c.Runs = &updates{w.store, func(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
			if _, err := w.store.Update(ctx, id, move); err != nil {
				return nil, err
			}
			panic(died("after the claim"))
		}}
	})
}

func dispatcherClaim(t *testing.T, w *world) {
	r, m := w.start(t)
	w.handle(t, w.dieAfterClaim(), []queue.Received{m}, m)
	w.want(t, r.ID, 0, run.InProgress, run.Pending, "open")
	// A duplicate finds the lease.
	w.handle(t, w.dispatcher(), []queue.Received{m})
	// So does the sweeper, which looks again after the lease's end.
	w.until(r.Due)
	if report := w.sweep(t); report.Rested != 1 || report.Sent != 0 {
		t.Errorf("sweep during the lease: %+v, want one rested", report)
	}
	left := w.get(t, r.ID)
	if want := left.Delivery.Lease.Add(run.LeaseGrace); !left.Due.Equal(want) {
		t.Errorf("due at %s, want %s", left.Due, want)
	}
	w.out.wantSent(t, 0)
	w.until(left.Due)
	if report := w.sweep(t); report.Sent != 1 {
		t.Errorf("sweep after the lease: %+v, want one sent", report)
	}
	w.handle(t, w.dispatcher(), []queue.Received{w.receive(t, r.ID)})
	w.want(t, r.ID, 1, run.InProgress, run.Delivered, "interrupted", "202")
}

func dispatcherClaimMessage(t *testing.T, w *world) {
	r, m := w.start(t)
	w.handle(t, w.dieAfterClaim(), []queue.Received{m}, m)
	w.pass(queue.Visibility)
	w.handle(t, w.dispatcher(), []queue.Received{m})
	w.want(t, r.ID, 1, run.InProgress, run.Delivered, "interrupted", "202")
}

func dispatcherCall(t *testing.T, w *world) {
	r, m := w.start(t)
	neighbour, n := w.start(t)
	died := w.dispatcher(func(c *dispatch.Config) {
		c.Backend = backendFunc(func(ctx context.Context, call backend.Call) backend.Outcome {
			o := w.target.Call(ctx, call)
			if call.RunID == r.ID {
				panic(died("after the call"))
			}
			return o
		})
	})
	w.handle(t, died, []queue.Received{m, n}, m)
	w.want(t, r.ID, 1, run.InProgress, run.Pending, "open")
	// A time-out of the function brings the whole batch back, what had ended included.
	w.pass(queue.Visibility)
	w.handle(t, w.dispatcher(), []queue.Received{m, n})
	w.want(t, r.ID, 2, run.InProgress, run.Delivered, "interrupted", "202")
	w.want(t, neighbour.ID, 1, run.InProgress, run.Delivered, "202")
}

func dispatcherOutcome(t *testing.T, w *world) {
	r, m := w.start(t)
	w.handle(t, w.dispatcher(func(c *dispatch.Config) {
		settler := c.Settler
		c.Settler = settles(func(ctx context.Context, m queue.Received, id string,
			move func(*run.Run) (*run.Write, error), next func(*run.Run) (*queue.Message, time.Duration),
		) (*run.Run, error) {
			if _, err := settler.Settle(ctx, m, id, move, next); err != nil {
				return nil, err
			}
			panic(died("before the acknowledgement"))
		})
	}), []queue.Received{m}, m)
	w.pass(queue.Visibility)
	w.handle(t, w.dispatcher(), []queue.Received{m})
	w.want(t, r.ID, 1, run.InProgress, run.Delivered, "202")
	w.wantEvents(t, map[dispatch.Event]int{dispatch.Broken: 1, dispatch.Dropped: 1})
}

func dispatcherRetry(t *testing.T, w *world) {
	r, m := w.start(t)
	w.target.answers(backend.Outcome{Verdict: run.Retry, StatusCode: 503, Error: "HTTP 503"})
	w.out.before = func(queue.Message, time.Duration) error { panic(died("before the delayed send")) }
	w.handle(t, w.dispatcher(), []queue.Received{m}, m)
	w.retryBySweeper(t, r, m)
}

func dispatcherRetrySendFails(t *testing.T, w *world) {
	r, m := w.start(t)
	w.target.answers(backend.Outcome{Verdict: run.Retry, StatusCode: 503, Error: "HTTP 503"})
	w.out.before = func(queue.Message, time.Duration) error {
		return fault.Busy(errors.New("throttled"), 0, "the queue refuses")
	}
	w.handle(t, w.dispatcher(), []queue.Received{m})
	w.retryBySweeper(t, r, m)
}

// retryBySweeper expects a retry to be written whose message was lost, and follows its repair.
func (w *world) retryBySweeper(t *testing.T, r *run.Run, m queue.Received) {
	t.Helper()
	w.out.before = nil
	w.target.answers(backend.Outcome{Verdict: run.Deliver, StatusCode: 202})
	w.want(t, r.ID, 1, run.InProgress, run.Pending, "503")
	left := w.get(t, r.ID)
	if want := left.Delivery.NextTry.Add(run.Unsent); !left.Due.Equal(want) {
		t.Errorf("due at %s, want %s", left.Due, want)
	}
	// The message itself is too early.
	w.handle(t, w.dispatcher(), []queue.Received{m})
	w.want(t, r.ID, 1, run.InProgress, run.Pending, "503")
	w.until(left.Due)
	if report := w.sweep(t); report.Sent != 1 {
		t.Errorf("sweep: %+v, want one sent", report)
	}
	w.handle(t, w.dispatcher(), []queue.Received{w.receive(t, r.ID)})
	w.want(t, r.ID, 2, run.InProgress, run.Delivered, "503", "202")
}

func dispatcherLastAttempt(t *testing.T, w *world) {
	r, m := w.start(t)
	for range run.MaxAttempts {
		w.handle(t, w.dieAfterClaim(), []queue.Received{m}, m)
		w.pass(queue.Visibility)
	}
	w.handle(t, w.dispatcher(), []queue.Received{m})
	interrupted := "interrupted"
	w.want(t, r.ID, 0, run.Failure, run.Undeliverable, interrupted, interrupted, interrupted, interrupted, interrupted, interrupted)
	w.wantLog(t, r.ID, "Delivery failed after 6 attempts; the last: interrupted: no outcome was recorded")
}

// wantLog fails the test unless the run's log has this one line.
func (w *world) wantLog(t *testing.T, id, want string) {
	t.Helper()
	logs, err := w.store.Logs(t.Context(), id, run.LogQuery{Limit: 50})
	if err != nil {
		t.Fatalf("read the log: %v", err)
	}
	if len(logs) != 1 || logs[0].Message != want || logs[0].CreatedBy != run.Own {
		t.Errorf("log has %d lines, want only %q", len(logs), want)
		for _, l := range logs {
			t.Logf("%s: %q", l.CreatedBy, l.Message)
		}
	}
}

func outcomeThrottled(t *testing.T, w *world) {
	r, m := w.start(t)
	throttled := w.dispatcher(func(c *dispatch.Config) {
		c.Reserve = 250 * time.Millisecond
		c.Settler = settles(func(context.Context, queue.Received, string, func(*run.Run) (*run.Write, error),
			func(*run.Run) (*queue.Message, time.Duration),
		) (*run.Run, error) {
			return nil, fault.Busy(errors.New("throttled"), 0, "the store refuses")
		})
	})
	w.handle(t, throttled, []queue.Received{m}, m)
	w.want(t, r.ID, 1, run.InProgress, run.Pending, "open")
	w.pass(queue.Visibility)
	w.handle(t, w.dispatcher(), []queue.Received{m})
	w.want(t, r.ID, 2, run.InProgress, run.Delivered, "interrupted", "202")
}

func outcomeThrottledForAWhile(t *testing.T, w *world) {
	r, m := w.start(t)
	left := 2
	w.handle(t, w.dispatcher(func(c *dispatch.Config) {
		settler := c.Settler
		c.Settler = settles(func(ctx context.Context, m queue.Received, id string,
			move func(*run.Run) (*run.Write, error), next func(*run.Run) (*queue.Message, time.Duration),
		) (*run.Run, error) {
			if left--; left >= 0 {
				return nil, fault.Busy(errors.New("throttled"), 0, "the store refuses")
			}
			return settler.Settle(ctx, m, id, move, next)
		})
	}), []queue.Received{m})
	w.want(t, r.ID, 1, run.InProgress, run.Delivered, "202")
}

// block makes the next call of the target wait; called is closed once it has begun.
func (w *world) block(o backend.Outcome) (called, release chan struct{}) {
	called, release = make(chan struct{}), make(chan struct{})
	var begun atomic.Bool
	w.target.answer = func(backend.Call) backend.Outcome {
		if begun.Swap(true) {
			return backend.Outcome{Verdict: run.Deliver, StatusCode: 202}
		}
		close(called)
		<-release
		return o
	}
	return called, release
}

func duplicateWhileLeased(t *testing.T, w *world) {
	r, m := w.start(t)
	called, release := w.block(backend.Outcome{Verdict: run.Deliver, StatusCode: 202})
	done := make(chan []string)
	go func() { done <- w.dispatcher().Handle(t.Context(), []queue.Received{m}) }()
	<-called
	w.handle(t, w.dispatcher(), []queue.Received{m, m})
	w.want(t, r.ID, 1, run.InProgress, run.Pending, "open")
	close(release)
	if again := <-done; len(again) != 0 {
		t.Errorf("messages come again: %q", again)
	}
	w.want(t, r.ID, 1, run.InProgress, run.Delivered, "202")
}

func staleDispatcher(t *testing.T, w *world) {
	r, m := w.start(t)
	called, release := w.block(backend.Outcome{Verdict: run.Fail, StatusCode: 500})
	done := make(chan []string)
	go func() { done <- w.dispatcher().Handle(t.Context(), []queue.Received{m}) }()
	<-called
	w.pass(queue.Visibility)
	w.handle(t, w.dispatcher(), []queue.Received{m})
	before := w.get(t, r.ID)
	close(release)
	if again := <-done; len(again) != 0 {
		t.Errorf("messages come again: %q", again)
	}
	w.want(t, r.ID, 2, run.InProgress, run.Delivered, "interrupted", "202")
	if after := w.get(t, r.ID); after.Rev != before.Rev {
		t.Error("the late outcome was written")
	}
	w.wantEvents(t, map[dispatch.Event]int{dispatch.Delivered: 1, dispatch.Stale: 1})
}

func partialBatch(t *testing.T, w *world) {
	var messages []queue.Received
	var runs []*run.Run
	for range 5 {
		r, m := w.start(t)
		runs, messages = append(runs, r), append(messages, m)
	}
	messages[1].Body = messages[1].Body[:len(messages[1].Body)/2]
	d := w.dispatcher(func(c *dispatch.Config) {
		c.Backend = backendFunc(func(ctx context.Context, call backend.Call) backend.Outcome {
			o := w.target.Call(ctx, call)
			if call.RunID == runs[3].ID {
				panic(errors.New("a fault of ours"))
			}
			return o
		})
	})
	w.handle(t, d, messages, messages[1], messages[3])
	for i, r := range runs {
		switch i {
		case 1:
			w.want(t, r.ID, 0, run.InProgress, run.Pending)
		case 3:
			w.want(t, r.ID, 1, run.InProgress, run.Pending, "open")
		default:
			w.want(t, r.ID, 1, run.InProgress, run.Delivered, "202")
		}
	}
	w.wantEvents(t, map[dispatch.Event]int{dispatch.Delivered: 3, dispatch.Undecodable: 1, dispatch.Broken: 1})
}

// backendFunc is a backend made of a function.
type backendFunc func(context.Context, backend.Call) backend.Outcome

// Call implements backend.Backend.
func (f backendFunc) Call(ctx context.Context, c backend.Call) backend.Outcome { return f(ctx, c) }
