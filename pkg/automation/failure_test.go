package automation_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/automation"
	"longshore/pkg/catalog"
	"longshore/pkg/event"
	"longshore/pkg/fault"
	"longshore/pkg/feed"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/opentest"
)

// broken are stores that cannot be reached.
type broken struct {
	automation.Actions
	automation.Entities
	down string
	// err is why; nil means that they are out of reach for now.
	err error
}

func (b *broken) fails(what string) error {
	if b.down == what {
		if b.err != nil {
			return b.err
		}
		return fault.Busy(nil, time.Second, "unplugged")
	}
	return nil
}

func (b *broken) Stamp(ctx context.Context) (int64, error) {
	if err := b.fails("stamp"); err != nil {
		return 0, err
	}
	return b.Actions.Stamp(ctx)
}

func (b *broken) List(ctx context.Context) ([]*action.Entry, error) {
	if err := b.fails("list"); err != nil {
		return nil, err
	}
	return b.Actions.List(ctx)
}

func (b *broken) Get(ctx context.Context, identifier string) (*action.Entry, error) {
	if err := b.fails("definition"); err != nil {
		return nil, err
	}
	return b.Actions.Get(ctx, identifier)
}

func (b *broken) Told(ctx context.Context, before, after *catalog.Entity, by catalog.Author) (*catalog.Told, error) {
	if err := b.fails("blueprints"); err != nil {
		return nil, err
	}
	return b.Entities.Told(ctx, before, after, by)
}

func (b *broken) EntityNow(ctx context.Context, key catalog.Key) (*catalog.Entity, error) {
	if err := b.fails("entity"); err != nil {
		return nil, err
	}
	return b.Entities.EntityNow(ctx, key)
}

// Whatever cannot be read now, the change is told again and then starts what it has to.
func TestStoresThatCannotBeReached(t *testing.T) {
	t.Parallel()
	for down, changes := range map[string][]string{
		"stamp": {"entity", "run", "timer"}, "list": {"entity", "run", "timer"}, "definition": {"run"},
		"blueprints": {"entity", "timer"}, "entity": {"timer"},
	} {
		t.Run(down, func(t *testing.T) {
			t.Parallel()
			var b *broken
			w := newWorld(t, func(_ *world, c *automation.Config) {
				b = &broken{Actions: c.Actions, Entities: c.Entities}
				c.Actions, c.Entities = b, b
			})
			everything(w, t)
			e := w.create(t, `{"identifier":"cart","properties":{"ends":"2026-03-01T10:20:31Z"}}`, w.machine())
			w.run(t, "deploy")
			told := map[string]*feed.Change{
				"entity": w.untold[0], "run": w.untold[1],
				"timer": {Timer: &feed.Timer{Key: e.Key, EntityID: e.ID, Property: "ends", At: start.Add(time.Second)}},
			}
			b.down = down
			for _, name := range changes {
				if err := w.Handle(t.Context(), told[name]); fault.KindOf(err) != fault.Unavailable {
					t.Errorf("%s: got %v, want that it is told again", name, err)
				}
			}
			if len(w.started) != 0 {
				t.Errorf("started %v", w.names())
			}
			b.down = ""
			for _, name := range changes {
				w.started = nil
				must(t, w.Handle(t.Context(), told[name]))
				if len(w.started) == 0 {
					t.Errorf("%s: nothing is started when all is well again", name)
				}
			}
		})
	}
}

// What has no schedule is deleted without a look at all other definitions.
func TestDeletionOfWhatHasNoSchedule(t *testing.T) {
	t.Parallel()
	b, n := &broken{down: "list"}, &neighbours{}
	w := newWorld(t, func(_ *world, c *automation.Config) {
		b.Actions, b.Entities = c.Actions, c.Entities
		c.Actions, c.Schedules = b, n
	})
	deleted := func(definition string) error {
		return w.Handle(t.Context(), &feed.Change{Action: &feed.Action{Before: &action.Record{Identifier: "a", ID: "action_1", Definition: json.RawMessage(definition)}}})
	}
	must(t, deleted(onEntity("a", "ENTITY_CREATED")))
	if err := deleted(scheduled("a", "rate(1 hour)", "", "")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("one with a schedule: got %v, want that it is told again", err)
	}
}

// denying are what a change sets off, all of which fails for good.
type denying struct{ err error }

func (r denying) Record(context.Context, ...*audit.Entry) error { return r.err }

func (r denying) Missing(_ context.Context, entries ...*audit.Entry) ([]*audit.Entry, error) {
	return entries, nil
}

func (r denying) Reconcile(context.Context, *action.Record, *action.Record) error { return r.err }

func (r denying) Deliver(context.Context, *event.Event, *catalog.Blueprint) error { return r.err }

// What no other try would cure is an error too, so that whoever tells of the change can set it aside where a
// person finds it.
func TestWhatNoTryCures(t *testing.T) {
	t.Parallel()
	denied := errors.New("access denied")
	check := func(t *testing.T, what string, err error) {
		t.Helper()
		if !errors.Is(err, denied) || feed.Curable(err) {
			t.Errorf("%s: got %v, want that it is denied for good", what, err)
		}
	}
	for _, down := range []string{"stamp", "list", "definition", "blueprints", "entity"} {
		t.Run(down, func(t *testing.T) {
			t.Parallel()
			b := &broken{err: denied}
			w := newWorld(t, func(_ *world, c *automation.Config) {
				b.Actions, b.Entities = c.Actions, c.Entities
				c.Actions, c.Entities = b, b
			})
			everything(w, t)
			e := w.create(t, `{"identifier":"cart","properties":{"ends":"2026-03-01T10:20:31Z"}}`, w.machine())
			w.run(t, "deploy")
			told := map[string]*feed.Change{
				"stamp": w.untold[0], "list": w.untold[0], "blueprints": w.untold[0], "definition": w.untold[1],
				"entity": {Timer: &feed.Timer{Key: e.Key, EntityID: e.ID, Property: "ends", At: start.Add(time.Second)}},
			}
			b.down = down
			check(t, down, w.Handle(t.Context(), told[down]))
			if down == "list" {
				check(t, "a schedule", w.StartScheduled(t.Context(), nightly("")))
			}
		})
	}
	r := denying{denied}
	w := newWorld(t, func(_ *world, c *automation.Config) { c.Audit, c.Changelog, c.Schedules = r, r, r })
	w.define(t, onEntity("a", "ENTITY_CREATED"))
	w.create(t, `{"identifier":"cart"}`, w.machine())
	check(t, "audit log and changelog", w.Handle(t.Context(), w.untold[0]))
	if len(w.started) != 1 {
		t.Errorf("started %v, want the automation all the same", w.names())
	}
	check(t, "a schedule's entry", w.Handle(t.Context(), &feed.Change{Action: &feed.Action{After: &action.Record{}}}))
}

// starting is a starter that a test looks into.
type starting func(ctx context.Context, entry *action.Entry) error

func (s starting) StartEvent(ctx context.Context, _ *event.Event, entry *action.Entry) error {
	return s(ctx, entry)
}

// Automations that together take longer than a handler has come to an end: each try goes on behind those that
// the try before is done with.
func TestSlowAutomationsComeToAnEnd(t *testing.T) {
	t.Parallel()
	var asked []string
	var timeUp context.CancelFunc
	w := newWorld(t, func(_ *world, c *automation.Config) {
		c.Starter = starting(func(ctx context.Context, entry *action.Entry) error {
			asked = append(asked, entry.Record.Identifier)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			// There is time for two of them.
			if len(asked)%3 == 2 {
				timeUp()
			}
			return nil
		})
	})
	w.define(t, onEntity("a", "ENTITY_CREATED"), onEntity("b", "ENTITY_CREATED"), onEntity("c", "ENTITY_CREATED"))
	w.create(t, `{"identifier":"cart"}`, w.machine())
	try := func() error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		timeUp = cancel
		return w.Handle(ctx, w.untold[0])
	}
	if err := try(); fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("got %v, want that the change is told again", err)
	}
	must(t, try())
	if diff := cmp.Diff([]string{"a", "b", "c", "c"}, asked); diff != "" {
		t.Errorf("automations that were asked (-want +got):\n%s", diff)
	}
	// Nothing is remembered of a change that was dealt with.
	asked = nil
	_ = try()
	if len(asked) != 3 {
		t.Errorf("told once more, it asks %v, want all three", asked)
	}
}

// What a run has of secrets is in none of its events.
func TestEventsHoldNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.define(t, `{"identifier":"deploy","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":{"type":"WEBHOOK",
		"url":"https://example.com/{{ .secrets.TOKEN }}","headers":{"X":"{{ .secrets.TOKEN }}"},"body":{"a":"{{ .secrets.TOKEN | ascii_upcase }}"}}}`,
		on("it", `"type":"ANY_RUN_CHANGE","actionIdentifier":"deploy"`,
			`{"type":"WEBHOOK","url":"https://example.com","body":{"event":"{{ .event }}","none":"{{ .event.secrets }}"}}`, jq("and", `.diff.after.payload.headers.X == "******"`)))
	w.run(t, "deploy")
	w.settle(t)
	if len(w.started) != 2 {
		t.Fatalf("started %v, want the run's begin and its end", w.names())
	}
	for _, r := range w.automatic(t) {
		for _, text := range []string{*r.Invocation.Webhook.Body, w.log.String()} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(hidden)) {
				t.Errorf("a secret is in %s", text)
			}
		}
	}
}

// counting counts what is written.
type counting struct {
	*dynamodb.Client
	puts atomic.Int64
}

func (c *counting) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	c.puts.Add(1)
	return c.Client.PutItem(ctx, in, o...)
}

// On DynamoDB a change has its entry though its author died before it was written; one that is there is not
// written again.
func TestAuditOnDynamoDB(t *testing.T) {
	t.Parallel()
	client, _, table := opentest.DynamoDB(t)
	writes := &counting{Client: client}
	entries := dynamocatalog.NewAudit(writes, table, 0, func() time.Time { return start })
	w := newWorld(t, func(_ *world, c *automation.Config) { c.Audit, c.Log = entries, slog.New(slog.DiscardHandler) })
	w.create(t, `{"identifier":"cart"}`, w.ada())
	w.define(t, `{"identifier":"deploy","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":`+hook+`}`)
	id := w.run(t, "deploy")
	for range 3 {
		for _, c := range w.untold {
			must(t, w.Handle(t.Context(), c))
		}
	}
	page, err := entries.List(t.Context(), audit.Filter{Limit: 10, From: start.Add(-time.Minute), To: start.Add(time.Minute)})
	must(t, err)
	got := map[string]string{}
	for _, e := range page.Entries {
		got[e.Identifier] = e.Action + " " + e.Resource + " " + e.By.ID
	}
	if diff := cmp.Diff(map[string]string{"cart": "CREATE entity usr_ada", id: "CREATE run client"}, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if n := writes.puts.Load(); n != 2 {
		t.Errorf("%d writes, want one of each entry", n)
	}
}
