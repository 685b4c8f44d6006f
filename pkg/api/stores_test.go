package api_test

import (
	"context"
	"path/filepath"
	"testing"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/sqlitestore"
)

// openStores returns empty stores on a database of their own.
func openStores(t *testing.T) (run.Store, action.Store, catalog.Store, audit.Store) {
	t.Helper()
	ctx := context.Background()
	db, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "longshore.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	runs, err := sqlitestore.NewRuns(ctx, db, sqlitestore.RunsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	actions, err := sqlitestore.NewActions(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	blueprints, err := sqlitestore.NewCatalog(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := sqlitestore.NewAudit(ctx, db, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	return runs, actions, blueprints, entries
}
