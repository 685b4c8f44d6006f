// Package backend is what a dispatcher calls: one method, and the table that turns an HTTP status
// into a verdict.
//
// A backend makes one attempt and says what it means; leases, retries and storage are dispatch's.
// It promises that no URL's query, header or body reaches the error it reports.
package backend

import (
	"context"
	"encoding/json"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

// Backend carries out invocations of one kind.
type Backend interface {
	// Call makes one attempt. It never panics on what a target answers and returns before ctx's
	// deadline has passed by more than a second.
	Call(ctx context.Context, c Call) Outcome
}

// Preparer is a Backend that needs something of the deployment before it can call, a secret for one.
// Prepare is asked before a run is claimed; its error means that no attempt is made or counted, that the
// run says so and that the message comes again.
type Preparer interface {
	Prepare(ctx context.Context) error
}

// Call is one attempt.
type Call struct {
	RunID      string
	Action     string
	Attempt    int
	Invocation *invocation.Invocation
	// Uncertain is when the first attempt began of which nobody knows whether the backend took it; zero
	// when there is none. UncertainUntil is when work can have begun for it at the latest, zero for now.
	Uncertain, UncertainUntil time.Time
	// By is the run's user, as the author of what the call changes here.
	By audit.Author
}

// Outcome is what an attempt came to.
type Outcome struct {
	Verdict run.Verdict
	// StatusCode is the HTTP status, 0 without an answer.
	StatusCode int
	// Error is a sentence for the attempt and the log: no URL beyond its host, no header, no body.
	Error string
	// RetryAfter is what the target asked for, at most an hour; 0 for the usual delay.
	RetryAfter time.Duration
	// Limited says of Retry that the target takes nothing of ours before RetryAfter has passed: the run waits,
	// and the attempt is not counted.
	Limited bool
	// Response is the target's answer where it ends the run.
	Response json.RawMessage
	// StatusLabel is set on a run that the outcome ends.
	StatusLabel string
	// ExternalRunID and Link, a JSON string or array of strings, are where the backend's own record of
	// delivered work is; empty leaves the run's.
	ExternalRunID string
	Link          json.RawMessage
	// Watch asks for look-ups until the delivered work has ended. The backend is a Lookuper then.
	Watch bool
	// Unknown says of a failed attempt that the target may have taken it.
	Unknown bool
	// NoAnswer says of a failed attempt that the target's host could not be reached or did not answer in
	// time.
	NoAnswer bool
	// Cause is more about Error for the log of the process, empty for nothing: it is not kept.
	Cause string
	// Faults are what is wrong with what was sent, where Error cannot say it all. Each becomes a line in
	// the log of a run that the outcome ends.
	Faults []string
}
