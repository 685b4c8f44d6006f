package dynamostore

import (
	"context"
	"time"

	"longshore/pkg/store/dynamostore/internal/table"
	"longshore/pkg/timer"
)

// Timers are the entities in the catalog's table as the clock sees them. It links nothing of the catalog.
type Timers struct{ table table.Table }

// NewTimers returns the timers of the entities in the catalog's table.
func NewTimers(client Client, name string) *Timers { return &Timers{table.New(client, name)} }

// LateTimers returns up to limit entities with a timer that has ended, the earliest first.
func (s *Timers) LateTimers(ctx context.Context, now time.Time, limit int) ([]timer.Late, error) {
	return s.table.LateTimers(ctx, now, limit)
}

// FireTimers puts an event for every timer of an entity that has ended, once, and then takes it out. It
// returns how many are new.
func (s *Timers) FireTimers(ctx context.Context, late timer.Late, now time.Time) (int, error) {
	return s.table.FireTimers(ctx, late, now)
}
