package upsertentity_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/backend"
	"longshore/pkg/backend/upsertentity"
	"longshore/pkg/catalog"
	"longshore/pkg/dispatch"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/secret"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
)

// base is the address of the API in links.
const base = "https://longshore.example/port/"

// world is a catalog with two blueprints, and runs that write to it.
type world struct {
	entities *catalog.Service
	log      audit.Store
	runs     run.Store
	backend  *upsertentity.Backend
	sealer   *secret.Sealer

	mu   sync.Mutex
	now  time.Time
	sent []queue.Message
}

// onStores runs a test over each kind of store.
func onStores(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		db, w := opentest.SQLite(t), newWorld()
		store, err := sqlitestore.NewCatalog(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		if w.log, err = sqlitestore.NewAudit(t.Context(), db, 0, w.clock); err != nil {
			t.Fatal(err)
		}
		if w.runs, err = sqlitestore.NewRuns(t.Context(), db, sqlitestore.RunsOptions{}); err != nil {
			t.Fatal(err)
		}
		test(t, w.open(t, store))
	})
	t.Run("DynamoDB", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		client, runs, table := opentest.DynamoDB(t)
		w.log = dynamocatalog.NewAudit(client, table, audit.DefaultRetention, w.clock)
		w.runs = dynamostore.NewRuns(client, runs, 365*24*time.Hour, w.clock)
		test(t, w.open(t, dynamocatalog.NewCatalog(client, table, w.clock)))
	})
}

func newWorld() *world { return &world{now: time.Now().UTC().Truncate(time.Millisecond)} }

func (w *world) open(t *testing.T, store catalog.Store) *world {
	t.Helper()
	w.entities = catalog.NewService(store, w.clock)
	w.backend = upsertentity.New(upsertentity.Config{Entities: w.entities, BaseURL: func() string { return base }})
	key, err := secret.NewKey("one", make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	w.sealer = secret.NewSealer(secret.Ring{key})
	by := catalog.Author{ID: "client_1", Origin: "API", At: w.clock()}
	for _, text := range []string{
		`{"identifier":"system","title":"System","schema":{"properties":{}}}`,
		`{"identifier":"org/service","title":"Service","schema":{"properties":{"tier":{"type":"string","enum":["gold","silver"]},"n":{"type":"number"},
			"x":{"type":"number"}},"required":["tier"]},"relations":{"system":{"target":"system","required":false,"many":false}}}`,
	} {
		if _, err := w.entities.CreateBlueprint(t.Context(), json.RawMessage(text), false, by); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.entities.CreateEntity(t.Context(), "system", json.RawMessage(`{"identifier":"shop"}`), catalog.EntityWrite{By: by}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Send implements queue.Sender.
func (w *world) Send(_ context.Context, _ string, m queue.Message, _ time.Duration, _ string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, m)
	return nil
}

// upsert is an invocation that writes an entity of org/service.
func upsert(mapping string) *invocation.Invocation {
	return &invocation.Invocation{
		V: invocation.Version, Type: "UPSERT_ENTITY", Backend: invocation.BackendUpsertEntity,
		Payload: json.RawMessage(`{"type":"UPSERT_ENTITY","blueprintIdentifier":"org/service","mapping":` + mapping + `}`),
	}
}

// start records a run of a user; with a secret the invocation is sealed, and stored as masked.
func (w *world) start(t *testing.T, i *invocation.Invocation, secrets ...string) *run.Run {
	t.Helper()
	r := &run.Run{
		ID: run.NewID(w.clock()), Backend: invocation.BackendUpsertEntity, Action: run.Action{Identifier: "act"},
		UserID: "user_ada", UserEmail: "ada@example.com", CreatedBy: "user_ada", Source: run.SourceUI,
	}
	r.Start(w.clock(), "")
	body := &run.Body{Invocation: i}
	if len(secrets) > 0 {
		sealed, err := invocation.Seal(t.Context(), w.sealer, r.ID, i, secrets)
		if err != nil {
			t.Fatal(err)
		}
		body = &run.Body{Secrets: true, Sealed: sealed, Invocation: upsert(`"******"`)}
	}
	if err := w.runs.Create(t.Context(), r, body); err != nil {
		t.Fatal(err)
	}
	return r
}

// dispatcher is one of the backend, or of another.
func (w *world) dispatcher(b backend.Backend) *dispatch.Dispatcher {
	log := slog.New(slog.DiscardHandler)
	return dispatch.New(dispatch.Config{
		Backend: b, Name: invocation.BackendUpsertEntity, Runs: w.runs, Send: w, Sealer: w.sealer, Log: log, Now: w.clock,
		Settler: &dispatch.StoreAndSend{Runs: w.runs, Send: w, Log: log},
	})
}

// deliver hands the message of a run to a dispatcher, and reports whether it comes again.
func (w *world) deliver(t *testing.T, d *dispatch.Dispatcher, r *run.Run) (again bool) {
	t.Helper()
	text, err := queue.Encode(queue.Message{PK: r.ID, Generation: r.Generation, Kind: queue.KindRun})
	if err != nil {
		t.Fatal(err)
	}
	return len(d.Handle(t.Context(), []queue.Received{{ID: "m", Receipt: "r", Body: string(text), Count: 1}})) > 0
}

func (w *world) read(t *testing.T, r *run.Run) *run.Record {
	t.Helper()
	got, err := w.runs.Read(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (w *world) lines(t *testing.T, r *run.Run) (lines []string) {
	t.Helper()
	logs, err := w.runs.Logs(t.Context(), r.ID, run.LogQuery{Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range logs {
		lines = append(lines, l.Message)
	}
	return lines
}

// all returns the identifiers of the entities of org/service.
func (w *world) all(t *testing.T) (identifiers []string) {
	t.Helper()
	found, err := w.entities.Find(t.Context(), catalog.Find{Blueprint: "org/service", Limit: 100, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found.Views {
		var view struct{ Identifier string }
		if err := json.Unmarshal(e, &view); err != nil {
			t.Fatal(err)
		}
		identifiers = append(identifiers, view.Identifier)
	}
	return identifiers
}

// content is what is stored of an entity of org/service, and the entity.
func (w *world) content(t *testing.T, identifier string) (string, *catalog.Entity) {
	t.Helper()
	_, e, err := w.entities.Entity(t.Context(), "org/service", identifier)
	if err != nil {
		t.Fatal(err)
	}
	return string(e.Content), e
}
