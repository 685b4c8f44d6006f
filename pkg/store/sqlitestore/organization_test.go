package sqlitestore_test

import (
	"os"
	"path/filepath"
	"testing"

	"longshore/pkg/sqlite"
	"longshore/pkg/store/sqlitestore"
	"longshore/pkg/store/storetest"
)

func TestOrganization(t *testing.T) {
	t.Parallel()
	storetest.Organization(t, func(t *testing.T) storetest.OrganizationStore {
		dir := t.TempDir()
		db, err := sqlite.Open(t.Context(), filepath.Join(dir, "longshore.db"))
		if err != nil {
			t.Fatalf("open database: %v", err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Errorf("close database: %v", err)
			}
		})
		s, err := sqlitestore.NewOrganization(t.Context(), db)
		if err != nil {
			t.Fatalf("open store: %v", err)
		}
		entries, err := sqlitestore.NewAudit(t.Context(), db, 0, nil)
		if err != nil {
			t.Fatalf("open audit log: %v", err)
		}
		return storetest.OrganizationStore{Store: s, Audit: entries, Raw: func(t *testing.T) []byte { return filesOf(t, dir) }}
	})
}

// filesOf returns the bytes of all files of a directory: the database and its log.
func filesOf(t *testing.T, dir string) (all []byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	return all
}
