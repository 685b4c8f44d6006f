package feedtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"longshore/pkg/catalog"
	"longshore/pkg/feed"
	"longshore/pkg/run"
)

func feedOncePerChange(t *testing.T, w *World) {
	h := newTold()
	follow(t, w, h)
	createEntity(t, w, "cart")
	retitle(t, w, "cart", "1")
	retitle(t, w, "cart", "2")
	deleteEntity(t, w, "cart", author("usr_3"))
	createEntity(t, w, "cart")
	r := createRun(t, w)
	update(t, w, r.ID, label("half"))
	update(t, w, r.ID, func(r *run.Run) (*run.Write, error) { return &run.Write{}, r.End(now(), "client_1", run.Success, "") })
	a := createAction(t, w, "deploy", `{"v":1}`)
	a.Definition = json.RawMessage(`{"v":2}`)
	if err := w.Actions.Replace(t.Context(), "deploy", a); err != nil {
		t.Fatal(err)
	}
	a = getAction(t, w, "deploy")
	a.Identifier = "release"
	if err := w.Actions.Replace(t.Context(), "deploy", a); err != nil {
		t.Fatal(err)
	}
	if err := w.Actions.Delete(t.Context(), "release", "client_1", now()); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"entity cart": {
			"entity cart: none to 0", "entity cart: 0 to 1", "entity cart: 1 to 2", "entity cart: 2 to none", "entity cart: none to 0",
		},
		"run " + r.ID: {
			"run " + r.ID + ": none to IN_PROGRESS/", "run " + r.ID + ": IN_PROGRESS/ to IN_PROGRESS/half",
			"run " + r.ID + ": IN_PROGRESS/half to SUCCESS/half",
		},
		"action deploy": {
			`action deploy: none to {"v":1}`, `action deploy: {"v":1} to {"v":2}`, `action deploy: {"v":2} to none`,
		},
		"action release": {`action release: none to {"v":2}`, `action release: {"v":2} to none`},
	}
	h.until(t, func(all []*feed.Change) bool {
		for name, list := range want {
			if len(of(all, name)) < len(list) {
				return false
			}
		}
		return true
	})
	// What is told twice is told before this.
	createEntity(t, w, "sentinel")
	all := h.untilTold(t, "entity sentinel: none to 0")
	for name, list := range want {
		if diff := same(list, lines(of(all, name))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func feedOrderPerItem(t *testing.T, w *World) {
	const items, writers, writes = 3, 3, 6
	h := newTold()
	var calls atomic.Int64
	// Each fifth call is refused: what follows on the item waits for it.
	h.refuse = func(*feed.Change) bool { return calls.Add(1)%5 == 0 }
	follow(t, w, h)
	var all sync.WaitGroup
	names := map[string]bool{}
	for n := range items {
		identifier := fmt.Sprintf("item-%d", n)
		createEntity(t, w, identifier)
		r := createRun(t, w)
		names["entity "+identifier], names["run "+r.ID] = true, true
		for writer := range writers {
			all.Go(func() {
				for i := range writes {
					retitle(t, w, identifier, fmt.Sprintf("%d-%d", writer, i))
				}
			})
			all.Go(func() {
				for i := range writes {
					update(t, w, r.ID, label(fmt.Sprintf("%d-%d", writer, i)))
				}
			})
		}
	}
	all.Wait()
	changes := h.until(t, func(all []*feed.Change) bool {
		for name := range names {
			if len(of(all, name)) < 1+writers*writes {
				return false
			}
		}
		return true
	})
	for name := range names {
		chained(t, name, of(changes, name))
	}
}

// chained fails the test unless each change begins with what the one before it ended with, from nothing on.
func chained(t *testing.T, name string, changes []*feed.Change) {
	t.Helper()
	var entity *catalog.Entity
	var record *run.Record
	for i, c := range changes {
		var diff string
		if c.Entity != nil {
			diff = same(entity, c.Entity.Before)
			entity = c.Entity.After
		} else {
			diff = same(record, c.Run.Before)
			record = c.Run.After
		}
		if diff != "" {
			t.Errorf("%s: change %d does not follow from the one before it (-want +got):\n%s", name, i, diff)
			return
		}
	}
}

// The process dies again and again, with some changes handled that nothing was written down of.
func feedResumesAfterCrash(t *testing.T, w *World) {
	const rounds, entities = 5, 4
	var all []*feed.Change
	for e := range entities {
		createEntity(t, w, fmt.Sprintf("item-%d", e))
	}
	written := map[string]int{}
	for round := range rounds {
		for e := range entities {
			identifier := fmt.Sprintf("item-%d", e)
			for range 1 + (round+e)%3 {
				written[identifier]++
				retitle(t, w, identifier, fmt.Sprint(written[identifier]))
			}
		}
		h := newTold()
		stop := follow(t, w, h)
		// It dies with this many handled, at least, and others in hand. All that was told in earlier rounds may
		// have been written down, so that only what this one has written comes for sure: 7 at least.
		some := 1 + round
		h.until(t, func(told []*feed.Change) bool { return len(told) >= some })
		w.Kill(t)
		stop()
		all = append(all, h.all()...)
		w = w.Next(t)
	}
	h := newTold()
	follow(t, w, h)
	createEntity(t, w, "sentinel")
	whole := func(told []*feed.Change) bool {
		for e := range entities {
			name := fmt.Sprintf("item-%d", e)
			if len(once(of(slices.Concat(all, told), "entity "+name))) < 1+written[name] {
				return false
			}
		}
		return slices.Contains(lines(told), "entity sentinel: none to 0")
	}
	all = append(all, h.until(t, whole)...)
	for e := range entities {
		name := fmt.Sprintf("entity item-%d", e)
		chained(t, name, once(of(all, name)))
	}
}

// once leaves out what was told before.
func once(changes []*feed.Change) (some []*feed.Change) {
	seen := map[string]bool{}
	for _, c := range changes {
		if text := line(c); !seen[text] {
			seen[text] = true
			some = append(some, c)
		}
	}
	return some
}

func feedGoesOnBesideARefusedChange(t *testing.T, w *World) {
	h := newTold()
	var open atomic.Bool
	h.refuse = func(c *feed.Change) bool { return !open.Load() && item(c) == "entity stuck" }
	follow(t, w, h)
	createEntity(t, w, "stuck")
	retitle(t, w, "stuck", "1")
	createEntity(t, w, "free")
	retitle(t, w, "free", "1")
	if told := of(h.untilTold(t, "entity free: 0 to 1"), "entity stuck"); len(told) > 0 {
		t.Errorf("a refused change counts as handled: %v", lines(told))
	}
	open.Store(true)
	got := lines(of(h.untilTold(t, "entity stuck: 0 to 1"), "entity stuck"))
	if diff := same([]string{"entity stuck: none to 0", "entity stuck: 0 to 1"}, got); diff != "" {
		t.Errorf("the refused item (-want +got):\n%s", diff)
	}
}
