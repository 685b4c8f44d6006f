package kafka

import "github.com/twmb/franz-go/pkg/sasl"

// Mechanism is what connections are let in with.
func Mechanism(c Config) (sasl.Mechanism, error) { return c.mechanism() }
