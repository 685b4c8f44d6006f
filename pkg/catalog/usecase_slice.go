package catalog

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"longshore/pkg/audit"
	"longshore/pkg/fault"
)

const (
	// slicePage is how many entities a slice looks at before it asks whether it is to end.
	slicePage = 100
	// sliceEdges is of how many edges each worker reads the sources at once: they may be large.
	sliceEdges = 20
	// maxPath bounds how deep dependents are nested, in bytes of their keys: the way down is stored.
	maxPath = 200 << 10
)

// DeleteAllEntities deletes the entities that a blueprint has now, up to 200 of them before it returns,
// and with deleteBlueprint then the blueprint, to which no entity is written any more from now on.
//
// fault.Conflict: has_dependents, when other blueprints relate to one that is to be deleted, or when
// entities of other blueprints are found that have a required relation to one of these: those that are
// looked at are the first 200 of each such blueprint. One that is found only later stays, with what it
// relates to, and the migration ends as FAILURE. blueprint_deleting, when that is under way already;
// system_blueprint, when the blueprint is built in.
func (s *Service) DeleteAllEntities(ctx context.Context, blueprint string, deleteBlueprint bool, by Author) (*Migration, error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	k, err := n.get(blueprint)
	if err != nil {
		return nil, err
	}
	if k.Record.Deleting {
		return nil, beingDeleted(blueprint)
	}
	if deleteBlueprint {
		err = n.deletable(k)
	} else {
		err = s.unheld(ctx, n, k)
	}
	if err != nil {
		return nil, err
	}
	m := &Migration{Kind: MigrateAll, Blueprint: k.Record.ID, Name: blueprint, DeleteBlueprint: deleteBlueprint, By: by}
	if err := s.begin(ctx, m); err != nil {
		return nil, err
	}
	// It is recorded, and goes on even if its first slice fails.
	if err := s.first(ctx, m); err != nil {
		return s.store.Migration(ctx, m.ID)
	}
	return m, nil
}

// deletable refuses a blueprint that is built in or that relations of others lead to.
func (n *snapshot) deletable(k *Kept) error {
	identifier := k.Record.Identifier
	if IsSystem(identifier) {
		return fault.New(fault.Conflict, "system_blueprint", "the blueprint %s is built in and cannot be deleted", identifier)
	}
	if users := n.users(k); len(users) > 0 {
		return fault.New(fault.Conflict, "has_dependents", "relations of other blueprints lead to %s: %s", identifier, named(users))
	}
	return nil
}

// users returns the other blueprints whose relations lead to one.
func (n *snapshot) users(k *Kept) (users []string) {
	for _, other := range n.list {
		if other.Record.ID != k.Record.ID && other.Definition != nil &&
			slices.ContainsFunc(other.Definition.Relations, func(r Relation) bool { return r.Target == k.Record.Identifier }) {
			users = append(users, other.Record.Identifier)
		}
	}
	return users
}

// unheld refuses to empty a blueprint if one of the first entities of another one has a required
// relation to it.
func (s *Service) unheld(ctx context.Context, n *snapshot, k *Kept) error {
	for _, other := range n.list {
		if other == k || other.Definition == nil || !slices.ContainsFunc(other.Definition.Relations, func(r Relation) bool {
			return r.Required && r.Target == k.Record.Identifier
		}) {
			continue
		}
		page, err := s.store.List(ctx, other.Record.ID, "", readAtOnce)
		if err != nil {
			return fmt.Errorf("look for dependents: %w", err)
		}
		var holders []string
		for _, e := range page.Entities {
			edges, err := n.edges(other, e)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(edges, func(edge Edge) bool {
				r, ok := other.Definition.Relation(edge.Relation)
				return ok && r.Required && edge.Target.Blueprint == k.Record.ID
			}) {
				holders = append(holders, other.Record.Identifier+"/"+e.Identifier)
			}
		}
		if len(holders) > 0 {
			return fault.New(fault.Conflict, "has_dependents", "required relations lead to entities of %s: of %s", k.Record.Identifier, named(holders))
		}
	}
	return nil
}

// mark sets or takes away the mark of a blueprint that is being deleted.
func (s *Service) mark(ctx context.Context, id string, is bool) (*snapshot, *Kept, error) {
	for try := 1; ; try++ {
		n, err := s.snapshot(ctx)
		if err != nil {
			return nil, nil, err
		}
		k := n.id[id]
		if k == nil || k.Record.Deleting == is {
			return n, k, nil
		}
		b := *k.Record
		b.Deleting = is
		if err := s.store.ReplaceBlueprint(ctx, b.Identifier, &b); err != nil && !absent(err) && !again(ctx, err, try) {
			return nil, nil, fmt.Errorf("mark blueprint: %w", err)
		}
	}
}

// sliceBlueprint empties a blueprint, or looks whether it is empty, and deletes it.
func (s *Service) sliceBlueprint(ctx context.Context, m *Migration, b *budget) (finished bool, err error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return false, err
	}
	whole := m.Kind == MigrateBlueprint || m.DeleteBlueprint
	k := n.id[m.Blueprint]
	if whole {
		if n, k, err = s.mark(ctx, m.Blueprint, true); err != nil {
			return false, err
		}
	}
	if k == nil {
		return true, nil
	}
	for {
		page, err := s.store.List(ctx, m.Blueprint, m.Cursor, b.page())
		if err != nil {
			return false, fmt.Errorf("list entities: %w", err)
		}
		if m.Kind == MigrateBlueprint && len(page.Entities) > 0 {
			for _, e := range page.Entities {
				m.Failed++
				m.names([]string{e.Identifier}, "the blueprint "+k.Record.Identifier+" has entities: %s")
			}
			_, _, err := s.mark(ctx, m.Blueprint, false)
			return err == nil, err
		}
		through, err := s.clear(ctx, n, m, page.Entities, b)
		if err != nil {
			return false, err
		}
		if through {
			m.Cursor = page.Next
			if page.Next == "" {
				break
			}
		}
		if b.spent() {
			return false, nil
		}
	}
	if !whole {
		return true, nil
	}
	return s.deleteMarked(ctx, m)
}

// deleteMarked deletes a blueprint that has no entities any more, unless something has come to hold it.
func (s *Service) deleteMarked(ctx context.Context, m *Migration) (finished bool, err error) {
	for try := 1; ; try++ {
		n, err := s.snapshot(ctx)
		if err != nil {
			return false, err
		}
		k := n.id[m.Blueprint]
		if k == nil {
			return true, nil
		}
		m.names(n.users(k), "relations of other blueprints lead to "+k.Record.Identifier+": %s")
		if m.Error != "" {
			_, _, err := s.mark(ctx, m.Blueprint, false)
			return err == nil, err
		}
		by := s.author(m)
		err = s.store.DeleteBlueprint(ctx, k.Record, by, blueprintEntry(audit.Delete, k.Record, nil, by))
		if err == nil || absent(err) {
			return true, nil
		}
		if !again(ctx, err, try) {
			return false, fmt.Errorf("delete blueprint: %w", err)
		}
	}
}

// clear deletes entities of a blueprint that is being emptied; through is false if some are left because
// the slice is to end.
func (s *Service) clear(ctx context.Context, n *snapshot, m *Migration, entities []*Entity, b *budget) (through bool, err error) {
	by := s.author(m)
	var (
		mu   sync.Mutex
		left bool
	)
	err = inParallel(entities, func(e *Entity) error {
		if !m.DeleteBlueprint && e.CreatedAt.After(m.CreatedAt) {
			return nil
		}
		changed, free, held, err := s.free(ctx, n, m, e.Key, b, by)
		deleted := false
		if err == nil && free {
			deleted, err = s.deleteRead(ctx, e, s.deleting(ctx, n, by))
		}
		mu.Lock()
		defer mu.Unlock()
		m.Changed += changed
		if deleted {
			m.Deleted++
			b.left.Add(-1)
		}
		if len(held) > 0 {
			m.Failed++
			m.names(held, "required relations lead to "+e.Identifier+": of %s")
		}
		left = left || !free && len(held) == 0
		return err
	})
	return !left, err
}

// free empties the relations that lead to an entity, unless one of them is required and of another
// blueprint: then held says by what. It is neither free nor held when the slice is to end before.
func (s *Service) free(ctx context.Context, n *snapshot, m *Migration, key Key, b *budget, by Author) (changed int, free bool, held []string, err error) {
	for from := ""; ; {
		edges, next, err := s.store.Sources(ctx, key, from, sliceEdges)
		if err != nil {
			return changed, false, nil, fmt.Errorf("look for relations: %w", err)
		}
		if m.DeleteBlueprint {
			// Those of its own blueprint go as well.
			edges = slices.DeleteFunc(edges, func(e Edge) bool { return e.Source.Blueprint == key.Blueprint })
		}
		found, err := s.relatingOf(ctx, n, key, edges)
		if err != nil {
			return changed, false, nil, err
		}
		for _, r := range found {
			if r.Blueprint != key.Blueprint && slices.ContainsFunc(r.relations, func(r Relation) bool { return r.Required }) {
				held = append(held, r.blueprint.Record.Identifier+"/"+r.Identifier)
			}
		}
		if len(held) > 0 {
			return changed, false, held, nil
		}
		for _, r := range found {
			if r.Key == key {
				continue
			}
			if b.spent() {
				return changed, false, nil, nil
			}
			b.left.Add(-1)
			if err := s.detach(ctx, r.Key, key, "", by); err != nil {
				return changed, false, nil, err
			}
			changed++
		}
		if from = next; from == "" {
			return changed, true, nil, nil
		}
	}
}

// relatingOf returns those sources of edges that do relate to an entity, each once.
func (s *Service) relatingOf(ctx context.Context, n *snapshot, target Key, edges []Edge) ([]*relating, error) {
	var keys []Key
	seen := map[Key]bool{}
	for _, edge := range edges {
		if !seen[edge.Source] {
			seen[edge.Source] = true
			keys = append(keys, edge.Source)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	entities, err := s.store.Entities(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read related entities: %w", err)
	}
	var found []*relating
	for _, e := range entities {
		r, err := n.relating(e, target)
		if err != nil {
			return nil, err
		}
		if r != nil {
			found = append(found, r)
		}
	}
	return found, nil
}
