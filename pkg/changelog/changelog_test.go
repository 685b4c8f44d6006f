package changelog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/changelog"
	"longshore/pkg/event"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
)

var at = time.Date(2026, 3, 1, 10, 20, 30, 456_000_000, time.UTC)

// now is when the changes are delivered: a little later than they happened.
func now() time.Time { return at.Add(2 * time.Second) }

// change is one with text that HTML would escape, and a number that is written in one way.
func change() *event.Event {
	return &event.Event{
		ID: event.ID("entity", "e_1", "7"), Action: event.Update, Resource: event.Entity, UserID: "usr_1", Email: "ada@example.com",
		Origin: "UI", At: at, Context: json.RawMessage(`{"blueprintIdentifier":"service","entityIdentifier":"org/cart"}`),
		Blueprint: "service", Entity: "org/cart",
		Before: json.RawMessage(`{"z":"<ü>","a":1e-07}`), After: json.RawMessage(`{"z":"\u0001"}`), RunID: "r_1", Depth: 3,
	}
}

func blueprint(destination string) *catalog.Blueprint {
	return &catalog.Blueprint{Identifier: "service", Definition: json.RawMessage(`{"identifier":"service","changelogDestination":` + destination + `}`)}
}

// world is a changelog over a real store.
type world struct {
	*changelog.Changelog
	runs *sqlitestore.Runs
	sent []queue.Message
	to   []string
	log  bytes.Buffer
	// fail is what the next calls answer.
	fail error
}

// Send implements queue.Sender.
func (w *world) Send(_ context.Context, backend string, m queue.Message, _ time.Duration, group string) error {
	if w.fail == nil {
		w.sent, w.to = append(w.sent, m), append(w.to, backend+" "+group)
	}
	return w.fail
}

func open(t *testing.T, edit func(*world, *changelog.Config)) *world {
	t.Helper()
	w := &world{}
	var err error
	if w.runs, err = sqlitestore.NewRuns(t.Context(), opentest.SQLite(t), sqlitestore.RunsOptions{Now: now}); err != nil {
		t.Fatal(err)
	}
	c := changelog.Config{
		Runs: w.runs, Send: w, Configured: func(string) bool { return true }, OrgID: "org_1",
		Log: slog.New(slog.NewTextHandler(&w.log, nil)), Now: now,
	}
	if edit != nil {
		edit(w, &c)
	}
	w.Changelog = changelog.New(c)
	return w
}

// object is the event object of change.
const object = `{"id":"ID","action":"UPDATE","resourceType":"entity","trigger":{"by":{"orgId":"org_1","userId":"usr_1"},"origin":"UI","at":"2026-03-01T10:20:30.456Z"},` +
	`"context":{"blueprintIdentifier":"service","entityIdentifier":"org/cart"},"diff":{"before":{"z":"<ü>","a":1e-07},"after":{"z":"\u0001"}}`

// What is recorded and sent for each destination, to the byte.
func TestDeliver(t *testing.T) {
	t.Parallel()
	e := change()
	event := strings.Replace(object, "ID", e.ID, 1)
	body := event + "}"
	record := func(destination string) *invocation.Invocation {
		return &invocation.Invocation{
			V: 1, Type: "CHANGE", Backend: "kafka", Key: "service/org/cart", Payload: json.RawMessage(event + `,"changelogDestination":` + destination + `}`),
		}
	}
	webhook := &invocation.Invocation{
		V: 1, Type: "WEBHOOK", Backend: "webhook", Webhook: &invocation.Webhook{URL: "https://example.com/log?a=1", Method: "POST", Body: &body},
	}
	for name, c := range map[string]struct {
		destination string
		want        *invocation.Invocation
		to          string
	}{
		"webhook":             {`{"type":"WEBHOOK","url":"https://example.com/log?a=1"}`, webhook, "webhook https://example.com:443"},
		"webhook, no agent":   {`{"url":"https://example.com/log?a=1","agent":false,"type":"WEBHOOK"}`, webhook, "webhook https://example.com:443"},
		"webhook of an agent": {`{"type":"WEBHOOK","agent":true,"url":"http://inside/"}`, record(`{"type":"WEBHOOK","agent":true,"url":"http://inside/"}`), "kafka "},
		"Kafka":               {`{"type":"KAFKA"}`, record(`{"type":"KAFKA"}`), "kafka "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t, nil)
			for range 2 {
				if err := w.Deliver(t.Context(), e, blueprint(c.destination)); err != nil {
					t.Fatal(err)
				}
			}
			if len(w.sent) != 1 {
				t.Fatalf("sent %d messages, want one", len(w.sent))
			}
			m := w.sent[0]
			if !run.IsNotice(m.PK) || m.Kind != queue.KindRun || m.Generation != 1 || w.to[0] != c.to {
				t.Errorf("sent %+v to %q, want it to %q", m, w.to[0], c.to)
			}
			if diff := cmp.Diff(c.want, m.Invocation); diff != "" {
				t.Errorf("invocation (-want +got):\n%s", diff)
			}
			kept, err := w.runs.Read(t.Context(), m.PK)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, kept.Invocation); diff != "" {
				t.Errorf("what is kept (-want +got):\n%s", diff)
			}
			if kept.NoticeOf != e.ID || kept.Status != run.InProgress || !kept.Due.Equal(now().Add(run.Unsent)) {
				t.Errorf("kept %+v", kept.Run)
			}
		})
	}
}

// What is told to nobody.
func TestNothingToDeliver(t *testing.T) {
	t.Parallel()
	timer, ofRun := change(), change()
	timer.Action, ofRun.Resource = event.TimerExpired, event.Run
	to := blueprint(`{"type":"KAFKA"}`)
	for name, c := range map[string]struct {
		e *event.Event
		b *catalog.Blueprint
	}{
		"no blueprint any more":         {change(), nil},
		"no destination":                {change(), &catalog.Blueprint{Definition: json.RawMessage(`{"identifier":"service"}`)}},
		"null":                          {change(), blueprint(`null`)},
		"a property of that name":       {change(), &catalog.Blueprint{Definition: json.RawMessage(`{"schema":{"properties":{"changelogDestination":{"type":"string"}}}}`)}},
		"a timer":                       {timer, to},
		"a run":                         {ofRun, to},
		"a definition that is unsound":  {change(), blueprint(`{"type":1}`)},
		"an event that cannot be shown": {&event.Event{ID: "event_1", Action: event.Create, Resource: event.Entity, Context: json.RawMessage(`{`)}, to},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t, nil)
			if err := w.Deliver(t.Context(), c.e, c.b); err != nil {
				t.Fatalf("got %v, want it left alone", err)
			}
			due, err := w.runs.Due(t.Context(), now().Add(time.Hour), 10)
			if err != nil || len(due) != 0 || len(w.sent) != 0 {
				t.Errorf("recorded %v, %v, sent %v", due, err, w.sent)
			}
			if unsound := strings.HasPrefix(name, "a definition") || strings.HasPrefix(name, "an event"); strings.Contains(w.log.String(), "not made") != unsound {
				t.Errorf("the log says %q", w.log.String())
			}
		})
	}
}

// A delivery whose backend is missing waits for it, recorded; no message is lost with a queue that fails.
func TestDeliverLater(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*world, *changelog.Config){
		"no Kafka here": func(_ *world, c *changelog.Config) {
			c.Configured = func(b string) bool { return b != invocation.BackendKafka }
		},
		"no queue now": func(w *world, _ *changelog.Config) { w.fail = errors.New("no queue") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t, edit)
			if err := w.Deliver(t.Context(), change(), blueprint(`{"type":"KAFKA"}`)); err != nil {
				t.Fatal(err)
			}
			due, err := w.runs.Due(t.Context(), now().Add(time.Hour), 10)
			if err != nil || len(due) != 1 || len(w.sent) != 0 {
				t.Errorf("due %v, %v, sent %v; want one that the sweeper sends", due, err, w.sent)
			}
			if log := w.log.String(); !strings.Contains(log, due[0]) || strings.Contains(log, "<ü>") {
				t.Errorf("the log says %s, want the delivery and nothing of the entity", log)
			}
		})
	}
}

// broken is a store that can write nothing.
type broken struct{}

func (broken) Create(context.Context, *run.Run, *run.Body) error {
	return fault.Busy(errors.New("throttled"), time.Second, "the store is busy")
}

// What could not be recorded is not sent, and is to be delivered again.
func TestDeliverUnrecorded(t *testing.T) {
	t.Parallel()
	w := open(t, func(_ *world, c *changelog.Config) { c.Runs = broken{} })
	if err := w.Deliver(t.Context(), change(), blueprint(`{"type":"KAFKA"}`)); fault.KindOf(err) != fault.Unavailable || len(w.sent) != 0 {
		t.Errorf("got %v and %d messages, want unavailable and none", err, len(w.sent))
	}
}
