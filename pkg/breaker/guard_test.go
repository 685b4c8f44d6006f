package breaker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/breaker"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
)

const host = "https://a.example:443"

// counted counts what is asked of a store, and fails while err is set.
type counted struct {
	breaker.Store
	reads, writes int
	err           error
}

func (c *counted) Host(ctx context.Context, backend, name string) (breaker.Host, error) {
	c.reads++
	if c.err != nil {
		return breaker.Host{}, c.err
	}
	return c.Store.Host(ctx, backend, name)
}

func (c *counted) PutHost(ctx context.Context, h breaker.Host) (breaker.Host, bool, error) {
	c.writes++
	if c.err != nil {
		return breaker.Host{}, false, c.err
	}
	return c.Store.PutHost(ctx, h)
}

// bench is guards of several instances over one store.
type bench struct {
	store  *counted
	now    time.Time
	counts []string
	levels []int
	logs   bytes.Buffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{now: start}
	s, err := sqlitestore.NewHosts(t.Context(), opentest.SQLite(t), func() time.Time { return b.now })
	if err != nil {
		t.Fatal(err)
	}
	b.store = &counted{Store: s}
	return b
}

func (b *bench) guard() *breaker.Guard {
	return breaker.New(breaker.Config{
		Store: b.store, Rules: rules, Log: slog.New(slog.NewTextHandler(&b.logs, nil)),
		Count: func(backend string, to breaker.State) { b.counts = append(b.counts, backend+" "+string(to)) },
		Level: func(_ string, hosts int) { b.levels = append(b.levels, hosts) },
		Now:   func() time.Time { return b.now }, Rand: func() float64 { return 0 },
	})
}

// call makes a call that must be let through.
func (b *bench) call(t *testing.T, g *breaker.Guard, r breaker.Result) {
	t.Helper()
	c, w := g.Enter(t.Context(), "webhook", host, time.Minute)
	if w != nil {
		t.Fatalf("the call waits: %+v", w)
	}
	c.Leave(t.Context(), r, "no answer")
}

// A success at a host that does not fail writes nothing, and reads once in five seconds.
func TestCostOfSuccess(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	g := b.guard()
	for range 100 {
		if w := g.Ask(t.Context(), "webhook", host); w != nil {
			t.Fatalf("asked: %+v", w)
		}
		b.call(t, g, breaker.Answered)
		b.now = b.now.Add(100 * time.Millisecond)
	}
	if b.store.reads != 2 || b.store.writes != 0 {
		t.Errorf("%d reads and %d writes in 10 s, want 2 and 0", b.store.reads, b.store.writes)
	}
}

// Calls without a host and a nil guard are always let through, and cost nothing.
func TestNoHost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, g := range []*breaker.Guard{nil, b.guard()} {
		for range 2 * rules.Failures {
			c, w := g.Enter(t.Context(), "upsertentity", "", time.Minute)
			if w != nil || g.Ask(t.Context(), "upsertentity", "") != nil {
				t.Fatalf("the call waits: %+v", w)
			}
			c.Leave(t.Context(), breaker.Failed, "")
		}
	}
	if b.store.reads+b.store.writes > 0 {
		t.Errorf("%d reads and %d writes", b.store.reads, b.store.writes)
	}
}

// What one instance learns the other knows five seconds later at most; one probe goes through, and its
// success closes the breaker for both.
func TestInstancesShareWhatTheyKnow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := b.guard(), b.guard()
	if w := two.Ask(t.Context(), "webhook", host); w != nil {
		t.Fatalf("asked: %+v", w)
	}
	b.call(t, one, breaker.Failed)
	b.call(t, two, breaker.Failed)
	b.call(t, one, breaker.Failed)
	want := &breaker.Wait{Why: host + " is failing since 2026-03-04T05:06:07Z", Until: start.Add(30 * time.Second)}
	if diff := cmp.Diff(want, one.Ask(t.Context(), "webhook", host)); diff != "" {
		t.Errorf("the one that opened it (-want +got):\n%s", diff)
	}
	b.now = b.now.Add(5 * time.Second)
	if diff := cmp.Diff(want, two.Ask(t.Context(), "webhook", host)); diff != "" {
		t.Errorf("the other (-want +got):\n%s", diff)
	}

	b.now = start.Add(30 * time.Second)
	if w := two.Ask(t.Context(), "webhook", host); w != nil {
		t.Errorf("nobody is told to try: %+v", w)
	}
	probe, w := one.Enter(t.Context(), "webhook", host, time.Minute)
	if w != nil {
		t.Fatalf("the probe waits: %+v", w)
	}
	for _, g := range []*breaker.Guard{one, two} {
		if _, w := g.Enter(t.Context(), "webhook", host, time.Minute); w == nil || w.Until.Sub(b.now) != 5*time.Second {
			t.Errorf("a second probe: wait %+v, want 5 s", w)
		}
	}
	probe.Leave(t.Context(), breaker.Answered, "")
	b.call(t, one, breaker.Answered)
	b.now = b.now.Add(5 * time.Second)
	b.call(t, two, breaker.Answered)
	if diff := cmp.Diff([]string{"webhook open", "webhook closed"}, b.counts); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{1, 1, 0, 0}, b.levels); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
}

// A probe that came to nothing is given back at once; one that fails opens the breaker for longer.
func TestProbe(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	g := b.guard()
	for range rules.Failures {
		b.call(t, g, breaker.Failed)
	}
	b.now = b.now.Add(30 * time.Second)
	b.call(t, g, breaker.Nothing)
	b.call(t, g, breaker.Failed)
	if w := g.Ask(t.Context(), "webhook", host); w == nil || w.Until.Sub(b.now) != time.Minute {
		t.Errorf("after a failed probe: wait %+v, want a minute", w)
	}
	hosts, err := b.store.Hosts(t.Context(), "webhook")
	if err != nil || len(hosts) != 1 || hosts[0].Reason != "no answer" || hosts[0].Failures != rules.Failures+1 {
		t.Errorf("hosts %+v, error %v", hosts, err)
	}
}

// A store that cannot be used holds nothing back, and says so in the log.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	g := b.guard()
	b.store.err = errors.New("throttled")
	for range 2 * rules.Failures {
		b.call(t, g, breaker.Failed)
	}
	if !strings.Contains(b.logs.String(), "throttled") {
		t.Errorf("the log says nothing:\n%s", b.logs.String())
	}
	// Nobody waits long for a store that is out of reach: it is asked once in five seconds.
	if b.store.reads != 1 || b.store.writes != 1 {
		t.Errorf("%d reads and %d writes were tried, want 1 and 1", b.store.reads, b.store.writes)
	}
	b.store.err = nil
	b.now = b.now.Add(5 * time.Second)
	for range rules.Failures {
		b.call(t, g, breaker.Failed)
	}
	b.now = b.now.Add(30 * time.Second)
	b.store.err = errors.New("throttled")
	if c, w := g.Enter(t.Context(), "webhook", host, time.Minute); w != nil || c == nil {
		t.Errorf("without a store the probe waits: %+v", w)
	}
}
