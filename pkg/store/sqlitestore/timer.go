package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/event"
	"longshore/pkg/feed"
	"longshore/pkg/sqlite"
	"longshore/pkg/timer"
)

// Timers has an entity's timers as timer.Encode writes them; timer_at is the earliest. Events of timers stay
// for a while after they were fired, so that each is fired once.
const timersSchema = `
ALTER TABLE entities ADD COLUMN timers TEXT NOT NULL DEFAULT '';
CREATE TABLE timer_events (
	id TEXT PRIMARY KEY,
	fired_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX timer_events_fired ON timer_events (fired_at);
`

// timerEventLifetime is how long events of timers are kept.
const timerEventLifetime = 48 * time.Hour

// LateTimers is for the clock: up to limit entities with a timer that has ended, the earliest first. Their
// Partition is the internal id of the blueprint.
func (s *Catalog) LateTimers(ctx context.Context, now time.Time, limit int) ([]timer.Late, error) {
	rows, err := s.db.Rows(ctx, "SELECT blueprint, identifier, timer_at FROM entities WHERE timer_at > 0 AND timer_at <= ? ORDER BY timer_at LIMIT ?", nanos(now), limit)
	if err != nil {
		return nil, sqlite.Explain(err, "read timers")
	}
	defer rows.Close()
	var all []timer.Late
	for rows.Next() {
		var l timer.Late
		var at int64
		if err := rows.Scan(&l.Partition, &l.Name, &at); err != nil {
			return nil, sqlite.Explain(err, "read timers")
		}
		l.At = moment(at)
		all = append(all, l)
	}
	return all, sqlite.Explain(rows.Err(), "read timers")
}

// FireTimers is for the clock: it tells the change feed of every timer of an entity that has ended and takes
// it out of the entity, in one transaction, which raises no rev and is no change of the entity. It returns
// how many are new.
func (s *Catalog) FireTimers(ctx context.Context, late timer.Late, now time.Time) (fired int, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		fired = 0
		var row, at int64
		var id, text string
		var content []byte
		err := tx.Scan(`SELECT rowid, id, timer_at, timers, CASE WHEN timers = '' THEN content ELSE '' END FROM entities
			WHERE blueprint = ? AND identifier = ? AND deleted_at = 0`, []any{late.Partition, late.Name}, &row, &id, &at, &text, &content)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return sqlite.Explain(err, "read timers")
		}
		if at == 0 || at > nanos(now) {
			return nil
		}
		timers, err := timer.Stored(text, moment(at), func() ([]byte, error) { return content, nil })
		if err != nil {
			return err
		}
		ended, ahead := timer.Split(timers, now)
		for _, e := range ended {
			isNew, err := s.fireTx(tx, catalog.Key{Blueprint: late.Partition, Identifier: late.Name}, id, e, now)
			if err != nil {
				return err
			}
			if isNew {
				fired++
			}
		}
		var next time.Time
		if len(ahead) > 0 {
			next = ahead[0].At
		}
		_, err = tx.Exec("UPDATE entities SET timer_at = ?, timers = ? WHERE rowid = ?", nanos(next), timer.Encode(ahead), row)
		return sqlite.Explain(err, "move timers")
	})
	return fired, err
}

// fireTx keeps the event of a timer and tells the change feed of it, unless that was done before.
func (s *Catalog) fireTx(tx *sqlite.Tx, key catalog.Key, entityID string, e timer.Timer, now time.Time) (isNew bool, err error) {
	n, err := tx.Exec("INSERT INTO timer_events (id, fired_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
		event.TimerID(entityID, e.Property, e.At), nanos(now))
	if err != nil || n == 0 {
		return false, sqlite.Explain(err, "keep the event of a timer")
	}
	return true, s.Feed.TimerTx(tx, &feed.Timer{Key: key, EntityID: entityID, Property: e.Property, At: e.At, Fired: now.UTC().Truncate(time.Millisecond)})
}

// purgeTimers removes the events of timers that were fired long ago.
func (s *Catalog) purgeTimers(ctx context.Context, now time.Time) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.Exec("DELETE FROM timer_events WHERE fired_at < ?", nanos(now.Add(-timerEventLifetime)))
		return sqlite.Explain(err, "purge timers")
	})
}
