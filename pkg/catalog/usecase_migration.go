package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"longshore/pkg/fault"
)

const (
	// firstSlice is how many entities are deleted or changed before the answer.
	firstSlice = 200
	// laterSlice is how many are in the background, at most within sliceTime.
	laterSlice = 2000
	sliceTime  = 20 * time.Second
	// firstTime is how long a slice may take before the answer, and leftTime what stays of the caller's
	// time.
	firstTime = 8 * time.Second
	leftTime  = 5 * time.Second
	// sliceLost is after how long a slice that nobody has finished is asked for again: longer than it takes.
	sliceLost = 60 * time.Second
	// sliceWorkers is how many entities of a slice are written at once.
	sliceWorkers = 16
)

// sizes are how many entities are dealt with in a slice before the answer, in a later one, and without
// slices.
type sizes struct{ first, later, dependents int }

// OnSlice says how to ask for slice number n of a migration, which then is to come back by Continue.
// Without it, and where it fails, the sweeper asks. It is called before the service is used.
func (s *Service) OnSlice(send func(ctx context.Context, migration string, n int) error) {
	s.send = send
}

// Migration returns one migration. fault.NotFound when there is none.
func (s *Service) Migration(ctx context.Context, id string) (*Migration, error) {
	return s.store.Migration(ctx, id)
}

// Continue carries out slice number n of a migration; done is false when somebody else did already, or
// when there is nothing left to do. fault.NotFound when there is no such migration.
func (s *Service) Continue(ctx context.Context, id string, n int) (done bool, err error) {
	m, err := s.store.Migration(ctx, id)
	if err != nil {
		return false, err
	}
	if m.Status != MigrationRunning || m.Slice != n {
		return false, nil
	}
	return true, s.slice(ctx, m, newBudget(ctx, s.sizes.later, sliceTime))
}

// begin records a migration: from then on it is carried out whatever becomes of its caller.
func (s *Service) begin(ctx context.Context, m *Migration) error {
	now := s.moment()
	m.ID, m.Status, m.Slice = NewMigrationID(), MigrationRunning, 1
	m.CreatedAt, m.UpdatedAt, m.Due = now, now, now.Add(sliceLost)
	if err := s.store.CreateMigration(ctx, m); err != nil {
		return fmt.Errorf("record migration: %w", err)
	}
	return nil
}

// beginAlone records a migration unless another one is about the same entities: then fault.Conflict.
func (s *Service) beginAlone(ctx context.Context, m *Migration) error {
	if err := s.begin(ctx, m); err != nil {
		return err
	}
	n, err := s.snapshot(ctx)
	if err == nil && n.shared(m) {
		err = fault.New(fault.Conflict, "", "somebody else is changing the same entities")
	}
	if err != nil {
		return errors.Join(err, s.cancel(ctx, m))
	}
	return nil
}

// shared reports whether another migration is about an entity of m.
func (n *snapshot) shared(m *Migration) bool {
	own := newMoving([]*Migration{m})
	return slices.ContainsFunc(n.running, func(other *Migration) bool {
		if other.ID == m.ID {
			return false
		}
		for key := range newMoving([]*Migration{other}).ids {
			if own.ids[key] != "" {
				return true
			}
		}
		return false
	})
}

// first carries out the slice before the answer.
func (s *Service) first(ctx context.Context, m *Migration) error {
	return s.slice(ctx, m, newBudget(ctx, s.sizes.first, firstTime))
}

// cancel ends a migration that nothing came of. It may fail: the next slice finds that out as well.
func (s *Service) cancel(ctx context.Context, m *Migration) error {
	now := s.moment()
	m.Status, m.UpdatedAt, m.Due = MigrationCancelled, now, time.Time{}
	return s.store.UpdateMigration(ctx, m)
}

// slice carries out a slice, writes down how far it came, and asks for the next one.
func (s *Service) slice(ctx context.Context, m *Migration, b *budget) error {
	before := *m
	finished, err := s.carryOut(ctx, m, b)
	if err != nil {
		// What it did counts; how far it came does not, for the next one has to look there again.
		if m.Deleted != before.Deleted || m.Changed != before.Changed {
			_ = s.addCounts(ctx, m, before)
		}
		return fmt.Errorf("carry out migration %s: %w", m.ID, err)
	}
	now := s.moment()
	m.UpdatedAt = now
	if finished {
		m.Due = time.Time{}
		switch {
		case m.Status != MigrationRunning:
		case m.Error != "":
			m.Status = MigrationFailure
		default:
			m.Status = MigrationCompleted
		}
	} else {
		m.Slice, m.Due = m.Slice+1, now.Add(sliceLost)
	}
	err = s.store.UpdateMigration(ctx, m)
	if fault.Is(err, "conflict") {
		return s.addCounts(ctx, m, before)
	}
	if err != nil {
		return fmt.Errorf("write migration %s: %w", m.ID, err)
	}
	if !finished && s.send != nil {
		// Record first, send second: what is not sent here is due.
		_ = s.send(ctx, m.ID, m.Slice)
	}
	return nil
}

// addCounts adds what a slice did to a migration that somebody else has carried on meanwhile, and makes
// m what is stored.
func (s *Service) addCounts(ctx context.Context, m *Migration, before Migration) error {
	for try := 1; ; try++ {
		stored, err := s.store.Migration(ctx, m.ID)
		if err != nil {
			return fmt.Errorf("read migration %s: %w", m.ID, err)
		}
		stored.Deleted += m.Deleted - before.Deleted
		stored.Changed += m.Changed - before.Changed
		if err = s.store.UpdateMigration(ctx, stored); err == nil {
			*m = *stored
			return nil
		}
		if !again(ctx, err, try) {
			return fmt.Errorf("write migration %s: %w", m.ID, err)
		}
	}
}

func (s *Service) carryOut(ctx context.Context, m *Migration, b *budget) (finished bool, err error) {
	switch m.Kind {
	case MigrateAll, MigrateBlueprint:
		return s.sliceBlueprint(ctx, m, b)
	case MigrateRelations, MigrateDependents, MigrateRename:
		return s.sliceTargets(ctx, m, b)
	case MigrateBlueprintRename:
		return s.sliceBlueprintRename(ctx, m)
	}
	return false, fmt.Errorf("a migration of the unknown kind %q", m.Kind)
}

// author is who writes a slice: whoever asked for it, now.
func (s *Service) author(m *Migration) Author {
	by := m.By
	by.At = s.moment()
	return by
}

// budget is what a slice may still do.
type budget struct {
	left  atomic.Int64
	until time.Time
}

func newBudget(ctx context.Context, entities int, d time.Duration) *budget {
	b := &budget{until: time.Now().Add(d)}
	b.left.Store(int64(entities))
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-leftTime).Before(b.until) {
		b.until = deadline.Add(-leftTime)
	}
	return b
}

// spent reports whether the slice is to end.
func (b *budget) spent() bool { return b.left.Load() <= 0 || !time.Now().Before(b.until) }

// page is how many entities are to be looked at next.
func (b *budget) page() int { return int(min(slicePage, max(b.left.Load(), 1))) }

// inParallel calls do for some things, a few at once, and returns the first error after all have ended.
func inParallel[T any](things []T, do func(T) error) error {
	var all sync.WaitGroup
	failed := make([]error, min(sliceWorkers, len(things)))
	for worker := range failed {
		all.Go(func() {
			for i := worker; i < len(things) && failed[worker] == nil; i += len(failed) {
				failed[worker] = do(things[i])
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// deleteStored deletes the entity of a key and an internal id, whatever became of it meanwhile; false
// when it is not there.
func (s *Service) deleteStored(ctx context.Context, key Key, id string, remove func(*Entity) error) (bool, error) {
	e, err := s.store.Entity(ctx, key)
	switch {
	case absent(err) || err == nil && e.ID != id:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read entity: %w", err)
	}
	return s.deleteRead(ctx, e, remove)
}

// deleteRead does the same with an entity that was read a while ago.
func (s *Service) deleteRead(ctx context.Context, e *Entity, remove func(*Entity) error) (bool, error) {
	key, id := e.Key, e.ID
	for try := 1; ; try++ {
		err := remove(e)
		switch {
		case err == nil:
			return true, nil
		case absent(err):
			return false, nil
		case !again(ctx, err, try):
			return false, fmt.Errorf("delete entity: %w", err)
		}
		e, err = s.store.Entity(ctx, key)
		switch {
		case absent(err) || err == nil && e.ID != id:
			return false, nil
		case err != nil:
			return false, fmt.Errorf("read entity: %w", err)
		}
	}
}

// deleting deletes an entity with its edges.
func (s *Service) deleting(ctx context.Context, n *snapshot, by Author) func(*Entity) error {
	return func(e *Entity) error {
		var edges []Edge
		if k := n.id[e.Blueprint]; k != nil && k.Definition != nil {
			var err error
			if edges, err = n.edges(k, e); err != nil {
				return err
			}
		}
		return s.deleteEntity(ctx, n, e, edges, by)
	}
}

// names lists the first of what had to stay.
func (m *Migration) names(list []string, format string) {
	if m.Error == "" && len(list) > 0 {
		slices.Sort(list)
		m.Error = fmt.Sprintf(format, named(list))
	}
}
