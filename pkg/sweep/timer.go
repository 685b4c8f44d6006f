package sweep

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"longshore/pkg/timer"
)

// Timers is what a sweeper needs of the store of entities.
type Timers interface {
	// LateTimers returns up to limit entities with a timer that has ended, the earliest first.
	LateTimers(ctx context.Context, now time.Time, limit int) ([]timer.Late, error)
	// FireTimers makes an event of each timer of one of them that has ended, once, and takes it out of the
	// entity, unless somebody wrote that meanwhile. It returns how many events are new.
	FireTimers(ctx context.Context, late timer.Late, now time.Time) (fired int, err error)
}

// timers fires the timers that have ended. One that cannot be fired does not hold up the others.
func (s *Sweeper) timers(ctx context.Context) (Report, error) {
	now := s.c.Now()
	late, err := s.c.Timers.LateTimers(ctx, now, s.c.Limit)
	if err != nil {
		return Report{}, fmt.Errorf("list the timers that have ended: %w", err)
	}
	report := Report{Timers: len(late)}
	var mu sync.Mutex
	report.Left = s.spread(ctx, len(late), func(i int) {
		fired, err := s.fire(ctx, late[i], now)
		mu.Lock()
		defer mu.Unlock()
		report.Fired += fired
		if err != nil {
			report.Failed++
			report.stillDue(now, late[i].At)
			s.c.Log.WarnContext(ctx, "timers of an entity not fired", slog.String("entities", late[i].Partition), slog.String("entity", late[i].Name), slog.Any("error", err))
		}
	})
	switch {
	case report.Left > 0:
		report.stillDue(now, late[len(late)-report.Left].At)
	case len(late) > 0 && len(late) >= s.c.Limit:
		report.stillDue(now, late[len(late)-1].At)
	}
	if report.Fired > 0 {
		s.c.Log.InfoContext(ctx, "timers fired", slog.Int("timers", report.Fired))
	}
	return report, nil
}

func (s *Sweeper) fire(ctx context.Context, late timer.Late, now time.Time) (fired int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("firing timers panicked: %s", debug.Stack())
		}
	}()
	return s.c.Timers.FireTimers(ctx, late, now)
}
