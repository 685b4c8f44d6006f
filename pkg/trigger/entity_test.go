package trigger_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/permission"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

// addCart makes the blueprint service and its entity cart.
func (w *world) addCart(t *testing.T) {
	t.Helper()
	s := catalog.NewService(w.catalog, func() time.Time { return start })
	by := catalog.Author{ID: "client", At: start}
	_, err := s.CreateBlueprint(t.Context(), json.RawMessage(`{"identifier":"service","title":"Service",
		"schema":{"properties":{"tier":{"type":"string"},"size":{"type":"number"},"note":{"type":"string"}},"required":[]},
		"calculationProperties":{"double":{"type":"number","calculation":".properties.size * 2"}},
		"mirrorProperties":{"partTier":{"title":"Tier of the part","path":"part.tier"}},
		"relations":{"part":{"title":"Part","target":"service","many":false,"required":false}}}`), false, by)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{
		`{"identifier":"till","properties":{"tier":"silver"}}`,
		`{"identifier":"cart","title":"Cart","team":[],"properties":{"tier":"gold","size":1.50e1},"relations":{"part":"till"}}`,
	} {
		if _, err := s.CreateEntity(t.Context(), "service", json.RawMessage(body), catalog.EntityWrite{By: by}); err != nil {
			t.Fatal(err)
		}
	}
}

// cart is the entity as templates and receivers see it.
const cart = `{"identifier":"cart","title":"Cart","icon":null,"team":[],"blueprint":"service",` +
	`"properties":{"tier":"gold","size":15,"note":null,"partTier":"silver","double":30},"relations":{"part":"till"},` +
	`"createdAt":"` + at + `","updatedAt":"` + at + `","createdBy":"client","updatedBy":"client"}`

func onEntity(t *testing.T) trigger.Request {
	t.Helper()
	q := request(t, "a", "{}")
	q.Entity = "cart"
	return q
}

func TestEntity(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{action.Create, action.Day2, action.Delete} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.addCart(t)
			w.actions.add(t, `{"identifier":"a","trigger":{"type":"self-service","operation":"`+operation+`","blueprintIdentifier":"service"},
				"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/{{ .entity.properties.tier }}",
				"body":{"whole":"{{ .entity }}","double":"{{ .entity.properties.double }}","of":"{{ .entity.relations.part }}"}}}`)
			got := w.start(t, onEntity(t)).Record
			if want := `{"whole":` + cart + `,"double":30,"of":"till"}`; *got.Invocation.Webhook.Body != want {
				t.Errorf("body (-want +got):\n%s", cmp.Diff(want, *got.Invocation.Webhook.Body))
			}
			if got.Invocation.Webhook.URL != "https://example.com/gold" {
				t.Errorf("URL is %s", got.Invocation.Webhook.URL)
			}
			if stored := w.read(t, got.ID); stored.Entity != "cart" || stored.Blueprint != "service" {
				t.Errorf("stored entity %q, blueprint %q", stored.Entity, stored.Blueprint)
			}
			for entity, want := range map[string]int{"cart": 1, "till": 0} {
				page, err := w.store.List(t.Context(), run.Filter{Entity: entity, Limit: 10})
				if err != nil || len(page.Runs) != want {
					t.Errorf("%d runs of %s, %v, want %d", len(page.Runs), entity, err, want)
				}
			}
			dry, err := w.DryRun(t.Context(), onEntity(t))
			if err != nil || !strings.Contains(string(dry.TriggerData), `"entity":`+cart+`,`) {
				t.Errorf("trigger data %s, %v, want the entity in it", dry.TriggerData, err)
			}
			w.wantRuns(t, 1)
		})
	}
}

func TestEntityFirstGeneration(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{action.Create, action.Day2, action.Delete} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.addCart(t)
			w.actions.add(t, strings.Replace(v1(`{"type":"WEBHOOK","url":"https://example.com"}`), `"CREATE"`, `"`+operation+`"`, 1))
			text := *w.start(t, onEntity(t)).Record.Invocation.Webhook.Body
			for _, want := range []string{
				`"context":{"entity":"cart","blueprint":"service","runId":"` + runID(1) + `"}`, `"payload":{"entity":` + cart + `,"action":{`,
			} {
				if !strings.Contains(text, want) {
					t.Errorf("run message is %s, want %s in it", text, want)
				}
			}
		})
	}
}

func TestCondition(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rules string
		met   bool
	}{
		"none":                     {"", true},
		"property":                 {`{"property":"tier","operator":"=","value":"gold"}`, true},
		"another value":            {`{"property":"tier","operator":"!=","value":"gold"}`, false},
		"one of two":               {`{"property":"tier","operator":"=","value":"gold"},{"property":"size","operator":">","value":15}`, false},
		"mirrored":                 {`{"property":"partTier","operator":"=","value":"silver"}`, true},
		"calculated":               {`{"property":"double","operator":"<","value":30}`, false},
		"related":                  {`{"operator":"relatedTo","blueprint":"service","value":"till"}`, true},
		"related to another":       {`{"operator":"relatedTo","blueprint":"service","value":"shop"}`, false},
		"a property of the caller": {`{"property":{"context":"user","property":"role"},"operator":"=","value":"admin"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.addCart(t)
			w.actions.add(t, `{"identifier":"a","trigger":{"type":"self-service","operation":"DAY-2","blueprintIdentifier":"service",
				"condition":{"type":"SEARCH","combinator":"and","rules":[`+c.rules+`]}},
				"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}}`)
			_, err := w.Start(t.Context(), onEntity(t))
			if c.met {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantFault(t, err, fault.Invalid, "condition_not_met")
			w.wantNothing(t)
		})
	}
}

// TestKeyOfAnotherEntity: what a key answers again is a run of the same entity, even of one that is
// gone by then.
func TestKeyOfAnotherEntity(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.addCart(t)
	w.actions.add(t, `{"identifier":"a","trigger":{"type":"self-service","operation":"DELETE","blueprintIdentifier":"service"},
		"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}}`)
	q := onEntity(t)
	q.IdempotencyKey = "k"
	first := w.start(t, q)
	q.Entity = "till"
	_, err := w.Start(t.Context(), q)
	wantFault(t, err, fault.Invalid, "idempotency_key_reused")
	s := catalog.NewService(w.catalog, nil)
	if err := s.DeleteEntity(t.Context(), "service", "cart", false, catalog.Author{ID: "client", At: start}); err != nil {
		t.Fatal(err)
	}
	q.Entity = "cart"
	if again := w.start(t, q); !again.Replayed || again.Record.ID != first.Record.ID {
		t.Errorf("got %+v, want the first run again", again)
	}
	// A refusal binds no key.
	q.IdempotencyKey = "l"
	_, err = w.Start(t.Context(), q)
	wantFault(t, err, fault.NotFound, "not_found")
	q.Entity = "till"
	if w.start(t, q).Replayed {
		t.Error("the refused request bound the key")
	}
}

// lookedUp answers every look-up alike, after a time.
type lookedUp struct {
	after time.Duration
	err   error
}

func (l lookedUp) Resolve(context.Context, []catalog.Reference) ([]catalog.Referent, error) {
	return nil, errors.New("nothing is named")
}

func (l lookedUp) Caller(context.Context, string) func(catalog.ContextProperty) ([]any, error) {
	return nil
}

func (l lookedUp) Lookup(ctx context.Context, _, _ string, _ *catalog.Search) (*jqtemplate.Object, bool, error) {
	select {
	case <-ctx.Done():
		return nil, false, ctx.Err()
	case <-time.After(l.after):
		return new(jqtemplate.Object), true, l.err
	}
}

func TestEntityNotRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entities lookedUp
		kind     fault.Kind
		word     string
	}{
		"throttled":        {lookedUp{err: fault.Busy(errors.New("throttled"), 0, "the store is busy")}, fault.Unavailable, "unavailable"},
		"slow":             {lookedUp{after: time.Minute}, fault.Unavailable, "unavailable"},
		"hardly in time":   {lookedUp{after: trigger.Deadline - time.Millisecond}, fault.Internal, ""},
		"cannot be read":   {lookedUp{err: fault.New(fault.Invalid, "blueprint_unreadable", "save it anew")}, fault.Invalid, "blueprint_unreadable"},
		"a fault of ours":  {lookedUp{err: errors.New("broken")}, fault.Internal, "broken"},
		"nothing is wrong": {lookedUp{}, fault.Internal, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &definitions{records: map[string]*action.Record{}}
				d.add(t, `{"identifier":"a","trigger":{"type":"self-service","operation":"DAY-2","blueprintIdentifier":"service"},
					"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}}`)
				accepted := &counter{}
				tr := trigger.New(trigger.Config{
					Permissions: permission.New(permission.Config{}), Actions: action.NewCache(d), Entities: c.entities, Accepter: accepted,
					Configured: func(string) bool { return true }, Log: slog.New(slog.DiscardHandler),
				})
				_, err := tr.Start(t.Context(), onEntity(t))
				switch {
				case c.word == "":
					if err != nil || accepted.n != 1 {
						t.Errorf("%d accepted, %v, want one", accepted.n, err)
					}
					return
				case c.kind == fault.Internal:
					if err == nil || fault.KindOf(err) != fault.Internal || !strings.Contains(err.Error(), c.word) {
						t.Errorf("got %v", err)
					}
				default:
					e := wantFault(t, err, c.kind, c.word)
					if c.kind == fault.Unavailable && (!e.Retryable || e.RetryAfter <= 0) {
						t.Errorf("got %+v, want when to try again", e)
					}
				}
				if accepted.n != 0 {
					t.Error("it was accepted")
				}
			})
		})
	}
}

// counter counts what is accepted.
type counter struct {
	nowhere
	n int
}

func (c *counter) Accept(ctx context.Context, r *run.Run, b *run.Body, m *queue.Message, line *run.Log) error {
	c.n++
	return c.nowhere.Accept(ctx, r, b, m, line)
}
