package run

import (
	"encoding/json"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
)

// Start puts a new run into its first state. A run with a reason to wait (its backend is not
// configured, an agent has to claim it) is not sent and carries the reason; the sweeper, which knows
// the time-outs, looks at it soon and then decides how long it may rest.
func (r *Run) Start(now time.Time, waiting string) {
	r.Generation = 1
	r.Action.Title, r.Action.Icon = cut(r.Action.Title, maxName), cut(r.Action.Icon, maxName)
	r.Status = InProgress
	r.CreatedAt, r.UpdatedAt, r.StartedAt = now, now, now
	r.Delivery = Delivery{State: Pending, Waiting: waiting}
	r.Due = now.Add(Unsent)
}

// Errors of a claim, and of an outcome that comes too late. They end a message, not a run.
var (
	// ErrNotDue is a claim of a run that is leased, delivered, ended, not yet due, or of a newer
	// generation: the message is dropped, because Due has the run.
	ErrNotDue = fault.New(fault.Conflict, "", "the run is not due")
	// ErrStale is an outcome whose claim has been taken over.
	ErrStale = fault.New(fault.Conflict, "", "another claim holds the run")
)

// Labels of runs that Longshore ends itself.
const (
	undelivered = "delivery failed"
	timedOut    = "timed out"
	notApproved = "approval timed out"
)

// Claim takes the lease for owner and counts the attempt before the call. An attempt that an
// earlier claim left open is written down as interrupted. When the attempts are used up it takes no
// lease but ends the run; ended says so.
func (r *Run) Claim(now time.Time, generation int, owner string, lease time.Duration) (ended bool, err error) {
	if !r.claimable(now, generation) {
		return false, ErrNotDue
	}
	r.interrupt()
	if len(r.Attempts) >= MaxAttempts {
		r.Delivery.State = Undeliverable
		r.end(now, Own, Failure, undelivered)
		return true, nil
	}
	r.Delivery.Owner = owner
	r.Delivery.Lease = now.Add(lease)
	r.Delivery.NextTry = time.Time{}
	r.Delivery.Waiting = ""
	r.Delivery.Sends = 0
	r.Attempts = append(r.Attempts, Attempt{Generation: r.Generation, Number: len(r.Attempts) + 1, StartedAt: now, Open: true})
	return false, nil
}

// claimable reports whether the run is to be delivered now, and by nobody else.
func (r *Run) claimable(now time.Time, generation int) bool {
	return r.Status == InProgress && r.Generation == generation && r.Delivery.State == Pending &&
		!r.Delivery.NextTry.After(now.Add(ClaimSlack)) && !r.Delivery.Lease.After(now)
}

// interrupt closes an attempt that was left open.
func (r *Run) interrupt() {
	if n := len(r.Attempts); n > 0 && r.Attempts[n-1].Open {
		r.Attempts[n-1].Open = false
		r.Attempts[n-1].Interrupted = true
		r.Attempts[n-1].Error = "interrupted: no outcome was recorded"
	}
}

// Verdict is what an attempt means for its run.
type Verdict uint8

const (
	// Retry tries again at NextTry; without attempts left it fails the run.
	Retry Verdict = iota
	// Deliver ends the delivery; the run goes on until somebody reports.
	Deliver
	// Succeed ends delivery and run.
	Succeed
	// Fail ends the run; its delivery failed, so that it may be redelivered.
	Fail
)

// Outcome is the result of an attempt.
type Outcome struct {
	Verdict    Verdict
	StatusCode int
	// Error is cut to MaxAttemptError bytes.
	Error    string
	Duration time.Duration
	// NextTry is the earliest time of the next attempt, for Retry.
	NextTry time.Time
	// StatusLabel is set on a run that the outcome ends; empty leaves it.
	StatusLabel string
	// Response is the target's answer, kept if the outcome ends the run; nil for none.
	Response json.RawMessage
	// ExternalRunID and Link, of an outcome that delivers, are set on the run where they are not empty.
	ExternalRunID string
	Link          json.RawMessage
	// Watch has a delivered run looked up.
	Watch bool
	// Unknown says of a failed attempt that the backend may have taken it.
	Unknown bool
	// Limited says of Retry that the backend takes nothing before NextTry, whatever it is: the run waits, with
	// Error as its reason, and the attempt is not counted.
	Limited bool
}

// Settle writes an attempt's outcome. If somebody ended the run meanwhile, only the attempt and
// whether it was delivered are kept. It returns ErrStale, and changes nothing, if another claim took
// over, or if a time-out closed the attempt. Timeout is that of Sweep.
func (r *Run) Settle(now time.Time, generation int, owner string, timeout time.Duration, o Outcome) error {
	n := len(r.Attempts)
	if r.Generation != generation || r.Delivery.Owner != owner || n == 0 || !r.Attempts[n-1].Open {
		return ErrStale
	}
	attempt := &r.Attempts[n-1]
	attempt.Open = false
	attempt.StatusCode = o.StatusCode
	attempt.Error = cut(o.Error, MaxAttemptError)
	attempt.DurationMs = o.Duration.Milliseconds()
	attempt.Unknown = o.Unknown
	r.Delivery.Lease = time.Time{}
	if o.Verdict == Deliver || o.Verdict == Succeed {
		r.Delivery.State = Delivered
		r.Delivery.DeliveredAt = now
		r.Delivery.Host = ""
	}
	if r.Status != InProgress {
		return nil
	}
	switch {
	case o.Verdict == Retry && n >= MaxAttempts && !o.Limited:
		o.Verdict = Fail
	case o.Verdict == Deliver && r.NoticeOf != "":
		// Nobody reports the end of a notice.
		o.Verdict = Succeed
	}
	switch o.Verdict {
	case Retry:
		next := later(o.NextTry, now)
		attempt.NextAttemptAt = &next
		if o.Limited {
			r.Delivery.Waiting = cut(o.Error, MaxStatusLabel)
			r.Attempts = r.Attempts[:n-1]
		}
		r.Delivery.NextTry = next
		due := next
		if next.Sub(now) <= InlineDelay {
			due = next.Add(Unsent)
		}
		r.Due = earlier(due, r.deadline(timeout))
		r.UpdatedAt, r.UpdatedBy = now, Own
	case Deliver:
		r.Due = r.deadline(timeout)
		r.UpdatedAt, r.UpdatedBy = now, Own
		r.refer(o)
		if o.Watch {
			r.Watch(now, timeout)
		}
	case Succeed:
		r.refer(o)
		r.end(now, Own, Success, o.StatusLabel)
		r.HasResponse = o.Response != nil
	case Fail:
		r.Delivery.State = Undeliverable
		if o.StatusLabel == "" {
			o.StatusLabel = undelivered
		}
		r.end(now, Own, Failure, o.StatusLabel)
		r.HasResponse = o.Response != nil
	}
	return nil
}

// deadline is until when the run may stay IN_PROGRESS.
func (r *Run) deadline(timeout time.Duration) time.Time {
	if r.NoticeOf != "" {
		timeout = min(timeout, NoticeTimeout)
	}
	if r.Delivery.State == Delivered {
		return r.Delivery.DeliveredAt.Add(timeout)
	}
	return r.StartedAt.Add(timeout)
}

// end writes a terminal state; an empty label leaves the one that is there. Whoever held a lease
// that has lapsed will not write its attempt's outcome any more; a lease that is held stays, so that
// its attempt can be kept.
func (r *Run) end(now time.Time, by string, status Status, label string) {
	r.Status = status
	if label != "" {
		r.StatusLabel = cut(label, MaxStatusLabel)
	}
	r.EndedAt, r.UpdatedAt, r.UpdatedBy = now, now, by
	r.Due = time.Time{}
	r.Delivery.Waiting, r.Delivery.Host = "", ""
	if !r.Delivery.Lease.After(now) {
		r.interrupt()
		r.Delivery.Lease = time.Time{}
	}
}

// End ends the run on behalf of by. It answers run_already_ended, a fault.Invalid, if it has ended.
func (r *Run) End(now time.Time, by string, status Status, label string) error {
	if r.Status.Ended() {
		return r.alreadyEnded()
	}
	r.end(now, by, status, label)
	return nil
}

func (r *Run) alreadyEnded() error {
	return fault.New(fault.Invalid, "run_already_ended", "run %s has already ended with status %s", r.ID, r.Status)
}

// Patch is a report on a run. Nil members change nothing.
type Patch struct {
	// Status is InProgress (no change), Success or Failure.
	Status        *Status
	StatusLabel   *string
	Link          json.RawMessage
	Summary       *string
	ExternalRunID *string
}

// Apply makes a report on the run. It answers run_already_ended, or run_not_in_progress for a run
// that waits for approval and is not being withdrawn, both fault.Invalid, and changes nothing then.
func (r *Run) Apply(now time.Time, by string, p Patch) error {
	if r.Status.Ended() {
		return r.alreadyEnded()
	}
	if r.Status != InProgress && (p.Status == nil || *p.Status != Failure) {
		return fault.New(fault.Invalid, "run_not_in_progress",
			"run %s has status %s: only a status of FAILURE, which withdraws it, is possible", r.ID, r.Status)
	}
	if p.StatusLabel != nil {
		r.StatusLabel = *p.StatusLabel
	}
	if p.Link != nil {
		r.Link = p.Link
	}
	if p.Summary != nil {
		r.Summary = *p.Summary
	}
	if p.ExternalRunID != nil {
		r.ExternalRunID = *p.ExternalRunID
	}
	r.UpdatedAt, r.UpdatedBy = now, by
	if p.Status != nil && p.Status.Ended() {
		r.end(now, by, *p.Status, "")
	}
	return nil
}

// Redeliver opens the next generation of a run whose delivery failed and returns the attempts of
// the one that it closes. Any other run answers run_not_redeliverable, a fault.Invalid.
func (r *Run) Redeliver(now time.Time, by string) (closed []Attempt, err error) {
	if r.Status != Failure || r.Delivery.State != Undeliverable {
		return nil, fault.New(fault.Invalid, "run_not_redeliverable",
			"run %s has status %s and its delivery is %s: only a run whose delivery failed can be delivered again",
			r.ID, r.Status, r.Delivery.State)
	}
	closed = r.Attempts
	next := Delivery{State: Pending}
	next.UncertainSince, next.UncertainUntil = r.doubt()
	r.Attempts = nil
	r.Generation++
	r.Status = InProgress
	r.StatusLabel = ""
	r.EndedAt = time.Time{}
	r.HasResponse = false
	r.StartedAt, r.UpdatedAt, r.UpdatedBy = now, now, by
	r.Delivery = next
	r.Due = now.Add(Unsent)
	return closed, nil
}

// Step is what the sweeper has to do with a run that is due.
type Step uint8

const (
	// Rest needs nothing sent; Due may have moved.
	Rest Step = iota
	// Send needs a message sent.
	Send
	// TimedOut has ended the run.
	TimedOut
)

// Sweep moves a run that is due and says what to do. Timeout is how long the run may stay
// IN_PROGRESS after its delivery or, undelivered, after its start. Waiting is why the run cannot be
// sent now; empty when it can. A run whose lease is not held never rests beyond its deadline. One that
// is due while it waits for approval has waited too long.
func (r *Run) Sweep(now time.Time, timeout time.Duration, waiting string) Step {
	if r.Status.Ended() || r.Due.After(now) {
		return Rest
	}
	if r.Status == WaitingForApproval {
		r.end(now, Own, Failure, notApproved)
		return TimedOut
	}
	deadline := r.deadline(timeout)
	switch {
	case r.Delivery.Lease.After(now):
		r.Due = r.Delivery.Lease.Add(LeaseGrace)
		return Rest
	case !deadline.After(now):
		r.end(now, Own, Failure, timedOut)
		return TimedOut
	case r.Delivery.State == Delivered:
		r.Due = deadline
		return Rest
	case waiting != "":
		r.Delivery.Waiting = waiting
		r.Due = earlier(now.Add(MaxRest), deadline)
		if r.Backend == invocation.BackendAgent {
			r.Due = deadline
		}
		return Rest
	case r.Delivery.NextTry.After(now.Add(ClaimSlack)):
		r.Due = earlier(r.Delivery.NextTry, deadline)
		return Rest
	}
	r.Delivery.Waiting = ""
	// The shift is bounded before it is made: a run may be sent for years.
	rest := Unsent << min(r.Delivery.Sends, 7)
	r.Delivery.Sends++
	r.Due = earlier(now.Add(min(rest, MaxRest)), deadline)
	return Send
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// cut shortens text to at most limit bytes, at a rune's border.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && text[limit]&0xC0 == 0x80 {
		limit--
	}
	return text[:limit]
}
