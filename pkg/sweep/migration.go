package sweep

import (
	"context"
	"log/slog"
	"time"

	"longshore/pkg/invocation"
	"longshore/pkg/queue"
)

// Migrations is what a sweeper needs of the store of migrations.
type Migrations interface {
	// DueMigrations returns up to limit migrations whose next slice nobody has taken up for too long, the
	// oldest first.
	DueMigrations(ctx context.Context, now time.Time, limit int) ([]queue.Late, error)
	// RestMigration puts one off and raises its Sends, unless somebody moved it meanwhile.
	RestMigration(ctx context.Context, m queue.Late, until time.Time) error
}

const (
	// maxMigrations is how many migrations one sweep looks at.
	maxMigrations = 1000
	// leastRest and mostRest are how long a migration rests after its first message and at most.
	leastRest, mostRest = 45 * time.Second, time.Hour
)

// migrations sends a message for every migration that is due, and then lets it rest, twice as long each
// time. One that cannot be sent or moved does not hold up the others.
func (s *Sweeper) migrations(ctx context.Context) {
	now := s.c.Now()
	due, err := s.c.Migrations.DueMigrations(ctx, now, maxMigrations)
	if err != nil {
		s.c.Log.WarnContext(ctx, "migrations not swept: they cannot be listed", slog.Any("error", err))
		return
	}
	begin, cancel := s.untilEnd(ctx)
	defer cancel()
	for _, m := range due {
		if begin.Err() != nil {
			return
		}
		log := s.c.Log.With(slog.String("migration_id", m.PK), slog.Int("slice", m.Generation))
		message := queue.Message{PK: m.PK, Generation: m.Generation, Kind: queue.KindDelete}
		if err := s.c.Send.Send(ctx, invocation.BackendUpsertEntity, message, 0, ""); err != nil {
			log.WarnContext(ctx, "migration not swept: its message cannot be sent", slog.Any("error", err))
			continue
		}
		rest := min(leastRest<<min(m.Sends, 10), mostRest)
		if err := s.c.Migrations.RestMigration(ctx, m, now.Add(rest)); err != nil {
			log.WarnContext(ctx, "migration not swept: it cannot be moved", slog.Any("error", err))
			continue
		}
		log.InfoContext(ctx, "message sent for a migration that was due", slog.Int("sends", m.Sends+1))
	}
}
