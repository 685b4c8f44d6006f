package breaker_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/breaker"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

var rules = breaker.Rules{Failures: 3, Window: 5 * time.Minute}

// A row of failures opens the breaker, each failed probe opens it for longer, one success closes it.
func TestRules(t *testing.T) {
	t.Parallel()
	h := breaker.Host{Backend: "webhook", Name: "https://a.example:443", Rev: 7}
	now := start
	for range 2 {
		if !rules.Fail(&h, now, false, "connection refused") || h.State(now) != breaker.Closed {
			t.Fatalf("after a failure: %+v", h)
		}
		now = now.Add(time.Minute)
	}
	for i, open := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
		if !rules.Fail(&h, now, i > 0, "connection refused") {
			t.Fatalf("failure %d does not count", i)
		}
		if got := h.OpenUntil.Sub(now); got != open || h.State(now) != breaker.Open {
			t.Errorf("opening %d: %s, %s, want open for %s", i+1, h.State(now), got, open)
		}
		if h.Probe(now.Add(open-1), now.Add(time.Hour)) {
			t.Errorf("opening %d: a probe may go through too early", i+1)
		}
		if rules.Fail(&h, now.Add(time.Second), false, "late") {
			t.Errorf("opening %d: the failure of a call that began before counts", i+1)
		}
		now = now.Add(open)
		if h.State(now) != breaker.HalfOpen || !h.Probe(now, now.Add(time.Minute)) || h.Probe(now, now.Add(time.Minute)) {
			t.Errorf("opening %d: not exactly one probe may go through: %+v", i+1, h)
		}
	}
	if !h.Since.Equal(start) || h.Failures != 7 || h.Opened != 5 {
		t.Errorf("the row is %+v", h)
	}
	if !h.Succeed() || h.State(now) != breaker.Closed {
		t.Errorf("after a success: %+v", h)
	}
	if diff := cmp.Diff(breaker.Host{Backend: "webhook", Name: "https://a.example:443", Rev: 7}, h); diff != "" {
		t.Errorf("after a success (-want +got):\n%s", diff)
	}
	if h.Succeed() {
		t.Error("a success of a host that does not fail changes something")
	}
}

// Failures that are not in a row, or too far apart, open nothing.
func TestRowOfFailures(t *testing.T) {
	t.Parallel()
	var h breaker.Host
	rules.Fail(&h, start, false, "")
	rules.Fail(&h, start, false, "")
	h.Succeed()
	rules.Fail(&h, start, false, "")
	rules.Fail(&h, start.Add(5*time.Minute), false, "")
	if h.Failures != 2 || h.Opened != 0 {
		t.Errorf("within the window: %+v", h)
	}
	late := start.Add(5*time.Minute + 1)
	rules.Fail(&h, late, false, "")
	if h.Failures != 1 || !h.Since.Equal(late) {
		t.Errorf("behind the window: %+v", h)
	}
}

// A probe that came to nothing, or whose process died, makes room for another.
func TestProbeIsGivenBack(t *testing.T) {
	t.Parallel()
	h := breaker.Host{Failures: 3, Opened: 1, Since: start, OpenUntil: start}
	until := start.Add(time.Minute)
	if !h.Probe(start, until) || !h.Release() || h.Release() || !h.Probe(start, until) {
		t.Errorf("a probe was not given back: %+v", h)
	}
	if h.Probe(until.Add(-1), until) || !h.Probe(until, until.Add(time.Minute)) {
		t.Errorf("a probe that lapsed was not taken over: %+v", h)
	}
}
