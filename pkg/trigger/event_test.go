package trigger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/event"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

// cartEvent is the event of a test: an entity that a run of depth 2 has changed.
func cartEvent(edits ...func(*event.Event)) *event.Event {
	e := &event.Event{
		ID: event.ID("entity", "ent_1", "7"), Action: event.Update, Resource: event.Entity,
		UserID: "client", Origin: "API", At: start.Add(-2 * time.Second),
		Context: json.RawMessage(`{"blueprintIdentifier":"service","entityIdentifier":"cart"}`),
		Before:  json.RawMessage(`{"identifier":"cart","properties":{"n":1.50}}`), After: json.RawMessage(`{"identifier":"cart","properties":{"n":2}}`),
		RunID: "r_0", Depth: 2,
	}
	for _, edit := range edits {
		edit(e)
	}
	return e
}

// automation is an automation with an invocation method, and more members.
func automation(identifier, method string, more ...string) string {
	return fmt.Sprintf(`{"identifier":%q,"title":"On <change>","trigger":{"type":"automation","event":{"type":"ENTITY_UPDATED","blueprintIdentifier":"service"}},"invocationMethod":%s%s}`,
		identifier, method, strings.Join(more, ""))
}

// startEvent starts an automation and returns the run's id.
func (w *world) startEvent(t testing.TB, e *event.Event, identifier string) string {
	t.Helper()
	entry, err := action.NewCache(w.actions).Get(t.Context(), identifier)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.StartEvent(t.Context(), e, entry); err != nil {
		t.Fatalf("start: %v", err)
	}
	return run.DerivedID(e.At, e.ID, entry.Record.ID)
}

func TestEventStartsOneRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, automation("sync", `{"type":"WEBHOOK","url":"https://example.com/{{ .event.context.entityIdentifier }}","body":{
		"inputs":"{{ .inputs }}","trigger":"{{ .trigger }}","event":"{{ .event }}","entity":"{{ .entity }}","action":"{{ .action.identifier }}",
		"run":"{{ .run }}","secrets":"{{ .secrets }}","user":"{{ .user.id }}"}}`))
	e := cartEvent()
	id := w.startEvent(t, e, "sync")

	record := w.read(t, id)
	got := *record.Run
	want := run.Run{
		ID: id, Rev: got.Rev, Generation: 1, Status: run.InProgress, Action: run.Action{Identifier: "sync", Title: "On <change>", ID: "action_sync"},
		Backend: "webhook", Source: "AUTOMATION", UserID: "client", CreatedBy: "client", UpdatedBy: "client",
		CreatedAt: start, UpdatedAt: start, StartedAt: start, Due: start.Add(run.Unsent), Delivery: run.Delivery{State: run.Pending, Host: "https://example.com:443"},
		Cause: audit.Cause{EventID: e.ID, RunID: "r_0", Depth: 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
	if at, _ := run.IDTime(id); !at.Equal(e.At) {
		t.Errorf("the time in the run's id is %s, want the event's, %s", at, e.At)
	}
	body := `{"inputs":null,"trigger":{"by":{"orgId":"org_1","userId":"client","user":` + machine + `},"origin":"AUTOMATION","at":"` + at + `","operation":null},` +
		`"event":{"id":"` + e.ID + `","action":"UPDATE","resourceType":"entity","trigger":{"by":{"orgId":"org_1","userId":"client"},"origin":"API","at":"2026-03-01T10:20:28.456Z"},` +
		`"context":{"blueprintIdentifier":"service","entityIdentifier":"cart"},` +
		`"diff":{"before":{"identifier":"cart","properties":{"n":1.5}},"after":{"identifier":"cart","properties":{"n":2}}}},` +
		`"entity":null,"action":"sync","run":{"id":"` + id + `"},"secrets":{},"user":"client"}`
	if diff := cmp.Diff(body, *record.Invocation.Webhook.Body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if record.Invocation.Webhook.URL != "https://example.com/cart" || string(record.Properties) != "{}" {
		t.Errorf("URL %s, properties %s", record.Invocation.Webhook.URL, record.Properties)
	}

	// Told again, later, and after the automation has changed.
	w.later(time.Hour)
	w.actions.add(t, automation("sync", `{"type":"WEBHOOK","url":"https://example.com/other"}`))
	if again := w.startEvent(t, e, "sync"); again != id {
		t.Errorf("the same event's run is %s, then %s", id, again)
	}
	w.wantRuns(t, 1)
	if len(w.queue.sent) != 1 || w.queue.sent[0].Message.PK != id || w.queue.sent[0].Backend != "webhook" {
		t.Errorf("sent %+v, want one message of the run", w.queue.sent)
	}
	if now := w.read(t, id); now.Invocation.Webhook.URL != "https://example.com/cart" {
		t.Errorf("the run's invocation changed to %s", now.Invocation.Webhook.URL)
	}

	// Another event, and another automation of the same event, have runs of their own.
	w.actions.add(t, automation("other", `{"type":"WEBHOOK","url":"https://example.com"}`))
	w.startEvent(t, cartEvent(func(e *event.Event) { e.ID = event.ID("entity", "ent_1", "8") }), "sync")
	w.startEvent(t, e, "other")
	w.wantRuns(t, 3)
}

// persons are the users of a test.
type persons struct {
	known map[string]identity.Caller
	err   error
}

func (p persons) Caller(_ context.Context, email string) (identity.Caller, error) {
	if c, ok := p.known[email]; ok {
		return c, nil
	}
	if p.err != nil {
		return identity.Caller{}, p.err
	}
	return identity.Caller{}, fault.New(fault.NotFound, "", "there is no such user")
}

func TestEventIsByItsUser(t *testing.T) {
	t.Parallel()
	ada := identity.Caller{OrgID: "org_1", ID: "usr_ada", User: &identity.User{Email: "ada@example.com", FirstName: "Ada", Status: "Active", CreatedAt: start, UpdatedAt: start}}
	w := newWorld(t, func(_ *world, c *trigger.Config) {
		c.Users = persons{known: map[string]identity.Caller{"ada@example.com": ada}}
	})
	w.actions.add(t, automation("sync", `{"type":"WEBHOOK","url":"https://example.com","body":{"who":"{{ .user.email }} {{ .user.firstName }} {{ .trigger.by.user.id }}"}}`))
	for n, test := range []struct{ id, email, want string }{
		{"usr_ada", "ada@example.com", `{"who":"ada@example.com Ada usr_ada"}`},
		{"usr_gone", "gone@example.com", `{"who":"gone@example.com null usr_gone"}`},
		{"longshore", "", `{"who":"null null longshore"}`},
	} {
		id := w.startEvent(t, cartEvent(func(e *event.Event) { e.ID, e.UserID, e.Email = event.ID(fmt.Sprint(n)), test.id, test.email }), "sync")
		r := w.read(t, id)
		if got := *r.Invocation.Webhook.Body; got != test.want || r.UserID != test.id || r.UserEmail != test.email {
			t.Errorf("%s: body %s, want %s; the run is by %s %s", test.id, got, test.want, r.UserID, r.UserEmail)
		}
	}
}

func TestEventThatCannotBeDelivered(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method, label, line, backend string
		edit                         func(*event.Event)
	}{
		"a URL that is none":    {`{"type":"WEBHOOK","url":"{{ .event.diff.after.nothing }}"}`, "not started", "not started: invocationMethod.url", "webhook", nil},
		"a header with CR":      {`{"type":"WEBHOOK","url":"https://example.com","headers":{"X":"{{ \"a\\rb\" }}"}}`, "not started", "invocationMethod.headers", "webhook", nil},
		"a limit":               {`{"type":"WEBHOOK","url":"https://example.com","body":{"a":"{{ [range(1e9)] }}"}}`, "not started", "not started: ", "webhook", nil},
		"an installation":       {`{"type":"INTEGRATION_ACTION","installationId":"{{ 1 }}","integrationActionType":"dispatch_workflow","integrationActionExecutionProperties":{"org":"o","repo":"r","workflow":"w"}}`, "not started", "installationId", "agent", nil},
		"one too many":          {`{"type":"WEBHOOK","url":"https://example.com"}`, "loop cut off", "follows from 10 runs of automations", "webhook", func(e *event.Event) { e.Depth = 10 }},
		"a loop through GitHub": {`{"type":"GITHUB","org":"o","repo":"r","workflow":"w"}`, "loop cut off", "the last of them r_0", "github", func(e *event.Event) { e.Depth = 10 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.actions.add(t, automation("sync", test.method))
			e := cartEvent()
			if test.edit != nil {
				test.edit(e)
			}
			id := w.startEvent(t, e, "sync")
			w.startEvent(t, e, "sync")
			r := w.read(t, id)
			if r.Status != run.Failure || r.StatusLabel != test.label || r.Backend != test.backend || r.Invocation != nil || !r.Due.IsZero() || r.EndedAt != start {
				t.Errorf("run %+v with invocation %v", r.Run, r.Invocation)
			}
			if lines := w.logs(t, id); len(lines) != 1 || !strings.Contains(lines[0], test.line) {
				t.Errorf("log is %q, want a line with %q", lines, test.line)
			}
			if len(w.queue.sent) != 0 {
				t.Errorf("sent %+v", w.queue.sent)
			}
			w.wantRuns(t, 1)
			_, err := w.Redeliver(t.Context(), identity.Caller{Machine: true, ID: "client"}, id)
			wantFault(t, err, fault.Invalid, "run_not_redeliverable")
		})
	}
}

// The tenth run is delivered.
func TestEventOfTheLastDepth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, automation("sync", `{"type":"WEBHOOK","url":"https://example.com"}`))
	id := w.startEvent(t, cartEvent(func(e *event.Event) { e.Depth = 9 }), "sync")
	if r := w.read(t, id); r.Status != run.InProgress || r.Cause.Depth != event.MaxDepth || len(w.queue.sent) != 1 {
		t.Errorf("run %+v, sent %+v", r.Run, w.queue.sent)
	}
}

func TestEventWaitsForItsBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for method, want := range map[string][2]string{
		`{"type":"KAFKA","payload":{"a":1}}`:                                                             {invocation.BackendKafka, "not configured"},
		`{"type":"GITLAB","projectName":"p","groupName":"g"}`:                                            {invocation.BackendGitLab, "not configured"},
		`{"type":"AZURE_DEVOPS","org":"o","webhook":"w","payload":{}}`:                                   {invocation.BackendAzureDevOps, "not configured"},
		`{"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":{"identifier":"{{ 1 }}"}}`:    {invocation.BackendUpsertEntity, "not configured"},
		`{"type":"WEBHOOK","url":"https://example.com","agent":true}`:                                    {invocation.BackendAgent, "claims it"},
		`{"type":"WEBHOOK","url":"https://example.com","agent":true,"body":{"a":"{{ .event.action }}"}}`: {invocation.BackendAgent, "claims it"},
	} {
		identifier := fmt.Sprintf("a%d", len(w.actions.records))
		w.actions.add(t, automation(identifier, method))
		id := w.startEvent(t, cartEvent(), identifier)
		r, lines := w.read(t, id), w.logs(t, id)
		if r.Status != run.InProgress || r.Backend != want[0] || len(lines) != 1 || !strings.Contains(lines[0], want[1]) {
			t.Errorf("%s: status %s, backend %s, log %q", method, r.Status, r.Backend, lines)
		}
		if agent := want[0] == invocation.BackendAgent; agent != (r.Pending.Installation != "") {
			t.Errorf("%s: pending %+v", method, r.Pending)
		}
	}
	if len(w.queue.sent) != 0 {
		t.Errorf("sent %+v", w.queue.sent)
	}
}

func TestEventKeepsSecrets(t *testing.T) {
	t.Parallel()
	w := secretWorld(t, newVault())
	w.actions.add(t, automation("sent", `{"type":"WEBHOOK","url":"https://example.com","headers":{"X":"{{ .secrets.TOKEN }}"}}`))
	w.actions.add(t, automation("bad", `{"type":"WEBHOOK","url":"{{ .secrets.TOKEN }}","method":"{{ .secrets.password }}"}`))
	id, bad := w.startEvent(t, cartEvent(), "sent"), w.startEvent(t, cartEvent(), "bad")
	r := w.read(t, id)
	if !r.Secrets || !strings.Contains(string(r.Invocation.Readable()), `"X":"******"`) || w.queue.sent[0].Message.Invocation != nil {
		t.Errorf("secrets %v, shown %+v, sent %+v", r.Secrets, r.Invocation.Webhook, w.queue.sent)
	}
	if _, err := w.store.Sealed(t.Context(), id); err != nil {
		t.Errorf("sealed: %v", err)
	}
	lines := w.logs(t, bad)
	if got := w.read(t, bad); got.Status != run.Failure || got.Secrets || len(lines) != 1 || sight(lines[0]) != "" {
		t.Errorf("status %s, secrets %v, log %q", got.Status, got.Secrets, lines)
	}
	if left := sight(w.log.String()); left != "" {
		t.Errorf("the log of the process has a secret: %s", left)
	}
}

func TestEventWaitsForApproval(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, automation("guarded", `{"type":"WEBHOOK","url":"https://example.com"}`, `,"requiredApproval":true`, jsonNotice))
	id := w.startEvent(t, cartEvent(), "guarded")
	w.startEvent(t, cartEvent(), "guarded")
	r := w.read(t, id)
	if r.Status != run.WaitingForApproval || string(r.RequiredApproval) != "true" || len(r.Approval.Approvers) != 1 {
		t.Errorf("run %+v, approval %+v", r.Run, r.Approval)
	}
	if len(w.queue.sent) != 1 || !run.IsNotice(w.queue.sent[0].Message.PK) {
		t.Errorf("sent %+v, want one notice", w.queue.sent)
	}
	if due := w.due(t); len(due) != 2 {
		t.Errorf("due are %q, want the run and one notice", due)
	}
}

// What may be cured by itself is tried again, and has left nothing behind.
func TestEventThatMustComeAgain(t *testing.T) {
	t.Parallel()
	busy := fault.Busy(nil, time.Second, "the store cannot be used now")
	for name, edit := range map[string]func(*world, *trigger.Config){
		"users":   func(_ *world, c *trigger.Config) { c.Users = persons{err: busy} },
		"secrets": func(_ *world, c *trigger.Config) { c.Secrets = &vault{err: busy} },
		"store": func(_ *world, c *trigger.Config) {
			c.Accepter = &trigger.StoreAndSend{Store: failingRecorder{busy}, Sender: c.Sender, Log: c.Log}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, edit)
			w.actions.add(t, automation("sync", `{"type":"WEBHOOK","url":"https://example.com","body":{"a":"{{ .secrets.TOKEN }}"}}`))
			entry, err := action.NewCache(w.actions).Get(t.Context(), "sync")
			if err != nil {
				t.Fatal(err)
			}
			err = w.StartEvent(t.Context(), cartEvent(func(e *event.Event) { e.Email = "ada@example.com" }), entry)
			wantFault(t, err, fault.Unavailable, "unavailable")
			w.wantNothing(t)
			w.restart(nil)
			w.startEvent(t, cartEvent(), "sync")
			w.wantRuns(t, 1)
		})
	}
	w := newWorld(t, nil)
	w.actions.add(t, automation("sync", `{"type":"WEBHOOK","url":"https://example.com"}`))
	entry, err := action.NewCache(w.actions).Get(t.Context(), "sync")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantFault(t, w.StartEvent(ctx, cartEvent(), entry), fault.Unavailable, "unavailable")
	w.wantNothing(t)
}

// failingRecorder refuses every run.
type failingRecorder struct{ err error }

func (f failingRecorder) Create(context.Context, *run.Run, *run.Body) error { return f.err }
func (f failingRecorder) AppendLog(context.Context, *run.Log) error         { return f.err }
