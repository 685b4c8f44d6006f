package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/sqlite"
	"longshore/pkg/timer"
)

const (
	// maxEntityPage is how many bytes of contents a page of entities holds before it ends.
	maxEntityPage = 5 << 20
	// nearDeadline is how long before its caller's deadline a page ends: the answer is yet to be made
	// of it and sent.
	nearDeadline = 500 * time.Millisecond
)

func noEntity(key catalog.Key) error {
	return fault.New(fault.NotFound, "", "there is no entity %q", key.Identifier)
}

const wholeEntity = `SELECT e.blueprint, e.identifier, e.id, e.created_at, e.updated_at, e.created_by, e.updated_by,
	e.last_by, e.last_email, e.last_origin, e.last_run, e.last_cause, e.last_at, e.timer_at, e.timers, e.rev, e.content FROM `

const (
	oneEntity = wholeEntity + "entities e WHERE e.blueprint = ? AND e.identifier = ? AND e.deleted_at = 0"
	// A CROSS JOIN is done in the order that it is written in: each key is looked up.
	entitiesOfKeys = wholeEntity + `json_each(?) k CROSS JOIN entities e
		ON e.blueprint = k.value ->> 0 AND e.identifier = k.value ->> 1 AND e.deleted_at = 0`
	entitiesBehind = wholeEntity + `entities e WHERE e.blueprint = ? AND e.identifier > ? AND e.deleted_at = 0
		ORDER BY e.identifier LIMIT ?`
	// The index holds what is to be read, and timers that were fired, or taken out, are not in it.
	entitiesDue     = wholeEntity + `entities e WHERE e.timer_at > 0 AND e.timer_at <= ? ORDER BY e.timer_at LIMIT ?`
	countOfEntities = "SELECT count(*) FROM entities WHERE blueprint = ? AND deleted_at = 0"
)

// readEntity reads a row of wholeEntity.
func readEntity(scan func(into ...any) error) (*catalog.Entity, error) {
	e := new(catalog.Entity)
	var created, updated, last, due int64
	var cause, timers string
	if err := scan(&e.Blueprint, &e.Identifier, &e.ID, &created, &updated, &e.CreatedBy, &e.UpdatedBy,
		&e.Last.ID, &e.Last.Email, &e.Last.Origin, &e.Last.RunID, &cause, &last, &due, &timers, &e.Rev, (*[]byte)(&e.Content)); err != nil {
		return nil, err
	}
	e.CreatedAt, e.UpdatedAt, e.Last.At = moment(created), moment(updated), moment(last)
	var err error
	if e.Timers, err = timer.Stored(timers, moment(due), func() ([]byte, error) { return e.Content, nil }); err != nil {
		return nil, err
	}
	if cause != "" {
		if err := json.Unmarshal([]byte(cause), &e.Last.Cause); err != nil {
			return nil, fmt.Errorf("decode the cause of a change: %w", err)
		}
	}
	return e, nil
}

// causeText returns a cause as it is stored.
func causeText(c audit.Cause) string {
	if c == (audit.Cause{}) {
		return ""
	}
	text, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("encode a cause: %v", err)) // It has texts and a number.
	}
	return string(text)
}

// Entity implements catalog.Store.
func (s *Catalog) Entity(ctx context.Context, key catalog.Key) (*catalog.Entity, error) {
	rows, err := s.db.Rows(ctx, oneEntity, key.Blueprint, key.Identifier)
	if err != nil {
		return nil, sqlite.Explain(err, "read entity")
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return nil, sqlite.Explain(err, "read entity")
		}
		return nil, noEntity(key)
	}
	e, err := readEntity(rows.Scan)
	return e, sqlite.Explain(err, "read entity")
}

// Entities implements catalog.Store. They are those of one moment.
func (s *Catalog) Entities(ctx context.Context, keys []catalog.Key) ([]*catalog.Entity, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	wanted := make([][2]string, 0, len(keys))
	seen := make(map[catalog.Key]bool, len(keys))
	for _, key := range keys {
		if !seen[key] {
			seen[key] = true
			wanted = append(wanted, [2]string{key.Blueprint, key.Identifier})
		}
	}
	text, err := json.Marshal(wanted)
	if err != nil {
		return nil, fmt.Errorf("encode keys: %w", err)
	}
	rows, err := s.db.Rows(ctx, entitiesOfKeys, string(text))
	if err != nil {
		return nil, sqlite.Explain(err, "read entities")
	}
	defer rows.Close()
	var all []*catalog.Entity
	for rows.Next() {
		e, err := readEntity(rows.Scan)
		if err != nil {
			return nil, sqlite.Explain(err, "read entities")
		}
		// JSON has no text for every key: one that was changed by it was not asked for.
		if seen[e.Key] {
			all = append(all, e)
		}
	}
	return all, sqlite.Explain(rows.Err(), "read entities")
}

// CreateEntity implements catalog.Store.
func (s *Catalog) CreateEntity(ctx context.Context, e *catalog.Entity, edges []catalog.Edge, entries ...*audit.Entry) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		if err := recordTx(tx, entries); err != nil {
			return err
		}
		rev, err := nextRev(tx, "entity")
		if err != nil {
			return err
		}
		added, err := tx.Exec(`INSERT INTO entities (blueprint, identifier, id, created_at, updated_at, created_by, updated_by,
			last_by, last_email, last_origin, last_run, last_cause, last_at, timer_at, timers, rev, content)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (blueprint, identifier, deleted_at) WHERE deleted_at = 0 DO NOTHING`,
			e.Blueprint, e.Identifier, e.ID, nanos(e.CreatedAt), nanos(e.UpdatedAt), e.CreatedBy, e.UpdatedBy,
			e.Last.ID, e.Last.Email, e.Last.Origin, e.Last.RunID, causeText(e.Last.Cause), nanos(e.Last.At), nanos(e.Due()), timer.Encode(e.Timers), rev, []byte(e.Content))
		if err != nil {
			return sqlite.Explain(err, "write entity")
		}
		if added == 0 {
			return fault.New(fault.Conflict, "identifier_taken", "an entity with the identifier %q exists already", e.Identifier)
		}
		if err := s.Feed.entityTx(tx, nil, e, rev, e.Last); err != nil {
			return err
		}
		return addEdges(tx, edges)
	})
}

// ReplaceEntity implements catalog.Store.
func (s *Catalog) ReplaceEntity(ctx context.Context, e *catalog.Entity, edges, stale []catalog.Edge, entries ...*audit.Entry) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		row, err := entityRow(tx, e)
		if err != nil {
			return err
		}
		old, err := s.Feed.oldEntity(tx, e.Key)
		if err != nil {
			return err
		}
		if err := recordTx(tx, entries); err != nil {
			return err
		}
		rev, err := nextRev(tx, "entity")
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE entities SET created_at = ?, updated_at = ?, created_by = ?, updated_by = ?,
			last_by = ?, last_email = ?, last_origin = ?, last_run = ?, last_cause = ?, last_at = ?, timer_at = ?, timers = ?, rev = ?, content = ?
			WHERE rowid = ?`,
			nanos(e.CreatedAt), nanos(e.UpdatedAt), e.CreatedBy, e.UpdatedBy,
			e.Last.ID, e.Last.Email, e.Last.Origin, e.Last.RunID, causeText(e.Last.Cause), nanos(e.Last.At), nanos(e.Due()), timer.Encode(e.Timers), rev, []byte(e.Content), row); err != nil {
			return sqlite.Explain(err, "write entity")
		}
		if err := s.Feed.entityTx(tx, old, e, rev, e.Last); err != nil {
			return err
		}
		if err := addEdges(tx, edges); err != nil {
			return err
		}
		return removeEdges(tx, stale)
	})
}

// DeleteEntity implements catalog.Store.
func (s *Catalog) DeleteEntity(ctx context.Context, e *catalog.Entity, edges []catalog.Edge, by catalog.Author, entries ...*audit.Entry) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		row, err := entityRow(tx, e)
		if err != nil {
			return err
		}
		old, err := s.Feed.oldEntity(tx, e.Key)
		if err != nil {
			return err
		}
		if err := recordTx(tx, entries); err != nil {
			return err
		}
		rev, err := nextRev(tx, "entity")
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE entities SET deleted_at = ?, deleted_by = ?, deleted_email = ?, deleted_origin = ?, deleted_run = ?,
			deleted_cause = ?, timer_at = 0, timers = '', rev = ? WHERE rowid = ?`,
			deletion(by.At), by.ID, by.Email, by.Origin, by.RunID, causeText(by.Cause), rev, row); err != nil {
			return sqlite.Explain(err, "delete entity")
		}
		if err := s.Feed.entityTx(tx, old, nil, rev, by); err != nil {
			return err
		}
		return removeEdges(tx, edges)
	})
}

// entityRow returns the row of the entity of e's key if it is e still.
func entityRow(tx *sqlite.Tx, e *catalog.Entity) (row int64, err error) {
	var id string
	var rev int64
	err = tx.Scan("SELECT rowid, id, rev FROM entities WHERE blueprint = ? AND identifier = ? AND deleted_at = 0",
		[]any{e.Blueprint, e.Identifier}, &row, &id, &rev)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, noEntity(e.Key)
	case err != nil:
		return 0, sqlite.Explain(err, "read entity")
	case id != e.ID || rev != e.Rev:
		return 0, fault.New(fault.Conflict, "conflict", "the entity %q was changed meanwhile", e.Identifier)
	}
	return row, nil
}

// List implements catalog.Store. Entities are in the order of their identifiers. A page has at least
// one where there is one left, so that whoever follows it comes to the end.
func (s *Catalog) List(ctx context.Context, blueprint, from string, limit int) (page catalog.Page, err error) {
	limit = max(limit, 1)
	last, err := behind(from, 1, "entities", blueprint)
	if err != nil {
		return page, err
	}
	rows, err := s.db.Rows(ctx, entitiesBehind, blueprint, last[0], limit+1)
	if err != nil {
		return page, sqlite.Explain(err, "list entities")
	}
	defer rows.Close()
	deadline, limited := ctx.Deadline()
	size := 0
	for rows.Next() {
		e, err := readEntity(rows.Scan)
		if err != nil {
			return catalog.Page{}, sqlite.Explain(err, "list entities")
		}
		size += len(e.Content)
		if n := len(page.Entities); n == limit ||
			n > 0 && (size > maxEntityPage || limited && time.Until(deadline) < nearDeadline) {
			page.Next = place([]string{"entities", blueprint}, []string{page.Entities[n-1].Identifier})
			return page, nil
		}
		page.Entities = append(page.Entities, e)
	}
	if err := rows.Err(); err != nil {
		return catalog.Page{}, sqlite.Explain(err, "list entities")
	}
	return page, nil
}

// DueTimers implements catalog.Store.
func (s *Catalog) DueTimers(ctx context.Context, now time.Time, limit int) ([]*catalog.Entity, error) {
	rows, err := s.db.Rows(ctx, entitiesDue, nanos(now), limit)
	if err != nil {
		return nil, sqlite.Explain(err, "read timers")
	}
	defer rows.Close()
	var all []*catalog.Entity
	for rows.Next() {
		e, err := readEntity(rows.Scan)
		if err != nil {
			return nil, sqlite.Explain(err, "read timers")
		}
		all = append(all, e)
	}
	return all, sqlite.Explain(rows.Err(), "read timers")
}

// Count implements catalog.Store.
func (s *Catalog) Count(ctx context.Context, blueprint string) (n int, err error) {
	err = s.db.Scan(ctx, countOfEntities, []any{blueprint}, &n)
	return n, sqlite.Explain(err, "count entities")
}
