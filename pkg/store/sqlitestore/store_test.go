package sqlitestore_test

import (
	"testing"

	"longshore/pkg/action"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
	"longshore/pkg/store/storetest"
)

func openRuns(t testing.TB, db *sqlite.DB, o sqlitestore.RunsOptions) *sqlitestore.Runs {
	t.Helper()
	s, err := sqlitestore.NewRuns(t.Context(), db, o)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	return s
}

// exec changes the database behind the store's back.
func exec(t *testing.T, db *sqlite.DB, text string, args ...any) {
	t.Helper()
	if err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.Exec(text, args...)
		return err
	}); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	storetest.Runs(t, func(t *testing.T) storetest.RunStore {
		db := opentest.SQLite(t)
		return storetest.RunStore{
			Store: openRuns(t, db, sqlitestore.RunsOptions{}),
			OrphanBody: func(t *testing.T, id string, b *run.Body) {
				exec(t, db, "INSERT INTO bodies (run, properties) VALUES (?, ?)", id, []byte(b.Properties))
			},
			DropBody: func(t *testing.T, id string) { exec(t, db, "DELETE FROM bodies WHERE run = ?", id) },
		}
	})
}

func TestActions(t *testing.T) {
	t.Parallel()
	storetest.Actions(t, func(t *testing.T) action.Store {
		s, err := sqlitestore.NewActions(t.Context(), opentest.SQLite(t))
		if err != nil {
			t.Fatalf("open store: %v", err)
		}
		return s
	})
}
