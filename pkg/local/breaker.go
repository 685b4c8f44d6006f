package local

import (
	"longshore/pkg/breaker"
	"longshore/pkg/metric"
)

// guard keeps runs away from hosts that fail. It counts what it opens and closes, and how many hosts of
// a backend fail.
func (s *Server) guard() *breaker.Guard {
	for _, b := range backends {
		// Where none ever failed the level says so.
		s.metrics.Set(metric.FailingHosts, 0, "backend", b.name)
	}
	return breaker.New(breaker.Config{
		Store: s.stores.hosts, Rules: s.c.Breaker, Log: s.c.Log, Now: s.c.clock,
		Count: func(backend string, to breaker.State) {
			s.metrics.Count(metric.BreakerChanges, "backend", backend, "to", string(to))
		},
		Level: func(backend string, hosts int) {
			s.metrics.Set(metric.FailingHosts, float64(hosts), "backend", backend)
		},
	})
}
