package dynamocatalog

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/store/dynamostore/internal/table"
)

// timerShards is over how many partitions of the index by time entities with a timer are spread: a
// partition of it takes 1,000 writes a second. Migrations are in one of their own there, whose name is no
// number.
const timerShards = 4

func timerShard(n int) string { return strconv.Itoa(n % timerShards) }

// DueTimers implements catalog.Store. The index may lag behind: each entity is looked at itself.
func (s *Catalog) DueTimers(ctx context.Context, now time.Time, limit int) ([]*catalog.Entity, error) {
	shards := make([][]table.Timer, timerShards)
	err := table.Parallel(timerShards, func(n int) (err error) {
		shards[n], err = s.table.DueTimers(ctx, timerShard(n), now, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(shards...)
	slices.SortStableFunc(all, func(a, b table.Timer) int { return cmp.Compare(a.At, b.At) })
	var entities []*catalog.Entity
	for batch := range slices.Chunk(all[:min(len(all), limit)], table.BatchKeys) {
		names := make([]table.Name, len(batch))
		for i, d := range batch {
			names[i] = d.Name
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
			if !e.Timer.IsZero() && !e.Timer.After(now) {
				entities = append(entities, e)
			}
		}
	}
	slices.SortFunc(entities, catalog.ByTimer)
	return entities, nil
}
