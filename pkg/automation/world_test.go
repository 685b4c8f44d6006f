package automation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/approval"
	"longshore/pkg/audit"
	"longshore/pkg/automation"
	"longshore/pkg/backend"
	"longshore/pkg/backend/upsertentity"
	"longshore/pkg/catalog"
	"longshore/pkg/event"
	"longshore/pkg/feed"
	"longshore/pkg/identity"
	"longshore/pkg/identity/directory"
	"longshore/pkg/invocation"
	"longshore/pkg/organization"
	"longshore/pkg/permission"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/secret"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
	"longshore/pkg/trigger"
)

var start = time.Date(2026, 3, 1, 10, 20, 30, 456_000_000, time.UTC)

// telling is a catalog whose changes of entities are told.
type telling struct {
	catalog.Store
	tell func(*feed.Change)
}

func (s *telling) entity(ctx context.Context, key catalog.Key) *catalog.Entity {
	e, err := s.Entity(ctx, key)
	if err != nil {
		return nil
	}
	return e
}

func (s *telling) CreateEntity(ctx context.Context, e *catalog.Entity, edges []catalog.Edge, entries ...*audit.Entry) error {
	err := s.Store.CreateEntity(ctx, e, edges, entries...)
	if err == nil {
		after := s.entity(ctx, e.Key)
		s.tell(&feed.Change{Entity: &feed.Entity{After: after, By: after.Last}})
	}
	return err
}

func (s *telling) ReplaceEntity(ctx context.Context, e *catalog.Entity, edges, stale []catalog.Edge, entries ...*audit.Entry) error {
	before := s.entity(ctx, e.Key)
	err := s.Store.ReplaceEntity(ctx, e, edges, stale, entries...)
	if err == nil {
		after := s.entity(ctx, e.Key)
		s.tell(&feed.Change{Entity: &feed.Entity{Before: before, After: after, By: after.Last}})
	}
	return err
}

func (s *telling) DeleteEntity(ctx context.Context, e *catalog.Entity, edges []catalog.Edge, by catalog.Author, entries ...*audit.Entry) error {
	before := s.entity(ctx, e.Key)
	err := s.Store.DeleteEntity(ctx, e, edges, by, entries...)
	if err == nil {
		s.tell(&feed.Change{Entity: &feed.Entity{Before: before, By: by}})
	}
	return err
}

// tellingRuns are runs whose changes are told.
type tellingRuns struct {
	run.Store
	tell func(*feed.Change)
}

func (s *tellingRuns) Create(ctx context.Context, r *run.Run, b *run.Body) error {
	err := s.Store.Create(ctx, r, b)
	if err == nil && r.NoticeOf == "" {
		after, err := s.Read(ctx, r.ID)
		if err != nil {
			return err
		}
		s.tell(&feed.Change{Run: &feed.Run{After: after}})
	}
	return err
}

func (s *tellingRuns) Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	before, err := s.Read(ctx, id)
	if err != nil {
		return nil, err
	}
	r, err := s.Store.Update(ctx, id, move)
	if err != nil {
		return nil, err
	}
	after, err := s.Read(ctx, id)
	if err != nil {
		return nil, err
	}
	if run.Differs(before.Run, after.Run) || before.Last != after.Last {
		s.tell(&feed.Change{Run: &feed.Run{Before: before, After: after}})
	}
	return r, nil
}

// world is an automation over stores whose changes it is told when a test says so.
type world struct {
	*automation.Automation
	trigger  *trigger.Trigger
	approval *approval.Approval
	service  *catalog.Service
	catalog  catalog.Store
	runs     run.Store
	actions  *sqlitestore.Actions
	entries  *sqlitestore.Audit
	upserts  *upsertentity.Backend
	log      bytes.Buffer

	now    time.Time
	ids    int
	untold []*feed.Change
	// mu guards sent.
	mu      sync.Mutex
	sent    []queue.Message
	started []startedRun
}

// startedRun is one call of the starter.
type startedRun struct {
	automation string
	event      *event.Event
}

func newWorld(t testing.TB, edits ...func(*world, *automation.Config)) *world {
	t.Helper()
	ctx, db, w := t.Context(), opentest.SQLite(t), &world{now: start}
	clock := func() time.Time { return w.now }
	tell := func(c *feed.Change) { w.untold = append(w.untold, c) }
	runs, err := sqlitestore.NewRuns(ctx, db, sqlitestore.RunsOptions{Now: clock})
	must(t, err)
	entities, err := sqlitestore.NewCatalog(ctx, db)
	must(t, err)
	w.actions, err = sqlitestore.NewActions(ctx, db)
	must(t, err)
	w.entries, err = sqlitestore.NewAudit(ctx, db, 0, clock)
	must(t, err)
	w.runs, w.catalog = &tellingRuns{runs, tell}, &telling{entities, tell}
	w.service = catalog.NewService(w.catalog, clock)
	reader, log := catalog.NewReader(w.catalog, clock), slog.New(slog.NewJSONHandler(&w.log, nil))
	cache := action.NewCache(w.actions)
	judge := permission.New(permission.Config{Catalog: reader})
	key, err := secret.NewKey("one", make([]byte, secret.KeySize))
	must(t, err)
	w.trigger = trigger.New(trigger.Config{
		Secrets: vault{"TOKEN": hidden}, Sealer: secret.NewSealer(secret.Ring{key}),
		Actions: cache, Entities: reader, Permissions: judge, Approvers: judge, Users: directory.New(reader, "org_1"), Runs: w.runs, Sender: w,
		Accepter: &trigger.StoreAndSend{Store: w.runs, Sender: w, Log: log}, OrgID: "org_1", Log: log, Now: clock,
		Configured: func(name string) bool {
			return name == invocation.BackendWebhook || name == invocation.BackendUpsertEntity
		},
		NewID: func(now time.Time) string { w.ids++; return run.NewID(now)[:10] + fmt.Sprintf("%08d", w.ids) },
	})
	w.approval = approval.New(approval.Config{Runs: w.runs, Send: w, Configured: func(string) bool { return true }, Log: log, Now: clock})
	w.upserts = upsertentity.New(upsertentity.Config{Entities: w.service, BaseURL: func() string { return "https://longshore.example" }})
	c := automation.Config{Actions: cache, Entities: reader, Starter: w, OrgID: "org_1", Log: log}
	for _, edit := range edits {
		edit(w, &c)
	}
	w.Automation = automation.New(c)
	for _, text := range []string{
		`{"identifier":"owner","title":"Owner","schema":{"properties":{"n":{"type":"number"}}}}`,
		`{"identifier":"service","title":"Service","schema":{"properties":{"n":{"type":"number"},"tier":{"type":"string"},"ends":{"type":"string","format":"timer"}}},
			"relations":{"owner":{"target":"owner","required":false,"many":false}},"calculationProperties":{"twice":{"type":"number","calculation":".properties.n * 2"}}}`,
	} {
		_, err := w.service.CreateBlueprint(ctx, json.RawMessage(text), false, w.machine())
		must(t, err)
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hidden is the value of the secret TOKEN.
const hidden = "tok-en_1234567890"

// vault has secrets.
type vault map[string]string

func (v vault) Values(_ context.Context, names []string, _ bool) (values []organization.Value, err error) {
	for _, name := range names {
		values = append(values, organization.Value{Name: name, Text: secret.NewText(v[name])})
	}
	return values, nil
}

// Send implements queue.Sender.
func (w *world) Send(_ context.Context, _ string, m queue.Message, _ time.Duration, _ string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, m)
	return nil
}

// StartEvent implements automation.Starter.
func (w *world) StartEvent(ctx context.Context, e *event.Event, entry *action.Entry) error {
	w.started = append(w.started, startedRun{entry.Record.Identifier, e})
	return w.trigger.StartEvent(ctx, e, entry)
}

func (w *world) machine() audit.Author {
	return audit.Author{ID: "client", Origin: run.SourceAPI, At: w.now}
}

func (w *world) ada() audit.Author {
	return audit.Author{ID: "usr_ada", Email: "ada@example.com", Origin: run.SourceUI, At: w.now}
}

// define stores a definition; its internal id is made of its identifier.
func (w *world) define(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		d, err := action.Parse(json.RawMessage(text))
		if err != nil {
			t.Fatalf("parse %s: %v", text, err)
		}
		must(t, w.actions.Create(t.Context(), &action.Record{
			Identifier: d.Identifier, ID: "action_" + d.Identifier, Definition: json.RawMessage(text),
			CreatedAt: w.now, UpdatedAt: w.now, CreatedBy: "client", UpdatedBy: "client",
		}))
	}
}

const hook = `{"type":"WEBHOOK","url":"https://example.com"}`

// on is an automation with an event's members and a method; condition is that of the trigger, or empty.
func on(identifier, members, method, condition string) string {
	if condition != "" {
		condition = `,"condition":` + condition
	}
	return fmt.Sprintf(`{"identifier":%q,"trigger":{"type":"automation","event":{%s}%s},"invocationMethod":%s}`, identifier, members, condition, method)
}

func onEntity(identifier, kind string) string {
	return on(identifier, `"type":"`+kind+`","blueprintIdentifier":"service"`, hook, "")
}

// jq is a condition of expressions.
func jq(combinator string, expressions ...string) string {
	text, err := json.Marshal(map[string]any{"type": "JQ", "expressions": append([]string{}, expressions...), "combinator": combinator})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (w *world) create(t testing.TB, text string, by audit.Author) *catalog.Entity {
	t.Helper()
	saved, err := w.service.CreateEntity(t.Context(), "service", json.RawMessage(text), catalog.EntityWrite{By: by})
	if err != nil {
		t.Fatalf("create entity: %v", err)
	}
	return saved.Entity
}

func (w *world) patch(t testing.TB, identifier, text string, by audit.Author) {
	t.Helper()
	if _, err := w.service.PatchEntity(t.Context(), "service", identifier, json.RawMessage(text), catalog.EntityWrite{By: by}); err != nil {
		t.Fatalf("patch entity: %v", err)
	}
}

// run starts an action as the machine.
func (w *world) run(t testing.TB, identifier string) string {
	t.Helper()
	started, err := w.trigger.Start(t.Context(), trigger.Request{Caller: identity.Caller{OrgID: "org_1", Machine: true, ID: "client"}, Action: identifier})
	if err != nil {
		t.Fatalf("start run: %v", err)
	}
	return started.Record.ID
}

// tell tells what has changed, once.
func (w *world) tell(t testing.TB) {
	t.Helper()
	for len(w.untold) > 0 {
		c := w.untold[0]
		w.untold = w.untold[1:]
		if err := w.Handle(t.Context(), c); err != nil {
			t.Fatalf("handle %+v: %v", c, err)
		}
	}
}

// settle tells what has changed and carries out the upserts that are sent, until nothing is left.
func (w *world) settle(t testing.TB) {
	t.Helper()
	for rounds := 0; len(w.untold)+len(w.sent) > 0; rounds++ {
		if rounds > 100 {
			t.Fatal("it does not come to an end")
		}
		w.tell(t)
		for _, m := range w.sent {
			w.deliver(t, m.PK)
		}
		w.sent = nil
	}
}

// deliver carries out a run that upserts; a webhook's succeeds.
func (w *world) deliver(t testing.TB, id string) {
	t.Helper()
	if run.IsNotice(id) {
		return
	}
	w.now = w.now.Add(time.Second)
	record, err := w.runs.Read(t.Context(), id)
	must(t, err)
	outcome := backend.Outcome{Verdict: run.Succeed}
	if record.Invocation.Backend == invocation.BackendUpsertEntity {
		outcome = w.upserts.Call(t.Context(), backend.Call{RunID: id, Invocation: record.Invocation, By: record.Author(w.now)})
	}
	_, err = w.runs.Update(t.Context(), id, func(r *run.Run) (*run.Write, error) {
		if _, err := r.Claim(w.now, r.Generation, "owner", time.Minute); err != nil {
			return nil, err
		}
		return &run.Write{}, r.Settle(w.now, r.Generation, "owner", time.Hour, run.Outcome{Verdict: outcome.Verdict, Error: outcome.Error, Link: outcome.Link})
	})
	must(t, err)
}

// names are the automations that were started, in order.
func (w *world) names() []string {
	names := []string{}
	for _, s := range w.started {
		names = append(names, s.automation)
	}
	return names
}

// automatic returns the runs of automations, oldest first.
func (w *world) automatic(t testing.TB) []*run.Record {
	t.Helper()
	page, err := w.runs.List(t.Context(), run.Filter{Sources: []string{run.SourceAutomation}, Limit: 1000})
	must(t, err)
	slices.Reverse(page.Runs)
	return page.Runs
}
