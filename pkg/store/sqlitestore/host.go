package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"longshore/pkg/breaker"
	"longshore/pkg/sqlite"
)

// What is known of a host is JSON: only its names, its revision and its age are looked for.
const hostsSchema = `
CREATE TABLE hosts (
	backend TEXT NOT NULL,
	name TEXT NOT NULL,
	rev INTEGER NOT NULL,
	written_at INTEGER NOT NULL,
	host BLOB NOT NULL,
	PRIMARY KEY (backend, name)
) WITHOUT ROWID;
`

// Hosts keeps the states of breakers.
type Hosts struct {
	db  *sqlite.DB
	now func() time.Time
}

var _ breaker.Store = (*Hosts)(nil)

// NewHosts returns a store over a database whose tables it makes or brings up to date.
func NewHosts(ctx context.Context, db *sqlite.DB, now func() time.Time) (*Hosts, error) {
	if err := db.Migrate(ctx, "hosts", hostsSchema); err != nil {
		return nil, err
	}
	return &Hosts{db, now}, nil
}

// expired is when those were written last that are no longer there.
func (s *Hosts) expired() int64 { return nanos(s.now().Add(-breaker.Retention)) }

// Host implements breaker.Store.
func (s *Hosts) Host(ctx context.Context, backend, name string) (breaker.Host, error) {
	var rev int64
	var text []byte
	err := s.db.Scan(ctx, "SELECT rev, host FROM hosts WHERE backend = ? AND name = ? AND written_at > ?",
		[]any{backend, name, s.expired()}, &rev, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return breaker.Host{Backend: backend, Name: name}, nil
	}
	if err != nil {
		return breaker.Host{}, sqlite.Explain(err, "read host")
	}
	return decodeHost(backend, name, rev, text)
}

func decodeHost(backend, name string, rev int64, text []byte) (breaker.Host, error) {
	var h breaker.Host
	if err := json.Unmarshal(text, &h); err != nil {
		return h, fmt.Errorf("decode host %s: %w", name, err)
	}
	h.Backend, h.Name, h.Rev = backend, name, rev
	return h, nil
}

// PutHost implements breaker.Store.
func (s *Hosts) PutHost(ctx context.Context, h breaker.Host) (now breaker.Host, won bool, err error) {
	next, err := json.Marshal(h)
	if err != nil {
		return breaker.Host{}, false, fmt.Errorf("encode host: %w", err)
	}
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		now, won = breaker.Host{Backend: h.Backend, Name: h.Name}, false
		var rev, written int64
		var text []byte
		err := tx.Scan("SELECT rev, written_at, host FROM hosts WHERE backend = ? AND name = ?", []any{h.Backend, h.Name}, &rev, &written, &text)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return sqlite.Explain(err, "read host")
		case written <= s.expired():
			// It is not there any more, but for its revision.
			now.Rev = rev
		default:
			if now, err = decodeHost(h.Backend, h.Name, rev, text); err != nil {
				return err
			}
		}
		if now.Rev != h.Rev-1 {
			return nil
		}
		now, won = h, true
		_, err = tx.Exec(`INSERT INTO hosts VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (backend, name) DO UPDATE SET rev = excluded.rev, written_at = excluded.written_at, host = excluded.host`,
			h.Backend, h.Name, h.Rev, nanos(s.now()), next)
		return sqlite.Explain(err, "write host")
	})
	return now, won, err
}

// Hosts implements breaker.Store.
func (s *Hosts) Hosts(ctx context.Context, backend string) ([]breaker.Host, error) {
	rows, err := s.db.Rows(ctx, "SELECT name, rev, host FROM hosts WHERE backend = ? AND written_at > ? ORDER BY name", backend, s.expired())
	if err != nil {
		return nil, sqlite.Explain(err, "read hosts")
	}
	defer rows.Close()
	var hosts []breaker.Host
	for rows.Next() {
		var name string
		var rev int64
		var text []byte
		if err := rows.Scan(&name, &rev, &text); err != nil {
			return nil, sqlite.Explain(err, "read hosts")
		}
		h, err := decodeHost(backend, name, rev, text)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	return hosts, sqlite.Explain(rows.Err(), "read hosts")
}

// Purge deletes the hosts that were not written for long.
func (s *Hosts) Purge(ctx context.Context, now time.Time) error {
	return s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.Exec("DELETE FROM hosts WHERE written_at <= ?", nanos(now.Add(-breaker.Retention)))
		return sqlite.Explain(err, "delete old hosts")
	})
}
