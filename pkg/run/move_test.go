package run_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/run"
)

const (
	lease   = 75 * time.Second
	timeout = 7 * 24 * time.Hour
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// at returns a time after the start of the runs of these tests.
func at(d time.Duration) time.Time { return start.Add(d) }

// step is a move that a test prepares a run with.
type step func(t *testing.T, r *run.Run)

func claim(after time.Duration, owner string) step {
	return func(t *testing.T, r *run.Run) {
		t.Helper()
		if _, err := r.Claim(at(after), r.Generation, owner, lease); err != nil {
			t.Fatalf("claim by %s after %s: %v", owner, after, err)
		}
	}
}

func settle(after time.Duration, owner string, o run.Outcome) step {
	return func(t *testing.T, r *run.Run) {
		t.Helper()
		if err := r.Settle(at(after), r.Generation, owner, timeout, o); err != nil {
			t.Fatalf("settle by %s after %s: %v", owner, after, err)
		}
	}
}

func patch(after time.Duration, status run.Status) step {
	return func(t *testing.T, r *run.Run) {
		t.Helper()
		if err := r.Apply(at(after), "client", run.Patch{Status: &status}); err != nil {
			t.Fatalf("patch to %s: %v", status, err)
		}
	}
}

func redeliver(after time.Duration) step {
	return func(t *testing.T, r *run.Run) {
		t.Helper()
		if _, err := r.Redeliver(at(after), "client"); err != nil {
			t.Fatalf("redeliver: %v", err)
		}
	}
}

func sweep(after time.Duration) step {
	return func(t *testing.T, r *run.Run) {
		t.Helper()
		if got := r.Sweep(at(after), timeout, ""); got != run.Send {
			t.Fatalf("sweep after %s = %d, want Send", after, got)
		}
	}
}

func waitForApproval(_ *testing.T, r *run.Run) { r.Status = run.WaitingForApproval }

// exhaust makes five failed attempts, the next try of the last one at 5 s, and a sixth whose
// dispatcher died.
func exhaust(t *testing.T, r *run.Run) {
	t.Helper()
	for range run.MaxAttempts - 1 {
		claim(0, "x")(t, r)
		settle(0, "x", run.Outcome{Verdict: run.Retry, StatusCode: 503, NextTry: at(0)})(t, r)
	}
	claim(0, "x")(t, r)
}

func newRun(t *testing.T, steps ...step) *run.Run {
	t.Helper()
	r := &run.Run{ID: run.NewID(start), Backend: "webhook", CreatedBy: "client", StatusLabel: "mine"}
	r.Start(start, "")
	for _, s := range steps {
		s(t, r)
	}
	return r
}

// clone returns a copy that shares nothing a move changes.
func clone(r *run.Run) *run.Run {
	c := *r
	c.Attempts = append([]run.Attempt(nil), r.Attempts...)
	return &c
}

func TestStart(t *testing.T) {
	t.Parallel()
	for _, waiting := range []string{"", "backend kafka is not configured"} {
		r := &run.Run{ID: "r_1"}
		r.Start(start, waiting)
		want := &run.Run{
			ID: "r_1", Generation: 1, Status: run.InProgress, CreatedAt: start, UpdatedAt: start, StartedAt: start,
			Delivery: run.Delivery{State: run.Pending, Waiting: waiting}, Due: at(45 * time.Second),
		}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Errorf("waiting %q: start (-want +got):\n%s", waiting, diff)
		}
	}
}

func TestClaim(t *testing.T) {
	t.Parallel()
	retry := run.Outcome{Verdict: run.Retry, StatusCode: 503, NextTry: at(time.Minute)}
	for _, c := range []struct {
		name       string
		steps      []step
		after      time.Duration
		generation int
		refused    bool
		ended      bool
		// attempts are those afterwards, "open" or "interrupted" or "settled".
		attempts []string
	}{
		{name: "new run", generation: 1, attempts: []string{"open"}},
		{name: "generation to come", generation: 2, refused: true},
		{name: "no generation", generation: 0, refused: true},
		{name: "leased", steps: []step{claim(0, "a")}, after: lease - 1, generation: 1, refused: true},
		{name: "lease lapsed", steps: []step{claim(0, "a")}, after: lease, generation: 1, attempts: []string{"interrupted", "open"}},
		{name: "delivered", steps: []step{claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Deliver})}, after: time.Hour, generation: 1, refused: true},
		{name: "succeeded", steps: []step{claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Succeed})}, after: time.Hour, generation: 1, refused: true},
		{name: "failed", steps: []step{claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Fail})}, after: time.Hour, generation: 1, refused: true},
		{name: "ended by a report", steps: []step{patch(1, run.Success)}, after: 2, generation: 1, refused: true},
		{name: "waiting for approval", steps: []step{waitForApproval}, generation: 1, refused: true},
		{name: "before its next try", steps: []step{claim(0, "a"), settle(1, "a", retry)}, after: time.Minute - 2*time.Second - 1, generation: 1, refused: true},
		{name: "within the slack of clocks", steps: []step{claim(0, "a"), settle(1, "a", retry)}, after: time.Minute - 2*time.Second, generation: 1, attempts: []string{"settled", "open"}},
		{name: "older generation", steps: []step{claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Fail}), redeliver(2)}, after: 3, generation: 1, refused: true},
		{name: "redelivered", steps: []step{claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Fail}), redeliver(2)}, after: 3, generation: 2, attempts: []string{"open"}},
		{name: "sent again and again", steps: []step{sweep(time.Minute), sweep(3 * time.Minute)}, after: 4 * time.Minute, generation: 1, attempts: []string{"open"}},
		{name: "attempts used up, last one leased", steps: []step{exhaust}, after: lease - 1, generation: 1, refused: true},
		{
			name: "attempts used up", steps: []step{exhaust}, after: lease, generation: 1, ended: true,
			attempts: []string{"settled", "settled", "settled", "settled", "settled", "interrupted"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, c.steps...)
			before := clone(r)
			ended, err := r.Claim(at(c.after), c.generation, "me", lease)
			if c.refused {
				if diff := cmp.Diff(before, r); !errors.Is(err, run.ErrNotDue) || ended || diff != "" {
					t.Errorf("claim = %t, %v; want ErrNotDue and no change:\n%s", ended, err, diff)
				}
				return
			}
			if err != nil || ended != c.ended {
				t.Fatalf("claim = %t, %v; want %t", ended, err, c.ended)
			}
			var got []string
			for i, a := range r.Attempts {
				got = append(got, state(a))
				if a.Number != i+1 || a.Generation != c.generation {
					t.Errorf("attempt %d is number %d of generation %d", i+1, a.Number, a.Generation)
				}
			}
			if diff := cmp.Diff(c.attempts, got); diff != "" {
				t.Errorf("attempts (-want +got):\n%s", diff)
			}
			if c.ended {
				want := ending{run.Failure, "delivery failed", run.Own, run.Undeliverable, at(c.after), true, true}
				if diff := cmp.Diff(want, endingOf(r), cmp.AllowUnexported(ending{})); diff != "" {
					t.Errorf("end (-want +got):\n%s", diff)
				}
				return
			}
			want := run.Delivery{State: run.Pending, Owner: "me", Lease: at(c.after + lease)}
			if diff := cmp.Diff(want, r.Delivery); diff != "" {
				t.Errorf("delivery (-want +got):\n%s", diff)
			}
			if !r.Due.Equal(before.Due) {
				t.Errorf("the claim moved Due from %s to %s", before.Due, r.Due)
			}
		})
	}
}

func state(a run.Attempt) string {
	switch {
	case a.Open && !a.Interrupted:
		return "open"
	case a.Interrupted && !a.Open && a.Error != "":
		return "interrupted"
	case !a.Open && !a.Interrupted:
		return "settled"
	}
	return "impossible"
}

// ending is what a run's end shows.
type ending struct {
	status         run.Status
	label, by      string
	delivery       run.DeliveryState
	ended          time.Time
	noDue, noLease bool
}

func endingOf(r *run.Run) ending {
	return ending{r.Status, r.StatusLabel, r.UpdatedBy, r.Delivery.State, r.EndedAt, r.Due.IsZero(), r.Delivery.Lease.IsZero()}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 200)
	next := func(d time.Duration) run.Outcome {
		return run.Outcome{Verdict: run.Retry, StatusCode: 503, Error: "HTTP 503", NextTry: at(d)}
	}
	for _, c := range []struct {
		name  string
		steps []step
		o     run.Outcome
		// timeout is 7 days where it is 0; settled is 10 s after the start.
		timeout time.Duration
		want    run.Run
	}{
		{
			name: "delivered", steps: []step{claim(0, "me")}, o: run.Outcome{Verdict: run.Deliver, StatusCode: 202, Duration: 1500 * time.Millisecond},
			want: run.Run{
				Status: run.InProgress, StatusLabel: "mine", UpdatedBy: run.Own, UpdatedAt: at(10 * time.Second), Due: at(10*time.Second + timeout),
				Delivery: run.Delivery{State: run.Delivered, Owner: "me", DeliveredAt: at(10 * time.Second)},
				Attempts: []run.Attempt{{Generation: 1, Number: 1, StartedAt: at(0), DurationMs: 1500, StatusCode: 202}},
			},
		},
		{
			name: "succeeded, with an answer", steps: []step{claim(0, "me")}, o: run.Outcome{Verdict: run.Succeed, StatusCode: 200, Response: json.RawMessage(`1`)},
			want: run.Run{
				Status: run.Success, StatusLabel: "mine", UpdatedBy: run.Own, UpdatedAt: at(10 * time.Second), EndedAt: at(10 * time.Second), HasResponse: true,
				Delivery: run.Delivery{State: run.Delivered, Owner: "me", DeliveredAt: at(10 * time.Second)},
				Attempts: []run.Attempt{{Generation: 1, Number: 1, StartedAt: at(0), StatusCode: 200}},
			},
		},
		{
			name: "failed, with texts that are too long", steps: []step{claim(0, "me")}, o: run.Outcome{Verdict: run.Fail, StatusCode: 404, Error: long + "!", StatusLabel: "x" + long + long},
			want: run.Run{
				Status: run.Failure, StatusLabel: "x" + long[:298], UpdatedBy: run.Own, UpdatedAt: at(10 * time.Second), EndedAt: at(10 * time.Second),
				Delivery: run.Delivery{State: run.Undeliverable, Owner: "me"},
				Attempts: []run.Attempt{{Generation: 1, Number: 1, StartedAt: at(0), StatusCode: 404, Error: long[:200]}},
			},
		},
		{
			name: "next try soon: the message is on its way", steps: []step{claim(0, "me")}, o: next(15 * time.Second),
			want: run.Run{
				Status: run.InProgress, StatusLabel: "mine", UpdatedBy: run.Own, UpdatedAt: at(10 * time.Second), Due: at(time.Minute),
				Delivery: run.Delivery{State: run.Pending, Owner: "me", NextTry: at(15 * time.Second)},
				Attempts: []run.Attempt{{Generation: 1, Number: 1, StartedAt: at(0), StatusCode: 503, Error: "HTTP 503", NextAttemptAt: new(at(15 * time.Second))}},
			},
		},
		{
			name: "next try later: the sweeper sends it", steps: []step{claim(0, "me")}, o: next(time.Hour),
			want: run.Run{
				Status: run.InProgress, StatusLabel: "mine", UpdatedBy: run.Own, UpdatedAt: at(10 * time.Second), Due: at(time.Hour),
				Delivery: run.Delivery{State: run.Pending, Owner: "me", NextTry: at(time.Hour)},
				Attempts: []run.Attempt{{Generation: 1, Number: 1, StartedAt: at(0), StatusCode: 503, Error: "HTTP 503", NextAttemptAt: new(at(time.Hour))}},
			},
		},
		{
			name: "limited: the attempt does not count", steps: []step{claim(0, "me")},
			o: run.Outcome{Verdict: run.Retry, StatusCode: 403, Error: "a rate limit is reached", NextTry: at(time.Minute), Limited: true},
			want: run.Run{
				Status: run.InProgress, StatusLabel: "mine", UpdatedBy: run.Own, UpdatedAt: at(10 * time.Second), Due: at(time.Minute + run.Unsent),
				Delivery: run.Delivery{State: run.Pending, Owner: "me", NextTry: at(time.Minute), Waiting: "a rate limit is reached"},
				Attempts: []run.Attempt{},
			},
		},
		{
			name: "next try in the past is at once", steps: []step{claim(0, "me")}, o: next(0),
			want: run.Run{
				Status: run.InProgress, StatusLabel: "mine", UpdatedBy: run.Own, UpdatedAt: at(10 * time.Second), Due: at(55 * time.Second),
				Delivery: run.Delivery{State: run.Pending, Owner: "me", NextTry: at(10 * time.Second)},
				Attempts: []run.Attempt{{Generation: 1, Number: 1, StartedAt: at(0), StatusCode: 503, Error: "HTTP 503", NextAttemptAt: new(at(10 * time.Second))}},
			},
		},
		{
			name: "next try after the deadline: due at the deadline", steps: []step{claim(0, "me")}, o: next(time.Hour), timeout: 10 * time.Minute,
			want: run.Run{
				Status: run.InProgress, StatusLabel: "mine", UpdatedBy: run.Own, UpdatedAt: at(10 * time.Second), Due: at(10 * time.Minute),
				Delivery: run.Delivery{State: run.Pending, Owner: "me", NextTry: at(time.Hour)},
				Attempts: []run.Attempt{{Generation: 1, Number: 1, StartedAt: at(0), StatusCode: 503, Error: "HTTP 503", NextAttemptAt: new(at(time.Hour))}},
			},
		},
		{
			name: "ended meanwhile, call succeeded", steps: []step{claim(0, "me"), patch(time.Second, run.Failure)}, o: run.Outcome{Verdict: run.Succeed, StatusCode: 200, Response: json.RawMessage(`1`), StatusLabel: "no"},
			want: run.Run{
				Status: run.Failure, StatusLabel: "mine", UpdatedBy: "client", UpdatedAt: at(time.Second), EndedAt: at(time.Second),
				Delivery: run.Delivery{State: run.Delivered, Owner: "me", DeliveredAt: at(10 * time.Second)},
				Attempts: []run.Attempt{{Generation: 1, Number: 1, StartedAt: at(0), StatusCode: 200}},
			},
		},
		{
			name: "ended meanwhile, call failed", steps: []step{claim(0, "me"), patch(time.Second, run.Failure)}, o: run.Outcome{Verdict: run.Fail, StatusCode: 400, Error: "HTTP 400"},
			want: run.Run{
				Status: run.Failure, StatusLabel: "mine", UpdatedBy: "client", UpdatedAt: at(time.Second), EndedAt: at(time.Second),
				Delivery: run.Delivery{State: run.Pending, Owner: "me"},
				Attempts: []run.Attempt{{Generation: 1, Number: 1, StartedAt: at(0), StatusCode: 400, Error: "HTTP 400"}},
			},
		},
		{
			name: "ended meanwhile, call to be repeated", steps: []step{claim(0, "me"), patch(time.Second, run.Success)}, o: next(time.Minute),
			want: run.Run{
				Status: run.Success, StatusLabel: "mine", UpdatedBy: "client", UpdatedAt: at(time.Second), EndedAt: at(time.Second),
				Delivery: run.Delivery{State: run.Pending, Owner: "me"},
				Attempts: []run.Attempt{{Generation: 1, Number: 1, StartedAt: at(0), StatusCode: 503, Error: "HTTP 503"}},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, c.steps...)
			limit := timeout
			if c.timeout != 0 {
				limit = c.timeout
			}
			if err := r.Settle(at(10*time.Second), 1, "me", limit, c.o); err != nil {
				t.Fatalf("settle: %v", err)
			}
			want := c.want
			want.ID, want.Backend, want.CreatedBy, want.Generation = r.ID, "webhook", "client", 1
			want.CreatedAt, want.StartedAt = start, start
			if diff := cmp.Diff(&want, r); diff != "" {
				t.Errorf("run (-want +got):\n%s", diff)
			}
			if !utf8.ValidString(r.StatusLabel) || len(r.Attempts) > 0 && !utf8.ValidString(r.Attempts[0].Error) {
				t.Error("a text was cut inside a character")
			}
		})
	}
}

func TestSettleOfTheLastAttempt(t *testing.T) {
	t.Parallel()
	r := newRun(t, exhaust)
	o := run.Outcome{Verdict: run.Retry, StatusCode: 503, NextTry: at(time.Hour), Response: json.RawMessage(`{}`)}
	if err := r.Settle(at(time.Second), 1, "x", timeout, o); err != nil {
		t.Fatal(err)
	}
	want := ending{run.Failure, "delivery failed", run.Own, run.Undeliverable, at(time.Second), true, true}
	if diff := cmp.Diff(want, endingOf(r), cmp.AllowUnexported(ending{})); diff != "" {
		t.Errorf("end (-want +got):\n%s", diff)
	}
	if last := r.Attempts[run.MaxAttempts-1]; last.NextAttemptAt != nil || state(last) != "settled" {
		t.Errorf("last attempt is %+v", last)
	}
	if !r.HasResponse {
		t.Error("the answer of a final failure is not kept")
	}
}

func TestSettleStale(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		steps      []step
		generation int
		owner      string
	}{
		{"never claimed", nil, 1, ""},
		{"another owner", []step{claim(0, "a"), claim(lease, "b")}, 1, "a"},
		{"settled already", []step{claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Deliver})}, 1, "a"},
		{"next try claimed by nobody yet", []step{claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Retry})}, 1, "a"},
		{"generation closed", []step{claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Fail}), redeliver(2)}, 1, "a"},
		{"generation closed, next one claimed under the same mark", []step{claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Fail}), redeliver(2), claim(3, "a")}, 1, "a"},
		{"attempts used up meanwhile", []step{exhaust, func(t *testing.T, r *run.Run) {
			t.Helper()
			if ended, err := r.Claim(at(lease), 1, "b", lease); !ended || err != nil {
				t.Fatalf("claim = %t, %v", ended, err)
			}
		}}, 1, "x"},
		{"timed out meanwhile", []step{claim(0, "a"), func(t *testing.T, r *run.Run) {
			t.Helper()
			if got := r.Sweep(at(timeout), timeout, ""); got != run.TimedOut {
				t.Fatalf("sweep = %d", got)
			}
		}}, 1, "a"},
		{"ended after the lease", []step{claim(0, "a"), patch(lease, run.Success)}, 1, "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, c.steps...)
			before := clone(r)
			err := r.Settle(at(time.Hour), c.generation, c.owner, timeout, run.Outcome{Verdict: run.Succeed, StatusCode: 200})
			if diff := cmp.Diff(before, r); !errors.Is(err, run.ErrStale) || diff != "" {
				t.Errorf("settle = %v, want ErrStale and no change:\n%s", err, diff)
			}
		})
	}
}

func TestReports(t *testing.T) {
	t.Parallel()
	deliver := []step{claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Deliver})}
	for _, c := range []struct {
		name  string
		steps []step
		patch run.Patch
		// word is the fault's, empty when the report is accepted.
		word string
		want func(*run.Run)
	}{
		{"empty", deliver, run.Patch{}, "", func(*run.Run) {}},
		{"status of no change", deliver, run.Patch{Status: new(run.InProgress)}, "", func(*run.Run) {}},
		{"texts", deliver, run.Patch{StatusLabel: new("l"), Link: json.RawMessage(`["a"]`), Summary: new("s"), ExternalRunID: new("e")}, "", func(r *run.Run) {
			r.StatusLabel, r.Link, r.Summary, r.ExternalRunID = "l", json.RawMessage(`["a"]`), "s", "e"
		}},
		{"texts emptied", deliver, run.Patch{StatusLabel: new("")}, "", func(r *run.Run) { r.StatusLabel = "" }},
		{"success", deliver, run.Patch{Status: new(run.Success), StatusLabel: new("done")}, "", func(r *run.Run) {
			r.Status, r.StatusLabel, r.EndedAt, r.Due = run.Success, "done", at(time.Minute), time.Time{}
		}},
		{"failure before any claim", nil, run.Patch{Status: new(run.Failure)}, "", func(r *run.Run) {
			r.Status, r.EndedAt, r.Due = run.Failure, at(time.Minute), time.Time{}
		}},
		{"success during a call keeps the lease for its attempt", []step{claim(0, "a")}, run.Patch{Status: new(run.Success)}, "", func(r *run.Run) {
			r.Status, r.EndedAt, r.Due = run.Success, at(time.Minute), time.Time{}
		}},
		{"success after a call that nobody will settle", []step{claim(-time.Hour, "a")}, run.Patch{Status: new(run.Success)}, "", func(r *run.Run) {
			r.Status, r.EndedAt, r.Due, r.Delivery.Lease = run.Success, at(time.Minute), time.Time{}, time.Time{}
			r.Attempts[0].Open, r.Attempts[0].Interrupted, r.Attempts[0].Error = false, true, "interrupted: no outcome was recorded"
		}},
		{"withdrawal", []step{waitForApproval}, run.Patch{Status: new(run.Failure)}, "", func(r *run.Run) {
			r.Status, r.EndedAt, r.Due = run.Failure, at(time.Minute), time.Time{}
		}},
		{"success of a waiting run", []step{waitForApproval}, run.Patch{Status: new(run.Success)}, "run_not_in_progress", nil},
		{"label of a waiting run", []step{waitForApproval}, run.Patch{StatusLabel: new("l")}, "run_not_in_progress", nil},
		{"ended, same status", []step{patch(1, run.Success)}, run.Patch{Status: new(run.Success)}, "run_already_ended", nil},
		{"ended, other status", []step{patch(1, run.Success)}, run.Patch{Status: new(run.Failure)}, "run_already_ended", nil},
		{"ended, harmless key", []step{patch(1, run.Failure)}, run.Patch{StatusLabel: new("l")}, "run_already_ended", nil},
		{"declined", []step{func(_ *testing.T, r *run.Run) { r.Status = run.Declined }}, run.Patch{StatusLabel: new("l")}, "run_already_ended", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, c.steps...)
			want := clone(r)
			err := r.Apply(at(time.Minute), "reporter", c.patch)
			if c.word != "" {
				if !fault.Is(err, c.word) || fault.KindOf(err) != fault.Invalid {
					t.Errorf("apply = %v, want fault.Invalid %s", err, c.word)
				}
			} else {
				if err != nil {
					t.Fatalf("apply: %v", err)
				}
				want.UpdatedAt, want.UpdatedBy = at(time.Minute), "reporter"
				c.want(want)
			}
			if diff := cmp.Diff(want, r); diff != "" {
				t.Errorf("run (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEnd(t *testing.T) {
	t.Parallel()
	r := newRun(t)
	if err := r.End(at(1), "somebody", run.Success, "green"); err != nil {
		t.Fatal(err)
	}
	want := ending{run.Success, "green", "somebody", run.Pending, at(1), true, true}
	if diff := cmp.Diff(want, endingOf(r), cmp.AllowUnexported(ending{})); diff != "" {
		t.Errorf("end (-want +got):\n%s", diff)
	}
	before := clone(r)
	err := r.End(at(2), "somebody else", run.Failure, "red")
	if diff := cmp.Diff(before, r); !fault.Is(err, "run_already_ended") || diff != "" {
		t.Errorf("second end = %v, want run_already_ended and no change:\n%s", err, diff)
	}
}

func TestRedeliver(t *testing.T) {
	t.Parallel()
	fail := []step{claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Fail, StatusCode: 404, Response: json.RawMessage(`1`)})}
	for name, steps := range map[string][]step{
		"in progress":                            nil,
		"leased":                                 {claim(0, "a")},
		"delivered":                              {claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Deliver})},
		"succeeded":                              {claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Succeed})},
		"delivered, then failed":                 {claim(0, "a"), settle(1, "a", run.Outcome{Verdict: run.Deliver}), patch(2, run.Failure)},
		"reported as failed before its delivery": {patch(2, run.Failure)},
		"reported as failed while the call failed": {
			claim(0, "a"), patch(1, run.Failure), settle(2, "a", run.Outcome{Verdict: run.Fail}),
		},
		"timed out": {func(_ *testing.T, r *run.Run) { r.Sweep(at(timeout), timeout, "") }},
		"reopened":  append(fail[:2:2], redeliver(2)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, steps...)
			before := clone(r)
			_, err := r.Redeliver(at(time.Hour), "client")
			if diff := cmp.Diff(before, r); !fault.Is(err, "run_not_redeliverable") || diff != "" {
				t.Errorf("redeliver = %v, want run_not_redeliverable and no change:\n%s", err, diff)
			}
		})
	}
	t.Run("delivery failed", func(t *testing.T) {
		t.Parallel()
		r := newRun(t, fail...)
		want := clone(r)
		closed, err := r.Redeliver(at(time.Hour), "client")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Attempts, closed); diff != "" {
			t.Errorf("closed attempts (-want +got):\n%s", diff)
		}
		want.Generation, want.Status, want.StatusLabel, want.HasResponse = 2, run.InProgress, "", false
		want.StartedAt, want.UpdatedAt, want.UpdatedBy, want.EndedAt = at(time.Hour), at(time.Hour), "client", time.Time{}
		want.Delivery, want.Attempts, want.Due = run.Delivery{State: run.Pending}, nil, at(time.Hour+45*time.Second)
		if diff := cmp.Diff(want, r); diff != "" {
			t.Errorf("run (-want +got):\n%s", diff)
		}
	})
}
