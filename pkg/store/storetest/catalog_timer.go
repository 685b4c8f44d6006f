package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/timer"
)

// ends are timers of which each ends at a time.
func ends(times ...time.Time) []timer.Timer {
	var timers []timer.Timer
	for i, at := range times {
		timers = append(timers, timer.Timer{Property: fmt.Sprintf("ends_%d", i), At: at})
	}
	return timers
}

// timerDue follows timers through every kind of write. The index of a store may lag behind.
func timerDue(t *testing.T, s catalog.Store) {
	now := startOfTest()
	bp := catalog.NewBlueprintID()
	long := strings.Repeat("größe", 200)
	timed := func(identifier string, at time.Time) *catalog.Entity {
		e := newEntity(bp, identifier, now)
		e.Timers = ends(at)
		return e
	}
	due := func(at time.Time, limit int, want ...string) {
		t.Helper()
		eventually(t, func() string {
			entities, err := s.DueTimers(t.Context(), at, limit)
			if err != nil {
				t.Fatalf("due timers: %v", err)
			}
			var got []string
			for _, e := range entities {
				if e.Blueprint == bp {
					got = append(got, e.Identifier)
				}
			}
			return cmp.Diff(want, got)
		})
	}
	createEntity(t, s, newEntity(bp, "without", now))
	// A migration that is due is in the same index of one of the stores, and is none of the timers.
	newMigration(t, s, now.Add(-time.Hour))
	third := createEntity(t, s, timed("third", now))
	if !third.Due().Equal(now) {
		t.Errorf("the timer is %v, want %v", third.Due(), now)
	}
	second := createEntity(t, s, timed(long, now.Add(-time.Second)))
	first := createEntity(t, s, timed("first", now.Add(-time.Minute)))
	createEntity(t, s, timed("ahead", now.Add(time.Millisecond)))
	due(now, 10, "first", long, "third")
	due(now, 2, "first", long)
	due(now.Add(-time.Hour), 10)
	due(now.Add(time.Hour), 10, "first", long, "third", "ahead")
	if sweeper, ok := s.(LateMigrations); ok {
		late, err := sweeper.DueMigrations(t.Context(), now, 10)
		if err != nil || len(late) != 1 {
			t.Errorf("%d migrations are due, error %v; want 1", len(late), err)
		}
	}

	// What is put off, taken out or deleted is not due any more.
	second.Timers = ends(now.Add(time.Hour))
	replaceEntity(t, s, second, nil, nil)
	third.Timers = nil
	if third = replaceEntity(t, s, third, nil, nil); !third.Due().IsZero() {
		t.Errorf("the timer is %v after it was taken out", third.Due())
	}
	deleteEntity(t, s, first)
	due(now, 10)
	due(now.Add(time.Hour), 10, "ahead", long)
	// And one that was made again has its own.
	createEntity(t, s, newEntity(bp, "first", now))
	due(now, 10)
	third.Timers = ends(now)
	replaceEntity(t, s, third, nil, nil)
	due(now, 10, "third")

	for i := range 20 {
		createEntity(t, s, timed(fmt.Sprintf("many-%02d", i), now.Add(-time.Duration(20-i)*time.Minute)))
	}
	due(now, 3, "many-00", "many-01", "many-02")
}
