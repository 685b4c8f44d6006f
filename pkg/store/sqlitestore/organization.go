package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"

	"longshore/pkg/audit"
	"longshore/pkg/fault"
	"longshore/pkg/organization"
	"longshore/pkg/sqlite"
)

// The one row of settings is there once they were written.
const organizationSchema = `
CREATE TABLE settings (
	id INTEGER PRIMARY KEY CHECK (id = 1),
	content BLOB NOT NULL,
	rev INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	updated_by TEXT NOT NULL
);
CREATE TABLE secrets (
	name TEXT PRIMARY KEY,
	id TEXT NOT NULL,
	description TEXT NOT NULL,
	sealed BLOB NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	created_by TEXT NOT NULL,
	updated_by TEXT NOT NULL,
	rev INTEGER NOT NULL
);
INSERT INTO stamps VALUES ('organization', 0), ('secret', 0);
`

// Organization is an organization.Store. A secret's Rev is the stamp of its last change. What is deleted
// is gone at once: no change feed reports secrets. One database has one Organization at a time.
type Organization struct {
	db *sqlite.DB
	// stamp is the stored one: only this process moves it.
	stamp atomic.Int64
}

var _ organization.Store = (*Organization)(nil)

// NewOrganization returns a store over a database whose tables it makes or brings up to date.
func NewOrganization(ctx context.Context, db *sqlite.DB) (*Organization, error) {
	// The table of stamps came with the definitions.
	if err := db.Migrate(ctx, "actions", actionSteps()...); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "audits", auditsSchema); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "organization", organizationSchema); err != nil {
		return nil, err
	}
	s := &Organization{db: db}
	var stamp int64
	if err := db.Scan(ctx, "SELECT stamp FROM stamps WHERE kind = 'secret'", nil, &stamp); err != nil {
		return nil, sqlite.Explain(err, "read the stamp of secrets")
	}
	s.stamp.Store(stamp)
	return s, nil
}

// change makes a write and its audit entry in one operation.
func (s *Organization) change(ctx context.Context, e *audit.Entry, write func(*sqlite.Tx) error) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := write(tx); err != nil {
			return err
		}
		return recordTx(tx, []*audit.Entry{e})
	})
}

// Stamp implements organization.Store.
func (s *Organization) Stamp(context.Context) (int64, error) { return s.stamp.Load(), nil }

// Settings implements organization.Store.
func (s *Organization) Settings(ctx context.Context) (*organization.Settings, error) {
	settings := new(organization.Settings)
	var at int64
	err := s.db.Scan(ctx, "SELECT content, rev, updated_at, updated_by FROM settings", nil,
		(*[]byte)(&settings.Content), &settings.Rev, &at, &settings.UpdatedBy)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, sqlite.Explain(err, "read settings")
	}
	settings.UpdatedAt = moment(at)
	return settings, nil
}

// ReplaceSettings implements organization.Store.
func (s *Organization) ReplaceSettings(ctx context.Context, o *organization.Settings, e *audit.Entry) error {
	return s.change(ctx, e, func(tx *sqlite.Tx) error {
		var rev int64
		err := tx.Scan("SELECT rev FROM settings", nil, &rev)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return sqlite.Explain(err, "read settings")
		}
		if rev != o.Rev {
			return fault.New(fault.Conflict, "conflict", "the organization was changed meanwhile")
		}
		if _, err := nextRev(tx, "organization"); err != nil {
			return err
		}
		_, err = tx.Exec("INSERT OR REPLACE INTO settings (id, content, rev, updated_at, updated_by) VALUES (1, ?, ?, ?, ?)",
			[]byte(o.Content), rev+1, nanos(o.UpdatedAt), o.UpdatedBy)
		return sqlite.Explain(err, "write settings")
	})
}

const wholeSecret = "SELECT name, id, description, sealed, created_at, updated_at, created_by, updated_by, rev FROM secrets "

// Secrets implements organization.Store.
func (s *Organization) Secrets(ctx context.Context) ([]*organization.Secret, error) {
	return s.read(ctx, wholeSecret+"ORDER BY name")
}

// Secret implements organization.Store.
func (s *Organization) Secret(ctx context.Context, name string) (*organization.Secret, error) {
	all, err := s.read(ctx, wholeSecret+"WHERE name = ?", name)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, noSecret(name)
	}
	return all[0], nil
}

func noSecret(name string) error { return fault.New(fault.NotFound, "", "there is no secret %q", name) }

func (s *Organization) read(ctx context.Context, text string, args ...any) ([]*organization.Secret, error) {
	rows, err := s.db.Rows(ctx, text, args...)
	if err != nil {
		return nil, sqlite.Explain(err, "read secrets")
	}
	defer rows.Close()
	var all []*organization.Secret
	for rows.Next() {
		o := new(organization.Secret)
		var created, updated int64
		if err := rows.Scan(&o.Name, &o.ID, &o.Description, &o.Sealed, &created, &updated, &o.CreatedBy, &o.UpdatedBy, &o.Rev); err != nil {
			return nil, sqlite.Explain(err, "read secrets")
		}
		o.CreatedAt, o.UpdatedAt = moment(created), moment(updated)
		all = append(all, o)
	}
	return all, sqlite.Explain(rows.Err(), "read secrets")
}

// CreateSecret implements organization.Store.
func (s *Organization) CreateSecret(ctx context.Context, o *organization.Secret, e *audit.Entry) error {
	return s.change(ctx, e, func(tx *sqlite.Tx) error {
		var n int
		if err := tx.Scan("SELECT count(*) FROM secrets WHERE name = ?", []any{o.Name}, &n); err != nil {
			return sqlite.Explain(err, "read secret")
		}
		if n > 0 {
			return fault.New(fault.Conflict, "identifier_taken", "a secret with the name %q exists already", o.Name)
		}
		return s.put(tx, o)
	})
}

// ReplaceSecret implements organization.Store.
func (s *Organization) ReplaceSecret(ctx context.Context, o *organization.Secret, e *audit.Entry) error {
	return s.change(ctx, e, func(tx *sqlite.Tx) error {
		if err := same(tx, o); err != nil {
			return err
		}
		return s.put(tx, o)
	})
}

// DeleteSecret implements organization.Store.
func (s *Organization) DeleteSecret(ctx context.Context, o *organization.Secret, _ audit.Author, e *audit.Entry) error {
	return s.change(ctx, e, func(tx *sqlite.Tx) error {
		if err := same(tx, o); err != nil {
			return err
		}
		if _, err := s.raise(tx); err != nil {
			return err
		}
		_, err := tx.Exec("DELETE FROM secrets WHERE name = ?", o.Name)
		return sqlite.Explain(err, "delete secret")
	})
}

// same returns a fault unless the stored secret is this one in this state.
func same(tx *sqlite.Tx, o *organization.Secret) error {
	var id string
	var rev int64
	err := tx.Scan("SELECT id, rev FROM secrets WHERE name = ?", []any{o.Name}, &id, &rev)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return noSecret(o.Name)
	case err != nil:
		return sqlite.Explain(err, "read secret")
	case id != o.ID || rev != o.Rev:
		return fault.New(fault.Conflict, "conflict", "the secret %q was changed meanwhile", o.Name)
	}
	return nil
}

// put writes a secret and moves the stamp.
func (s *Organization) put(tx *sqlite.Tx, o *organization.Secret) error {
	stamp, err := s.raise(tx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT OR REPLACE INTO secrets (name, id, description, sealed, created_at, updated_at, created_by, updated_by, rev)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		o.Name, o.ID, o.Description, o.Sealed, nanos(o.CreatedAt), nanos(o.UpdatedAt), o.CreatedBy, o.UpdatedBy, stamp)
	return sqlite.Explain(err, "write secret")
}

func (s *Organization) raise(tx *sqlite.Tx) (int64, error) {
	stamp, err := nextRev(tx, "secret")
	tx.AfterCommit(func() { s.stamp.Store(stamp) })
	return stamp, err
}
