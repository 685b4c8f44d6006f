package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/jqtemplate"
)

// catalogue is a Lookup among entities in memory. It belongs to one goroutine.
type catalogue struct {
	definitions map[string]*catalog.Definition
	entities    map[string]map[string]*catalog.Entity
	// asked are the calls of Related.
	asked []string
	err   error
}

func (c *catalogue) Definition(_ context.Context, blueprint string) (*catalog.Definition, error) {
	return c.definitions[blueprint], nil
}

func (c *catalogue) Related(_ context.Context, blueprint string, identifiers []string) ([]*catalog.Entity, error) {
	c.asked = append(c.asked, fmt.Sprintf("%s %d", blueprint, len(identifiers)))
	if len(identifiers) > 100 {
		return nil, errors.New("more than 100 at once")
	}
	var found []*catalog.Entity
	for _, name := range slices.Backward(identifiers) {
		if e := c.entities[blueprint][name]; e != nil {
			found = append(found, e)
		}
	}
	return found, c.err
}

// company has services with a domain and dependencies, and domains with groups.
func company(t testing.TB) *catalogue {
	t.Helper()
	c := &catalogue{
		definitions: map[string]*catalog.Definition{
			"service": definition(t, service),
			"domain":  definition(t, `{"identifier":"domain","title":"D","schema":{"properties":{"cost":{"type":"number"},"links":{"type":"array"},"o":{"type":"object"}}},"relations":{"groups":{"target":"group","many":true},"gone":{"target":"gone"}},"mirrorProperties":{"first":{"path":"groups.$title"}},"calculationProperties":{"twice":{"type":"number","calculation":".properties.cost * 2"},"names":{"type":"string","calculation":".properties.first | join(\"-\")"}}}`),
			"group":   definition(t, `{"identifier":"group","title":"G","schema":{"properties":{}}}`),
		},
		entities: map[string]map[string]*catalog.Entity{},
	}
	add := func(blueprint, identifier, content string) {
		if c.entities[blueprint] == nil {
			c.entities[blueprint] = map[string]*catalog.Entity{}
		}
		c.entities[blueprint][identifier] = entity(identifier, content)
	}
	add("domain", "d", `{"title":"Domain","team":["t"],"properties":{"cost":1.50,"links":[1,2],"o":{"a":{"b":"c"}}},"relations":{"groups":["g1","g2","g3"],"gone":"x"}}`)
	add("domain", "e", `{"properties":{"links":[3,[4]]},"relations":{"groups":["g2"]}}`)
	add("group", "g1", `{"title":"One"}`)
	add("group", "g2", `{"title":"Two"}`)
	return c
}

func view(t testing.TB, d *catalog.Definition, e *catalog.Entity, s catalog.Selection, l catalog.Lookup) string {
	t.Helper()
	views, err := catalog.EntityViews(t.Context(), d, []*catalog.Entity{e}, s, l)
	if err != nil || len(views) != 1 {
		t.Fatalf("EntityViews: %s, %v", views, err)
	}
	return string(views[0])
}

func TestEntityView(t *testing.T) {
	t.Parallel()
	const simple = `{"identifier":"simple","title":"S","schema":{"properties":{"a":{"type":"number"},"b":{"type":"string","default":"x"}}},"relations":{"one":{"target":"x"},"some":{"target":"y","many":true}}}`
	tests := []struct{ name, content, want string }{
		{"nothing was sent", `{}`, `"title":null,"icon":null,"team":[],"blueprint":"simple","properties":{"a":null,"b":null},"relations":{"one":null,"some":[]}`},
		{"all was sent", `{"title":"T","icon":"","team":["t"],"properties":{"b":"<é>","a":1.50},"relations":{"some":["x","x"],"one":"y"}}`,
			`"title":"T","icon":"","team":["t"],"blueprint":"simple","properties":{"a":1.50,"b":"<é>"},"relations":{"one":"y","some":["x","x"]}`},
		{"nulls were sent", `{"title":null,"team":[],"properties":{"a":null},"relations":{"some":null,"one":null}}`,
			`"title":null,"icon":null,"team":[],"blueprint":"simple","properties":{"a":null,"b":null},"relations":{"one":null,"some":[]}`},
		{"what the blueprint does not have any more", `{"properties":{"gone":1},"relations":{"gone":"x","some":"one","one":["first","second"]}}`,
			`"title":null,"icon":null,"team":[],"blueprint":"simple","properties":{"a":null,"b":null},"relations":{"one":"first","some":["one"]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := view(t, definition(t, simple), entity("e/1", tt.content), catalog.Selection{}, nil)
			if diff := cmp.Diff(`{"identifier":"e/1",`+tt.want+`,`+entityTimes+`}`, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	const text = `{"identifier":"s","title":"S","schema":{"properties":{"a":{"type":"number"},"b":{"type":"string"}}},"relations":{"r":{"target":"x"},"q":{"target":"y","many":true}},` +
		`"calculationProperties":{"c":{"type":"number","calculation":"1"}},"mirrorProperties":{"m":{"path":"no.$title"}}}`
	const meta = `identifier title icon team blueprint`
	const times = `createdAt updatedAt createdBy updatedBy`
	tests := []struct {
		name             string
		include, exclude []string
		plain            bool
		want             string
	}{
		{"everything", nil, nil, false, meta + " a b m c . r q . " + times},
		{"nothing calculated", nil, nil, true, meta + " a b . r q . " + times},
		{"empty parameters", []string{"", " , "}, []string{","}, false, meta + " a b m c . r q . " + times},
		{"a property", []string{"a"}, nil, false, "identifier a ."},
		{"dotted", []string{"properties.a", "relations.q"}, nil, false, "identifier a . q ."},
		{"commas and repetitions", []string{"a, b", "title"}, nil, false, "identifier title a b ."},
		{"with a dollar", []string{"$title,$updatedAt,$team"}, nil, false, "identifier title team updatedAt"},
		{"groups", []string{"properties", "relations"}, nil, false, "identifier a b m c . r q ."},
		{"what there is not", []string{"zzz", "properties.zzz", "$zzz"}, nil, false, "identifier"},
		{"a calculated one though none is wanted", []string{"c", "a"}, nil, true, "identifier a ."},
		{"without", nil, []string{"properties.a", "r", "$createdAt", "title"}, false, "identifier icon team blueprint b m c . q . updatedAt createdBy updatedBy"},
		{"without groups", nil, []string{"properties,relations"}, false, meta + " " + times},
		{"both", []string{"a", "b", "identifier"}, []string{"b", "$identifier"}, false, "a ."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := catalog.NewSelection(tt.include, tt.exclude)
			s.ExcludeCalculated = tt.plain
			v, err := jqtemplate.Decode([]byte(view(t, definition(t, text), entity("e", `{}`), s, company(t))))
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			var got []string
			for name, v := range v.(*jqtemplate.Object).All() {
				if group, ok := v.(*jqtemplate.Object); ok {
					for name := range group.All() {
						got = append(got, name)
					}
					name = "."
				}
				got = append(got, name)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMirrorProperties(t *testing.T) {
	t.Parallel()
	const all = `{"domain":"d","deps":["d","nobody","e"]}`
	tests := []struct{ path, relations, want string }{
		{"one.$title", all, `"Domain"`},
		{"one.$identifier", all, `"d"`},
		{"one.$blueprint", all, `"domain"`},
		{"one.$team", all, `["t"]`},
		{"one.$createdAt", all, `"2026-01-02T03:04:05.006Z"`},
		{"one.cost", all, `1.50`},
		{"one.links", all, `[1,2]`},
		{"one.o.a.b", all, `"c"`},
		{"one.o.a.x", all, `null`},
		{"one.cost.x", all, `null`},
		{"one.groups", all, `["g1","g2","g3"]`},
		{"one.groups.$title", all, `["One","Two"]`},
		{"one.gone.$title", all, `null`},
		{"one.first", all, `["One","Two"]`},
		{"some.first", all, `["One","Two","Two"]`},
		{"one.twice", all, `3`},
		{"some.twice", all, `[3]`},
		{"one.names", all, `"One-Two"`},
		{"one.first.x", all, `null`},
		{"one.none", all, `null`},
		{"one.$none", all, `null`},
		{"none.$title", all, `null`},
		{"some.$identifier", all, `["d","e"]`},
		{"some.$title", all, `["Domain"]`},
		{"some.links", all, `[1,2,3,[4]]`},
		{"some.groups.$title", all, `["One","Two","Two"]`},
		{"some.gone.$title", all, `[]`},
		{"one.$title", `{"one":null}`, `null`},
		{"one.$title", `{"one":"nobody"}`, `null`},
		{"some.$title", `{}`, `[]`},
	}
	for _, tt := range tests {
		t.Run(tt.path+" of "+tt.relations, func(t *testing.T) {
			t.Parallel()
			d := definition(t, `{"identifier":"m","title":"M","schema":{"properties":{}},"relations":{"one":{"target":"domain"},"some":{"target":"domain","many":true}},"mirrorProperties":{"x":{"path":"`+tt.path+`"}}}`)
			relations := strings.NewReplacer(`"domain"`, `"one"`, `"deps"`, `"some"`).Replace(tt.relations)
			got := view(t, d, entity("e", `{"relations":`+relations+`}`), catalog.NewSelection([]string{"x"}, []string{"identifier"}), company(t))
			if diff := cmp.Diff(`{"properties":{"x":`+tt.want+`}}`, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMirrorsReadInBatches(t *testing.T) {
	t.Parallel()
	c := company(t)
	d := definition(t, `{"identifier":"m","title":"M","schema":{"properties":{}},"relations":{"one":{"target":"domain"}},"mirrorProperties":{"x":{"path":"one.$title"},"y":{"path":"one.groups.$title"}}}`)
	var entities []*catalog.Entity
	for i := range 250 {
		name := fmt.Sprintf("d%d", i)
		c.entities["domain"][name] = entity(name, `{"title":"`+name+`","relations":{"groups":["g1"]}}`)
		entities = append(entities, entity("e", `{"relations":{"one":"`+name+`"}}`))
	}
	views, err := catalog.EntityViews(t.Context(), d, entities, catalog.NewSelection([]string{"properties"}, nil), c)
	if err != nil {
		t.Fatalf("EntityViews: %v", err)
	}
	for i, v := range views {
		if want := fmt.Sprintf(`{"identifier":"e","properties":{"x":"d%d","y":["One"]}}`, i); string(v) != want {
			t.Errorf("got %s, want %s", v, want)
		}
	}
	if diff := cmp.Diff([]string{"domain 100", "domain 100", "domain 50", "group 1"}, c.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	c.asked = nil
	s := catalog.Selection{ExcludeCalculated: true}
	if _, err := catalog.EntityViews(t.Context(), d, entities, s, c); err != nil || c.asked != nil {
		t.Errorf("nothing is to be computed, but %q was asked, %v", c.asked, err)
	}
	c.err = errors.New("no store")
	if _, err := catalog.EntityViews(t.Context(), d, entities, catalog.Selection{}, c); !errors.Is(err, c.err) {
		t.Errorf("got error %v", err)
	}
}

func TestCalculationProperties(t *testing.T) {
	t.Parallel()
	tests := []struct{ kind, calculation, want string }{
		{"number", `.properties.a * 2`, `3`},
		{"string", `.properties.a * 2`, `null`},
		{"string", `.identifier + .title + .team[0]`, `"eTt"`},
		{"string", `.properties.mirrored`, `"Domain"`},
		{"array", `.relations.some`, `["x"]`},
		{"object", `{z: 1, a: .properties.none}`, `{"z":1,"a":null}`},
		{"boolean", `.properties.a > 1`, `true`},
		{"string", `.createdAt`, `"2026-01-02T03:04:05.006Z"`},
		{"string", `.blueprint`, `"m"`},
		{"number", `error("no")`, `null`},
		{"number", `empty`, `null`},
		{"number", `.a +`, `null`},
		{"number", `null`, `null`},
		{"number", `.properties.other`, `null`},
		{"array", `[range(1e12)]`, `null`},
	}
	for _, tt := range tests {
		t.Run(tt.kind+" "+tt.calculation, func(t *testing.T) {
			t.Parallel()
			expression, _ := json.Marshal(tt.calculation)
			d := definition(t, `{"identifier":"m","title":"M","schema":{"properties":{"a":{"type":"number"}}},"relations":{"one":{"target":"domain"},"some":{"target":"x","many":true}},`+
				`"mirrorProperties":{"mirrored":{"path":"one.$title"}},"calculationProperties":{"other":{"type":"number","calculation":"1"},"x":{"type":"`+tt.kind+`","calculation":`+string(expression)+`}}}`)
			e := entity("e", `{"title":"T","team":["t"],"properties":{"a":1.5},"relations":{"one":"d","some":["x"]}}`)
			got := view(t, d, e, catalog.NewSelection([]string{"x"}, []string{"identifier"}), company(t))
			if diff := cmp.Diff(`{"properties":{"x":`+tt.want+`}}`, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
