package catalog

import (
	"context"
	"errors"

	"longshore/pkg/audit"
)

// All entities are written through these, so that what a change brings with it is in one place.

// createEntity keeps a new entity.
func (s *Service) createEntity(ctx context.Context, n *snapshot, e *Entity, edges []Edge) error {
	e.Timers = n.timers(nil, e)
	return s.createWhereOpen(ctx, n, e, edges, n.entityEntry(audit.Create, nil, e, e.Last))
}

// replaceEntity puts e in the place of old.
func (s *Service) replaceEntity(ctx context.Context, n *snapshot, old, e *Entity, edges, stale []Edge) error {
	e.Timers = n.timers(old, e)
	return s.store.ReplaceEntity(ctx, e, edges, stale, n.entityEntry(audit.Update, old, e, e.Last))
}

// deleteEntity removes an entity.
func (s *Service) deleteEntity(ctx context.Context, n *snapshot, e *Entity, edges []Edge, by Author) error {
	return s.store.DeleteEntity(ctx, e, edges, by, n.entityEntry(audit.Delete, e, nil, by))
}

// renameEntity keeps e as a new entity and removes old, whose edges are stale; if that fails there is no
// new one. It counts as a deletion and a creation.
func (s *Service) renameEntity(ctx context.Context, n *snapshot, old, e *Entity, edges, stale []Edge, by Author) error {
	e.Timers = n.timers(old, e)
	if err := s.createWhereOpen(ctx, n, e, edges); err != nil {
		return err
	}
	err := s.store.DeleteEntity(ctx, old, stale, by, n.entityEntry(audit.Delete, old, nil, by), n.entityEntry(audit.Create, nil, e, by))
	if err == nil {
		return nil
	}
	_, undo := s.deleteStored(ctx, e.Key, e.ID, func(e *Entity) error { return s.store.DeleteEntity(ctx, e, edges, by) })
	return errors.Join(err, undo)
}
