package breaker

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Config is what a Guard works with. Store and Log are required.
type Config struct {
	Store Store
	Rules Rules
	Log   *slog.Logger
	// Count is told of each breaker that this process opened or closed; nil counts nothing.
	Count func(backend string, to State)
	// Level is told how many hosts of a backend have a breaker that is not closed, as far as this
	// process knows, whenever that changes; nil tells nobody.
	Level func(backend string, hosts int)
	// Now and Rand (in [0, 1)) are for tests.
	Now  func() time.Time
	Rand func() float64
}

// Guard asks the store whether a host may be called, and tells it what became of the calls. It may be
// used by many goroutines. A nil Guard lets everything through.
type Guard struct {
	c Config

	mu    sync.Mutex
	known map[key]*entry
	// troubled are the hosts of each backend whose breaker is not closed.
	troubled map[string]map[string]bool
}

// errOvertaken is a write that others were ahead of each time.
var errOvertaken = errors.New("others kept writing the host")

// errBroken is a write that is not tried, because the store refused one just now: calls to a host follow
// one another through its lock, and would all wait.
var errBroken = errors.New("the store refused a write just now")

type key struct{ backend, name string }

// entry is what is known of a host, and when it was read; the lock is held while the store is asked.
type entry struct {
	mu   sync.Mutex
	host Host
	read time.Time
	// broken is when the store last refused a write; zero once it took one.
	broken time.Time
}

const (
	// fresh is how long what was read of a host holds.
	fresh = 5 * time.Second
	// maxKnown is how many hosts are remembered before the stale ones are forgotten.
	maxKnown = 10_000
	// maxTries bounds how often a write is made anew because somebody else wrote the host.
	maxTries = 20
	// spread is over how long those that wait for a host come back.
	spread = 10 * time.Second
	// writeFor bounds what is written after a call.
	writeFor = 3 * time.Second
)

// New returns a guard.
func New(c Config) *Guard {
	if c.Rules.Failures <= 0 {
		c.Rules.Failures = DefaultFailures
	}
	if c.Rules.Window <= 0 {
		c.Rules.Window = DefaultWindow
	}
	if c.Count == nil {
		c.Count = func(string, State) {}
	}
	if c.Level == nil {
		c.Level = func(string, int) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return &Guard{c: c, known: map[key]*entry{}, troubled: map[string]map[string]bool{}}
}

// now is the time as it is stored: in UTC, whole milliseconds.
func (g *Guard) now() time.Time { return g.c.Now().UTC().Truncate(time.Millisecond) }

// Ask returns why a host may not be called now, nil if it may. It takes no probe. An empty name is no
// host, and may always be called.
func (g *Guard) Ask(ctx context.Context, backend, name string) *Wait {
	if g == nil || name == "" {
		return nil
	}
	e := g.entry(backend, name)
	e.mu.Lock()
	defer e.mu.Unlock()
	g.refresh(ctx, e)
	return g.spread(e.host.wait(g.now()))
}

// Enter is Ask before a call that is about to be made: where the breaker is half open it takes the probe,
// for as long as the call may take. The caller tells Leave what became of it.
func (g *Guard) Enter(ctx context.Context, backend, name string, during time.Duration) (*Call, *Wait) {
	if g == nil || name == "" {
		return nil, nil
	}
	e := g.entry(backend, name)
	e.mu.Lock()
	defer e.mu.Unlock()
	g.refresh(ctx, e)
	c := &Call{guard: g, entry: e}
	now := g.now()
	if w := e.host.wait(now); w != nil {
		return nil, g.spread(w)
	}
	if e.host.State(now) == Closed {
		return c, nil
	}
	err := g.change(ctx, e, func(h *Host) bool {
		c.probe = h.Probe(now, now.Add(during))
		return c.probe
	})
	if err != nil {
		g.c.Log.WarnContext(ctx, "probe not taken; the host is called", slog.String("host", name), slog.Any("error", err))
		return &Call{guard: g, entry: e}, nil
	}
	if w := e.host.wait(now); w != nil && !c.probe {
		return nil, g.spread(w)
	}
	return c, nil
}

// spread keeps those that wait from coming back all at once.
func (g *Guard) spread(w *Wait) *Wait {
	if w != nil {
		w.Until = w.Until.Add(time.Duration(float64(spread) * g.c.Rand()))
	}
	return w
}

// Call is a call that Enter let through; nil is one to no host.
type Call struct {
	guard *Guard
	entry *entry
	probe bool
}

// Result is what a call says about its host.
type Result uint8

const (
	// Nothing is a call that was not made, or that failed on our side.
	Nothing Result = iota
	// Answered is any answer below 500.
	Answered
	// Failed is a fault of the connection, a time-out or an answer of 500 and above.
	Failed
)

// Leave tells what a call came to; reason is the error of one that failed. What cannot be written is
// logged and lost. It outlives ctx.
func (c *Call) Leave(ctx context.Context, result Result, reason string) {
	if c == nil {
		return
	}
	g, e := c.guard, c.entry
	e.mu.Lock()
	defer e.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeFor)
	defer cancel()
	now := g.now()
	if len(reason) > MaxReason {
		reason = strings.ToValidUTF8(reason[:MaxReason], "")
	}
	err := g.change(ctx, e, func(h *Host) bool {
		switch result {
		case Answered:
			return h.Succeed()
		case Failed:
			return g.c.Rules.Fail(h, now, c.probe, reason)
		}
		return c.probe && h.Release()
	})
	if err != nil {
		g.c.Log.WarnContext(ctx, "what a call says about its host was not kept", slog.String("host", e.host.Name), slog.Any("error", err))
	}
}

// entry returns what is known of a host.
func (g *Guard) entry(backend, name string) *entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := key{backend, name}
	e := g.known[k]
	if e == nil {
		if len(g.known) >= maxKnown {
			g.forget()
		}
		e = &entry{host: Host{Backend: backend, Name: name}}
		g.known[k] = e
	}
	return e
}

// forget drops hosts that would be read again anyway. The guard's lock is held.
func (g *Guard) forget() {
	for k, e := range g.known {
		if !e.mu.TryLock() {
			continue
		}
		if g.stale(e) && e.host.Opened == 0 {
			delete(g.known, k)
		}
		e.mu.Unlock()
	}
}

func (g *Guard) stale(e *entry) bool {
	age := g.now().Sub(e.read)
	return e.read.IsZero() || age >= fresh || age < 0
}

// refresh reads a host if what is known of it is too old. A store that cannot be read leaves it.
func (g *Guard) refresh(ctx context.Context, e *entry) {
	if !g.stale(e) {
		return
	}
	h, err := g.c.Store.Host(ctx, e.host.Backend, e.host.Name)
	if err != nil {
		g.c.Log.WarnContext(ctx, "state of a host not read", slog.String("host", e.host.Name), slog.Any("error", err))
		// Others wait for this read: they do not ask a store anew that is out of reach.
		e.read = g.now()
		return
	}
	// A read that lags takes back nothing that this process wrote.
	if h.Rev >= e.host.Rev || h.Rev == 0 {
		g.learn(e, h)
	}
	e.read = g.now()
}

// learn keeps what a host is now. The entry's lock is held.
func (g *Guard) learn(e *entry, h Host) {
	e.host = h
	g.mu.Lock()
	defer g.mu.Unlock()
	open := h.Opened > 0
	hosts := g.troubled[h.Backend]
	if hosts[h.Name] == open {
		return
	}
	if hosts == nil {
		hosts = map[string]bool{}
		g.troubled[h.Backend] = hosts
	}
	if open {
		hosts[h.Name] = true
	} else {
		delete(hosts, h.Name)
	}
	g.c.Level(h.Backend, len(hosts))
}

// change writes what move makes of a host, beginning with what is known and then with what others have
// written; nothing when move reports that nothing changes. The entry's lock is held.
func (g *Guard) change(ctx context.Context, e *entry, move func(*Host) bool) error {
	for range maxTries {
		before, next := e.host, e.host
		if !move(&next) {
			return nil
		}
		if age := g.now().Sub(e.broken); !e.broken.IsZero() && age >= 0 && age < fresh {
			return errBroken
		}
		next.Rev++
		now, won, err := g.c.Store.PutHost(ctx, next)
		if err != nil {
			e.broken = g.now()
			return err
		}
		e.read, e.broken = g.now(), time.Time{}
		if !won {
			g.learn(e, now)
			continue
		}
		g.learn(e, next)
		g.tell(ctx, before, next)
		return nil
	}
	return errOvertaken
}

// tell counts and logs what this process changed.
func (g *Guard) tell(ctx context.Context, before, after Host) {
	log := g.c.Log.With(slog.String("backend", after.Backend), slog.String("host", after.Name))
	switch {
	case before.Opened == 0 && after.Opened > 0:
		g.c.Count(after.Backend, Open)
		log.WarnContext(ctx, "host fails; its runs wait", slog.Int("failures", after.Failures),
			slog.Time("since", after.Since), slog.Time("open_until", after.OpenUntil), slog.String("reason", after.Reason))
	case after.Opened > before.Opened:
		log.InfoContext(ctx, "host still fails", slog.Time("open_until", after.OpenUntil), slog.String("reason", after.Reason))
	case before.Opened > 0 && after.Opened == 0:
		g.c.Count(after.Backend, Closed)
		log.InfoContext(ctx, "host answers again", slog.Time("failed_since", before.Since))
	}
}
