package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/fault"
	"longshore/pkg/sqlite"
)

// Actions is an action.Store. A record's Rev is the stamp of its last change, so that no two
// definitions of one identifier ever share one. One database has one Actions at a time.
type Actions struct {
	db *sqlite.DB
	// Feed tells of the definitions' changes; nil for none.
	Feed *Feed
	// stamp is the stored one, so that no trigger has to read it: only this process moves it.
	stamp atomic.Int64
}

var _ action.Store = (*Actions)(nil)

// deletedFor is how long a deleted definition is kept for who asks the database itself.
const deletedFor = time.Hour

// NewActions returns a store over a database whose tables it makes or brings up to date.
func NewActions(ctx context.Context, db *sqlite.DB) (*Actions, error) {
	if err := db.Migrate(ctx, "actions", actionSteps()...); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "audits", auditsSchema); err != nil {
		return nil, err
	}
	s := &Actions{db: db}
	var stamp int64
	if err := db.Scan(ctx, "SELECT stamp FROM stamps WHERE kind = 'action'", nil, &stamp); err != nil {
		return nil, sqlite.Explain(err, "read the stamp of definitions")
	}
	s.stamp.Store(stamp)
	return s, nil
}

func noAction(identifier string) error {
	return fault.New(fault.NotFound, "", "there is no action %q", identifier)
}

// Stamp implements action.Store.
func (s *Actions) Stamp(context.Context) (int64, error) { return s.stamp.Load(), nil }

const wholeAction = `SELECT identifier, id, definition, permissions, created_at, updated_at, created_by, updated_by, rev FROM actions
	WHERE deleted_at IS NULL `

// List implements action.Store.
func (s *Actions) List(ctx context.Context) ([]*action.Record, error) {
	return s.read(ctx, wholeAction+"ORDER BY identifier")
}

// Get implements action.Store.
func (s *Actions) Get(ctx context.Context, identifier string) (*action.Record, error) {
	all, err := s.read(ctx, wholeAction+"AND identifier = ?", identifier)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, noAction(identifier)
	}
	return all[0], nil
}

func (s *Actions) read(ctx context.Context, text string, args ...any) ([]*action.Record, error) {
	rows, err := s.db.Rows(ctx, text, args...)
	if err != nil {
		return nil, sqlite.Explain(err, "read definitions")
	}
	defer rows.Close()
	var all []*action.Record
	for rows.Next() {
		r, err := readAction(rows.Scan)
		if err != nil {
			return nil, sqlite.Explain(err, "read definitions")
		}
		all = append(all, r)
	}
	return all, sqlite.Explain(rows.Err(), "read definitions")
}

// readAction reads a row of wholeAction.
func readAction(scan func(into ...any) error) (*action.Record, error) {
	r := new(action.Record)
	var created, updated int64
	err := scan(&r.Identifier, &r.ID, (*[]byte)(&r.Definition), (*[]byte)(&r.Permissions), &created, &updated, &r.CreatedBy, &r.UpdatedBy, &r.Rev)
	r.CreatedAt, r.UpdatedAt = moment(created), moment(updated)
	return r, err
}

// Create implements action.Store.
func (s *Actions) Create(ctx context.Context, r *action.Record, entries ...*audit.Entry) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := free(tx, r.Identifier); err != nil {
			return err
		}
		if err := recordTx(tx, entries); err != nil {
			return err
		}
		return s.put(tx, nil, r)
	})
}

// Replace implements action.Store.
func (s *Actions) Replace(ctx context.Context, identifier string, r *action.Record, entries ...*audit.Entry) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		rev, err := revision(tx, identifier)
		if err != nil {
			return err
		}
		if rev != r.Rev {
			return fault.New(fault.Conflict, "conflict", "the action %q was changed meanwhile", identifier)
		}
		old, err := s.Feed.oldAction(tx, identifier)
		if err != nil {
			return err
		}
		if r.Identifier != identifier {
			if err := free(tx, r.Identifier); err != nil {
				return err
			}
			if _, err := tx.Exec("DELETE FROM actions WHERE identifier = ?", identifier); err != nil {
				return sqlite.Explain(err, "rename definition")
			}
		}
		if err := recordTx(tx, entries); err != nil {
			return err
		}
		return s.put(tx, old, r)
	})
}

// Delete implements action.Store.
func (s *Actions) Delete(ctx context.Context, identifier, by string, at time.Time, entries ...*audit.Entry) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if _, err := revision(tx, identifier); err != nil {
			return err
		}
		old, err := s.Feed.oldAction(tx, identifier)
		if err != nil {
			return err
		}
		if err := recordTx(tx, entries); err != nil {
			return err
		}
		stamp, err := s.raise(tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec("UPDATE actions SET deleted_at = ?, deleted_by = ?, rev = ? WHERE identifier = ?",
			nanos(at), by, stamp, identifier)
		if err != nil {
			return sqlite.Explain(err, "delete definition")
		}
		return s.Feed.actionTx(tx, old, nil, stamp)
	})
}

// Purge removes definitions that were deleted more than an hour before a time.
func (s *Actions) Purge(ctx context.Context, now time.Time) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.Exec("DELETE FROM actions WHERE deleted_at < ?", nanos(now.Add(-deletedFor)))
		return sqlite.Explain(err, "purge definitions")
	})
}

// revision returns the Rev of a definition; fault.NotFound when there is none.
func revision(tx *sqlite.Tx, identifier string) (rev int64, err error) {
	err = tx.Scan("SELECT rev FROM actions WHERE identifier = ? AND deleted_at IS NULL", []any{identifier}, &rev)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, noAction(identifier)
	}
	return rev, sqlite.Explain(err, "read definition")
}

// free returns a fault.Conflict when a definition has the identifier.
func free(tx *sqlite.Tx, identifier string) error {
	_, err := revision(tx, identifier)
	switch {
	case err == nil:
		return fault.New(fault.Conflict, "identifier_taken", "an action with the identifier %q exists already", identifier)
	case fault.KindOf(err) == fault.NotFound:
		return nil
	}
	return err
}

// raise moves the stamp.
func (s *Actions) raise(tx *sqlite.Tx) (stamp int64, err error) {
	if _, err := tx.Exec("UPDATE stamps SET stamp = stamp + 1 WHERE kind = 'action'"); err != nil {
		return 0, sqlite.Explain(err, "raise the stamp of definitions")
	}
	err = tx.Scan("SELECT stamp FROM stamps WHERE kind = 'action'", nil, &stamp)
	tx.AfterCommit(func() { s.stamp.Store(stamp) })
	return stamp, sqlite.Explain(err, "read the stamp of definitions")
}

// put writes a definition, over a deleted one too, and moves the stamp. Old is what it replaces.
func (s *Actions) put(tx *sqlite.Tx, old, r *action.Record) error {
	stamp, err := s.raise(tx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT OR REPLACE INTO actions
		(identifier, id, definition, permissions, created_at, updated_at, created_by, updated_by, rev) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.Identifier, r.ID, []byte(r.Definition), []byte(r.Permissions), nanos(r.CreatedAt), nanos(r.UpdatedAt), r.CreatedBy, r.UpdatedBy, stamp)
	if err != nil {
		return sqlite.Explain(err, "write definition")
	}
	return s.Feed.actionTx(tx, old, r, stamp)
}
