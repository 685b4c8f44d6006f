package dispatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/audit"
	"longshore/pkg/backend"
	"longshore/pkg/dispatch"
	"longshore/pkg/dispatch/dispatchtest"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// secret is in everything that a message and a run hold; it may be in no log line.
const secret = "s3cr3t-payload"

// bench is a dispatcher over a store in memory, and what it did.
type bench struct {
	store  *dispatchtest.Store
	config dispatch.Config

	mu     sync.Mutex
	now    time.Time
	sent   []envelope
	refuse error
	events []dispatch.Event
	calls  []backend.Call
	answer func(context.Context, backend.Call) backend.Outcome
	logs   bytes.Buffer
}

type envelope struct {
	Backend string
	Message queue.Message
	Delay   time.Duration
	Group   string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{store: dispatchtest.NewStore(), now: start}
	log := slog.New(slog.NewJSONHandler(&locked{b: b}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b.config = dispatch.Config{
		Backend: b, Name: "webhook", Runs: b.store, Send: b, Log: log,
		Settler: &dispatch.StoreAndSend{Runs: b.store, Send: b, Log: log},
		Count: func(e dispatch.Event) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, e)
		},
		Now: func() time.Time {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.now
		},
		Rand: func() float64 { return 0.5 },
	}
	t.Cleanup(func() {
		if strings.Contains(b.logs.String(), secret) {
			t.Errorf("the log holds a payload:\n%s", b.logs.String())
		}
	})
	return b
}

type locked struct{ b *bench }

func (l *locked) Write(p []byte) (int, error) {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	return l.b.logs.Write(p)
}

// Send implements queue.Sender.
func (b *bench) Send(ctx context.Context, name string, m queue.Message, delay time.Duration, group string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := errors.Join(ctx.Err(), b.refuse); err != nil {
		return err
	}
	b.sent = append(b.sent, envelope{name, m, delay, group})
	return nil
}

// Call implements backend.Backend.
func (b *bench) Call(ctx context.Context, c backend.Call) backend.Outcome {
	b.mu.Lock()
	b.calls = append(b.calls, c)
	answer := b.answer
	b.mu.Unlock()
	if answer == nil {
		return backend.Outcome{Verdict: run.Deliver, StatusCode: 202}
	}
	return answer(ctx, c)
}

func (b *bench) answers(o backend.Outcome) {
	b.answer = func(context.Context, backend.Call) backend.Outcome { return o }
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func call() *invocation.Invocation {
	body := secret
	return &invocation.Invocation{
		V: invocation.Version, Type: "WEBHOOK", Backend: "webhook", Payload: json.RawMessage(`"` + secret + `"`),
		Webhook: &invocation.Webhook{URL: "https://example.com/?" + secret, Method: "POST", Body: &body},
	}
}

// record records a run.
func (b *bench) record(t testing.TB, edits ...func(*run.Run, *run.Body)) *run.Run {
	t.Helper()
	r := &run.Run{
		ID: run.NewID(b.now), Backend: "webhook", Action: run.Action{Identifier: "deploy"},
		UserID: "user_ada", UserEmail: "ada@example.com", CreatedBy: "user_ada", Source: run.SourceUI,
		Cause: audit.Cause{EventID: "event_1", RunID: "r_0", Depth: 3},
	}
	r.Start(b.now, "")
	body := &run.Body{Invocation: call()}
	for _, edit := range edits {
		edit(r, body)
	}
	if err := b.store.Create(t.Context(), r, body); err != nil {
		t.Fatal(err)
	}
	return r
}

// author is who a call of a run is made for, at the time of the first one.
func author(r *run.Run) audit.Author {
	return audit.Author{
		ID: "user_ada", Email: "ada@example.com", Origin: "UI", RunID: r.ID, At: start,
		Cause: audit.Cause{EventID: "event_1", RunID: r.ID, Depth: 3},
	}
}

func received(id string, m queue.Message) queue.Received {
	text, err := queue.Encode(m)
	if err != nil {
		panic(err)
	}
	return queue.Received{ID: id, Receipt: "receipt " + id, Body: string(text), Count: 1}
}

// message is the first message of a run.
func message(r *run.Run) queue.Received {
	return received("m1", queue.Message{PK: r.ID, Generation: r.Generation, Kind: queue.KindRun, Invocation: call()})
}

func (b *bench) get(t *testing.T, id string) *run.Run {
	t.Helper()
	r, err := b.store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (b *bench) read(t *testing.T, id string) *run.Record {
	t.Helper()
	r, err := b.store.Read(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (b *bench) lines(t *testing.T, id string) []string {
	t.Helper()
	logs, err := b.store.Logs(t.Context(), id, run.LogQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range logs {
		if l.CreatedBy != run.Own || l.RunID != id {
			t.Errorf("line %+v is not ours", l)
		}
		lines = append(lines, l.Message)
	}
	return lines
}

func (b *bench) wantEvents(t *testing.T, want ...dispatch.Event) {
	t.Helper()
	if diff := cmp.Diff(want, b.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
