package local

import "time"

// WithClock returns a configuration whose API has another clock.
func WithClock(c Config, now func() time.Time) Config {
	c.now = now
	return c
}

// WithChaos returns a configuration whose queue is as unkind as SQS may be.
func WithChaos(c Config) Config {
	c.chaos = true
	return c
}
