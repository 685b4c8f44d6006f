package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writes are the requests that may change something.
type writes struct {
	mu   sync.Mutex
	list []string
}

// taken returns what came since the last time.
func (w *writes) taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.list
	w.list = nil
	return list
}

// watched lets the commands of a world reach its server through a proxy that notes what they write.
func (w *world) watched() *writes {
	w.t.Helper()
	target, err := url.Parse(w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	noted := &writes{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.URL.Path != "/v1/auth/access_token" {
			noted.mu.Lock()
			noted.list = append(noted.list, r.Method+" "+r.URL.Path)
			noted.mu.Unlock()
		}
		proxy.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(server.Close)
	w.url = server.URL
	return noted
}

// platform are the files of an example, what others relate to last.
func platform(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(root + "/testdata/examples/platform/*")
	if err != nil || len(files) != 5 {
		t.Fatalf("found %v, %v", files, err)
	}
	slices.Sort(files)
	return append([]string{"apply"}, files...)
}

// became returns a command's output with every change replaced.
func became(out, change string) string { return strings.ReplaceAll(out, " created\n", " "+change+"\n") }

func TestApplyPlatform(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	noted, files := w.watched(), platform(t)
	first := w.must(files...)
	want := `blueprint system created
blueprint environment created
blueprint service created
entity system/shop created
entity system/billing created
entity environment/production created
entity environment/staging created
entity environment/preview-42 created
entity service/payments created
entity service/catalog created
entity service/invoices created
entity service/reviews created
entity service/checkout created
action record_deployment created
action create_environment created
action create_service created
action extend_ttl created
action scale_service created
action delete_service created
`
	if diff := cmp.Diff(want, first.out); diff != "" {
		t.Error(diff)
	}
	if first.err != "" {
		t.Errorf("on standard error: %s", first.err)
	}
	if got := noted.taken(); len(got) != 20 {
		t.Errorf("%d writes for 19 objects and the permissions of one: %v", len(got), got)
	}
	// Nothing is written a second time, whatever the order of the files.
	if second := w.must(files...); second.out != became(want, unchanged) {
		t.Errorf("the second time: %s", second.out)
	}
	slices.Reverse(files[1:])
	if third := w.must(files...); strings.Contains(third.out, created) || strings.Contains(third.out, " "+changed) {
		t.Errorf("the third time: %s", third.out)
	}
	if got := noted.taken(); len(got) != 0 {
		t.Errorf("written without need: %v", got)
	}
	// What the server shows can be applied as it is.
	for name, read := range map[string]func() (json.RawMessage, error){
		"blueprint service":      func() (json.RawMessage, error) { return w.client.Blueprint(t.Context(), "service") },
		"entity service/catalog": func() (json.RawMessage, error) { return w.client.Entity(t.Context(), "service", "catalog") },
		"action extend_ttl":      func() (json.RawMessage, error) { return w.client.Action(t.Context(), "extend_ttl") },
	} {
		shown, err := read()
		if err != nil {
			t.Fatal(err)
		}
		if got := w.must("apply", write(t, "shown.json", string(shown))); got.out != name+" unchanged\n" {
			t.Errorf("%s as it is shown: %s", name, got.out)
		}
	}
	if got := noted.taken(); len(got) != 0 {
		t.Errorf("written without need: %v", got)
	}
}

// A document that changed is all that is written.
func TestApplyChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files := platform(t)
	w.must(files...)
	noted := w.watched()
	for name, c := range map[string]struct {
		file, from, to string
		change, write  string
	}{
		"a property":            {"entities.yaml", "replicas: 4", "replicas: 5", "entity service/checkout", "POST /v1/blueprints/service/entities"},
		"a property less":       {"entities.yaml", "  oncall: billing@example.com\n", "", "entity service/payments", "POST /v1/blueprints/service/entities"},
		"a related one":         {"entities.yaml", "[preview-42]", "[preview-42, staging]", "entity service/reviews", "POST /v1/blueprints/service/entities"},
		"a member in an object": {"entities.json", `"zones": 3`, `"zones": 2`, "entity environment/production", "POST /v1/blueprints/environment/entities"},
		"a blueprint":           {"blueprints.yaml", "title: Tier, path", "title: The tier, path", "blueprint service", "PUT /v1/blueprints/service"},
		"an action":             {"actions.json", "Record a deployment", "Record it", "action record_deployment", "PUT /v1/actions/record_deployment"},
	} {
		text := read(t, "testdata/examples/platform/"+c.file)
		if strings.Count(text, c.from) != 1 {
			t.Fatalf("%s: %q is not once in %s", name, c.from, c.file)
		}
		file := write(t, c.file, strings.ReplaceAll(text, c.from, c.to))
		got := w.must("apply", file)
		if !strings.Contains(got.out, c.change+" changed\n") || strings.Count(got.out, " unchanged\n") != strings.Count(got.out, "\n")-1 {
			t.Errorf("%s: %s", name, got.out)
		}
		if diff := cmp.Diff([]string{c.write}, noted.taken()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if again := w.must("apply", file); strings.Count(again.out, " unchanged\n") != strings.Count(again.out, "\n") || len(noted.taken()) > 0 {
			t.Errorf("%s, the second time: %s", name, again.out)
		}
		w.must(files...)
		noted.taken()
	}
}

// However a document says the same, nothing is written.
func TestApplyMeansTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	noted := w.watched()
	const first = `{"identifier":"a","title":"A","schema":{"properties":{"n":{"type":"number"},"o":{"type":"object"},"s":{"type":"string"}}},"relations":{"one":{"target":"a"},"all":{"target":"a","many":true}}}
{"blueprint":"a","identifier":"x","properties":{"o":{"a":1,"b":2},"n":1.50},"relations":{"one":"x","all":["x"]}}`
	w.must("apply", write(t, "a.json", first))
	noted.taken()
	for name, text := range map[string]string{
		"nulls":        `{"identifier":"a","title":"A","icon":null,"schema":{"properties":{"n":{"type":"number"},"o":{"type":"object"},"s":{"type":"string"}}},"relations":{"one":{"target":"a","many":null},"all":{"target":"a","many":true,"required":false}},"mirrorProperties":null,"calculationProperties":{}} {"icon":null,"team":[],"blueprint":"a","identifier":"x","properties":{"s":null,"n":1.5,"o":{"b":2,"a":1}},"relations":{"all":["x"],"one":"x"}}`,
		"one of many":  `{"blueprint":"a","identifier":"x","properties":{"o":{"a":1,"b":2},"n":1.50},"relations":{"one":"x","all":"x"}}`,
		"other's time": `{"id":"e","createdAt":"2020-01-01T00:00:00.000Z","updatedBy":"me","blueprint":"a","identifier":"x","properties":{"o":{"a":1,"b":2},"n":15e-1},"relations":{"one":"x","all":["x"]}}`,
	} {
		if got := w.must("apply", write(t, "a.json", text)); strings.Contains(got.out, created) || strings.Contains(got.out, " "+changed) {
			t.Errorf("%s: %s", name, got.out)
		}
		if got := noted.taken(); len(got) != 0 {
			t.Errorf("%s: written without need: %v", name, got)
		}
	}
}

const circle = `
identifier: a
title: A
schema: {properties: {}}
relations:
  b: {target: b, required: true}
---
identifier: b
title: B
schema: {properties: {}}
relations:
  as: {target: a, many: true}
  self: {target: b}
---
{blueprint: a, identifier: a1, relations: {b: b1}}
---
{blueprint: b, identifier: b1, relations: {as: [a0, a1, a2], self: b1}}
---
{blueprint: a, identifier: a2, relations: {b: b1}}
---
{blueprint: a, identifier: a0, relations: {b: b0}}
---
{blueprint: b, identifier: b0}
`

// What relates in a circle is applied too, and is whole afterwards.
func TestApplyCircle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	noted := w.watched()
	file := write(t, "circle.yaml", circle)
	first := w.must("apply", file)
	if strings.Count(first.out, " created\n") != 7 || strings.Count(first.out, "\n") != 7 {
		t.Errorf("the first time: %s", first.out)
	}
	if got := noted.taken(); len(got) != 9 {
		t.Errorf("%d writes for 7 objects, of which 2 in two parts: %v", len(got), got)
	}
	shown, err := w.client.Entity(t.Context(), "b", "b1")
	if err != nil || !strings.Contains(string(shown), `"as":["a0","a1","a2"],"self":"b1"`) {
		t.Errorf("b1 is %s: %v", shown, err)
	}
	if again := w.must("apply", file); strings.Count(again.out, " unchanged\n") != 7 || len(noted.taken()) > 0 {
		t.Errorf("the second time: %s", again.out)
	}
	// One that is there gets a relation to one that is not, which relates back.
	text := strings.Replace(circle, "  self: {target: b}", "  self: {target: b}\n  c: {target: c}", 1) +
		"---\n{identifier: c, title: C, schema: {properties: {}}, relations: {b: {target: b}}}\n" +
		"---\n{blueprint: c, identifier: c1, relations: {b: b1}}\n"
	text = strings.Replace(text, "self: b1", "self: b1, c: c1", 1)
	file = write(t, "circle.yaml", text)
	more := w.must("apply", file)
	for _, line := range []string{"blueprint c created\n", "blueprint b changed\n", "entity c/c1 created\n", "entity b/b1 changed\n"} {
		if !strings.Contains(more.out, line) {
			t.Errorf("no %q in %s", line, more.out)
		}
	}
	if again := w.must("apply", file); strings.Contains(again.out, created) || strings.Contains(again.out, " "+changed) {
		t.Errorf("the second time: %s", again.out)
	}
}

// A built-in blueprint gets a property, and an entity is related by a search.
func TestApplyBuiltInAndSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := write(t, "x.yaml", `
identifier: _team
title: Team
schema: {properties: {chat: {type: string}}}
---
{identifier: a, title: A, schema: {properties: {}}, relations: {all: {target: a, many: true}}}
---
{blueprint: a, identifier: one}
---
blueprint: a
identifier: two
relations:
  all: {combinator: and, rules: [{property: $identifier, operator: "=", value: one}]}
`)
	if got := w.must("apply", file); got.out != "blueprint _team changed\nblueprint a created\nentity a/one created\nentity a/two created\n" {
		t.Errorf("the first time: %s", got.out)
	}
	before, err := w.client.Entity(t.Context(), "a", "two")
	if err != nil || !strings.Contains(string(before), `"all":["one"]`) {
		t.Errorf("two is %s: %v", before, err)
	}
	if got := w.must("apply", file); got.out != "blueprint _team unchanged\nblueprint a unchanged\nentity a/one unchanged\nentity a/two unchanged\n" {
		t.Errorf("the second time: %s", got.out)
	}
	after, err := w.client.Entity(t.Context(), "a", "two")
	if err != nil || string(after) != string(before) {
		t.Errorf("two became %s: %v", after, err)
	}
}

func TestApplyJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.must("apply", "--json", write(t, "x.json", `{"blueprint":"a","identifier":"one"}
{"identifier":"a","title":"A","schema":{"properties":{}},"calculationProperties":{"c":{"type":"string","calculation":".a |"}}}`))
	kinds := []applied{}
	for d := json.NewDecoder(strings.NewReader(got.out)); d.More(); {
		var a applied
		if err := d.Decode(&a); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, a)
	}
	if len(kinds) != 2 || len(kinds[0].Warnings) != 1 || !strings.Contains(got.err, "longshore: a: calculationProperties.c.calculation: .a | does not compile: ") {
		t.Fatalf("printed %s, and on standard error %s", got.out, got.err)
	}
	kinds[0].Warnings = nil
	if diff := cmp.Diff([]applied{{Kind: "blueprint", Identifier: "a", Change: created}, {Kind: "entity", Blueprint: "a", Identifier: "one", Change: created}}, kinds); diff != "" {
		t.Error(diff)
	}
}

// A fault names the file, the document, and what it is about; before a file that cannot be read nothing
// is written.
func TestApplyCatalogFaults(t *testing.T) {
	t.Parallel()
	const blueprint = "{identifier: a, title: A, schema: {properties: {n: {type: number}}}, relations: {r: {target: a}, must: {target: a}}}\n---\n"
	for name, c := range map[string]struct {
		file, text string
		code       int
		want       string
		// writes is how many requests may change something before the fault, it included.
		writes int
	}{
		"twice":                    {"x.yaml", blueprint + "{blueprint: a, identifier: x}\n---\n{blueprint: a, identifier: x}\n", 2, "x.yaml: document 3: entity a/x: it is in ", 0},
		"no blueprint's name":      {"x.yaml", blueprint + "{blueprint: 1, identifier: x}\n", 2, "x.yaml: document 2: entity x: blueprint must be the identifier of a blueprint", 0},
		"an identifier by search":  {"x.yaml", blueprint + "{blueprint: a, identifier: {combinator: and, rules: []}}\n", 2, "x.yaml: document 2: expected an object with an identifier", 0},
		"torn JSON":                {"x.json", `{"identifier":"a","title":"A","schema":{"properties":{}}} {"blueprint":`, 2, "x.json: document 2: unexpected EOF", 0},
		"no JSON value":            {"x.yaml", blueprint + "{blueprint: a, identifier: x, properties: {n: .nan}}\n", 2, "x.yaml: document 2: line 3, column ", 0},
		"an unknown blueprint":     {"x.yaml", "{blueprint: nowhere, identifier: x}\n", 1, `x.yaml: document 1: entity nowhere/x: there is no blueprint "nowhere"`, 0},
		"a refused blueprint":      {"x.yaml", "{identifier: a, schema: {properties: {}}}\n", 1, "x.yaml: document 1: blueprint a: title", 1},
		"an unknown target":        {"x.yaml", "{identifier: a, title: A, schema: {properties: {}}, relations: {r: {target: b}}}\n", 1, "x.yaml: document 1: blueprint a: relations.r.target: there is no such blueprint", 1},
		"a refused property":       {"x.yaml", blueprint + "{blueprint: a, identifier: x, properties: {n: many}}\n", 1, "x.yaml: document 2: entity a/x: properties.n", 2},
		"an unknown related one":   {"x.yaml", blueprint + "{blueprint: a, identifier: x, relations: {r: y}}\n", 1, "x.yaml: document 2: entity a/x: relations.r: the blueprint a has no entity", 2},
		"a refused action":         {"x.yaml", blueprint + "{identifier: go, trigger: {}, invocationMethod: {type: WEBHOOK}}\n", 1, "x.yaml: document 2: action go: ", 2},
		"a circle of requirements": {"x.yaml", strings.ReplaceAll(blueprint, "must: {", "must: {required: true, ") + "{blueprint: a, identifier: x, relations: {must: y}}\n---\n{blueprint: a, identifier: y, relations: {must: x}}\n", 1, "x.yaml: document 2: entity a/x: relations.must: is required", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			noted := w.watched()
			got := w.call("apply", write(t, c.file, c.text))
			if got.code != c.code || !strings.Contains(got.err, c.want) {
				t.Errorf("exit status %d, error %.500q; want %d and %q", got.code, got.err, c.code, c.want)
			}
			if made := noted.taken(); len(made) != c.writes {
				t.Errorf("written %v, want %d", made, c.writes)
			}
		})
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	soft := func(i int) link { return link{i, false} }
	hard := func(i int) link { return link{i, true} }
	for name, c := range map[string]struct {
		needs [][]link
		want  []int
	}{
		"nothing":           {nil, []int{}},
		"as it stands":      {[][]link{{}, {}, {}}, []int{0, 1, 2}},
		"backwards":         {[][]link{{soft(1)}, {hard(2)}, {}}, []int{2, 1, 0}},
		"a circle":          {[][]link{{soft(1)}, {soft(0)}}, []int{0, 1}},
		"one can do":        {[][]link{{hard(1)}, {soft(0)}}, []int{1, 0}},
		"none can do":       {[][]link{{hard(1)}, {hard(0)}}, []int{0, 1}},
		"behind a circle":   {[][]link{{soft(1)}, {soft(2)}, {soft(1)}}, []int{1, 0, 2}},
		"from one to other": {[][]link{{soft(1), hard(2)}, {soft(0), hard(2)}, {soft(3)}, {hard(2)}}, []int{2, 3, 0, 1}},
	} {
		if diff := cmp.Diff(c.want, order(c.needs)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
