package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/feed"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
)

// A change is there from the commit that made it until it is handled: the rows that are left are the place
// from which the next process goes on. Positions are never used twice. Item is what changes are kept in
// order of, body the change as coder writes it; kind says which.
const changesSchema = `
CREATE TABLE changes (
	position INTEGER PRIMARY KEY AUTOINCREMENT,
	kind TEXT NOT NULL,
	item TEXT NOT NULL,
	body BLOB NOT NULL
);
`

// Kinds of changes.
const (
	kindEntity = "entity"
	kindRun    = "run"
	kindAction = "action"
	kindTimer  = "timer"
)

const (
	// feedPage is how many changes are read at once.
	feedPage = 100
	// feedPause is how long the feed waits after the database refused.
	feedPause = time.Second
	// feedEnd is how long the feed takes to write down, when it ends, what was handled.
	feedEnd = 5 * time.Second
)

// Feed tells what has happened to runs, entities and definitions whose stores were given it. It keeps only
// what somebody waits for: definitions always; runs while a published automation has an event of runs;
// entities while one has an event of entities or a blueprint has a changelogDestination. One database has
// one Feed at a time, and it is followed once at a time.
type Feed struct {
	db *sqlite.DB
	// wake has a token once there are changes that nobody has read.
	wake chan struct{}
	// wanted is what each definition waits for, runs and entities how many wait for them. Only the goroutine
	// that writes uses them: within an operation or right after its commit.
	wanted         map[string]wants
	runs, entities int
}

// wants is what a definition waits for.
type wants struct{ runs, entities bool }

// NewFeed returns the feed of a database whose tables it makes or brings up to date. It comes before the
// stores that tell it their changes.
func NewFeed(ctx context.Context, db *sqlite.DB) (*Feed, error) {
	if _, err := NewActions(ctx, db); err != nil {
		return nil, err
	}
	if _, err := NewCatalog(ctx, db); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "changes", changesSchema); err != nil {
		return nil, err
	}
	f := &Feed{db: db, wake: make(chan struct{}, 1), wanted: map[string]wants{}}
	err := db.Write(ctx, func(tx *sqlite.Tx) error {
		clear(f.wanted)
		f.runs, f.entities = 0, 0
		for _, kind := range []struct {
			text string
			key  func(string) string
			read func(json.RawMessage) wants
		}{
			{"SELECT identifier, definition FROM actions WHERE deleted_at IS NULL", actionKey, wantedByAction},
			{"SELECT identifier, definition FROM blueprints WHERE deleted_at = 0", blueprintKey, wantedByBlueprint},
		} {
			if err := tx.Each(kind.text, nil, func(scan func(into ...any) error) error {
				var identifier string
				var definition []byte
				err := scan(&identifier, &definition)
				f.learn(kind.key(identifier), kind.read(definition))
				return err
			}); err != nil {
				return sqlite.Explain(err, "read definitions")
			}
		}
		return nil
	})
	return f, err
}

func actionKey(identifier string) string    { return "action\x00" + identifier }
func blueprintKey(identifier string) string { return "blueprint\x00" + identifier }

// wantedByAction is what an automation that is published waits for.
func wantedByAction(definition json.RawMessage) (w wants) {
	var d struct {
		Publish *bool           `json:"publish"`
		Trigger json.RawMessage `json:"trigger"`
	}
	var trigger struct {
		Event struct {
			Type string `json:"type"`
		} `json:"event"`
	}
	// What is no automation has another trigger.
	if json.Unmarshal(definition, &d) != nil || d.Publish != nil && !*d.Publish || json.Unmarshal(d.Trigger, &trigger) != nil {
		return w
	}
	switch trigger.Event.Type {
	case "RUN_CREATED", "RUN_UPDATED", "ANY_RUN_CHANGE":
		w.runs = true
	case "ENTITY_CREATED", "ENTITY_UPDATED", "ENTITY_DELETED", "ANY_ENTITY_CHANGE":
		w.entities = true
	}
	return w
}

// wantedByBlueprint is what the changelog of a blueprint waits for.
func wantedByBlueprint(definition json.RawMessage) wants {
	var d struct {
		Destination json.RawMessage `json:"changelogDestination"`
	}
	err := json.Unmarshal(definition, &d)
	return wants{entities: err == nil && d.Destination != nil && string(d.Destination) != "null"}
}

// learn takes what a definition waits for.
func (f *Feed) learn(key string, now wants) {
	add := func(n *int, was, is bool) {
		if was {
			*n--
		}
		if is {
			*n++
		}
	}
	was := f.wanted[key]
	add(&f.runs, was.runs, now.runs)
	add(&f.entities, was.entities, now.entities)
	if now == (wants{}) {
		delete(f.wanted, key)
	} else {
		f.wanted[key] = now
	}
}

// appendTx keeps a change with what made it.
func (f *Feed) appendTx(tx *sqlite.Tx, kind, item string, body []byte) error {
	if _, err := tx.Exec("INSERT INTO changes (kind, item, body) VALUES (?, ?, ?)", kind, item, body); err != nil {
		return sqlite.Explain(err, "write change")
	}
	tx.AfterCommit(func() {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	})
	return nil
}

// runTx keeps a change of a run, before its response is written: the heads as they are encoded, the one
// before nil for a new run, and the response that the change writes, nil for none.
func (f *Feed) runTx(tx *sqlite.Tx, before *run.Run, old []byte, after *run.Run, text []byte, response json.RawMessage) error {
	if f == nil || f.runs == 0 || after.NoticeOf != "" {
		return nil
	}
	c := storedRun{Before: old, After: text, Kept: response == nil, Response: response}
	if before != nil && before.HasResponse {
		err := tx.Scan("SELECT response FROM responses WHERE run = ?", []any{after.ID}, (*[]byte)(&c.BeforeResponse))
		// One that is missing is read as none.
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return sqlite.Explain(err, "read run's response")
		}
	}
	return f.appendTx(tx, kindRun, after.ID, encode(&c))
}

// oldEntity reads an entity that is about to be changed; nil where nobody wants to know.
func (f *Feed) oldEntity(tx *sqlite.Tx, key catalog.Key) (e *catalog.Entity, err error) {
	if f == nil || f.entities == 0 {
		return nil, nil
	}
	err = tx.Each(oneEntity, []any{key.Blueprint, key.Identifier}, func(scan func(into ...any) error) (err error) {
		e, err = readEntity(scan)
		return err
	})
	return e, sqlite.Explain(err, "read entity")
}

// entityTx keeps a change of an entity: old is what oldEntity gave, and rev the new one's.
func (f *Feed) entityTx(tx *sqlite.Tx, old, e *catalog.Entity, rev int64, by catalog.Author) error {
	if f == nil || f.entities == 0 {
		return nil
	}
	c := feed.Entity{Before: old, By: by}
	if e != nil {
		next := *e
		next.Rev = rev
		c.After = &next
	}
	return f.appendTx(tx, kindEntity, entityItem(e, old), encode(&storedEntity{c}))
}

func entityItem(either ...*catalog.Entity) string {
	for _, e := range either {
		if e != nil {
			return itemOf(e.Key)
		}
	}
	return ""
}

// itemOf is the item of an entity's changes and timers.
func itemOf(key catalog.Key) string { return key.Blueprint + "\x00" + key.Identifier }

// oldAction reads a definition that is about to be changed.
func (f *Feed) oldAction(tx *sqlite.Tx, identifier string) (r *action.Record, err error) {
	if f == nil {
		return nil, nil
	}
	err = tx.Each(wholeAction+"AND identifier = ?", []any{identifier}, func(scan func(into ...any) error) (err error) {
		r, err = readAction(scan)
		return err
	})
	return r, sqlite.Explain(err, "read definition")
}

// actionTx keeps a change of a definition, and takes what it waits for now. One with another identifier is
// deleted and created.
func (f *Feed) actionTx(tx *sqlite.Tx, old, r *action.Record, rev int64) error {
	if f == nil {
		return nil
	}
	var next *action.Record
	if r != nil {
		n := *r
		n.Rev, next = rev, &n
	}
	changes := []feed.Action{{Before: old, After: next}}
	if old != nil && next != nil && old.Identifier != next.Identifier {
		changes = []feed.Action{{Before: old}, {After: next}}
	}
	for _, c := range changes {
		of := c.After
		if of == nil {
			of = c.Before
		}
		if err := f.appendTx(tx, kindAction, actionKey(of.Identifier), encode(&storedAction{c})); err != nil {
			return err
		}
		var now wants
		if c.After != nil {
			now = wantedByAction(c.After.Definition)
		}
		tx.AfterCommit(func() { f.learn(actionKey(of.Identifier), now) })
	}
	return nil
}

// blueprintTx takes what a blueprint waits for from now on; its definition is nil when it is no more.
func (f *Feed) blueprintTx(tx *sqlite.Tx, identifier string, definition json.RawMessage) {
	if f == nil {
		return
	}
	now := wantedByBlueprint(definition)
	tx.AfterCommit(func() { f.learn(blueprintKey(identifier), now) })
}

// TimerTx keeps that a timer has ended, as a part of the operation that fires it.
func (f *Feed) TimerTx(tx *sqlite.Tx, t *feed.Timer) error {
	if f == nil {
		return nil
	}
	return f.appendTx(tx, kindTimer, itemOf(t.Key), encode(&storedTimer{*t}))
}

// storedChange is a row.
type storedChange struct {
	position   int64
	kind, item string
	body       []byte
}

// Follow hands every change to a handler, those that an earlier process left first, until the context ends.
// Then it finishes what is in hand. A change is told again when the process dies before it has written down
// that it was handled.
func (f *Feed) Follow(ctx context.Context, h feed.Handler, log *slog.Logger) {
	lanes, gone := feed.NewLanes(h, log), &handled{db: f.db, log: log, some: make(chan struct{}, 1)}
	var remover sync.WaitGroup
	stop := make(chan struct{})
	remover.Go(func() { gone.remove(stop) })
	var last int64
	for ctx.Err() == nil {
		page, err := f.read(ctx, last)
		if err != nil && ctx.Err() == nil {
			log.Error("read changes", slog.Any("error", err))
			rest(ctx, feedPause)
			continue
		}
		for _, c := range page {
			if !lanes.Put(ctx, feed.Task{
				Item: c.item,
				Read: func(ctx context.Context) (*feed.Change, error) { return f.change(ctx, c) },
				Done: func() { gone.add(c.position) },
			}) {
				break
			}
			last = c.position
		}
		if len(page) == feedPage {
			continue
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
		}
	}
	lanes.Wait()
	close(stop)
	remover.Wait()
}

// read returns the changes behind a position.
func (f *Feed) read(ctx context.Context, last int64) (page []storedChange, err error) {
	rows, err := f.db.Rows(ctx, "SELECT position, kind, item, body FROM changes WHERE position > ? ORDER BY position LIMIT ?", last, feedPage)
	if err != nil {
		return nil, sqlite.Explain(err, "read changes")
	}
	defer rows.Close()
	for rows.Next() {
		var c storedChange
		if err := rows.Scan(&c.position, &c.kind, &c.item, &c.body); err != nil {
			return nil, sqlite.Explain(err, "read changes")
		}
		page = append(page, c)
	}
	return page, sqlite.Explain(rows.Err(), "read changes")
}

// change makes a row whole.
func (f *Feed) change(ctx context.Context, c storedChange) (*feed.Change, error) {
	whole, err := decodeChange(c)
	if err != nil || whole.Run == nil {
		return whole, err
	}
	body, err := f.runBody(ctx, c.item)
	if err != nil {
		return nil, err
	}
	whole.Run.After.Body = body
	if whole.Run.Before != nil {
		whole.Run.Before.Body = body
	}
	return whole, nil
}

// runBody reads what never changes of a run.
func (f *Feed) runBody(ctx context.Context, id string) (b run.Body, err error) {
	rows, err := f.db.Rows(ctx, "SELECT properties, user, invocation, approval, secrets FROM bodies WHERE run = ?", id)
	if err != nil {
		return b, sqlite.Explain(err, "read run's body")
	}
	defer rows.Close()
	var properties, user, called, approval []byte
	var secrets bool
	if rows.Next() {
		err = rows.Scan(&properties, &user, &called, &approval, &secrets)
	}
	if err == nil {
		err = rows.Err()
	}
	if err != nil {
		return b, sqlite.Explain(err, "read run's body")
	}
	return decodeBody(id, properties, user, called, approval, secrets)
}

// handled removes the rows of changes that were handled, many in one commit.
type handled struct {
	db  *sqlite.DB
	log *slog.Logger
	// some has a token once there are positions.
	some chan struct{}

	mu        sync.Mutex
	positions []int64
}

func (h *handled) add(position int64) {
	h.mu.Lock()
	h.positions = append(h.positions, position)
	h.mu.Unlock()
	select {
	case h.some <- struct{}{}:
	default:
	}
}

// remove goes on until it is stopped, and then removes what is left.
func (h *handled) remove(stop <-chan struct{}) {
	for {
		select {
		case <-h.some:
			ctx, cancel := context.WithTimeout(context.Background(), feedEnd)
			if err := h.flush(ctx); err != nil {
				h.log.Error("remove handled changes", slog.Any("error", err))
				select {
				case <-time.After(feedPause):
				case <-stop:
				}
			}
			cancel()
		case <-stop:
			ctx, cancel := context.WithTimeout(context.Background(), feedEnd)
			defer cancel()
			if err := h.flush(ctx); err != nil {
				h.log.Warn("remove handled changes: they will be told again", slog.Any("error", err))
			}
			return
		}
	}
}

// flush removes what was added; what cannot be removed is kept for the next time.
func (h *handled) flush(ctx context.Context) error {
	h.mu.Lock()
	positions := h.positions
	h.positions = nil
	h.mu.Unlock()
	if len(positions) == 0 {
		return nil
	}
	list, err := json.Marshal(positions)
	if err == nil {
		err = h.db.Write(ctx, func(tx *sqlite.Tx) error {
			_, err := tx.Exec("DELETE FROM changes WHERE position IN (SELECT value FROM json_each(?))", string(list))
			return sqlite.Explain(err, "remove changes")
		})
	}
	if err != nil {
		for _, p := range positions {
			h.add(p)
		}
		return fmt.Errorf("remove %d changes: %w", len(positions), err)
	}
	return nil
}

// rest waits, or until the context ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
