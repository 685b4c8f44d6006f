package dynamocatalog_test

import (
	"log/slog"
	"testing"
	"time"

	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/storetest"
)

func TestAudit(t *testing.T) {
	t.Parallel()
	storetest.Audit(t, func(t *testing.T) storetest.AuditStores {
		entities, client, name := newCatalog(t)
		entries := dynamocatalog.NewAudit(client, name, 0, time.Now)
		runs := name + "-runs"
		if err := dynamostore.CreateTables(t.Context(), client, runs, name); err != nil {
			t.Fatal(err)
		}
		return storetest.AuditStores{
			Store: entries, Actions: dynamocatalog.NewActions(client, name), Catalog: entities, Runs: &run.Audited{
				Store: dynamostore.NewRuns(client, runs, 365*24*time.Hour, time.Now), Audit: entries, Log: slog.New(slog.DiscardHandler),
			},
		}
	})
}
