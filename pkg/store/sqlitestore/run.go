// Package sqlitestore keeps runs, definitions, the catalog, settings and the audit log in SQLite: run.Store,
// action.Store, catalog.Store, organization.Store and audit.Store over one sqlite.DB. An entry of the audit log is written in
// the commit of the change that it is about.
//
// What a method writes is one operation of the database's writer; functions with Tx in their names
// are parts of a larger one, so that the local process accepts or settles a run in one commit.
package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
)

// DefaultRetention is how long a run is kept: longer than any deadline.
const DefaultRetention = 365 * 24 * time.Hour

// RunsOptions are the settings of Runs.
type RunsOptions struct {
	// Retention is how long after the time in its id a run is kept; 0 means DefaultRetention.
	Retention time.Duration
	// IndexLag makes List and Due blind for what is younger, as an index of DynamoDB may be. For
	// tests of what is built on them.
	IndexLag time.Duration
	// Now is time.Now where it is nil.
	Now func() time.Time
	// Feed tells of the runs' changes; nil for none.
	Feed *Feed
}

// Runs is a run.Store.
type Runs struct {
	db        *sqlite.DB
	retention time.Duration
	lag       time.Duration
	now       func() time.Time
	feed      *Feed
}

var _ run.Store = (*Runs)(nil)

// NewRuns returns a store over a database whose tables it makes or brings up to date.
func NewRuns(ctx context.Context, db *sqlite.DB, o RunsOptions) (*Runs, error) {
	if o.Retention <= 0 {
		o.Retention = DefaultRetention
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := db.Migrate(ctx, "runs", runsSchema); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "sealed", sealedSchema); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "approval", approvalSchema); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "audits", auditsSchema); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "pending", pendingSchema); err != nil {
		return nil, err
	}
	return &Runs{db: db, retention: o.Retention, lag: o.IndexLag, now: o.Now, feed: o.Feed}, nil
}

// before returns what sorts before every run id of a time or later.
func before(t time.Time) string { return run.NewID(t)[:len("r_")+8] }

// oldest returns what sorts before every run that is kept. Every notice sorts before it.
func (s *Runs) oldest() string { return before(s.now().Add(-s.retention)) }

// oldestNotice returns what sorts before every notice that is kept at a time.
func oldestNotice(now time.Time) string {
	return run.NewNoticeID(now.Add(-run.NoticeRetention))[:len("d_")+8]
}

// expired reports whether the time of a run or a notice has passed.
func (s *Runs) expired(id string) bool {
	if run.IsNotice(id) {
		return id < oldestNotice(s.now())
	}
	return id < s.oldest()
}

func notFound(id string) error {
	return fault.New(fault.NotFound, "", "there is no run %s", id)
}

// Create implements run.Store.
func (s *Runs) Create(ctx context.Context, r *run.Run, b *run.Body) error {
	create, err := s.Creation(r, b)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, create)
}

// Creation encodes a new run, and returns the operation that records it, as Create does. The
// encoding is done by the caller, not by the one goroutine that writes.
func (s *Runs) Creation(r *run.Run, b *run.Body) (func(*sqlite.Tx) error, error) {
	stored := *r
	stored.Rev = 1
	called, err := encodeInvocation(b.Invocation)
	if err != nil {
		return nil, err
	}
	var approval []byte
	if b.Approval != nil {
		if approval, err = json.Marshal(b.Approval); err != nil {
			return nil, fmt.Errorf("encode approval: %w", err)
		}
	}
	text, properties, user, secrets, sealed := encodeHead(&stored), []byte(b.Properties), []byte(b.User), b.Secrets, b.Sealed
	entries := []*audit.Entry{run.Created(&stored)}
	return func(tx *sqlite.Tx) error {
		added, err := tx.Exec(`INSERT INTO runs
			(id, action, blueprint, entity, user_id, user_email, source, external, active, due, lease, head, pending, method, claimed_until)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			stored.ID, stored.Action.Identifier, stored.Blueprint, stored.Entity, stored.UserID,
			strings.ToLower(stored.UserEmail), stored.Source, stored.ExternalRunID, !stored.Status.Ended(),
			dueMillis(stored.Due), nanos(stored.Delivery.Lease), text, stored.PendingKey(), stored.Pending.Method, nanos(stored.Pending.ClaimedUntil))
		if err != nil {
			return sqlite.Explain(err, "write run")
		}
		if added == 0 {
			return fault.New(fault.Conflict, "", "run %s exists already", stored.ID)
		}
		_, err = tx.Exec("INSERT OR REPLACE INTO bodies (run, properties, user, invocation, approval, secrets) VALUES (?, ?, ?, ?, ?, ?)",
			stored.ID, properties, user, called, approval, secrets)
		if err != nil {
			return sqlite.Explain(err, "write run's body")
		}
		if secrets {
			if _, err := tx.Exec("INSERT OR REPLACE INTO sealed (run, invocation) VALUES (?, ?)", stored.ID, sealed); err != nil {
				return sqlite.Explain(err, "write run's sealed invocation")
			}
		}
		if err := recordTx(tx, entries); err != nil {
			return err
		}
		return s.feed.runTx(tx, nil, nil, &stored, text, nil)
	}, nil
}

// Get implements run.Store.
func (s *Runs) Get(ctx context.Context, id string) (*run.Run, error) {
	if s.expired(id) {
		return nil, notFound(id)
	}
	var text []byte
	err := s.db.Scan(ctx, "SELECT head FROM runs WHERE id = ?", []any{id}, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound(id)
	}
	if err != nil {
		return nil, sqlite.Explain(err, "read run")
	}
	return decodeHead(id, text)
}

// wholeRun is the SELECT of all that a Record has.
const wholeRun = `SELECT r.id, r.head, b.properties, b.user, b.invocation, b.approval, b.secrets, p.response FROM runs r %s
	LEFT JOIN bodies b ON b.run = r.id LEFT JOIN responses p ON p.run = r.id `

// Read implements run.Store.
func (s *Runs) Read(ctx context.Context, id string) (*run.Record, error) {
	if s.expired(id) {
		return nil, notFound(id)
	}
	rows, err := s.db.Rows(ctx, fmt.Sprintf(wholeRun, "")+"WHERE r.id = ?", id)
	if err != nil {
		return nil, sqlite.Explain(err, "read run")
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return nil, sqlite.Explain(err, "read run")
		}
		return nil, notFound(id)
	}
	record, _, err := readRecord(rows)
	return record, sqlite.Explain(err, "read run")
}

// readRecord reads a row of wholeRun and says how many bytes body and response have.
func readRecord(rows *sql.Rows) (*run.Record, int, error) {
	var id string
	var text, properties, user, called, approval, response []byte
	var secrets sql.NullBool // of a missing body
	if err := rows.Scan(&id, &text, &properties, &user, &called, &approval, &secrets, &response); err != nil {
		return nil, 0, err
	}
	r, err := decodeHead(id, text)
	if err != nil {
		return nil, 0, err
	}
	body, err := decodeBody(id, properties, user, called, approval, secrets.Bool)
	if err != nil {
		return nil, 0, err
	}
	record := &run.Record{Run: r, Body: body}
	if r.HasResponse {
		record.Response = response
	}
	return record, len(properties) + len(user) + len(called) + len(record.Response), nil
}

// decodeBody reads a row of bodies; properties are nil where there is none.
func decodeBody(id string, properties, user, called, approval []byte, secrets bool) (b run.Body, err error) {
	b = run.Body{Properties: properties, User: user, Secrets: secrets}
	if properties == nil {
		b.Properties = json.RawMessage("{}")
	}
	if called != nil {
		if b.Invocation, err = invocation.Decode(called); err != nil {
			return b, fmt.Errorf("run %s: %w", id, err)
		}
	}
	if approval != nil {
		if err := json.Unmarshal(approval, &b.Approval); err != nil {
			return b, fmt.Errorf("read approval of run %s: %w", id, err)
		}
	}
	return b, nil
}

// Sealed implements run.Store.
func (s *Runs) Sealed(ctx context.Context, id string) ([]byte, error) {
	if id < s.oldest() {
		return nil, notFound(id)
	}
	var text []byte
	err := s.db.Scan(ctx, "SELECT s.invocation FROM runs r JOIN sealed s ON s.run = r.id WHERE r.id = ?", []any{id}, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound(id)
	}
	return text, sqlite.Explain(err, "read run's sealed invocation")
}

// Update implements run.Store.
func (s *Runs) Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	var r *run.Run
	err := s.db.Write(ctx, func(tx *sqlite.Tx) (err error) {
		r, err = s.UpdateTx(tx, id, move)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// UpdateTx is Update as a part of an operation; nobody else can write meanwhile.
func (s *Runs) UpdateTx(tx *sqlite.Tx, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	if s.expired(id) {
		return nil, notFound(id)
	}
	var text []byte
	err := tx.Scan("SELECT head FROM runs WHERE id = ?", []any{id}, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound(id)
	}
	if err != nil {
		return nil, sqlite.Explain(err, "read run")
	}
	r, err := decodeHead(id, text)
	if err != nil {
		return nil, err
	}
	before, found := columnsOf(r), *r
	w, err := move(r)
	if err != nil {
		return nil, err
	}
	if w == nil {
		// What the move did to its copy is not what is stored.
		return decodeHead(id, text)
	}
	entry := run.Sign(&found, r, w)
	r.Rev = found.Rev + 1
	old := text
	text = encodeHead(r)
	if after := columnsOf(r); after == before {
		_, err = tx.Exec("UPDATE runs SET due = ?, lease = ?, head = ? WHERE id = ?",
			dueMillis(r.Due), nanos(r.Delivery.Lease), text, id)
	} else {
		_, err = tx.Exec("UPDATE runs SET due = ?, lease = ?, head = ?, active = ?, external = ?, pending = ?, claimed_until = ? WHERE id = ?",
			dueMillis(r.Due), nanos(r.Delivery.Lease), text, !after.ended, after.external, after.pending, after.claimed, id)
	}
	if err != nil {
		return nil, sqlite.Explain(err, "write run")
	}
	if entry != nil {
		if err := recordTx(tx, []*audit.Entry{entry}); err != nil {
			return nil, err
		}
		if err := s.feed.runTx(tx, &found, old, r, text, w.Response); err != nil {
			return nil, err
		}
	}
	return r, s.writeTx(tx, id, w)
}

// columns are what few moves change.
type columns struct {
	ended             bool
	external, pending string
	claimed           int64
}

func columnsOf(r *run.Run) columns {
	return columns{r.Status.Ended(), r.ExternalRunID, r.PendingKey(), nanos(r.Pending.ClaimedUntil)}
}

// writeTx writes what a move returned beside the head.
func (s *Runs) writeTx(tx *sqlite.Tx, id string, w *run.Write) error {
	for _, l := range w.Logs {
		err := s.AppendLogTx(tx, l)
		if l.RunID != id && fault.KindOf(err) == fault.NotFound {
			// The run that a notice tells of was never recorded, or has expired.
			continue
		}
		if err != nil {
			return err
		}
	}
	if w.Response != nil {
		if _, err := tx.Exec("INSERT OR REPLACE INTO responses (run, response) VALUES (?, ?)", id, []byte(w.Response)); err != nil {
			return sqlite.Explain(err, "write run's response")
		}
	}
	if len(w.Closed) > 0 {
		if _, err := tx.Exec("INSERT OR REPLACE INTO attempts (run, generation, attempts) VALUES (?, ?, ?)",
			id, w.ClosedGeneration, encodeAttempts(w.Closed)); err != nil {
			return sqlite.Explain(err, "write run's attempts")
		}
	}
	return nil
}

// Attempts implements run.Store.
func (s *Runs) Attempts(ctx context.Context, id string) ([]run.Attempt, error) {
	if s.expired(id) {
		return nil, nil
	}
	rows, err := s.db.Rows(ctx, "SELECT attempts FROM attempts WHERE run = ? ORDER BY generation", id)
	if err != nil {
		return nil, sqlite.Explain(err, "read run's attempts")
	}
	defer rows.Close()
	var all []run.Attempt
	for rows.Next() {
		var text []byte
		if err := rows.Scan(&text); err != nil {
			return nil, sqlite.Explain(err, "read run's attempts")
		}
		closed, err := decodeAttempts(text)
		if err != nil {
			return nil, fmt.Errorf("decode attempts of run %s: %w", id, err)
		}
		all = append(all, closed...)
	}
	return all, sqlite.Explain(rows.Err(), "read run's attempts")
}
