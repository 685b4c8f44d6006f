// Package sweep looks at every run that is due and does what its state asks for: send its message,
// let it rest until it is worth another look, or end it because its time is over. And it fires the timers
// of entities.
//
// It is the backstop behind every message: whatever was lost between a store and a queue is sent
// from here. It promises:
//   - two sweepers at once do no harm: a message is sent first and the run moved after, on the
//     condition that nobody else wrote it meanwhile; a duplicate is dropped by the claim;
//   - a run that cannot be read, sent or moved does not hold up the others;
//   - it ends before its context does and says how far behind it is.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"longshore/pkg/breaker"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// Runs is what a sweeper needs of run.Store.
type Runs interface {
	Due(ctx context.Context, now time.Time, limit int) ([]string, error)
	Get(ctx context.Context, id string) (*run.Run, error)
	Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error)
}

// What Config has where it is zero.
const (
	// DefaultLimit is how many runs one sweep looks at.
	DefaultLimit = 20_000
	// DefaultWorkers is how many runs are looked at at once.
	DefaultWorkers = 32
	// DefaultReserve is how long before its context's deadline a sweep takes up no more runs.
	DefaultReserve = 5 * time.Second
)

// Config is what a Sweeper works with. Runs, Send and Log are required.
type Config struct {
	Runs Runs
	Send queue.Sender
	// Migrations are those of the catalog; nil sweeps none.
	Migrations Migrations
	// Timers are those of the catalog's entities; nil fires none.
	Timers Timers
	// Configured says whether this deployment can deliver to a backend; nil means to every one.
	// Runs of invocation.BackendAgent are never sent: agents claim them.
	Configured func(backend string) bool
	// Timeout is how long a run of a backend may stay IN_PROGRESS; nil means run.Timeouts(0).
	Timeout func(backend string) time.Duration
	// Events says whether a backend also reports by itself how its work ends, so that it is looked up
	// less often; nil means that none does.
	Events func(backend string) bool
	// Breaker lets runs rest whose host fails; nil sends them.
	Breaker *breaker.Guard
	Limit   int
	Workers int
	Reserve time.Duration
	Log     *slog.Logger
	// Now is for tests.
	Now func() time.Time
}

// Sweeper looks at runs that are due.
type Sweeper struct{ c Config }

// Report is what one sweep did.
type Report struct {
	// Due is how many runs were found.
	Due int
	// Sent, Rested, TimedOut and LookedUp are the runs that were moved.
	Sent, Rested, TimedOut, LookedUp int
	// Skipped are runs that somebody else had moved already, or moved meanwhile.
	Skipped int
	// Timers are the entities with a timer that has ended, Fired the events that were made of them.
	Timers, Fired int
	// Failed are runs that could not be read, sent or moved, and entities whose timers could not be fired; the
	// next sweep tries again.
	Failed int
	// Left are runs and entities that there was no time for.
	Left int
	// Lag is the age of the oldest run or timer that was due and is still, at least; 0 when none is known.
	Lag time.Duration
}

// New returns a sweeper.
func New(c Config) *Sweeper {
	if c.Configured == nil {
		c.Configured = func(string) bool { return true }
	}
	if c.Timeout == nil {
		c.Timeout = run.Timeouts(0)
	}
	if c.Events == nil {
		c.Events = func(string) bool { return false }
	}
	if c.Limit <= 0 {
		c.Limit = DefaultLimit
	}
	if c.Workers <= 0 {
		c.Workers = DefaultWorkers
	}
	if c.Reserve <= 0 {
		c.Reserve = DefaultReserve
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Sweeper{c}
}

// Sweep looks at the runs that are due, the oldest first, and at the timers that have ended, beside them. It
// fails only if either cannot be listed; the other is dealt with nevertheless.
func (s *Sweeper) Sweep(ctx context.Context) (Report, error) {
	var fired Report
	var failed error
	var beside sync.WaitGroup
	if s.c.Timers != nil {
		beside.Go(func() { fired, failed = s.timers(ctx) })
	}
	report, err := s.runs(ctx)
	beside.Wait()
	report.Timers, report.Fired = fired.Timers, fired.Fired
	report.Failed, report.Left, report.Lag = report.Failed+fired.Failed, report.Left+fired.Left, max(report.Lag, fired.Lag)
	return report, errors.Join(err, failed)
}

func (s *Sweeper) runs(ctx context.Context) (Report, error) {
	now := s.c.Now()
	ids, err := s.c.Runs.Due(ctx, now, s.c.Limit)
	if err != nil {
		return Report{}, fmt.Errorf("list the runs that are due: %w", err)
	}
	if s.c.Migrations != nil {
		s.migrations(ctx)
	}
	report := Report{Due: len(ids)}
	var last time.Time
	report.Left = s.each(ctx, ids, func(due time.Time, did result) {
		report.count(did)
		if did == failed {
			report.stillDue(now, due)
		}
		if due.After(last) && !due.After(now) {
			last = due
		}
	})
	switch {
	case report.Left > 0:
		if r, err := s.c.Runs.Get(ctx, ids[len(ids)-report.Left]); err == nil {
			report.stillDue(now, r.Due)
		}
	case len(ids) >= s.c.Limit:
		// What the list had no room for was due no earlier than the last of it.
		report.stillDue(now, last)
	}
	return report, nil
}

// count counts a run.
func (r *Report) count(did result) {
	switch did {
	case sent:
		r.Sent++
	case rested:
		r.Rested++
	case timedOut:
		r.TimedOut++
	case lookedUp:
		r.LookedUp++
	case skipped:
		r.Skipped++
	case failed:
		r.Failed++
	}
}

// stillDue notes a run that is left.
func (r *Report) stillDue(now, due time.Time) {
	if !due.IsZero() {
		r.Lag = max(r.Lag, now.Sub(due))
	}
}

// each looks at the runs with all workers and tells done of each, one call at a time. It returns how
// many, at the end of ids, there was no time for.
func (s *Sweeper) each(ctx context.Context, ids []string, done func(due time.Time, did result)) (left int) {
	var mu sync.Mutex
	return s.spread(ctx, len(ids), func(i int) {
		due, did := s.one(ctx, ids[i])
		mu.Lock()
		defer mu.Unlock()
		done(due, did)
	})
}

// spread does one thing after another with all workers. It returns how many, at the end, there was no time
// for.
func (s *Sweeper) spread(ctx context.Context, n int, do func(i int)) (left int) {
	begin, cancel := s.untilEnd(ctx)
	defer cancel()
	var all sync.WaitGroup
	work := make(chan int)
	for range min(s.c.Workers, n) {
		all.Go(func() {
			for i := range work {
				do(i)
			}
		})
	}
	left = n
	// Of two ready cases select takes either, so the end is asked for first.
	for i := 0; i < n && begin.Err() == nil; i++ {
		select {
		case work <- i:
			left--
		case <-begin.Done():
		}
	}
	close(work)
	all.Wait()
	return left
}

// untilEnd returns a context that ends when no more runs may be taken up.
func (s *Sweeper) untilEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, deadline.Add(-s.c.Reserve))
	}
	return context.WithCancel(ctx)
}
