package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// staff has services, three teams (one with a name of its own, one with a name that is another's
// identifier but for case), and a user in two of them.
func staff(t *testing.T, w *world) {
	t.Helper()
	w.blueprint(t, `{"identifier":"domain","title":"T","schema":{"properties":{}}}`)
	w.blueprint(t, `{"identifier":"service","title":"T","schema":{"properties":{"tier":{"type":"string"},"lead":{"type":"string"}}},
		"relations":{"domain":{"target":"domain"}},"calculationProperties":{"loud":{"type":"string","calculation":".properties.tier | ascii_upcase"}}}`)
	w.blueprint(t, `{"identifier":"part","title":"T","schema":{"properties":{"desk":{"type":"string","format":"team"}}},"relations":{"service":{"target":"service"}},
		"ownership":{"type":"Inherited","path":"service"}}`)
	for _, team := range []string{`{"identifier":"platform","title":"Platform Engineers"}`, `{"identifier":"shop"}`, `{"identifier":"S","title":"Shop"}`} {
		w.entity(t, "_team", team)
	}
	w.entity(t, "_user", `{"identifier":"Ada@example.com","title":"Ada","team":["platform","shop"],"properties":{"firstname":"Ada"}}`)
	for _, domain := range []string{"money", "goods"} {
		w.entity(t, "domain", `{"identifier":"`+domain+`"}`)
	}
	for _, service := range []string{
		`{"identifier":"till","team":["platform"],"properties":{"tier":"gold","lead":"Ada@example.com"},"relations":{"domain":"money"}}`,
		`{"identifier":"cart","team":["Platform Engineers","shop"],"properties":{"tier":"gold"},"relations":{"domain":"goods"}}`,
		`{"identifier":"mail","team":["Shop"],"properties":{"tier":"lead"}}`,
	} {
		w.entity(t, "service", service)
	}
	w.entity(t, "part", `{"identifier":"lid","properties":{"desk":"platform"},"relations":{"service":"cart"}}`)
}

func identifiers(entities []*jqtemplate.Object) []string {
	var list []string
	for _, o := range entities {
		v, _ := o.Get("identifier")
		list = append(list, v.(string))
	}
	slices.Sort(list)
	return list
}

func TestReader(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, w *world) {
		staff(t, w)
		t.Run("Find", func(t *testing.T) { readerFinds(t, w) })
		t.Run("FindForACaller", func(t *testing.T) { readerFindsForACaller(t, w) })
		t.Run("Among", func(t *testing.T) { readerLooksAmong(t, w) })
	})
}

func readerFinds(t *testing.T, w *world) {
	gold := parseSearch(t, one(`{"property":"loud","operator":"=","value":"GOLD"}`), catalog.SearchOptions{})
	got, all, err := w.reader.Find(t.Context(), catalog.Find{Search: gold, Blueprint: "service", Limit: 1000})
	if err != nil || !all {
		t.Fatalf("Find: all %t, %v", all, err)
	}
	if diff := cmp.Diff([]string{"cart", "till"}, identifiers(got)); diff != "" {
		t.Errorf("entities (-want +got):\n%s", diff)
	}
	for _, o := range got {
		// Whole, as it is answered, computed properties included.
		_, want, err := w.service.Entity(t.Context(), "service", identifiers([]*jqtemplate.Object{o})[0])
		if err != nil {
			t.Fatal(err)
		}
		k, err := w.service.Blueprint(t.Context(), "service")
		if err != nil {
			t.Fatal(err)
		}
		views, err := w.service.View(t.Context(), k, []*catalog.Entity{want}, catalog.Selection{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(views[0]), string(jqtemplate.Encode(o))); diff != "" {
			t.Errorf("entity (-want +got):\n%s", diff)
		}
	}
	got, all, err = w.reader.Find(t.Context(), catalog.Find{Search: gold, Limit: 1})
	if err != nil || all || len(got) != 1 {
		t.Errorf("with a limit of 1: %d entities, all %t, %v", len(got), all, err)
	}
	if _, _, err := w.reader.Find(t.Context(), catalog.Find{Blueprint: "none", Limit: 1}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("in an unknown blueprint: %v", err)
	}
}

func readerFindsForACaller(t *testing.T, w *world) {
	tests := map[string]struct {
		rule  string
		email string
		want  []string
	}{
		"own property":             {`{"property":"lead","operator":"=","value":{"context":"user","property":"$identifier"}}`, "Ada@example.com", []string{"till"}},
		"e-mail in another case":   {`{"property":"lead","operator":"=","value":{"context":"user","property":"$identifier"}}`, "ada@EXAMPLE.com", []string{"till"}},
		"teams by identifier":      {`{"property":"$team","operator":"containsAny","value":{"context":"userTeams","property":"$identifier"}}`, "ada@example.com", []string{"Ada@example.com", "cart", "till"}},
		"teams by name":            {`{"property":"$team","operator":"containsAny","value":{"context":"userTeams","property":"$title"}}`, "ada@example.com", []string{"Ada@example.com", "cart", "till"}},
		"property of the caller":   {`{"property":{"context":"user","property":"firstname"},"operator":"=","value":"Bob"}`, "ada@example.com", nil},
		"a user who is not there":  {`{"property":"$team","operator":"containsAny","value":{"context":"userTeams","property":"$identifier"}}`, "bob@example.com", nil},
		"a machine has no e-mail":  {`{"property":"lead","operator":"=","value":{"context":"user","property":"$identifier"}}`, "", nil},
		"what is no property":      {`{"property":"lead","operator":"=","value":{"context":"user","property":"$owner"}}`, "ada@example.com", nil},
		"what the user lacks":      {`{"property":"lead","operator":"=","value":{"context":"user","property":"lastname"}}`, "ada@example.com", nil},
		"identifier of their team": {`{"property":"$identifier","operator":"in","value":{"context":"userTeams","property":"$identifier"}}`, "ada@example.com", []string{"platform", "shop"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := parseSearch(t, one(tt.rule), catalog.SearchOptions{}).Bind(w.reader.Caller(t.Context(), tt.email))
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := w.reader.Find(t.Context(), catalog.Find{Search: s, Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, identifiers(got)); diff != "" {
				t.Errorf("entities (-want +got):\n%s", diff)
			}
		})
	}
}

func readerLooksAmong(t *testing.T, w *world) {
	gold := parseSearch(t, one(`{"property":"tier","operator":"=","value":"gold"}`), catalog.SearchOptions{})
	related := parseSearch(t, one(`{"blueprint":"domain","operator":"relatedTo","value":"money"}`), catalog.SearchOptions{})
	asked := []string{"till", "mail", "gone", "", strings.Repeat("x", 1001), "till", "a b"}
	for name, tt := range map[string]struct {
		search *catalog.Search
		want   map[string]bool
	}{
		"all":        {nil, map[string]bool{"till": true, "mail": true}},
		"a property": {gold, map[string]bool{"till": true, "mail": false}},
		"relations":  {related, map[string]bool{"till": true, "mail": false}},
	} {
		got, err := w.reader.Among(t.Context(), "service", asked, tt.search)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := w.reader.Among(t.Context(), "none", asked, nil); fault.KindOf(err) != fault.NotFound {
		t.Errorf("in an unknown blueprint: %v", err)
	}
	many := make([]string, catalog.MaxAmong+1)
	for i := range many {
		many[i] = fmt.Sprint("n", i)
	}
	if got, err := w.reader.Among(t.Context(), "service", many[1:], nil); err != nil || len(got) != 0 {
		t.Errorf("as many as are allowed: %v, %v", got, err)
	}
	var f *fault.Error
	if _, err := w.reader.Among(t.Context(), "service", many, nil); !errors.As(err, &f) || f.Kind != fault.Invalid {
		t.Errorf("more than are allowed: %v", err)
	}
}

// A team is meant by its identifier and by its name, on both sides of a rule.
func TestSearchForTeams(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rule string
		want []string
	}{
		"by identifier":         {`{"property":"$team","operator":"contains","value":"platform"}`, []string{"cart", "till"}},
		"by name":               {`{"property":"$team","operator":"contains","value":"Platform Engineers"}`, []string{"cart", "till"}},
		"case matters":          {`{"property":"$team","operator":"contains","value":"Platform engineers"}`, nil},
		"another team":          {`{"property":"$team","operator":"contains","value":"S"}`, []string{"mail"}},
		"one of them":           {`{"property":"$team","operator":"in","value":["Platform Engineers","S"]}`, []string{"cart", "mail", "till"}},
		"exactly those":         {`{"property":"$team","operator":"=","value":["shop","platform"]}`, []string{"cart"}},
		"twice the same":        {`{"property":"$team","operator":"=","value":["platform","Platform Engineers"]}`, []string{"till"}},
		"none of them":          {`{"property":"$team","operator":"notIn","value":["Platform Engineers"]}`, []string{"mail"}},
		"owned by the relation": {`{"property":"$owned_by_team","operator":"contains","value":"platform"}`, []string{"cart", "lid", "till"}},
		"a property is text":    {`{"property":"desk","operator":"=","value":"platform"}`, []string{"lid"}},
		"and has no names":      {`{"property":"desk","operator":"=","value":"Platform Engineers"}`, nil},
		"a name of no team":     {`{"property":"$team","operator":"contains","value":"nobody"}`, nil},
	}
	onStores(t, func(t *testing.T, w *world) {
		staff(t, w)
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				text := `{"combinator":"and","rules":[{"property":"$blueprint","operator":"in","value":["service","part"]},` + tt.rule + `]}`
				if name == "none of them" {
					text = strings.Replace(text, `,"part"`, "", 1)
				}
				got, _, err := w.reader.Find(t.Context(), catalog.Find{Search: parseSearch(t, text, catalog.SearchOptions{}), Limit: 1000})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, identifiers(got)); diff != "" {
					t.Errorf("entities (-want +got):\n%s", diff)
				}
			})
		}
	})
}

// throttled is a store that reads no entities by their keys now.
type throttled struct{ catalog.Store }

func (throttled) Entities(context.Context, []catalog.Key) ([]*catalog.Entity, error) {
	return nil, fault.Busy(errors.New("throttled"), 0, "the store is busy")
}

// Whom a rule about the title of a related entity lets pass is not known while that cannot be read.
func TestTitleOfARelationThatCannotBeRead(t *testing.T) {
	t.Parallel()
	store, _ := onSQLite(t)
	w := newWorld(store)
	staff(t, w)
	search := parseSearch(t, one(`{"property":"$blueprint","operator":"=","value":"service"},`+
		`{"relation":"domain","targetProperty":"$title","operator":"!=","value":"Money"}`), catalog.SearchOptions{})
	find := catalog.Find{Search: search, Limit: 10}
	if found, _, err := w.reader.Find(t.Context(), find); err != nil || len(found) == 0 {
		t.Fatalf("got %d entities, %v", len(found), err)
	}
	found, _, err := newWorld(throttled{store}).reader.Find(t.Context(), find)
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %d entities and %v, want an unavailable fault", len(found), err)
	}
}
