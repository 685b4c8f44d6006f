package trigger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

const hello = `{"identifier":"hello","title":"Hello","icon":"Rocket",
	"trigger":{"type":"self-service","operation":"CREATE","blueprintIdentifier":"service",
		"userInputs":{"properties":{"name":{"type":"string"},"size":{"type":"number","default":3}},"required":["name"]}},
	"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/hooks/{{ .inputs.name }}",
		"headers":{"X-Run":"{{ .run.id }}"},
		"body":{"who":"{{ .trigger.by.userId }}","{{ spreadValue() }}":"{{ .inputs }}"}},
	"requiredApproval":false}`

func TestStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	entry := w.actions.add(t, hello)
	got := w.start(t, request(t, "hello", `{"name":"<ü>","extra":[1e21]}`))

	body := `{"who":"client","name":"<ü>","extra":[1e+21],"size":3}`
	call := invocation.Invocation{
		V: 1, Type: "WEBHOOK", Backend: "webhook",
		Webhook: &invocation.Webhook{
			URL: "https://example.com/hooks/<ü>", Literal: "https://example.com/hooks/", Method: "POST",
			Headers: []invocation.Header{{Name: "X-Run", Value: runID(1)}}, Body: &body,
		},
	}
	want := &run.Record{
		Run: &run.Run{
			ID: runID(1), Generation: 1, Status: run.InProgress,
			Action:  run.Action{Identifier: "hello", Title: "Hello", Icon: "Rocket", ID: entry.ID},
			Backend: "webhook", Blueprint: "service", Source: "API", RequiredApproval: json.RawMessage("false"),
			UserID: "client", CreatedBy: "client", UpdatedBy: "client",
			CreatedAt: start, UpdatedAt: start, StartedAt: start,
			Delivery: run.Delivery{State: run.Pending, Host: "https://example.com:443"}, Due: start.Add(run.Unsent),
		},
		Body: run.Body{
			Properties: json.RawMessage(`{"name":"<ü>","extra":[1e+21],"size":3}`),
			User: json.RawMessage(`{"id":"client","email":null,"firstName":null,"lastName":null,"phoneNumber":null,` +
				`"picture":null,"providers":null,"status":null,"createdAt":null,"updatedAt":null}`),
			Invocation: &call,
		},
	}
	if diff := cmp.Diff(&trigger.Started{Record: want}, got, cmpopts.IgnoreFields(run.Run{}, "Rev")); diff != "" {
		t.Errorf("answered (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, w.read(t, want.ID), cmpopts.IgnoreFields(run.Run{}, "Rev")); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	wantSent := []sent{{"webhook", "https://example.com:443", queue.Message{
		V: 1, PK: want.ID, Generation: 1, Kind: queue.KindRun, Invocation: &call,
	}}}
	if diff := cmp.Diff(wantSent, w.queue.sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if lines := w.logs(t, want.ID); len(lines) != 0 {
		t.Errorf("log lines %q, want none", lines)
	}
	if text := w.log.String(); strings.Contains(text, "ü") || !strings.Contains(text, `"run_id":"`+runID(1)+`"`) {
		t.Errorf("our log is %s, want the run's id and no input", text)
	}
}

func TestStartWithoutProperties(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, v2("plain", `{"type":"WEBHOOK","url":"https://example.com"}`))
	got := w.start(t, request(t, "plain", ""))
	if text := string(got.Record.Properties); text != "{}" {
		t.Errorf("properties are %s, want {}", text)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	webhook := `{"type":"WEBHOOK","url":"https://example.com"}`
	self := func(trigger, rest string) string {
		return `{"identifier":"a","trigger":{"type":"self-service",` + trigger + `},"invocationMethod":` + webhook + rest + `}`
	}
	create := `"operation":"CREATE"`
	for name, c := range map[string]struct {
		definition string
		edit       func(*trigger.Request)
		kind       fault.Kind
		word       string
		sentences  []string
		paths      []string
	}{
		"unknown action": {
			definition: self(create, ""), edit: func(q *trigger.Request) { q.Action = "b" },
			kind: fault.NotFound, word: "not_found",
		},
		"automation": {
			definition: `{"identifier":"a","trigger":{"type":"automation","event":{"type":"RUN_CREATED","actionIdentifier":"x"}},"invocationMethod":` + webhook + `}`,
			kind:       fault.Invalid, word: "invalid_request", sentences: []string{"a is an automation"},
		},
		"not published": {
			definition: self(create, `,"publish":false`),
			kind:       fault.Invalid, word: "invalid_request", sentences: []string{"not published"},
		},
		"DAY-2 of a blueprint without an entity": {
			definition: self(`"operation":"DAY-2","blueprintIdentifier":"service"`, ""),
			kind:       fault.Invalid, word: "invalid_request", sentences: []string{"entity: is required", "DAY-2"}, paths: []string{"entity"},
		},
		"DELETE of a blueprint without an entity and an input": {
			definition: self(`"operation":"DELETE","blueprintIdentifier":"service","userInputs":{"properties":{"s":{"type":"string"}},"required":["s"]}`, ""),
			kind:       fault.Invalid, word: "invalid_request", paths: []string{"properties.s", "entity"},
		},
		"DAY-2 of an unknown entity": {
			definition: self(`"operation":"DAY-2","blueprintIdentifier":"service"`, ""),
			edit:       func(q *trigger.Request) { q.Entity = "Cart" },
			kind:       fault.NotFound, word: "not_found", sentences: []string{`no entity "Cart"`},
		},
		"DELETE of an entity of an unknown blueprint": {
			definition: self(`"operation":"DELETE","blueprintIdentifier":"b"`, ""),
			edit:       func(q *trigger.Request) { q.Entity = "cart" },
			kind:       fault.NotFound, word: "not_found", sentences: []string{`no blueprint "b"`},
		},
		"CREATE with an unknown entity": {
			definition: self(create+`,"blueprintIdentifier":"service"`, ""),
			edit:       func(q *trigger.Request) { q.Entity = "e" },
			kind:       fault.NotFound, word: "not_found", sentences: []string{`no entity "e"`},
		},
		"an entity that was never made, of a built-in blueprint": {
			definition: self(`"operation":"DAY-2","blueprintIdentifier":"_user"`, ""),
			edit:       func(q *trigger.Request) { q.Entity = "a@example.com" },
			kind:       fault.NotFound, word: "not_found",
		},
		"condition that is not met": {
			definition: self(`"operation":"DAY-2","blueprintIdentifier":"service","condition":{"type":"SEARCH","combinator":"and",
				"rules":[{"property":"tier","operator":"=","value":"silver"}]}`, ""),
			edit: func(q *trigger.Request) { q.Entity, q.IdempotencyKey = "cart", "k" },
			kind: fault.Invalid, word: "condition_not_met", sentences: []string{`"cart"`, "condition of action a"}, paths: []string{"entity"},
		},
		"inputs, key and run_as": {
			definition: self(create+`,"userInputs":{"properties":{"n":{"type":"number"},"s":{"type":"string"}},"required":["s"]}`, ""),
			edit: func(q *trigger.Request) {
				q.Properties.Set("n", "text")
				q.IdempotencyKey, q.RunAs = "a\nb", "ada"
			},
			kind: fault.Invalid, word: "invalid_request", sentences: []string{"properties.n: ", "properties.s", "Idempotency-Key: ", "run_as: "},
		},
		"key of control characters": {
			definition: self(create, ""), edit: func(q *trigger.Request) { q.IdempotencyKey = "a\x00" },
			kind: fault.Invalid, word: "invalid_request", sentences: []string{"printable"}, paths: []string{"Idempotency-Key"},
		},
		"key of broken UTF-8": {
			definition: self(create, ""), edit: func(q *trigger.Request) { q.IdempotencyKey = "a\xff" },
			kind: fault.Invalid, word: "invalid_request", sentences: []string{"printable"}, paths: []string{"Idempotency-Key"},
		},
		"key too long": {
			definition: self(create, ""), edit: func(q *trigger.Request) { q.IdempotencyKey = strings.Repeat("ü", 256) },
			kind: fault.Invalid, word: "invalid_request", sentences: []string{"1 to 255", "has 256"}, paths: []string{"Idempotency-Key"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(_ *world, c *trigger.Config) { c.Runs = noReserve{c.Runs, t} })
			w.addCart(t)
			w.actions.add(t, c.definition)
			q := request(t, "a", "{}")
			if c.edit != nil {
				c.edit(&q)
			}
			_, err := w.Start(t.Context(), q)
			e := wantFault(t, err, c.kind, c.word, c.sentences...)
			if c.paths != nil {
				var paths []string
				for _, d := range e.Details {
					paths = append(paths, d.Path)
				}
				if diff := cmp.Diff(c.paths, paths); diff != "" {
					t.Errorf("paths (-want +got):\n%s", diff)
				}
			}
			_, dry := w.DryRun(t.Context(), q)
			if diff := cmp.Diff(e.Message, messageOf(dry)); diff != "" {
				t.Errorf("a dry run answers otherwise (-start +dry):\n%s", diff)
			}
			w.wantNothing(t)
		})
	}
}

func messageOf(err error) string {
	var e *fault.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return fmt.Sprint(err)
}

// noReserve fails the test when a key is reserved: a refused request leaves none.
type noReserve struct {
	trigger.Runs
	t *testing.T
}

func (n noReserve) Reserve(context.Context, run.Reservation, time.Time) (run.Reservation, bool, error) {
	n.t.Error("a key was reserved")
	return run.Reservation{}, false, errors.New("not here")
}

// TestEntityIgnored: without a blueprint there is no entity to look up.
func TestEntityIgnored(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"CREATE", "DAY-2", "DELETE"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.actions.add(t, `{"identifier":"a","trigger":{"type":"self-service","operation":"`+operation+`"},
				"invocationMethod":{"type":"WEBHOOK","url":"https://example.com","body":{"e":"{{ .entity }}","o":"{{ .trigger.operation }}"}}}`)
			q := request(t, "a", "{}")
			q.Entity = "e"
			got := w.start(t, q).Record
			if got.Entity != "" || *got.Invocation.Webhook.Body != `{"e":{},"o":"`+operation+`"}` {
				t.Errorf("entity %q, body %s", got.Entity, *got.Invocation.Webhook.Body)
			}
		})
	}
}

func TestNotRecorded(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"throttled":    fault.Busy(errors.New("throttled"), 0, "the store is busy"),
		"unknown":      errors.New("connection reset by 10.0.0.1"),
		"id collision": fault.New(fault.Conflict, "", "taken"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(_ *world, c *trigger.Config) { c.Accepter = refuser{err} })
			w.actions.add(t, hello)
			_, got := w.Start(t.Context(), request(t, "hello", `{"name":"x"}`))
			e := wantFault(t, got, fault.Unavailable, "unavailable", "nothing was accepted")
			if !e.Retryable || e.RetryAfter <= 0 || strings.Contains(e.Message, "10.0.0.1") {
				t.Errorf("retryable %t after %s, message %q", e.Retryable, e.RetryAfter, e.Message)
			}
			w.wantNothing(t)
		})
	}
	t.Run("as the store says", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(_ *world, c *trigger.Config) {
			c.Accepter = refuser{fault.Busy(nil, 7*time.Second, "the store is busy")}
		})
		w.actions.add(t, hello)
		_, got := w.Start(t.Context(), request(t, "hello", `{"name":"x"}`))
		if e := wantFault(t, got, fault.Unavailable, "unavailable"); e.RetryAfter != 7*time.Second {
			t.Errorf("retry after %s, want 7s", e.RetryAfter)
		}
	})
	t.Run("reserve", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(_ *world, c *trigger.Config) { c.Runs = brokenReserve{c.Runs} })
		w.actions.add(t, hello)
		q := request(t, "hello", `{"name":"x"}`)
		q.IdempotencyKey = "k"
		_, got := w.Start(t.Context(), q)
		wantFault(t, got, fault.Unavailable, "unavailable", "nothing was accepted")
		w.wantNothing(t)
	})
	t.Run("caller gone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		w.actions.add(t, hello)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, got := w.Start(ctx, request(t, "hello", `{"name":"x"}`))
		wantFault(t, got, fault.Unavailable, "unavailable")
		w.wantNothing(t)
	})
}

type refuser struct{ err error }

func (r refuser) Accept(context.Context, *run.Run, *run.Body, *queue.Message, *run.Log) error {
	return r.err
}

type brokenReserve struct{ trigger.Runs }

func (brokenReserve) Reserve(context.Context, run.Reservation, time.Time) (run.Reservation, bool, error) {
	return run.Reservation{}, false, errors.New("no store")
}

// TestChangedDefinition: what is kept of a definition between triggers is not kept beyond its change.
func TestChangedDefinition(t *testing.T) {
	t.Parallel()
	for name, definition := range map[string]string{
		"v2": v2("a", `{"type":"WEBHOOK","url":"https://example.com","body":{"title":"{{ .action.title }}"}}`),
		"v1": `{"identifier":"a","trigger":"CREATE","userInputs":{"properties":{}},"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			for _, title := range []string{"One", "Two"} {
				w.actions.add(t, strings.Replace(definition, `{"identifier"`, `{"title":"`+title+`","identifier"`, 1))
				got := *w.start(t, request(t, "a", "{}")).Record.Invocation.Webhook.Body
				if want := `"title":"` + title + `"`; !strings.Contains(got, want) {
					t.Errorf("body is %s, want %s in it", got, want)
				}
			}
		})
	}
}
