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
	"encoding/json"
	"time"

	"longshore/pkg/audit"
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
	// ImpersonatedBy is the client that started the run for the user by run_as; empty for any other.
	ImpersonatedBy       string
	CreatedAt, UpdatedAt time.Time
	// Last is the author of the last change that Sign signed; the zero Author before the first.
	Last audit.Author
	// Cause is what the run follows from: the zero Cause for one that a caller asked for.
	Cause audit.Cause
	// StartedAt is when this generation began; the time-out of an undelivered run counts from it.
	StartedAt time.Time
	// EndedAt is zero until the run ends.
	EndedAt time.Time
	// Private says that the action let only some see its runs when this one started.
	Private bool
	// HasResponse says that the store holds a response.
	HasResponse bool
	Delivery    Delivery
	// Attempts are those of this generation, oldest first.
	Attempts []Attempt
	// Decisions are those on a run that needs approval, at most one of each approver, the latest last.
	Decisions []Decision
	// Pending is set on a run that an agent or an integration has to fetch.
	Pending Claimable
	// NoticeOf is set on a notice: the id of the run that it tells of. A notice is kept, delivered and
	// retried as a run is, and is none for anybody else: see Run.Lines. Of a changelog message it is the id of
	// its event, and what is said of notices holds for that too.
	NoticeOf string
	// Due is when the sweeper looks at the run; zero once it has ended.
	Due time.Time
}

// maxName is how many bytes of an action's title and icon a run keeps: heads stay small.
const maxName = 300

// Action names the action as it was when the run started; title and icon are cut to 300 bytes.
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
	// Sends counts the sweeper's re-sends since the last try, or the look-ups since the delivery; it
	// spaces them.
	Sends int
	// NextTry is the earliest time of the next attempt; zero means at once. Once delivered it is the
	// time of the next look-up; zero means that there are none.
	NextTry time.Time
	// Waiting says why the run is not being tried; empty when nothing holds it back.
	Waiting string
	// Host is where the run is to be delivered: scheme, host and port. It is empty where that is not
	// known or may not be shown, and once the run is delivered or has ended: heads stay small.
	Host string
	// UncertainSince and UncertainUntil are when the backend may have taken the run in an earlier
	// generation; zero when it has not.
	UncertainSince, UncertainUntil time.Time
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
	// Unknown means that the attempt failed after its backend may have taken it.
	Unknown bool `json:"unknown,omitempty"`
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
	// Secrets says that Invocation has secrets masked: what is sent is what Store.Sealed returns.
	Secrets bool `json:"secrets,omitempty"`
	// Sealed is the sealed invocation of a run with Secrets, for Store.Create; nothing else has it.
	Sealed []byte `json:"-"`
	// Approval is set on a run that needs approval.
	Approval *Approval `json:"approval,omitempty"`
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
