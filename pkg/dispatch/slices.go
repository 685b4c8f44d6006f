package dispatch

import (
	"context"
	"log/slog"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
)

// SendSlices returns how the next slice of a migration is asked for. A send that fails is logged: the
// sweeper asks again.
func SendSlices(send queue.Sender, log *slog.Logger) func(ctx context.Context, migration string, n int) error {
	return func(ctx context.Context, migration string, n int) error {
		err := send.Send(ctx, invocation.BackendUpsertEntity, queue.Message{PK: migration, Generation: n, Kind: queue.KindDelete}, 0, "")
		if err != nil {
			log.WarnContext(ctx, "next slice not sent; the sweeper has it", slog.String("migration_id", migration), slog.Any("error", err))
		}
		return err
	}
}

// Slices handles the messages of kind queue.KindDelete: each carries out one slice of a migration, which
// sends the next message itself.
type Slices struct{ c SlicesConfig }

// SlicesConfig is what Slices works with. Migrations and Log are required.
type SlicesConfig struct {
	Migrations interface {
		// Continue carries out slice number n; done is false when it is not that one's turn.
		// fault.NotFound when there is no such migration.
		Continue(ctx context.Context, id string, n int) (done bool, err error)
	}
	Log *slog.Logger
	// Count is told what became of each message; nil counts nothing.
	Count func(Event)
}

// NewSlices returns a handler of slices.
func NewSlices(c SlicesConfig) *Slices {
	if c.Count == nil {
		c.Count = func(Event) {}
	}
	return &Slices{c}
}

// Handle deals with all messages at once and returns the ids of those that have to come again, because
// our own code or the store failed. The caller acknowledges all others.
func (s *Slices) Handle(ctx context.Context, messages []queue.Received) (again []string) {
	return each(ctx, s.c.Log, s.c.Count, messages, s.handle)
}

func (s *Slices) handle(ctx context.Context, log *slog.Logger, received queue.Received) (Event, bool) {
	m, err := queue.Decode([]byte(received.Body))
	if err != nil {
		// The cause may quote the message.
		log.ErrorContext(ctx, "message cannot be decoded", slog.Int("receives", received.Count))
		return Undecodable, false
	}
	if m.Kind != queue.KindDelete {
		log.ErrorContext(ctx, "message of an unknown kind", slog.String("kind", m.Kind))
		return Undecodable, false
	}
	log = log.With(slog.String("migration_id", m.PK), slog.Int("slice", m.Generation))
	done, err := s.c.Migrations.Continue(ctx, m.PK, m.Generation)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		log.InfoContext(ctx, "there is no such migration any more; message dropped")
		return Dropped, true
	case err != nil:
		log.WarnContext(ctx, "message comes again", slog.String("doing", "carry out a slice"), slog.Any("error", err))
		return Broken, false
	case !done:
		log.DebugContext(ctx, "slice has been carried out; message dropped")
		return Dropped, true
	}
	log.InfoContext(ctx, "slice carried out")
	return Continued, true
}
