package sqlitestore

import (
	"context"
	"fmt"
	"time"

	"longshore/pkg/run"
	"longshore/pkg/sqlite"
)

// purgeSlice is how many runs one operation of Purge deletes: other writers wait meanwhile.
const purgeSlice = 100

// Purge deletes what has expired at a time: runs and notices with all that belongs to them, idempotency keys. It
// does so in slices, so that it holds up nobody for long, and returns how many runs it deleted.
func (s *Runs) Purge(ctx context.Context, now time.Time) (deleted int64, err error) {
	for _, kind := range []struct{ first, limit string }{{"r_", before(now.Add(-s.retention))}, {"", oldestNotice(now)}} {
		for _, slice := range []string{
			"SELECT max(id) FROM (SELECT id FROM runs WHERE id >= ? AND id < ? ORDER BY id LIMIT ?)",
			// A crash leaves bodies without a head.
			"SELECT max(run) FROM (SELECT run FROM bodies WHERE run >= ? AND run < ? ORDER BY run LIMIT ?)",
		} {
			for {
				var last *string
				if err := s.db.Scan(ctx, slice, []any{kind.first, kind.limit, purgeSlice}, &last); err != nil {
					return deleted, sqlite.Explain(err, "find expired runs")
				}
				if last == nil {
					break
				}
				n, err := s.purge(ctx, kind.first, *last)
				if err != nil {
					return deleted, err
				}
				deleted += n
			}
		}
	}
	for {
		var n int64
		if err := s.db.Write(ctx, func(tx *sqlite.Tx) (err error) {
			n, err = tx.Exec(`DELETE FROM reservations WHERE key IN
				(SELECT key FROM reservations WHERE expires <= ? ORDER BY expires LIMIT ?)`, nanos(now), purgeSlice)
			return err
		}); err != nil {
			return deleted, sqlite.Explain(err, "delete expired idempotency keys")
		}
		if n < purgeSlice {
			return deleted, nil
		}
	}
}

// purge deletes all runs from an id up to another and what belongs to them.
func (s *Runs) purge(ctx context.Context, first, last string) (deleted int64, err error) {
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		for _, text := range []string{
			"DELETE FROM bodies WHERE run >= ? AND run <= ?",
			"DELETE FROM responses WHERE run >= ? AND run <= ?",
			"DELETE FROM logs WHERE run >= ? AND run <= ?",
			"DELETE FROM attempts WHERE run >= ? AND run <= ?",
			"DELETE FROM sealed WHERE run >= ? AND run <= ?",
		} {
			if _, err := tx.Exec(text, first, last); err != nil {
				return err
			}
		}
		deleted, err = tx.Exec("DELETE FROM runs WHERE id >= ? AND id <= ?", first, last)
		return err
	})
	return deleted, sqlite.Explain(err, "delete expired runs")
}

// FreeKeys gives back the idempotency keys whose runs the process before did not come to record, so
// that their clients need not wait until the reservations end.
func (s *Runs) FreeKeys(ctx context.Context, now time.Time) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.Exec("DELETE FROM reservations WHERE until >= ? AND NOT EXISTS (SELECT 1 FROM runs WHERE id = run)", nanos(now))
		return sqlite.Explain(err, "free idempotency keys")
	})
}

// TakeOverLeases ends every lease and makes its run due: the process that held them is dead, since
// this one has its data. The next claim writes the interrupted attempt down. It returns how many
// runs it took over.
func (s *Runs) TakeOverLeases(ctx context.Context, now time.Time) (int, error) {
	rows, err := s.db.Rows(ctx, "SELECT id FROM runs INDEXED BY runs_active WHERE active = 1 AND lease > ? AND (id >= ? OR id < 'r_' AND id >= ?)",
		nanos(now), s.oldest(), oldestNotice(now))
	if err != nil {
		return 0, sqlite.Explain(err, "find leases")
	}
	defer rows.Close()
	var leased []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return 0, sqlite.Explain(err, "find leases")
		}
		leased = append(leased, id)
	}
	if err := rows.Err(); err != nil {
		return 0, sqlite.Explain(err, "find leases")
	}
	for i, id := range leased {
		if _, err := s.Update(ctx, id, func(r *run.Run) (*run.Write, error) {
			r.Delivery.Lease = time.Time{}
			r.Due = now.Truncate(time.Millisecond)
			return &run.Write{}, nil
		}); err != nil {
			return i, fmt.Errorf("take over the lease of run %s: %w", id, err)
		}
	}
	return len(leased), nil
}
