package sqlitestore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
	"longshore/pkg/store/storetest"
)

// catalogStore is a Catalog whose tombstones can be read.
type catalogStore struct {
	*sqlitestore.Catalog
	db *sqlite.DB
}

var (
	_ storetest.Tombstones     = catalogStore{}
	_ storetest.LateMigrations = catalogStore{}
	_ storetest.Clocked        = catalogStore{}
)

func (s catalogStore) EntityDeletedBy(t *testing.T, key catalog.Key) catalog.Author {
	t.Helper()
	return s.deletedBy(t, "entities WHERE blueprint = ? AND identifier = ?", key.Blueprint, key.Identifier)
}

func (s catalogStore) BlueprintDeletedBy(t *testing.T, identifier string) catalog.Author {
	t.Helper()
	return s.deletedBy(t, "blueprints WHERE identifier = ?", identifier)
}

func (s catalogStore) deletedBy(t *testing.T, from string, args ...any) (by catalog.Author) {
	t.Helper()
	var at int64
	var cause string
	if err := s.db.Scan(t.Context(), "SELECT deleted_by, deleted_email, deleted_origin, deleted_run, deleted_cause, deleted_at FROM "+from+
		" AND deleted_at > 0 ORDER BY rev DESC", args, &by.ID, &by.Email, &by.Origin, &by.RunID, &cause, &at); err != nil {
		t.Fatalf("read what the deletion left: %v", err)
	}
	if cause != "" {
		if err := json.Unmarshal([]byte(cause), &by.Cause); err != nil {
			t.Fatalf("read the cause of the deletion: %v", err)
		}
	}
	by.At = time.Unix(0, at).UTC()
	return by
}

func openCatalog(t testing.TB, db *sqlite.DB) *sqlitestore.Catalog {
	t.Helper()
	s, err := sqlitestore.NewCatalog(t.Context(), db)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	return s
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	storetest.Catalog(t, func(t *testing.T) catalog.Store {
		db := opentest.SQLite(t)
		return catalogStore{openCatalog(t, db), db}
	})
}

// Everything is read by an index and in its order; what was deleted is in none of those of the living.
func TestCatalogPlans(t *testing.T) {
	t.Parallel()
	db := opentest.SQLite(t)
	openCatalog(t, db)
	want := map[string][]string{
		"blueprint": {"SEARCH blueprints USING INDEX blueprints_living (identifier=? AND deleted_at=?)"},
		"entity":    {"SEARCH e USING INDEX entities_living (blueprint=? AND identifier=? AND deleted_at=?)"},
		"entities": {
			"SCAN k VIRTUAL TABLE INDEX 1:",
			"SEARCH e USING INDEX entities_living (blueprint=? AND identifier=? AND deleted_at=?)",
		},
		"list":  {"SEARCH e USING INDEX entities_living (blueprint=? AND identifier>?)"},
		"due":   {"SEARCH e USING INDEX entities_timer (timer_at>? AND timer_at<?)"},
		"count": {"SEARCH entities USING COVERING INDEX entities_living (blueprint=?)"},
		"edges": {"SEARCH edges USING PRIMARY KEY (target_blueprint=? AND target=? AND (relation,source_blueprint,source)>(?,?,?))"},
		"purge": {"SEARCH entities USING COVERING INDEX entities_deleted (deleted_at>? AND deleted_at<?)"},
	}
	if diff := cmp.Diff(want, sqlitestore.CatalogPlans(t, db)); diff != "" {
		t.Errorf("plans (-want +got):\n%s", diff)
	}
}

func entity(blueprint, identifier string) *catalog.Entity {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return &catalog.Entity{
		Key: catalog.Key{Blueprint: blueprint, Identifier: identifier}, ID: catalog.NewEntityID(),
		Content: json.RawMessage(`{"team":[]}`), CreatedAt: now, UpdatedAt: now,
	}
}

func createEntity(t testing.TB, s *sqlitestore.Catalog, e *catalog.Entity, edges ...catalog.Edge) *catalog.Entity {
	t.Helper()
	if err := s.CreateEntity(t.Context(), e, edges); err != nil {
		t.Fatalf("create entity: %v", err)
	}
	stored, err := s.Entity(t.Context(), e.Key)
	if err != nil {
		t.Fatalf("get entity: %v", err)
	}
	return stored
}

func createBlueprint(t testing.TB, s *sqlitestore.Catalog, identifier string) *catalog.Blueprint {
	t.Helper()
	if err := s.CreateBlueprint(t.Context(), &catalog.Blueprint{
		Identifier: identifier, ID: catalog.NewBlueprintID(), Definition: json.RawMessage(`{}`),
	}); err != nil {
		t.Fatalf("create blueprint: %v", err)
	}
	b, err := s.Blueprint(t.Context(), identifier)
	if err != nil {
		t.Fatalf("get blueprint: %v", err)
	}
	return b
}

// near is a context whose deadline is near, and never comes: a busy machine would miss it.
type near struct{ context.Context }

func (near) Deadline() (time.Time, bool) {
	return time.Now().Add(sqlitestore.NearDeadline - time.Millisecond), true
}

// A page whose caller's deadline is near ends, with as much as brings the list on.
func TestEntityPageEndsByTime(t *testing.T) {
	t.Parallel()
	s := openCatalog(t, opentest.SQLite(t))
	for i := range 3 {
		createEntity(t, s, entity("bp", fmt.Sprintf("e%d", i)))
	}
	var got []string
	from := ""
	for {
		page, err := s.List(near{t.Context()}, "bp", from, 10)
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if len(page.Entities) != 1 {
			t.Fatalf("a page of %d entities, want 1", len(page.Entities))
		}
		got = append(got, page.Entities[0].Identifier)
		if page.Next == "" {
			break
		}
		from = page.Next
	}
	if diff := cmp.Diff([]string{"e0", "e1", "e2"}, got); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

// A write that is refused leaves nothing, not even edges.
func TestRefusedEntityLeavesNoEdges(t *testing.T) {
	t.Parallel()
	db := opentest.SQLite(t)
	s := openCatalog(t, db)
	e := createEntity(t, s, entity("bp", "a"))
	edge := catalog.Edge{Source: e.Key, Relation: "uses", Target: e.Key}
	if err := s.CreateEntity(t.Context(), entity("bp", "a"), []catalog.Edge{edge}); !fault.Is(err, "identifier_taken") {
		t.Errorf("create: got error %v, want identifier_taken", err)
	}
	e.Rev--
	if err := s.ReplaceEntity(t.Context(), e, []catalog.Edge{edge}, nil); !fault.Is(err, "conflict") {
		t.Errorf("replace: got error %v, want conflict", err)
	}
	if got := count(t, db, "edges"); got != 0 {
		t.Errorf("%d edges, want none", got)
	}
}

// A key that JSON changes is not taken for another one.
func TestEntitiesOfUnusualKeys(t *testing.T) {
	t.Parallel()
	s := openCatalog(t, opentest.SQLite(t))
	for _, identifier := range []string{"a", "a\ufffd", `a"b\`, "a\u2028", "<a>"} {
		createEntity(t, s, entity("bp", identifier))
	}
	want := []string{`a"b\`, "a\u2028", "<a>"}
	keys := []catalog.Key{{Blueprint: "bp", Identifier: "a\x00b"}, {Blueprint: "bp", Identifier: "a\x00"}, {Blueprint: "bp", Identifier: "a\xff"}}
	for _, identifier := range want {
		keys = append(keys, catalog.Key{Blueprint: "bp", Identifier: identifier})
	}
	all, err := s.Entities(t.Context(), keys)
	if err != nil {
		t.Fatalf("entities: %v", err)
	}
	var got []string
	for _, e := range all {
		got = append(got, e.Identifier)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entities (-want +got):\n%s", diff)
	}
}

func TestCatalogPurge(t *testing.T) {
	t.Parallel()
	db := opentest.SQLite(t)
	s := openCatalog(t, db)
	now := time.Now()
	for i := range 250 {
		e := createEntity(t, s, entity("bp", fmt.Sprintf("e%d", i)))
		if err := s.DeleteEntity(t.Context(), e, nil, catalog.Author{ID: "client_1", At: now}); err != nil {
			t.Fatalf("delete entity: %v", err)
		}
	}
	// An identifier that was deleted twice and is in use.
	for _, at := range []time.Time{now, now.Add(time.Minute)} {
		b := createBlueprint(t, s, "service")
		if err := s.DeleteBlueprint(t.Context(), b, catalog.Author{ID: "client_1", At: at}); err != nil {
			t.Fatalf("delete blueprint: %v", err)
		}
	}
	createBlueprint(t, s, "service")
	createEntity(t, s, entity("bp", "e0"))
	for _, c := range []struct {
		after                time.Duration
		blueprints, entities int
	}{
		{time.Hour, 3, 251},
		{time.Hour + time.Second, 2, 1},
		{24 * time.Hour, 1, 1},
	} {
		if err := s.Purge(t.Context(), now.Add(c.after)); err != nil {
			t.Fatalf("purge: %v", err)
		}
		if got := count(t, db, "blueprints"); got != c.blueprints {
			t.Errorf("%v later: %d blueprints, want %d", c.after, got, c.blueprints)
		}
		if got := count(t, db, "entities"); got != c.entities {
			t.Errorf("%v later: %d entities, want %d", c.after, got, c.entities)
		}
	}
	if _, err := s.Blueprint(t.Context(), "service"); err != nil {
		t.Errorf("get blueprint: %v", err)
	}
}

// The next process goes on with stamp and revs, though nothing is left that has the last ones.
func TestCatalogReopened(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "longshore.db")
	open := func() (*sqlite.DB, *sqlitestore.Catalog) {
		db, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatalf("open database: %v", err)
		}
		return db, openCatalog(t, db)
	}
	now := time.Now()
	by := catalog.Author{ID: "client_1", At: now}
	db, s := open()
	b, e := createBlueprint(t, s, "service"), createEntity(t, s, entity("bp", "cart"))
	kept := createEntity(t, s, entity("bp", "kept"))
	if err := s.ReplaceEntity(t.Context(), e, nil, nil); err != nil {
		t.Fatalf("replace entity: %v", err)
	}
	last, err := s.Entity(t.Context(), e.Key)
	if err != nil {
		t.Fatalf("get entity: %v", err)
	}
	if err := s.DeleteEntity(t.Context(), last, nil, by); err != nil {
		t.Fatalf("delete entity: %v", err)
	}
	if err := s.DeleteBlueprint(t.Context(), b, by); err != nil {
		t.Fatalf("delete blueprint: %v", err)
	}
	if err := s.Purge(t.Context(), now.Add(2*time.Hour)); err != nil {
		t.Fatalf("purge: %v", err)
	}
	stamp, err := s.Stamp(t.Context())
	if err != nil {
		t.Fatalf("stamp: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatalf("close database: %v", err)
	}

	db, s = open()
	defer db.Close()
	if got, err := s.Stamp(t.Context()); err != nil || got != stamp {
		t.Errorf("stamp is %d, error %v; want %d", got, err, stamp)
	}
	if got, err := s.Entity(t.Context(), kept.Key); err != nil || !cmp.Equal(kept, got) {
		t.Errorf("entity (error %v, -want +got):\n%s", err, cmp.Diff(kept, got))
	}
	if got := createEntity(t, s, entity("bp", "cart")); got.Rev <= last.Rev {
		t.Errorf("rev is %d after %d", got.Rev, last.Rev)
	}
	if got := createBlueprint(t, s, "service"); got.Rev <= stamp {
		t.Errorf("rev is %d after %d", got.Rev, stamp)
	}
}

// A database of the first release is brought up to date with what is in it.
func TestCatalogOfTheFirstRelease(t *testing.T) {
	t.Parallel()
	db := opentest.SQLite(t)
	sqlitestore.FirstCatalog(t, db)
	if err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO entities (blueprint, identifier, id, created_at, updated_at, created_by, updated_by,
			last_by, last_origin, last_run, last_at, rev, content) VALUES ('bp', 'cart', 'ent_1', 1000000, 2000000, 'a', 'b', 'b', 'API', 'r_1', 2000000, 7, '{}')`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s := openCatalog(t, db)
	got, err := s.Entity(t.Context(), catalog.Key{Blueprint: "bp", Identifier: "cart"})
	if err != nil {
		t.Fatal(err)
	}
	made, changed := time.UnixMilli(1).UTC(), time.UnixMilli(2).UTC()
	want := &catalog.Entity{
		Key: catalog.Key{Blueprint: "bp", Identifier: "cart"}, ID: "ent_1", Content: json.RawMessage(`{}`), Rev: 7,
		CreatedAt: made, UpdatedAt: changed, CreatedBy: "a", UpdatedBy: "b",
		Last: catalog.Author{ID: "b", Origin: "API", RunID: "r_1", At: changed},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entity (-want +got):\n%s", diff)
	}
	if due, err := s.DueTimers(t.Context(), time.Now(), 10); err != nil || len(due) != 0 {
		t.Errorf("%d timers are due, error %v; want none", len(due), err)
	}
}

// Definitions and blueprints have stamps of their own, in a database that either opened first.
func TestStampsApart(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"actions", "catalog"} {
		db := opentest.SQLite(t)
		if first == "catalog" {
			openCatalog(t, db)
		}
		actions, err := sqlitestore.NewActions(t.Context(), db)
		if err != nil {
			t.Fatalf("%s first: open store of actions: %v", first, err)
		}
		s := openCatalog(t, db)
		stamps := func() [2]int64 {
			t.Helper()
			a, errA := actions.Stamp(t.Context())
			b, errB := s.Stamp(t.Context())
			if err := errors.Join(errA, errB); err != nil {
				t.Fatalf("%s first: stamp: %v", first, err)
			}
			return [2]int64{a, b}
		}
		before := stamps()
		createBlueprint(t, s, "service")
		after := stamps()
		if after[0] != before[0] || after[1] == before[1] {
			t.Errorf("%s first: a blueprint moved the stamps from %v to %v", first, before, after)
		}
		if err := actions.Create(t.Context(), &action.Record{Identifier: "deploy", Definition: json.RawMessage(`{}`)}); err != nil {
			t.Fatalf("create action: %v", err)
		}
		if got := stamps(); got[0] == after[0] || got[1] != after[1] {
			t.Errorf("%s first: an action moved the stamps from %v to %v", first, after, got)
		}
	}
}

// BenchmarkEntities reads and counts a blueprint of 100,000 entities of 2 KiB.
func BenchmarkEntities(b *testing.B) {
	s := openCatalog(b, opentest.SQLite(b))
	content := json.RawMessage(`{"team":[],"properties":{"text":"` + strings.Repeat("x", 2_000) + `"},"relations":{}}`)
	var all sync.WaitGroup
	for worker := range 100 {
		all.Go(func() {
			for i := range 1_000 {
				e := entity("bp", fmt.Sprintf("entity-%06d", worker*1_000+i))
				e.Content = content
				if err := s.CreateEntity(b.Context(), e, nil); err != nil {
					b.Errorf("create entity: %v", err)
				}
			}
		})
	}
	all.Wait()
	b.Run("page of 100", func(b *testing.B) {
		for b.Loop() {
			if page, err := s.List(b.Context(), "bp", "", 100); err != nil || len(page.Entities) != 100 {
				b.Fatalf("list: %v", err)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			n, from := 0, ""
			for {
				page, err := s.List(b.Context(), "bp", from, 1_000)
				if err != nil {
					b.Fatalf("list: %v", err)
				}
				n += len(page.Entities)
				if from = page.Next; from == "" {
					break
				}
			}
			if n != 100_000 {
				b.Fatalf("%d entities", n)
			}
		}
	})
	b.Run("count", func(b *testing.B) {
		for b.Loop() {
			if n, err := s.Count(b.Context(), "bp"); err != nil || n != 100_000 {
				b.Fatalf("count: %d, %v", n, err)
			}
		}
	})
}
