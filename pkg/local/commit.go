package local

import (
	"context"
	"time"

	"longshore/pkg/dispatch"
	"longshore/pkg/metric"
	"longshore/pkg/queue"
	"longshore/pkg/queue/sqlitequeue"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/sqlitestore"
	"longshore/pkg/trigger"
)

// Commits accepts and settles runs in one commit each: run, body, first log line and message
// together; outcome, next message and acknowledgement together. Either is whole or absent, so that
// the sweeper never has to repair what a crash left in between.
type Commits struct {
	DB    *sqlite.DB
	Runs  *sqlitestore.Runs
	Queue *sqlitequeue.Queue
	// Metrics counts what becomes of runs; nil counts nothing.
	Metrics *metric.Registry
	// recent is told of each run that is sent; nil for none.
	recent *recent
}

var (
	_ trigger.Accepter = (*Commits)(nil)
	_ dispatch.Settler = (*Commits)(nil)
)

// Accept implements trigger.Accepter. After an error nothing was accepted.
func (c *Commits) Accept(ctx context.Context, r *run.Run, b *run.Body, m *queue.Message, line *run.Log) error {
	record, err := c.Runs.Creation(r, b)
	if err != nil {
		return err
	}
	send := func(*sqlite.Tx) error { return nil }
	if m != nil {
		message := *m
		// The text would be written and deleted a second time; the dispatcher has it from memory, or
		// reads it.
		message.Invocation = nil
		if send, err = c.Queue.Sending(ctx, r.Backend, message, 0); err != nil {
			return err
		}
	}
	if m != nil && c.recent != nil && !b.Secrets {
		c.recent.keep(r.ID, b.Invocation)
	}
	err = c.DB.Write(ctx, func(tx *sqlite.Tx) error {
		if err := record(tx); err != nil {
			return err
		}
		if line != nil {
			if err := c.Runs.AppendLogTx(tx, line); err != nil {
				return err
			}
		}
		return send(tx)
	})
	if err != nil && c.recent != nil {
		c.recent.take(r.ID)
	}
	if err == nil {
		run.CountAccepted(c.Metrics, r)
	}
	return err
}

// Settle implements dispatch.Settler. After an error nothing was written, sent or acknowledged.
func (c *Commits) Settle(ctx context.Context, m queue.Received, id string,
	move func(*run.Run) (*run.Write, error),
	next func(*run.Run) (*queue.Message, time.Duration),
) (*run.Run, error) {
	move, count := run.Meter(c.Metrics, move)
	var r *run.Run
	err := c.DB.Write(ctx, func(tx *sqlite.Tx) (err error) {
		if r, err = c.Runs.UpdateTx(tx, id, move); err != nil {
			return err
		}
		if m, delay := next(r); m != nil {
			if err := c.Queue.SendTx(ctx, tx, r.Backend, *m, delay); err != nil {
				return err
			}
		}
		return c.Queue.AckTx(tx, m.Receipt)
	})
	if err != nil {
		return nil, err
	}
	count(r)
	return r, nil
}
