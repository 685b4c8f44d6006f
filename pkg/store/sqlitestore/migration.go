package sqlitestore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/queue"
	"longshore/pkg/sqlite"
)

const migrationsSchema = `
CREATE TABLE catalog_migrations (
	id TEXT PRIMARY KEY,
	rev INTEGER NOT NULL,
	slice INTEGER NOT NULL,
	sends INTEGER NOT NULL DEFAULT 0,
	due_at INTEGER NOT NULL,
	ended_at INTEGER NOT NULL,
	body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX catalog_migrations_due ON catalog_migrations (due_at) WHERE due_at > 0;
CREATE INDEX catalog_migrations_ended ON catalog_migrations (ended_at) WHERE ended_at > 0;
`

const wholeMigration = "SELECT id, rev, due_at, body FROM catalog_migrations "

// CreateMigration implements catalog.Store.
func (s *Catalog) CreateMigration(ctx context.Context, m *catalog.Migration) error {
	return s.writeMigration(ctx, m, func(tx *sqlite.Tx, body []byte) (int64, error) {
		return tx.Exec("INSERT INTO catalog_migrations (id, rev, slice, due_at, ended_at, body) VALUES (?, ?, ?, ?, 0, ?) ON CONFLICT DO NOTHING",
			m.ID, m.Rev+1, m.Slice, nanos(m.Due), body)
	}, true)
}

// UpdateMigration implements catalog.Store.
func (s *Catalog) UpdateMigration(ctx context.Context, m *catalog.Migration) error {
	var ended time.Time
	if m.Due.IsZero() {
		ended = m.UpdatedAt
	}
	return s.writeMigration(ctx, m, func(tx *sqlite.Tx, body []byte) (int64, error) {
		return tx.Exec("UPDATE catalog_migrations SET rev = ?, slice = ?, sends = 0, due_at = ?, ended_at = ?, body = ? WHERE id = ? AND rev = ?",
			m.Rev+1, m.Slice, nanos(m.Due), nanos(ended), body, m.ID, m.Rev)
	}, m.Due.IsZero())
}

func (s *Catalog) writeMigration(ctx context.Context, m *catalog.Migration, write func(*sqlite.Tx, []byte) (int64, error), raise bool) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode migration: %w", err)
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		n, err := write(tx, body)
		if err != nil {
			return sqlite.Explain(err, "write migration")
		}
		if n == 0 {
			return fault.New(fault.Conflict, "conflict", "the migration %s was changed meanwhile", m.ID)
		}
		if raise {
			_, err = s.raise(tx)
		}
		return err
	})
	if err == nil {
		m.Rev++
	}
	return err
}

// Migration implements catalog.Store.
func (s *Catalog) Migration(ctx context.Context, id string) (*catalog.Migration, error) {
	all, err := s.migrations(ctx, wholeMigration+"WHERE id = ? AND (ended_at = 0 OR ended_at > ?)",
		id, nanos(time.Now().Add(-catalog.MigrationRetention)))
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fault.New(fault.NotFound, "", "there is no such migration")
	}
	return all[0], nil
}

// Migrations implements catalog.Store.
func (s *Catalog) Migrations(ctx context.Context) ([]*catalog.Migration, error) {
	return s.migrations(ctx, wholeMigration+"WHERE due_at > 0 ORDER BY id")
}

func (s *Catalog) migrations(ctx context.Context, text string, args ...any) ([]*catalog.Migration, error) {
	rows, err := s.db.Rows(ctx, text, args...)
	if err != nil {
		return nil, sqlite.Explain(err, "read migrations")
	}
	defer rows.Close()
	var all []*catalog.Migration
	for rows.Next() {
		var id string
		var rev, due int64
		var body []byte
		if err := rows.Scan(&id, &rev, &due, &body); err != nil {
			return nil, sqlite.Explain(err, "read migrations")
		}
		m := new(catalog.Migration)
		if err := json.Unmarshal(body, m); err != nil {
			return nil, fmt.Errorf("decode migration %s: %w", id, err)
		}
		m.ID, m.Rev, m.Due = id, rev, moment(due)
		all = append(all, m)
	}
	return all, sqlite.Explain(rows.Err(), "read migrations")
}

// DueMigrations is for the sweeper.
func (s *Catalog) DueMigrations(ctx context.Context, now time.Time, limit int) ([]queue.Late, error) {
	rows, err := s.db.Rows(ctx, "SELECT id, slice, sends, due_at FROM catalog_migrations WHERE due_at > 0 AND due_at <= ? ORDER BY due_at LIMIT ?", nanos(now), limit)
	if err != nil {
		return nil, sqlite.Explain(err, "read migrations")
	}
	defer rows.Close()
	var all []queue.Late
	for rows.Next() {
		var m queue.Late
		var due int64
		if err := rows.Scan(&m.PK, &m.Generation, &m.Sends, &due); err != nil {
			return nil, sqlite.Explain(err, "read migrations")
		}
		m.Due = moment(due)
		all = append(all, m)
	}
	return all, sqlite.Explain(rows.Err(), "read migrations")
}

// RestMigration is for the sweeper.
func (s *Catalog) RestMigration(ctx context.Context, m queue.Late, until time.Time) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.Exec("UPDATE catalog_migrations SET due_at = ?, sends = sends + 1 WHERE id = ? AND due_at = ?", nanos(until), m.PK, nanos(m.Due))
		return sqlite.Explain(err, "write migration")
	})
}

// purgeMigrations removes those that ended long ago.
func (s *Catalog) purgeMigrations(ctx context.Context, now time.Time) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.Exec("DELETE FROM catalog_migrations WHERE ended_at > 0 AND ended_at < ?", nanos(now.Add(-catalog.MigrationRetention)))
		return sqlite.Explain(err, "purge migrations")
	})
}
