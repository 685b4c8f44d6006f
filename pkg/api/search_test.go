package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// identifiers are those of the entities of an answer, in order of their names.
func (g *got) identifiers() []string {
	g.t.Helper()
	names := []string{}
	for _, e := range g.list("entities") {
		names = append(names, e.(map[string]any)["identifier"].(string))
	}
	slices.Sort(names)
	return names
}

func TestSearch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	f.entity("system", `{"identifier":"shop","title":"Shop","properties":{"tier":1}}`)
	f.entity("service", `{"identifier":"shop","title":"S","properties":{"language":"go","replicas":3},"relations":{"system":"shop"}}`)
	f.entity("service", `{"identifier":"cart","team":["a","b"],"properties":{"language":"c","tags":["x"]},"relations":{"uses":["shop"]}}`)
	f.entity("bound", `{"identifier":"b","relations":{"service":"cart"}}`)
	related := func(direction string) string {
		return `{"operator":"relatedTo","blueprint":"service","value":"shop"` + direction + `}`
	}
	tests := map[string]struct {
		rule string
		want []string
	}{
		"blueprint":         {`{"property":"$blueprint","operator":"=","value":"service"}`, []string{"service/cart", "service/shop"}},
		"by identifier":     {`{"property":"$identifier","operator":"=","value":"shop"}`, []string{"service/shop", "system/shop"}},
		"by identifiers":    {`{"property":"$identifier","operator":"in","value":["cart","b","none"]}`, []string{"bound/b", "service/cart"}},
		"title":             {`{"property":"$title","operator":"beginsWith","value":"S"}`, []string{"service/shop", "system/shop"}},
		"property":          {`{"property":"language","operator":"=","value":"c"}`, []string{"service/cart"}},
		"number":            {`{"property":"replicas","operator":">","value":2}`, []string{"service/shop"}},
		"mirror property":   {`{"property":"systemTier","operator":"=","value":1}`, []string{"service/shop"}},
		"calculated":        {`{"property":"loud","operator":"=","value":"GO"}`, []string{"service/shop"}},
		"team":              {`{"property":"$team","operator":"containsAny","value":["b"]}`, []string{"service/cart"}},
		"no blueprint":      {`{"property":"$blueprint","operator":"=","value":"none"}`, []string{}},
		"related":           {related(``), []string{"bound/b", "service/cart", "system/shop"}},
		"related upstream":  {related(`,"direction":"upstream"`), []string{"bound/b", "service/cart"}},
		"downstream":        {related(`,"direction":"downstream"`), []string{"system/shop"}},
		"by required alone": {related(`,"required":true`), []string{}},
		"nested":            {`{"combinator":"or","rules":[{"property":"$identifier","operator":"=","value":"b"},{"property":"language","operator":"=","value":"go"}]}`, []string{"bound/b", "service/shop"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := *f
			f.t = t
			g := f.call("POST", "/v1/entities/search", `{"combinator":"and","rules":[`+test.rule+`]}`).want(200)
			got, blueprints := []string{}, []any{}
			for _, e := range g.list("entities") {
				e := e.(map[string]any)
				got = append(got, fmt.Sprint(e["blueprint"], "/", e["identifier"]))
				if !slices.Contains(blueprints, e["blueprint"]) {
					blueprints = append(blueprints, e["blueprint"])
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("entities (-want +got):\n%s", diff)
			}
			if len(blueprints) != len(g.list("matchingBlueprints")) || g.body["next"] != nil {
				t.Errorf("got %s", g.text)
			}
		})
	}
	g := f.call("POST", serviceEntities+"/search", `{"query":{"combinator":"and","rules":[{"property":"$identifier","operator":"=","value":"shop"}]},"include":["title"]}`).want(200)
	if diff := cmp.Diff([]any{map[string]any{"identifier": "shop", "title": "S"}}, g.body["entities"]); diff != "" {
		t.Errorf("entities (-want +got):\n%s", diff)
	}
}

// Whoever pages through entities while others are written sees each that is there all the time once.
func TestPagingWhileWriting(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	want := []string{}
	for i := range 25 {
		want = append(want, fmt.Sprintf("e%02d", i*2))
		f.entity("service", fmt.Sprintf(`{"identifier":%q,"properties":{"language":"go"}}`, want[i]))
	}
	f.entity("system", `{"identifier":"none"}`)
	rule := `{"combinator":"and","rules":[{"property":"language","operator":"=","value":"go"}]}`
	pages := map[string]func(f *fixture, from string) *got{
		"list": func(f *fixture, from string) *got { return f.call("GET", serviceEntities+"?limit=4&from="+from, "") },
		"search of a blueprint": func(f *fixture, from string) *got {
			return f.call("POST", serviceEntities+"/search", fmt.Sprintf(`{"limit":4,"from":%q,"query":%s}`, from, rule))
		},
		"search": func(f *fixture, from string) *got {
			return f.call("POST", "/v1/entities/search?limit=4&from="+from, rule)
		},
		"look-up": func(f *fixture, from string) *got {
			return f.call("POST", "/v1/entities/search?limit=4&from="+from,
				`{"combinator":"and","rules":[{"property":"$identifier","operator":"in","value":["`+strings.Join(want, `","`)+`"]}]}`)
		},
	}
	for name, page := range pages {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			seen := map[string]int{}
			for from, n := "", 0; ; n++ {
				g := page(&f, from).want(200)
				if len(g.list("entities")) > 4 || n > 40 {
					t.Fatalf("got %d entities on page %d, want 4", len(g.list("entities")), n)
				}
				for _, name := range g.identifiers() {
					seen[name]++
				}
				f.call("POST", serviceEntities+"?upsert=true", fmt.Sprintf(`{"identifier":"e%02d","properties":{"language":"go"}}`, n*7%50|1))
				f.call("DELETE", fmt.Sprintf("%s/e%02d", serviceEntities, n*3%50|1), "")
				if g.body["next"] == nil {
					break
				}
				from = g.body["next"].(string)
			}
			for _, name := range want {
				if seen[name] != 1 {
					t.Errorf("got %s %d times, want once", name, seen[name])
				}
			}
		})
	}
}

// Callers of Port's search among all entities know no pages.
func TestSearchWithoutPaging(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	for i := range 15 {
		var entities []string
		for j := range 20 {
			entities = append(entities, fmt.Sprintf(`{"identifier":"e%02d%02d"}`, i, j))
		}
		f.call("POST", serviceEntities+"/bulk", `{"entities":[`+strings.Join(entities, ",")+`]}`).want(200)
	}
	rule := `{"combinator":"and","rules":[{"property":"$blueprint","operator":"=","value":"service"}]}`
	for target, want := range map[string]int{"": 300, "?allow_partial_results=true": 300, "?limit=7": 7} {
		g := f.call("POST", "/v1/entities/search"+target, rule).want(200)
		if got := len(g.list("entities")); got != want || (g.body["next"] == nil) != (want == 300) {
			t.Errorf("%s: got %d entities and next %v, want %d", target, got, g.body["next"], want)
		}
	}
}

// A list that does not fit into an answer says where to page; pages stop at what fits.
func TestManyBytes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	big := strings.Repeat("x", 300<<10)
	for i := range 18 {
		f.entity("service", fmt.Sprintf(`{"identifier":"e%02d","title":%q}`, i, big))
	}
	if message := f.call("GET", serviceEntities, "").fault(422, "too_many_entities"); !strings.Contains(message, "/entities/search") {
		t.Errorf("got message %q, want it to name the search", message)
	}
	f.call("GET", serviceEntities+"?include=identifier", "").want(200)
	if g := f.call("GET", serviceEntities+"?allow_partial_results=true", "").want(200); g.body["next"] == nil {
		t.Error("got no next, want it with partial results")
	}
	for name, page := range map[string]func(from string) *got{
		"list": func(from string) *got { return f.call("GET", serviceEntities+"?limit=1000&from="+from, "") },
		"search": func(from string) *got {
			return f.call("POST", "/v1/entities/search?from="+from, `{"combinator":"and","rules":[]}`)
		},
	} {
		seen := []string{}
		for from, n := "", 0; n < 10; n++ {
			g := page(from).want(200)
			seen = append(seen, g.identifiers()...)
			if g.body["next"] == nil {
				break
			}
			from = g.body["next"].(string)
		}
		if len(seen) != 18 {
			t.Errorf("%s: got %d entities, want 18 once each", name, len(seen))
		}
	}
}

// A page that is nearly full has room for a next that tells a long identifier.
func TestFullPageWithALongNext(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("POST", "/v1/blueprints", `{"identifier":"note","title":"N","schema":{"properties":{}}}`).want(201)
	const notes = "/v1/blueprints/note/entities"
	note := func(i int, title string) string {
		return fmt.Sprintf(`{"identifier":"%s%04d","title":%q}`, strings.Repeat("n", 986), i, title)
	}
	// 990 of them and their commas leave less than 1,000 bytes of 5,000,000.
	const size, n = 5050, 1010
	shown := len(f.call("POST", notes+"?validation_only=true", note(0, "")).want(200).text) - len(`{"ok":true,"entity":}`) + 1
	title := strings.Repeat("t", size-shown)
	for i := 0; i < n; i += 10 {
		var list []string
		for j := range 10 {
			list = append(list, note(i+j, title))
		}
		f.call("POST", notes+"/bulk", `{"entities":[`+strings.Join(list, ",")+`]}`).want(200)
	}
	for name, page := range map[string]func(from string) *got{
		"list": func(from string) *got { return f.call("GET", notes+"?limit=1000&from="+from, "") },
		"search": func(from string) *got {
			return f.call("POST", notes+"/search", fmt.Sprintf(`{"limit":1000,"from":%q}`, from))
		},
	} {
		seen := 0
		for from, more := "", true; more; {
			g := page(from).want(200)
			seen += len(g.list("entities"))
			from, more = g.body["next"].(string)
		}
		if seen != n {
			t.Errorf("%s: got %d entities, want %d", name, seen, n)
		}
	}
}

// Faults of the query, the body and a search in it come together.
func TestFaultsOfSearchesTogether(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	g := f.call("POST", serviceEntities+"/search", `{"limit":0,"query":{"combinator":"x","rules":[]},"sort":1}`)
	g.fault(422, "invalid_request")
	g.namesAll([]string{"limit", "query.combinator", "sort"})
	g = f.call("POST", "/v1/entities/search?limit=0", `{"combinator":"x","rules":[]}`)
	g.fault(422, "invalid_request")
	g.namesAll([]string{"combinator", "limit"})
}
