package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// DeadLetterConfig is what a DeadLetter works with. Runs and Log are required.
type DeadLetterConfig struct {
	Runs interface {
		Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error)
	}
	Log *slog.Logger
	// Count is told what became of each message; nil counts nothing.
	Count func(Event)
	// Now is for tests.
	Now func() time.Time
}

// DeadLetter handles what dispatchers could not handle five times. It ends a run only if its
// attempts are used up, it is undelivered, of the message's generation and without a held lease: the
// sweeper has any other.
type DeadLetter struct{ c DeadLetterConfig }

// NewDeadLetter returns a handler of dead letters.
func NewDeadLetter(c DeadLetterConfig) *DeadLetter {
	if c.Count == nil {
		c.Count = func(Event) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &DeadLetter{c}
}

// Handle deals with all messages at once and returns the ids of those that have to come again,
// because the store failed. The caller acknowledges all others.
func (d *DeadLetter) Handle(ctx context.Context, messages []queue.Received) (again []string) {
	return each(ctx, d.c.Log, d.c.Count, messages, d.handle)
}

func (d *DeadLetter) handle(ctx context.Context, log *slog.Logger, received queue.Received) (Event, bool) {
	m, err := queue.Decode([]byte(received.Body))
	if err == nil && m.Kind == queue.KindDelete {
		log.WarnContext(ctx, "dead letter acknowledged: the sweeper has its migration", slog.String("migration_id", m.PK))
		return Dropped, true
	}
	if err == nil && m.Kind == queue.KindLookup {
		// The sweeper asks for the next.
		return Dropped, true
	}
	if err != nil || m.Kind != queue.KindRun {
		log.ErrorContext(ctx, "dead letter cannot be decoded")
		return Undecodable, true
	}
	about(ctx, m)
	_, err = d.c.Runs.Update(ctx, m.PK, func(r *run.Run) (*run.Write, error) {
		if len(r.Attempts) < run.MaxAttempts {
			return nil, run.ErrNotDue
		}
		// With no attempt left a claim takes no lease but ends the run.
		now := d.c.Now()
		if _, err := r.Claim(now, m.Generation, "", 0); err != nil {
			return nil, err
		}
		return &run.Write{Logs: usedUp(now, r)}, nil
	})
	switch {
	case err == nil:
		log.WarnContext(ctx, "attempts are used up; the run has ended")
		return Failed, true
	case errors.Is(err, run.ErrNotDue), fault.KindOf(err) == fault.NotFound:
		log.WarnContext(ctx, "dead letter acknowledged: its run needs nothing, or the sweeper has it")
		return Dropped, true
	}
	log.WarnContext(ctx, "dead letter comes again", slog.Any("error", err))
	return Broken, false
}
