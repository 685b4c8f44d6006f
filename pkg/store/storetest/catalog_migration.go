package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/queue"
)

// LateMigrations is what a store that Catalog opens has besides: what the sweeper asks. Tests of that are
// skipped without it.
type LateMigrations interface {
	DueMigrations(ctx context.Context, now time.Time, limit int) ([]queue.Late, error)
	RestMigration(ctx context.Context, m queue.Late, until time.Time) error
}

func newMigration(t *testing.T, s catalog.Store, due time.Time) *catalog.Migration {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	m := &catalog.Migration{
		ID: catalog.NewMigrationID(), Kind: catalog.MigrateDependents, Status: catalog.MigrationRunning,
		Blueprint: "bp_1", Name: "service", By: author("client_1", now),
		Targets: []catalog.MigrationTarget{{Identifier: "a#~é", ID: "ent_1"}},
		Path:    []catalog.Key{{Blueprint: "bp_1", Identifier: "a#~é"}, {Blueprint: "bp_2", Identifier: "b"}},
		Slice:   1, CreatedAt: now, UpdatedAt: now, Due: due.UTC().Truncate(time.Millisecond),
	}
	if err := s.CreateMigration(t.Context(), m); err != nil {
		t.Fatalf("create migration: %v", err)
	}
	return m
}

func migrationReadAfterWrite(t *testing.T, s catalog.Store) {
	m := newMigration(t, s, time.Now())
	check := func(running ...*catalog.Migration) {
		t.Helper()
		got, err := s.Migration(t.Context(), m.ID)
		if err != nil {
			t.Fatalf("migration: %v", err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("migration (-want +got):\n%s", diff)
		}
		all, err := s.Migrations(t.Context())
		if err != nil {
			t.Fatalf("migrations: %v", err)
		}
		if diff := cmp.Diff(running, all); diff != "" {
			t.Errorf("running (-want +got):\n%s", diff)
		}
	}
	check(m)
	m.Slice, m.Deleted, m.Cursor, m.Path = 2, 200, "x", nil
	if err := s.UpdateMigration(t.Context(), m); err != nil {
		t.Fatalf("update: %v", err)
	}
	check(m)
	m.Status, m.Error, m.Due = catalog.MigrationFailure, "a had to stay", time.Time{}
	if err := s.UpdateMigration(t.Context(), m); err != nil {
		t.Fatalf("end: %v", err)
	}
	check()
	for _, id := range []string{"", "mig_0", "head"} {
		if _, err := s.Migration(t.Context(), id); fault.KindOf(err) != fault.NotFound {
			t.Errorf("migration %q: got error %v, want not found", id, err)
		}
	}
}

// Beginning and end change how entities are read; a slice in between does not.
func migrationMovesTheStamp(t *testing.T, s catalog.Store) {
	stamp := func() int64 {
		t.Helper()
		n, err := s.Stamp(t.Context())
		if err != nil {
			t.Fatalf("stamp: %v", err)
		}
		return n
	}
	before := stamp()
	m := newMigration(t, s, time.Now())
	begun := stamp()
	if err := s.UpdateMigration(t.Context(), m); err != nil {
		t.Fatalf("update: %v", err)
	}
	between := stamp()
	m.Due = time.Time{}
	if err := s.UpdateMigration(t.Context(), m); err != nil {
		t.Fatalf("end: %v", err)
	}
	if begun == before || between != begun || stamp() == between {
		t.Errorf("stamps %d, %d after the beginning, %d after a slice, %d after the end", before, begun, between, stamp())
	}
}

func migrationConcurrentUpdateOneWins(t *testing.T, s catalog.Store) {
	m := newMigration(t, s, time.Now())
	for _, ends := range []bool{false, true} {
		oneWins(t, 8, "conflict", func(int) error {
			mine := *m
			if ends {
				mine.Due = time.Time{}
			}
			return s.UpdateMigration(t.Context(), &mine)
		})
		m.Rev++
	}
}

// What is due is found, rests, and is due again; what has ended is not.
func migrationDue(t *testing.T, s catalog.Store) {
	sweeper, ok := s.(LateMigrations)
	if !ok {
		t.Skip("the store does not show what is due")
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	older, m, later := newMigration(t, s, now.Add(-time.Minute)), newMigration(t, s, now.Add(-time.Second)), newMigration(t, s, now.Add(time.Minute))
	due := func(at time.Time, want ...queue.Late) {
		t.Helper()
		got, err := sweeper.DueMigrations(t.Context(), at, 10)
		if err != nil {
			t.Fatalf("due: %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("due (-want +got):\n%s", diff)
		}
	}
	first, second := queue.Late{PK: older.ID, Generation: 1, Due: older.Due}, queue.Late{PK: m.ID, Generation: 1, Due: m.Due}
	due(now, first, second)
	until := now.Add(time.Hour)
	for range 2 { // The second one finds that somebody moved it.
		if err := sweeper.RestMigration(t.Context(), second, until); err != nil {
			t.Fatalf("rest: %v", err)
		}
	}
	due(now, first)
	third := queue.Late{PK: later.ID, Generation: 1, Due: later.Due}
	due(until, first, third, queue.Late{PK: m.ID, Generation: 1, Sends: 1, Due: until})
	m.Slice, m.Due = 2, now
	if err := s.UpdateMigration(t.Context(), m); err != nil {
		t.Fatalf("update: %v", err)
	}
	due(now, first, queue.Late{PK: m.ID, Generation: 2, Due: now})
	m.Due = time.Time{}
	if err := s.UpdateMigration(t.Context(), m); err != nil {
		t.Fatalf("end: %v", err)
	}
	if err := sweeper.RestMigration(t.Context(), queue.Late{PK: m.ID, Generation: 2, Due: now}, until); err != nil {
		t.Fatalf("rest: %v", err)
	}
	due(until, first, third)
}
