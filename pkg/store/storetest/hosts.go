package storetest

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/breaker"
)

// HostStore is an empty breaker.Store whose clock the test moves.
type HostStore struct {
	breaker.Store
	// Pass lets time pass for the store.
	Pass func(time.Duration)
}

// Hosts runs every test of breaker.Store. Open returns an empty store of its own at each call.
func Hosts(t *testing.T, open func(t *testing.T) HostStore) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s HostStore)
	}{
		{"HostComesBackAsItWas", hostComesBackAsItWas},
		{"HostWrittenByOneOfTwo", hostWrittenByOneOfTwo},
		{"HostExpires", hostExpires},
		{"ProbeByOneOfMany", probeByOneOfMany},
		{"FailuresOfInstancesAddUp", failuresOfInstancesAddUp},
		{"SuccessResets", successResets},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

// failing is a host whose breaker is open.
func failing(name string) breaker.Host {
	at := startOfTest()
	return breaker.Host{
		Backend: "webhook", Name: name, Rev: 1, Failures: 21, Since: at.Add(-time.Minute), Opened: 2,
		OpenUntil: at.Add(time.Minute), ProbeUntil: at.Add(time.Second), Reason: "connection refused by a:443",
	}
}

func putHost(t *testing.T, s HostStore, h breaker.Host) (breaker.Host, bool) {
	t.Helper()
	now, won, err := s.PutHost(t.Context(), h)
	if err != nil {
		t.Fatalf("put host: %v", err)
	}
	return now, won
}

func readHost(t *testing.T, s HostStore, backend, name string) breaker.Host {
	t.Helper()
	h, err := s.Host(t.Context(), backend, name)
	if err != nil {
		t.Fatalf("read host: %v", err)
	}
	return h
}

func hostComesBackAsItWas(t *testing.T, s HostStore) {
	none := breaker.Host{Backend: "webhook", Name: "https://nobody.example:443"}
	if diff := cmp.Diff(none, readHost(t, s, none.Backend, none.Name)); diff != "" {
		t.Errorf("a host that is not there (-want +got):\n%s", diff)
	}
	b, a := failing("https://b.example:443"), failing("https://a.example:443")
	other := failing(a.Name)
	other.Backend = "github"
	closed := breaker.Host{Backend: "webhook", Name: "https://c.example:443", Rev: 1}
	for _, h := range []breaker.Host{b, a, other, closed} {
		if now, won := putHost(t, s, h); !won || now != h {
			t.Errorf("put of a new host: won %t, %+v", won, now)
		}
		if diff := cmp.Diff(h, readHost(t, s, h.Backend, h.Name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", h.Name, diff)
		}
	}
	for backend, want := range map[string][]breaker.Host{"webhook": {a, b, closed}, "github": {other}, "kafka": nil} {
		got, err := s.Hosts(t.Context(), backend)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("hosts of %s: error %v (-want +got):\n%s", backend, err, diff)
		}
	}
}

func hostWrittenByOneOfTwo(t *testing.T, s HostStore) {
	mine, theirs := failing("https://a.example:443"), failing("https://a.example:443")
	theirs.Failures = 3
	putHost(t, s, mine)
	if now, won := putHost(t, s, theirs); won || now != mine {
		t.Errorf("a second creation: won %t, %+v, want what is there", won, now)
	}
	theirs.Rev = 2
	if _, won := putHost(t, s, theirs); !won {
		t.Error("a write of the current host was refused")
	}
	if now, won := putHost(t, s, theirs); won || now != theirs {
		t.Errorf("a write of an old host: won %t, %+v", won, now)
	}
}

func hostExpires(t *testing.T, s HostStore) {
	h := failing("https://a.example:443")
	putHost(t, s, h)
	s.Pass(breaker.Retention - time.Hour)
	if got := readHost(t, s, h.Backend, h.Name); got.Failures != h.Failures {
		t.Errorf("before its time: %+v", got)
	}
	s.Pass(2 * time.Hour)
	got := readHost(t, s, h.Backend, h.Name)
	if got.Failures != 0 || got.Opened != 0 {
		t.Errorf("behind its time: %+v", got)
	}
	if hosts, err := s.Hosts(t.Context(), h.Backend); err != nil || len(hosts) > 0 {
		t.Errorf("hosts %+v, error %v, want none", hosts, err)
	}
	// The store may hold it still: whoever writes it learns of its revision.
	for try := 0; ; try++ {
		now, won := putHost(t, s, h)
		if won {
			break
		}
		if now.Failures != 0 || try > 0 {
			t.Fatalf("a host that expired is in the way: %+v", now)
		}
		h.Rev = now.Rev + 1
	}
	if got := readHost(t, s, h.Backend, h.Name); got != h {
		t.Errorf("written again: %+v", got)
	}
}

// instances are guards that share a store and a clock, each what a process has.
func instances(s HostStore, now *time.Time, n int) []*breaker.Guard {
	guards := make([]*breaker.Guard, n)
	for i := range guards {
		guards[i] = breaker.New(breaker.Config{
			Store: s, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return *now }, Rand: func() float64 { return 0 },
		})
	}
	return guards
}

// each calls do with each guard at once.
func each(guards []*breaker.Guard, do func(i int, g *breaker.Guard)) {
	var all sync.WaitGroup
	for i, g := range guards {
		all.Go(func() { do(i, g) })
	}
	all.Wait()
}

func probeByOneOfMany(t *testing.T, s HostStore) {
	h := failing("https://a.example:443")
	putHost(t, s, h)
	now := h.OpenUntil
	var mu sync.Mutex
	through := 0
	each(instances(s, &now, 8), func(_ int, g *breaker.Guard) {
		if _, wait := g.Enter(t.Context(), h.Backend, h.Name, time.Minute); wait == nil {
			mu.Lock()
			defer mu.Unlock()
			through++
		}
	})
	if through != 1 {
		t.Errorf("%d probes went through, want 1", through)
	}
}

func failuresOfInstancesAddUp(t *testing.T, s HostStore) {
	now := startOfTest()
	const name = "https://a.example:443"
	guards := instances(s, &now, 4)
	for range breaker.DefaultFailures / 4 {
		each(guards, func(_ int, g *breaker.Guard) {
			call, wait := g.Enter(t.Context(), "webhook", name, time.Minute)
			if wait != nil {
				t.Errorf("a call waits before the last failure: %+v", wait)
			}
			call.Leave(t.Context(), breaker.Failed, "no answer")
		})
	}
	if h := readHost(t, s, "webhook", name); h.Failures != breaker.DefaultFailures || h.State(now) != breaker.Open {
		t.Errorf("the host is %s after %d failures: %+v", h.State(now), breaker.DefaultFailures, h)
	}
}

func successResets(t *testing.T, s HostStore) {
	h := failing("https://a.example:443")
	h.Opened, h.OpenUntil, h.ProbeUntil = 0, time.Time{}, time.Time{}
	putHost(t, s, h)
	now := startOfTest()
	each(instances(s, &now, 4), func(_ int, g *breaker.Guard) {
		call, _ := g.Enter(t.Context(), h.Backend, h.Name, time.Minute)
		call.Leave(t.Context(), breaker.Answered, "")
	})
	want := breaker.Host{Backend: h.Backend, Name: h.Name, Rev: 2}
	if diff := cmp.Diff(want, readHost(t, s, h.Backend, h.Name)); diff != "" {
		t.Errorf("after the successes of four instances (-want +got):\n%s", diff)
	}
}
