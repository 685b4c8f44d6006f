package trigger_test

import (
	"testing"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/run"
	"longshore/pkg/store/opentest"
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
	db := opentest.SQLite(t)
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
