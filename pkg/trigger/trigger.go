// Package trigger starts runs: may the caller, are the inputs right, what is to be sent, and then
// record first, send second.
package trigger

import (
	"context"
	"encoding/json"

	"longshore/pkg/identity"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// Accepter records a run and sends its first message, in this order or in one commit. When it
// returns an error nothing was accepted, or the sweeper sends the message; m is nil for a run that
// waits. Line is its first log line, nil for none. Errors: fault.Unavailable, fault.Conflict when the run id is taken.
type Accepter interface {
	Accept(ctx context.Context, r *run.Run, b *run.Body, m *queue.Message, line *run.Log) error
}

// Request asks for a run.
type Request struct {
	Caller identity.Caller
	// Action is the identifier.
	Action string
	// Properties and Entity are as the body had them; Properties is nil when it had none.
	Properties *jqtemplate.Object
	Entity     string
	// RunAs is the run_as parameter, empty when absent.
	RunAs string
	// IdempotencyKey is the header's value, empty when absent.
	IdempotencyKey string
}

// Started is a run that was accepted, or that an idempotency key answered again.
type Started struct {
	Record   *run.Record
	Replayed bool
}

// Dry is what a request would have started.
type Dry struct {
	// Invocation is the rendered invocation method, with its type.
	Invocation json.RawMessage
	// TriggerData is what the templates saw.
	TriggerData       json.RawMessage
	FailedExpressions []jqtemplate.Warning
	Warnings          []jqtemplate.Warning
}

// Trigger starts runs.
type Trigger struct{}

// Start records a run and sends its message. Errors: fault.NotFound for an unknown action,
// fault.Invalid for everything that the request or the definition has wrong (not_supported,
// idempotency_key_reused, …), fault.Conflict request_in_progress, fault.Unavailable.
func (t *Trigger) Start(ctx context.Context, q Request) (*Started, error) { panic("not implemented") }

// DryRun checks and renders like Start; it stores and sends nothing.
func (t *Trigger) DryRun(ctx context.Context, q Request) (*Dry, error) { panic("not implemented") }

// Redeliver sends a run whose delivery failed once more, in a new generation. fault.NotFound;
// fault.Invalid run_not_redeliverable.
func (t *Trigger) Redeliver(ctx context.Context, by identity.Caller, id string) (*run.Record, error) {
	panic("not implemented")
}
