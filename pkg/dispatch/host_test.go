package dispatch_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/breaker"
	"longshore/pkg/dispatch"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
	"longshore/pkg/sweep"
)

// exampleHost is where call goes.
const exampleHost = "https://example.com:443"

// guarded gives the bench a breaker that opens after three failures, and returns its store.
func (b *bench) guarded(t *testing.T) breaker.Store {
	t.Helper()
	hosts, err := sqlitestore.NewHosts(t.Context(), opentest.SQLite(t), b.config.Now)
	if err != nil {
		t.Fatal(err)
	}
	b.config.Breaker = breaker.New(breaker.Config{
		Store: hosts, Rules: breaker.Rules{Failures: 3}, Log: b.config.Log, Now: b.config.Now, Rand: func() float64 { return 0 },
	})
	return hosts
}

// fail makes deliveries that fail until the breaker opens.
func (b *bench) fail(t *testing.T, d *dispatch.Dispatcher) {
	t.Helper()
	b.answers(backend.Outcome{Verdict: run.Retry, Error: "connection refused", NoAnswer: true})
	for range 3 {
		d.Handle(t.Context(), []queue.Received{message(b.record(t))})
	}
	b.events, b.calls, b.sent = nil, nil, nil
}

// Runs for a host that fails wait without an attempt, the sweeper asks again, a probe delivers one of
// them, and its success lets the others through.
func TestRunsWaitForAFailingHost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.guarded(t)
	d := dispatch.New(b.config)
	b.fail(t, d)
	waiting, other := b.record(t), b.record(t)
	for _, r := range []*run.Run{waiting, other} {
		if again := d.Handle(t.Context(), []queue.Received{message(r)}); again != nil {
			t.Errorf("messages come again: %q", again)
		}
		got := b.get(t, r.ID)
		if got.Delivery.Waiting != exampleHost+" is failing since 2026-03-04T05:06:07Z" || !got.Due.Equal(start.Add(30*time.Second)) {
			t.Errorf("waiting %q, due %s", got.Delivery.Waiting, got.Due)
		}
		if len(got.Attempts) != 0 || got.Status != run.InProgress {
			t.Errorf("%d attempts, status %s", len(got.Attempts), got.Status)
		}
	}
	b.wantEvents(t, dispatch.Waiting, dispatch.Waiting)
	if len(b.calls)+len(b.sent) > 0 {
		t.Errorf("%d calls, %d messages", len(b.calls), len(b.sent))
	}

	sweeper := sweep.New(sweep.Config{Runs: b.store, Send: b, Log: b.config.Log, Breaker: b.config.Breaker, Now: b.config.Now})
	sweepNow := func() sweep.Report {
		t.Helper()
		report, err := sweeper.Sweep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	b.pass(30 * time.Second)
	if report := sweepNow(); report.Sent < 2 {
		t.Errorf("the sweeper sent %d messages, want those of both runs", report.Sent)
	}
	// The first is the probe; it fails, and the other waits for the next one.
	b.events = nil
	d.Handle(t.Context(), []queue.Received{message(waiting)})
	d.Handle(t.Context(), []queue.Received{message(other)})
	b.wantEvents(t, dispatch.Retried, dispatch.Waiting)
	if got := b.get(t, waiting.ID); len(got.Attempts) != 1 || got.Delivery.Waiting != "" {
		t.Errorf("the probe: %d attempts, waiting %q", len(got.Attempts), got.Delivery.Waiting)
	}
	if got := b.get(t, other.ID); !got.Due.Equal(b.now.Add(time.Minute)) {
		t.Errorf("the other is due %s, want a minute later", got.Due)
	}
	// While it is open the sweeper sends nothing to it.
	if _, err := b.store.Update(t.Context(), other.ID, func(r *run.Run) (*run.Write, error) {
		r.Due = b.now
		return &run.Write{}, nil
	}); err != nil {
		t.Fatal(err)
	}
	b.sent = nil
	sweepNow()
	if slices.ContainsFunc(b.sent, func(e envelope) bool { return e.Message.PK == other.ID }) {
		t.Error("the sweeper sent a run whose host fails")
	}
	if got := b.get(t, other.ID); got.Delivery.Waiting == "" || !got.Due.Equal(b.now.Add(time.Minute)) {
		t.Errorf("swept: waiting %q, due %s", got.Delivery.Waiting, got.Due)
	}

	b.pass(time.Minute)
	b.answers(backend.Outcome{Verdict: run.Deliver, StatusCode: 202})
	b.events = nil
	d.Handle(t.Context(), []queue.Received{message(other)})
	d.Handle(t.Context(), []queue.Received{message(waiting)})
	b.wantEvents(t, dispatch.Delivered, dispatch.Delivered)
	for _, r := range []*run.Run{waiting, other} {
		if got := b.get(t, r.ID); got.Delivery.Waiting != "" || got.Delivery.State != run.Delivered {
			t.Errorf("delivered: %+v", got.Delivery)
		}
	}
}

// What an attempt says about its host.
func TestWhatCountsAsAFailure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		outcome backend.Outcome
		opens   bool
	}{
		"no answer":             {backend.Outcome{Verdict: run.Retry, NoAnswer: true}, true},
		"500":                   {backend.Outcome{Verdict: run.Retry, StatusCode: 500}, true},
		"504":                   {backend.Outcome{Verdict: run.Retry, StatusCode: 504}, true},
		"429":                   {backend.Outcome{Verdict: run.Retry, StatusCode: 429}, false},
		"404":                   {backend.Outcome{Verdict: run.Fail, StatusCode: 404}, false},
		"302":                   {backend.Outcome{Verdict: run.Fail, StatusCode: 302}, false},
		"refused by the guard":  {backend.Refuse("the address is private"), false},
		"a fault on our side":   {backend.Outcome{Verdict: run.Retry, Error: "the credentials could not be read"}, false},
		"a delivery":            {backend.Outcome{Verdict: run.Deliver, StatusCode: 204}, false},
		"a delivery, no status": {backend.Outcome{Verdict: run.Deliver}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			hosts := b.guarded(t)
			b.answers(c.outcome)
			d := dispatch.New(b.config)
			for range 3 {
				d.Handle(t.Context(), []queue.Received{message(b.record(t))})
			}
			h, err := hosts.Host(t.Context(), "webhook", exampleHost)
			if err != nil || (h.Opened > 0) != c.opens {
				t.Errorf("the host is %+v, error %v, want open: %t", h, err, c.opens)
			}
			if !c.opens && h.Rev != 0 {
				t.Errorf("the host was written: %+v", h)
			}
		})
	}
}

// A message that is dropped, and a call that panics, leave no probe behind.
func TestProbeThatIsNotMade(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(b *bench, r *run.Run){
		"the run has ended": func(b *bench, r *run.Run) {
			_, _ = b.store.Update(context.Background(), r.ID, func(r *run.Run) (*run.Write, error) {
				return &run.Write{}, r.End(b.now, "ada", run.Success, "")
			})
		},
		"the call panics": func(b *bench, _ *run.Run) {
			b.answer = func(context.Context, backend.Call) backend.Outcome { panic("boom") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.guarded(t)
			d := dispatch.New(b.config)
			b.fail(t, d)
			r, next := b.record(t), b.record(t)
			b.pass(30 * time.Second)
			spoil(b, r)
			d.Handle(t.Context(), []queue.Received{message(r)})
			b.answers(backend.Outcome{Verdict: run.Deliver, StatusCode: 202})
			b.events = nil
			d.Handle(t.Context(), []queue.Received{message(next)})
			b.wantEvents(t, dispatch.Delivered)
		})
	}
}

// A run whose attempts are used up ends, whatever its host does.
func TestUsedUpRunDoesNotWait(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.guarded(t)
	d := dispatch.New(b.config)
	b.fail(t, d)
	r := b.record(t, func(r *run.Run, _ *run.Body) {
		for n := range run.MaxAttempts {
			r.Attempts = append(r.Attempts, run.Attempt{Generation: 1, Number: n + 1, StartedAt: start, Open: n == run.MaxAttempts-1})
		}
	})
	d.Handle(t.Context(), []queue.Received{message(r)})
	b.wantEvents(t, dispatch.Failed)
	if got := b.get(t, r.ID); got.Status != run.Failure {
		t.Errorf("status %s, want FAILURE", got.Status)
	}
	if log := b.logs.String(); strings.Contains(log, "the run waits") || !strings.Contains(log, "the run has ended") {
		t.Errorf("the log says that the run waits:\n%s", log)
	}
}

// A host that only the sealed invocation shows has no breaker: its name would be kept.
func TestSecretHost(t *testing.T) {
	t.Parallel()
	shown := call()
	shown.Webhook.URL = "******"
	for name, url := range map[string]string{"whole": "******", "host": "https://******/x", "part": "https://******.example.com/x"} {
		i := call()
		i.Webhook.URL = url
		if got := i.Host(); got != "" {
			t.Errorf("%s: the host of a masked URL is %q", name, got)
		}
	}
	if got := shown.Host(); got != "" {
		t.Errorf("the host of a masked URL is %q", got)
	}
}

// hosted is a backend with one host, which can be looked up.
type hosted struct {
	*bench
	found run.Finding
	asked int
}

func (h *hosted) Host() string { return "https://git.example:443" }

func (h *hosted) LookUp(context.Context, backend.LookUp) run.Finding {
	h.asked++
	return h.found
}

// A look-up of a host that fails waits, and does not end the run; those that get no answer count.
func TestLookUpWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	hosts := b.guarded(t)
	h := &hosted{bench: b, found: run.Finding{Waiting: "the state is not known", NoAnswer: true}}
	b.config.Backend, b.config.Name = h, "github"
	r := b.record(t, func(r *run.Run, body *run.Body) {
		r.Backend = "github"
		body.Invocation.Backend, body.Invocation.Webhook = "github", nil
		r.Delivery.State, r.Delivery.DeliveredAt = run.Delivered, start
		r.Watch(start, time.Hour)
	})
	d := dispatch.New(b.config)
	ask := received("m1", queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindLookup})
	for range 3 {
		d.Handle(t.Context(), []queue.Received{ask})
	}
	if state, err := hosts.Host(t.Context(), "github", h.Host()); err != nil || state.Opened != 1 {
		t.Fatalf("after three look-ups without an answer: %+v, error %v", state, err)
	}
	b.events = nil
	d.Handle(t.Context(), []queue.Received{ask})
	b.wantEvents(t, dispatch.Waiting)
	got := b.get(t, r.ID)
	if h.asked != 3 || got.Status != run.InProgress || !strings.HasPrefix(got.Delivery.Waiting, h.Host()+" is failing since ") {
		t.Errorf("asked %d times, status %s, waiting %q", h.asked, got.Status, got.Delivery.Waiting)
	}
	b.pass(30 * time.Second)
	h.found = run.Finding{Status: run.Success, Line: "The workflow run ended: success."}
	d.Handle(t.Context(), []queue.Received{ask})
	if got := b.get(t, r.ID); got.Status != run.Success || got.Delivery.Waiting != "" {
		t.Errorf("status %s, waiting %q", got.Status, got.Delivery.Waiting)
	}
	if state, err := hosts.Host(t.Context(), "github", h.Host()); err != nil || state.Opened != 0 {
		t.Errorf("after an answer: %+v, error %v", state, err)
	}
}

// The group of a next try is the run's host.
func TestNextTryHasTheGroup(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.answers(backend.Outcome{Verdict: run.Retry, StatusCode: 503})
	dispatch.New(b.config).Handle(t.Context(), []queue.Received{message(b.record(t))})
	if len(b.sent) != 1 || b.sent[0].Group != exampleHost {
		t.Errorf("sent %+v, want one in the group of %s", b.sent, exampleHost)
	}
}

// One host takes as many calls at once as it may; others do not wait for it, and what is over comes again
// without an attempt or a second message.
func TestSlotsOfAHost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.PerHost = 2
	release := make(chan struct{})
	began := make(chan string, 10)
	b.answer = func(_ context.Context, c backend.Call) backend.Outcome {
		if strings.Contains(c.Invocation.Webhook.URL, "slow") {
			began <- c.RunID
			<-release
		}
		return backend.Outcome{Verdict: run.Deliver, StatusCode: 202}
	}
	to := func(url string) queue.Received {
		i := call()
		i.Webhook.URL = url
		r := b.record(t, func(_ *run.Run, body *run.Body) { body.Invocation = i })
		return received(r.ID, queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun, Invocation: i})
	}
	d := dispatch.New(b.config)
	slow := []queue.Received{to("https://slow.example/"), to("https://slow.example/"), to("https://slow.example/"), to("https://slow.example/")}
	var all sync.WaitGroup
	for _, m := range slow[:2] {
		all.Go(func() { d.Handle(t.Context(), []queue.Received{m}) })
		<-began
	}
	// One waits for a moment and is then put off.
	if again := d.Handle(t.Context(), slow[2:]); again != nil {
		t.Errorf("messages come again: %q", again)
	}
	b.wantEvents(t, dispatch.PutOff, dispatch.PutOff)
	for _, e := range b.sent {
		if e.Delay < time.Second || e.Delay > 30*time.Second || e.Group != "https://slow.example:443" || e.Message.Invocation == nil {
			t.Errorf("put off: %+v", e)
		}
	}
	if len(b.sent) != 2 {
		t.Errorf("%d messages, want 2", len(b.sent))
	}
	// Another message of a run that was put off is one too many.
	d.Handle(t.Context(), slow[2:3])
	for _, m := range slow[2:] {
		if got := b.get(t, m.ID); len(got.Attempts) != 0 {
			t.Errorf("%d attempts of a run that was put off", len(got.Attempts))
		}
	}
	b.events = b.events[2:]
	d.Handle(t.Context(), []queue.Received{to("https://fast.example/")})
	b.wantEvents(t, dispatch.Dropped, dispatch.Delivered)
	close(release)
	all.Wait()
	b.pass(30 * time.Second)
	b.events = nil
	d.Handle(t.Context(), slow[2:])
	b.wantEvents(t, dispatch.Delivered, dispatch.Delivered)
}

// Where a host answers fast, what is over waits for its turn: nothing is put off.
func TestFastHostPutsNothingOff(t *testing.T) {
	t.Parallel()
	// The wait for a turn is short: it must not be a slow machine's.
	synctest.Test(t, fastHostPutsNothingOff)
}

func fastHostPutsNothingOff(t *testing.T) {
	b := newBench(t)
	b.config.PerHost = 2
	var mu sync.Mutex
	now, most := 0, 0
	b.answer = func(context.Context, backend.Call) backend.Outcome {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		mu.Lock()
		now--
		mu.Unlock()
		return backend.Outcome{Verdict: run.Deliver, StatusCode: 202}
	}
	var batch []queue.Received
	for range 20 {
		batch = append(batch, message(b.record(t)))
	}
	dispatch.New(b.config).Handle(t.Context(), batch)
	if len(b.sent) > 0 || most > 2 {
		t.Errorf("%d messages put off, %d calls at once, want 0 and at most 2", len(b.sent), most)
	}
	if len(b.calls) != 20 {
		t.Errorf("%d calls, want 20", len(b.calls))
	}
}

// A backend with one host alone is not bounded: there is nobody to be fair to.
func TestOneHostIsNotBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.PerHost = 1
	b.config.Backend = &hosted{bench: b}
	all := make(chan struct{})
	count := make(chan struct{}, 3)
	var once sync.Once
	b.answer = func(context.Context, backend.Call) backend.Outcome {
		if count <- struct{}{}; len(count) == cap(count) {
			once.Do(func() { close(all) })
		}
		<-all
		return backend.Outcome{Verdict: run.Deliver, StatusCode: 202}
	}
	dispatch.New(b.config).Handle(t.Context(), []queue.Received{message(b.record(t)), message(b.record(t)), message(b.record(t))})
	b.wantEvents(t, dispatch.Delivered, dispatch.Delivered, dispatch.Delivered)
}

var _ backend.Hoster = (*hosted)(nil)
