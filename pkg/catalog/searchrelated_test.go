package catalog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
)

func TestRestrictions(t *testing.T) {
	t.Parallel()
	const bp, id = `{"property":"$blueprint","operator":"=","value":"%s"}`, `{"property":"$identifier","operator":"in","value":["%s","%s"]}`
	service, cluster := fmt.Sprintf(bp, "service"), fmt.Sprintf(bp, "cluster")
	type want struct {
		Blueprints, Identifiers   []string
		ByBlueprint, ByIdentifier bool
	}
	tests := []struct {
		name, search string
		want         want
	}{
		{"nothing", one(``), want{}},
		{"a blueprint", one(service), want{Blueprints: []string{"service"}, ByBlueprint: true}},
		{"identifiers", one(fmt.Sprintf(id, "b", "a")), want{Identifiers: []string{"a", "b"}, ByIdentifier: true}},
		{"both", one(service + "," + fmt.Sprintf(id, "b", "a") + "," + fmt.Sprintf(id, "c", "b")),
			want{Blueprints: []string{"service"}, Identifiers: []string{"b"}, ByBlueprint: true, ByIdentifier: true}},
		{"two blueprints at once", one(service + "," + cluster), want{Blueprints: []string{}, ByBlueprint: true}},
		{"one of two", `{"combinator":"or","rules":[` + service + `,` + cluster + `]}`, want{Blueprints: []string{"cluster", "service"}, ByBlueprint: true}},
		{"or something else", `{"combinator":"or","rules":[` + service + `,{"property":"p","operator":"isEmpty"}]}`, want{}},
		{"or among others", one(`{"property":"p","operator":"isEmpty"},{"combinator":"or","rules":[` + service + `,{"combinator":"and","rules":[` + cluster + `,{"property":"p","operator":"isEmpty"}]}]}`),
			want{Blueprints: []string{"cluster", "service"}, ByBlueprint: true}},
		{"negated", one(`{"property":"$blueprint","operator":"!=","value":"x"},{"property":"$identifier","operator":"notIn","value":["x"]}`), want{}},
		{"another operator", one(`{"property":"$blueprint","operator":"contains","value":"x"}`), want{}},
		{"no text", one(`{"property":"$identifier","operator":"in","value":[5]}`), want{Identifiers: []string{}, ByIdentifier: true}},
		{"a list", one(`{"property":"$identifier","operator":"=","value":["x"]}`), want{Identifiers: []string{}, ByIdentifier: true}},
		{"a context", one(`{"property":"$identifier","operator":"=","value":{"property":"service","context":"user"}}`), want{}},
		{"an empty group", `{"combinator":"or","rules":[]}`, want{}},
		{"a date-time is an identifier like any", one(`{"property":"$identifier","operator":"=","value":"2026-01-01T00:00:00Z"}`),
			want{Identifiers: []string{"2026-01-01T00:00:00Z"}, ByIdentifier: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := parseSearch(t, tt.search, catalog.SearchOptions{})
			var got want
			// Asking twice gives the same.
			for range 2 {
				got.Blueprints, got.ByBlueprint = s.Blueprints()
				got.Identifiers, got.ByIdentifier = s.Identifiers()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("restrictions (-want +got):\n%s", diff)
			}
		})
	}
	s := parseSearch(t, one(`{"property":"$identifier","operator":"in","value":["2026-01-01T00:00:00Z"]}`), catalog.SearchOptions{})
	if s.Matches(&catalog.Subject{Key: catalog.Key{Identifier: "2026-01-01T00:00:00.0Z"}}, now) {
		t.Error("an identifier matches as a date-time")
	}
}

func TestRelatedTo(t *testing.T) {
	t.Parallel()
	s := parseSearch(t, `{"combinator":"or","rules":[
		{"operator":"relatedTo","blueprint":"cluster","value":"c1"},
		{"combinator":"and","rules":[
			{"operator":"relatedTo","blueprint":"team","value":["a","b"],"direction":"upstream","required":false},
			{"operator":"matchAny","property":{"path":["r",{"relation":"s","maxHops":3}],"fromBlueprint":"x"},"value":["y"]}]}]}`, catalog.SearchOptions{})
	notRequired := false
	want := []catalog.RelatedTo{
		{Blueprint: "cluster", Values: []string{"c1"}},
		{Blueprint: "team", Values: []string{"a", "b"}, Direction: "upstream", Required: &notRequired},
		{Values: []string{"y"}, Path: []catalog.Hop{{Relation: "r", MaxHops: 1}, {Relation: "s", MaxHops: 3}}, FromBlueprint: "x"},
	}
	if diff := cmp.Diff(want, s.RelatedTo()); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	key := func(identifier string) catalog.Key { return catalog.Key{Blueprint: "bp_1", Identifier: identifier} }
	resolved, err := s.Resolve(func(r catalog.RelatedTo) (map[catalog.Key]bool, error) {
		switch r.Blueprint {
		case "cluster":
			return map[catalog.Key]bool{key("one"): true}, nil
		case "team":
			return map[catalog.Key]bool{key("two"): true, key("three"): true}, nil
		default:
			return map[catalog.Key]bool{key("two"): true}, nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	keys, ok := resolved.Keys()
	if diff := cmp.Diff(map[catalog.Key]bool{key("one"): true, key("two"): true}, keys); diff != "" || !ok {
		t.Errorf("keys, %t (-want +got):\n%s", ok, diff)
	}
	for identifier, want := range map[string]bool{"one": true, "two": true, "three": false, "four": false} {
		if got := resolved.Matches(&catalog.Subject{Key: key(identifier)}, now); got != want {
			t.Errorf("%s: got %t, want %t", identifier, got, want)
		}
		if s.Matches(&catalog.Subject{Key: key(identifier)}, now) {
			t.Errorf("%s matches the search that was not resolved", identifier)
		}
	}
	boom := errors.New("boom")
	calls := 0
	if _, err := s.Resolve(func(catalog.RelatedTo) (map[catalog.Key]bool, error) { calls++; return nil, boom }); !errors.Is(err, boom) || calls != 1 {
		t.Errorf("got %v after %d calls, want the first call's error", err, calls)
	}
}

// TestRestrictionsLeaveNothingOut holds that no entity which matches is outside what a search is
// restricted to, for searches of all shapes.
func TestRestrictionsLeaveNothingOut(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	leaves := []string{
		`{"property":"$blueprint","operator":"=","value":"a"}`, `{"property":"$blueprint","operator":"in","value":["a","b"]}`,
		`{"property":"$blueprint","operator":"!=","value":"a"}`, `{"property":"$blueprint","operator":"isNotEmpty"}`,
		`{"property":"$identifier","operator":"=","value":"x"}`, `{"property":"$identifier","operator":"matchAny","value":["x","y"]}`,
		`{"property":"$identifier","operator":"notIn","value":["x"]}`, `{"property":"$identifier","operator":"beginsWith","value":"y"}`,
		`{"property":"p","operator":"isEmpty"}`, `{"operator":"relatedTo","blueprint":"b","value":"1"}`, `{"operator":"relatedTo","blueprint":"b","value":"2"}`,
	}
	var group func(depth int) string
	group = func(depth int) string {
		var rules []string
		for range random.IntN(4) {
			if depth < 3 && random.IntN(3) == 0 {
				rules = append(rules, group(depth+1))
			} else {
				rules = append(rules, leaves[random.IntN(len(leaves))])
			}
		}
		return `{"combinator":"` + []string{"and", "or"}[random.IntN(2)] + `","rules":[` + strings.Join(rules, ",") + `]}`
	}
	for range 3000 {
		text := group(0)
		s, err := parseSearch(t, text, catalog.SearchOptions{}).Resolve(func(r catalog.RelatedTo) (map[catalog.Key]bool, error) {
			if r.Values[0] == "1" {
				return map[catalog.Key]bool{{Blueprint: "a", Identifier: "x"}: true, {Blueprint: "b", Identifier: "y"}: true}, nil
			}
			return map[catalog.Key]bool{{Blueprint: "a", Identifier: "x"}: true, {Blueprint: "c", Identifier: "z"}: false}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		blueprints, byBlueprint := s.Blueprints()
		identifiers, byIdentifier := s.Identifiers()
		keys, byKey := s.Keys()
		for _, b := range []string{"a", "b", "c"} {
			for _, id := range []string{"x", "y", "z"} {
				key := catalog.Key{Blueprint: b, Identifier: id}
				if !s.Matches(&catalog.Subject{Key: key, Blueprint: b}, now) {
					continue
				}
				if byBlueprint && !slices.Contains(blueprints, b) || byIdentifier && !slices.Contains(identifiers, id) || byKey && !keys[key] {
					t.Fatalf("%s: %v matches, but the search is restricted to %q %q %v", text, key, blueprints, identifiers, keys)
				}
			}
		}
	}
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	s := parseSearch(t, one(`{"property":"a","operator":"isEmpty"},{"property":"$title","operator":"isEmpty"},{"property":"$owned_by_team","operator":"isEmpty"},
		{"combinator":"or","rules":[{"property":"b","operator":"isEmpty"},{"relation":"r","targetProperty":"$title","operator":"isEmpty"},
		{"relation":"s","operator":"isEmpty"},{"propertySchema":{"type":"string"},"operator":"="}]}`), catalog.SearchOptions{})
	want := catalog.Needs{Properties: map[string]bool{"a": true, "b": true}, Schema: true, OwnedByTeam: true, RelatedTitles: map[string]bool{"r": true}}
	if diff := cmp.Diff(want, s.Needs()); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
	if keys, ok := s.Keys(); ok {
		t.Errorf("got keys %v of a search without relations", keys)
	}
}
