// Package dispatch takes messages off a backend's queue: claim the run's lease, call the backend,
// write attempt and outcome, acknowledge. It also decides what becomes of dead letters.
//
// It promises:
//   - an attempt is counted before its call, and its outcome is one conditional write;
//   - no call begins unless there is time left to write its outcome;
//   - of a run with secrets nothing that the target says is kept before they are masked in it;
//   - one bad message never holds up its neighbours, whatever it makes our own code do;
//   - a message that is acknowledged without a delivery leaves a run that the sweeper knows of, or
//     one that needs nothing more.
package dispatch

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/breaker"
	"longshore/pkg/metric"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/secret"
	"longshore/pkg/trace"
)

// Settler writes an outcome, sends the next try and acknowledges the message, in this order or in
// one commit.
type Settler interface {
	// Settle applies move to the run as run.Store.Update does; then next says which message to send
	// with which delay (nil for none); then the message is acknowledged. Errors are those of Update
	// and Send. After an error the message is not acknowledged.
	Settle(ctx context.Context, m queue.Received, id string,
		move func(*run.Run) (*run.Write, error),
		next func(*run.Run) (*queue.Message, time.Duration)) (*run.Run, error)
}

// Runs is what a dispatcher needs of run.Store.
type Runs interface {
	Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error)
	Read(ctx context.Context, id string) (*run.Record, error)
	Sealed(ctx context.Context, id string) ([]byte, error)
}

// Event is what became of a message, for counting.
type Event string

// Events of a dispatcher and of the dead-letter queue; each message counts once.
const (
	// Delivered is a call that the backend took.
	Delivered Event = "delivered"
	// LookedUp is a look-up that was made.
	LookedUp Event = "looked_up"
	// Retried is a failed attempt with another to come.
	Retried Event = "retried"
	// Failed is a run that ended because its delivery did.
	Failed Event = "failed"
	// Dropped is a message whose run needed nothing.
	Dropped Event = "dropped"
	// Stale is an outcome that came after another claim had taken over.
	Stale Event = "stale"
	// Returned is a message that was sent again because there was no time left for its call.
	Returned Event = "returned"
	// Waiting is a run or a look-up that waits because its host fails or takes nothing now.
	Waiting Event = "waiting"
	// PutOff is a message that was sent again because its host has as many calls as it may.
	PutOff Event = "put_off"
	// Continued is a slice of a migration that was carried out.
	Continued Event = "continued"
	// Undecodable is a message that this code cannot read.
	Undecodable Event = "undecodable"
	// Broken is a message that comes again because our own code or the store failed.
	Broken Event = "broken"
)

// What Config has where it is zero: call < function's time-out of 60 s < lease < visibility.
const (
	DefaultCallTimeout = 25 * time.Second
	DefaultReserve     = 10 * time.Second
	DefaultLease       = 75 * time.Second
	// DefaultPerHost is 8 of the 10 messages of a batch.
	DefaultPerHost = 8
	// skew is how far the clocks of two dispatchers may differ.
	skew = 5 * time.Second
)

// Config is what a Dispatcher works with. Backend, Name, Runs, Send, Settler and Log are required.
type Config struct {
	Backend backend.Backend
	// Name is the backend's name, which is also its queue's.
	Name string
	Runs Runs
	// Send takes back a message whose call may not begin any more.
	Send    queue.Sender
	Settler Settler
	// Sealer opens the invocations of runs with secrets; without one, and while its key cannot be read,
	// their messages come again and no attempt is counted.
	Sealer *secret.Sealer
	// CallTimeout is the deadline of one call.
	CallTimeout time.Duration
	// Reserve is kept for writing the outcome once the call has ended.
	Reserve time.Duration
	// Lease is how long a claim keeps others away. It is raised to what call, outcome and clocks
	// that differ by 5 s need.
	Lease time.Duration
	// Timeout is how long a run of a backend may stay IN_PROGRESS; nil means run.Timeouts(0).
	Timeout func(backend string) time.Duration
	// Breaker keeps runs away from hosts that fail; nil keeps none away.
	Breaker *breaker.Guard
	// PerHost is how many calls go to one host at once, so that a slow one does not take every worker;
	// 0 means DefaultPerHost. Nothing is bounded where the backend has one host alone.
	PerHost int
	Log     *slog.Logger
	// Count is told what became of each message; nil counts nothing.
	Count func(Event)
	// Metrics has the time of calls; nil for none. Trace records the steps of messages; nil for none.
	Metrics *metric.Registry
	Trace   *trace.Tracer
	// Now and Rand (in [0, 1)) are for tests.
	Now  func() time.Time
	Rand func() float64
}

// Dispatcher handles the messages of one backend. It may be used by many goroutines.
type Dispatcher struct {
	c Config
	// only is the host of a backend that has one alone.
	only  string
	slots *slots
}

// New returns a dispatcher.
func New(c Config) *Dispatcher {
	if c.CallTimeout <= 0 {
		c.CallTimeout = DefaultCallTimeout
	}
	if c.Reserve <= 0 {
		c.Reserve = DefaultReserve
	}
	if c.Lease <= 0 {
		c.Lease = DefaultLease
	}
	c.Lease = max(c.Lease, c.CallTimeout+c.Reserve+skew)
	if c.Timeout == nil {
		c.Timeout = run.Timeouts(0)
	}
	if c.Sealer == nil {
		c.Sealer = secret.NewSealer(nil)
	}
	if c.Count == nil {
		c.Count = func(Event) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.PerHost <= 0 {
		c.PerHost = DefaultPerHost
	}
	d := &Dispatcher{c: c, only: only(c.Backend)}
	perHost := c.PerHost
	if d.only != "" {
		perHost = 0
	}
	d.slots = newSlots(perHost, c.Now)
	return d
}

// Handle deals with all messages at once and returns the ids of those that have to come again,
// because our own code or the store failed. The caller acknowledges all others; those that the
// Settler has acknowledged already bear it.
func (d *Dispatcher) Handle(ctx context.Context, messages []queue.Received) (again []string) {
	return each(ctx, d.c.Log, d.c.Count, messages, d.observed)
}

// each runs handle for all messages at once, each with its own recover, counts what became of them,
// and returns the ids of those that have to come again.
func each(ctx context.Context, log *slog.Logger, count func(Event), messages []queue.Received,
	handle func(context.Context, *slog.Logger, queue.Received) (Event, bool),
) (again []string) {
	failed := make([]bool, len(messages))
	all := calls{alone: len(messages) == 1}
	for i, m := range messages {
		all.Go(func() {
			ctx := begin(ctx, m)
			event, done := Broken, false
			defer func() {
				if p := recover(); p != nil {
					event, done = Broken, false
					log.ErrorContext(ctx, "message handler panicked",
						slog.String("panic", describe(p)), slog.String("stack", string(debug.Stack())))
				}
				count(event)
				failed[i] = !done
			}()
			event, done = handle(ctx, log, m)
		})
	}
	all.Wait()
	for i, m := range messages {
		if failed[i] {
			again = append(again, m.ID)
		}
	}
	return again
}

// calls are made at once; one that is alone needs no goroutine of its own.
type calls struct {
	sync.WaitGroup

	alone bool
}

func (c *calls) Go(f func()) {
	if c.alone {
		f()
		return
	}
	c.WaitGroup.Go(f)
}

// describe says what a panic was without its value, which may hold anything, unless it is the
// runtime's own.
func describe(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return "not a runtime error"
}
