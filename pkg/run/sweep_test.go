package run_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/run"
)

func TestSweep(t *testing.T) {
	t.Parallel()
	const absent = "backend kafka is not configured"
	deliver := []step{claim(0, "a"), settle(time.Second, "a", run.Outcome{Verdict: run.Deliver})}
	retry := func(d time.Duration) []step {
		return []step{claim(0, "a"), settle(time.Second, "a", run.Outcome{Verdict: run.Retry, NextTry: at(d)})}
	}
	agent := func(_ *testing.T, r *run.Run) { r.Backend = "agent" }
	for _, c := range []struct {
		name    string
		steps   []step
		now     time.Duration
		timeout time.Duration
		waiting string
		want    run.Step
		// due is when the run is due afterwards; sends and text are what the delivery has.
		due   time.Duration
		sends int
		text  string
	}{
		{name: "not due yet", now: 45*time.Second - 1, want: run.Rest, due: 45 * time.Second},
		{name: "unsent", now: time.Minute, want: run.Send, due: time.Minute + 45*time.Second, sends: 1},
		{name: "unsent, deadline near", now: time.Minute, timeout: 90 * time.Second, want: run.Send, due: 90 * time.Second, sends: 1},
		{name: "leased", steps: []step{claim(0, "a")}, now: time.Minute, want: run.Rest, due: 90 * time.Second},
		{name: "leased beyond the deadline", steps: []step{claim(0, "a")}, now: time.Minute, timeout: 50 * time.Second, want: run.Rest, due: 90 * time.Second},
		{name: "leased, backend gone", steps: []step{claim(0, "a")}, now: time.Minute, waiting: absent, want: run.Rest, due: 90 * time.Second},
		{name: "lease lapsed", steps: []step{claim(0, "a")}, now: lease, want: run.Send, due: lease + 45*time.Second, sends: 1},
		{name: "retry soon, not due", steps: retry(6 * time.Second), now: 50 * time.Second, want: run.Rest, due: 51 * time.Second},
		{name: "retry soon, lost", steps: retry(6 * time.Second), now: 51 * time.Second, want: run.Send, due: 96 * time.Second, sends: 1},
		{name: "retry later", steps: retry(time.Hour), now: time.Hour, want: run.Send, due: time.Hour + 45*time.Second, sends: 1},
		{
			name: "retry later, time-outs made longer since",
			steps: []step{claim(0, "a"), func(t *testing.T, r *run.Run) {
				t.Helper()
				if err := r.Settle(at(1), 1, "a", 10*time.Minute, run.Outcome{NextTry: at(time.Hour)}); err != nil {
					t.Fatal(err)
				}
			}},
			now: 10 * time.Minute, timeout: 30 * time.Minute, want: run.Rest, due: 30 * time.Minute,
		},
		{name: "not configured", now: time.Minute, waiting: absent, want: run.Rest, due: time.Hour + time.Minute, text: absent},
		{name: "not configured, deadline near", now: time.Minute, timeout: 10 * time.Minute, waiting: absent, want: run.Rest, due: 10 * time.Minute, text: absent},
		{name: "agent", steps: []step{agent}, now: time.Minute, waiting: "agent", want: run.Rest, due: timeout, text: "agent"},
		{name: "delivered, not over", steps: deliver, now: time.Hour, want: run.Rest, due: time.Second + timeout},
		{name: "delivered, time-out made longer since", steps: deliver, now: timeout + time.Second, timeout: 2 * timeout, want: run.Rest, due: 2*timeout + time.Second},
		{name: "delivered, over", steps: deliver, now: timeout + time.Second, want: run.TimedOut},
		{name: "delivered, over, backend gone", steps: deliver, now: timeout + time.Second, waiting: absent, want: run.TimedOut},
		{name: "undelivered, over", now: timeout, want: run.TimedOut},
		{name: "not configured, over", now: timeout, waiting: absent, want: run.TimedOut},
		{name: "interrupted, over", steps: []step{claim(0, "a")}, now: timeout, want: run.TimedOut},
		{name: "retry waiting, over", steps: retry(time.Hour), now: time.Hour, timeout: 30 * time.Minute, want: run.TimedOut},
		{name: "redelivered: counts from then", steps: []step{claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Fail}), redeliver(timeout)}, now: timeout + time.Minute, want: run.Send, due: timeout + time.Minute + 45*time.Second, sends: 1},
		{name: "attempts used up: a claim ends it", steps: []step{exhaust}, now: time.Hour, want: run.Send, due: time.Hour + 45*time.Second, sends: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, c.steps...)
			limit := timeout
			if c.timeout != 0 {
				limit = c.timeout
			}
			before := clone(r)
			got := r.Sweep(at(c.now), limit, c.waiting)
			if got != c.want {
				t.Fatalf("sweep = %d, want %d", got, c.want)
			}
			if got == run.TimedOut {
				want := ending{run.Failure, "timed out", run.Own, before.Delivery.State, at(c.now), true, true}
				if diff := cmp.Diff(want, endingOf(r), cmp.AllowUnexported(ending{})); diff != "" {
					t.Errorf("end (-want +got):\n%s", diff)
				}
				for i, a := range r.Attempts {
					if a.Open {
						t.Errorf("attempt %d of the ended run is open", i+1)
					}
				}
				return
			}
			want := before
			want.Due, want.Delivery.Sends, want.Delivery.Waiting = at(c.due), c.sends, c.text
			if diff := cmp.Diff(want, r); diff != "" {
				t.Errorf("run (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSweepLeavesEndedRunsAlone(t *testing.T) {
	t.Parallel()
	for _, status := range []run.Status{run.Success, run.Failure, run.Declined} {
		r := newRun(t)
		if err := r.End(at(1), "client", status, ""); err != nil {
			t.Fatal(err)
		}
		before := clone(r)
		if got, diff := r.Sweep(at(2*timeout), timeout, ""), cmp.Diff(before, r); got != run.Rest || diff != "" {
			t.Errorf("%s: sweep = %d, want Rest and no change:\n%s", status, got, diff)
		}
	}
}

// TestResendsSpread follows a run that nobody claims: P1 gives the distances, and a week of waiting
// costs about two hundred messages.
func TestResendsSpread(t *testing.T) {
	t.Parallel()
	r := newRun(t)
	var rests []string
	sends := 0
	for {
		now := r.Due
		if r.Sweep(now, timeout, "") == run.TimedOut {
			if !now.Equal(at(timeout)) {
				t.Errorf("timed out at %s, want %s", now, at(timeout))
			}
			break
		}
		if sends++; sends > 180 {
			t.Fatalf("%d messages by %s", sends, r.Due.Sub(start))
		}
		if len(rests) < 10 {
			rests = append(rests, fmt.Sprint(r.Due.Sub(now)))
		}
	}
	want := []string{"45s", "1m30s", "3m0s", "6m0s", "12m0s", "24m0s", "48m0s", "1h0m0s", "1h0m0s", "1h0m0s"}
	if diff := cmp.Diff(want, rests); diff != "" {
		t.Errorf("rests (-want +got):\n%s", diff)
	}
}
