package dispatch

import (
	"context"
	"log/slog"

	"longshore/pkg/queue"
)

// Both returns how the messages of a queue are handled that runs and slices share: all at once, as
// Handle of either does. What becomes of slices is counted by the dispatcher as well.
func Both(d *Dispatcher, s *Slices) func(ctx context.Context, messages []queue.Received) (again []string) {
	return func(ctx context.Context, messages []queue.Received) (again []string) {
		return each(ctx, d.c.Log, d.c.Count, messages, func(ctx context.Context, log *slog.Logger, received queue.Received) (Event, bool) {
			if m, err := queue.Decode([]byte(received.Body)); err == nil && m.Kind == queue.KindDelete {
				return s.handle(ctx, log, received)
			}
			return d.handle(ctx, log, received)
		})
	}
}
