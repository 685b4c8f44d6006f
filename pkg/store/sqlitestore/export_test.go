package sqlitestore

import (
	"errors"
	"testing"

	"longshore/pkg/run"
	"longshore/pkg/sqlite"
)

// NearDeadline is how long before its caller's deadline a page of entities ends.
const NearDeadline = nearDeadline

// Plan returns the steps by which SQLite carries out a list.
func Plan(t *testing.T, s *Runs, db *sqlite.DB, f run.Filter) []string {
	t.Helper()
	text, args := s.listing(f)
	return explain(t, db, text, args...)
}

// CatalogPlans returns the steps by which SQLite carries out what the catalog is read by.
func CatalogPlans(t *testing.T, db *sqlite.DB) map[string][]string {
	t.Helper()
	return map[string][]string{
		"blueprint": explain(t, db, wholeBlueprint+"AND identifier = ?", "a"),
		"entity":    explain(t, db, oneEntity, "bp", "a"),
		"entities":  explain(t, db, entitiesOfKeys, "[]"),
		"list":      explain(t, db, entitiesBehind, "bp", "", 1),
		"due":       explain(t, db, entitiesDue, 1, 1),
		"count":     explain(t, db, countOfEntities, "bp"),
		"edges":     explain(t, db, edgesBehind, "bp", "a", "", "", "", 1),
		"purge":     explain(t, db, "SELECT rowid FROM entities WHERE deleted_at > 0 AND deleted_at < ? ORDER BY deleted_at LIMIT ?", 1, 1),
	}
}

// FirstCatalog makes the tables as the first release had them.
func FirstCatalog(t *testing.T, db *sqlite.DB) {
	t.Helper()
	if err := errors.Join(
		db.Migrate(t.Context(), "actions", actionSteps()...), db.Migrate(t.Context(), "catalog", catalogSchema),
	); err != nil {
		t.Fatal(err)
	}
}

func explain(t *testing.T, db *sqlite.DB, text string, args ...any) (steps []string) {
	t.Helper()
	rows, err := db.Rows(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatalf("explain %s: %v", text, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatalf("explain %s: %v", text, err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("explain %s: %v", text, err)
	}
	return steps
}
