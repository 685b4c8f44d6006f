package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"longshore/pkg/run"
	"longshore/pkg/sqlite"
)

// Reserved implements run.Store.
func (s *Runs) Reserved(ctx context.Context, key string, now time.Time) (run.Reservation, bool, error) {
	held := run.Reservation{Key: key}
	var until, expires int64
	err := s.db.Scan(ctx, "SELECT run, body_hash, until, expires FROM reservations WHERE key = ?", []any{key},
		&held.RunID, &held.BodyHash, &until, &expires)
	held.Until, held.Expires = moment(until), moment(expires)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && !held.Expires.After(now):
		return run.Reservation{}, false, nil
	case err != nil:
		return run.Reservation{}, false, sqlite.Explain(err, "read idempotency key")
	}
	return held, true, nil
}

// Reserve implements run.Store.
func (s *Runs) Reserve(ctx context.Context, want run.Reservation, now time.Time) (held run.Reservation, won bool, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) (err error) {
		held, won, err = s.reserveTx(tx, want, now)
		return err
	})
	if err != nil {
		return run.Reservation{}, false, err
	}
	return held, won, nil
}

func (s *Runs) reserveTx(tx *sqlite.Tx, want run.Reservation, now time.Time) (run.Reservation, bool, error) {
	held := run.Reservation{Key: want.Key}
	var until, expires int64
	var recorded bool
	err := tx.Scan(`SELECT run, body_hash, until, expires, EXISTS (SELECT 1 FROM runs WHERE id = run)
		FROM reservations WHERE key = ?`, []any{want.Key}, &held.RunID, &held.BodyHash, &until, &expires, &recorded)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return held, false, sqlite.Explain(err, "read idempotency key")
	default:
		held.Until, held.Expires = moment(until), moment(expires)
		if held.Expires.After(now) {
			if recorded || !held.Until.Before(now) {
				return held, false, nil
			}
			want.RunID = held.RunID
		}
	}
	_, err = tx.Exec("INSERT OR REPLACE INTO reservations (key, run, body_hash, until, expires) VALUES (?, ?, ?, ?, ?)",
		want.Key, want.RunID, want.BodyHash, nanos(want.Until), nanos(want.Expires))
	return want, true, sqlite.Explain(err, "write idempotency key")
}
