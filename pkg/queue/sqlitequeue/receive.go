package sqlitequeue

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"longshore/pkg/queue"
	"longshore/pkg/sqlite"
)

// What is read while messages wait: both end at the index, however many do.
const (
	dueText  = "SELECT id, due, receives, text, trace FROM messages WHERE queue = ? AND due <= ? ORDER BY due LIMIT ?"
	nextText = "SELECT due FROM messages WHERE queue = ? ORDER BY due LIMIT 1"
)

// Receive implements queue.Queue. It is woken by the commit of a send and by the clock; it never
// polls. A context that ends is fault.Unavailable.
func (q *Queue) Receive(ctx context.Context, backend string, limit int, wait time.Duration) ([]queue.Received, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		// Asked for before the look, so that no message can come between look and wait.
		woken := q.wait(backend)
		taken, next, err := q.take(ctx, backend, limit)
		if err != nil || len(taken) > 0 || wait <= 0 {
			return taken, err
		}
		var due <-chan time.Time
		if next > 0 {
			timer := time.NewTimer(next)
			defer timer.Stop()
			due = timer.C
		}
		select {
		case <-woken:
		case <-due:
		case <-deadline.C:
			return nil, nil
		case <-ctx.Done():
			return nil, sqlite.Explain(ctx.Err(), "wait for messages")
		}
	}
}

// wait returns a channel that is closed when the next message comes to a queue.
func (q *Queue) wait(backend string) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	woken, ok := q.waiting[backend]
	if !ok {
		woken = make(chan struct{})
		q.waiting[backend] = woken
	}
	return woken
}

func (q *Queue) wake(backend string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if woken, ok := q.waiting[backend]; ok {
		close(woken)
		delete(q.waiting, backend)
	}
}

// candidate is a message that is due.
type candidate struct {
	id       int64
	due      int64
	receives int
	text     []byte
	trace    string
}

// take receives what is due now. If that is nothing, next is how long it is until something is; 0
// when the queue is empty.
func (q *Queue) take(ctx context.Context, backend string, limit int) (taken []queue.Received, next time.Duration, err error) {
	if limit <= 0 {
		return nil, 0, nil
	}
	// Messages are handed out before the commit, so that it is that of their claims, too. If it fails, they
	// are as if nobody had received them, and so are their claims. Should they be claimed again for another
	// operation's sake, it is at the same time: no message is claimed that is handed to nobody.
	told := false
	var now time.Time
	err = q.db.WriteEarly(ctx, func(tx *sqlite.Tx) (err error) {
		var found []queue.Received
		var wait time.Duration
		defer func() {
			if !told && err == nil {
				taken, next, told = found, wait, true
			}
		}()
		if now.IsZero() {
			now = q.now()
		}
		for {
			due, err := q.due(tx, backend, now, limit)
			if err != nil {
				return err
			}
			if len(due) == 0 {
				wait, err = q.untilNext(tx, backend, now)
				return err
			}
			for _, c := range due {
				r, ok, err := q.receive(tx, backend, now, c)
				if err != nil {
					return err
				}
				if ok {
					found = append(found, r)
				}
			}
			if len(found) > 0 {
				return nil
			}
			// All of them were used up: there may be others behind.
		}
	})
	if err != nil {
		return nil, 0, sqlite.Explain(err, "receive messages")
	}
	return taken, next, nil
}

// due returns up to limit messages that are due, the oldest first; with chaos any that are due.
func (q *Queue) due(tx *sqlite.Tx, backend string, now time.Time, limit int) ([]candidate, error) {
	look := limit
	if q.chaos {
		look = 4 * limit
	}
	var due []candidate
	err := tx.Each(dueText, []any{backend, now.UnixMilli(), look},
		func(scan func(into ...any) error) error {
			var c candidate
			err := scan(&c.id, &c.due, &c.receives, &c.text, &c.trace)
			due = append(due, c)
			return err
		})
	if q.chaos {
		rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	}
	return due[:min(limit, len(due))], err
}

// receive gives a message out, or moves it to the dead-letter queue.
func (q *Queue) receive(tx *sqlite.Tx, backend string, now time.Time, c candidate) (queue.Received, bool, error) {
	if c.receives >= q.maxReceive && backend != queue.DeadLetter {
		// Its receives go on counting, so that an old receipt never fits.
		_, err := tx.Exec("UPDATE messages SET queue = ?, due = ?, held = 0 WHERE id = ?", queue.DeadLetter, now.UnixMilli(), c.id)
		tx.AfterCommit(func() { q.wake(queue.DeadLetter) })
		return queue.Received{}, false, err
	}
	due := now.Add(q.visibility).UnixMilli()
	if q.chaos && rand.IntN(20) == 0 {
		due = c.due
		tx.AfterCommit(func() { q.wake(backend) })
	}
	c.receives++
	parent, state, _ := strings.Cut(c.trace, " ")
	r := queue.Received{
		ID: strconv.FormatInt(c.id, 10), Receipt: formatReceipt(c.id, c.receives), Body: string(c.text), Count: c.receives,
		Traceparent: parent, Tracestate: state,
	}
	if c.receives == 1 {
		r.Sent = time.UnixMilli(c.due)
	}
	_, err := tx.Exec("UPDATE messages SET due = ?, receives = ?, held = 1 WHERE id = ?", due, c.receives, c.id)
	return r, true, err
}

// Oldest returns how long the message has been due that waits for longest, 0 when none waits. Messages
// that are in hand do not wait.
func (q *Queue) Oldest(ctx context.Context, backend string) (time.Duration, error) {
	var due int64
	now := q.now()
	err := q.db.Scan(ctx, "SELECT due FROM messages WHERE queue = ? ORDER BY due LIMIT 1", []any{backend}, &due)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return max(now.Sub(time.UnixMilli(due)), 0), err
}

// untilNext returns how long it is until the next message of a queue is due, 0 when it has none.
func (q *Queue) untilNext(tx *sqlite.Tx, backend string, now time.Time) (time.Duration, error) {
	var due int64
	err := tx.Scan(nextText, []any{backend}, &due)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return max(time.UnixMilli(due).Sub(now), time.Millisecond), err
}
