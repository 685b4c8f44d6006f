package boot

import (
	"time"

	"longshore/pkg/breaker"
	"longshore/pkg/metric"
)

// BreakerSettings say when runs are kept away from a host that fails.
type BreakerSettings struct {
	BreakerFailures int      `name:"breaker-failures" env:"LONGSHORE_BREAKER_FAILURES" default:"20" envDefault:"20" help:"How many failures in a row of one host, 1 to 1000, let its runs wait."`
	BreakerWindow   Duration `name:"breaker-window" env:"LONGSHORE_BREAKER_WINDOW" default:"5m" envDefault:"5m" help:"The time within which those failures count, 1s to 1d."`
}

// Rules are the settings as the breaker takes them.
func (s BreakerSettings) Rules() breaker.Rules {
	return breaker.Rules{Failures: s.BreakerFailures, Window: time.Duration(s.BreakerWindow)}
}

// Guard returns the breaker over a store. It counts what it opens and closes, and how many hosts of a
// backend fail as far as this instance knows.
func (e *Env) Guard(store breaker.Store) *breaker.Guard {
	return breaker.New(breaker.Config{
		Store: store, Rules: e.Rules(), Log: e.Log,
		Count: func(backend string, to breaker.State) {
			e.Metrics.Count(metric.BreakerChanges, "backend", backend, "to", string(to))
		},
		Level: func(backend string, hosts int) {
			e.Metrics.Set(metric.FailingHosts, float64(hosts), "backend", backend)
		},
	})
}
