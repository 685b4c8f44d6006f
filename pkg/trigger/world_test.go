package trigger_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/identity/directory"
	"longshore/pkg/invocation"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/permission"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

var start = time.Date(2026, 3, 1, 10, 20, 30, 456_000_000, time.UTC)

// runID is the id of a test's nth run.
func runID(n int) string { return run.NewID(start)[:len("r_")+8] + fmt.Sprintf("%08d", n) }

const at = "2026-03-01T10:20:30.456Z"

// definitions are the stored actions of a test: the part of an action.Store that a cache's Get uses.
type definitions struct {
	action.Store
	stamp   int64
	records map[string]*action.Record
}

func (d *definitions) Stamp(context.Context) (int64, error) { return d.stamp, nil }

func (d *definitions) Get(_ context.Context, identifier string) (*action.Record, error) {
	if r := d.records[identifier]; r != nil {
		return r, nil
	}
	return nil, fault.New(fault.NotFound, "", "action %s does not exist", identifier)
}

// add stores a definition, in the place of one of the same identifier.
func (d *definitions) add(t testing.TB, text string) *action.Record {
	t.Helper()
	definition, err := action.Parse([]byte(text))
	if err != nil {
		t.Fatalf("parse %s: %v", text, err)
	}
	d.stamp++
	r := &action.Record{
		Identifier: definition.Identifier, ID: "action_" + definition.Identifier, Definition: json.RawMessage(text),
		CreatedAt: start, UpdatedAt: start, CreatedBy: "client", UpdatedBy: "client", Rev: d.stamp,
	}
	d.records[r.Identifier] = r
	return r
}

// sent is one message on the queue.
type sent struct {
	Backend, Group string
	Message        queue.Message
}

// sender keeps what is sent, or refuses it.
type sender struct {
	mu   sync.Mutex
	sent []sent
	err  error
}

func (s *sender) Send(ctx context.Context, backend string, m queue.Message, delay time.Duration, group string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.err, ctx.Err()); err != nil {
		return err
	}
	if delay != 0 {
		return fmt.Errorf("a first message must not wait, got %s", delay)
	}
	// As a queue does: what cannot be written and read again was not sent.
	text, err := queue.Encode(m)
	if err != nil {
		return err
	}
	if m, err = queue.Decode(text); err != nil {
		return err
	}
	s.sent = append(s.sent, sent{backend, group, m})
	return nil
}

// world is a trigger and all that it works with.
type world struct {
	*trigger.Trigger
	actions *definitions
	store   run.Store
	catalog catalog.Store
	queue   *sender
	log     *bytes.Buffer
	mu      sync.Mutex
	now     time.Time
	ids     int
}

// newWorld returns a world where webhooks are configured. Edit may put something between the trigger
// and what it works with.
func newWorld(t testing.TB, edit func(*world, *trigger.Config)) *world {
	t.Helper()
	w := &world{actions: &definitions{records: map[string]*action.Record{}}, queue: &sender{}, log: &bytes.Buffer{}, now: start}
	w.store, w.catalog = openStores(t)
	w.restart(edit)
	return w
}

// restart makes a new trigger over the same store, queue and definitions, as a new process has it.
func (w *world) restart(edit func(*world, *trigger.Config)) {
	log := slog.New(slog.NewJSONHandler(w.log, nil))
	entities := catalog.NewReader(w.catalog, nil)
	c := trigger.Config{
		Actions: action.NewCache(w.actions), Entities: entities, Permissions: permission.New(permission.Config{Catalog: entities}),
		Users: directory.New(entities, "org_1"),
		Runs:  w.store, Sender: w.queue, OrgID: "org_1", Log: log, Approvers: approvers{{UserID: "usr_1", Email: "ada@example.com"}},
		Accepter:     &trigger.StoreAndSend{Store: w.store, Sender: w.queue, Log: log},
		Configured:   func(backend string) bool { return backend == invocation.BackendWebhook },
		ClientSecret: clientSecret, Key: []byte("a key of hashes"),
		Now: func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.now
		},
		NewID: func(time.Time) string {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.ids++
			return runID(w.ids)
		},
	}
	if edit != nil {
		edit(w, &c)
	}
	w.Trigger = trigger.New(c)
}

func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// request asks for a run of an action as the machine "client".
func request(t testing.TB, identifier, properties string) trigger.Request {
	t.Helper()
	q := trigger.Request{
		Caller: identity.Caller{OrgID: "org_1", Machine: true, ID: "client"}, Action: identifier,
	}
	if properties != "" {
		value, err := jqtemplate.Decode([]byte(properties))
		if err != nil {
			t.Fatal(err)
		}
		q.Properties = value.(*jqtemplate.Object)
	}
	return q
}

func (w *world) start(t testing.TB, q trigger.Request) *trigger.Started {
	t.Helper()
	started, err := w.Start(t.Context(), q)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return started
}

// wantNothing checks that nothing was stored or sent.
func (w *world) wantNothing(t *testing.T) {
	t.Helper()
	w.wantRuns(t, 0)
	if len(w.queue.sent) != 0 {
		t.Errorf("sent %+v, want nothing", w.queue.sent)
	}
}

func (w *world) wantRuns(t *testing.T, want int) {
	t.Helper()
	page, err := w.store.List(t.Context(), run.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Runs) != want {
		t.Errorf("the store has %d runs, want %d", len(page.Runs), want)
	}
}

func (w *world) logs(t *testing.T, id string) []string {
	t.Helper()
	lines, err := w.store.Logs(t.Context(), id, run.LogQuery{Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	var messages []string
	for _, l := range lines {
		if l.CreatedBy != run.Own || l.RunID != id || len(l.ID) != 26 {
			t.Errorf("line is %+v", l)
		}
		messages = append(messages, l.Message)
	}
	return messages
}

func (w *world) read(t *testing.T, id string) *run.Record {
	t.Helper()
	record, err := w.store.Read(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// wantFault checks an error's kind, word and sentence.
func wantFault(t *testing.T, err error, kind fault.Kind, word string, sentences ...string) fault.Error {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v, want a fault", err)
	}
	if e.Kind != kind || e.Word() != word {
		t.Errorf("kind %d, word %s (%v), want kind %d, word %s", e.Kind, e.Word(), err, kind, word)
	}
	for _, sentence := range sentences {
		if !strings.Contains(e.Message, sentence) {
			t.Errorf("message is %q, want it to have %q", e.Message, sentence)
		}
	}
	return *e
}

// v2 is an action of today's generation without inputs.
func v2(identifier, method string) string {
	return fmt.Sprintf(`{"identifier":%q,"trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":%s}`,
		identifier, method)
}
