package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/organization"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
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
	// raw returns all that is stored, as it is stored.
	raw func(t *testing.T) []string
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
		raw:          func(t *testing.T) []string { return append(itemsOf(t, client, runs), itemsOf(t, client, table)...) },
	}
}

// openStores returns empty stores on a database of their own.
func openStores(t testing.TB) stores {
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
	return stores{runs, actions, blueprints, entries, settings, func(t *testing.T) []string { return rowsOf(t, db) }}
}

// itemsOf returns the items of a table, sorted.
func itemsOf(t *testing.T, client *dynamodb.Client, table string) []string {
	t.Helper()
	var all []string
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			text, err := json.Marshal(item)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(text))
		}
	}
	slices.Sort(all)
	return all
}

// rowsOf returns the rows of all tables of a database.
func rowsOf(t *testing.T, db *sqlite.DB) []string {
	t.Helper()
	each := func(query string, row func(scan func(...any) error, columns []string)) {
		rows, err := db.Rows(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			row(rows.Scan, columns)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	var tables, all []string
	each(`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`, func(scan func(...any) error, _ []string) {
		var name string
		if err := scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	})
	for _, table := range tables {
		each(`SELECT * FROM "`+table+`"`, func(scan func(...any) error, columns []string) {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			if err := scan(into...); err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("%s %q %q", table, columns, values))
		})
	}
	return all
}
