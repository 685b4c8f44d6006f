// Package sqlitequeue is a queue in SQLite, in the same file as the runs: the local process sends a
// run's message in the commit that records the run, and acknowledges it in the one that settles it.
//
// It behaves as SQS does, and promises no more: at least once, no order, a visibility time-out, a
// receive count, one dead-letter queue. Receipts do not outlive the process: when it starts, whatever
// was in hand is visible again.
package sqlitequeue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"longshore/pkg/queue"
	"longshore/pkg/sqlite"
	"longshore/pkg/trace"
)

// Texts are short: the local process keeps invocations with their runs. Times are milliseconds since
// 1970; due is when a message is visible, or is so again.
const schema = `
CREATE TABLE messages (
	id INTEGER PRIMARY KEY,
	queue TEXT NOT NULL,
	due INTEGER NOT NULL,
	receives INTEGER NOT NULL,
	held INTEGER NOT NULL,
	text BLOB NOT NULL
);
CREATE INDEX messages_due ON messages (queue, due);
`

// The traceparent of a message, and behind a space its tracestate; empty for none.
const schemaTrace = `ALTER TABLE messages ADD COLUMN trace TEXT NOT NULL DEFAULT ''`

// Options are the settings of a queue. Zero ones are those of package queue.
type Options struct {
	// Visibility is how long a received message is hidden from others.
	Visibility time.Duration
	// MaxReceive is how often a message is received before it goes to the dead-letter queue.
	MaxReceive int
	// Chaos makes the queue as unkind as SQS may be, for tests of what is built on it: messages come
	// in any order, one of 20 comes twice, one of 20 is received again while it is in hand.
	Chaos bool
	// Now is time.Now where it is nil.
	Now func() time.Time
}

// Queue is a queue.Queue. It is safe for concurrent use.
type Queue struct {
	db         *sqlite.DB
	visibility time.Duration
	maxReceive int
	chaos      bool
	now        func() time.Time
	// lastID is the id of the last message, used by the database's writer only.
	lastID int64

	mu sync.Mutex
	// waiting has a channel for each queue that somebody waits for; it is closed when a message comes.
	waiting map[string]chan struct{}
}

var _ queue.Queue = (*Queue)(nil)

// New returns a queue over a database whose tables it makes or brings up to date, and makes visible
// what a process that died had in hand. One database has one Queue at a time.
func New(ctx context.Context, db *sqlite.DB, o Options) (*Queue, error) {
	q := &Queue{
		db: db, visibility: o.Visibility, maxReceive: o.MaxReceive, chaos: o.Chaos, now: o.Now,
		waiting: map[string]chan struct{}{},
	}
	if q.visibility <= 0 {
		q.visibility = queue.Visibility
	}
	if q.maxReceive <= 0 {
		q.maxReceive = queue.MaxReceive
	}
	if q.now == nil {
		q.now = time.Now
	}
	if err := db.Migrate(ctx, "queue", schema, schemaTrace); err != nil {
		return nil, err
	}
	if err := db.Write(ctx, q.start); err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	return q, nil
}

// start takes back what a dead process had in hand and finds an id that no receipt of it has.
func (q *Queue) start(tx *sqlite.Tx) error {
	if _, err := tx.Exec("UPDATE messages SET due = min(due, ?), held = 0 WHERE held = 1", q.now().UnixMilli()); err != nil {
		return sqlite.Explain(err, "take messages back")
	}
	var last int64
	if err := tx.Scan("SELECT coalesce(max(id), 0) FROM messages", nil, &last); err != nil {
		return sqlite.Explain(err, "read messages")
	}
	q.lastID = max(last, q.now().UnixMicro())
	return nil
}

// Send implements queue.Sender. The group is ignored.
func (q *Queue) Send(ctx context.Context, backend string, m queue.Message, delay time.Duration, _ string) error {
	send, err := q.Sending(ctx, backend, m, delay)
	if err != nil {
		return err
	}
	return q.db.Write(ctx, send)
}

// SendTx is Send as a part of an operation.
func (q *Queue) SendTx(ctx context.Context, tx *sqlite.Tx, backend string, m queue.Message, delay time.Duration) error {
	send, err := q.Sending(ctx, backend, m, delay)
	if err != nil {
		return err
	}
	return send(tx)
}

// Sending encodes a message and returns the operation that sends it. The encoding is done by the
// caller, not by the one goroutine that writes.
func (q *Queue) Sending(ctx context.Context, backend string, m queue.Message, delay time.Duration) (func(*sqlite.Tx) error, error) {
	if delay > queue.MaxDelay {
		return nil, fmt.Errorf("send message: a delay of %v, the longest is %v", delay, queue.MaxDelay)
	}
	text, err := queue.Encode(m)
	if err != nil {
		return nil, err
	}
	position := trace.From(ctx)
	traced := position.Traceparent()
	if position.State != "" {
		traced += " " + position.State
	}
	wait := (max(delay, 0) + time.Second - 1).Truncate(time.Second)
	return func(tx *sqlite.Tx) error {
		due := q.now().Add(wait).UnixMilli()
		copies := 1
		if q.chaos && rand.IntN(20) == 0 {
			copies = 2
		}
		for range copies {
			q.lastID++
			if _, err := tx.Exec("INSERT INTO messages (id, queue, due, receives, held, text, trace) VALUES (?, ?, ?, 0, 0, ?, ?)",
				q.lastID, backend, due, text, traced); err != nil {
				return sqlite.Explain(err, "send message")
			}
		}
		tx.AfterCommit(func() { q.wake(backend) })
		return nil
	}, nil
}

// Ack implements queue.Queue.
func (q *Queue) Ack(ctx context.Context, _ string, receipts ...string) error {
	if len(receipts) == 0 {
		return nil
	}
	return q.db.Write(ctx, func(tx *sqlite.Tx) error { return q.AckTx(tx, receipts...) })
}

// AckTx is Ack as a part of an operation. A receipt names message and receive, so that one that is
// late removes nothing.
func (q *Queue) AckTx(tx *sqlite.Tx, receipts ...string) error {
	for _, receipt := range receipts {
		id, receives, ok := parseReceipt(receipt)
		if !ok {
			continue
		}
		if _, err := tx.Exec("DELETE FROM messages WHERE id = ? AND receives = ?", id, receives); err != nil {
			return sqlite.Explain(err, "acknowledge message")
		}
	}
	return nil
}

func formatReceipt(id int64, receives int) string {
	return strconv.FormatInt(id, 10) + "-" + strconv.Itoa(receives)
}

func parseReceipt(receipt string) (id int64, receives int, ok bool) {
	first, second, _ := strings.Cut(receipt, "-")
	id, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0, 0, false
	}
	receives, err = strconv.Atoi(second)
	return id, receives, err == nil && receives > 0
}
