package catalog_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
)

// service has a property of most kinds and every kind of relation.
const service = `{"identifier":"service","title":"Service","schema":{"properties":{` +
	`"name":{"type":"string","minLength":2},"count":{"type":"number","minimum":0},"on":{"type":"boolean"},` +
	`"tags":{"type":"array","items":{"type":"string","pattern":"^[a-z]+$"}},"meta":{"type":"object","required":["k"],"properties":{"k":{"type":"string"}},"additionalProperties":false},` +
	`"tier":{"type":"string","enum":["gold","silver"]},"url":{"type":"string","format":"url"},"mail":{"type":"string","format":"idn-email"},` +
	`"at":{"type":"string","format":"date-time"},"until":{"type":"string","format":"timer"},"ip":{"type":"string","format":"ipv4"},"text":{"type":"string","format":"yaml"}}},` +
	`"relations":{"domain":{"target":"domain"},"deps":{"target":"service","many":true}},` +
	`"mirrorProperties":{"domainTitle":{"path":"domain.$title"}},"calculationProperties":{"double":{"type":"number","calculation":".properties.count * 2"}}}`

// demanding requires a property and a relation.
const demanding = `{"identifier":"demanding","title":"D","schema":{"properties":{"a":{"type":"string"},"b":{"type":"string"}},"required":["a","undeclared"]},` +
	`"relations":{"one":{"target":"x","required":true},"some":{"target":"y","required":true,"many":true}}}`

func TestCreate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, blueprint, body string
		want                  catalog.Draft
	}{
		{"as little as possible", service, `{"identifier":"a"}`, catalog.Draft{Identifier: "a", Content: json.RawMessage(`{}`)}},
		{"all members as they were sent", service, `{"relations":{"deps":["b","c"],"domain":"d"},"properties":{"count":1.50,"name":"x\u0041","tags":[]},"team":["t",""],"icon":"","title":"T","identifier":"org/a=1"}`,
			catalog.Draft{
				Identifier: "org/a=1",
				Content:    json.RawMessage(`{"title":"T","icon":"","team":["t",""],"properties":{"count":1.50,"name":"x\u0041","tags":[]},"relations":{"deps":["b","c"],"domain":"d"}}`),
				Targets: []catalog.Target{
					{Relation: "deps", Blueprint: "service", Identifier: "b", Path: "relations.deps[0]"},
					{Relation: "deps", Blueprint: "service", Identifier: "c", Path: "relations.deps[1]"},
					{Relation: "domain", Blueprint: "domain", Identifier: "d", Path: "relations.domain"},
				},
			}},
		{"nulls are kept", service, `{"identifier":"a","title":null,"icon":null,"team":null,"properties":{"count":null},"relations":{"domain":null,"deps":null}}`,
			catalog.Draft{Identifier: "a", Content: json.RawMessage(`{"title":null,"icon":null,"team":[],"properties":{"count":null},"relations":{"domain":null,"deps":null}}`)}},
		{"a null group counts as absent", service, `{"identifier":"a","properties":null,"relations":null}`, catalog.Draft{Identifier: "a", Content: json.RawMessage(`{}`)}},
		{"one team, one of many", service, `{"identifier":"a","team":"t","relations":{"deps":"b"}}`, catalog.Draft{
			Identifier: "a", Content: json.RawMessage(`{"team":["t"],"relations":{"deps":"b"}}`),
			Targets: []catalog.Target{{Relation: "deps", Blueprint: "service", Identifier: "b", Path: "relations.deps"}},
		}},
		{"members of what was read", service, `{"identifier":"a","blueprint":"service","createdAt":"x","scorecards":{},"updatedBy":7}`, catalog.Draft{Identifier: "a", Content: json.RawMessage(`{}`)}},
		{"formats", service, `{"identifier":"a","properties":{"url":"https://x.example/a?b","mail":"jürgen@x.example","at":"2026-01-31T09:30:00Z","until":"2026-01-31T09:30:00.123+02:00","ip":"10.0.0.1","text":"a: ["}}`,
			catalog.Draft{Identifier: "a", Content: json.RawMessage(`{"properties":{"url":"https://x.example/a?b","mail":"jürgen@x.example","at":"2026-01-31T09:30:00Z","until":"2026-01-31T09:30:00.123+02:00","ip":"10.0.0.1","text":"a: ["}}`)}},
		{"a repeated member", service, `{"identifier":"a","properties":{"name":1,"on":true,"name":"last"}}`, catalog.Draft{Identifier: "a", Content: json.RawMessage(`{"properties":{"name":"last","on":true}}`)}},
		{"what is required", demanding, `{"identifier":"a","properties":{"a":""},"relations":{"one":"x","some":["y"]}}`, catalog.Draft{
			Identifier: "a", Content: json.RawMessage(`{"properties":{"a":""},"relations":{"one":"x","some":["y"]}}`),
			Targets: []catalog.Target{{Relation: "one", Blueprint: "x", Identifier: "x", Path: "relations.one"}, {Relation: "some", Blueprint: "y", Identifier: "y", Path: "relations.some[0]"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := catalog.Create(definition(t, tt.blueprint), body(t, tt.body, catalog.Creating))
			if err != nil {
				t.Fatalf("Create: %v", err)
			}
			if diff := cmp.Diff(&tt.want, got, cmp.Transformer("text", func(m json.RawMessage) string { return string(m) })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestGeneratedIdentifiers(t *testing.T) {
	t.Parallel()
	d, seen := definition(t, service), map[string]bool{}
	for _, text := range []string{`{}`, `{"identifier":null}`, `{"title":"x"}`} {
		got, err := catalog.Create(d, body(t, text, catalog.Creating))
		if err != nil {
			t.Fatalf("Create: %v", err)
		}
		if !regexp.MustCompile(`^[a-z0-9]{26}$`).MatchString(got.Identifier) || seen[got.Identifier] {
			t.Errorf("got identifier %q", got.Identifier)
		}
		seen[got.Identifier] = true
	}
}

func TestEntityFaults(t *testing.T) {
	t.Parallel()
	const identifier = `must be made of letters, digits and @ _ . + : \ / = -, and be neither "." nor ".."`
	tests := []struct {
		name, blueprint, body string
		write                 catalog.Write
		want                  []string
	}{
		{"wrong types everywhere", service, `{"identifier":1,"title":[],"icon":{},"team":7,"properties":[],"relations":"x"}`, catalog.Creating,
			[]string{"icon: must be a string, got an object", "identifier: must be a string or an object, got a number", "properties: must be an object, got an array", "relations: must be an object, got a string",
				"team: must be a string, an array or an object, got a number", "title: must be a string, got an array"}},
		{"all values at once", service, `{"identifier":"..","team":["a",1],"properties":{"name":"x","count":-1,"on":"true","tags":["a","B",3],"meta":{"x":1},"tier":"bronze","url":"/x","mail":"@b","at":"yesterday","until":"1 d","ip":"::1","none":1,"domainTitle":"x","double":2},` +
			`"relations":{"domain":["d"],"deps":["ok","a b",7]}}`, catalog.Creating,
			[]string{
				"identifier: " + identifier,
				"properties.at: must be a date-time of RFC 3339, such as 2026-01-31T09:30:00Z",
				"properties.count: must be at least 0",
				"properties.domainTitle: is computed and cannot be set",
				"properties.double: is computed and cannot be set",
				"properties.ip: must be an IPv4 address",
				"properties.mail: must be an e-mail address",
				"properties.meta.k: is required",
				"properties.meta.x: unknown field",
				"properties.name: must have at least 2 characters",
				"properties.none: the blueprint has no such property",
				"properties.on: must be a boolean, got a string",
				"properties.tags[1]: must match the pattern ^[a-z]+$",
				"properties.tags[2]: must be a string, got a number",
				`properties.tier: must be one of "gold", "silver"`,
				"properties.until: must be a date-time of RFC 3339, such as 2026-01-31T09:30:00Z",
				"properties.url: must be an absolute URL with scheme and host",
				"relations.deps[1]: " + identifier,
				"relations.deps[2]: must be a string, got a number",
				"relations.domain: must be a string: the relation leads to one entity",
				"team[1]: must be a string, got a number",
			}},
		{"what is required", demanding, `{"identifier":"x","properties":{"b":"x"},"relations":{"some":[]}}`, catalog.Creating,
			[]string{"properties.a: is required", "relations.one: is required", "relations.some: is required"}},
		{"null where something is required", demanding, `{"properties":{"a":null},"relations":{"some":null,"one":null}}`, catalog.Replacing,
			[]string{"properties.a: is required", "relations.one: is required", "relations.some: is required"}},
		{"an unknown relation beside another fault", service, `{"properties":{"on":1},"relations":{"none":"x"}}`, catalog.Creating,
			[]string{"properties.on: must be a boolean, got a number", "relations.none: the blueprint has no such relation"}},
		{"other members of a patch", service, `{"blueprint":"service"}`, catalog.Merging, []string{"blueprint: unknown field"}},
		{"a search for the identifier of a put", service, `{"identifier":{"combinator":"and","rules":[]}}`, catalog.Replacing, []string{"identifier: must be a string, got an object"}},
		{"a number beyond the doubles", service, `{"properties":{"count":1e999}}`, catalog.Creating, []string{"properties.count: must be a number between -1.8e308 and 1.8e308"}},
		{"too large", service, `{"identifier":"a","properties":{"text":"` + strings.Repeat("x", catalog.MaxEntity) + `"}}`, catalog.Creating,
			[]string{": an entity may have at most 358400 bytes, this one has 358427"}},
		{"an identifier that is too long", service, `{"identifier":"` + strings.Repeat("é", 1001) + `","relations":{"domain":"` + strings.Repeat("d", 1001) + `"}}`, catalog.Creating,
			[]string{"identifier: must have at most 1000 characters", "relations.domain: must have at most 1000 characters"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, b := definition(t, tt.blueprint), body(t, tt.body, tt.write)
			var err error
			switch tt.write {
			case catalog.Creating:
				_, err = catalog.Create(d, b)
			case catalog.Replacing:
				_, err = catalog.Replace(d, "old", b)
			case catalog.Merging:
				_, err = catalog.Merge(d, entity("old", `{}`), b)
			}
			if diff := cmp.Diff(tt.want, lines(t, err, fault.Invalid)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnknownRelations(t *testing.T) {
	t.Parallel()
	_, err := catalog.Create(definition(t, service), body(t, `{"relations":{"none":"x","nor":null}}`, catalog.Creating))
	want := []string{"relations.none: the blueprint has no such relation", "relations.nor: the blueprint has no such relation"}
	if diff := cmp.Diff(want, lines(t, err, fault.NotFound)); diff != "" || !fault.Is(err, "not_found") {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestReplaceAndMerge(t *testing.T) {
	t.Parallel()
	const stored = `{"title":"Old","icon":"I","team":["t"],"properties":{"name":"old","count":1.0,"gone":7},"relations":{"domain":"d","deps":["a"]}}`
	tests := []struct{ name, body, replaced, merged string }{
		{"nothing", `{}`, `{}`, stored},
		{"other members stay", `{"title":"New"}`, `{"title":"New"}`, strings.Replace(stored, "Old", "New", 1)},
		{"other properties stay", `{"properties":{"on":true,"name":"new"}}`, `{"properties":{"on":true,"name":"new"}}`,
			strings.Replace(strings.Replace(stored, `"name":"old"`, `"name":"new"`, 1), `"gone":7`, `"gone":7,"on":true`, 1)},
		{"null is kept", `{"title":null,"icon":null,"team":null,"properties":{"name":null},"relations":{"domain":null,"deps":[]}}`,
			`{"title":null,"icon":null,"team":[],"properties":{"name":null},"relations":{"domain":null,"deps":[]}}`,
			`{"title":null,"icon":null,"team":[],"properties":{"name":null,"count":1.0,"gone":7},"relations":{"domain":null,"deps":[]}}`},
		{"lists are replaced", `{"team":["u"],"relations":{"deps":["b"]}}`, `{"team":["u"],"relations":{"deps":["b"]}}`,
			strings.Replace(strings.Replace(stored, `["t"]`, `["u"]`, 1), `["a"]`, `["b"]`, 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := definition(t, service)
			replaced, err := catalog.Replace(d, "old", body(t, tt.body, catalog.Replacing))
			if err != nil || replaced.Identifier != "old" {
				t.Fatalf("Replace: %+v, %v", replaced, err)
			}
			if diff := cmp.Diff(tt.replaced, string(replaced.Content)); diff != "" {
				t.Errorf("Replace (-want +got):\n%s", diff)
			}
			merged, err := catalog.Merge(d, entity("old", stored), body(t, tt.body, catalog.Merging))
			if err != nil || merged.Identifier != "old" {
				t.Fatalf("Merge: %+v, %v", merged, err)
			}
			if diff := cmp.Diff(tt.merged, string(merged.Content)); diff != "" {
				t.Errorf("Merge (-want +got):\n%s", diff)
			}
		})
	}
	_, err := catalog.Merge(definition(t, demanding), entity("x", `{"properties":{"a":"x"},"relations":{"one":"x"}}`), body(t, `{"properties":{"a":null},"relations":{"some":["y"]}}`, catalog.Merging))
	if diff := cmp.Diff([]string{"properties.a: is required"}, lines(t, err, fault.Invalid)); diff != "" {
		t.Errorf("required after a merge (-want +got):\n%s", diff)
	}
	renamed, err := catalog.Replace(definition(t, service), "old", body(t, `{"identifier":"new"}`, catalog.Replacing))
	if err != nil || renamed.Identifier != "new" {
		t.Errorf("renaming: %+v, %v", renamed, err)
	}
}

func TestSearchesForValues(t *testing.T) {
	t.Parallel()
	const query = `{"combinator":"and","rules":[]}`
	text := `{"identifier":` + query + `,"team":` + query + `,"relations":{"domain":` + query + `,"deps":` + query + `}}`
	d, b := definition(t, service), body(t, text, catalog.Creating)
	var paths []string
	for _, q := range b.Queries {
		paths = append(paths, q.Path+" "+q.Relation)
		if combinator, _ := q.Raw.Get("combinator"); combinator != "and" {
			t.Errorf("the search at %s is %v", q.Path, q.Raw)
		}
	}
	if diff := cmp.Diff([]string{"identifier ", "team ", "relations.domain domain", "relations.deps deps"}, paths); diff != "" {
		t.Fatalf("searches (-want +got):\n%s", diff)
	}
	if _, err := catalog.Create(d, b); err == nil || fault.KindOf(err) != fault.Internal {
		t.Errorf("before the searches: %v", err)
	}
	for i, found := range [][]string{{"a"}, {"t", "u"}, {"d"}, {"x", "y"}} {
		b.Resolve(b.Queries[i], found)
	}
	got, err := catalog.Create(d, b)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	if diff := cmp.Diff(`{"team":["t","u"],"relations":{"domain":"d","deps":["x","y"]}}`, string(got.Content)); diff != "" || got.Identifier != "a" {
		t.Errorf("%s (-want +got):\n%s", got.Identifier, diff)
	}
	b = body(t, text, catalog.Creating)
	for i, found := range [][]string{nil, nil, {"d", "e"}, nil} {
		b.Resolve(b.Queries[i], found)
	}
	_, err = catalog.Create(d, b)
	want := []string{"identifier: the search must yield exactly one entity, it yields 0", "relations.domain: the search must yield at most one entity, it yields 2"}
	if diff := cmp.Diff(want, lines(t, err, fault.Invalid)); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	got, err := catalog.Targets(definition(t, service), json.RawMessage(`{"relations":{"gone":"x","deps":["b","a","b"],"domain":"d"}}`))
	want := []catalog.Target{
		{Relation: "domain", Blueprint: "domain", Identifier: "d", Path: "relations.domain"},
		{Relation: "deps", Blueprint: "service", Identifier: "b", Path: "relations.deps"},
		{Relation: "deps", Blueprint: "service", Identifier: "a", Path: "relations.deps"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
