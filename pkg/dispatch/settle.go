package dispatch

import (
	"context"
	"log/slog"
	"time"

	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// StoreAndSend is a Settler made of a store and a queue that share no transaction: the outcome is
// written, then the next try is sent. A send that fails is logged; the sweeper sends that try. The
// acknowledgement is left to the caller of Handle: on Lambda, the platform.
type StoreAndSend struct {
	Runs interface {
		Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error)
	}
	Send queue.Sender
	Log  *slog.Logger
}

var _ Settler = (*StoreAndSend)(nil)

// Settle implements Settler. Its errors are those of Update.
func (s *StoreAndSend) Settle(ctx context.Context, _ queue.Received, id string,
	move func(*run.Run) (*run.Write, error),
	next func(*run.Run) (*queue.Message, time.Duration),
) (*run.Run, error) {
	r, err := s.Runs.Update(ctx, id, move)
	if err != nil {
		return nil, err
	}
	if m, delay := next(r); m != nil {
		if err := s.Send.Send(ctx, r.Backend, *m, delay, r.Delivery.Host); err != nil {
			s.Log.WarnContext(ctx, "next try not sent; the sweeper has it", slog.String("run_id", id), slog.Any("error", err))
		}
	}
	return r, nil
}
