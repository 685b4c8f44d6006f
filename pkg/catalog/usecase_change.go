package catalog

import "context"

// All entities are written through these three, so that what a change brings with it is in one place.

// createEntity keeps a new entity.
func (s *Service) createEntity(ctx context.Context, n *snapshot, e *Entity, edges []Edge) error {
	return s.createWhereOpen(ctx, n, e, edges)
}

// replaceEntity puts e in the place of old.
func (s *Service) replaceEntity(ctx context.Context, _ *snapshot, _, e *Entity, edges, stale []Edge) error {
	return s.store.ReplaceEntity(ctx, e, edges, stale)
}

// deleteEntity removes an entity.
func (s *Service) deleteEntity(ctx context.Context, _ *snapshot, e *Entity, edges []Edge, by Author) error {
	return s.store.DeleteEntity(ctx, e, edges, by)
}
