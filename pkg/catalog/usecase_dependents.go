package catalog

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// sliceTargets deletes the targets and then deals with what relates to them.
func (s *Service) sliceTargets(ctx context.Context, m *Migration, b *budget) (finished bool, err error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return false, err
	}
	if n.id[m.Blueprint] == nil {
		return true, nil
	}
	if m.Kind == MigrateRename {
		e, err := s.store.Entity(ctx, Key{m.Blueprint, m.To})
		switch {
		case absent(err) || err == nil && e.ID != m.Targets[0].ID:
			m.Status = MigrationCancelled
			return true, nil
		case err != nil:
			return false, fmt.Errorf("read entity: %w", err)
		}
	}
	by := s.author(m)
	for _, t := range m.Targets {
		deleted, err := s.deleteStored(ctx, Key{m.Blueprint, t.Identifier}, t.ID, s.deleting(ctx, n, by))
		if err != nil {
			return false, err
		}
		if deleted && m.Kind != MigrateRename {
			m.Deleted++
		}
	}
	for _, t := range m.Targets {
		key := Key{m.Blueprint, t.Identifier}
		through := false
		if m.Kind == MigrateDependents {
			through, err = s.deleteDependents(ctx, n, m, key, b, by)
		} else {
			through, err = s.changeDependents(ctx, n, m, key, b, by)
		}
		if !through || err != nil {
			return false, err
		}
	}
	return true, nil
}

// changeDependents empties the relations that lead to an entity, or puts its new identifier there.
func (s *Service) changeDependents(ctx context.Context, n *snapshot, m *Migration, target Key, b *budget, by Author) (through bool, err error) {
	for from := ""; ; {
		if b.spent() {
			return false, nil
		}
		edges, next, err := s.store.Sources(ctx, target, from, b.page())
		if err != nil {
			return false, fmt.Errorf("look for relations: %w", err)
		}
		found, err := s.relatingOf(ctx, n, target, edges)
		if err != nil {
			return false, err
		}
		var changed atomic.Int64
		err = inParallel(found, func(r *relating) error {
			if err := s.detach(ctx, r.Key, target, m.To, by); err != nil {
				return err
			}
			changed.Add(1)
			return nil
		})
		m.Changed += int(changed.Load())
		b.left.Add(-changed.Load())
		if err != nil {
			return false, err
		}
		if from = next; from == "" {
			return true, nil
		}
	}
}

// deleteDependents deletes what relates to an entity, and what relates to that: whoever relates to an
// entity goes before it. The way down is kept in the migration; relations in a circle end at it.
func (s *Service) deleteDependents(ctx context.Context, n *snapshot, m *Migration, target Key, b *budget, by Author) (through bool, err error) {
	if len(m.Path) > 0 && m.Path[0] != target {
		return true, nil // Another target's turn has come.
	}
	if len(m.Path) == 0 {
		m.Path = []Key{target}
	}
	for {
		if b.spent() {
			return false, nil
		}
		top := m.Path[len(m.Path)-1]
		found, err := s.dependents(ctx, n, top, m.Path, slicePage)
		if err != nil {
			return false, err
		}
		if len(found) == 0 {
			m.Path = m.Path[:len(m.Path)-1]
			if len(m.Path) == 0 {
				return true, nil
			}
			e, err := s.store.Entity(ctx, top)
			switch {
			case absent(err):
				continue
			case err != nil:
				return false, fmt.Errorf("read entity: %w", err)
			}
			if _, err := s.deleteCounted(ctx, n, m, e, b, by, nil); err != nil {
				return false, err
			}
			continue
		}
		var (
			mu   sync.Mutex
			down *Key
		)
		err = inParallel(found, func(r *relating) error {
			below, err := s.dependents(ctx, n, r.Key, m.Path, 1)
			if err != nil {
				return err
			}
			if len(below) > 0 {
				mu.Lock()
				defer mu.Unlock()
				if down == nil {
					down = &r.Key
				}
				return nil
			}
			_, err = s.deleteCounted(ctx, n, m, r.Entity, b, by, &mu)
			return err
		})
		if err != nil {
			return false, err
		}
		if down != nil {
			m.Path = append(m.Path, *down)
			if size(m.Path) > maxPath {
				m.Status, m.Failed = MigrationFailure, m.Failed+1
				m.Error = fmt.Sprintf("dependents of %s are nested too deep: delete those of %s first", target.Identifier, down.Identifier)
				m.Path = nil
				return true, nil
			}
		}
	}
}

func size(path []Key) (n int) {
	for _, key := range path {
		n += len(key.Blueprint) + len(key.Identifier)
	}
	return n
}

// deleteCounted deletes an entity and counts it, under the lock if there is one.
func (s *Service) deleteCounted(ctx context.Context, n *snapshot, m *Migration, e *Entity, b *budget, by Author, mu *sync.Mutex) (bool, error) {
	deleted, err := s.deleteRead(ctx, e, s.deleting(ctx, n, by))
	if deleted {
		if mu != nil {
			mu.Lock()
			defer mu.Unlock()
		}
		m.Deleted++
		b.left.Add(-1)
	}
	return deleted, err
}

// dependents returns up to limit entities that relate to one, without those on the way down to it.
func (s *Service) dependents(ctx context.Context, n *snapshot, target Key, path []Key, limit int) ([]*relating, error) {
	var all []*relating
	for from := ""; ; {
		edges, next, err := s.store.Sources(ctx, target, from, max(limit, sliceEdges))
		if err != nil {
			return nil, fmt.Errorf("look for relations: %w", err)
		}
		edges = slices.DeleteFunc(edges, func(e Edge) bool { return e.Source == target || slices.Contains(path, e.Source) })
		found, err := s.relatingOf(ctx, n, target, edges)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
		if from = next; from == "" || len(all) >= limit {
			return all[:min(len(all), limit)], nil
		}
	}
}
