package dispatch

import (
	"context"
	"log/slog"

	"longshore/pkg/queue"
)

// Both returns how the messages of a queue are handled that runs and slices share: all at once, as
// Dispatcher.Handle does, which also says what it returns. The dispatcher counts what becomes of slices.
func Both(d *Dispatcher, s *Slices) func(ctx context.Context, messages []queue.Received) (again []string) {
	return func(ctx context.Context, messages []queue.Received) (again []string) {
		return each(ctx, d.c.Log, d.c.Count, messages, func(ctx context.Context, log *slog.Logger, received queue.Received) (Event, bool) {
			if m, err := queue.Decode([]byte(received.Body)); err == nil && m.Kind == queue.KindDelete {
				return s.handle(ctx, log, m)
			}
			return d.observed(ctx, log, received)
		})
	}
}
