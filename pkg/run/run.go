// Package run is a run of an action: its states and moves, deliveries, logs, attempts, idempotency.
//
// The moves are pure functions of a run and a time; every store applies them by compare-and-swap
// (Store.Update), so that the state machine exists once. It promises:
//   - a terminal state is written once per generation;
//   - one delivery at a time holds the lease, and none starts after one succeeded;
//   - every attempt is on the run, an interrupted one included;
//   - a run that has not ended has a time at which the sweeper looks at it again (Due).
package run

import (
	"crypto/rand"
	"encoding/json"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
)

// Status is the state of a run as the API shows it.
type Status string

const (
	// InProgress is a run whose backend is to be called or at work. The backend, the delivery's
	// outcome or the sweeper moves it on.
	InProgress Status = "IN_PROGRESS"
	// WaitingForApproval is a run that an approver, a withdrawal or the sweeper moves on.
	WaitingForApproval Status = "WAITING_FOR_APPROVAL"
	// Success is terminal.
	Success Status = "SUCCESS"
	// Failure is terminal; only redelivery opens it again, and only after a failed delivery.
	Failure Status = "FAILURE"
	// Declined is terminal.
	Declined Status = "DECLINED"
)

// Ended reports whether the status is terminal.
func (s Status) Ended() bool { return s == Success || s == Failure || s == Declined }

// Sources of a run.
const (
	SourceUI         = "UI"
	SourceAPI        = "API"
	SourceAutomation = "AUTOMATION"
)

// Run is the head of a run: small, and changed by every move. What never changes is its Body.
type Run struct {
	ID string
	// Rev is raised by every write; Store.Update compares it.
	Rev int64
	// Generation counts from 1; a redelivery opens the next.
	Generation int
	Status     Status
	// StatusLabel is at most 300 bytes.
	StatusLabel string
	// Link is a JSON string or array of strings, as it was given; nil when there is none.
	Link json.RawMessage
	// Summary is at most 64 KiB.
	Summary string
	// ExternalRunID is at most 500 bytes.
	ExternalRunID string
	Action        Action
	// Backend is one of invocation's Backend constants.
	Backend string
	// Blueprint and Entity are identifiers, empty when the run has none.
	Blueprint, Entity string
	Source            string
	// RequiredApproval is the definition's value, nil when absent.
	RequiredApproval json.RawMessage
	// UserID and CreatedBy are the client id for a machine's run. UserEmail is empty then.
	UserID, UserEmail, CreatedBy, UpdatedBy string
	CreatedAt, UpdatedAt                    time.Time
	// StartedAt is when this generation began; the time-out of an undelivered run counts from it.
	StartedAt time.Time
	// EndedAt is zero until the run ends.
	EndedAt time.Time
	// HasResponse says that the store holds a response.
	HasResponse bool
	Delivery    Delivery
	// Attempts are those of this generation, oldest first.
	Attempts []Attempt
	// Due is when the sweeper looks at the run; zero once it has ended.
	Due time.Time
}

// Action names the action as it was when the run started.
type Action struct {
	Identifier, Title, Icon string
	// ID is the action's internal id; it tells a deleted action from a new one of the same identifier.
	ID string
}

// DeliveryState is how far the delivery of a generation has come.
type DeliveryState string

const (
	// Pending is not delivered yet; a lease may be held. The dispatcher moves it on.
	Pending DeliveryState = "pending"
	// Delivered means that the backend took it; somebody reports the end.
	Delivered DeliveryState = "delivered"
	// Undeliverable means that the last try failed for good; only redelivery moves it on.
	Undeliverable DeliveryState = "failed"
)

// Delivery is the state of a run's delivery in its generation.
type Delivery struct {
	State DeliveryState
	// Owner marks the claim that holds, or last held, the lease.
	Owner string
	// Lease is until when the owner may work; zero when nobody does.
	Lease time.Time
	// DeliveredAt is zero until the backend took the run.
	DeliveredAt time.Time
	// Sends counts the sweeper's re-sends since the last try; it spaces them.
	Sends int
	// NextTry is the earliest time of the next attempt; zero means at once.
	NextTry time.Time
	// Waiting says why the run is not being tried; empty when nothing holds it back.
	Waiting string
}

// Attempt is one try to deliver a run. Both the API and the stores use its JSON form.
type Attempt struct {
	Generation int       `json:"generation"`
	Number     int       `json:"number"`
	StartedAt  time.Time `json:"startedAt"`
	// DurationMs is 0 while the call runs and for an interrupted attempt.
	DurationMs int64 `json:"durationMs"`
	// StatusCode is the HTTP status, 0 when there was no answer.
	StatusCode int `json:"statusCode,omitempty"`
	// Error is at most 200 bytes and holds no URL, header or payload. Empty for a success.
	Error string `json:"error,omitempty"`
	// Open is true from the claim until the outcome.
	Open bool `json:"open,omitempty"`
	// Interrupted means that no outcome was ever written: the process died, or the lease lapsed.
	Interrupted bool `json:"interrupted,omitempty"`
	// NextAttemptAt is the earliest time of the next attempt, nil for the last.
	NextAttemptAt *time.Time `json:"nextAttemptAt,omitempty"`
}

// Body is what a run keeps unchanged: written before the head, read when somebody looks.
type Body struct {
	// Properties are the user inputs after defaults, a JSON object.
	Properties json.RawMessage `json:"properties"`
	// User is trigger.by.user, a JSON object.
	User json.RawMessage `json:"user,omitempty"`
	// Invocation is what is sent; secrets masked.
	Invocation *invocation.Invocation `json:"invocation,omitempty"`
}

// Log is one line of a run's log.
type Log struct {
	// ID is a ULID: the order of a run's lines.
	ID        string
	RunID     string
	Message   string
	CreatedAt time.Time
	CreatedBy string
}

// Own is the author of log lines that Longshore writes itself.
const Own = "longshore"

const (
	// MaxAttempts is how often a generation is tried: once at once, five times later.
	MaxAttempts = 6
	// Unsent is how long after its message was sent an untouched run is due.
	Unsent = 45 * time.Second
	// MaxRest is the longest time between two looks at an undelivered run.
	MaxRest = time.Hour
	// InlineDelay is the longest wait for a next try that the queue's own delay covers; the sweeper
	// sends later ones.
	InlineDelay = 14 * time.Minute
	// ClaimSlack is how much too early a message may claim, for clocks that differ.
	ClaimSlack = 2 * time.Second
	// LeaseGrace is how long after a lease's end the sweeper sends again.
	LeaseGrace = 15 * time.Second
	// MaxAttemptError and MaxStatusLabel are in bytes.
	MaxAttemptError = 200
	MaxStatusLabel  = 300
)

const idAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewID returns "r_" and 16 characters of [0-9A-Za-z]: 8 for the milliseconds of now, 8 random.
// Identifiers sort by time.
func NewID(now time.Time) string {
	id := [18]byte{0: 'r', 1: '_'}
	ms := now.UnixMilli()
	for i := 9; i >= 2; i-- {
		id[i] = idAlphabet[ms%62]
		ms /= 62
	}
	// 248 is the largest multiple of 62 in a byte; larger bytes would favour some characters.
	var random [16]byte
	for i := 10; i < len(id); {
		_, _ = rand.Read(random[:])
		for _, b := range random {
			if b < 248 && i < len(id) {
				id[i] = idAlphabet[b%62]
				i++
			}
		}
	}
	return string(id[:])
}

// IDTime returns the time in a run id, false when the text is no run id.
func IDTime(id string) (time.Time, bool) {
	if len(id) != 18 || id[:2] != "r_" {
		return time.Time{}, false
	}
	var ms int64
	for i := 2; i < len(id); i++ {
		digit := int64(-1)
		switch c := id[i]; {
		case c >= '0' && c <= '9':
			digit = int64(c - '0')
		case c >= 'A' && c <= 'Z':
			digit = int64(c-'A') + 10
		case c >= 'a' && c <= 'z':
			digit = int64(c-'a') + 36
		}
		if digit < 0 {
			return time.Time{}, false
		}
		if i < 10 {
			ms = ms*62 + digit
		}
	}
	return time.UnixMilli(ms).UTC(), true
}

// Start puts a new run into its first state. A run with a reason to wait (its backend is not
// configured, an agent has to claim it) is not sent and carries the reason.
func (r *Run) Start(now time.Time, waiting string) {
	r.Generation = 1
	r.Status = InProgress
	r.CreatedAt, r.UpdatedAt, r.StartedAt = now, now, now
	r.Delivery = Delivery{State: Pending, Waiting: waiting}
	r.Due = now.Add(Unsent)
	if waiting != "" {
		r.Due = now.Add(MaxRest)
	}
}

// Errors of a claim, and of an outcome that comes too late. They end a message, not a run.
var (
	// ErrNotDue is a claim of a run that is leased, delivered, ended, not yet due, or of a newer
	// generation: the message is dropped, because Due has the run.
	ErrNotDue = fault.New(fault.Conflict, "", "the run is not due")
	// ErrStale is an outcome whose claim has been taken over.
	ErrStale = fault.New(fault.Conflict, "", "another claim holds the run")
)

// Claim takes the lease for owner and counts the attempt before the call. An attempt that an
// earlier claim left open is written down as interrupted. When the attempts are used up it takes no
// lease but ends the run; ended says so.
func (r *Run) Claim(now time.Time, generation int, owner string, lease time.Duration) (ended bool, err error) {
	switch {
	case r.Status != InProgress, r.Generation != generation, r.Delivery.State != Pending,
		r.Delivery.NextTry.After(now.Add(ClaimSlack)), r.Delivery.Lease.After(now):
		return false, ErrNotDue
	}
	r.interrupt()
	if len(r.Attempts) >= MaxAttempts {
		r.Delivery.State = Undeliverable
		r.end(now, Failure, "delivery failed")
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
}

// Settle writes an attempt's outcome. If somebody ended the run meanwhile, only the attempt and the
// delivery's state are kept. It returns ErrStale if another claim took over.
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
	r.Delivery.Lease = time.Time{}
	if o.Verdict == Deliver || o.Verdict == Succeed {
		r.Delivery.State = Delivered
		r.Delivery.DeliveredAt = now
	}
	if r.Status != InProgress {
		return nil
	}
	if o.Verdict == Retry && n >= MaxAttempts {
		o.Verdict = Fail
	}
	switch o.Verdict {
	case Retry:
		next := o.NextTry
		attempt.NextAttemptAt = &next
		r.Delivery.NextTry = next
		r.Delivery.Sends = 0
		r.Due = next
		if next.Sub(now) <= InlineDelay {
			r.Due = next.Add(Unsent)
		}
		r.UpdatedAt = now
	case Deliver:
		r.Due = now.Add(timeout)
		r.UpdatedAt = now
	case Succeed:
		r.end(now, Success, o.StatusLabel)
		r.HasResponse = o.Response != nil
	case Fail:
		r.Delivery.State = Undeliverable
		r.end(now, Failure, o.StatusLabel)
		r.HasResponse = o.Response != nil
	}
	return nil
}

// end writes a terminal state; an empty label leaves the one that is there.
func (r *Run) end(now time.Time, status Status, label string) {
	r.Status = status
	if label != "" {
		r.StatusLabel = cut(label, MaxStatusLabel)
	}
	r.EndedAt, r.UpdatedAt = now, now
	r.Due = time.Time{}
	r.Delivery.Waiting = ""
}

// End ends the run on behalf of by. It answers run_already_ended, a fault.Invalid, if it has ended.
func (r *Run) End(now time.Time, by string, status Status, label string) error {
	if r.Status.Ended() {
		return r.alreadyEnded()
	}
	r.UpdatedBy = by
	r.end(now, status, label)
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
		r.end(now, *p.Status, "")
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
	r.Attempts = nil
	r.Generation++
	r.Status = InProgress
	r.StatusLabel = ""
	r.EndedAt = time.Time{}
	r.HasResponse = false
	r.StartedAt, r.UpdatedAt, r.UpdatedBy = now, now, by
	r.Delivery = Delivery{State: Pending}
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
// sent now; empty when it can.
func (r *Run) Sweep(now time.Time, timeout time.Duration, waiting string) Step {
	if r.Status.Ended() || r.Due.IsZero() || r.Due.After(now) {
		return Rest
	}
	from := r.StartedAt
	if r.Delivery.State == Delivered {
		from = r.Delivery.DeliveredAt
	}
	leased := r.Delivery.Lease.After(now)
	if deadline := from.Add(timeout); !deadline.After(now) && !leased {
		r.interrupt()
		r.UpdatedBy = Own
		r.end(now, Failure, "timed out")
		return TimedOut
	} else if r.Delivery.State == Delivered {
		r.Due = deadline
		return Rest
	}
	switch {
	case leased:
		r.Due = r.Delivery.Lease.Add(LeaseGrace)
		return Rest
	case waiting != "":
		r.Delivery.Waiting = waiting
		r.Due = now.Add(MaxRest)
		return Rest
	case r.Delivery.NextTry.After(now.Add(ClaimSlack)):
		r.Due = r.Delivery.NextTry
		return Rest
	}
	r.Delivery.Waiting = ""
	rest := MaxRest
	if r.Delivery.Sends < 7 {
		rest = min(Unsent<<r.Delivery.Sends, MaxRest)
	}
	r.Delivery.Sends++
	r.Due = now.Add(rest)
	return Send
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
