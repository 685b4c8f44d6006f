package catalog

import (
	"context"
	"errors"

	"longshore/pkg/audit"
	"longshore/pkg/fault"
)

// moving is what migrations that are running mean for who reads and writes entities.
type moving struct {
	// gone are entities that have been deleted, and those that have another identifier now, with it. What
	// names them in a relation means nothing, or that identifier.
	gone map[Key]string
	// arrived are the new identifiers.
	arrived map[Key]bool
	// ids are the migrations' by the entities of both.
	ids map[Key]string
}

func newMoving(running []*Migration) moving {
	v := moving{map[Key]string{}, map[Key]bool{}, map[Key]string{}}
	for _, m := range running {
		for _, t := range m.Targets {
			key := Key{m.Blueprint, t.Identifier}
			v.gone[key], v.ids[key] = m.To, m.ID
			if m.To != "" {
				to := Key{m.Blueprint, m.To}
				v.arrived[to], v.ids[to] = true, m.ID
			}
		}
	}
	return v
}

// read returns an entity as readers see it: relations that a migration has yet to change are as they
// will be.
func (n *snapshot) read(e *Entity) (*Entity, error) {
	k := n.id[e.Blueprint]
	if len(n.gone) == 0 || k == nil || k.Definition == nil {
		return e, nil
	}
	edges, err := n.edges(k, e)
	if err != nil {
		return nil, err
	}
	seen := map[Key]bool{}
	for _, edge := range edges {
		to, gone := n.gone[edge.Target]
		if !gone || seen[edge.Target] {
			continue
		}
		seen[edge.Target] = true
		changed := *e
		if changed.Content, err = repoint(k.Definition, n, e, edge.Target, to); err != nil {
			return nil, err
		}
		e = &changed
	}
	return e, nil
}

// readAll does with several entities what read does.
func (n *snapshot) readAll(entities []*Entity) ([]*Entity, error) {
	if len(n.gone) == 0 {
		return entities, nil
	}
	var err error
	for i, e := range entities {
		if entities[i], err = n.read(e); err != nil {
			return nil, err
		}
	}
	return entities, nil
}

// formerly returns the identifiers that an entity had before renames that are under way.
func (n *snapshot) formerly(key Key) []Key {
	var keys []Key
	if n.arrived[key] {
		for old, to := range n.gone {
			if old.Blueprint == key.Blueprint && to == key.Identifier {
				keys = append(keys, old)
			}
		}
	}
	return keys
}

// still refuses an entity that a migration is about.
func (n *snapshot) still(keys ...Key) error {
	for _, key := range keys {
		if id := n.ids[key]; id != "" {
			return fault.New(fault.Conflict, "migration_running",
				"relations to the entity %q are being changed by the migration %s: try again when it has ended", key.Identifier, id)
		}
	}
	return nil
}

// open refuses writes to a blueprint that is being deleted.
func (n *snapshot) open(blueprint string) error {
	k := n.id[blueprint]
	switch {
	case k == nil:
		return fault.New(fault.NotFound, "", "the blueprint has been deleted")
	case k.Record.Deleting:
		return beingDeleted(k.Record.Identifier)
	}
	return nil
}

func beingDeleted(blueprint string) error {
	return fault.New(fault.Conflict, "blueprint_deleting", "the blueprint %s is being deleted", blueprint)
}

// free refuses a new entity where nothing is written, or where a migration is about its identifier.
func (n *snapshot) free(key Key) error {
	if err := n.open(key.Blueprint); err != nil {
		return err
	}
	if _, gone := n.gone[key]; gone {
		return n.still(key)
	}
	return nil
}

// writable refuses to write e in the place of old, nil for a new one, as far as blueprints and migrations go.
func (n *snapshot) writable(old, e *Entity) error {
	switch {
	case old == nil:
		return n.free(e.Key)
	case old.Identifier != e.Identifier:
		if err := n.still(old.Key, e.Key); err != nil {
			return err
		}
	}
	return n.open(e.Blueprint)
}

// createWhereOpen keeps a new entity unless its blueprint is being deleted, or a migration is about its
// identifier. Whoever deletes marks the blueprint first and looks for entities then; who creates writes
// first and looks for marks then. One of them finds the other.
func (s *Service) createWhereOpen(ctx context.Context, n *snapshot, e *Entity, edges []Edge, entries ...*audit.Entry) error {
	if err := n.free(e.Key); err != nil {
		return err
	}
	if err := s.store.CreateEntity(ctx, e, edges, entries...); err != nil {
		return err
	}
	stamp, err := s.store.Stamp(ctx)
	if err == nil && stamp == n.stamp {
		return nil
	}
	if err == nil {
		var now *snapshot
		if now, err = s.snapshot(ctx); err == nil {
			if err = now.free(e.Key); err == nil {
				return nil
			}
		}
	}
	// Undone even if the caller is gone; where that fails too, nobody was told that it is there.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leftTime)
	defer cancel()
	_, undo := s.deleteStored(ctx, e.Key, e.ID, func(e *Entity) error {
		if len(entries) > 0 {
			return s.deleteEntity(ctx, n, e, edges, e.Last)
		}
		return s.store.DeleteEntity(ctx, e, edges, e.Last)
	})
	return errors.Join(err, undo)
}
