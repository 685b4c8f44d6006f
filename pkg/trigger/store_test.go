package trigger_test

import (
	"path/filepath"
	"testing"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/sqlitestore"
)

// openStore returns an empty store, whose clock stands at start.
func openStore(t testing.TB) run.Store {
	t.Helper()
	runs, _ := openStores(t)
	return runs
}

// openStores returns empty stores on one database.
func openStores(t testing.TB) (run.Store, catalog.Store) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "longshore.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	store, err := sqlitestore.NewRuns(t.Context(), db, sqlitestore.RunsOptions{Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	entities, err := sqlitestore.NewCatalog(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return store, entities
}
