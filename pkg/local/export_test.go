package local

import (
	"context"
	"fmt"
	"time"

	"longshore/pkg/run"
)

// WithChaos returns a configuration whose queue is as unkind as SQS may be.
func WithChaos(c Config) Config {
	c.chaos = true
	return c
}

// LookUpNow makes a delivered run due for its next look-up.
func (s *Server) LookUpNow(ctx context.Context, id string) error {
	_, err := s.stores.runs.Update(ctx, id, func(r *run.Run) (*run.Write, error) {
		if !r.Watched() {
			return nil, fmt.Errorf("run %s is not watched", id)
		}
		r.Delivery.NextTry = time.Now()
		r.Due = r.Delivery.NextTry
		return &run.Write{}, nil
	})
	return err
}
