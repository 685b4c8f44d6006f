package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api"
)

// Every route that takes a body refuses the same things in the same way, and what it has several faults of
// it names at once. Nothing of it is stored, on either kind of store, and no entry tells of it.
func TestBadBodyOfEveryRoute(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		f.blueprints()
		f.people()
		f.entity("service", `{"identifier":"cart"}`)
		f.call("POST", "/v1/teams", `{"name":"core","users":["a@x.example"]}`).want(201)
		f.call("POST", "/v1/organization/secrets", `{"secretName":"TOKEN","secretValue":"x"}`).want(201)
		f.define(actionOf("of-service", "service"))
		id := f.start()
		asked := f.askApproval()
		const blueprint, entity, team = "/v1/blueprints/service", serviceEntities + "/cart", "/v1/teams/core"
		// faulty is a body of the route with several faults, and paths are their paths.
		routes := map[string]struct {
			target, faulty string
			paths          []string
		}{
			"POST /v1/auth/access_token": {"", `{"clientId":1,"x":2}`, []string{"clientId", "clientSecret", "x"}},
			"POST /v1/jq":                {"", `{"expression":1,"x":2}`, []string{"expression", "x"}},

			"POST /v1/actions":                    {"", `{"identifier":"a/b","title":1,"x":2}`, []string{"identifier", "invocationMethod", "title", "trigger", "x"}},
			"PUT /v1/actions/{action_identifier}": {"/v1/actions/deploy", `{"identifier":"","x":2}`, []string{"identifier", "invocationMethod", "trigger", "x"}},
			"PATCH /v1/actions/{action_identifier}/permissions": {"/v1/actions/deploy/permissions",
				`{"execute":{"roles":1,"x":2},"y":3}`, []string{"execute.roles", "execute.x", "y"}},
			"POST /v1/actions/{action_identifier}/runs": {"/v1/actions/deploy/runs", `{"properties":{"count":"x"},"x":1}`, []string{"x"}},
			"PATCH /v1/actions/runs/{run_id}":           {"/v1/actions/runs/" + id, `{"status":"X","link":1,"x":2}`, []string{"link", "status", "x"}},
			"PATCH /v1/actions/runs/{run_id}/approval":  {"/v1/actions/runs/" + asked + "/approval", `{"status":1,"x":2}`, []string{"status", "x"}},
			"POST /v1/actions/runs/{run_id}/logs":       {"/v1/actions/runs/" + id + "/logs", `{"terminationStatus":"X","x":1}`, []string{"message", "terminationStatus", "x"}},

			"POST /v1/blueprints/{blueprint_identifier}/actions": {blueprint + "/actions", `{"identifier":"a/b","trigger":"X","blueprint":"system","x":2}`,
				[]string{"blueprint", "identifier", "invocationMethod", "trigger", "x"}},
			"PUT /v1/blueprints/{blueprint_identifier}/actions/{action_identifier}": {blueprint + "/actions/of-service",
				`{"identifier":"","trigger":{"type":"self-service","operation":"X","blueprintIdentifier":"system"},"x":2}`,
				[]string{"identifier", "invocationMethod", "trigger.blueprintIdentifier", "trigger.operation", "x"}},
			"POST /v1/blueprints/{blueprint_identifier}/actions/{action_identifier}/runs": {blueprint + "/actions/of-service/runs",
				`{"properties":1,"entity":2,"x":1}`, []string{"entity", "properties", "x"}},
			"POST /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}/actions/{action_identifier}/runs": {entity + "/actions/of-service/runs",
				`{"entity":"till","x":1}`, []string{"entity", "x"}},

			"POST /v1/blueprints": {"", `{"identifier":"a b","schema":{"properties":{"p":{"type":"text"},"q q":{"type":"string"}}},"relations":{"r":{"many":1}}}`,
				[]string{"identifier", "relations.r.many", "relations.r.target", "schema.properties.p.type", `schema.properties["q q"]`, "title"}},
			"PUT /v1/blueprints/{blueprint_identifier}": {blueprint, `{"identifier":"service","title":1,"schema":{"properties":{"p":{"type":"text"}}}}`,
				[]string{"schema.properties.p.type", "title"}},
			"PATCH /v1/blueprints/{blueprint_identifier}": {blueprint, `{"title":1,"schema":{"properties":{"p":{"type":"text"}}}}`,
				[]string{"schema.properties.p.type", "title"}},
			"PATCH /v1/blueprints/{blueprint_identifier}/permissions": {blueprint + "/permissions", `{"entities":{"update":{"users":1,"teams":2}},"x":1}`,
				[]string{"entities.update.teams", "entities.update.users", "x"}},

			"POST /v1/blueprints/{blueprint_identifier}/entities": {serviceEntities, `{"identifier":"a b","icon":1,"properties":{"replicas":"1","none":2}}`,
				[]string{"icon", "identifier", "properties.none", "properties.replicas"}},
			"PUT /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}": {entity, `{"identifier":"a b","team":1,"properties":{"tags":[1,"a",2]}}`,
				[]string{"identifier", "properties.tags[0]", "properties.tags[2]", "team"}},
			"PATCH /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}": {entity, `{"title":1,"x":2,"properties":{"url":"no","replicas":true}}`,
				[]string{"properties.replicas", "properties.url", "title", "x"}},
			"POST /v1/blueprints/{blueprint_identifier}/entities/bulk":        {serviceEntities + "/bulk", `{"entities":{},"x":1}`, []string{"entities", "x"}},
			"POST /v1/blueprints/{blueprint_identifier}/bulk/entities/delete": {blueprint + "/bulk/entities/delete", `{"entities":1,"x":2}`, []string{"entities", "x"}},
			"POST /v1/blueprints/{blueprint_identifier}/entities/search":      {serviceEntities + "/search", `{"limit":0,"include":1,"x":2}`, []string{"include", "limit", "x"}},
			"POST /v1/entities/search": {"", `{"combinator":"xor","rules":[{"property":"a","operator":"~"},{"operator":"="}]}`,
				[]string{"combinator", "rules[0].operator", "rules[1].property", "rules[1].value"}},

			"POST /v1/teams":         {"", `{"description":1,"users":["none"],"x":1}`, []string{"description", "name", "users[0]", "x"}},
			"PUT /v1/teams/{name}":   {team, `{"name":1,"users":2,"x":3}`, []string{"name", "users", "x"}},
			"PATCH /v1/teams/{name}": {team, `{"name":"","users":[1],"x":3}`, []string{"name", "users[0]", "x"}},

			"POST /v1/actions/runs/claim-pending": {"", `{"installationId":1,"limit":0,"exclude":"a","visibilityTimeoutMs":"1","x":2}`,
				[]string{"exclude", "installationId", "limit", "visibilityTimeoutMs", "x"}},
			"PATCH /v1/actions/runs/ack":               {"", `{"runIds":1,"runId":2,"x":3}`, []string{"runId", "runIds", "x"}},
			"PATCH /v1/actions/runs/{run_id}/response": {"/v1/actions/runs/" + id + "/response", `{"x":1}`, []string{"response", "x"}},

			"PATCH /v1/organization":                       {"", `{"name":1,"settings":2,"x":3}`, []string{"name", "settings", "x"}},
			"POST /v1/organization/secrets":                {"", `{"secretValue":1,"x":2}`, []string{"secretName", "secretValue", "x"}},
			"PATCH /v1/organization/secrets/{secret_name}": {"/v1/organization/secrets/TOKEN", `{"secretValue":1,"x":2}`, []string{"secretValue", "x"}},
		}
		before := f.snapshot()
		for _, r := range api.Routes() {
			name := r.Method + " " + r.Pattern
			c, known := routes[name]
			if !takesBody(t, r) || strings.HasPrefix(r.Pattern, "/webhooks/") {
				// The body of an event is its sender's, of which package inbound makes sure before it reads it.
				continue
			}
			if !known {
				f.t.Errorf("%s: nobody looked what it makes of a bad body", name)
				continue
			}
			target := c.target
			if target == "" {
				target = r.Pattern
			}
			for what, body := range map[string]string{
				"malformed": `{"identifier":"x"`, "empty": ``, "two values": `{}{}`, "a list": `[]`, "null": `null`, "a text": `"x"`,
				"invalid UTF-8": "{\"identifier\":\"\xff\"}", "a NUL": `{"identifier":"a\u0000b","title":"\u0000"}`,
				"deep": strings.Repeat(`{"properties":`, 30_000) + "1" + strings.Repeat("}", 30_000), "beyond a double": `{"identifier":1e999}`,
			} {
				if g := f.call(r.Method, target, body); g.status != 422 || g.at("message") == "" {
					f.t.Errorf("%s, %s: got status %d, want 422: %.200s", name, what, g.status, g.text)
				}
			}
			g := f.call(r.Method, target, c.faulty)
			if g.status != 422 {
				f.t.Errorf("%s: got status %d, want 422: %s", name, g.status, g.text)
				continue
			}
			var paths []string
			details, _ := g.body["details"].([]any)
			for _, d := range details {
				paths = append(paths, d.(map[string]any)["path"].(string))
			}
			if diff := cmp.Diff(c.paths, sorted(paths)); diff != "" {
				f.t.Errorf("%s: paths of the faults (-want +got):\n%s\n%s", name, diff, g.text)
			}
		}
		f.unchanged(before)
	})
}

// takesBody reports whether the document says that a route takes a body.
func takesBody(t *testing.T, r api.Route) bool {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	item := doc.Paths.Value(r.Pattern)
	return r.Method != http.MethodGet && item != nil && item.GetOperation(r.Method).RequestBody != nil
}
