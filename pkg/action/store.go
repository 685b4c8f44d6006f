package action

import (
	"context"
	"encoding/json"
	"time"

	"longshore/pkg/audit"
)

// Record is a definition as it is stored.
type Record struct {
	Identifier string
	// ID is "action_" and 16 characters of [0-9A-Za-z]; it stays when the identifier changes.
	ID string
	// Definition is the JSON text that was sent, compact: member order and number text kept.
	Definition json.RawMessage
	// Permissions is the JSON text of what was written of its permissions; nil when nothing ever was.
	// They move with a new identifier and go with the definition.
	Permissions json.RawMessage
	// Times have millisecond precision, in UTC.
	CreatedAt, UpdatedAt time.Time
	CreatedBy, UpdatedBy string
	// Rev is raised by every write of the record.
	Rev int64
}

// Store keeps definitions. Every change raises the stamp in its own transaction; readers keep
// compiled definitions until the stamp moves. All reads are consistent. The entries of the audit log
// that a change takes are kept in its own transaction, nil ones left out.
//
// Every method may return fault.Unavailable when the store is throttled or cannot be reached.
type Store interface {
	// Stamp returns a number that moves with every change of a definition.
	Stamp(ctx context.Context) (int64, error)
	// List returns all definitions, by identifier.
	List(ctx context.Context) ([]*Record, error)
	// Get returns one definition. fault.NotFound when there is none.
	Get(ctx context.Context, identifier string) (*Record, error)
	// Create keeps a new definition. fault.Conflict, identifier_taken, when the identifier is taken.
	Create(ctx context.Context, r *Record, entries ...*audit.Entry) error
	// Replace puts r in the place of the definition called identifier, whose Rev must still be
	// r.Rev, and raises the Rev. R may carry another identifier. fault.NotFound when there is none;
	// fault.Conflict when the new identifier is taken (identifier_taken) or somebody else wrote
	// meanwhile (conflict).
	Replace(ctx context.Context, identifier string, r *Record, entries ...*audit.Entry) error
	// Delete removes a definition, naming who did. Its identifier is free at once. fault.NotFound
	// when there is none.
	Delete(ctx context.Context, identifier, by string, at time.Time, entries ...*audit.Entry) error
}
