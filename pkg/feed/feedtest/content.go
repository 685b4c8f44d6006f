package feedtest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/feed"
	"longshore/pkg/run"
)

func feedSkipsLeasesAndLogs(t *testing.T, w *World) {
	h := newTold()
	follow(t, w, h)
	r := createRun(t, w)
	const lease = time.Minute
	plain := func(move func(*run.Run) error) func(*run.Run) (*run.Write, error) {
		return func(r *run.Run) (*run.Write, error) { return &run.Write{}, move(r) }
	}
	update(t, w, r.ID, plain(func(r *run.Run) error {
		_, err := r.Claim(now(), 1, "owner", lease)
		return err
	}))
	update(t, w, r.ID, plain(func(r *run.Run) error { r.Delivery.Waiting = "for something"; return nil }))
	update(t, w, r.ID, plain(func(r *run.Run) error { r.Delivery.Lease, r.Due = time.Time{}, now(); return nil }))
	if err := w.Runs.AppendLog(t.Context(), run.NewLog(now(), r.ID, "client_1", "a line")); err != nil {
		t.Fatal(err)
	}
	// A notice is kept as a run is, and is none.
	createRun(t, w, func(n *run.Run) { n.ID, n.NoticeOf = run.NewNoticeID(now()), r.ID })
	update(t, w, r.ID, label("seen"))
	createEntity(t, w, "sentinel")
	all := h.untilTold(t, "run "+r.ID+": IN_PROGRESS/ to IN_PROGRESS/seen", "entity sentinel: none to 0")
	want := []string{"run " + r.ID + ": none to IN_PROGRESS/", "run " + r.ID + ": IN_PROGRESS/ to IN_PROGRESS/seen"}
	var got []string
	for _, c := range all {
		if c.Run != nil {
			got = append(got, line(c))
		}
	}
	if diff := same(want, got); diff != "" {
		t.Errorf("changes of runs (-want +got):\n%s", diff)
	}
}

func feedSkipsExpiry(t *testing.T, w *World) {
	h := newTold()
	follow(t, w, h)
	createEntity(t, w, "cart")
	deleteEntity(t, w, "cart", author("usr_3"))
	r := createRun(t, w)
	if err := w.Actions.Delete(t.Context(), createAction(t, w, "deploy", `{}`).Identifier, "client_1", now()); err != nil {
		t.Fatal(err)
	}
	gone := "run " + r.ID + ": none to IN_PROGRESS/"
	h.untilTold(t, "entity cart: 0 to none", gone, "action deploy: {} to none")
	w.Expire(t)
	createEntity(t, w, "cart", func(e *catalog.Entity) { e.Content = json.RawMessage(`{"title":"again"}`) })
	createAction(t, w, "deploy", `{"v":2}`)
	createEntity(t, w, "sentinel")
	all := h.untilTold(t, "entity cart: none to again", `action deploy: none to {"v":2}`, "entity sentinel: none to 0")
	for name, want := range map[string][]string{
		"entity cart":   {"entity cart: none to 0", "entity cart: 0 to none", "entity cart: none to again"},
		"action deploy": {"action deploy: none to {}", "action deploy: {} to none", `action deploy: none to {"v":2}`},
		"run " + r.ID:   {gone},
	} {
		if diff := same(want, lines(of(all, name))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Nobody follows while these changes are made: each is told with the texts of its moment.
func feedBeforeAfterWhole(t *testing.T, w *World) {
	r := createRun(t, w)
	read := func() *run.Record {
		record, err := w.Runs.Read(t.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		return record
	}
	runs := []*run.Record{nil, read()}
	for _, move := range []func(r *run.Run) *run.Write{
		func(r *run.Run) *run.Write { r.Summary = strings.Repeat("a long summary ", 100); return &run.Write{} },
		func(r *run.Run) *run.Write {
			r.HasResponse = true
			return &run.Write{Response: json.RawMessage(`{"n":1.0,"text":"<&>"}`)}
		},
		func(r *run.Run) *run.Write { r.Summary = strings.Repeat("another one ", 100); return &run.Write{} },
		func(*run.Run) *run.Write { return &run.Write{Response: json.RawMessage(`{"n":2}`)} },
		func(r *run.Run) *run.Write {
			r.Link = json.RawMessage(`["https://example.com/` + strings.Repeat("x", 400) + `"]`)
			r.Decisions = []run.Decision{{UserID: "usr_2", State: run.Approved, Description: "go on", At: now()}}
			return &run.Write{}
		},
		func(r *run.Run) *run.Write { r.Summary, r.Link = "short", nil; return &run.Write{} },
		func(r *run.Run) *run.Write { r.HasResponse, r.Generation = false, 2; return &run.Write{} },
	} {
		update(t, w, r.ID, func(r *run.Run) (*run.Write, error) {
			w, by := move(r), author("usr_2")
			r.UpdatedAt, w.By = by.At, &by
			return w, nil
		})
		runs = append(runs, read())
	}
	entities := []*catalog.Entity{nil, createEntity(t, w, "cart", func(e *catalog.Entity) {
		e.Content = json.RawMessage(`{"title":"0","properties":{"z":1.50,"a":"<&>"},"relations":{}}`)
	})}
	retitle(t, w, "cart", strings.Repeat("long ", 2000))
	entities = append(entities, getEntity(t, w, "cart"))
	retitle(t, w, "cart", "2")
	entities = append(entities, getEntity(t, w, "cart"))
	by := author("usr_3")
	deleteEntity(t, w, "cart", by)
	entities = append(entities, nil)

	definitions := []*action.Record{nil, createAction(t, w, "deploy", `{"z":1.50,"a":"<&>"}`)}
	next := getAction(t, w, "deploy")
	next.Definition, next.Permissions, next.UpdatedBy = json.RawMessage(`{"v":2}`), json.RawMessage(`{"execute":{}}`), "usr_2"
	if err := w.Actions.Replace(t.Context(), "deploy", next); err != nil {
		t.Fatal(err)
	}
	definitions = append(definitions, getAction(t, w, "deploy"), nil)
	if err := w.Actions.Delete(t.Context(), "deploy", "usr_3", now()); err != nil {
		t.Fatal(err)
	}

	h := newTold()
	follow(t, w, h)
	all := h.until(t, func(all []*feed.Change) bool {
		return len(of(all, "run "+r.ID)) >= len(runs)-1 && len(of(all, "entity cart")) >= len(entities)-1 && len(of(all, "action deploy")) >= len(definitions)-1
	})
	for i, c := range of(all, "run "+r.ID) {
		if diff := same(feed.Run{Before: runs[i], After: runs[i+1]}, *c.Run); diff != "" {
			t.Errorf("change %d of the run (-want +got):\n%s", i, diff)
		}
	}
	for i, c := range of(all, "entity cart") {
		want := feed.Entity{Before: entities[i], After: entities[i+1], By: by}
		if want.After != nil {
			want.By = want.After.Last
		}
		if diff := same(want, *c.Entity); diff != "" {
			t.Errorf("change %d of the entity (-want +got):\n%s", i, diff)
		}
	}
	for i, c := range of(all, "action deploy") {
		if diff := same(feed.Action{Before: definitions[i], After: definitions[i+1]}, *c.Action); diff != "" {
			t.Errorf("change %d of the definition (-want +got):\n%s", i, diff)
		}
	}
}

func feedCarriesCause(t *testing.T, w *World) {
	h := newTold()
	follow(t, w, h)
	createEntity(t, w, "cart", func(e *catalog.Entity) { e.Last.Cause = cause(3) })
	retitle(t, w, "cart", "1", func(e *catalog.Entity) { e.Last.Cause, e.Last.RunID = cause(4), "r_1" })
	retitle(t, w, "cart", "2")
	by := author("usr_3")
	by.Cause = cause(5)
	deleteEntity(t, w, "cart", by)
	r := createRun(t, w, func(r *run.Run) { r.Cause, r.Source = cause(6), run.SourceAutomation })
	update(t, w, r.ID, func(r *run.Run) (*run.Write, error) {
		by := author("usr_2")
		by.Cause, r.StatusLabel = cause(7), "asked"
		return &run.Write{By: &by}, nil
	})
	update(t, w, r.ID, func(r *run.Run) (*run.Write, error) { r.StatusLabel = "by itself"; return &run.Write{}, nil })
	all := h.untilTold(t, "entity cart: 2 to none", "run "+r.ID+": IN_PROGRESS/asked to IN_PROGRESS/by itself")
	depths := func(name string, depth func(*feed.Change) []int) (list []int) {
		for _, c := range of(all, name) {
			list = append(list, depth(c)...)
		}
		return list
	}
	if diff := same([]int{3, 4, 0, 5}, depths("entity cart", func(c *feed.Change) []int { return []int{c.Entity.By.Cause.Depth} })); diff != "" {
		t.Errorf("depths of an entity's authors (-want +got):\n%s", diff)
	}
	if last := of(all, "entity cart")[3].Entity.By; last != by {
		t.Errorf("deleted by %+v, want %+v", last, by)
	}
	if diff := same([]int{6, 0, 6, 7, 6, 0}, depths("run "+r.ID, func(c *feed.Change) []int {
		return []int{c.Run.After.Cause.Depth, c.Run.After.Last.Cause.Depth}
	})); diff != "" {
		t.Errorf("depths of a run and of its last authors (-want +got):\n%s", diff)
	}
	if last := of(all, "run "+r.ID)[2].Run.After.Last; last.ID != run.Own || last.Origin != run.SourceAutomation {
		t.Errorf("a change that nobody asked for is by %+v", last)
	}
}
