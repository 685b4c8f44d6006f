package dispatchtest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/dispatch"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/sweep"
)

// name is the backend of all runs here.
const name = invocation.BackendWebhook

// world is one store, one queue, a clock and a target.
type world struct {
	store run.Store
	queue queue.Queue
	out   *outbox
	// target is what dispatchers call unless a test gives them something else.
	target *target
	// inbox has what was received and not asked for yet.
	inbox []queue.Received

	mu     sync.Mutex
	now    time.Time
	events map[dispatch.Event]int
}

func newWorld(store run.Store, q queue.Queue) *world {
	return &world{
		store: store, queue: q, out: &outbox{Sender: q}, target: &target{calls: map[string]int{}},
		now: time.Now().UTC().Truncate(time.Millisecond), events: map[dispatch.Event]int{},
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// pass lets time go by: for leases, next tries and what is due, not for the queue's own clock.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// until lets time go by to a moment.
func (w *world) until(at time.Time) { w.pass(at.Sub(w.clock())) }

func (w *world) count(e dispatch.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events[e]++
}

// dispatcher is one over the store and the queue; edits replace parts of it with ones that fail.
func (w *world) dispatcher(edits ...func(*dispatch.Config)) *dispatch.Dispatcher {
	c := dispatch.Config{
		Backend: w.target, Name: name, Runs: w.store, Send: w.out, Log: slog.New(slog.DiscardHandler),
		Reserve: 20 * time.Second, Count: w.count, Now: w.clock, Rand: func() float64 { return 0.5 },
	}
	c.Settler = &dispatch.StoreAndSend{Runs: w.store, Send: w.out, Log: c.Log}
	for _, edit := range edits {
		edit(&c)
	}
	return dispatch.New(c)
}

func (w *world) sweeper(edits ...func(*sweep.Config)) *sweep.Sweeper {
	c := sweep.Config{Runs: w.store, Send: w.out, Log: slog.New(slog.DiscardHandler), Now: w.clock}
	for _, edit := range edits {
		edit(&c)
	}
	return sweep.New(c)
}

func (w *world) deadLetters() *dispatch.DeadLetter {
	return dispatch.NewDeadLetter(dispatch.DeadLetterConfig{
		Runs: w.store, Log: slog.New(slog.DiscardHandler), Count: w.count, Now: w.clock,
	})
}

// record records a run and sends nothing.
func (w *world) record(t *testing.T) *run.Run {
	t.Helper()
	text := `{"a":1}`
	r := &run.Run{
		ID: run.NewID(w.clock()), Action: run.Action{Identifier: "deploy"}, Backend: name,
		Source: run.SourceAPI, UserID: "client", CreatedBy: "client",
	}
	r.Start(w.clock(), "")
	if err := w.store.Create(t.Context(), r, &run.Body{Properties: []byte(`{}`), Invocation: call(text)}); err != nil {
		t.Fatalf("create the run: %v", err)
	}
	return r
}

func call(text string) *invocation.Invocation {
	return &invocation.Invocation{
		V: invocation.Version, Type: "WEBHOOK", Backend: name, Payload: []byte(`{"type":"WEBHOOK"}`),
		Webhook: &invocation.Webhook{URL: "https://example.com/", Method: "POST", Body: &text},
	}
}

// start records a run, sends its message and receives it.
func (w *world) start(t *testing.T) (*run.Run, queue.Received) {
	t.Helper()
	r := w.record(t)
	m := queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun, Invocation: call(`{"a":1}`)}
	if err := w.queue.Send(t.Context(), name, m, 0, ""); err != nil {
		t.Fatalf("send the message: %v", err)
	}
	return r, w.receive(t, r.ID)
}

// receive takes a run's message off the queue, one of its present generation: a queue may give out
// those of earlier ones again.
func (w *world) receive(t *testing.T, id string) queue.Received {
	t.Helper()
	head, err := w.store.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("read run %s: %v", id, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		for i, r := range w.inbox {
			if m, err := queue.Decode([]byte(r.Body)); err == nil && m.PK == id && m.Generation == head.Generation {
				w.inbox = slices.Delete(w.inbox, i, i+1)
				return r
			}
		}
		got, err := w.queue.Receive(ctx, name, 10, 5*time.Second)
		if err != nil {
			t.Fatalf("no message of run %s: receive: %v", id, err)
		}
		w.inbox = append(w.inbox, got...)
	}
}

// handle gives messages to a dispatcher, acknowledges what it does not want again, and fails the test
// unless those that it wants again are the wanted ones.
func (w *world) handle(t *testing.T, d *dispatch.Dispatcher, messages []queue.Received, want ...queue.Received) {
	t.Helper()
	again := d.Handle(t.Context(), messages)
	var ids []string
	for _, m := range want {
		ids = append(ids, m.ID)
	}
	if !slices.Equal(again, ids) {
		t.Errorf("messages that come again are %q, want %q", again, ids)
	}
	for _, m := range messages {
		if !slices.Contains(again, m.ID) {
			if err := w.queue.Ack(t.Context(), name, m.Receipt); err != nil {
				t.Fatalf("acknowledge: %v", err)
			}
		}
	}
}

// listed waits until something is listed as due, since an index may lag.
func (w *world) listed(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if ids, err := w.store.Due(ctx, w.clock(), 1); err != nil {
			t.Fatalf("list what is due: %v", err)
		} else if len(ids) > 0 {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal("nothing is due")
		}
	}
}

// sweep sweeps once something is due.
func (w *world) sweep(t *testing.T, edits ...func(*sweep.Config)) sweep.Report {
	t.Helper()
	w.listed(t)
	report, err := w.sweeper(edits...).Sweep(t.Context())
	if err != nil {
		t.Fatalf("sweep: %v", err)
	}
	return report
}

func (w *world) get(t *testing.T, id string) *run.Run {
	t.Helper()
	r, err := w.store.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("get the run: %v", err)
	}
	return r
}

// want fails the test unless the run's status, delivery and attempts are these and its target was
// called as often.
func (w *world) want(t *testing.T, id string, calls int, status run.Status, delivery run.DeliveryState, attempts ...string) {
	t.Helper()
	r := w.get(t, id)
	var states []string
	for _, a := range r.Attempts {
		switch {
		case a.Open:
			states = append(states, "open")
		case a.Interrupted:
			states = append(states, "interrupted")
		default:
			states = append(states, fmt.Sprint(a.StatusCode))
		}
	}
	if r.Status != status || r.Delivery.State != delivery || !slices.Equal(states, attempts) {
		t.Errorf("run is %s, %s, attempts %q; want %s, %s, %q", r.Status, r.Delivery.State, states, status, delivery, attempts)
	}
	if got := w.target.called(id); got != calls {
		t.Errorf("the target was called %d times, want %d", got, calls)
	}
	if r.Status.Ended() != r.Due.IsZero() {
		t.Errorf("run is %s and due at %s", r.Status, r.Due)
	}
}

// wantEvents fails the test unless these were counted so far, and no other.
func (w *world) wantEvents(t *testing.T, want map[dispatch.Event]int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !maps.Equal(w.events, want) {
		t.Errorf("counted %v, want %v", w.events, want)
	}
}

// target is a backend that takes every run, or answers as told.
type target struct {
	mu    sync.Mutex
	calls map[string]int
	// answer, where it is set, is asked for the outcome of a call once it is counted.
	answer func(backend.Call) backend.Outcome
}

// Call implements backend.Backend.
func (b *target) Call(_ context.Context, c backend.Call) backend.Outcome {
	b.mu.Lock()
	b.calls[c.RunID]++
	answer := b.answer
	b.mu.Unlock()
	if answer != nil {
		return answer(c)
	}
	return backend.Outcome{Verdict: run.Deliver, StatusCode: 202}
}

func (b *target) called(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[id]
}

// answers makes the target answer so from now on.
func (b *target) answers(o backend.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = func(backend.Call) backend.Outcome { return o }
}

// outbox is a sender that notes what it sends, and sends nothing where before says so.
type outbox struct {
	queue.Sender
	mu     sync.Mutex
	before func(m queue.Message, delay time.Duration) error
	sent   []envelope
}

type envelope struct {
	queue.Message
	delay time.Duration
}

// Send implements queue.Sender.
func (o *outbox) Send(ctx context.Context, backend string, m queue.Message, delay time.Duration, group string) error {
	if o.before != nil {
		if err := o.before(m, delay); err != nil {
			return err
		}
	}
	if err := o.Sender.Send(ctx, backend, m, delay, group); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = append(o.sent, envelope{m, delay})
	return nil
}

// wantSent fails the test unless so many messages were sent; it returns them.
func (o *outbox) wantSent(t *testing.T, want int) []envelope {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.sent) != want {
		t.Errorf("%d messages were sent, want %d: %+v", len(o.sent), want, o.sent)
	}
	return slices.Clone(o.sent)
}

// died is what a process that dies at a fault point panics with.
type died string

// updates is a store whose Update is replaced.
type updates struct {
	run.Store
	update func(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error)
}

func (u *updates) Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	return u.update(ctx, id, move)
}

// settles is a settler made of a function.
type settles func(ctx context.Context, m queue.Received, id string,
	move func(*run.Run) (*run.Write, error), next func(*run.Run) (*queue.Message, time.Duration)) (*run.Run, error)

func (s settles) Settle(ctx context.Context, m queue.Received, id string,
	move func(*run.Run) (*run.Write, error), next func(*run.Run) (*queue.Message, time.Duration),
) (*run.Run, error) {
	return s(ctx, m, id, move, next)
}
