package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
)

// reads counts what a search reads, and fails where it is told to.
type reads struct {
	catalog.Store
	lists, entities atomic.Int64
	failing         atomic.Bool
}

func (r *reads) List(ctx context.Context, blueprint, from string, limit int) (catalog.Page, error) {
	r.lists.Add(1)
	return r.Store.List(ctx, blueprint, from, limit)
}

func (r *reads) Entities(ctx context.Context, keys []catalog.Key) ([]*catalog.Entity, error) {
	r.entities.Add(1)
	if r.failing.Load() {
		return nil, fault.Busy(nil, 0, "the store is busy")
	}
	return r.Store.Entities(ctx, keys)
}

// found returns the identifiers that a search yields, page by page, with the blueprint in front.
func (w *world) found(t *testing.T, s catalog.Store, rules string, f catalog.Find) ([]string, error) {
	t.Helper()
	service := catalog.NewService(s, nil)
	f.Search = parseSearch(t, one(rules), catalog.SearchOptions{})
	names := []string{}
	for range 1000 {
		found, err := service.Find(t.Context(), f)
		if err != nil {
			return nil, err
		}
		if len(found.Views) > f.Limit {
			t.Fatalf("a page has %d entities, the limit is %d", len(found.Views), f.Limit)
		}
		for _, view := range found.Views {
			var e struct{ Identifier, Blueprint string }
			if err := json.Unmarshal(view, &e); err != nil {
				t.Fatal(err)
			}
			names = append(names, e.Blueprint+"/"+e.Identifier)
		}
		if f.From = found.Next; f.From == "" {
			slices.Sort(names)
			return names, nil
		}
	}
	t.Fatal("the pages do not end")
	return nil, nil
}

// A search about relations reads what they lead to, whatever else there is, and its pages are complete.
func TestSearchByRelationsListsNothing(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, w *world) {
		w.blueprint(t, `{"identifier":"system","title":"T","schema":{"properties":{}}}`)
		w.blueprint(t, `{"identifier":"service","title":"T","schema":{"properties":{"n":{"type":"number"}}},"relations":{"system":{"target":"system"},"uses":{"target":"service","many":true}}}`)
		w.entity(t, "system", `{"identifier":"shop"}`)
		want := []string{}
		for i := range 12 {
			w.entity(t, "service", fmt.Sprintf(`{"identifier":"s%02d","title":%q,"properties":{"n":%d},"relations":{"system":"shop"}}`, i, strings.Repeat("x", i*100), i%2))
			w.entity(t, "service", fmt.Sprintf(`{"identifier":"other%02d"}`, i))
			if i%2 == 1 {
				want = append(want, fmt.Sprintf("service/s%02d", i))
			}
		}
		s := &reads{Store: w.store}
		for _, limit := range []int{1, 2, 5, 6, 100} {
			for _, bytes := range []int{0, 1, 2000} {
				got, err := w.found(t, s, `{"operator":"relatedTo","blueprint":"system","value":"shop"},{"property":"n","operator":"=","value":1}`, catalog.Find{Limit: limit, Bytes: bytes})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("by %d, up to %d bytes (-want +got):\n%s", limit, bytes, diff)
				}
			}
		}
		got, err := w.found(t, s, `{"operator":"relatedTo","blueprint":"system","value":"shop"},{"property":"$identifier","operator":"in","value":["s03","other03"]}`, catalog.Find{Limit: 10})
		if diff := cmp.Diff([]string{"service/s03"}, got); err != nil || diff != "" {
			t.Errorf("with identifiers: error %v (-want +got):\n%s", err, diff)
		}
		if n := s.lists.Load(); n > 0 {
			t.Errorf("%d lists of entities, want none", n)
		}
	})
}

// Ten thousand entities may be related, however many relations there are between them.
func TestManyRelationsBetweenFew(t *testing.T) {
	t.Parallel()
	s, _ := onSQLite(t)
	w := newWorld(s)
	w.blueprint(t, `{"identifier":"part","title":"T","schema":{"properties":{}},"relations":{"of":{"target":"part","many":true}}}`)
	w.entity(t, "part", `{"identifier":"root"}`)
	var libraries []string
	for i := range 103 {
		libraries = append(libraries, fmt.Sprintf("library%03d", i))
		w.entity(t, "part", `{"identifier":"`+libraries[i]+`","relations":{"of":["root"]}}`)
	}
	for i := range 100 {
		w.entity(t, "part", fmt.Sprintf(`{"identifier":"service%03d","relations":{"of":["%s"]}}`, i, strings.Join(libraries, `","`)))
	}
	w.entity(t, "part", `{"identifier":"last","relations":{"of":["library102"]}}`)
	got, err := w.found(t, s, `{"operator":"relatedTo","blueprint":"part","value":"root","direction":"upstream"}`, catalog.Find{Limit: 1000})
	if err != nil || len(got) != 204 {
		t.Errorf("got %d related entities, error %v, want 204", len(got), err)
	}
}

// A search computes only what its rules name, and a store that fails is no entity without a title.
func TestSearchReadsNoMoreThanItNeeds(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, w *world) {
		w.blueprint(t, `{"identifier":"system","title":"T","schema":{"properties":{"tier":{"type":"number"}}}}`)
		w.blueprint(t, `{"identifier":"service","title":"T","schema":{"properties":{"n":{"type":"number"}}},"relations":{"system":{"target":"system"}},
			"mirrorProperties":{"tier":{"path":"system.tier"}},"calculationProperties":{"twice":{"type":"number","calculation":".properties.tier * 2"}}}`)
		w.entity(t, "system", `{"identifier":"shop","title":"The shop","properties":{"tier":3}}`)
		w.entity(t, "service", `{"identifier":"cart","properties":{"n":1},"relations":{"system":"shop"}}`)
		w.entity(t, "service", `{"identifier":"till","properties":{"n":1}}`)
		s := &reads{Store: w.store}
		for rule, c := range map[string]struct {
			want  []string
			reads bool
		}{
			`{"property":"n","operator":"=","value":1}`:                                         {[]string{"service/cart", "service/till"}, false},
			`{"property":"tier","operator":"=","value":3}`:                                      {[]string{"service/cart"}, true},
			`{"property":"twice","operator":"=","value":6}`:                                     {[]string{"service/cart"}, true},
			`{"propertySchema":{"type":"number"},"operator":"=","value":1}`:                     {[]string{"service/cart", "service/till"}, false},
			`{"relation":"system","operator":"=","value":"shop"}`:                               {[]string{"service/cart"}, false},
			`{"relation":"system","targetProperty":"$title","operator":"=","value":"The shop"}`: {[]string{"service/cart"}, true},
			`{"relation":"system","targetProperty":"$title","operator":"isEmpty"}`:              {[]string{"service/till"}, true},
		} {
			s.entities.Store(0)
			s.failing.Store(false)
			f := catalog.Find{Blueprint: "service", Limit: 100, Selection: catalog.NewSelection([]string{"identifier", "blueprint"}, nil)}
			got, err := w.found(t, s, rule, f)
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%s: error %v (-want +got):\n%s", rule, err, diff)
			}
			if n := s.entities.Load(); (n > 0) != c.reads {
				t.Errorf("%s: related entities were read %d times", rule, n)
			}
			s.failing.Store(true)
			if _, err = w.found(t, s, rule, f); (fault.KindOf(err) == fault.Unavailable) != c.reads {
				t.Errorf("%s: got error %v while the store fails", rule, err)
			}
		}
	})
}
