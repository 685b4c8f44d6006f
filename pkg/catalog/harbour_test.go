package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/emulator"
	"longshore/pkg/queue"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/sqlitestore"
)

// late is what the sweeper asks a store.
type late interface {
	DueMigrations(ctx context.Context, now time.Time, limit int) ([]queue.Late, error)
}

// opener opens an empty store.
type opener func(t testing.TB) (catalog.Store, late)

func onSQLite(t testing.TB) (catalog.Store, late) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "longshore.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s, err := sqlitestore.NewCatalog(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return s, s
}

var tables atomic.Int64

func onDynamoDB(t testing.TB) (catalog.Store, late) {
	t.Helper()
	client := dynamodb.NewFromConfig(emulator.Config(emulator.DynamoDB(t)))
	prefix := fmt.Sprintf("slices-%d-%d", time.Now().UnixNano(), tables.Add(1))
	if err := dynamostore.CreateTables(t.Context(), client, prefix+"-runs", prefix+"-catalog"); err != nil {
		t.Fatal(err)
	}
	return dynamocatalog.NewCatalog(client, prefix+"-catalog", time.Now), dynamostore.NewMigrations(client, prefix+"-catalog")
}

// onBoth runs a test on both stores. Every is 1 on SQLite; where each step takes longer, tests of many
// points take one in every so many.
func onBoth(t *testing.T, test func(t *testing.T, open opener, every int)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { t.Parallel(); test(t, onSQLite, 1) })
	t.Run("DynamoDB", func(t *testing.T) { t.Parallel(); test(t, onDynamoDB, 7) })
}

var errDied = errors.New("the process has died")

// mortal is a store of a process that dies after so many writes: the last of them comes through, though
// nobody is told so, and none after it; changes are not looked for any more either.
type mortal struct {
	catalog.Store
	left atomic.Int64
}

func (m *mortal) write(do func() error) error {
	switch left := m.left.Add(-1); {
	case left < 0:
		return errDied
	case left == 0:
		_ = do()
		return errDied
	}
	return do()
}

func (m *mortal) alive() error {
	if m.left.Load() <= 0 {
		return errDied
	}
	return nil
}

func (m *mortal) Stamp(ctx context.Context) (int64, error) {
	if err := m.alive(); err != nil {
		return 0, err
	}
	return m.Store.Stamp(ctx)
}

func (m *mortal) CreateEntity(ctx context.Context, e *catalog.Entity, edges []catalog.Edge, entries ...*audit.Entry) error {
	return m.write(func() error { return m.Store.CreateEntity(ctx, e, edges, entries...) })
}

func (m *mortal) ReplaceEntity(ctx context.Context, e *catalog.Entity, edges, stale []catalog.Edge, entries ...*audit.Entry) error {
	return m.write(func() error { return m.Store.ReplaceEntity(ctx, e, edges, stale, entries...) })
}

func (m *mortal) DeleteEntity(ctx context.Context, e *catalog.Entity, edges []catalog.Edge, by catalog.Author, entries ...*audit.Entry) error {
	return m.write(func() error { return m.Store.DeleteEntity(ctx, e, edges, by, entries...) })
}

func (m *mortal) ReplaceBlueprint(ctx context.Context, identifier string, b *catalog.Blueprint, entries ...*audit.Entry) error {
	return m.write(func() error { return m.Store.ReplaceBlueprint(ctx, identifier, b, entries...) })
}

func (m *mortal) DeleteBlueprint(ctx context.Context, b *catalog.Blueprint, by catalog.Author, entries ...*audit.Entry) error {
	return m.write(func() error { return m.Store.DeleteBlueprint(ctx, b, by, entries...) })
}

func (m *mortal) CreateMigration(ctx context.Context, g *catalog.Migration) error {
	return m.write(func() error { return m.Store.CreateMigration(ctx, g) })
}

func (m *mortal) UpdateMigration(ctx context.Context, g *catalog.Migration) error {
	return m.write(func() error { return m.Store.UpdateMigration(ctx, g) })
}

// harbour is a catalog whose slices are small: 9 services of one system, of which 4 are dealt with at once.
type harbour struct {
	t     *testing.T
	store catalog.Store
	late  late
	// sent are the slices that were asked for and not carried out yet.
	mu   sync.Mutex
	sent []queue.Late
}

const berths = 9

func by() catalog.Author {
	return catalog.Author{ID: "client_1", Origin: "API", At: time.Now().UTC().Truncate(time.Millisecond)}
}

func newHarbour(t *testing.T, open opener) *harbour {
	t.Helper()
	h := &harbour{t: t}
	h.store, h.late = open(t)
	s := h.service(h.store)
	for _, text := range []string{
		`{"identifier":"system","title":"System","schema":{"properties":{}}}`,
		`{"identifier":"service","title":"Service","schema":{"properties":{"n":{"type":"number"}}},"relations":{"system":{"target":"system"},"uses":{"target":"service","many":true}}}`,
		`{"identifier":"empty","title":"Empty","schema":{"properties":{}}}`,
	} {
		if _, err := s.CreateBlueprint(t.Context(), json.RawMessage(text), true, by()); err != nil {
			t.Fatal(err)
		}
	}
	h.create(s, "system", `{"identifier":"shop"}`)
	h.create(s, "system", `{"identifier":"other"}`)
	for i := range berths {
		uses := `[]`
		if i > 0 {
			uses = fmt.Sprintf(`["s%d"]`, i-1)
		}
		h.create(s, "service", fmt.Sprintf(`{"identifier":"s%d","relations":{"system":"shop","uses":%s}}`, i, uses))
	}
	return h
}

// service is a process over a store.
func (h *harbour) service(store catalog.Store) *catalog.Service {
	s := catalog.NewService(store, time.Now)
	s.SetSizes(4, 3, 4)
	s.OnSlice(func(_ context.Context, id string, n int) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.sent = append(h.sent, queue.Late{PK: id, Generation: n})
		return nil
	})
	return s
}

func (h *harbour) create(s *catalog.Service, blueprint, text string) {
	h.t.Helper()
	if _, err := s.CreateEntity(h.t.Context(), blueprint, json.RawMessage(text), catalog.EntityWrite{By: by()}); err != nil {
		h.t.Fatal(err)
	}
}

// next takes the messages that were sent.
func (h *harbour) next() []queue.Late {
	h.mu.Lock()
	defer h.mu.Unlock()
	sent := h.sent
	h.sent = nil
	return sent
}

// deliver carries out every slice that is asked for, until none is.
func (h *harbour) deliver() {
	h.t.Helper()
	s := h.service(h.store)
	for messages := h.next(); len(messages) > 0; messages = h.next() {
		for _, m := range messages {
			if _, err := s.Continue(h.t.Context(), m.PK, m.Generation); err != nil {
				h.t.Fatal(err)
			}
		}
	}
}

// sweep asks for what is due two minutes later, and carries it out.
func (h *harbour) sweep() {
	h.t.Helper()
	due, err := h.late.DueMigrations(h.t.Context(), time.Now().Add(2*time.Minute), 100)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	h.sent = due
	h.mu.Unlock()
	h.deliver()
	running, err := h.store.Migrations(h.t.Context())
	if err != nil || len(running) > 0 {
		h.t.Fatalf("%d migrations are running, error %v, want none", len(running), err)
	}
}

// state is what is stored, in a few words: blueprints, a mark behind those that are being deleted and those that
// relate to one which is not there, and entities with what they relate to.
func (h *harbour) state() string {
	h.t.Helper()
	blueprints, err := h.store.Blueprints(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	var words []string
	for _, b := range blueprints {
		if catalog.IsSystem(b.Identifier) {
			continue
		}
		word := b.Identifier
		if b.Deleting {
			word += "!"
		}
		d, err := catalog.ParseBlueprint(b.Definition)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, r := range d.Relations {
			if !slices.ContainsFunc(blueprints, func(b *catalog.Blueprint) bool { return b.Identifier == r.Target }) {
				word += "?"
			}
		}
		words = append(words, word)
		page, err := h.store.List(h.t.Context(), b.ID, "", 1000)
		if err != nil {
			h.t.Fatal(err)
		}
		slices.SortFunc(page.Entities, func(a, b *catalog.Entity) int { return strings.Compare(a.Identifier, b.Identifier) })
		for _, e := range page.Entities {
			var c struct {
				Relations struct {
					System *string
					Uses   []string
				}
			}
			if err := json.Unmarshal(e.Content, &c); err != nil {
				h.t.Fatal(err)
			}
			word := e.Identifier
			if c.Relations.System != nil {
				word += ">" + *c.Relations.System
			}
			words = append(words, word+strings.Join(c.Relations.Uses, ","))
		}
	}
	return strings.Join(words, " ")
}

// services names all services with what stands behind each.
func services(behind func(i int) string) string {
	var words []string
	for i := range berths {
		words = append(words, fmt.Sprintf("s%d", i)+behind(i))
	}
	return strings.Join(words, " ")
}

func uses(i int) string {
	if i == 0 {
		return ""
	}
	return fmt.Sprintf("s%d", i-1)
}

// change is a change that goes on in slices, and the state that it leads to.
type change struct {
	do   func(ctx context.Context, s *catalog.Service) error
	want string
}

// changes are what goes on in slices, and what is stored when it has ended.
var changes = map[string]change{
	"an entity goes, relations to it are emptied": {
		func(ctx context.Context, s *catalog.Service) error {
			return s.DeleteEntity(ctx, "system", "shop", false, by())
		}, "empty service " + services(uses) + " system other",
	},
	"an entity goes with its dependents": {
		func(ctx context.Context, s *catalog.Service) error {
			return s.DeleteEntity(ctx, "system", "shop", true, by())
		}, "empty service system other",
	},
	"two entities go with their dependents": {
		func(ctx context.Context, s *catalog.Service) error {
			_, err := s.DeleteEntities(ctx, "service", []string{"s0", "s1"}, true, by())
			return err
		}, "empty service system other shop",
	},
	"an entity is renamed, relations follow": {
		func(ctx context.Context, s *catalog.Service) error {
			_, err := s.ReplaceEntity(ctx, "system", "shop", json.RawMessage(`{"identifier":"store"}`), catalog.EntityWrite{By: by()})
			return err
		}, "empty service " + services(func(i int) string { return ">store" + uses(i) }) + " system other store",
	},
	"all entities go": {
		func(ctx context.Context, s *catalog.Service) error {
			_, err := s.DeleteAllEntities(ctx, "service", false, by())
			return err
		}, "empty service system other shop",
	},
	"all entities go, relations to them are emptied": {
		func(ctx context.Context, s *catalog.Service) error {
			_, err := s.DeleteAllEntities(ctx, "system", false, by())
			return err
		}, "empty service " + services(uses) + " system",
	},
	"all entities go and the blueprint": {
		func(ctx context.Context, s *catalog.Service) error {
			_, err := s.DeleteAllEntities(ctx, "service", true, by())
			return err
		}, "empty system other shop",
	},
	"a blueprint is renamed, relations follow": {
		func(ctx context.Context, s *catalog.Service) error {
			_, err := s.PatchBlueprint(ctx, "system", json.RawMessage(`{"identifier":"platform"}`), by())
			return err
		}, "empty platform other shop service " + services(func(i int) string { return ">shop" + uses(i) }),
	},
	"an empty blueprint goes": {
		func(ctx context.Context, s *catalog.Service) error { return s.DeleteBlueprint(ctx, "empty", by()) },
		"service " + services(func(i int) string { return ">shop" + uses(i) }) + " system other shop",
	},
}
