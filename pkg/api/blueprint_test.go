package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Blueprints for tests: a service relates to a system (one) and to services (many).
const (
	systems  = `{"identifier":"system","title":"System","schema":{"properties":{"tier":{"type":"number"}},"required":[]}}`
	services = `{"identifier":"service","title":"Service","icon":"Box","schema":{"properties":{"language":{"type":"string"},` +
		`"replicas":{"type":"number"},"tags":{"type":"array","items":{"type":"string"}},"url":{"type":"string","format":"url"}},"required":[]},` +
		`"relations":{"system":{"target":"system","title":"System"},"uses":{"target":"service","many":true}},` +
		`"mirrorProperties":{"systemTier":{"path":"system.tier"}},` +
		`"calculationProperties":{"loud":{"type":"string","calculation":".properties.language | ascii_upcase"}}}`
	bound = `{"identifier":"bound","title":"Bound","schema":{"properties":{}},"relations":{"service":{"target":"service","required":true}}}`
)

// blueprints creates the blueprints of the tests.
func (f *fixture) blueprints() {
	f.t.Helper()
	for _, b := range []string{systems, services, bound} {
		f.call("POST", "/v1/blueprints", b).want(201)
	}
}

// entity creates an entity.
func (f *fixture) entity(blueprint, body string) *got {
	f.t.Helper()
	return f.call("POST", "/v1/blueprints/"+blueprint+"/entities", body).want(201)
}

// holds fails the test unless got has everything that the JSON object want has.
func holds(t *testing.T, got any, want string) {
	t.Helper()
	var wanted map[string]any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	object, _ := got.(map[string]any)
	for name, v := range wanted {
		if diff := cmp.Diff(v, object[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestBlueprintsComeBackAsSent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("POST", "/v1/blueprints", systems).want(201)
	tests := map[string]string{
		"small":    `{"identifier":"x","title":"X","schema":{"properties":{}}}`,
		"slash":    `{"identifier":"org/x","title":"X","schema":{"properties":{},"required":[]}}`,
		"optional": `{"identifier":"x","title":"X","icon":"Box","description":"","schema":{"properties":{},"required":[]},"ownership":{"type":"Direct"},"includeInGlobalSearch":false}`,
		"both": `{"identifier":"x","title":"X","schema":{"properties":{}},"relations":{"system":{"target":"system","many":false,"required":false,"title":""}},` +
			`"ownership":{"type":"Inherited","path":"system"},"teamInheritance":{"path":"nothing"},"changelogDestination":{"type":"WEBHOOK","url":"https://example.com/log","agent":false}}`,
		"properties": `{"identifier":"x","title":"X","schema":{"properties":{"a":{"type":"string","title":"","enum":["b","a"],"enumColors":{"a":"red"}},` +
			`"b":{"type":"string","format":"user"},"c":{"type":"array","items":{"type":"string","format":"url"}},"d":{"type":"object"},"e":{"type":"boolean","default":false}},"required":["a"]}}`,
	}
	for name, sent := range tests {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			var want map[string]any
			if err := json.Unmarshal([]byte(sent), &want); err != nil {
				t.Fatal(err)
			}
			target := "/v1/blueprints/" + strings.ReplaceAll(want["identifier"].(string), "/", "%2F")
			created := f.call("POST", "/v1/blueprints", sent).want(201)
			for _, g := range []*got{created, f.call("GET", target, "").want(200), f.call("PUT", target, sent).want(200)} {
				holds(t, g.at("blueprint"), sent)
				b := g.at("blueprint").(map[string]any)
				for _, name := range []string{"icon", "description", "ownership", "teamInheritance", "changelogDestination", "includeInGlobalSearch"} {
					if _, sent := want[name]; !sent && b[name] != nil {
						t.Errorf("got %s %v, which was not sent", name, b[name])
					}
				}
				if _, sent := want["relations"]; !sent && len(b["relations"].(map[string]any)) != 0 {
					t.Errorf("got relations %v, want none", b["relations"])
				}
				if b["createdAt"] != created.at("blueprint", "createdAt") || b["createdBy"] != clientID {
					t.Errorf("got %s, want the creation to stay", g.text)
				}
			}
			f.call("DELETE", target, "").want(200)
			f.call("GET", target, "").fault(404, "not_found")
		})
	}
}

func TestSystemBlueprintsAreThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var names []string
	for _, b := range f.call("GET", "/v1/blueprints", "").want(200).list("blueprints") {
		names = append(names, b.(map[string]any)["identifier"].(string))
	}
	if diff := cmp.Diff([]string{"_team", "_user"}, names); diff != "" {
		t.Errorf("blueprints (-want +got):\n%s", diff)
	}
	f.call("DELETE", "/v1/blueprints/_user", "").fault(409, "system_blueprint")
	f.call("PUT", "/v1/blueprints/_user", `{"identifier":"people","title":"P","schema":{"properties":{}}}`).fault(422, "invalid_request")
	g := f.call("PUT", "/v1/blueprints/_user", `{"identifier":"_user","title":"User","schema":{"properties":{"desk":{"type":"string"}}}}`).want(200)
	if properties := g.at("blueprint", "schema", "properties").(map[string]any); properties["desk"] == nil || properties["port_role"] == nil {
		t.Errorf("got %s, want the own property and the built-in ones", g.text)
	}
	g = f.call("GET", "/v1/blueprints/system/_user/structure", "").want(200)
	if properties := g.at("blueprint", "schema", "properties").(map[string]any); properties["desk"] != nil || properties["port_role"] == nil {
		t.Errorf("got %s, want the built-in properties alone", g.text)
	}
	f.call("GET", "/v1/blueprints/system/service/structure", "").fault(404, "not_found")
	f.entity("_user", `{"identifier":"ada@example.com","properties":{"status":"Active"}}`)
}

func TestRenamingABlueprint(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	f.entity("system", `{"identifier":"shop"}`)
	f.entity("service", `{"identifier":"cart","relations":{"system":"shop"}}`)
	f.entity("service", `{"identifier":"pay","relations":{"uses":["cart"]}}`)
	f.call("PUT", "/v1/blueprints/service", strings.Replace(services, `"service"`, `"system"`, 1)).fault(409, "identifier_taken")
	g := f.call("PUT", "/v1/blueprints/service", strings.Replace(services, `"service"`, `"component"`, 1)).want(200)
	if g.at("blueprint", "relations", "uses", "target") != "component" {
		t.Errorf("got %s, want a relation to itself to follow", g.text)
	}
	f.call("GET", "/v1/blueprints/service", "").fault(404, "not_found")
	if got := f.call("GET", "/v1/blueprints/bound", "").at("blueprint", "relations", "service", "target"); got != "component" {
		t.Errorf("got target %v, want it to follow", got)
	}
	g = f.call("GET", "/v1/blueprints/component/entities/pay", "").want(200)
	holds(t, g.at("entity"), `{"blueprint":"component","relations":{"system":null,"uses":["cart"]}}`)
	f.entity("bound", `{"relations":{"service":"cart"}}`)
}

func TestPatchOfABlueprint(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	g := f.call("PATCH", "/v1/blueprints/service", `{"icon":null,"schema":{"properties":{"port":{"type":"number"}}}}`).want(200)
	b := g.at("blueprint").(map[string]any)
	if b["icon"] != nil || b["title"] != "Service" || b["schema"].(map[string]any)["properties"].(map[string]any)["language"] == nil {
		t.Errorf("got %s, want the rest to stay", g.text)
	}
}

func TestBlueprintsThatOthersNeed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	f.entity("service", `{"identifier":"cart"}`)
	before := f.snapshot()
	if message := f.call("DELETE", "/v1/blueprints/system", "").fault(409, "has_dependents"); !strings.Contains(message, "service") {
		t.Errorf("got message %q, want it to name who relates to it", message)
	}
	f.call("DELETE", "/v1/blueprints/bound", "").want(200)
	f.call("POST", "/v1/blueprints", bound).want(201)
	f.call("DELETE", "/v1/blueprints/bound", "").want(200)
	if message := f.call("DELETE", "/v1/blueprints/service", "").fault(409, "has_dependents"); !strings.Contains(message, "cart") {
		t.Errorf("got message %q, want it to name an entity", message)
	}
	if len(f.snapshot().Entities) != len(before.Entities) {
		t.Error("an entity is gone")
	}
	f.call("DELETE", "/v1/blueprints/service/entities/cart", "").want(200)
	f.call("DELETE", "/v1/blueprints/service", "").want(200)
	f.call("DELETE", "/v1/blueprints/system", "").want(200)
}

// The actions of a blueprint go with it where that is asked for, and only if it goes.
func TestBlueprintWithItsActions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("POST", "/v1/blueprints", systems).want(201)
	of := func(identifier string) string {
		return `{"identifier":"` + identifier + `","trigger":{"type":"self-service","operation":"CREATE","blueprintIdentifier":"system"},"invocationMethod":{"type":"KAFKA"}}`
	}
	f.define(of("one"))
	f.define(of("two"))
	f.define(deploy)
	f.entity("system", `{"identifier":"shop"}`)
	f.call("DELETE", "/v1/blueprints/system?delete_actions=true", "").fault(409, "has_dependents")
	f.call("GET", "/v1/actions/one", "").want(200)
	f.call("DELETE", "/v1/blueprints/system/entities/shop", "").want(200)
	f.call("DELETE", "/v1/blueprints/system?delete_actions=true", "").want(200)
	for _, identifier := range []string{"one", "two"} {
		f.call("GET", "/v1/actions/"+identifier, "").fault(404, "not_found")
	}
	f.call("GET", "/v1/actions/deploy", "").want(200)
	f.call("DELETE", "/v1/blueprints/system?delete_actions=true", "").fault(404, "not_found")

	f.call("POST", "/v1/blueprints", systems).want(201)
	f.define(of("one"))
	f.call("DELETE", "/v1/blueprints/system", "").want(200)
	f.call("GET", "/v1/actions/one", "").want(200)
	// What a fault left behind is deleted by the same request again.
	f.call("DELETE", "/v1/blueprints/system?delete_actions=true", "").want(200)
	f.call("GET", "/v1/actions/one", "").fault(404, "not_found")
}

func TestPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("POST", "/v1/blueprints", systems).want(201)
	f.call("POST", "/v1/blueprints?create_catalog_page=false", strings.Replace(systems, `"system"`, `"hidden"`, 1)).want(201)
	f.call("POST", "/v1/blueprints?create_catalog_page=", strings.Replace(systems, `"system"`, `"shown"`, 1)).want(201)
	holds(t, f.call("GET", "/v1/pages/system", "").want(200).at("page"), `{"identifier":"system","title":"System"}`)
	f.call("GET", "/v1/pages/shown", "").want(200)
	f.call("GET", "/v1/pages/hidden", "").fault(404, "not_found")
	f.call("GET", "/v1/pages/none", "").fault(404, "not_found")
}

func TestBlueprintPermissions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	const target = "/v1/blueprints/service/permissions"
	g := f.call("GET", target, "").want(200)
	holds(t, g.at("permissions", "entities", "register"), `{"users":[],"roles":["Admin"],"teams":[],"ownedByTeam":false}`)
	g = f.call("PATCH", target, `{"entities":{"register":{"roles":["Member","Admin"],"policy":{"combinator":"and","rules":[]}},"updateProperties":{"language":{"ownedByTeam":true}}}}`).want(200)
	holds(t, g.at("permissions", "entities", "register"), `{"users":[],"roles":["Member","Admin"],"policy":{"combinator":"and","rules":[]}}`)
	holds(t, g.at("permissions", "entities", "updateProperties", "language"), `{"roles":["Admin"],"ownedByTeam":true}`)
	g = f.call("PATCH", target, `{"entities":{"register":{"policy":null}}}`).want(200)
	if _, there := g.at("permissions", "entities", "register").(map[string]any)["policy"]; there {
		t.Errorf("got %s, want no policy", g.text)
	}
	if diff := cmp.Diff(g.at("permissions"), f.call("GET", target, "").want(200).at("permissions")); diff != "" {
		t.Errorf("permissions (-patched +read):\n%s", diff)
	}
}
