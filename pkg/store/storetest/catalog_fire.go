package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/timer"
)

// Clocked is what a store that Catalog opens has besides: what the clock asks. Tests of that are skipped
// without it.
type Clocked interface {
	LateTimers(ctx context.Context, now time.Time, limit int) ([]timer.Late, error)
	FireTimers(ctx context.Context, late timer.Late, now time.Time) (fired int, err error)
}

// tick fires what is due of a blueprint as the clock does, until nothing of it is.
func tick(t *testing.T, s catalog.Store, blueprint string, now time.Time) (fired int) {
	t.Helper()
	c := clock(t, s)
	eventually(t, func() string {
		late, err := c.LateTimers(t.Context(), now, 1000)
		if err != nil {
			t.Fatalf("late timers: %v", err)
		}
		left := 0
		for _, l := range late {
			if !strings.Contains(l.Partition, blueprint) {
				continue
			}
			left++
			n, err := c.FireTimers(t.Context(), l, now)
			if err != nil {
				t.Fatalf("fire timers: %v", err)
			}
			fired += n
		}
		if left > 0 {
			return fmt.Sprintf("%d entities are due still", left)
		}
		return ""
	})
	return fired
}

func clock(t *testing.T, s catalog.Store) Clocked {
	t.Helper()
	c, ok := s.(Clocked)
	if !ok {
		t.Skip("the store has no clock")
	}
	return c
}

func entityOf(t *testing.T, s catalog.Store, key catalog.Key) *catalog.Entity {
	t.Helper()
	e, err := s.Entity(t.Context(), key)
	if err != nil {
		t.Fatalf("entity: %v", err)
	}
	return e
}

// timerFiresOnce fires the timers of an entity one after another. What the clock writes is no change.
func timerFiresOnce(t *testing.T, s catalog.Store) {
	clock(t, s)
	now := startOfTest()
	bp := catalog.NewBlueprintID()
	identifier := strings.Repeat("größe", 200)
	e := newEntity(bp, identifier, now)
	e.Timers = ends(now.Add(-time.Second), now, now.Add(time.Hour))
	e = createEntity(t, s, e)
	fires := func(step string, at time.Time, want int) {
		t.Helper()
		if got := tick(t, s, bp, at); got != want {
			t.Errorf("%s: %d timers fired, want %d", step, got, want)
		}
	}
	fires("before", now.Add(-time.Minute), 0)
	fires("two at once", now, 2)
	want := *e
	want.Timers = e.Timers[2:]
	if diff := cmp.Diff(&want, entityOf(t, s, e.Key)); diff != "" {
		t.Errorf("the entity, but for its timers, is another one (-want +got):\n%s", diff)
	}
	fires("again", now.Add(time.Minute), 0)
	fires("the next one", now.Add(time.Hour), 1)
	if got := entityOf(t, s, e.Key); len(got.Timers) > 0 || got.Rev != e.Rev {
		t.Errorf("timers %v at rev %d, want none at rev %d", got.Timers, got.Rev, e.Rev)
	}
	// A crash after the event left the timer in its place; and so does a write that had read it before.
	again := entityOf(t, s, e.Key)
	again.Timers = e.Timers[1:]
	replaceEntity(t, s, again, nil, nil)
	fires("after a crash", now.Add(2*time.Hour), 0)
	if got := entityOf(t, s, e.Key); len(got.Timers) > 0 {
		t.Errorf("timers %v are left after a crash was repaired, want none", got.Timers)
	}
}

// timerMoved fires a timer for the date that it has when it passes.
func timerMoved(t *testing.T, s catalog.Store) {
	clock(t, s)
	now := startOfTest()
	bp := catalog.NewBlueprintID()
	timed := func(identifier string, at time.Time) *catalog.Entity {
		e := newEntity(bp, identifier, now)
		e.Timers = ends(at)
		return createEntity(t, s, e)
	}
	later, sooner, gone := timed("later", now.Add(time.Hour)), timed("sooner", now.Add(time.Hour)), timed("gone", now.Add(time.Hour))
	later.Timers, sooner.Timers = ends(now.Add(2*time.Hour)), ends(now.Add(time.Minute))
	replaceEntity(t, s, later, nil, nil)
	replaceEntity(t, s, sooner, nil, nil)
	deleteEntity(t, s, gone)
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{30 * time.Second, 0}, {time.Minute, 1}, {time.Hour, 0}, {2 * time.Hour, 1}, {24 * time.Hour, 0}} {
		if got := tick(t, s, bp, now.Add(c.after)); got != c.want {
			t.Errorf("%s later: %d timers fired, want %d", c.after, got, c.want)
		}
	}
	// One of the same identifier and date is another entity.
	timed("gone", now.Add(time.Hour))
	if got := tick(t, s, bp, now.Add(25*time.Hour)); got != 1 {
		t.Errorf("made again: %d timers fired, want 1", got)
	}
}

// timerRacesWrite lets several clocks fire while others write the entities. Each date fires once, and no
// write is refused because of a clock or lost to one.
func timerRacesWrite(t *testing.T, s catalog.Store) {
	c := clock(t, s)
	now := startOfTest()
	bp := catalog.NewBlueprintID()
	const entities = 20
	for i := range entities {
		e := newEntity(bp, fmt.Sprintf("e-%02d", i), now)
		e.Timers = ends(now.Add(-time.Minute), now.Add(time.Hour))
		createEntity(t, s, e)
	}
	var late []timer.Late
	eventually(t, func() string {
		all, err := c.LateTimers(t.Context(), now, 1000)
		if err != nil {
			t.Fatal(err)
		}
		late = nil
		for _, l := range all {
			if strings.Contains(l.Partition, bp) {
				late = append(late, l)
			}
		}
		if len(late) != entities {
			return fmt.Sprintf("%d entities are due, want %d", len(late), entities)
		}
		return ""
	})
	var fired atomic.Int64
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for _, l := range late {
				n, err := c.FireTimers(t.Context(), l, now)
				if err != nil {
					t.Errorf("fire timers: %v", err)
				}
				fired.Add(int64(n))
			}
		})
	}
	all.Go(func() {
		for i := range entities {
			e := entityOf(t, s, catalog.Key{Blueprint: bp, Identifier: fmt.Sprintf("e-%02d", i)})
			e.UpdatedBy = "writer"
			if err := s.ReplaceEntity(t.Context(), e, nil, nil); err != nil {
				t.Errorf("replace entity: %v", err)
			}
		}
	})
	all.Wait()
	if rest := tick(t, s, bp, now); fired.Load()+int64(rest) != entities {
		t.Errorf("%d timers fired, want %d", fired.Load()+int64(rest), entities)
	}
	for i := range entities {
		e := entityOf(t, s, catalog.Key{Blueprint: bp, Identifier: fmt.Sprintf("e-%02d", i)})
		if e.UpdatedBy != "writer" || !e.Due().Equal(now.Add(time.Hour)) {
			t.Errorf("%s was written by %q and is due at %s", e.Identifier, e.UpdatedBy, e.Due())
		}
	}
}
