// Package feed is what a change feed tells: each change of an entity, a run or a definition, and each timer
// that ended, in the order in which they happened to the thing.
//
// The stores are the feeds: DynamoDB's stream, and the table of changes on SQLite. Both promise that a
// change is told at least once, and that what follows it on the same thing is not told before it was
// handled or set aside; feedtest is the definition of a feed.
package feed

import (
	"context"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/run"
)

// Change is one change; exactly one member is set.
type Change struct {
	Entity *Entity
	Run    *Run
	Action *Action
	Timer  *Timer
}

// Entity is a change of an entity. A write that changed nothing but the rev is one too.
type Entity struct {
	// Before is nil for a new entity, After for a deleted one. One whose identifier changed is deleted and
	// created.
	Before, After *catalog.Entity
	// By is who made the change: After's Last, or who deleted it.
	By audit.Author
}

// Run is a change of a run that somebody may want to know of: run.Differs, or its response or its Last is
// another. Leases, attempts, log lines and notices are none.
type Run struct {
	// Before is nil for a new run. Both are whole.
	Before, After *run.Record
}

// Action is a change of a definition. One whose identifier changed is deleted and created under the same
// internal id, in any order: the changes of two identifiers have none.
type Action struct {
	// Before is nil for a new definition, After for a deleted one.
	Before, After *action.Record
}

// Timer says that a timer property of an entity has ended.
type Timer struct {
	catalog.Key
	// EntityID is the entity's internal id.
	EntityID string
	// Property is the name of the property and At its value, with millisecond precision, in UTC.
	Property string
	At       time.Time
	// Fired is when the clock saw that At had passed: the event's time. It is the same each time that the
	// timer is told, while At may lie years back.
	Fired time.Time
}

// Handler does what changes set off.
type Handler interface {
	// Handle is called again with a change until it returns nil, or an error that no other try cures (see
	// Curable): with that the change is set aside. It may be called with the same change by several processes
	// at once.
	Handle(ctx context.Context, c *Change) error
}

// HandlerFunc is a function that is a Handler.
type HandlerFunc func(ctx context.Context, c *Change) error

// Handle implements Handler.
func (f HandlerFunc) Handle(ctx context.Context, c *Change) error { return f(ctx, c) }
