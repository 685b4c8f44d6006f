package local

// WithChaos returns a configuration whose queue is as unkind as SQS may be.
func WithChaos(c Config) Config {
	c.chaos = true
	return c
}
