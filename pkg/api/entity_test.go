package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api"
	"longshore/pkg/catalog"
)

const serviceEntities = "/v1/blueprints/service/entities"

func TestEntitiesComeBackAsSent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	f.entity("system", `{"identifier":"shop","properties":{"tier":1}}`)
	f.entity("service", `{"identifier":"cart"}`)
	tests := map[string]struct{ sent, want string }{
		"nothing":    {`{}`, `{"title":null,"icon":null,"team":[],"blueprint":"service","properties":{"language":null,"replicas":null,"tags":null,"url":null,"systemTier":null,"loud":null},"relations":{"system":null,"uses":[]}}`},
		"identifier": {`{"identifier":"org/repo@1=x"}`, `{"identifier":"org/repo@1=x"}`},
		"meta":       {`{"title":"","icon":"any thing","team":"a"}`, `{"title":"","icon":"any thing","team":["a"]}`},
		"teams":      {`{"team":["b","a"]}`, `{"team":["b","a"]}`},
		"values": {`{"properties":{"language":"","replicas":1.50,"tags":[]},"relations":{"system":"shop","uses":["cart"]}}`,
			`{"properties":{"language":"","replicas":1.5,"tags":[],"url":null,"systemTier":1,"loud":""},"relations":{"system":"shop","uses":["cart"]}}`},
		"nulls":      {`{"title":null,"team":null,"properties":{"language":null},"relations":{"system":null,"uses":null}}`, `{"title":null,"team":[],"relations":{"system":null,"uses":[]}}`},
		"calculated": {`{"properties":{"language":"go"}}`, `{"properties":{"language":"go","replicas":null,"tags":null,"url":null,"systemTier":null,"loud":"GO"}}`},
		"read back":  {`{"identifier":"again","blueprint":"service","createdAt":"2020-01-01T00:00:00.000Z","scorecards":{}}`, `{"identifier":"again","blueprint":"service"}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			created := f.call("POST", serviceEntities, test.sent).want(201)
			identifier := created.at("entity", "identifier").(string)
			read := f.call("GET", serviceEntities+"/"+strings.ReplaceAll(identifier, "/", "%2F"), "").want(200)
			holds(t, read.at("entity"), test.want)
			if diff := cmp.Diff(created.body["entity"], read.body["entity"]); diff != "" {
				t.Errorf("entity (-created +read):\n%s", diff)
			}
			if read.at("entity", "scorecards") != nil || read.at("entity", "createdBy") != clientID {
				t.Errorf("got %s", read.text)
			}
		})
	}
}

func TestUpsert(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	const first = `{"identifier":"cart","title":"Cart","properties":{"language":"go","replicas":1}}`
	f.entity("service", first)
	f.call("POST", serviceEntities, first).fault(409, "identifier_taken")
	g := f.call("POST", serviceEntities+"?upsert=true&merge=true", `{"identifier":"cart","properties":{"replicas":2}}`).want(200)
	holds(t, g.at("entity"), `{"title":"Cart"}`)
	holds(t, g.at("entity", "properties"), `{"language":"go","replicas":2}`)
	g = f.call("POST", serviceEntities+"?upsert=true", `{"identifier":"cart","properties":{"replicas":3}}`).want(200)
	holds(t, g.at("entity"), `{"title":null}`)
	holds(t, g.at("entity", "properties"), `{"language":null,"replicas":3}`)
	f.call("POST", serviceEntities+"?upsert=true", `{"identifier":"cart","relations":{"system":"none"}}`).fault(404, "not_found")
	f.call("POST", serviceEntities+"?upsert=true", `{"identifier":"other"}`).want(201)
	before := f.snapshot()
	f.call("POST", serviceEntities+"?validation_only=True", `{"identifier":"third"}`).fault(422, "invalid_request")
	f.call("POST", serviceEntities+"?validation_only=true", `{"identifier":"third"}`).want(200)
	f.call("POST", serviceEntities+"?validation_only=true&upsert=true", `{"identifier":"cart"}`).want(200)
	f.call("POST", serviceEntities+"?validation_only=true", `{"properties":{"replicas":"x"}}`).fault(422, "invalid_request")
	f.unchanged(before)
	// Other routes know no such parameter.
	f.call("PATCH", serviceEntities+"/cart?validation_only=1", `{"title":"T"}`).want(200)
	f.call("DELETE", serviceEntities+"/other?validation_only=", "").want(200)
}

func TestReplaceAndPatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	created := f.entity("service", `{"identifier":"cart","title":"Cart","team":["a"],"properties":{"language":"go","replicas":1}}`)
	g := f.call("PATCH", serviceEntities+"/cart", `{"properties":{"replicas":2,"language":null}}`).want(200)
	holds(t, g.at("entity"), `{"title":"Cart","team":["a"]}`)
	holds(t, g.at("entity", "properties"), `{"language":null,"replicas":2}`)
	f.call("PATCH", serviceEntities+"/cart", `{"labels":{}}`).fault(422, "invalid_request")
	g = f.call("PUT", serviceEntities+"/cart", `{"properties":{"language":"c"}}`).want(200)
	holds(t, g.at("entity"), `{"identifier":"cart","title":null,"team":[]}`)
	for _, name := range []string{"createdAt", "createdBy"} {
		if g.at("entity", name) != created.at("entity", name) {
			t.Errorf("got %s %v, want it to stay", name, g.at("entity", name))
		}
	}
}

// An entity may be called as a route's last segment is.
func TestEntitiesNamedAsRoutes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	for _, name := range []string{"search", "bulk"} {
		f.entity("service", `{"identifier":"`+name+`"}`)
		target := serviceEntities + "/" + name
		f.call("PATCH", target, `{"properties":{"language":"go"}}`).want(200)
		if got := f.call("GET", target, "").want(200).at("entity", "identifier"); got != name {
			t.Errorf("got %v, want %s", got, name)
		}
		f.call("DELETE", target, "").want(200)
		g := f.call("OPTIONS", target, "")
		g.fault(405, "method_not_allowed")
		if got := g.header.Get("Allow"); got != "POST, DELETE, GET, HEAD, PATCH, PUT" {
			t.Errorf("got Allow %q", got)
		}
	}
}

func TestRenamingAnEntity(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	created := f.entity("service", `{"identifier":"cart"}`)
	f.entity("service", `{"identifier":"taken"}`)
	f.entity("service", `{"identifier":"pay","relations":{"uses":["taken","cart"]}}`)
	f.entity("bound", `{"identifier":"b","relations":{"service":"cart"}}`)
	before := f.snapshot()
	f.call("PUT", serviceEntities+"/cart", `{"identifier":"taken"}`).fault(409, "identifier_taken")
	f.unchanged(before)
	g := f.call("PUT", serviceEntities+"/cart", `{"identifier":"basket","properties":{"language":"go"},"relations":{"uses":["pay"]}}`).want(200)
	if g.at("entity", "createdAt") != created.at("entity", "createdAt") || g.at("entity", "identifier") != "basket" {
		t.Errorf("got %s", g.text)
	}
	f.call("GET", serviceEntities+"/cart", "").fault(404, "not_found")
	holds(t, f.call("GET", serviceEntities+"/pay", "").at("entity", "relations"), `{"uses":["taken","basket"]}`)
	holds(t, f.call("GET", "/v1/blueprints/bound/entities/b", "").at("entity", "relations"), `{"service":"basket"}`)
	f.call("DELETE", serviceEntities+"/basket", "").fault(409, "has_dependents")
}

// Changes of different properties at once are all in the entity afterwards.
func TestRacingPatches(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var properties []string
	for i := range 8 {
		properties = append(properties, fmt.Sprintf(`"p%d":{"type":"number"}`, i))
	}
	f.call("POST", "/v1/blueprints", `{"identifier":"wide","title":"Wide","schema":{"properties":{`+strings.Join(properties, ",")+`}}}`).want(201)
	f.entity("wide", `{"identifier":"e"}`)
	var all sync.WaitGroup
	answers := make([]*got, 8)
	for i := range answers {
		all.Go(func() {
			answers[i] = f.call("PATCH", "/v1/blueprints/wide/entities/e", fmt.Sprintf(`{"properties":{"p%d":%d}}`, i, i))
		})
	}
	all.Wait()
	for _, g := range answers {
		g.want(200)
	}
	g := f.call("GET", "/v1/blueprints/wide/entities/e", "").want(200)
	for i := range answers {
		if got := g.at("entity", "properties", fmt.Sprintf("p%d", i)); got != float64(i) {
			t.Errorf("got p%d %v, want it to be kept", i, got)
		}
	}
}

func TestRelations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	f.entity("system", `{"identifier":"shop","title":"Shop"}`)
	for _, body := range []string{`{"relations":{"system":"none"}}`, `{"relations":{"uses":["none"]}}`, `{"relations":{"nothing":"shop"}}`} {
		before := f.snapshot()
		f.call("POST", serviceEntities, body).fault(404, "not_found")
		f.unchanged(before)
	}
	f.call("POST", serviceEntities+"?create_missing_related_entities=true", `{"identifier":"cart","relations":{"system":"new","uses":["other"]}}`).want(201)
	f.call("GET", "/v1/blueprints/system/entities/new", "").want(200)
	f.call("GET", serviceEntities+"/other", "").want(200)
	query := `{"combinator":"and","rules":[{"property":"$title","operator":"=","value":"Shop"}]}`
	g := f.call("PATCH", serviceEntities+"/cart", `{"relations":{"system":`+query+`}}`).want(200)
	holds(t, g.at("entity", "relations"), `{"system":"shop","uses":["other"]}`)
	g = f.call("POST", serviceEntities+"?upsert=true&merge=true",
		`{"identifier":{"combinator":"and","rules":[{"property":"$identifier","operator":"=","value":"cart"}]},"title":"Found"}`).want(200)
	holds(t, g.at("entity"), `{"identifier":"cart","title":"Found"}`)
	f.entity("service", `{"identifier":"self","relations":{"uses":["self"]}}`)
	f.call("DELETE", serviceEntities+"/self", "").want(200)
	g = f.call("PATCH", serviceEntities+"/cart", `{"relations":{"system":null,"uses":[]}}`).want(200)
	holds(t, g.at("entity", "relations"), `{"system":null,"uses":[]}`)
	f.call("DELETE", "/v1/blueprints/system/entities/shop", "").want(200)
}

func TestDependents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	f.entity("system", `{"identifier":"shop"}`)
	f.entity("service", `{"identifier":"cart","relations":{"system":"shop"}}`)
	f.entity("service", `{"identifier":"pay","relations":{"uses":["cart"],"system":"shop"}}`)
	f.entity("bound", `{"identifier":"b","relations":{"service":"cart"}}`)
	before := f.snapshot()
	if message := f.call("DELETE", serviceEntities+"/cart", "").fault(409, "has_dependents"); !strings.Contains(message, "bound/b") {
		t.Errorf("got message %q, want it to name who needs it", message)
	}
	f.unchanged(before)
	f.call("DELETE", "/v1/blueprints/system/entities/shop", "").want(200)
	holds(t, f.call("GET", serviceEntities+"/pay", "").at("entity", "relations"), `{"system":null,"uses":["cart"]}`)
	f.call("DELETE", serviceEntities+"/cart?delete_dependents=true", "").want(200)
	if n := len(f.snapshot().Entities); n != 0 {
		t.Errorf("got %d entities left, want none: each depended on it", n)
	}
}

func TestBulk(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	g := f.call("POST", serviceEntities+"/bulk", `{"entities":[{"identifier":"a"},{"identifier":"b"}]}`).want(200)
	if diff := cmp.Diff([]any{map[string]any{"index": 0.0, "identifier": "a", "created": true}, map[string]any{"index": 1.0, "identifier": "b", "created": true}}, g.body["entities"]); diff != "" {
		t.Errorf("entities (-want +got):\n%s", diff)
	}
	g = f.call("POST", serviceEntities+"/bulk?upsert=true", `{"entities":[{"identifier":"a"},{"identifier":"x","properties":{"replicas":"1"}},5,{"identifier":"c","relations":{"system":"none"}}]}`).want(207)
	var failed []string
	for _, e := range g.list("errors") {
		e := e.(map[string]any)
		failed = append(failed, fmt.Sprintf("%v %v %v %v", e["index"], e["identifier"], e["statusCode"], e["error"]))
	}
	if diff := cmp.Diff([]string{"1 x 422 invalid_request", "2  422 invalid_request", "3 c 404 not_found"}, failed); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if len(g.list("entities")) != 1 {
		t.Errorf("got %s, want one to be written", g.text)
	}
	f.call("POST", serviceEntities+"/bulk", `{"entities":[`+strings.Repeat(`{},`, 20)+`{}]}`).fault(422, "invalid_request")
	g = f.call("POST", "/v1/blueprints/service/bulk/entities/delete", `{"entities":["b","none","a"]}`).want(200)
	if diff := cmp.Diff([]any{"b", "a"}, g.body["deletedEntities"]); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	if got := f.call("GET", "/v1/blueprints/service/entities-count", "").want(200).at("count"); got != 0.0 {
		t.Errorf("got %v entities, want none", got)
	}
}

func TestEntityOfARun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	id := f.start()
	f.call("POST", serviceEntities+"?run_id="+id, `{"identifier":"a"}`).want(201)
	f.call("POST", serviceEntities+"?run_id=", `{"identifier":"b"}`).want(201)
	for _, e := range f.snapshot().Entities {
		tied := ""
		if e.Identifier == "a" {
			tied = id
		}
		if e.Last.RunID != tied || e.Last.Cause.RunID != tied {
			t.Errorf("the last change of %s is tied to run %q, caused by %q; want %q", e.Identifier, e.Last.RunID, e.Last.Cause.RunID, tied)
		}
	}
	f.call("PATCH", "/v1/actions/runs/"+id, `{"status":"SUCCESS"}`).want(200)
	f.call("PATCH", serviceEntities+"/a?run_id="+id, `{}`).fault(422, "run_not_in_progress")
	f.call("PATCH", serviceEntities+"/a?run_id=none", `{}`).fault(404, "not_found")
}

func TestIncludeAndExclude(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	f.entity("service", `{"identifier":"cart","title":"Cart","properties":{"language":"go"}}`)
	tests := map[string]struct{ query, want string }{
		"plain":      {"include=title&include=language", `{"identifier":"cart","title":"Cart","properties":{"language":"go"}}`},
		"commas":     {"include=title,properties.language", `{"identifier":"cart","title":"Cart","properties":{"language":"go"}}`},
		"dollar":     {"include=$title,relations.uses", `{"identifier":"cart","title":"Cart","relations":{"uses":[]}}`},
		"calculated": {"include=properties.loud", `{"identifier":"cart","properties":{"loud":"GO"}}`},
		"without":    {"include=properties&exclude=replicas,tags,url,systemTier,$identifier&exclude_calculated_properties=true", `{"properties":{"language":"go"}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			var want any
			if err := json.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, f.call("GET", serviceEntities+"/cart?"+test.query, "").want(200).body["entity"]); diff != "" {
				t.Errorf("entity (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]any{want}, f.call("GET", serviceEntities+"?"+test.query, "").want(200).body["entities"]); diff != "" {
				t.Errorf("entities (-want +got):\n%s", diff)
			}
		})
	}
}

// Titles are attached to relations, and identifiers to titles that are mirrored, where that is asked for.
func TestTitlesAndIdentifiersAttached(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("POST", "/v1/blueprints", systems).want(201)
	f.call("POST", "/v1/blueprints", `{"identifier":"service","title":"S","schema":{"properties":{}},"relations":{"system":{"target":"system"},"uses":{"target":"service","many":true}},`+
		`"mirrorProperties":{"name":{"path":"system.$title"},"names":{"path":"uses.system.$title"},"ids":{"path":"uses.$identifier"}},`+
		`"calculationProperties":{"calc":{"type":"string","calculation":".relations.system + .properties.name"}}}`).want(201)
	f.entity("system", `{"identifier":"shop","title":"Shop"}`)
	f.entity("system", `{"identifier":"bare"}`)
	f.entity("service", `{"identifier":"cart","title":"Cart","relations":{"system":"shop"}}`)
	f.entity("service", `{"identifier":"pay","relations":{"system":"bare"}}`)
	f.entity("service", `{"identifier":"web","relations":{"system":"shop","uses":["pay","cart"]}}`)
	const (
		plain    = `"relations":{"system":"shop","uses":["pay","cart"]}`
		titled   = `"relations":{"system":{"identifier":"shop","title":"Shop"},"uses":[{"identifier":"pay","title":null},{"identifier":"cart","title":"Cart"}]}`
		mirrored = `"properties":{"name":"Shop","names":["Shop"],"ids":["pay","cart"],"calc":"shopShop"}`
		attached = `"properties":{"name":{"identifier":"shop","title":"Shop"},"names":[{"identifier":"bare","title":null},{"identifier":"shop","title":"Shop"}],"ids":["pay","cart"],"calc":"shopShop"}`
	)
	const titles, identifiers = "attach_title_to_relation=", "attach_identifier_to_title_mirror_properties="
	for query, want := range map[string]string{
		titles + "true": "{" + titled + "," + mirrored + "}", titles + "false": "{" + plain + "," + mirrored + "}", titles: "{" + plain + "," + mirrored + "}",
		identifiers + "true": "{" + plain + "," + attached + "}", titles + "true&" + identifiers + "true": "{" + titled + "," + attached + "}",
		titles + "true&include=relations.system": `{"relations":{"system":{"identifier":"shop","title":"Shop"}}}`,
	} {
		holds(t, f.call("GET", serviceEntities+"/web?"+query, "").want(200).at("entity"), want)
		listed := f.call("GET", serviceEntities+"?"+query, "").want(200).list("entities")
		found := f.call("POST", "/v1/entities/search?"+query, `{"combinator":"and","rules":[{"property":"$identifier","operator":"=","value":"web"}]}`).want(200).list("entities")
		within := f.call("POST", serviceEntities+"/search?"+query, `{"query":{"combinator":"and","rules":[{"relation":"uses","operator":"=","value":["cart","pay"]}]}}`).want(200).list("entities")
		holds(t, found[0], want)
		if len(within) != 1 {
			t.Fatalf("got %d entities, want web alone", len(within))
		}
		// There what to include stands in the body.
		if !strings.Contains(query, "include") {
			holds(t, within[0], want)
		}
		for _, e := range listed {
			if e := e.(map[string]any); e["identifier"] == "web" {
				holds(t, e, want)
			}
		}
	}
	holds(t, f.call("GET", serviceEntities+"/cart?"+titles+"true", "").want(200).at("entity"), `{"relations":{"system":{"identifier":"shop","title":"Shop"},"uses":[]}}`)
	f.call("DELETE", "/v1/blueprints/system/entities/shop", "").want(200)
	holds(t, f.call("GET", serviceEntities+"/cart?"+titles+"true&"+identifiers+"true", "").want(200).at("entity"), `{"relations":{"system":null,"uses":[]}}`)
}

// Bad input gets a clear answer, and nothing of it is stored.
func TestBadCatalogInput(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	f.entity("service", `{"identifier":"cart"}`)
	const invalid, one = "invalid_request", serviceEntities + "/cart"
	before := f.snapshot()
	tests := map[string]struct {
		method, target, body string
		status               int
		word, path           string
	}{
		"malformed blueprint":       {"POST", "/v1/blueprints", services[:80], 422, invalid, ""},
		"blueprint is a list":       {"POST", "/v1/blueprints", `[]`, 422, invalid, ""},
		"blueprint without schema":  {"POST", "/v1/blueprints", `{"identifier":"x","title":"X"}`, 422, invalid, "schema"},
		"blueprint of dots":         {"POST", "/v1/blueprints", `{"identifier":"..","title":"X","schema":{"properties":{}}}`, 422, invalid, "identifier"},
		"long blueprint":            {"POST", "/v1/blueprints", `{"identifier":"` + strings.Repeat("x", 101) + `","title":"X","schema":{"properties":{}}}`, 422, invalid, "identifier"},
		"property of no type":       {"POST", "/v1/blueprints", `{"identifier":"x","title":"X","schema":{"properties":{"a":{"type":"text"}}}}`, 422, invalid, "schema.properties.a.type"},
		"unknown relation target":   {"POST", "/v1/blueprints", `{"identifier":"x","title":"X","schema":{"properties":{}},"relations":{"a":{"target":"none"}}}`, 422, invalid, "relations.a.target"},
		"blueprint that is there":   {"POST", "/v1/blueprints", services, 409, "identifier_taken", ""},
		"blueprint too large":       {"POST", "/v1/blueprints", `{"identifier":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "payload_too_large", ""},
		"PUT of no blueprint":       {"PUT", "/v1/blueprints/none", services, 404, "not_found", ""},
		"PUT of a bad blueprint":    {"PUT", "/v1/blueprints/service", `{"identifier":"service","title":1,"schema":{"properties":{}}}`, 422, invalid, "title"},
		"PUT with unknown target":   {"PUT", "/v1/blueprints/system", `{"identifier":"system","title":"X","schema":{"properties":{}},"relations":{"a":{"target":"none"}}}`, 422, invalid, "relations.a.target"},
		"PATCH of no blueprint":     {"PATCH", "/v1/blueprints/none", `{}`, 404, "not_found", ""},
		"PATCH of the title":        {"PATCH", "/v1/blueprints/service", `{"title":null}`, 422, invalid, "title"},
		"all of no blueprint":       {"DELETE", "/v1/blueprints/none/all-entities", ``, 404, "not_found", ""},
		"all users, with blueprint": {"DELETE", "/v1/blueprints/_user/all-entities?delete_blueprint=true", ``, 409, "system_blueprint", ""},
		"all that others need":      {"DELETE", "/v1/blueprints/service/all-entities?delete_blueprint=true", ``, 409, "has_dependents", ""},
		"all, of no run":            {"DELETE", "/v1/blueprints/service/all-entities?run_id=r_0000000000000000", ``, 404, "not_found", ""},
		"no migration":              {"GET", "/v1/migrations/mig_none", ``, 404, "not_found", ""},
		"long migration":            {"GET", "/v1/migrations/" + strings.Repeat("x", 5000), ``, 404, "not_found", ""},
		"DELETE of no blueprint":    {"DELETE", "/v1/blueprints/none", ``, 404, "not_found", ""},
		"long path":                 {"DELETE", "/v1/blueprints/" + strings.Repeat("x", 5000), ``, 404, "not_found", ""},
		"permissions of a list":     {"PATCH", "/v1/blueprints/service/permissions", `{"entities":[]}`, 422, invalid, "entities"},
		"unknown permissions":       {"PATCH", "/v1/blueprints/service/permissions", `{"entities":{"delete":{}},"x":1}`, 422, invalid, "entities.delete"},
		"roles of a string":         {"PATCH", "/v1/blueprints/service/permissions", `{"entities":{"update":{"roles":"Admin"}}}`, 422, invalid, "entities.update.roles"},
		"entity of no blueprint":    {"POST", "/v1/blueprints/none/entities", `{}`, 404, "not_found", ""},
		"malformed entity":          {"POST", serviceEntities, `{"a"`, 422, invalid, ""},
		"invalid UTF-8":             {"POST", serviceEntities, "{\"title\":\"\xff\"}", 422, invalid, ""},
		"entity is a list":          {"POST", serviceEntities, `[]`, 422, invalid, ""},
		"entity of dots":            {"POST", serviceEntities, `{"identifier":".."}`, 422, invalid, "identifier"},
		"identifier with a space":   {"POST", serviceEntities, `{"identifier":"a b"}`, 422, invalid, "identifier"},
		"long identifier":           {"POST", serviceEntities, `{"identifier":"` + strings.Repeat("é", 1001) + `"}`, 422, invalid, "identifier"},
		"icon is a number":          {"POST", serviceEntities, `{"icon":1}`, 422, invalid, "icon"},
		"property of a wrong type":  {"POST", serviceEntities, `{"properties":{"replicas":"1","language":2}}`, 422, invalid, "properties.replicas"},
		"every fault":               {"POST", serviceEntities, `{"properties":{"replicas":"1","language":2}}`, 422, invalid, "properties.language"},
		"wrong format":              {"POST", serviceEntities, `{"properties":{"url":"no url"}}`, 422, invalid, "properties.url"},
		"unknown property":          {"POST", serviceEntities, `{"properties":{"none":1}}`, 422, invalid, "properties.none"},
		"computed property":         {"POST", serviceEntities, `{"properties":{"loud":"X"}}`, 422, invalid, "properties.loud"},
		"unknown relation":          {"POST", serviceEntities, `{"relations":{"none":"x"}}`, 404, "not_found", "relations.none"},
		"unknown related entity":    {"POST", serviceEntities, `{"relations":{"uses":["cart","x"]}}`, 404, "not_found", "relations.uses[1]"},
		"several for one":           {"POST", serviceEntities, `{"relations":{"system":["a"]}}`, 422, invalid, "relations.system"},
		"required relation":         {"POST", "/v1/blueprints/bound/entities", `{}`, 422, invalid, "relations.service"},
		"bad search in a relation":  {"POST", serviceEntities, `{"relations":{"system":{"combinator":"xor","rules":[]}}}`, 422, invalid, "relations.system.combinator"},
		"identifier by no entity":   {"POST", serviceEntities, `{"identifier":{"combinator":"and","rules":[{"property":"$title","operator":"=","value":"none"}]}}`, 422, invalid, "identifier"},
		"entity over 350 KiB":       {"POST", serviceEntities, `{"title":"` + strings.Repeat("x", 350<<10) + `"}`, 422, invalid, ""},
		"entity that is there":      {"POST", serviceEntities, `{"identifier":"cart"}`, 409, "identifier_taken", ""},
		"PUT of no entity":          {"PUT", serviceEntities + "/none", `{}`, 404, "not_found", ""},
		"PUT of a bad entity":       {"PUT", one, `{"properties":{"tags":[1]}}`, 422, invalid, "properties.tags[0]"},
		"PATCH of no entity":        {"PATCH", serviceEntities + "/none", `{}`, 404, "not_found", ""},
		"PATCH of a bad entity":     {"PATCH", one, `{"properties":{"replicas":true}}`, 422, invalid, "properties.replicas"},
		"PATCH of unknown members":  {"PATCH", one, `{"scorecards":{}}`, 422, invalid, "scorecards"},
		"DELETE of no entity":       {"DELETE", serviceEntities + "/none", ``, 404, "not_found", ""},
		"entity of 5,000 bytes":     {"GET", serviceEntities + "/" + strings.Repeat("x", 5000), ``, 404, "not_found", ""},
		"bulk of nothing":           {"POST", serviceEntities + "/bulk", `{"entities":[]}`, 422, invalid, "entities"},
		"bulk with more":            {"POST", serviceEntities + "/bulk", `{"entities":[{}],"x":1}`, 422, invalid, "x"},
		"bulk of no blueprint":      {"POST", "/v1/blueprints/none/entities/bulk", `{"entities":[{}]}`, 404, "not_found", ""},
		"bulk deletion of a number": {"POST", "/v1/blueprints/service/bulk/entities/delete", `{"entities":[1]}`, 422, invalid, "entities"},
		"limit 0":                   {"GET", serviceEntities + "?limit=0", ``, 422, invalid, "limit"},
		"from nowhere":              {"GET", serviceEntities + "?from=x", ``, 422, invalid, "from"},
		"search without rules":      {"POST", "/v1/entities/search", `{"combinator":"and"}`, 422, invalid, "rules"},
		"search with an operator":   {"POST", "/v1/entities/search", `{"combinator":"and","rules":[{"property":"a","operator":"~","value":1}]}`, 422, invalid, "rules[0].operator"},
		"search is a list":          {"POST", "/v1/entities/search", `[]`, 422, invalid, ""},
		"search limit":              {"POST", serviceEntities + "/search", `{"limit":1001}`, 422, invalid, "limit"},
		"search limit is a text":    {"POST", serviceEntities + "/search", `{"limit":"5"}`, 422, invalid, "limit"},
		"search with more":          {"POST", serviceEntities + "/search", `{"rules":[]}`, 422, invalid, "rules"},
		"search from nowhere":       {"POST", serviceEntities + "/search", `{"from":"eyJiIjoieCIsImYiOiJ5In0"}`, 422, invalid, "from"},
		"bad search of a blueprint": {"POST", serviceEntities + "/search", `{"query":{"combinator":"or"}}`, 422, invalid, "query.rules"},
		"search of no blueprint":    {"POST", "/v1/blueprints/none/entities/search", `{}`, 404, "not_found", ""},
		"count of no blueprint":     {"GET", "/v1/blueprints/none/entities-count", ``, 404, "not_found", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			g := f.call(test.method, test.target, test.body)
			g.fault(test.status, test.word)
			g.names(test.path)
			f.unchanged(before)
		})
	}
}

// Upserts of one new entity at once leave one entity that has what each of them merged.
func TestRacingUpserts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	bodies := []string{`{"identifier":"cart","title":"Cart"}`, `{"identifier":"cart","icon":"Box"}`, `{"identifier":"cart","properties":{"language":"go"}}`,
		`{"identifier":"cart","properties":{"replicas":2}}`}
	answers := make([]*got, len(bodies))
	var all sync.WaitGroup
	for i, body := range bodies {
		all.Go(func() { answers[i] = f.call("POST", serviceEntities+"?upsert=true&merge=true", body) })
	}
	all.Wait()
	created := 0
	for _, g := range answers {
		switch g.status {
		case 201:
			created++
		default:
			g.want(200)
		}
	}
	g := f.call("GET", serviceEntities+"/cart", "").want(200)
	holds(t, g.at("entity"), `{"title":"Cart","icon":"Box"}`)
	holds(t, g.at("entity", "properties"), `{"language":"go","replicas":2}`)
	if created != 1 {
		t.Errorf("got %d times 201, want once", created)
	}
}

// Two processes over one store see what the other one wrote.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := newFixture(t, func(c *api.Config) { c.Catalog = catalog.NewService(f.catalog, nil) })
	f.blueprints()
	other.call("GET", "/v1/blueprints/service", "").want(200)
	f.call("PUT", "/v1/blueprints/system", strings.Replace(systems, `"number"`, `"string"`, 1)).want(200)
	other.entity("system", `{"identifier":"shop","properties":{"tier":"a"}}`)
	f.call("GET", "/v1/blueprints/system/entities/shop", "").want(200)
}

func TestCalculationsThatDoNotCompile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g := f.call("POST", "/v1/blueprints", `{"identifier":"x","title":"X","schema":{"properties":{}},"calculationProperties":{"a":{"type":"string","calculation":".x |"}}}`).want(201)
	if list := g.list("warnings"); len(list) != 1 || list[0].(map[string]any)["path"] != "calculationProperties.a.calculation" {
		t.Errorf("got %s, want a warning", g.text)
	}
	holds(t, f.entity("x", `{}`).at("entity", "properties"), `{"a":null}`)
}
