package run_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

var noon = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

const limit = 24 * time.Hour

// watched is a run that was delivered at noon and is looked up.
func watched(t *testing.T) *run.Run {
	t.Helper()
	r := &run.Run{ID: run.NewID(noon), Backend: invocation.BackendGitHub}
	r.Start(noon, "")
	if _, err := r.Claim(noon, 1, "o", time.Minute); err != nil {
		t.Fatal(err)
	}
	err := r.Settle(noon, 1, "o", limit, run.Outcome{Verdict: run.Deliver, ExternalRunID: "7", Link: json.RawMessage(`"https://x"`), Watch: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLookUpTimes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		events bool
		want   []time.Duration
	}{
		{"with events", true, []time.Duration{2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 75 * time.Minute, 135 * time.Minute}},
		{"without", false, []time.Duration{2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 25 * time.Minute, 35 * time.Minute}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := watched(t)
			var got []time.Duration
			for range c.want {
				if r.LookUp(r.Due.Add(-time.Second), limit, c.events) {
					t.Errorf("looked up a second before %s", r.Due)
				}
				now := r.Due
				if !r.LookUp(now, limit, c.events) {
					t.Fatalf("not looked up at %s", now)
				}
				got = append(got, now.Sub(noon))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("look-ups after the delivery (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLookUpEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	r := watched(t)
	for r.LookUp(r.Due, limit, true) {
		if r.Due.After(noon.Add(limit)) {
			t.Fatalf("due at %s, after the deadline", r.Due)
		}
	}
	if step := r.Sweep(r.Due, limit, ""); step != run.TimedOut || r.Status != run.Failure {
		t.Errorf("step %v, run is %s, want it timed out", step, r.Status)
	}
}

func TestOnlyWatchedRunsAreLookedUp(t *testing.T) {
	t.Parallel()
	later := noon.Add(time.Hour)
	for name, change := range map[string]func(*run.Run){
		"not delivered":      func(r *run.Run) { r.Delivery.State = run.Pending },
		"reported by itself": func(r *run.Run) { r.Delivery.NextTry = time.Time{} },
		"ended":              func(r *run.Run) { r.Status = run.Success },
	} {
		r := watched(t)
		change(r)
		before := *r
		if r.LookUp(later, limit, false) || r.Found(later, run.Own, limit, run.Conclusion("failure")) {
			t.Errorf("%s: looked up", name)
		}
		if diff := cmp.Diff(&before, r); diff != "" {
			t.Errorf("%s: changed (-before +after):\n%s", name, diff)
		}
	}
}

func TestFound(t *testing.T) {
	t.Parallel()
	now := noon.Add(2 * time.Minute)
	r := watched(t)
	if r.Found(now, run.Own, limit, run.Finding{ExternalRunID: "8", Link: json.RawMessage(`"https://y"`)}) {
		t.Error("what the run has already was changed")
	}
	if !r.Found(now, run.Own, limit, run.Finding{Waiting: "GitHub is down", After: time.Hour}) ||
		r.Delivery.Waiting != "GitHub is down" || !r.Due.Equal(now.Add(time.Hour)) || r.Status != run.InProgress {
		t.Errorf("waiting %q until %s, want GitHub is down, for an hour", r.Delivery.Waiting, r.Due)
	}
	if !r.Found(now, run.Own, limit, run.Finding{}) || r.Delivery.Waiting != "" {
		t.Errorf("still waiting: %q", r.Delivery.Waiting)
	}
	if !r.Found(now, run.Own, limit, run.Conclusion("timed_out")) || r.Status != run.Failure || r.StatusLabel != "timed_out" || !r.Due.IsZero() {
		t.Errorf("run is %s %q, due %s", r.Status, r.StatusLabel, r.Due)
	}
	if r.Found(now, run.Own, limit, run.Conclusion("success")) || r.Status != run.Failure {
		t.Errorf("run is %s, ended twice", r.Status)
	}
	if _, err := r.Redeliver(now, "c"); err == nil {
		t.Error("a run whose workflow failed was delivered again")
	}
}

func TestUncertain(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) *run.Run {
		r := &run.Run{ID: run.NewID(noon)}
		r.Start(noon, "")
		if _, err := r.Claim(noon, 1, "a", time.Minute); err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		name    string
		outcome *run.Outcome
		want    time.Time
	}{
		{"interrupted", nil, noon},
		{"may have arrived", &run.Outcome{Verdict: run.Retry, Unknown: true}, noon},
		{"did not arrive", &run.Outcome{Verdict: run.Retry, StatusCode: 429}, time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			if since, until := r.Uncertain(); !since.IsZero() || !until.IsZero() {
				t.Error("the first attempt is uncertain")
			}
			if c.outcome != nil {
				if err := r.Settle(noon, 1, "a", limit, *c.outcome); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := r.Claim(noon.Add(time.Hour), 1, "b", time.Minute); err != nil {
				t.Fatal(err)
			}
			if got, until := r.Uncertain(); !got.Equal(c.want) || !until.IsZero() {
				t.Errorf("uncertain since %s until %s, want since %s", got, until, c.want)
			}
		})
	}
}

// A redelivery does not forget what the backend may have taken, unless somebody had to look at it.
func TestUncertainAfterRedelivery(t *testing.T) {
	t.Parallel()
	unknown, refused := run.Outcome{Verdict: run.Retry, Unknown: true}, run.Outcome{Verdict: run.Fail, StatusCode: 422}
	ended := noon.Add(time.Minute)
	for _, c := range []struct {
		name         string
		outcomes     [2]run.Outcome
		since, until time.Time
	}{
		{"the last may have arrived", [2]run.Outcome{{Verdict: run.Retry}, {Verdict: run.Fail, Unknown: true}}, ended, ended.Add(time.Minute)},
		{"one before may have arrived", [2]run.Outcome{unknown, refused}, noon, ended.Add(time.Minute)},
		{"none arrived", [2]run.Outcome{{Verdict: run.Retry, StatusCode: 503}, refused}, time.Time{}, time.Time{}},
		{"several may be it", [2]run.Outcome{unknown, {Verdict: run.Fail, StatusLabel: run.OutcomeUnknown}}, time.Time{}, time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := &run.Run{ID: run.NewID(noon)}
			r.Start(noon, "")
			attempt := func(at time.Time, o run.Outcome) {
				t.Helper()
				if _, err := r.Claim(at, r.Generation, "a", time.Hour); err != nil {
					t.Fatal(err)
				}
				if err := r.Settle(at, r.Generation, "a", limit, o); err != nil {
					t.Fatal(err)
				}
			}
			attempt(noon, c.outcomes[0])
			attempt(ended, c.outcomes[1])
			if _, err := r.Redeliver(noon.Add(time.Hour), "client"); err != nil {
				t.Fatal(err)
			}
			if since, until := r.Uncertain(); !since.Equal(c.since) || !until.Equal(c.until) {
				t.Errorf("uncertain from %s to %s, want from %s to %s", since, until, c.since, c.until)
			}
			// What this generation does not know itself has no end yet.
			attempt(noon.Add(time.Hour), unknown)
			if c.since.IsZero() {
				c.since = noon.Add(time.Hour)
			}
			if since, until := r.Uncertain(); !since.Equal(c.since) || !until.IsZero() {
				t.Errorf("then uncertain from %s to %s, want from %s", since, until, c.since)
			}
		})
	}
}
