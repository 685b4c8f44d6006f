package sqlitestore

import (
	"context"
	"database/sql"
	"errors"

	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/sqlite"
)

func noBlueprint(identifier string) error {
	return fault.New(fault.NotFound, "", "there is no blueprint %q", identifier)
}

const (
	anyBlueprint = `SELECT identifier, id, definition, permissions, page, deleting,
	created_at, updated_at, created_by, updated_by, rev FROM blueprints WHERE `
	wholeBlueprint = anyBlueprint + "deleted_at = 0 "
)

// Blueprints implements catalog.Store.
func (s *Catalog) Blueprints(ctx context.Context) ([]*catalog.Blueprint, error) {
	return s.readBlueprints(ctx, wholeBlueprint+"ORDER BY identifier")
}

// Blueprint implements catalog.Store.
func (s *Catalog) Blueprint(ctx context.Context, identifier string) (*catalog.Blueprint, error) {
	all, err := s.readBlueprints(ctx, wholeBlueprint+"AND identifier = ?", identifier)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, noBlueprint(identifier)
	}
	return all[0], nil
}

// DeletedBlueprint implements catalog.Store.
func (s *Catalog) DeletedBlueprint(ctx context.Context, id string) (*catalog.Blueprint, error) {
	all, err := s.readBlueprints(ctx, anyBlueprint+"deleted_at > 0 AND id = ? ORDER BY rev DESC LIMIT 1", id)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fault.New(fault.NotFound, "", "there is no such deleted blueprint")
	}
	return all[0], nil
}

func (s *Catalog) readBlueprints(ctx context.Context, text string, args ...any) ([]*catalog.Blueprint, error) {
	rows, err := s.db.Rows(ctx, text, args...)
	if err != nil {
		return nil, sqlite.Explain(err, "read blueprints")
	}
	defer rows.Close()
	var all []*catalog.Blueprint
	for rows.Next() {
		b := new(catalog.Blueprint)
		var created, updated int64
		if err := rows.Scan(&b.Identifier, &b.ID, (*[]byte)(&b.Definition), (*[]byte)(&b.Permissions), &b.Page, &b.Deleting,
			&created, &updated, &b.CreatedBy, &b.UpdatedBy, &b.Rev); err != nil {
			return nil, sqlite.Explain(err, "read blueprints")
		}
		b.CreatedAt, b.UpdatedAt = moment(created), moment(updated)
		all = append(all, b)
	}
	return all, sqlite.Explain(rows.Err(), "read blueprints")
}

// CreateBlueprint implements catalog.Store.
func (s *Catalog) CreateBlueprint(ctx context.Context, b *catalog.Blueprint, entries ...*audit.Entry) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := blueprintFree(tx, b.Identifier); err != nil {
			return err
		}
		if err := recordTx(tx, entries); err != nil {
			return err
		}
		stamp, err := s.raise(tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO blueprints (identifier, id, definition, permissions, page, deleting,
			created_at, updated_at, created_by, updated_by, rev) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			b.Identifier, b.ID, []byte(b.Definition), []byte(b.Permissions), b.Page, b.Deleting,
			nanos(b.CreatedAt), nanos(b.UpdatedAt), b.CreatedBy, b.UpdatedBy, stamp)
		s.Feed.blueprintTx(tx, b.Identifier, b.Definition)
		return sqlite.Explain(err, "write blueprint")
	})
}

// ReplaceBlueprint implements catalog.Store.
func (s *Catalog) ReplaceBlueprint(ctx context.Context, identifier string, b *catalog.Blueprint, entries ...*audit.Entry) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		row, err := blueprintRow(tx, identifier, b)
		if err != nil {
			return err
		}
		if b.Identifier != identifier {
			if err := blueprintFree(tx, b.Identifier); err != nil {
				return err
			}
		}
		if err := recordTx(tx, entries); err != nil {
			return err
		}
		stamp, err := s.raise(tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE blueprints SET identifier = ?, definition = ?, permissions = ?, page = ?, deleting = ?,
			created_at = ?, updated_at = ?, created_by = ?, updated_by = ?, rev = ? WHERE rowid = ?`,
			b.Identifier, []byte(b.Definition), []byte(b.Permissions), b.Page, b.Deleting,
			nanos(b.CreatedAt), nanos(b.UpdatedAt), b.CreatedBy, b.UpdatedBy, stamp, row)
		s.Feed.blueprintTx(tx, identifier, nil)
		s.Feed.blueprintTx(tx, b.Identifier, b.Definition)
		return sqlite.Explain(err, "write blueprint")
	})
}

// DeleteBlueprint implements catalog.Store.
func (s *Catalog) DeleteBlueprint(ctx context.Context, b *catalog.Blueprint, by catalog.Author, entries ...*audit.Entry) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		row, err := blueprintRow(tx, b.Identifier, b)
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
		_, err = tx.Exec(`UPDATE blueprints SET deleted_at = ?, deleted_by = ?, deleted_email = ?, deleted_origin = ?, deleted_run = ?,
			deleted_cause = ?, rev = ? WHERE rowid = ?`, deletion(by.At), by.ID, by.Email, by.Origin, by.RunID, causeText(by.Cause), stamp, row)
		s.Feed.blueprintTx(tx, b.Identifier, nil)
		return sqlite.Explain(err, "delete blueprint")
	})
}

// blueprintRow returns the row of the blueprint called identifier if it is b still.
func blueprintRow(tx *sqlite.Tx, identifier string, b *catalog.Blueprint) (row int64, err error) {
	var id string
	var rev int64
	err = tx.Scan("SELECT rowid, id, rev FROM blueprints WHERE identifier = ? AND deleted_at = 0",
		[]any{identifier}, &row, &id, &rev)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, noBlueprint(identifier)
	case err != nil:
		return 0, sqlite.Explain(err, "read blueprint")
	case id != b.ID || rev != b.Rev:
		return 0, fault.New(fault.Conflict, "conflict", "the blueprint %q was changed meanwhile", identifier)
	}
	return row, nil
}

// blueprintFree returns a fault.Conflict when a blueprint has the identifier.
func blueprintFree(tx *sqlite.Tx, identifier string) error {
	var one int
	err := tx.Scan("SELECT 1 FROM blueprints WHERE identifier = ? AND deleted_at = 0", []any{identifier}, &one)
	switch {
	case err == nil:
		return fault.New(fault.Conflict, "identifier_taken", "a blueprint with the identifier %q exists already", identifier)
	case errors.Is(err, sql.ErrNoRows):
		return nil
	}
	return sqlite.Explain(err, "read blueprint")
}

// raise moves the stamp of blueprints.
func (s *Catalog) raise(tx *sqlite.Tx) (stamp int64, err error) {
	if stamp, err = nextRev(tx, "blueprint"); err != nil {
		return 0, err
	}
	tx.AfterCommit(func() { s.stamp.Store(stamp) })
	return stamp, nil
}
