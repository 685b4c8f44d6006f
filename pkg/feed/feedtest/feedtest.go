// Package feedtest is the definition of a change feed: the feeds of both stores pass it.
package feedtest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/feed"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

// World is one process with its stores and the feed of their changes.
type World struct {
	Runs    run.Store
	Actions action.Store
	Catalog catalog.Store
	// Follow hands changes to the handler until the context ends, and returns when nothing is in hand.
	Follow func(ctx context.Context, h feed.Handler)
	// Kill keeps the process from writing anything more, as kill -9 does; the follower is stopped after
	// that. Next is another process on the same data.
	Kill func(t *testing.T)
	Next func(t *testing.T) *World
	// Expire removes what is to vanish by itself: runs and what is left of deleted things.
	Expire func(t *testing.T)
}

// Run runs every test of a feed. Open returns an empty world of its own at each call and closes it, and
// those that come after it, with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) *World) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, w *World)
	}{
		{"FeedOncePerChange", feedOncePerChange},
		{"FeedOrderPerItem", feedOrderPerItem},
		{"FeedResumesAfterCrash", feedResumesAfterCrash},
		{"FeedGoesOnBesideARefusedChange", feedGoesOnBesideARefusedChange},
		{"FeedSkipsLeasesAndLogs", feedSkipsLeasesAndLogs},
		{"FeedSkipsExpiry", feedSkipsExpiry},
		{"FeedBeforeAfterWhole", feedBeforeAfterWhole},
		{"FeedCarriesCause", feedCarriesCause},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := open(t)
			watch(t, w)
			c.test(t, w)
		})
	}
}

const (
	blueprint = "bp_0123456789abcdef"
	// patience is how long a change may take to be told on a busy machine.
	patience = 3 * time.Minute
)

// watch keeps automations that wait for changes of entities and runs.
func watch(t *testing.T, w *World) {
	t.Helper()
	for name, event := range map[string]string{"watch_entities": "ANY_ENTITY_CHANGE", "watch_runs": "ANY_RUN_CHANGE"} {
		createAction(t, w, name, `{"identifier":"`+name+`","trigger":{"type":"automation","event":{"type":"`+event+`"}},"invocationMethod":{"type":"KAFKA"}}`)
	}
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func createAction(t *testing.T, w *World, identifier, definition string) *action.Record {
	t.Helper()
	r := &action.Record{
		Identifier: identifier, ID: "action_" + identifier, Definition: json.RawMessage(definition),
		CreatedAt: now(), UpdatedAt: now(), CreatedBy: "client_1", UpdatedBy: "client_1",
	}
	if err := w.Actions.Create(t.Context(), r); err != nil {
		t.Fatalf("create action: %v", err)
	}
	return getAction(t, w, identifier)
}

func getAction(t *testing.T, w *World, identifier string) *action.Record {
	t.Helper()
	r, err := w.Actions.Get(t.Context(), identifier)
	if err != nil {
		t.Fatalf("get action: %v", err)
	}
	return r
}

func author(id string) catalog.Author {
	return catalog.Author{ID: id, Email: id + "@example.com", Origin: "UI", At: now()}
}

func key(identifier string) catalog.Key {
	return catalog.Key{Blueprint: blueprint, Identifier: identifier}
}

func getEntity(t *testing.T, w *World, identifier string) *catalog.Entity {
	t.Helper()
	e, err := w.Catalog.Entity(t.Context(), key(identifier))
	if err != nil {
		t.Fatalf("get entity: %v", err)
	}
	return e
}

func createEntity(t *testing.T, w *World, identifier string, edits ...func(*catalog.Entity)) *catalog.Entity {
	t.Helper()
	e := &catalog.Entity{
		Key: key(identifier), ID: catalog.NewEntityID(), Content: json.RawMessage(`{"title":"0"}`),
		CreatedAt: now(), UpdatedAt: now(), CreatedBy: "usr_1", UpdatedBy: "usr_1", Last: author("usr_1"),
	}
	for _, edit := range edits {
		edit(e)
	}
	if err := w.Catalog.CreateEntity(t.Context(), e, nil); err != nil {
		t.Fatalf("create entity: %v", err)
	}
	return getEntity(t, w, identifier)
}

// retitle gives an entity another title, as often as it takes.
func retitle(t *testing.T, w *World, identifier, title string, edits ...func(*catalog.Entity)) {
	t.Helper()
	for {
		e := getEntity(t, w, identifier)
		e.Content, e.UpdatedAt, e.Last = json.RawMessage(`{"title":"`+title+`"}`), now(), author("usr_2")
		for _, edit := range edits {
			edit(e)
		}
		err := w.Catalog.ReplaceEntity(t.Context(), e, nil, nil)
		if err == nil {
			return
		}
		if fault.KindOf(err) != fault.Conflict {
			t.Fatalf("replace entity: %v", err)
		}
	}
}

func deleteEntity(t *testing.T, w *World, identifier string, by catalog.Author) {
	t.Helper()
	if err := w.Catalog.DeleteEntity(t.Context(), getEntity(t, w, identifier), nil, by); err != nil {
		t.Fatalf("delete entity: %v", err)
	}
}

func createRun(t *testing.T, w *World, edits ...func(*run.Run)) *run.Run {
	t.Helper()
	at := now()
	r := &run.Run{
		ID: run.NewID(at), Action: run.Action{Identifier: "deploy", ID: "action_deploy"}, Backend: invocation.BackendWebhook,
		Source: run.SourceAPI, UserID: "client_1", CreatedBy: "client_1",
	}
	r.Start(at, "")
	for _, edit := range edits {
		edit(r)
	}
	b := &run.Body{
		Properties: json.RawMessage(`{"size":1.50}`), User: json.RawMessage(`{"id":"client_1"}`),
		Invocation: &invocation.Invocation{V: invocation.Version, Type: "WEBHOOK", Backend: invocation.BackendWebhook, Payload: json.RawMessage(`{"type":"WEBHOOK"}`)},
	}
	if err := w.Runs.Create(t.Context(), r, b); err != nil {
		t.Fatalf("create run: %v", err)
	}
	return r
}

func update(t *testing.T, w *World, id string, move func(*run.Run) (*run.Write, error)) {
	t.Helper()
	for {
		_, err := w.Runs.Update(t.Context(), id, move)
		if err == nil {
			return
		}
		// Many writers of one run may tire a store.
		if fault.KindOf(err) != fault.Unavailable {
			t.Fatalf("update run: %v", err)
		}
	}
}

// label is a move that somebody asks for.
func label(text string) func(*run.Run) (*run.Write, error) {
	return func(r *run.Run) (*run.Write, error) {
		by := author("usr_2")
		r.StatusLabel, r.UpdatedAt = text, by.At
		return &run.Write{By: &by}, nil
	}
}

// told is a handler that remembers what it was told.
type told struct {
	// refuse says whether a change is refused now; nil for never.
	refuse func(c *feed.Change) bool

	mu      sync.Mutex
	changes []*feed.Change
	more    chan struct{}
}

func newTold() *told { return &told{more: make(chan struct{}, 1)} }

// Handle implements feed.Handler.
func (h *told) Handle(_ context.Context, c *feed.Change) error {
	if h.refuse != nil && h.refuse(c) {
		return fault.Busy(nil, 0, "the test refuses it")
	}
	h.mu.Lock()
	h.changes = append(h.changes, c)
	h.mu.Unlock()
	select {
	case h.more <- struct{}{}:
	default:
	}
	return nil
}

// all returns what was told so far.
func (h *told) all() []*feed.Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.changes)
}

// until waits until what was told meets a condition.
func (h *told) until(t *testing.T, enough func([]*feed.Change) bool) []*feed.Change {
	t.Helper()
	late := time.After(patience)
	for {
		if all := h.all(); enough(all) {
			return all
		}
		select {
		case <-h.more:
		case <-late:
			t.Fatalf("the feed did not tell all of it:\n%s", strings.Join(lines(h.all()), "\n"))
		}
	}
}

// untilTold waits for changes with these descriptions.
func (h *told) untilTold(t *testing.T, want ...string) []*feed.Change {
	t.Helper()
	return h.until(t, func(all []*feed.Change) bool {
		got := lines(all)
		for _, line := range want {
			if !slices.Contains(got, line) {
				return false
			}
		}
		return true
	})
}

// follow starts a follower and returns what ends it.
func follow(t *testing.T, w *World, h feed.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Follow(ctx, h)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// item is what a change is of.
func item(c *feed.Change) string {
	switch {
	case c.Entity != nil && c.Entity.After != nil:
		return "entity " + c.Entity.After.Identifier
	case c.Entity != nil:
		return "entity " + c.Entity.Before.Identifier
	case c.Run != nil:
		return "run " + c.Run.After.ID
	case c.Action != nil && c.Action.After != nil:
		return "action " + c.Action.After.Identifier
	case c.Action != nil:
		return "action " + c.Action.Before.Identifier
	case c.Timer != nil:
		return "timer " + c.Timer.Identifier
	}
	return "nothing"
}

// line describes a change by what tests write: titles of entities, labels and statuses of runs, definitions.
func line(c *feed.Change) string {
	return fmt.Sprintf("%s: %s to %s", item(c), sides(c, false), sides(c, true))
}

func sides(c *feed.Change, after bool) string {
	pick := func(before, later func() string, there bool) string {
		switch {
		case !there:
			return "none"
		case after:
			return later()
		}
		return before()
	}
	switch {
	case c.Entity != nil:
		side := c.Entity.Before
		if after {
			side = c.Entity.After
		}
		text := func() string {
			var content struct {
				Title string `json:"title"`
			}
			if err := json.Unmarshal(side.Content, &content); err != nil {
				return "no JSON"
			}
			return content.Title
		}
		return pick(text, text, side != nil)
	case c.Run != nil:
		side := c.Run.Before
		if after {
			side = c.Run.After
		}
		text := func() string { return string(side.Status) + "/" + side.StatusLabel }
		return pick(text, text, side != nil)
	case c.Action != nil:
		side := c.Action.Before
		if after {
			side = c.Action.After
		}
		text := func() string { return string(side.Definition) }
		return pick(text, text, side != nil)
	}
	return ""
}

func lines(changes []*feed.Change) []string {
	all := make([]string, len(changes))
	for i, c := range changes {
		all[i] = line(c)
	}
	return all
}

// of returns the changes of one item.
func of(changes []*feed.Change, name string) (some []*feed.Change) {
	for _, c := range changes {
		if item(c) == name {
			some = append(some, c)
		}
	}
	return some
}

// same compares what was told; nothing of it is to be left out but which timers are ahead.
func same(want, got any) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }

// cause is one that tells a deep loop.
func cause(depth int) audit.Cause {
	return audit.Cause{EventID: "event_1", RunID: "r_0123456789abcdef", Depth: depth}
}
