package local

import (
	"context"
	"time"

	"longshore/pkg/feed"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
)

// WithClock returns a configuration whose API has another clock.
func WithClock(c Config, now func() time.Time) Config {
	c.now = now
	return c
}

// WithTime returns a configuration whose queue, dispatchers, sweeper, breaker, timers and schedules have
// another clock.
func WithTime(c Config, clock func() time.Time) Config {
	c.clock = clock
	return c
}

// WithChaos returns a configuration whose queue is as unkind as SQS may be.
func WithChaos(c Config) Config {
	c.chaos = true
	return c
}

// WithChanges returns a configuration whose process tells a handler of every change, and starts no automations.
func WithChanges(c Config, h feed.Handler) Config {
	c.changes = h
	return c
}

// MakeDue lets the time until a run's next try or look-up pass.
func (s *Server) MakeDue(ctx context.Context, id string) error {
	_, err := s.stores.runs.Update(ctx, id, func(r *run.Run) (*run.Write, error) {
		past := time.Now().Add(-time.Second)
		r.Due, r.Delivery.NextTry, r.Delivery.Lease = past, past, time.Time{}
		return &run.Write{}, nil
	})
	return err
}

// Head reads a run's head.
func (s *Server) Head(ctx context.Context, id string) (*run.Run, error) {
	return s.stores.runs.Get(ctx, id)
}

// Pragma runs a PRAGMA on the connection that writes.
func (s *Server) Pragma(ctx context.Context, text string) error {
	return s.stores.accepter.(*Commits).DB.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(text)
		return err
	})
}
