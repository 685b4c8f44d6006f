package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"longshore/pkg/sqlite"
)

const clockSchema = `
CREATE TABLE clock (
	name TEXT PRIMARY KEY,
	seen_at INTEGER NOT NULL
) WITHOUT ROWID;
`

// schedules is the row of the clock that starts scheduled automations.
const schedules = "schedules"

// Clock keeps how far the local clock has come.
type Clock struct{ db *sqlite.DB }

// NewClock returns one over a database whose table it makes or brings up to date.
func NewClock(ctx context.Context, db *sqlite.DB) (*Clock, error) {
	if err := db.Migrate(ctx, "clock", clockSchema); err != nil {
		return nil, err
	}
	return &Clock{db}, nil
}

// Seen implements localschedule.Memory.
func (s *Clock) Seen(ctx context.Context) (time.Time, error) {
	var at int64
	err := s.db.Scan(ctx, "SELECT seen_at FROM clock WHERE name = ?", []any{schedules}, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return moment(at), sqlite.Explain(err, "read clock")
}

// SetSeen implements localschedule.Memory.
func (s *Clock) SetSeen(ctx context.Context, at time.Time) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.Exec("INSERT INTO clock (name, seen_at) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at", schedules, nanos(at))
		return sqlite.Explain(err, "write clock")
	})
}
