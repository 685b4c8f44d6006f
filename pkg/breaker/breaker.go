// Package breaker keeps runs away from hosts that fail.
//
// After so many failures in a row within a time a host's breaker opens, for longer each time: nothing
// is sent to the host then. Afterwards one call at a time goes through, the probe; one success closes
// the breaker. The rules are pure functions of a Host and a time; a Guard applies them to what a Store
// keeps, which all instances share. It promises:
//   - of two instances that would probe at once one does;
//   - failures that several instances see add up;
//   - a success at a host that does not fail writes nothing, and a host is read at most every 5 s;
//   - a store that cannot be used holds nothing back.
package breaker

import (
	"fmt"
	"time"
)

// State of a host's breaker as the API shows it.
type State string

const (
	// Closed lets every call through. Failures in a row open it.
	Closed State = "closed"
	// Open lets none through until its time is over.
	Open State = "open"
	// HalfOpen lets one call at a time through, whose outcome closes it or opens it again.
	HalfOpen State = "half-open"
)

// Host is what is known of one host. Its zero value, but for the names, is a host that does not fail.
type Host struct {
	// Backend is one of invocation's Backend constants, Name scheme, host and port.
	Backend, Name string
	// Rev is raised by every write; 0 is a host that was never written.
	Rev int64
	// Failures are those in a row, Since is when the first of them was.
	Failures int
	Since    time.Time
	// Opened is how often the breaker opened in this row; 0 while it is closed.
	Opened int
	// OpenUntil is when the next probe may go through, ProbeUntil until when one is under way.
	OpenUntil, ProbeUntil time.Time
	// Reason is the error of the last failure, at most MaxReason bytes: a sentence without secrets.
	Reason string
}

// MaxReason is the longest Reason in bytes.
const MaxReason = 200

// What Rules has where it is zero.
const (
	DefaultFailures = 20
	DefaultWindow   = 5 * time.Minute
)

// Rules says when a breaker opens.
type Rules struct {
	// Failures is how many in a row open it.
	Failures int
	// Window is how long a row may last: a failure that is later begins a new one.
	Window time.Duration
}

// openFor is how long a breaker stays open, the first time and each further one; the last repeats.
var openFor = [...]time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}

// State says how things stand at a time.
func (h *Host) State(now time.Time) State {
	switch {
	case h.Opened == 0:
		return Closed
	case h.OpenUntil.After(now):
		return Open
	}
	return HalfOpen
}

// Fail counts a failure and reports whether that changes the host. Of a breaker that is not closed only
// the probe's failure counts: other calls began before it opened.
func (r Rules) Fail(h *Host, now time.Time, probe bool, reason string) bool {
	if h.Opened > 0 && !probe {
		return false
	}
	if h.Failures == 0 || h.Opened == 0 && now.Sub(h.Since) > r.Window {
		h.Failures, h.Since = 0, now
	}
	h.Failures++
	h.Reason = reason
	if h.Opened == 0 && h.Failures < r.Failures {
		return true
	}
	h.Opened++
	h.OpenUntil = now.Add(openFor[min(h.Opened, len(openFor))-1])
	h.ProbeUntil = time.Time{}
	return true
}

// Succeed closes the breaker and ends the row of failures. It reports whether there was either.
func (h *Host) Succeed() bool {
	if h.Failures == 0 && h.Opened == 0 {
		return false
	}
	*h = Host{Backend: h.Backend, Name: h.Name, Rev: h.Rev}
	return true
}

// Probe takes the probe until a time, if it may be taken now.
func (h *Host) Probe(now, until time.Time) bool {
	if h.State(now) != HalfOpen || h.ProbeUntil.After(now) {
		return false
	}
	h.ProbeUntil = until
	return true
}

// Release gives a probe back that came to nothing: neither an answer nor a failure.
func (h *Host) Release() bool {
	if h.ProbeUntil.IsZero() {
		return false
	}
	h.ProbeUntil = time.Time{}
	return true
}

// Wait is why a call may not be made now.
type Wait struct {
	// Why is the text of run.Delivery.Waiting.
	Why string
	// Until is the next moment worth asking.
	Until time.Time
}

// probeRest is how long those rest that find a probe under way.
const probeRest = 5 * time.Second

// wait returns why a call may not be made, nil if it may, or may as the probe.
func (h *Host) wait(now time.Time) *Wait {
	w := &Wait{Why: fmt.Sprintf("%s is failing since %s", h.Name, h.Since.UTC().Format(time.RFC3339))}
	switch state := h.State(now); {
	case state == Open:
		w.Until = h.OpenUntil
	case state == HalfOpen && h.ProbeUntil.After(now):
		w.Until = now.Add(probeRest)
	default:
		return nil
	}
	return w
}
