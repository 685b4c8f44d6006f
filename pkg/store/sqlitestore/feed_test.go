package sqlitestore_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/feed"
	"longshore/pkg/feed/feedtest"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
)

// watched are the stores of a database and the feed of their changes.
type watched struct {
	feed    *sqlitestore.Feed
	runs    *sqlitestore.Runs
	actions *sqlitestore.Actions
	catalog *sqlitestore.Catalog
}

func openWatched(t *testing.T, db *sqlite.DB) watched {
	t.Helper()
	var s watched
	var err error
	if s.feed, err = sqlitestore.NewFeed(t.Context(), db); err != nil {
		t.Fatalf("open feed: %v", err)
	}
	if s.runs, err = sqlitestore.NewRuns(t.Context(), db, sqlitestore.RunsOptions{Feed: s.feed}); err != nil {
		t.Fatalf("open store: %v", err)
	}
	if s.actions, err = sqlitestore.NewActions(t.Context(), db); err != nil {
		t.Fatalf("open store: %v", err)
	}
	if s.catalog, err = sqlitestore.NewCatalog(t.Context(), db); err != nil {
		t.Fatalf("open store: %v", err)
	}
	s.actions.Feed, s.catalog.Feed = s.feed, s.feed
	return s
}

func TestFeed(t *testing.T) {
	t.Parallel()
	feedtest.Run(t, func(t *testing.T) *feedtest.World {
		return openWorld(t, filepath.Join(t.TempDir(), "longshore.db"))
	})
}

func openWorld(t *testing.T, path string) *feedtest.World {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatalf("open database: %v", err)
	}
	closed := sync.OnceFunc(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	t.Cleanup(closed)
	s := openWatched(t, db)
	return &feedtest.World{
		Runs: s.runs, Actions: s.actions, Catalog: s.catalog,
		Follow: func(ctx context.Context, h feed.Handler) { s.feed.Follow(ctx, h, slog.New(slog.DiscardHandler)) },
		// What is handled after that cannot be written down.
		Kill: func(*testing.T) { closed() },
		Next: func(t *testing.T) *feedtest.World { return openWorld(t, path) },
		Expire: func(t *testing.T) {
			later := time.Now().Add(2 * sqlitestore.DefaultRetention)
			if _, err := s.runs.Purge(t.Context(), later); err != nil {
				t.Fatal(err)
			}
			if err := s.actions.Purge(t.Context(), later); err != nil {
				t.Fatal(err)
			}
			if err := s.catalog.Purge(t.Context(), later); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// Each step says how many changes it may add: who waits for nothing pays nothing.
func TestFeedKeepsOnlyWhatSomebodyWaitsFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "longshore.db")
	db, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	s := openWatched(t, db)
	reopen := func() {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if db, err = sqlite.Open(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		s = openWatched(t, db)
	}
	t.Cleanup(func() { _ = db.Close() })
	at := time.Now().UTC().Truncate(time.Millisecond)
	automation := func(event string) string {
		return `{"publish":true,"trigger":{"type":"automation","event":{"type":"` + event + `"}}}`
	}
	define := func(definition string) func() error {
		return func() error {
			r := &action.Record{Identifier: "a", ID: "action_a", Definition: json.RawMessage(definition), CreatedAt: at, UpdatedAt: at}
			old, err := s.actions.Get(t.Context(), "a")
			if err != nil {
				return s.actions.Create(t.Context(), r)
			}
			r.Rev = old.Rev
			return s.actions.Replace(t.Context(), "a", r)
		}
	}
	entity := func() error {
		return s.catalog.CreateEntity(t.Context(), &catalog.Entity{
			Key: catalog.Key{Blueprint: "bp_1", Identifier: rand.Text()}, ID: catalog.NewEntityID(), Content: json.RawMessage(`{}`), CreatedAt: at, UpdatedAt: at,
		}, nil)
	}
	start := func() error {
		r := &run.Run{ID: run.NewID(at), Action: run.Action{Identifier: "b"}}
		r.Start(at, "")
		return s.runs.Create(t.Context(), r, &run.Body{Properties: json.RawMessage(`{}`)})
	}
	blueprint := func(definition string) func() error {
		return func() error {
			b := &catalog.Blueprint{Identifier: "b", ID: "bp_1", Definition: json.RawMessage(definition), CreatedAt: at, UpdatedAt: at}
			old, err := s.catalog.Blueprint(t.Context(), "b")
			if err != nil {
				return s.catalog.CreateBlueprint(t.Context(), b)
			}
			b.Rev = old.Rev
			return s.catalog.ReplaceBlueprint(t.Context(), "b", b)
		}
	}
	for i, step := range []struct {
		name string
		do   func() error
		adds int
	}{
		{"an entity that nobody waits for", entity, 0},
		{"a run that nobody waits for", start, 0},
		{"a definition", define(automation("ENTITY_CREATED")), 1},
		{"an entity that an automation waits for", entity, 1},
		{"a run that only entities' automations are there for", start, 0},
		{"the automation waits for runs", define(automation("RUN_UPDATED")), 1},
		{"an entity that only runs' automations are there for", entity, 0},
		{"a run that an automation waits for", start, 1},
		{"another process", func() error { reopen(); return nil }, 0},
		{"a run after a restart", start, 1},
		{"the automation is switched off", define(`{"publish":false,` + automation("ANY_RUN_CHANGE")[len(`{"publish":true,`):]), 1},
		{"a run without a published automation", start, 0},
		{"an action of the first generation", define(`{"trigger":"CREATE"}`), 1},
		{"a timer's automation", define(automation("TIMER_PROPERTY_EXPIRED")), 1},
		{"an entity beside it", entity, 0},
		{"a blueprint with a changelog", blueprint(`{"changelogDestination":{"type":"WEBHOOK"}}`), 0},
		{"an entity with a changelog", entity, 1},
		{"a blueprint without", blueprint(`{"changelogDestination":null}`), 0},
		{"an entity without a changelog", entity, 0},
		{"all of them", define(automation("ANY_ENTITY_CHANGE")), 1},
		{"deletion", func() error { return s.actions.Delete(t.Context(), "a", "client_1", at) }, 1},
		{"an entity after it", entity, 0},
	} {
		count := func() (n int) {
			if err := db.Scan(t.Context(), "SELECT count(*) FROM changes", nil, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := count()
		if err := step.do(); err != nil {
			t.Fatalf("step %d, %s: %v", i, step.name, err)
		}
		if got := count() - before; got != step.adds {
			t.Errorf("step %d, %s: %d changes are kept, want %d", i, step.name, got, step.adds)
		}
	}
}

func TestFeedTellsOfTimers(t *testing.T) {
	t.Parallel()
	db := opentest.SQLite(t)
	s := openWatched(t, db)
	want := feed.Timer{
		Key: catalog.Key{Blueprint: "bp_1", Identifier: "cart"}, EntityID: "ent_1", Property: "ttl",
		At: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), Fired: time.Date(2026, 1, 2, 3, 5, 0, 7e6, time.UTC),
	}
	if err := db.Write(t.Context(), func(tx *sqlite.Tx) error { return s.feed.TimerTx(tx, &want) }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got *feed.Change
	s.feed.Follow(ctx, feed.HandlerFunc(func(_ context.Context, c *feed.Change) error {
		got = c
		cancel()
		return nil
	}), slog.New(slog.DiscardHandler))
	if diff := cmp.Diff(&feed.Change{Timer: &want}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What can never be handled is set aside, and what follows on its item goes on.
func TestFeedSetsAsideWhatCannotBeHandled(t *testing.T) {
	t.Parallel()
	db := opentest.SQLite(t)
	s := openWatched(t, db)
	for n := range 2 {
		timer := &feed.Timer{Key: catalog.Key{Identifier: "cart"}, Property: strconv.Itoa(n)}
		if err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
			_, err := tx.Exec("INSERT INTO changes (kind, item, body) VALUES ('none of ours', ?, 'x')", "\x00cart")
			return errors.Join(err, s.feed.TimerTx(tx, timer))
		}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var told []string
	s.feed.Follow(ctx, feed.HandlerFunc(func(_ context.Context, c *feed.Change) error {
		if told = append(told, c.Timer.Property); c.Timer.Property == "1" {
			cancel()
		} else {
			panic("the handler's own fault")
		}
		return nil
	}), slog.New(slog.DiscardHandler))
	if len(told) < 3 || told[0] != "0" || told[len(told)-1] != "1" {
		t.Errorf("told %v, want the first several times and then the second", told)
	}
	var left int
	if err := db.Scan(t.Context(), "SELECT count(*) FROM changes", nil, &left); err != nil || left > 0 {
		t.Errorf("%d changes are left, %v", left, err)
	}
}

// watcher is an automation that waits for an event.
func watcher(event string) *action.Record {
	return &action.Record{
		Identifier: "watcher", ID: "action_watcher",
		Definition: json.RawMessage(`{"trigger":{"type":"automation","event":{"type":"` + event + `"}}}`),
	}
}
