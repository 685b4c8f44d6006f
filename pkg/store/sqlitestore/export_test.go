package sqlitestore

import (
	"testing"

	"longshore/pkg/run"
	"longshore/pkg/sqlite"
)

// Plan returns the steps by which SQLite carries out a list.
func Plan(t *testing.T, s *Runs, db *sqlite.DB, f run.Filter) (steps []string) {
	t.Helper()
	text, args := s.listing(f)
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
