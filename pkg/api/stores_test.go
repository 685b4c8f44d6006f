package api_test

import (
	"context"
	"path/filepath"
	"testing"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/organization"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/sqlitestore"
)

// openStores returns empty stores on a database of their own.
func openStores(t *testing.T) (run.Store, action.Store, catalog.Store, organization.Store) {
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
	settings, err := sqlitestore.NewOrganization(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	return runs, actions, blueprints, settings
}
