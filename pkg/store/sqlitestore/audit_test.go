package sqlitestore_test

import (
	"testing"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
	"longshore/pkg/store/storetest"
)

func openAudit(t *testing.T, db *sqlite.DB, retention time.Duration) *sqlitestore.Audit {
	t.Helper()
	s, err := sqlitestore.NewAudit(t.Context(), db, retention, nil)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	return s
}

func TestAudit(t *testing.T) {
	t.Parallel()
	storetest.Audit(t, func(t *testing.T) storetest.AuditStores {
		db := opentest.SQLite(t)
		actions, err := sqlitestore.NewActions(t.Context(), db)
		if err != nil {
			t.Fatalf("open store: %v", err)
		}
		catalog, err := sqlitestore.NewCatalog(t.Context(), db)
		if err != nil {
			t.Fatalf("open store: %v", err)
		}
		return storetest.AuditStores{
			Store: openAudit(t, db, 0), Actions: actions, Catalog: catalog, Runs: openRuns(t, db, sqlitestore.RunsOptions{}),
		}
	})
}

func TestPurgeDeletesExpiredAuditEntriesOnly(t *testing.T) {
	t.Parallel()
	db, now := opentest.SQLite(t), time.Now().UTC().Truncate(time.Millisecond)
	s := openAudit(t, db, time.Hour)
	var entries []*audit.Entry
	for n := range 250 {
		at := now.Add(-2*time.Hour - time.Duration(n)*time.Second)
		entries = append(entries, audit.New(audit.Entry{Action: audit.Create, Resource: audit.Entity, Identifier: "a", By: audit.Author{At: at}}, "a", 0))
	}
	entries = append(entries, audit.New(audit.Entry{Action: audit.Create, Resource: audit.Entity, Identifier: "young", By: audit.Author{At: now}}, "b", 0))
	if err := s.Record(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := db.Scan(t.Context(), "SELECT count(*) FROM audits", nil, &left); err != nil || left != 1 {
		t.Errorf("%d entries are left, %v; want the young one", left, err)
	}
}
