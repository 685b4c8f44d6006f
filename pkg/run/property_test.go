package run_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/run"
)

// TestRandomMoves makes random sequences of moves, by dispatchers that hold, lost or never had the
// lease, reporters, redelivery and sweepers whose clocks differ, and checks what the package promises
// after each.
func TestRandomMoves(t *testing.T) {
	t.Parallel()
	const runs, moves = 600, 60
	reached := map[string]int{}
	for seed := range uint64(runs) {
		w := &walk{rand: rand.New(rand.NewPCG(seed, 1)), reached: reached, terminal: map[int]int{}}
		w.timeout = pick(w.rand, time.Minute, 20*time.Minute, 2*time.Hour, timeout)
		w.run = &run.Run{ID: "r_1", Backend: pick(w.rand, "webhook", "webhook", "agent")}
		w.now = start
		w.run.Start(w.now, pick(w.rand, "", "waits"))
		for range moves {
			before := clone(w.run)
			name := w.step()
			if fault := w.check(before, name == "limited outcome"); fault != "" {
				t.Fatalf("seed %d, after %s: %s\nbefore %+v\nafter  %+v", seed, name, fault, before, w.run)
			}
		}
	}
	// A walk that never gets anywhere proves nothing.
	for _, name := range []string{
		"claimed", "used up", "delivered", "succeeded", "retried", "limited", "failed", "stale", "settled after the end",
		"reported", "reopened", "sent", "rested", "timed out",
	} {
		if reached[name] < 10 {
			t.Errorf("%q was reached %d times in all walks", name, reached[name])
		}
	}
}

// walk is one run, the clock, and the claims that somebody may still settle.
type walk struct {
	rand    *rand.Rand
	run     *run.Run
	now     time.Time
	timeout time.Duration
	// claims are owner and generation of every claim, settled ones included.
	claims   []held
	reached  map[string]int
	terminal map[int]int
	// skewed says that the last move had a clock of its own.
	skewed bool
}

type held struct {
	owner      string
	generation int
}

func (w *walk) step() string {
	w.now = w.now.Add(pick(w.rand, 0, time.Millisecond, time.Second, 10*time.Second, lease, time.Hour))
	if w.rand.IntN(4) == 0 && !w.run.Due.IsZero() && w.run.Due.After(w.now) {
		w.now = w.run.Due
	}
	skew := time.Duration(w.rand.IntN(11)-5) * time.Second
	if w.rand.IntN(2) == 0 {
		skew = 0
	}
	w.skewed = skew != 0
	now := w.now.Add(skew)
	r := w.run
	switch w.rand.IntN(8) {
	case 0, 1, 2:
		h := held{fmt.Sprintf("o%d", len(w.claims)), r.Generation - w.rand.IntN(2)}
		ended, err := r.Claim(now, h.generation, h.owner, lease)
		switch {
		case err != nil:
			return "refused claim"
		case ended:
			w.reached["used up"]++
		default:
			w.reached["claimed"]++
			w.claims = append(w.claims, h)
		}
		return "claim"
	case 3, 4:
		h := held{"nobody", r.Generation}
		if n := len(w.claims); n > 0 {
			h = w.claims[n-1-w.rand.IntN(min(n, 3))]
		}
		verdict := pick(w.rand, run.Retry, run.Retry, run.Retry, run.Retry, run.Deliver, run.Succeed, run.Fail)
		ended := r.Status.Ended()
		limited := verdict == run.Retry && w.rand.IntN(4) == 0
		err := r.Settle(now, h.generation, h.owner, w.timeout, run.Outcome{
			Verdict: verdict, Limited: limited, NextTry: now.Add(pick(w.rand, 0, 5*time.Second, 14*time.Minute, time.Hour)), Response: json.RawMessage(`1`),
		})
		switch {
		case err != nil:
			w.reached["stale"]++
		case ended:
			w.reached["settled after the end"]++
		case limited:
			w.reached["limited"]++
			return "limited outcome"
		default:
			w.reached[map[run.Verdict]string{run.Retry: "retried", run.Deliver: "delivered", run.Succeed: "succeeded", run.Fail: "failed"}[verdict]]++
		}
		return "outcome"
	case 5:
		if w.rand.IntN(4) != 0 {
			return "nothing"
		}
		if r.Apply(now, "client", run.Patch{Status: new(pick(w.rand, run.Success, run.Failure, run.InProgress))}) == nil {
			w.reached["reported"]++
		}
		return "report"
	case 6:
		if _, err := r.Redeliver(now, "client"); err == nil {
			w.reached["reopened"]++
		}
		return "redeliver"
	default:
		switch before := r.Due; r.Sweep(now, w.timeout, pick(w.rand, "", "", "waits")) {
		case run.Send:
			w.reached["sent"]++
		case run.TimedOut:
			w.reached["timed out"]++
		case run.Rest:
			if !before.Equal(r.Due) {
				w.reached["rested"]++
			}
		}
		return "sweep"
	}
}

// check returns which promise the last move broke. Limited says that it took an attempt back.
func (w *walk) check(before *run.Run, limited bool) string {
	r := w.run
	open, taken := 0, 0
	if limited {
		taken = 1
	}
	for i, a := range r.Attempts {
		if a.Number != i+1 || a.Generation != r.Generation {
			return fmt.Sprintf("attempt %d is number %d of generation %d", i+1, a.Number, a.Generation)
		}
		if a.Open {
			open++
			if i != len(r.Attempts)-1 {
				return "an attempt before the last is open"
			}
		}
	}
	sameGeneration := r.Generation == before.Generation
	if sameGeneration && before.Status != r.Status && r.Status.Ended() {
		w.terminal[r.Generation]++
	}
	claimed := sameGeneration && len(r.Attempts) > len(before.Attempts)
	switch {
	case len(r.Attempts) > run.MaxAttempts:
		return "too many attempts"
	case sameGeneration && len(r.Attempts) < len(before.Attempts)-taken:
		return "an attempt is gone"
	case limited && (r.Status != run.InProgress || len(r.Attempts) != len(before.Attempts)-1):
		return "a limit counted an attempt, or ended the run"
	case w.terminal[r.Generation] > 1:
		return "two ends in one generation"
	case sameGeneration && before.Status.Ended() && r.Status != before.Status:
		return "a terminal state changed"
	case !sameGeneration && (r.Generation != before.Generation+1 || before.Status != run.Failure || before.Delivery.State != run.Undeliverable):
		return "a generation was opened that may not be"
	case r.Status.Ended() != r.Due.IsZero():
		return "due and end do not agree"
	case r.Status.Ended() != !r.EndedAt.IsZero():
		return "end and its time do not agree"
	case claimed && (before.Delivery.State != run.Pending || before.Status != run.InProgress):
		return "a claim after the delivery or the end"
	case claimed && !w.skewed && before.Delivery.Lease.After(w.now):
		return "a claim while the lease was held"
	case claimed && open != 1:
		return "a claim without an open attempt"
	case r.Status == run.InProgress && open == 0 && !r.Delivery.Lease.IsZero():
		return "a lease without an open attempt"
	case r.Status == run.InProgress && open == 1 && r.Delivery.Lease.IsZero():
		return "an open attempt without a lease"
	case r.Status == run.Success && before.Status == run.InProgress && r.UpdatedBy == run.Own && r.Delivery.State != run.Delivered:
		return "a success of ours without delivery"
	case !r.Status.Ended() && r.Delivery.State == run.Undeliverable:
		return "an undeliverable run goes on"
	}
	// Nobody rests beyond the deadline by more than a lease and its grace, or the 45 s after a start
	// that did not know the time-out.
	deadline := r.StartedAt
	if r.Delivery.State == run.Delivered {
		deadline = r.Delivery.DeliveredAt
	}
	if latest := deadline.Add(max(w.timeout, run.Unsent)); r.Due.After(latest) && r.Due.After(r.Delivery.Lease.Add(run.LeaseGrace)) {
		return fmt.Sprintf("due at %s, after the deadline %s", r.Due, latest)
	}
	if before.Status.Ended() && sameGeneration {
		// Only the open attempt's outcome, and whether it was delivered, may still be written.
		want := clone(before)
		want.Attempts, want.Delivery = r.Attempts, r.Delivery
		if !reflect.DeepEqual(want, r) { // cmp takes a thousand times as long
			return "an ended run changed: " + cmp.Diff(want, r)
		}
	}
	return ""
}
