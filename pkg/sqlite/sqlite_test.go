package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/sqlite"
)

func open(t testing.TB, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatalf("open database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	return db
}

// openItems opens a database with one table, items (name).
func openItems(t testing.TB, path string) *sqlite.DB {
	t.Helper()
	db := open(t, path)
	if err := db.Migrate(t.Context(), "items", "CREATE TABLE items (name TEXT PRIMARY KEY, size INTEGER)"); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return db
}

func newItems(t testing.TB) *sqlite.DB {
	t.Helper()
	return openItems(t, filepath.Join(t.TempDir(), "test.db"))
}

func insert(name string) func(*sqlite.Tx) error {
	return func(tx *sqlite.Tx) error {
		_, err := tx.Exec("INSERT INTO items (name) VALUES (?)", name)
		return err
	}
}

func write(t testing.TB, db *sqlite.DB, do func(*sqlite.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), do); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func names(t testing.TB, db *sqlite.DB) (all []string) {
	t.Helper()
	rows, err := db.Rows(context.Background(), "SELECT name FROM items ORDER BY name")
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatalf("read: %v", err)
		}
		all = append(all, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("read: %v", err)
	}
	return all
}

func wantNames(t testing.TB, db *sqlite.DB, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, names(t, db)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestReadersCannotWrite(t *testing.T) {
	t.Parallel()
	db := newItems(t)
	rows, err := db.Rows(t.Context(), "INSERT INTO items (name) VALUES ('x') RETURNING name")
	if err == nil {
		for rows.Next() {
			continue
		}
		err = errors.Join(rows.Err(), rows.Close())
	}
	if err == nil {
		t.Errorf("a reader wrote %v", names(t, db))
	}
	wantNames(t, db)
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db := open(t, path)
	steps := []string{
		"CREATE TABLE items (name TEXT); INSERT INTO items VALUES ('first');",
		"INSERT INTO items VALUES ('second')",
	}
	ctx := t.Context()
	if err := db.Migrate(ctx, "items", steps[:1]...); err != nil {
		t.Fatalf("first version: %v", err)
	}
	wantNames(t, db, "first")
	broken := append(steps[:1:1], "INSERT INTO items VALUES ('broken'); INSERT INTO nothing VALUES (1)")
	if err := db.Migrate(ctx, "items", broken...); err == nil {
		t.Errorf("a broken step succeeded")
	}
	wantNames(t, db, "first")
	for range 2 {
		if err := db.Migrate(ctx, "items", steps...); err != nil {
			t.Fatalf("second version: %v", err)
		}
	}
	if err := db.Migrate(ctx, "others", "CREATE TABLE others (name TEXT)"); err != nil {
		t.Fatalf("another package: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	db = open(t, path)
	if err := db.Migrate(ctx, "items", steps...); err != nil {
		t.Fatalf("second version after a restart: %v", err)
	}
	wantNames(t, db, "first", "second")
	if err := db.Migrate(ctx, "items", steps[:1]...); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("an older program: got error %v, want one that names the newer one", err)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a b", "ü?#%41&=")
	path := filepath.Join(dir, "long shore?.db")
	db := openItems(t, path)
	write(t, db, insert("a"))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatalf("read directory: %v", err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatalf("%s: %v", entry.Name(), err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", entry.Name(), info.Mode())
		}
	}
	if err := db.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	var left []string
	entries, err = os.ReadDir(dir)
	if err != nil {
		t.Fatalf("read directory: %v", err)
	}
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	if diff := cmp.Diff([]string{"lock", "long shore?.db"}, left); diff != "" {
		t.Errorf("files after close (-want +got):\n%s", diff)
	}
	wantNames(t, openItems(t, path), "a")
}

func TestNotADatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "test.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("this is no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "open database") {
		t.Errorf("got error %v, want one that says what failed", err)
	}
	// The directory is free again.
	open(t, filepath.Join(dir, "another.db"))
}
