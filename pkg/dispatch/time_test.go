package dispatch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/dispatch"
	"longshore/pkg/dispatch/dispatchtest"
	"longshore/pkg/fault"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// inNoTime is a test whose clock goes on only while all of it waits, however busy the machine is.
func inNoTime(test func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	}
}

// A message whose call may not begin is sent again, whole and without delay, and acknowledged.
func TestNoTimeForTheCall(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.CallTimeout, b.config.Reserve = 25*time.Second, 10*time.Second
	r := b.record(t)
	if again := dispatch.New(b.config).Handle(within(t, 34*time.Second), []queue.Received{message(r)}); again != nil {
		t.Errorf("messages come again: %q", again)
	}
	b.wantEvents(t, dispatch.Returned)
	want := []envelope{{"webhook", queue.Message{V: queue.Version, PK: r.ID, Generation: 1, Kind: queue.KindRun, Invocation: call()}, 0, "https://example.com:443"}}
	if diff := cmp.Diff(want, b.sent); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if got := b.get(t, r.ID); len(got.Attempts) != 0 || got.Rev != r.Rev || len(b.calls) != 0 {
		t.Errorf("%d calls, run %+v", len(b.calls), got)
	}
}

func TestNoTimeForTheCallAndNoQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.refuse = errors.New("no queue")
	r := b.record(t)
	if again := dispatch.New(b.config).Handle(within(t, time.Second), []queue.Received{message(r)}); len(again) != 1 {
		t.Errorf("messages that come again are %q, want the one", again)
	}
	b.wantEvents(t, dispatch.Broken)
}

// The read of a large invocation may use up the time for its call.
func TestNoTimeAfterTheRead(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"read": nil, "not read": fault.Busy(errors.New("slow"), 0, "the store is slow")} {
		t.Run(name, inNoTime(func(t *testing.T) {
			b := newBench(t)
			b.config.CallTimeout, b.config.Reserve = 19500*time.Millisecond, 10*time.Second
			r := b.record(t)
			ctx := within(t, 30*time.Second)
			b.store.Fail = func(method, _ string) error {
				if method == "Read" {
					deadline, _ := ctx.Deadline()
					// A moment more, for two timers at the same time fire in either order.
					late := deadline.Add(-b.config.CallTimeout - b.config.Reserve + 100*time.Millisecond)
					slow, cancel := context.WithDeadline(context.Background(), late)
					defer cancel()
					<-slow.Done()
					return err
				}
				return nil
			}
			m := received("m1", queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun})
			if again := dispatch.New(b.config).Handle(ctx, []queue.Received{m}); again != nil {
				t.Errorf("messages come again: %q", again)
			}
			b.wantEvents(t, dispatch.Returned)
			if len(b.sent) != 1 || len(b.calls) != 0 {
				t.Errorf("%d messages and %d calls, want 1 and 0", len(b.sent), len(b.calls))
			}
		}))
	}
}

// The call has its own deadline, and at any rate the reserve is left of the function's.
func TestDeadlineOfTheCall(t *testing.T) {
	t.Parallel()
	for name, life := range map[string]time.Duration{"no other": 0, "a life that is long enough": time.Minute} {
		t.Run(name, inNoTime(func(t *testing.T) {
			b := newBench(t)
			b.config.CallTimeout, b.config.Reserve = 25*time.Second, 10*time.Second
			ctx := t.Context()
			if life != 0 {
				ctx = within(t, life)
			}
			b.answer = func(ctx context.Context, _ backend.Call) backend.Outcome {
				deadline, ok := ctx.Deadline()
				if left := time.Until(deadline); !ok || left > 25*time.Second {
					t.Errorf("the call has a deadline: %t, with %s left; want 25 s at most", ok, left)
				}
				return backend.Outcome{Verdict: run.Deliver}
			}
			dispatch.New(b.config).Handle(ctx, []queue.Received{message(b.record(t))})
			b.wantEvents(t, dispatch.Delivered)
		}))
	}
	t.Run("a life that the claim used up", inNoTime(func(t *testing.T) {
		b := newBench(t)
		b.config.CallTimeout, b.config.Reserve = 17*time.Second, 10*time.Second
		ctx := within(t, 30*time.Second)
		life, _ := ctx.Deadline()
		b.config.Runs = slowClaim{b.store, life.Add(-26500 * time.Millisecond)}
		b.answer = func(ctx context.Context, _ backend.Call) backend.Outcome {
			if deadline, ok := ctx.Deadline(); !ok || deadline.After(life.Add(-b.config.Reserve+10*time.Millisecond)) {
				t.Errorf("the call ends at %s, %s before the function's end", deadline, life.Sub(deadline))
			}
			return backend.Outcome{Verdict: run.Deliver}
		}
		dispatch.New(b.config).Handle(ctx, []queue.Received{message(b.record(t))})
		b.wantEvents(t, dispatch.Delivered)
	}))
}

// slowClaim is a store whose Update answers at a given time, whatever its context says.
type slowClaim struct {
	*dispatchtest.Store
	until time.Time
}

func (s slowClaim) Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	slow, cancel := context.WithDeadline(context.WithoutCancel(ctx), s.until)
	defer cancel()
	<-slow.Done()
	return s.Store.Update(ctx, id, move)
}

// The outcome is written although the caller has gone, as a local process that stops has.
func TestOutcomeOutlivesTheContext(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	var during error
	b.config.Settler = settler(func(ctx context.Context, m queue.Received, id string,
		move func(*run.Run) (*run.Write, error), next func(*run.Run) (*queue.Message, time.Duration),
	) (*run.Run, error) {
		during = ctx.Err()
		return b.store.Update(ctx, id, move)
	})
	b.answer = func(context.Context, backend.Call) backend.Outcome {
		cancel()
		return backend.Outcome{Verdict: run.Deliver, StatusCode: 200}
	}
	r := b.record(t)
	if again := dispatch.New(b.config).Handle(ctx, []queue.Received{message(r)}); again != nil {
		t.Errorf("messages come again: %q", again)
	}
	if got := b.get(t, r.ID); during != nil || got.Delivery.State != run.Delivered {
		t.Errorf("delivery is %s, context %v", got.Delivery.State, during)
	}
}

type settler func(ctx context.Context, m queue.Received, id string,
	move func(*run.Run) (*run.Write, error), next func(*run.Run) (*queue.Message, time.Duration)) (*run.Run, error)

func (s settler) Settle(ctx context.Context, m queue.Received, id string,
	move func(*run.Run) (*run.Write, error), next func(*run.Run) (*queue.Message, time.Duration),
) (*run.Run, error) {
	return s(ctx, m, id, move, next)
}

// An outcome whose answer was lost is there when it is written once more: it is no stale one, and its
// next try is sent.
func TestOutcomeIsWrittenButTheAnswerLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outcome  backend.Outcome
		event    dispatch.Event
		attempts int
	}{
		{backend.Outcome{Verdict: run.Retry, StatusCode: 503}, dispatch.Retried, 1},
		{backend.Outcome{Verdict: run.Retry, StatusCode: 429, RetryAfter: time.Minute, Limited: true}, dispatch.Waiting, 0},
	} {
		t.Run(string(c.event), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.answers(c.outcome)
			inner := b.config.Settler
			lost := false
			b.config.Settler = settler(func(ctx context.Context, m queue.Received, id string,
				move func(*run.Run) (*run.Write, error), next func(*run.Run) (*queue.Message, time.Duration),
			) (*run.Run, error) {
				if !lost {
					lost = true
					if _, err := b.store.Update(ctx, id, move); err != nil {
						t.Error(err)
					}
					return nil, fault.Busy(errors.New("connection reset"), 0, "the store cannot be reached")
				}
				return inner.Settle(ctx, m, id, move, next)
			})
			r := b.record(t)
			if again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{message(r)}); again != nil {
				t.Errorf("messages come again: %q", again)
			}
			b.wantEvents(t, c.event)
			if got := b.get(t, r.ID); len(b.sent) != 1 || len(got.Attempts) != c.attempts || got.Rev != 2 {
				t.Errorf("%d next tries sent, %d attempts, rev %d; want 1, %d, 2", len(b.sent), len(got.Attempts), got.Rev, c.attempts)
			}
		})
	}
}

// An error that does not pass is not repeated until the reserve is used up.
func TestSettleFailsForGood(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		err   error
		again bool
		event dispatch.Event
	}{
		{"expired meanwhile", fault.New(fault.NotFound, "", "no run"), false, dispatch.Dropped},
		{"broken", errors.New("broken"), true, dispatch.Broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			calls := 0
			b.config.Settler = settler(func(context.Context, queue.Received, string, func(*run.Run) (*run.Write, error),
				func(*run.Run) (*queue.Message, time.Duration),
			) (*run.Run, error) {
				calls++
				return nil, c.err
			})
			again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{message(b.record(t))})
			if (len(again) == 1) != c.again || calls != 1 {
				t.Errorf("%d writes, messages that come again are %q", calls, again)
			}
			b.wantEvents(t, c.event)
		})
	}
}

// A lease that is set too short is raised: two calls must never overlap.
func TestLease(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		call, reserve, lease, want time.Duration
	}{
		{0, 0, 0, 75 * time.Second},
		{45 * time.Second, 10 * time.Second, 75 * time.Second, 75 * time.Second},
		{45 * time.Second, 10 * time.Second, time.Second, time.Minute},
		{2 * time.Minute, 10 * time.Second, 0, 135 * time.Second},
	} {
		b := newBench(t)
		b.config.CallTimeout, b.config.Reserve, b.config.Lease = c.call, c.reserve, c.lease
		r := b.record(t)
		var got time.Duration
		b.answer = func(context.Context, backend.Call) backend.Outcome {
			got = b.get(t, r.ID).Delivery.Lease.Sub(start)
			return backend.Outcome{Verdict: run.Deliver}
		}
		dispatch.New(b.config).Handle(t.Context(), []queue.Received{message(r)})
		if got != c.want {
			t.Errorf("call %s, reserve %s, lease %s: the lease is %s, want %s", c.call, c.reserve, c.lease, got, c.want)
		}
	}
}
