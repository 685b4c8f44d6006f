package dynamocatalog

import (
	"context"
	"slices"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/store/dynamostore/internal/table"
)

// DueTimers implements catalog.Store. The index may lag behind: each entity is looked at itself.
func (s *Catalog) DueTimers(ctx context.Context, now time.Time, limit int) ([]*catalog.Entity, error) {
	all, err := s.table.LateTimers(ctx, now, limit)
	if err != nil {
		return nil, err
	}
	var entities []*catalog.Entity
	for batch := range slices.Chunk(all, table.BatchKeys) {
		names := make([]table.Name, len(batch))
		for i, d := range batch {
			names[i] = table.Name{PK: d.Partition, SK: d.Name}
		}
		items, err := s.table.Batch(ctx, names)
		if err != nil {
			return nil, err
		}
		for _, i := range items {
			if gone(i) {
				continue
			}
			e, err := s.readEntity(i)
			if err != nil {
				return nil, err
			}
			if due := e.Due(); !due.IsZero() && !due.After(now) {
				entities = append(entities, e)
			}
		}
	}
	slices.SortFunc(entities, catalog.ByTimer)
	return entities, nil
}
