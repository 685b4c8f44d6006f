package catalog_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

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
