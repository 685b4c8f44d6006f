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
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/emulator"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
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

func (m *mortal) CreateEntity(ctx context.Context, e *catalog.Entity, edges []catalog.Edge) error {
	return m.write(func() error { return m.Store.CreateEntity(ctx, e, edges) })
}

func (m *mortal) ReplaceEntity(ctx context.Context, e *catalog.Entity, edges, stale []catalog.Edge) error {
	return m.write(func() error { return m.Store.ReplaceEntity(ctx, e, edges, stale) })
}

func (m *mortal) DeleteEntity(ctx context.Context, e *catalog.Entity, edges []catalog.Edge, by catalog.Author) error {
	return m.write(func() error { return m.Store.DeleteEntity(ctx, e, edges, by) })
}

func (m *mortal) ReplaceBlueprint(ctx context.Context, identifier string, b *catalog.Blueprint) error {
	return m.write(func() error { return m.Store.ReplaceBlueprint(ctx, identifier, b) })
}

func (m *mortal) DeleteBlueprint(ctx context.Context, b *catalog.Blueprint, by catalog.Author) error {
	return m.write(func() error { return m.Store.DeleteBlueprint(ctx, b, by) })
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

// state is what is stored, in a few words: blueprints, a mark behind those that are being deleted, and
// entities with what they relate to.
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

// changes are what goes on in slices, and what is stored when it has ended.
var changes = map[string]struct {
	do   func(ctx context.Context, s *catalog.Service) error
	want string
}{
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
	"an empty blueprint goes": {
		func(ctx context.Context, s *catalog.Service) error { return s.DeleteBlueprint(ctx, "empty", by()) },
		"service " + services(func(i int) string { return ">shop" + uses(i) }) + " system other shop",
	},
}

func TestSlices(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener, _ int) {
		for name, c := range changes {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newHarbour(t, open)
				if err := c.do(t.Context(), h.service(h.store)); err != nil {
					t.Fatal(err)
				}
				h.deliver()
				if diff := cmp.Diff(c.want, h.state()); diff != "" {
					t.Errorf("state (-want +got):\n%s", diff)
				}
				h.sweep()
			})
		}
	})
}

// A process may die after every write, in the request or in a slice: after the next sweep the change has
// been made as a whole, or nothing of it has; and nothing that was answered is lost.
func TestSlicesOutliveTheProcess(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener, every int) {
		for name, c := range changes {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				died := true
				for point := 1; died; point += every {
					h := newHarbour(t, open)
					before := h.state()
					m := &mortal{Store: h.store}
					m.left.Store(int64(point))
					s := h.service(m)
					err := c.do(t.Context(), s)
					accepted := err == nil
					for messages := h.next(); err == nil && len(messages) > 0; messages = h.next() {
						for _, message := range messages {
							_, err = s.Continue(t.Context(), message.PK, message.Generation)
						}
					}
					died = m.left.Load() <= 0
					h.sweep()
					got := h.state()
					if got != c.want && (accepted || got != before) {
						t.Fatalf("died at write %d (accepted: %v, error %v):\n got %s\nwant %s\n  or %s", point, accepted, err, got, c.want, before)
					}
				}
			})
		}
	})
}

// A slice that two processes carry out at once, and one whose message comes again, do no harm.
func TestSliceTwiceAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener, _ int) {
		for name, c := range changes {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newHarbour(t, open)
				if err := c.do(t.Context(), h.service(h.store)); err != nil {
					t.Fatal(err)
				}
				asked := map[queue.Late]int{}
				var first []queue.Late
				for messages := h.next(); len(messages) > 0; messages = h.next() {
					var all sync.WaitGroup
					for _, m := range messages {
						asked[m]++
						first = append(first, m)
						for range 2 {
							all.Go(func() {
								if _, err := h.service(h.store).Continue(t.Context(), m.PK, m.Generation); err != nil {
									t.Errorf("slice: %v", err)
								}
							})
						}
					}
					all.Wait()
				}
				for m, n := range asked {
					if n != 1 {
						t.Errorf("slice %d was asked for %d times, want once", m.Generation, n)
					}
				}
				if diff := cmp.Diff(c.want, h.state()); diff != "" {
					t.Errorf("state (-want +got):\n%s", diff)
				}
				for _, m := range first {
					if done, err := h.service(h.store).Continue(t.Context(), m.PK, m.Generation); done || err != nil {
						t.Errorf("an old message: done %v, error %v", done, err)
					}
				}
			})
		}
	})
}

// shown returns a member of an entity as it is answered.
func (h *harbour) shown(s *catalog.Service, blueprint, identifier, member string) string {
	h.t.Helper()
	k, e, err := s.Entity(h.t.Context(), blueprint, identifier)
	if err != nil {
		h.t.Fatal(err)
	}
	views, err := s.View(h.t.Context(), k, []*catalog.Entity{e}, catalog.Selection{})
	if err != nil {
		h.t.Fatal(err)
	}
	var view map[string]json.RawMessage
	if err := json.Unmarshal(views[0], &view); err != nil {
		h.t.Fatal(err)
	}
	return string(view[member])
}

// found returns the identifiers that a search yields.
func (h *harbour) found(s *catalog.Service, text string) []string {
	h.t.Helper()
	rules, err := jqtemplate.Decode([]byte(text))
	if err != nil {
		h.t.Fatal(err)
	}
	search, err := catalog.ParseSearch(rules, "", catalog.SearchOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	found, err := s.Find(h.t.Context(), catalog.Find{Search: search, Limit: 100})
	if err != nil {
		h.t.Fatal(err)
	}
	names := []string{}
	for _, v := range found.Views {
		var e struct{ Identifier string }
		if err := json.Unmarshal(v, &e); err != nil {
			h.t.Fatal(err)
		}
		names = append(names, e.Identifier)
	}
	slices.Sort(names)
	return names
}

// While slices are to come, readers see what will be.
func TestReadersBetweenSlices(t *testing.T) {
	t.Parallel()
	const toShop = `{"combinator":"and","rules":[{"property":"$blueprint","operator":"=","value":"service"},{"operator":"relatedTo","blueprint":"system","value":"%s","direction":"upstream"}]}`
	all := strings.Split(services(func(int) string { return "" }), " ")
	onBoth(t, func(t *testing.T, open opener, _ int) {
		for name, c := range map[string]struct {
			change string
			// shows is the relation that every service has.
			shows                  string
			related, relatedBefore []string
		}{
			"deleted": {"an entity goes, relations to it are emptied", `null`, nil, []string{}},
			"renamed": {"an entity is renamed, relations follow", `"store"`, all, []string{}},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newHarbour(t, open)
				other := h.service(h.store)
				h.shown(other, "service", "s0", "relations")
				if err := changes[c.change].do(t.Context(), h.service(h.store)); err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(h.state(), ">shop") {
					t.Fatal("there is nothing left for later slices")
				}
				if _, _, err := other.Entity(t.Context(), "system", "shop"); fault.KindOf(err) != fault.NotFound {
					t.Errorf("got error %v, want the entity to be gone", err)
				}
				check := func(when string) {
					t.Helper()
					for i := range berths {
						used := `[]`
						if i > 0 {
							used = fmt.Sprintf(`["s%d"]`, i-1)
						}
						want := `{"system":` + c.shows + `,"uses":` + used + `}`
						if got := h.shown(other, "service", fmt.Sprintf("s%d", i), "relations"); got != want {
							t.Errorf("%s: s%d has %s, want %s", when, i, got, want)
						}
					}
					if got := h.found(other, fmt.Sprintf(toShop, "shop")); !slices.Equal(got, c.relatedBefore) {
						t.Errorf("%s: %v relate to the old identifier, want %v", when, got, c.relatedBefore)
					}
					if c.related != nil {
						if diff := cmp.Diff(c.related, h.found(other, fmt.Sprintf(toShop, "store"))); diff != "" {
							t.Errorf("%s: related to the new identifier (-want +got):\n%s", when, diff)
						}
					}
				}
				check("between slices")
				// A change of something else is not refused because of what is gone.
				for i := range berths {
					_, err := other.PatchEntity(t.Context(), "service", fmt.Sprintf("s%d", i), json.RawMessage(`{"properties":{"n":1}}`), catalog.EntityWrite{By: by()})
					if err != nil {
						t.Errorf("patch: %v", err)
					}
				}
				check("after changes")
				// The identifier is free again once nothing names the old one.
				body := json.RawMessage(`{"identifier":"shop"}`)
				if _, err := other.CreateEntity(t.Context(), "system", body, catalog.EntityWrite{By: by()}); !fault.Is(err, "migration_running") {
					t.Errorf("create: got error %v, want migration_running", err)
				}
				h.deliver()
				check("at the end")
				if _, err := other.CreateEntity(t.Context(), "system", body, catalog.EntityWrite{By: by()}); err != nil {
					t.Errorf("create: %v", err)
				}
			})
		}
	})
}

// An entity that is written while its blueprint is being deleted is refused, or keeps the blueprint, or
// goes with it: none is answered and then cannot be seen.
func TestWritesWhileABlueprintIsDeleted(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener, every int) {
		for name, remove := range map[string]func(context.Context, *catalog.Service) error{
			"blueprint": func(ctx context.Context, s *catalog.Service) error { return s.DeleteBlueprint(ctx, "empty", by()) },
			"all entities": func(ctx context.Context, s *catalog.Service) error {
				_, err := s.DeleteAllEntities(ctx, "empty", true, by())
				return err
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for range 14 / every {
					h := newHarbour(t, open)
					b, err := h.store.Blueprint(t.Context(), "empty")
					if err != nil {
						t.Fatal(err)
					}
					var all sync.WaitGroup
					var written atomic.Int64
					for i := range 8 {
						s := h.service(h.store)
						all.Go(func() {
							_, err := s.CreateEntity(t.Context(), "empty", json.RawMessage(fmt.Sprintf(`{"identifier":"e%d"}`, i)), catalog.EntityWrite{By: by()})
							switch {
							case err == nil:
								written.Add(1)
							case !fault.Is(err, "blueprint_deleting") && fault.KindOf(err) != fault.NotFound:
								t.Errorf("create: %v", err)
							}
						})
					}
					var removed error
					all.Go(func() { removed = remove(t.Context(), h.service(h.store)) })
					all.Wait()
					h.deliver()
					h.sweep()
					page, err := h.store.List(t.Context(), b.ID, "", 100)
					if err != nil {
						t.Fatal(err)
					}
					_, err = h.store.Blueprint(t.Context(), "empty")
					switch {
					case absentOf(err) && len(page.Entities) > 0:
						t.Fatalf("the blueprint is gone, and %d of its entities are not", len(page.Entities))
					case absentOf(err) && name == "blueprint" && written.Load() > 0:
						t.Fatalf("%d entities were written and went with a blueprint that was to be empty", written.Load())
					case !absentOf(err) && !fault.Is(removed, "has_dependents"):
						t.Fatalf("the blueprint is there, its deletion answered %v", removed)
					case !absentOf(err) && len(page.Entities) != int(written.Load()):
						t.Fatalf("%d entities, %d were written", len(page.Entities), written.Load())
					}
				}
			})
		}
	})
}

func absentOf(err error) bool { return fault.KindOf(err) == fault.NotFound }

// What is refused is refused before anything is deleted or marked.
func TestRefusedDeletions(t *testing.T) {
	t.Parallel()
	h := newHarbour(t, onSQLite)
	s := h.service(h.store)
	if _, err := s.CreateBlueprint(t.Context(), json.RawMessage(`{"identifier":"bound","title":"B","schema":{"properties":{}},"relations":{"service":{"target":"service","required":true}}}`), true, by()); err != nil {
		t.Fatal(err)
	}
	h.create(s, "bound", `{"identifier":"b","relations":{"service":"s7"}}`)
	h.create(s, "service", `{"identifier":"x","relations":{"uses":["s7"]}}`)
	for i := range 6 {
		h.create(s, "service", fmt.Sprintf(`{"identifier":"y%d","relations":{"uses":["s7"]}}`, i))
	}
	before := h.state()
	all := func(blueprint string, whole bool) error {
		_, err := s.DeleteAllEntities(t.Context(), blueprint, whole, by())
		return err
	}
	for name, c := range map[string]struct {
		err         error
		word, holds string
	}{
		"required relations to entities":     {all("service", false), "has_dependents", "bound/b"},
		"a blueprint that others relate to":  {all("service", true), "has_dependents", "bound"},
		"a built-in blueprint":               {all("_user", true), "system_blueprint", "_user"},
		"a blueprint with entities":          {s.DeleteBlueprint(t.Context(), "bound", by()), "has_dependents", "b"},
		"an entity of many, one is required": {s.DeleteEntity(t.Context(), "service", "s7", false, by()), "has_dependents", "bound/b"},
	} {
		if !fault.Is(c.err, c.word) || !strings.Contains(c.err.Error(), c.holds) {
			t.Errorf("%s: got error %v, want %s of %s", name, c.err, c.word, c.holds)
		}
	}
	if err := all("none", false); !absentOf(err) {
		t.Errorf("no blueprint: got error %v", err)
	}
	h.sweep()
	if diff := cmp.Diff(before, h.state()); diff != "" {
		t.Errorf("state (-before +after):\n%s", diff)
	}
	if err := all("_user", false); err != nil {
		t.Errorf("entities of a built-in blueprint: %v", err)
	}
}

// From the mark on nothing is written to a blueprint that is being deleted, and nothing comes to need it.
func TestBlueprintBeingDeleted(t *testing.T) {
	t.Parallel()
	h := newHarbour(t, onSQLite)
	s := h.service(h.store)
	m, err := s.DeleteAllEntities(t.Context(), "service", true, by())
	if err != nil {
		t.Fatal(err)
	}
	if m.Status != catalog.MigrationRunning || m.Deleted < 4 || m.Deleted > 6 {
		t.Fatalf("after the first slice: %s, %d deleted", m.Status, m.Deleted)
	}
	page, err := h.store.List(t.Context(), m.Blueprint, "", 100)
	if err != nil || len(page.Entities) == 0 {
		t.Fatalf("%d entities are left, error %v", len(page.Entities), err)
	}
	left := page.Entities[0].Identifier
	w := catalog.EntityWrite{By: by()}
	_, post := s.CreateEntity(t.Context(), "service", json.RawMessage(`{}`), w)
	_, patch := s.PatchEntity(t.Context(), "service", left, json.RawMessage(`{"properties":{"n":2}}`), w)
	_, put := s.ReplaceEntity(t.Context(), "service", left, json.RawMessage(`{"identifier":"new"}`), w)
	_, again := s.DeleteAllEntities(t.Context(), "service", true, by())
	for name, err := range map[string]error{"POST": post, "PATCH": patch, "PUT": put, "again": again, "DELETE": s.DeleteBlueprint(t.Context(), "service", by())} {
		if !fault.Is(err, "blueprint_deleting") {
			t.Errorf("%s: got error %v, want blueprint_deleting", name, err)
		}
	}
	_, err = s.CreateBlueprint(t.Context(), json.RawMessage(`{"identifier":"x","title":"X","schema":{"properties":{}},"relations":{"a":{"target":"service"}}}`), true, by())
	if fault.KindOf(err) != fault.Invalid {
		t.Errorf("a relation to it: got error %v", err)
	}
	h.deliver()
	if m, err = s.Migration(t.Context(), m.ID); err != nil || m.Status != catalog.MigrationCompleted || m.Deleted != berths {
		t.Errorf("got %+v, error %v, want %d deleted", m, err, berths)
	}
}

// A required relation that is found late keeps its entity, and the migration says so; an entity that is
// written meanwhile stays.
func TestEntityThatHasToStay(t *testing.T) {
	t.Parallel()
	h := newHarbour(t, onSQLite)
	s := h.service(h.store)
	m, err := s.DeleteAllEntities(t.Context(), "service", false, by())
	if err != nil {
		t.Fatal(err)
	}
	page, err := h.store.List(t.Context(), m.Blueprint, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	last := page.Entities[len(page.Entities)-1].Identifier
	if _, err := s.CreateBlueprint(t.Context(), json.RawMessage(`{"identifier":"bound","title":"B","schema":{"properties":{}},"relations":{"service":{"target":"service","required":true}}}`), true, by()); err != nil {
		t.Fatal(err)
	}
	h.create(s, "bound", `{"identifier":"b","relations":{"service":"`+last+`"}}`)
	later := by()
	later.At = later.At.Add(time.Second)
	if _, err := s.CreateEntity(t.Context(), "service", json.RawMessage(`{"identifier":"zz","relations":{"uses":["`+last+`"]}}`), catalog.EntityWrite{By: later}); err != nil {
		t.Fatal(err)
	}
	h.deliver()
	if m, err = s.Migration(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	if m.Status != catalog.MigrationFailure || m.Failed != 1 || !strings.Contains(m.Error, "bound/b") {
		t.Errorf("got %+v", m)
	}
	for _, identifier := range []string{last, "zz"} {
		if _, _, err := s.Entity(t.Context(), "service", identifier); err != nil {
			t.Errorf("%s: %v", identifier, err)
		}
	}
}
