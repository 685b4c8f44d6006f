package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/queue"
)

// onChanges runs a test of each change on both stores.
func onChanges(t *testing.T, test func(t *testing.T, open opener, every int, c change)) {
	onBoth(t, func(t *testing.T, open opener, every int) {
		for name, c := range changes {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, open, every, c)
			})
		}
	})
}

func TestSlices(t *testing.T) {
	t.Parallel()
	onChanges(t, func(t *testing.T, open opener, _ int, c change) {
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

// A process may die after every write, in the request or in a slice: after the next sweep the change has
// been made as a whole, or nothing of it has; and nothing that was answered is lost.
func TestSlicesOutliveTheProcess(t *testing.T) {
	t.Parallel()
	onChanges(t, func(t *testing.T, open opener, every int, c change) {
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

// A slice that two processes carry out at once, and one whose message comes again, do no harm.
func TestSliceTwiceAtOnce(t *testing.T) {
	t.Parallel()
	onChanges(t, func(t *testing.T, open opener, _ int, c change) {
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
