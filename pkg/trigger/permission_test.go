package trigger_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/permission"
	"longshore/pkg/trigger"
)

// member is a caller who is a user.
var member = identity.Caller{OrgID: "org_1", ID: "usr_ada", User: &identity.User{Email: "ada@example.com", Role: identity.Member}}

// permit writes permissions of an action.
func (w *world) permit(t *testing.T, identifier, permissions string) {
	t.Helper()
	w.actions.stamp++
	r := *w.actions.records[identifier]
	r.Permissions, r.Rev = json.RawMessage(permissions), w.actions.stamp
	w.actions.records[identifier] = &r
}

// A run that is not permitted leaves nothing behind, no key either: who is permitted later may use it.
func TestDeniedRunLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.addCart(t)
	w.actions.add(t, `{"identifier":"a","trigger":{"type":"self-service","operation":"DAY-2","blueprintIdentifier":"service",
		"userInputs":{"properties":{"count":{"type":"number","default":3}}}},"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}}`)
	w.permit(t, "a", `{"execute":{"roles":["Admin"]}}`)
	q := onEntity(t)
	q.Caller, q.IdempotencyKey = member, "key"
	for name, ask := range map[string]func() error{
		"start":   func() error { _, err := w.Start(t.Context(), q); return err },
		"dry run": func() error { _, err := w.DryRun(t.Context(), q); return err },
	} {
		wantFault(t, ask(), fault.Forbidden, "forbidden", "ada@example.com may not execute action a")
		w.wantNothing(t)
		if w.log.Len() > 0 {
			t.Errorf("%s: the log says %s", name, w.log)
		}
	}
	// A policy sees the entity and the inputs after defaults.
	w.permit(t, "a", `{"execute":{"policy":{"conditions":[".inputs.count == 3 and .entity.properties.tier == \"gold\" and .trigger.at == \"`+at+`\""]}}}`)
	if dry, err := w.DryRun(t.Context(), q); err != nil || dry == nil {
		t.Errorf("dry run that is permitted: %v", err)
	}
	started := w.start(t, q)
	if started.Replayed {
		t.Error("the refused request bound its key")
	}
	if got := started.Record.UserID; got != member.ID {
		t.Errorf("the run is by %s, want %s", got, member.ID)
	}
	w.wantRuns(t, 1)
	// The machine needs no permission.
	q = onEntity(t)
	w.permit(t, "a", `{"execute":{"roles":[]}}`)
	w.start(t, q)
}

// Who may not execute an action learns nothing of its inputs; a policy judges by inputs that are right.
func TestInputsAndPermission(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"count":{"type":"number"}},"required":["count"]}},
		"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}}`)
	q := request(t, "a", `{}`)
	q.Caller = member
	w.permit(t, "a", `{"execute":{"roles":[]}}`)
	_, err := w.Start(t.Context(), q)
	wantFault(t, err, fault.Forbidden, "forbidden")
	w.permit(t, "a", `{"execute":{"policy":{"conditions":["false"]}}}`)
	_, err = w.Start(t.Context(), q)
	wantFault(t, err, fault.Invalid, "invalid_request", "count")
	// Whether the entity's team may is not known without the entity.
	w.actions.add(t, `{"identifier":"b","trigger":{"type":"self-service","operation":"DAY-2","blueprintIdentifier":"service","userInputs":{"properties":{}}},
		"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}}`)
	q = request(t, "b", `{}`)
	q.Caller = member
	w.permit(t, "b", `{"execute":{"roles":[],"ownedByTeam":true}}`)
	_, err = w.Start(t.Context(), q)
	wantFault(t, err, fault.Invalid, "invalid_request", "entity: is required")
}

func TestRunIsPrivateAsItsAction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, `{"identifier":"a","allowAnyoneToViewRuns":false,"trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}}`)
	w.actions.add(t, `{"identifier":"b","allowAnyoneToViewRuns":true,"trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}}`)
	for identifier, want := range map[string]bool{"a": true, "b": false} {
		if got := w.read(t, w.start(t, request(t, identifier, "")).Record.ID).Private; got != want {
			t.Errorf("run of %s: private %t, want %t", identifier, got, want)
		}
	}
}

// judgeFunc judges as it is told.
type judgeFunc func(ctx context.Context) error

func (f judgeFunc) Execute(ctx context.Context, _ permission.Question) error { return f(ctx) }

func TestPermissionThatCannotBeJudged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		judge judgeFunc
		// gone is true for a caller who does not wait.
		gone bool
		kind fault.Kind
		word string
	}{
		"the store is busy": {judge: func(context.Context) error { return fault.Busy(errors.New("throttled"), 0, "busy") }, kind: fault.Unavailable, word: "unavailable"},
		"it takes too long": {judge: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, kind: fault.Invalid, word: "template_limit"},
		"the caller is gone": {judge: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, gone: true,
			kind: fault.Unavailable, word: "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &definitions{records: map[string]*action.Record{}}
				d.add(t, v2("a", `{"type":"WEBHOOK","url":"https://example.com"}`))
				tr := trigger.New(trigger.Config{
					Permissions: c.judge, Actions: action.NewCache(d), Accepter: nowhere{},
					Configured: func(string) bool { return true }, Log: slog.New(slog.DiscardHandler),
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.gone {
					go func() { time.Sleep(time.Second); cancel() }()
				}
				q := request(t, "a", "")
				q.Caller = member
				_, err := tr.Start(ctx, q)
				wantFault(t, err, c.kind, c.word)
			})
		})
	}
}
