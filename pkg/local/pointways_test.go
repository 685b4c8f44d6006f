package local_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

// way is something that a process does and may die of at each of its calls.
type way struct {
	name string
	// before prepares a run for it, in a process that lives; nil for none.
	before func(w *pointWorld) (id string)
	// do is what the process does. Its error is what its client sees.
	do func(h *hands, id string) error
	// again is what the client does once it had an error, in a process that lives; nil for nothing.
	again func(w *pointWorld, id string) error
	// mayFail says that the run may end FAILURE; otherwise it ends SUCCESS, whatever died.
	mayFail bool
	// least is how many calls it makes at least, where each step is one.
	least int
}

// ways are all of them.
func ways() []way {
	key := func(w *pointWorld) string { return fmt.Sprintf("key-%d", len(w.known)) }
	// twice asks again with the key, and once more: both times the answer is one run.
	twice := func(identifier string) func(*pointWorld, string) error {
		return func(w *pointWorld, _ string) error {
			w.pass(run.ReserveFor + time.Second)
			first, err := w.clean.start(identifier, key(w))
			if err != nil {
				return err
			}
			w.pass(run.ReserveFor + time.Second)
			second, err := w.clean.start(identifier, key(w))
			if err == nil && first != second {
				err = fmt.Errorf("its key is answered with run %s and then with run %s", first, second)
			}
			return err
		}
	}
	handle := func(h *hands, _ string) error {
		h.work(h.w.receive(invocation.BackendWebhook))
		return nil
	}
	plain := func(o backend.Outcome) func(*pointWorld) string {
		return func(w *pointWorld) string {
			w.answers(o)
			return w.must("plain")
		}
	}
	delivers, fails := backend.Outcome{Verdict: run.Deliver, StatusCode: 202}, backend.Outcome{Verdict: run.Fail, StatusCode: 404, Error: "HTTP 404"}
	delivered := func(w *pointWorld) string {
		id := plain(delivers)(w)
		w.clean.work(w.receive(invocation.BackendWebhook))
		return id
	}
	approve := func(w *pointWorld) string { return w.must("guarded") }
	noticed := func(w *pointWorld) string {
		id := approve(w)
		w.clean.work(w.receive(invocation.BackendWebhook))
		return id
	}
	sweeps := func(h *hands, _ string) error {
		_, err := h.sweeper.Sweep(h.w.t.Context())
		return err
	}
	later := func(d time.Duration, before func(*pointWorld) string) func(*pointWorld) string {
		return func(w *pointWorld) string {
			id := before(w)
			w.pass(d)
			return id
		}
	}
	return []way{
		{
			name: "trigger", least: 1,
			do: func(h *hands, _ string) error { _, err := h.start("plain", ""); return err },
		},
		{
			name: "trigger with a key", least: 3,
			do:    func(h *hands, _ string) error { _, err := h.start("plain", key(h.w)); return err },
			again: twice("plain"),
		},
		{
			name: "trigger that needs approval", least: 3,
			do:    func(h *hands, _ string) error { _, err := h.start("guarded", key(h.w)); return err },
			again: twice("guarded"),
		},
		{name: "dispatch, delivered", least: 3, before: plain(delivers), do: handle},
		{name: "dispatch, ended", least: 3, before: plain(backend.Outcome{Verdict: run.Succeed, StatusCode: 200, Response: []byte(`{"a":1}`)}), do: handle},
		{name: "dispatch, failed", mayFail: true, least: 3, before: plain(fails), do: handle},
		{name: "dispatch, to be tried again", least: 3, before: plain(backend.Outcome{Verdict: run.Retry, StatusCode: 503, Error: "HTTP 503"}), do: handle},
		{
			name: "report", least: 1, before: delivered,
			do:    func(h *hands, id string) error { return h.succeed(id) },
			again: func(w *pointWorld, id string) error { _ = w.clean.succeed(id); return nil },
		},
		{
			name: "redeliver", least: 3,
			before: func(w *pointWorld) string {
				id := plain(fails)(w)
				w.clean.work(w.receive(invocation.BackendWebhook))
				w.answers(delivers)
				return id
			},
			do: func(h *hands, id string) error {
				_, err := h.starter.Redeliver(h.w.t.Context(), machine, id)
				return err
			},
			// The first one may have been written.
			again: func(w *pointWorld, id string) error {
				if _, err := w.clean.starter.Redeliver(w.t.Context(), machine, id); !fault.Is(err, "run_not_redeliverable") {
					return err
				}
				return nil
			},
		},
		{
			name: "approve", least: 3, before: approve,
			do:    func(h *hands, id string) error { return h.decide(id) },
			again: func(w *pointWorld, id string) error { return w.clean.decide(id) },
		},
		{
			name: "agent", least: 4, before: later(2*time.Second, func(w *pointWorld) string { return w.must("agent") }),
			do: func(h *hands, id string) error {
				if _, err := h.fetch(); err != nil {
					return err
				}
				return h.succeed(id)
			},
			again: func(w *pointWorld, _ string) error { w.pass(run.ClaimFor); return nil },
		},
		{name: "tick, unsent", least: 4, before: later(run.Unsent+2*time.Second, plain(delivers)), do: sweeps},
		{name: "tick, not approved in time", mayFail: true, least: 3, before: later(run.ApprovalTimeout+time.Hour, noticed), do: sweeps},
		{name: "tick, not reported in time", mayFail: true, least: 3, before: later(run.Timeouts(0)(invocation.BackendWebhook)+time.Hour, delivered), do: sweeps},
		{
			name: "look-up", least: 3,
			before: func(w *pointWorld) string {
				id := plain(backend.Outcome{Verdict: run.Deliver, StatusCode: 202, Watch: true})(w)
				w.clean.work(w.receive(invocation.BackendWebhook))
				r, err := w.clean.runs.Get(w.t.Context(), id)
				if err != nil {
					w.t.Fatal(err)
				}
				w.pass(r.Due.Sub(w.clock()) + 2*time.Second)
				if err := sweeps(w.clean, id); err != nil {
					w.t.Fatal(err)
				}
				return id
			},
			do: handle,
		},
		{
			name: "dead letter", mayFail: true, least: 1,
			before: func(w *pointWorld) string {
				id := plain(delivers)(w)
				for range run.MaxAttempts {
					if err := w.clean.move(id, func(r *run.Run) error {
						_, err := r.Claim(w.clock(), 1, "dead", time.Minute)
						return err
					}); err != nil {
						w.t.Fatal(err)
					}
					w.pass(2 * time.Minute)
				}
				return id
			},
			do: func(h *hands, _ string) error {
				h.deadletter.Handle(h.w.t.Context(), h.w.receive(invocation.BackendWebhook))
				return nil
			},
		},
	}
}

// A process dies at each call of store, queue and target that it makes on each of its ways, just before
// it and just after it; on DynamoDB and SQS these are the single requests. Whatever it left, a run that
// was accepted ends, is never called once its delivery is on record, and has an attempt for every call;
// a key stands for one run.
func TestDeathAtEveryCall(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name string
		open opening
	}{{"one commit", sqliteParts(true)}, {"SQLite", sqliteParts(false)}, {"AWS", awsParts}} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range ways() {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					w := newPointWorld(t, kind.open)
					calls := 0
					for died := true; died; {
						calls++
						died = w.die(c, calls, false)
						if died {
							w.die(c, calls, true)
						}
						if calls > 100 {
							t.Fatal("it does not come to its end")
						}
					}
					// The last one was not reached.
					if calls--; calls < c.least {
						t.Errorf("died at %d calls, want %d at least", calls, c.least)
					}
					t.Logf("died at %d calls, before and after each", calls)
				})
			}
		})
	}
}

// die goes a way until the nth call, and repairs what is left. It returns false if there was no such call.
func (w *pointWorld) die(c way, n int, after bool) (died bool) {
	w.t.Helper()
	w.answers(backend.Outcome{Verdict: run.Deliver, StatusCode: 202})
	id := ""
	if c.before != nil {
		id = c.before(w)
	}
	h := w.process(&fuse{at: n, after: after})
	err := c.do(h, id)
	died = h.fuse.blown()
	w.answers(backend.Outcome{Verdict: run.Deliver, StatusCode: 202})
	if !died && err != nil {
		w.t.Fatalf("without a death: %v", err)
	}
	if err != nil && c.again != nil {
		if err := c.again(w, id); err != nil {
			w.t.Errorf("call %d, after %t: again: %v", n, after, err)
		}
	}
	// The index of runs may lag by a second.
	w.pass(2 * time.Second)
	found := w.appeared()
	switch {
	case len(found) > 1, len(found) == 0 && (err == nil || c.again != nil), id != "" && !slices.Contains(found, id):
		w.t.Errorf("call %d, after %t: there are the runs %v more, with the error %v", n, after, found, err)
	}
	w.repair(found...)
	for _, id := range found {
		if r, err := w.clean.runs.Get(w.t.Context(), id); err != nil || !c.mayFail && r.Status != run.Success {
			w.t.Errorf("run %s has ended %s, %s: %v", id, r.Status, r.StatusLabel, err)
		}
	}
	if w.t.Failed() {
		w.t.Fatalf("call %d, after %t", n, after)
	}
	return died
}
