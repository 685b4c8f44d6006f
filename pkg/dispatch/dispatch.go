// Package dispatch takes messages off a backend's queue: claim the run's lease, call the backend,
// write attempt and outcome, acknowledge.
package dispatch

import (
	"context"
	"time"

	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// Settler writes an outcome, sends the next try and acknowledges the message, in this order or in
// one commit.
type Settler interface {
	// Settle applies move to the run as run.Store.Update does; then next says which message to send
	// with which delay (nil for none); then the message is acknowledged. Errors are those of Update
	// and Send. After an error the message is not acknowledged.
	Settle(ctx context.Context, m queue.Received, id string,
		move func(*run.Run) (*run.Write, error),
		next func(*run.Run) (*queue.Message, time.Duration)) (*run.Run, error)
}

// Dispatcher handles the messages of one backend.
type Dispatcher struct{}

// Handle deals with all messages at once and returns the ids of those that have to come again,
// because our own code or the store failed.
func (d *Dispatcher) Handle(ctx context.Context, messages []queue.Received) (again []string) {
	panic("not implemented")
}
