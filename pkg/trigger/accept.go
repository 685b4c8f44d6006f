package trigger

import (
	"context"
	"log/slog"
	"time"

	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// afterHead bounds what follows the write that makes a run exist: its caller is answered 202 in any
// case, so that a slow queue must not hold the answer up for long.
const afterHead = 5 * time.Second

// Recorder is what StoreAndSend needs of a run.Store, whose comments say what the methods promise.
type Recorder interface {
	Create(ctx context.Context, r *run.Run, b *run.Body) error
	AppendLog(ctx context.Context, l *run.Log) error
}

// StoreAndSend accepts runs with a store and a queue: record, then send. Once the run exists a
// failure is logged and no error, because the run is due and the sweeper sends its message.
type StoreAndSend struct {
	Store  Recorder
	Sender queue.Sender
	Log    *slog.Logger
}

var _ Accepter = (*StoreAndSend)(nil)

// Accept implements Accepter.
func (a *StoreAndSend) Accept(ctx context.Context, r *run.Run, b *run.Body, m *queue.Message, line *run.Log) error {
	if err := a.Store.Create(ctx, r, b); err != nil {
		return err
	}
	if line != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterHead)
		defer cancel()
		if err := a.Store.AppendLog(ctx, line); err != nil {
			a.Log.LogAttrs(ctx, slog.LevelWarn, "first log line of a run not written",
				slog.String("run_id", r.ID), slog.Any("error", err))
		}
	}
	if m != nil {
		send(ctx, a.Sender, a.Log, r.Backend, *m, b.Invocation.Group())
	}
	return nil
}

// send sends the message of a run that is recorded, even if the request that asked for it is gone.
func send(ctx context.Context, s queue.Sender, log *slog.Logger, backend string, m queue.Message, group string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterHead)
	defer cancel()
	if err := s.Send(ctx, backend, m, 0, group); err != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "message not sent; the sweeper sends it",
			slog.String("run_id", m.PK), slog.String("backend", backend), slog.Any("error", err))
	}
}
