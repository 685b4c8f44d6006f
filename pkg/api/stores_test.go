package api_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/organization"
	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
)

// stores are those that an API works with.
type stores struct {
	runs         run.Store
	actions      action.Store
	catalog      catalog.Store
	audit        audit.Store
	organization organization.Store
}

// onStores runs a test on an API over each kind of stores, which are empty.
func onStores(t *testing.T, test func(f *fixture)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(newFixtureOn(t, openStores(t)))
	})
	t.Run("DynamoDB", func(t *testing.T) {
		t.Parallel()
		test(newFixtureOn(t, openTables(t)))
	})
}

// openTables returns empty stores on tables of their own.
func openTables(t *testing.T) stores {
	t.Helper()
	client, runs, table := opentest.DynamoDB(t)
	entries := dynamocatalog.NewAudit(client, table, 0, time.Now)
	return stores{
		runs:         &run.Audited{Store: dynamostore.NewRuns(client, runs, 24*time.Hour, time.Now), Audit: entries, Log: slog.New(slog.DiscardHandler)},
		actions:      dynamocatalog.NewActions(client, table),
		catalog:      dynamocatalog.NewCatalog(client, table, time.Now),
		audit:        entries,
		organization: dynamocatalog.NewOrganization(client, table),
	}
}

// openStores returns empty stores on a database of their own.
func openStores(t *testing.T) stores {
	t.Helper()
	ctx := context.Background()
	db := opentest.SQLite(t)
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
	settings, err := sqlitestore.NewOrganization(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	return stores{runs, actions, blueprints, entries, settings}
}
