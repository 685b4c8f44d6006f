package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Tx is what an operation does its work with; it is good until the operation returns. A statement's
// text is prepared once for the life of the database: it has no values in it, one statement, and no
// white space behind.
type Tx struct {
	w *writer
	// wrote says that the operation has written; one that only reads needs no savepoint.
	wrote bool
	// careful says that each operation that writes has a savepoint of its own.
	careful bool
	// broken is an error after which the transaction is lost for the whole group.
	broken error
	// after is called once the group is on the disk.
	after []func()
}

// Exec runs a statement that writes and returns how many rows it changed.
func (tx *Tx) Exec(text string, args ...any) (changed int64, err error) {
	if err := tx.save(); err != nil {
		return 0, err
	}
	changed, err = tx.w.change(text, args)
	return changed, tx.note(err)
}

// Scan runs a SELECT and reads its first row; sql.ErrNoRows when there is none.
func (tx *Tx) Scan(text string, args []any, into ...any) error {
	if tx.broken != nil {
		return tx.broken
	}
	found := false
	err := tx.w.query(text, args, func(scan func(into ...any) error) (bool, error) {
		found = true
		return false, scan(into...)
	})
	if err == nil && !found {
		return sql.ErrNoRows
	}
	return tx.note(err)
}

// Each runs a SELECT and calls row with a function that reads each row's columns. Nothing may be
// written to the table before Each returns.
func (tx *Tx) Each(text string, args []any, row func(scan func(into ...any) error) error) error {
	if tx.broken != nil {
		return tx.broken
	}
	return tx.note(tx.w.query(text, args, func(scan func(into ...any) error) (bool, error) {
		return true, row(scan)
	}))
}

// AfterCommit has f called once what the operation wrote is on the disk, before its caller is
// answered. F must not block.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// save comes before an operation's first write.
func (tx *Tx) save() error {
	if tx.broken != nil || tx.wrote {
		return tx.broken
	}
	if tx.careful {
		if err := tx.w.exec("SAVEPOINT operation"); err != nil {
			return tx.note(err)
		}
	}
	tx.wrote = true
	return nil
}

// note remembers an error after which nothing of the group can be kept.
func (tx *Tx) note(err error) error {
	if err != nil && !errors.Is(err, sql.ErrNoRows) && unusable(err) {
		tx.broken = err
	}
	return err
}

// Migrate brings the tables of one package up to date: it runs the steps that the database has not
// seen, in order, each whole or not at all. Steps are scripts; one that was released never changes.
// It fails on a database that a newer version of the program has written.
func (db *DB) Migrate(ctx context.Context, name string, steps ...string) error {
	err := db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID")
		return err
	})
	if err != nil {
		return fmt.Errorf("migrate %s: %w", name, err)
	}
	var version int
	err = db.Scan(ctx, "SELECT version FROM migrations WHERE name = ?", []any{name}, &version)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("migrate %s: %w", name, err)
	}
	if version > len(steps) {
		return fmt.Errorf("migrate %s: the database has version %d, this program knows %d: it was written by a newer one",
			name, version, len(steps))
	}
	for ; version < len(steps); version++ {
		err := db.Write(ctx, func(tx *Tx) error {
			if err := tx.save(); err != nil {
				return err
			}
			// A script is no single statement and runs once: it is not prepared.
			if _, err := tx.w.conn.ExecContext(context.Background(), steps[version]); err != nil {
				return tx.note(err)
			}
			_, err := tx.Exec("INSERT INTO migrations VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET version = excluded.version",
				name, version+1)
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate %s to version %d: %w", name, version+1, err)
		}
	}
	return nil
}
