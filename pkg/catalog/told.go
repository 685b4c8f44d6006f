package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"longshore/pkg/audit"
)

// Told is a change of an entity as those see it who are told of it afterwards. One goroutine may use it.
type Told struct {
	// Blueprint is the entity's; nil when it was deleted, and too long ago for anybody to know its name.
	Blueprint *Blueprint

	n             *snapshot
	before, after *Entity
	by            Author
	// text is what After returned.
	text json.RawMessage
}

// Told returns a change of an entity as it is told. Before is nil for a new one, after for one that was
// deleted; by is who made the change. A deleted blueprint is known for about an hour.
func (r *Reader) Told(ctx context.Context, before, after *Entity, by Author) (*Told, error) {
	n, err := r.s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	of := after
	if of == nil {
		of = before
	}
	k := n.id[of.Blueprint]
	if k == nil {
		// Its entities are deleted before it is, and told of later.
		record, err := r.s.store.DeletedBlueprint(ctx, of.Blueprint)
		switch {
		case absent(err):
			return &Told{n: n, before: before, after: after, by: by}, nil
		case err != nil:
			return nil, fmt.Errorf("read a deleted blueprint: %w", err)
		}
		k = compileBlueprint(record)
		with := *n
		with.id = maps.Clone(n.id)
		with.id[record.ID] = k
		n = &with
	}
	return &Told{Blueprint: k.Record, n: n, before: before, after: after, by: by}, nil
}

// Before returns the entity before the change as the API shows it, but for what is computed; nil for a new
// one.
func (t *Told) Before() json.RawMessage { return t.n.audited(t.before) }

// After returns it after the change, nil when it is gone.
func (t *Told) After() json.RawMessage {
	if t.text == nil {
		t.text = t.n.audited(t.after)
	}
	return t.text
}

// Unchanged reports whether readers see no difference but when the entity was written, and by whom.
func (t *Told) Unchanged() bool {
	if t.before == nil || t.after == nil || t.before.Identifier != t.after.Identifier {
		return false
	}
	if bytes.Equal(t.before.Content, t.after.Content) {
		return true
	}
	// The same in another order, or null for what was absent.
	before := *t.before
	before.UpdatedAt, before.UpdatedBy = t.after.UpdatedAt, t.after.UpdatedBy
	return bytes.Equal(t.n.audited(&before), t.After())
}

// Entry returns the change's entry in the audit log, the same that its author's write has; nil for a write
// that nobody is the author of, since it only moved the entity's timer.
func (t *Told) Entry() *audit.Entry {
	switch {
	case t.before == nil:
		return t.n.entityEntry(audit.Create, nil, t.after, t.by)
	case t.after == nil:
		return t.n.entityEntry(audit.Delete, t.before, nil, t.by)
	case sameAuthor(t.before.Last, t.after.Last) && bytes.Equal(t.before.Content, t.after.Content):
		return nil
	}
	return t.n.entityEntry(audit.Update, t.before, t.after, t.by)
}

func sameAuthor(a, b Author) bool {
	if !a.At.Equal(b.At) {
		return false
	}
	a.At = b.At
	return a == b
}

// EntityNow returns an entity as it is stored. fault.NotFound when there is none.
func (r *Reader) EntityNow(ctx context.Context, key Key) (*Entity, error) {
	return r.s.store.Entity(ctx, key)
}
