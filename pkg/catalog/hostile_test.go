package catalog_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

func repeated(s string, n int) string {
	return strings.TrimSuffix(strings.Repeat(s+",", n), ",")
}

func TestHostileBlueprints(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		// want is part of the message; empty when the blueprint is good.
		want string
	}{
		{"nothing", ``, "malformed JSON at byte 0"},
		{"null", `null`, "a blueprint must be an object"},
		{"invalid UTF-8", blueprint(``, "\"description\":\"a\xffb\""), "invalid UTF-8"},
		{"two values", blueprint(``, ``) + `{}`, "text after the value"},
		{"deep lists", blueprint(``, `"x":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)), "nested deeper than 512 levels"},
		{"deep items", blueprint(`"a":{"type":"array","items":`+strings.Repeat(`{"type":"array","items":`, 500)+`{}`+strings.Repeat("}", 501), ``), ""},
		{"deep properties with a fault at the end", blueprint(`"a":{"type":"object","properties":`+strings.Repeat(`{"a":{"properties":`, 240)+`{"a":{"type":7}}`+strings.Repeat("}}", 240)+`}`, ``), "…: must be one of"},
		{"too large", blueprint(``, `"x":"`+strings.Repeat("x", catalog.MaxBlueprint)+`"`), "a blueprint may have at most 358400 bytes"},
		{"white space does not count", strings.Repeat(" ", 600<<10) + blueprint(``, ``), ""},
		{"unknown fields beyond count", blueprint(``, `"ownership":{"type":"Direct",`+many(30_000, `"`, `":1`)+`}`), "more faults are not listed"},
		{"names beyond count", blueprint(many(20_000, `"a `, `":{}`), ``), "more faults are not listed"},
		{"a path without dots as long as it can be", blueprint(``, `"mirrorProperties":{"m":{"path":"`+strings.Repeat("a", 300_000)+`"}}`), "must have at most 1000 characters"},
		{"a path of many dots", blueprint(``, `"mirrorProperties":{"m":{"path":"`+strings.Repeat("a.", 499)+`."}}`), "must be a relation's name"},
		{"a pattern that is no expression", blueprint(`"a":{"type":"string","pattern":"(?<"}`, ``), "pattern: must be a regular expression"},
		{"a pattern that repeats repetitions", blueprint(`"a":{"type":"string","pattern":"((((a{1,1000}){1,1000}){1,1000}){1,1000}){1,1000}"}`, ``), ""},
		{"lengths beyond integers", blueprint(`"a":{"type":"string","maxLength":1e300}`, ``), "must be at most 2147483647"},
		{"multiples of nothing", blueprint(`"a":{"type":"number","multipleOf":0}`, ``), "multipleOf: must be more than 0"},
		{"keywords as names", blueprint(`"properties":{"type":"object","properties":{"$ref":{"type":"string"},"$id":{"type":"string"},"required":{"type":"array"}}},"type":{"type":"string"},"required":{"type":"string"}`, ``), ""},
		{"references", blueprint(`"a":{"type":"string","$ref":"https://example.com/x.json","$id":"y","definitions":{"z":7}}`, ``), ""},
		{"no alternatives", blueprint(`"a":{"type":"string","oneOf":[],"anyOf":[],"allOf":[]}`, ``), ""},
		{"wrong alternatives", blueprint(`"a":{"type":"string","oneOf":[7,{"minLength":"x"}],"anyOf":{}}`, ``), "anyOf: must be an array"},
		{"a name of the object's prototype", blueprint(`"__proto__":{"type":"string"},"constructor":{"type":"string"}`, ``), ""},
		{"a calculation that nests", blueprint(``, `"calculationProperties":{"c":{"type":"number","calculation":"`+strings.Repeat("(", 5000)+`"}}`), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := catalog.ParseBlueprint(json.RawMessage(tt.text))
			if tt.want == "" {
				if err != nil {
					t.Fatalf("ParseBlueprint: %.500v", err)
				}
				stored, err := catalog.CompactBlueprint([]byte(tt.text), "")
				if err != nil {
					t.Fatalf("CompactBlueprint: %v", err)
				}
				view, err := catalog.BlueprintView(&catalog.Blueprint{Definition: stored})
				if _, bad := jqtemplate.Decode(view); err != nil || bad != nil {
					t.Errorf("BlueprintView: %v, %v", err, bad)
				}
				return
			}
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 1<<20 {
				t.Fatalf("ParseBlueprint: %.500v, want a fault with %q", err, tt.want)
			}
		})
	}
}

// many returns members whose names are numbers.
func many(n int, before, after string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(before + strconv.Itoa(i) + after)
	}
	return b.String()
}

func TestHostileEntities(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, blueprint, body, want string }{
		{"a pattern that takes exponential time", blueprint(`"a":{"type":"string","pattern":"^(a+)+$"}`, ``), `{"properties":{"a":"` + strings.Repeat("a", 100) + `b"}}`, "properties.a: matching the pattern ^(a+)+$ takes too long"},
		{"many of them", blueprint(`"a":{"type":"array","items":{"type":"string","pattern":"^(a+)+$"}}`, ``), `{"properties":{"a":[` + repeated(`"`+strings.Repeat("a", 100)+`b"`, 1000) + `]}}`, "takes too long"},
		{"a long list against a long enum", blueprint(`"a":{"type":"array","items":{"type":"string","enum":[`+many(20_000, `"`, `"`)+`]}}`, ``), `{"properties":{"a":[` + repeated(`"19999"`, 30_000) + `]}}`, ""},
		{"objects that lack much", blueprint(`"a":{"type":"array","items":{"type":"object","required":[`+many(2_500, `"`, `"`)+`]}}`, ``), `{"properties":{"a":[` + repeated(`{}`, 2_500) + `]}}`, "properties: has too many values to be checked"},
		{"objects with many members declared", blueprint(`"a":{"type":"array","items":{"type":"object","properties":{`+many(2_500, `"`, `":{}`)+`}}}`, ``), `{"properties":{"a":[` + repeated(`{}`, 2_500) + `]}}`, "properties: has too many values to be checked"},
		{"many alternatives", blueprint(`"a":{"type":"array","items":{"anyOf":[`+repeated(`{"type":"number"}`, 2_500)+`]}}`, ``), `{"properties":{"a":[` + repeated(`"x"`, 2_500) + `]}}`, "properties: has too many values to be checked"},
		{"nested alternatives", blueprint(`"a":{"type":"string","anyOf":[`+strings.Repeat(`{"allOf":[{"type":"number"},{"anyOf":[{"type":"number"},`, 100)+`{}`+strings.Repeat(`]}]}`, 100)+`]}`, ``), `{"properties":{"a":"x"}}`, "properties.a: must be a number, got a string"},
		{"faults beyond count", service, `{"properties":{"tags":[` + repeated(`1`, 100_000) + `]}}`, "more faults are not listed"},
		{"unknown properties beyond count", service, `{"properties":{` + many(20_000, `"`, `":1`) + `}}`, "more faults are not listed"},
		{"relations beyond count", service, `{"relations":{"deps":[` + repeated(`"a b"`, 50_000) + `]}}`, "more faults are not listed"},
		{"a deep value", service, `{"properties":{"meta":` + strings.Repeat(`{"k":`, 490) + `1` + strings.Repeat(`}`, 490) + `}}`, "properties.meta.k: must be a string"},
		{"deeper than can be", service, `{"properties":{"meta":` + strings.Repeat(`[`, 600) + strings.Repeat(`]`, 600) + `}}`, "nested deeper than 512"},
		{"NUL in an identifier", service, `{"identifier":"a\u0000"}`, "identifier: must be made of"},
		{"a line feed at an identifier's end", service, `{"identifier":"a\n"}`, "identifier: must be made of"},
		{"dots and a line feed", service, `{"identifier":"..\n"}`, "identifier: must be made of"},
		{"a lone surrogate", service, `{"identifier":"\ud800"}`, "identifier: must be made of"},
		{"an empty relation", service, `{"relations":{"domain":""}}`, "relations.domain: must be made of"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := definition(t, tt.blueprint)
			start := time.Now()
			b, err := catalog.ParseBody(json.RawMessage(tt.body), catalog.Creating)
			if err == nil {
				_, err = catalog.Create(d, b)
			}
			if took := time.Since(start); took > 10*time.Minute {
				t.Errorf("it took %v", took)
			}
			if tt.want == "" && err == nil {
				return
			}
			if fault.KindOf(err) != fault.Invalid || tt.want == "" || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 1<<20 {
				t.Errorf("Create: %.500v, want %q", err, tt.want)
			}
		})
	}
}

func TestHostileCalculations(t *testing.T) {
	t.Parallel()
	d := definition(t, blueprint(``, `"calculationProperties":{"slow":{"type":"number","calculation":"last(range(1e12))"},"big":{"type":"string","calculation":"\"x\" * 1000000"}}`))
	var entities []*catalog.Entity
	for range 50 {
		entities = append(entities, entity("e", `{}`))
	}
	start := time.Now()
	views, err := catalog.EntityViews(t.Context(), d, entities, catalog.NewSelection([]string{"slow", "big"}, nil), nil)
	if took := time.Since(start); err != nil || took > 10*time.Minute {
		t.Fatalf("EntityViews: %v, after %v", err, took)
	}
	for _, v := range views {
		if string(v) != `{"identifier":"e","properties":{"slow":null,"big":null}}` {
			t.Fatalf("got %.200s", v)
		}
	}
}

func TestWideRelations(t *testing.T) {
	t.Parallel()
	c := company(t)
	d := definition(t, `{"identifier":"wide","title":"W","schema":{"properties":{"text":{"type":"string"}}},"relations":{"w":{"target":"wide","many":true}},"mirrorProperties":{"x":{"path":"w.w.w.text"},"y":{"path":"w.w.w.$identifier"}}}`)
	c.definitions["wide"] = d
	c.entities["wide"] = map[string]*catalog.Entity{}
	names := many(2000, `"n`, `"`)
	for i := range 2000 {
		name := "n" + strconv.Itoa(i)
		c.entities["wide"][name] = entity(name, `{"properties":{"text":"`+strings.Repeat("x", 1000)+`"},"relations":{"w":[`+names+`]}}`)
	}
	got := view(t, d, entity("e", `{"relations":{"w":[`+names+`]}}`), catalog.NewSelection([]string{"x", "y"}, nil), c)
	if len(got) > 1<<20 || !strings.Contains(got, `"x":null`) || !strings.Contains(got, `"n999"]`) {
		t.Errorf("got %d bytes: %.200s", len(got), got)
	}
}

func TestManyMirrorsOfALargeText(t *testing.T) {
	t.Parallel()
	c := company(t)
	d := definition(t, blueprint(``, `"relations":{"r":{"target":"domain"}},"mirrorProperties":{"x":{"path":"r.o"}}`))
	c.entities["domain"]["large"] = entity("large", `{"properties":{"o":"`+strings.Repeat("x", 300<<10)+`"}}`)
	var entities []*catalog.Entity
	for range 1000 {
		entities = append(entities, entity("e", `{"relations":{"r":"large"}}`))
	}
	views, err := catalog.EntityViews(t.Context(), d, entities, catalog.Selection{}, c)
	if err != nil {
		t.Fatalf("EntityViews: %v", err)
	}
	total := 0
	for _, v := range views {
		total += len(v)
	}
	if total < 30<<20 || total > 34<<20 || !strings.Contains(string(views[999]), `"x":null`) {
		t.Errorf("the views have %d bytes", total)
	}
}

func TestMirrorsInCircles(t *testing.T) {
	t.Parallel()
	c := company(t)
	// Each mirror shows two others, and each calculation needs all of them.
	d := definition(t, `{"identifier":"c","title":"C","schema":{"properties":{}},"relations":{"r":{"target":"c","many":true}},"mirrorProperties":{"x":{"path":"r.y"},"y":{"path":"r.x"},"z":{"path":"r.n"}},`+
		`"calculationProperties":{"n":{"type":"array","calculation":".properties.x + .properties.y + .properties.z"}}}`)
	c.definitions["c"] = d
	const text = `{"relations":{"r":["a","b","c","d","e"]}}`
	c.entities["c"] = map[string]*catalog.Entity{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		c.entities["c"][name] = entity(name, text)
	}
	// A thousand mirrors show calculations that need all of them.
	wide := definition(t, `{"identifier":"w","title":"W","schema":{"properties":{}},"relations":{"r":{"target":"w","many":true}},"mirrorProperties":{`+many(1000, `"m`, `":{"path":"r.n"}`)+`},`+
		`"calculationProperties":{"n":{"type":"number","calculation":"1"}}}`)
	c.definitions["w"], c.entities["w"] = wide, c.entities["c"]
	start := time.Now()
	if got := view(t, wide, entity("a", text), catalog.NewSelection([]string{"n"}, nil), c); got != `{"identifier":"a","properties":{"n":1}}` {
		t.Errorf("got %.300s", got)
	}
	got := view(t, d, entity("a", text), catalog.NewSelection([]string{"properties"}, nil), c)
	if took := time.Since(start); took > 10*time.Minute || got != `{"identifier":"a","properties":{"x":[],"y":[],"z":[],"n":[]}}` {
		t.Errorf("got %.300s after %v", got, took)
	}
}

func FuzzEntity(f *testing.F) {
	for _, text := range []string{`{}`, `{"identifier":"a","team":"t","properties":{"name":"xy","count":1},"relations":{"deps":["a"]}}`, `{"relations":{"domain":{"combinator":"and","rules":[]}}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d := definition(t, service)
		b, err := catalog.ParseBody(text, catalog.Creating)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("ParseBody: %v", err)
			}
			return
		}
		for _, q := range b.Queries {
			b.Resolve(q, []string{"found"})
		}
		draft, err := catalog.Create(d, b)
		if err != nil {
			if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.NotFound {
				t.Fatalf("Create: %v", err)
			}
			return
		}
		shown := view(t, d, entity(draft.Identifier, string(draft.Content)), catalog.Selection{ExcludeCalculated: true}, nil)
		again, err := catalog.Create(d, body(t, shown, catalog.Creating))
		if err != nil {
			t.Fatalf("what was shown cannot be sent again: %v", err)
		}
		if got := view(t, d, entity(again.Identifier, string(again.Content)), catalog.Selection{ExcludeCalculated: true}, nil); got != shown {
			t.Fatalf("got %s after %s", got, shown)
		}
	})
}

func FuzzBlueprint(f *testing.F) {
	for _, text := range []string{
		service, demanding, blueprint(`"a":{"type":"array","items":{"type":"string","pattern":"^(?=a)"},"anyOf":[{"enum":["a"]}]}`, `"ownership":{"type":"Direct"}`), `{}`, `[]`,
	} {
		f.Add([]byte(text), []byte(`{"schema":{"properties":{"a":{"title":"x"},"b":null}},"relations":{"r":{"target":"y"}},"icon":null}`))
	}
	f.Fuzz(func(t *testing.T, text, patch []byte) {
		d, err := catalog.ParseBlueprint(text)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("ParseBlueprint: %v", err)
			}
			return
		}
		stored, err := catalog.CompactBlueprint(text, "")
		if err != nil {
			t.Fatalf("CompactBlueprint of what was read: %v", err)
		}
		if again, err := catalog.ParseBlueprint(stored); err != nil || again.Identifier != d.Identifier {
			t.Fatalf("ParseBlueprint of what is stored: %v", err)
		}
		shown, err := catalog.BlueprintView(&catalog.Blueprint{Definition: stored})
		if err != nil {
			t.Fatalf("BlueprintView: %v", err)
		}
		if _, err := catalog.ParseBlueprint(shown); err != nil {
			t.Fatalf("what was shown cannot be sent again: %v", err)
		}
		merged, err := catalog.MergeBlueprint(stored, patch)
		if err == nil {
			_, err = jqtemplate.Decode(merged)
		}
		if err == nil {
			_, err = catalog.CompleteSystem(catalog.TeamBlueprint, merged)
		}
		if err != nil && fault.KindOf(err) != fault.Invalid {
			t.Fatalf("MergeBlueprint: %v", err)
		}
	})
}

// A search is refused with the places of its faults, or asked of an entity without a panic.
func FuzzSearch(f *testing.F) {
	for _, text := range []string{
		one(`{"property":"n","operator":">","value":1}`), one(`{"property":"$identifier","operator":"in","value":["a"]}`),
		one(`{"combinator":"or","rules":[{"operator":"relatedTo","blueprint":"b","value":"x","required":true}]}`),
		one(`{"property":"$updatedAt","operator":"between","value":{"preset":"lastWeek"}}`),
		one(`{"property":"s","operator":"contains","value":{"jqQuery":".form.x"}}`), `{"combinator":"and","rules":[]}`, `{}`, `null`,
	} {
		f.Add([]byte(text))
	}
	properties, err := jqtemplate.Decode([]byte(`{"n":1.5,"s":"text","l":[1,"a",null],"o":{"a":[{}]},"d":"2026-01-01T00:00:00Z","b":true,"z":null}`))
	if err != nil {
		f.Fatal(err)
	}
	subject := &catalog.Subject{
		Key: catalog.Key{Blueprint: "b", Identifier: "a"}, Title: "A", Properties: properties.(*jqtemplate.Object),
		Schema: new(jqtemplate.Object), Relations: new(jqtemplate.Object),
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		value, err := jqtemplate.Decode(text)
		if err != nil {
			return
		}
		s, err := catalog.ParseSearch(value, "query", catalog.SearchOptions{})
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("ParseSearch: %v", err)
			}
			return
		}
		now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
		if first, again := s.Matches(subject, now), s.Matches(subject, now); first != again {
			t.Fatalf("matched %v, and then %v", first, again)
		}
	})
}
