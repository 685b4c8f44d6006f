package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api"
)

// Every route is in the document, every operation of the document is a route, and both say the same
// about who may use it.
func TestDocumentDescribesTheRoutes(t *testing.T) {
	t.Parallel()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	security := map[api.Access]string{
		api.Open: "open", api.Loopback: "open or token", api.Member: "token", api.Moderates: "token",
		api.Entities: "token", api.AdminOnly: "token", api.Undecided: "undecided",
	}
	var routes, operations []string
	for _, r := range api.Routes() {
		routes = append(routes, r.Method+" "+r.Pattern+": "+security[r.Access])
		restricted := r.Access == api.Moderates || r.Access == api.Entities || r.Access == api.AdminOnly
		if item := doc.Paths.Value(r.Pattern); restricted && item != nil && item.GetOperation(r.Method).Responses.Value("403") == nil {
			t.Errorf("%s %s is not for everybody, and the document has no 403", r.Method, r.Pattern)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			needs := "token"
			switch {
			case o.Security != nil && len(*o.Security) == 0:
				needs = "open"
			case o.Security != nil && len(*o.Security) == 2 && len((*o.Security)[0]) == 0:
				needs = "open or token"
			}
			operations = append(operations, method+" "+path+": "+needs)
		}
	}
	slices.Sort(routes)
	slices.Sort(operations)
	if diff := cmp.Diff(operations, routes); diff != "" {
		t.Errorf("the document and the routes differ (-document +routes):\n%s", diff)
	}
	if len(doc.Security) != 1 || doc.Security[0]["token"] == nil {
		t.Errorf("got security %v, want the token by default", doc.Security)
	}
}

func TestEveryRouteHasARule(t *testing.T) {
	t.Parallel()
	for _, r := range api.Routes() {
		if r.Access == api.Undecided {
			t.Errorf("%s %s: nobody decided who may use it", r.Method, r.Pattern)
		}
	}
}

// Every route but the open ones is closed to those without a token, before anything else is looked at.
func TestRoutesNeedTheirToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, r := range api.Routes() {
		t.Run(r.Method+" "+r.Pattern, func(t *testing.T) {
			t.Parallel()
			target := strings.NewReplacer("{action_identifier}", "none", "{run_id}", "none",
				"{blueprint_identifier}", "none", "{entity_identifier}", "none", "{page_identifier}", "none", "{user_email}", "none", "{name}", "none", "{secret_name}", "none").Replace(r.Pattern)
			f := *f
			f.t = t
			g := f.call(r.Method, target, `{`, "Authorization", "")
			if r.Access == api.Open {
				if g.status == http.StatusUnauthorized {
					t.Errorf("got %s, want it open", g.text)
				}
				return
			}
			g.fault(http.StatusUnauthorized, "unauthorized")
			if got := g.header.Get("WWW-Authenticate"); got != "Bearer" {
				t.Errorf("got WWW-Authenticate %q, want Bearer", got)
			}
		})
	}
}

// Every route that reads has an answer that the document describes. (Those that write have theirs where their
// entries in the audit log are looked for.)
func TestEveryReadIsAnswered(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		f.blueprints()
		f.people()
		f.entity("service", `{"identifier":"cart"}`)
		f.call("POST", "/v1/teams", `{"name":"core","users":["a@x.example"]}`).want(201)
		f.call("POST", "/v1/organization/secrets", `{"secretName":"TOKEN","secretValue":"x"}`).want(201)
		migration := f.call("DELETE", "/v1/blueprints/bound/all-entities", "").want(200).at("migrationId").(string)
		f.define(actionOf("of-service", "service"))
		names := strings.NewReplacer("{blueprint_identifier}/actions/{action_identifier}", "service/actions/of-service", "/system/{blueprint_identifier}", "/system/_user", "{action_identifier}", "deploy", "{run_id}", f.start(),
			"{blueprint_identifier}", "service", "{entity_identifier}", "cart", "{page_identifier}", "service", "{migration_id}", migration,
			"{user_email}", "a@x.example", "{name}", "core", "{secret_name}", "TOKEN")
		for _, r := range api.Routes() {
			if r.Method != http.MethodGet || r.Access == api.Loopback {
				continue
			}
			if g := f.call("GET", names.Replace(r.Pattern), ""); g.status != http.StatusOK {
				f.t.Errorf("GET %s: got status %d: %s", r.Pattern, g.status, g.text)
			}
		}
	})
}

// Whatever a blueprint may have is in the document, as it is sent and as it is answered.
func TestDocumentDescribesBlueprints(t *testing.T) {
	t.Parallel()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	g := f.call("POST", "/v1/blueprints", `{"identifier":"full","title":"Full","icon":"Box","description":"d","schema":{"properties":{},"required":[]},
		"relations":{},"mirrorProperties":{},"calculationProperties":{},"aggregationProperties":{},"ownership":{"type":"Direct","title":"Owner"},
		"teamInheritance":{"path":"r"},"includeInGlobalSearch":false,"changelogDestination":{"type":"WEBHOOK","agent":true,"url":"https://c.example"}}`).want(201)
	sent, answered := doc.Components.Schemas["BlueprintDefinition"].Value, doc.Components.Schemas["Blueprint"].Value
	for name := range g.at("blueprint").(map[string]any) {
		if answered.Properties[name] == nil {
			t.Errorf("the document's Blueprint has no %s", name)
		}
		if sent.Properties[name] == nil && !slices.Contains([]string{"createdAt", "createdBy", "updatedAt", "updatedBy"}, name) {
			t.Errorf("the document's BlueprintDefinition has no %s", name)
		}
	}
}

func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	g := f.call("GET", "/openapi.json", "", "Authorization", "").want(http.StatusOK)
	if diff := cmp.Diff(string(api.Document()), string(g.text)); diff != "" {
		t.Errorf("the document (-want +got):\n%s", diff)
	}
}
