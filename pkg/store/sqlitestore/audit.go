package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/sqlite"
)

// Audit is an audit.Store. The other stores of the database write their entries into its table.
type Audit struct {
	db        *sqlite.DB
	retention time.Duration
	now       func() time.Time
}

var _ audit.Store = (*Audit)(nil)

// NewAudit returns a store over a database whose table it makes or brings up to date. Retention 0 means
// audit.DefaultRetention, now nil time.Now.
func NewAudit(ctx context.Context, db *sqlite.DB, retention time.Duration, now func() time.Time) (*Audit, error) {
	if retention <= 0 {
		retention = audit.DefaultRetention
	}
	if now == nil {
		now = time.Now
	}
	if err := db.Migrate(ctx, "audits", auditsSchema); err != nil {
		return nil, err
	}
	return &Audit{db: db, retention: retention, now: now}, nil
}

// Record implements audit.Store.
func (s *Audit) Record(ctx context.Context, entries ...*audit.Entry) error {
	if entries = audit.Kept(entries); len(entries) == 0 {
		return nil
	}
	return s.db.Write(ctx, func(tx *sqlite.Tx) error { return recordTx(tx, entries) })
}

// recordTx keeps entries that are not there yet; nil ones are left out.
func recordTx(tx *sqlite.Tx, entries []*audit.Entry) error {
	for _, e := range entries {
		if e == nil {
			continue
		}
		if _, err := tx.Exec(`INSERT INTO audits
			(id, action, resource, identifier, blueprint, entity, by_id, by_email, origin, run, tied, at, before, after)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			e.ID, e.Action, e.Resource, e.Identifier, e.Blueprint, e.Entity, e.By.ID, e.By.Email, e.By.Origin,
			e.Run(), e.By.RunID, nanos(e.By.At), []byte(e.Before), []byte(e.After)); err != nil {
			return sqlite.Explain(err, "write audit entry")
		}
	}
	return nil
}

// Missing implements audit.Store.
func (s *Audit) Missing(ctx context.Context, entries ...*audit.Entry) ([]*audit.Entry, error) {
	var missing []*audit.Entry
	for _, e := range audit.Kept(entries) {
		var one int
		switch err := s.db.Scan(ctx, "SELECT 1 FROM audits WHERE id = ?", []any{e.ID}, &one); {
		case errors.Is(err, sql.ErrNoRows):
			missing = append(missing, e)
		case err != nil:
			return nil, sqlite.Explain(err, "look for audit entry")
		}
	}
	return missing, nil
}

const wholeEntry = `SELECT id, action, resource, identifier, blueprint, entity, by_id, by_email, origin, tied, at, before, after
	FROM audits WHERE id >= ? AND id < ?`

// List implements audit.Store.
func (s *Audit) List(ctx context.Context, f audit.Filter) (*audit.Page, error) {
	least, end := f.Span(s.now().Add(-s.retention))
	text, args := wholeEntry, []any{least, end}
	where := func(condition string, values ...any) {
		text += " AND " + condition
		args = append(args, values...)
	}
	for _, c := range []struct{ column, value string }{
		{"blueprint", f.Blueprint}, {"action", f.Action},
	} {
		if c.value != "" {
			where(c.column+" = ?", c.value)
		}
	}
	// The partial indexes are used for what is known not to be empty.
	if f.Entity != "" {
		where("entity = ? AND entity <> ''", f.Entity)
	}
	if f.RunID != "" {
		where("run = ? AND run <> ''", f.RunID)
	}
	if f.Identifier != "" {
		_, isID := audit.Time(f.Identifier)
		switch {
		case isID:
			where("(identifier = ? OR id = ?)", f.Identifier, f.Identifier)
		case strings.HasPrefix(f.Identifier, "r_"):
			where("identifier = ?", f.Identifier)
		default:
			// The index leaves runs out; an identifier that none has needs no look at them.
			where("identifier = ? AND resource <> 'run'", f.Identifier)
		}
	}
	for _, c := range []struct {
		column string
		values []string
	}{{"resource", f.Resources}, {"origin", f.Origins}} {
		if len(c.values) > 0 {
			list, err := json.Marshal(c.values)
			if err != nil {
				return nil, err
			}
			where(c.column+" IN (SELECT value FROM json_each(?))", string(list))
		}
	}
	limit := max(f.Limit, 1)
	rows, err := s.db.Rows(ctx, text+" ORDER BY id DESC", args...)
	if err != nil {
		return nil, sqlite.Explain(err, "list audit entries")
	}
	defer rows.Close()
	page, size := &audit.Page{}, 0
	for rows.Next() {
		e, err := readEntry(rows)
		if err != nil {
			return nil, sqlite.Explain(err, "list audit entries")
		}
		// What the conditions cannot say: the ids' times are whole milliseconds, for one.
		if !f.Matches(e) {
			continue
		}
		size += len(e.Before) + len(e.After)
		if n := len(page.Entries); n == limit || n > 0 && size > audit.MaxPage {
			page.Next = page.Entries[n-1].ID
			return page, nil
		}
		page.Entries = append(page.Entries, e)
	}
	if err := rows.Err(); err != nil {
		return nil, sqlite.Explain(err, "list audit entries")
	}
	return page, nil
}

func readEntry(rows *sql.Rows) (*audit.Entry, error) {
	e := new(audit.Entry)
	var at int64
	var before, after []byte
	if err := rows.Scan(&e.ID, &e.Action, &e.Resource, &e.Identifier, &e.Blueprint, &e.Entity,
		&e.By.ID, &e.By.Email, &e.By.Origin, &e.By.RunID, &at, &before, &after); err != nil {
		return nil, err
	}
	e.By.At, e.Before, e.After = moment(at), before, after
	return e, nil
}

// Purge deletes what has expired at a time. It does so in slices, so that it holds up no other writer for
// long.
func (s *Audit) Purge(ctx context.Context, now time.Time) error {
	var all audit.Filter
	oldest, _ := all.Span(now.Add(-s.retention))
	for {
		var n int64
		if err := s.db.Write(ctx, func(tx *sqlite.Tx) (err error) {
			n, err = tx.Exec("DELETE FROM audits WHERE id IN (SELECT id FROM audits WHERE id < ? ORDER BY id LIMIT ?)", oldest, purgeSlice)
			return err
		}); err != nil {
			return sqlite.Explain(err, "delete expired audit entries")
		}
		if n < purgeSlice {
			return nil
		}
	}
}
