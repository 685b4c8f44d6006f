package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/timer"
)

// Blueprint is a blueprint as it is stored.
type Blueprint struct {
	Identifier string
	// ID is "bp_" and 16 characters; it stays when the identifier changes, and entities are kept under it.
	ID string
	// Definition is the JSON text that was sent, compact: member order and number text kept.
	Definition json.RawMessage
	// Permissions is the JSON text of its permissions as they are returned; nil when they were never
	// written.
	Permissions json.RawMessage
	// Page says that the blueprint has a catalog page.
	Page bool
	// Deleting is set before a blueprint is deleted with its entities; no entity is written to it then.
	Deleting bool
	// Times have millisecond precision, in UTC.
	CreatedAt, UpdatedAt time.Time
	CreatedBy, UpdatedBy string
	// Rev is raised by every write of the record.
	Rev int64
}

// Key names an entity: the internal id of its blueprint and its own identifier.
type Key struct{ Blueprint, Identifier string }

// Entity is an entity as it is stored.
type Entity struct {
	Key
	// ID is "ent_" and 16 characters; it stays when the identifier changes.
	ID string
	// Content is the JSON text of an object with the members title, icon, team, properties and
	// relations, each as it was sent; what was never sent is absent. Team is always an array.
	Content json.RawMessage
	// Times have millisecond precision, in UTC.
	CreatedAt, UpdatedAt time.Time
	CreatedBy, UpdatedBy string
	// Last is the author of the last change.
	Last Author
	// Timers are the ends of its timer properties that are yet to be fired, the earliest first. The service
	// sets them at every write; the clock takes them out, which raises no Rev and is no change.
	Timers []timer.Timer
	// Rev is raised by every write of the record.
	Rev int64
}

// Due returns when the earliest of its timers ends that is yet to be fired, zero for none.
func (e *Entity) Due() time.Time {
	if len(e.Timers) == 0 {
		return time.Time{}
	}
	return e.Timers[0].At
}

// ByTimer compares entities by when their timers end.
func ByTimer(a, b *Entity) int {
	return cmp.Or(a.Due().Compare(b.Due()), cmp.Compare(a.Blueprint, b.Blueprint), cmp.Compare(a.Identifier, b.Identifier))
}

// Edge says that an entity names another one in a relation. It is a hint: whoever reads it looks at
// the source itself.
type Edge struct {
	Source   Key
	Relation string
	Target   Key
}

// Page is a part of the entities of a blueprint.
type Page struct {
	Entities []*Entity
	// Next continues behind the last of them; empty at the end. It stays good when entities are
	// written or deleted: none that is there all the time is left out or comes twice.
	Next string
}

// Store keeps blueprints and entities. Every change of a blueprint raises the stamp in its own
// transaction; readers keep what they made of blueprints until the stamp moves.
//
// The entries of the audit log that a change of a blueprint takes are kept in its own transaction, those
// of an entity's with the change or right after it, before the method returns; nil ones are left out. An
// entry that cannot be kept once an entity has changed is logged, and no error: the change has happened.
//
// All reads but Count are consistent: a caller sees what it has just written. Every method may return
// fault.Unavailable when the store is throttled or cannot be reached.
type Store interface {
	MigrationStore

	// Stamp returns a number that moves with every change of a blueprint.
	Stamp(ctx context.Context) (int64, error)
	// Blueprints returns all blueprints, by identifier.
	Blueprints(ctx context.Context) ([]*Blueprint, error)
	// Blueprint returns one blueprint. fault.NotFound when there is none.
	Blueprint(ctx context.Context, identifier string) (*Blueprint, error)
	// DeletedBlueprint returns a blueprint that was deleted less than an hour ago, by its internal id; that of
	// one which has another identifier now may be returned too. fault.NotFound when there is none, or when its
	// identifier has been used again.
	DeletedBlueprint(ctx context.Context, id string) (*Blueprint, error)
	// CreateBlueprint keeps a new blueprint. fault.Conflict, identifier_taken, when the identifier is taken.
	CreateBlueprint(ctx context.Context, b *Blueprint, entries ...*audit.Entry) error
	// ReplaceBlueprint puts b in the place of the blueprint called identifier, whose ID and Rev must
	// still be b's, and raises the Rev. B may carry another identifier; its entities stay its own.
	// fault.NotFound when there is none; fault.Conflict when the new identifier is taken
	// (identifier_taken) or somebody else wrote meanwhile (conflict).
	ReplaceBlueprint(ctx context.Context, identifier string, b *Blueprint, entries ...*audit.Entry) error
	// DeleteBlueprint removes a blueprint whose ID and Rev must still be b's, naming who did. Its
	// identifier is free at once. Its entities are the caller's matter. fault.NotFound when there is
	// none, fault.Conflict, conflict, when somebody else wrote meanwhile.
	DeleteBlueprint(ctx context.Context, b *Blueprint, by Author, entries ...*audit.Entry) error

	// Entity returns one entity. fault.NotFound when there is none.
	Entity(ctx context.Context, key Key) (*Entity, error)
	// Entities returns those of up to 1,000 entities that are there, in no order.
	Entities(ctx context.Context, keys []Key) ([]*Entity, error)
	// CreateEntity keeps a new entity and its edges; the store sets Rev. fault.Conflict, identifier_taken, when the
	// identifier is taken.
	CreateEntity(ctx context.Context, e *Entity, edges []Edge, entries ...*audit.Entry) error
	// ReplaceEntity puts e in the place of the entity of the same key, whose ID and Rev must still be e's,
	// raises the Rev, adds edges and removes stale ones. fault.NotFound when there is none;
	// fault.Conflict, conflict, when somebody else wrote meanwhile.
	ReplaceEntity(ctx context.Context, e *Entity, edges, stale []Edge, entries ...*audit.Entry) error
	// DeleteEntity removes an entity whose ID and Rev must still be e's and its edges, naming who did.
	// fault.NotFound when there is none; fault.Conflict, conflict, when somebody else wrote meanwhile.
	DeleteEntity(ctx context.Context, e *Entity, edges []Edge, by Author, entries ...*audit.Entry) error
	// List returns up to limit entities of a blueprint, by its internal id, in an order of the
	// store's own that never changes. From is a Page's Next, empty for the beginning; fault.Invalid
	// with the path "from" when it is none of this blueprint. A page may be short, even empty, though Next is
	// set: it ends at 5 MB or when ctx's deadline is near.
	List(ctx context.Context, blueprint, from string, limit int) (Page, error)
	// DueTimers returns up to limit entities that are due by now, the earliest first. One that was written a
	// moment ago may be missing; none is returned whose timers all lie ahead.
	DueTimers(ctx context.Context, now time.Time, limit int) ([]*Entity, error)
	// Count returns how many entities a blueprint has; it may lag behind by a moment.
	Count(ctx context.Context, blueprint string) (int, error)
	// Sources returns up to limit edges to an entity, and from where to go on, empty at the end.
	// fault.Invalid with the path "from" when from is no place among this entity's edges.
	Sources(ctx context.Context, target Key, from string, limit int) (edges []Edge, next string, err error)
}
