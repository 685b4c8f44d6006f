package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const permissionsOfDeploy = "/v1/actions/deploy/permissions"

// policy is a policy with everything that a client may send, in an order of its own.
const policy = `{"conditions":[".results.mine.entities | length > 0",".inputs.count < 1e1"],` +
	`"queries":{"mine":{"rules":[{"value":"{{ .inputs.service }}","property":"$identifier","operator":"="},` +
	`{"property":"$team","operator":"containsAny","value":{"context":"userTeams","property":"$identifier"}}],"combinator":"and"}}}`

// wantText fails the test unless the answer's text holds another text.
func (g *got) wantText(part string) {
	g.t.Helper()
	if !strings.Contains(string(g.text), part) {
		g.t.Errorf("got %s, want it to hold %s", g.text, part)
	}
}

func TestActionPermissions(t *testing.T) {
	t.Parallel()
	const defaults = `{"ok":true,"permissions":{"execute":{"users":[],"roles":["Admin","Member"],"teams":[],"ownedByTeam":false,"policy":null},` +
		`"approve":{"users":[],"roles":["Admin"],"teams":[],"policy":null}}}`
	steps := []struct {
		name, body string
		// want is what the answer's permissions hold.
		want string
	}{
		{"nothing", `{}`, strings.TrimSuffix(strings.TrimPrefix(defaults, `{"ok":true,`), "}")},
		{"a list replaces a list", `{"execute":{"roles":[]}}`, `"execute":{"users":[],"roles":[],"teams":[],"ownedByTeam":false,"policy":null},"approve":{"users":[],"roles":["Admin"]`},
		{"members one by one", `{"execute":{"users":["b@example.com","A@example.com","b@example.com"],"ownedByTeam":true}}`,
			`"execute":{"users":["b@example.com","A@example.com","b@example.com"],"roles":[],"teams":[],"ownedByTeam":true,"policy":null}`},
		{"null changes nothing", `{"execute":{"users":null,"ownedByTeam":null,"teams":null},"approve":null}`,
			`"execute":{"users":["b@example.com","A@example.com","b@example.com"],"roles":[],"teams":[],"ownedByTeam":true,"policy":null}`},
		{"a policy as it was sent", `{"execute":{"policy":` + policy + `},"approve":{"teams":["Ops"]}}`, `"policy":` + policy + `},"approve":{"users":[],"roles":["Admin"],"teams":["Ops"],"policy":null}`},
		{"beside a policy", `{"execute":{"users":[]}}`, `"execute":{"users":[],"roles":[],"teams":[],"ownedByTeam":true,"policy":` + policy},
		{"a policy replaces a policy", `{"execute":{"policy":{"conditions":["true"]}}}`, `"policy":{"conditions":["true"]}}`},
		{"a policy removed", `{"execute":{"policy":null}}`, `"ownedByTeam":true,"policy":null}`},
		{"removed again", `{"execute":{"policy":null},"approve":{"policy":null}}`, `"teams":["Ops"],"policy":null}`},
	}
	f := newFixture(t)
	f.define(deploy)
	if diff := cmp.Diff(defaults, string(f.call("GET", permissionsOfDeploy, "").want(200).text)); diff != "" {
		t.Errorf("permissions of a new action (-want +got):\n%s", diff)
	}
	for _, step := range steps {
		f.t = t
		g := f.call("PATCH", permissionsOfDeploy, step.body).want(200)
		if !strings.Contains(string(g.text), step.want) {
			t.Errorf("%s: got %s, want it to hold %s", step.name, g.text, step.want)
		}
		if len(g.list("warnings")) != 0 {
			t.Errorf("%s: got warnings %s", step.name, g.text)
		}
		read := f.call("GET", permissionsOfDeploy, "").want(200)
		if diff := cmp.Diff(g.at("permissions"), read.at("permissions")); diff != "" {
			t.Errorf("%s: permissions (-answered +read):\n%s", step.name, diff)
		}
	}
	// A definition says nothing of them, and they move and go with it.
	before := string(f.call("GET", permissionsOfDeploy, "").text)
	if view := f.call("GET", "/v1/actions/deploy", "").want(200); view.at("action").(map[string]any)["permissions"] != nil {
		t.Errorf("the definition shows permissions: %s", view.text)
	}
	f.call("PUT", "/v1/actions/deploy", strings.Replace(deploy, `"deploy"`, `"renamed"`, 1)).want(200)
	f.call("GET", permissionsOfDeploy, "").fault(404, "not_found")
	if diff := cmp.Diff(before, string(f.call("GET", "/v1/actions/renamed/permissions", "").want(200).text)); diff != "" {
		t.Errorf("permissions of the renamed action (-want +got):\n%s", diff)
	}
	f.call("DELETE", "/v1/actions/renamed", "").want(200)
	f.define(strings.Replace(deploy, `"deploy"`, `"renamed"`, 1))
	if diff := cmp.Diff(defaults, string(f.call("GET", "/v1/actions/renamed/permissions", "").want(200).text)); diff != "" {
		t.Errorf("permissions of a new action of an old name (-want +got):\n%s", diff)
	}
}

func TestActionPermissionsThatAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(deploy)
	f.call("PATCH", permissionsOfDeploy, `{"execute":{"users":["a@example.com"]}}`).want(200)
	before := f.snapshot()
	tests := map[string]struct {
		body string
		// paths are those of the details, in order.
		paths []string
	}{
		"an unknown member":      {`{"exec":{}}`, []string{"exec"}},
		"a list":                 {`[]`, nil},
		"a block that is a list": {`{"execute":[],"approve":"Admin"}`, []string{"approve", "execute"}},
		"several": {
			`{"execute":{"users":"a","roles":[1],"teams":{},"ownedByTeam":"yes","owners":[]},"approve":{"ownedByTeam":true}}`,
			[]string{"approve.ownedByTeam", "execute.ownedByTeam", "execute.owners", "execute.roles", "execute.teams", "execute.users"},
		},
		"a policy of a wrong type":   {`{"execute":{"policy":"true"}}`, []string{"execute.policy"}},
		"an unknown policy member":   {`{"approve":{"policy":{"rules":[]}}}`, []string{"approve.policy.rules"}},
		"conditions of a wrong type": {`{"execute":{"policy":{"conditions":"true"}}}`, []string{"execute.policy.conditions"}},
		"no conditions":              {`{"execute":{"policy":{"conditions":[]}}}`, []string{"execute.policy.conditions"}},
		"a condition that is none":   {`{"execute":{"policy":{"conditions":["true",1,""]}}}`, []string{"execute.policy.conditions[1]", "execute.policy.conditions[2]"}},
		"queries of a wrong type":    {`{"execute":{"policy":{"queries":[]}}}`, []string{"execute.policy.queries"}},
		"a bad query": {
			`{"execute":{"policy":{"queries":{"a":{"combinator":"xor","rules":[{"property":"$identifier","operator":"like","value":1}]},"b":1}}}}`,
			[]string{"execute.policy.queries.a.combinator", "execute.policy.queries.a.rules[0].operator", "execute.policy.queries.b"},
		},
		"too much": {`{"execute":{"users":["` + strings.Repeat("u", 350<<10) + `"]}}`, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			g := f.call("PATCH", permissionsOfDeploy, test.body)
			g.fault(422, "invalid_request")
			g.namesAll(test.paths)
			f.unchanged(before)
		})
	}
	f.call("PATCH", "/v1/actions/none/permissions", `{}`).fault(404, "not_found")
	f.call("GET", "/v1/actions/"+strings.Repeat("a", 400)+"/permissions", "").fault(404, "not_found")
	f.call("PUT", permissionsOfDeploy, `{}`).fault(http.StatusMethodNotAllowed, "method_not_allowed")
	// A definition that would not fit beside its permissions.
	f.call("PATCH", permissionsOfDeploy, `{"execute":{"users":["`+strings.Repeat("u", 200<<10)+`"]}}`).want(200)
	f.call("PUT", "/v1/actions/deploy", strings.Replace(deploy, `"Deploy"`, `"`+strings.Repeat("x", 200<<10)+`"`, 1)).fault(422, "invalid_request")
}

// JQ that does not compile is kept, and said.
func TestActionPermissionsWarnOfJQ(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(deploy)
	g := f.call("PATCH", permissionsOfDeploy, `{"approve":{"policy":{"queries":{"q":{"combinator":"and","rules":[{"property":"$identifier","operator":"=","value":"{{ .a | }}"}]}},"conditions":["true",".a ["]}}}`).want(200)
	var paths []string
	for _, w := range g.list("warnings") {
		paths = append(paths, w.(map[string]any)["path"].(string))
	}
	want := []string{"approve.policy.conditions[1]", "approve.policy.queries.q.rules[0].value"}
	if diff := cmp.Diff(want, sorted(paths)); diff != "" {
		t.Errorf("paths of warnings (-want +got):\n%s", diff)
	}
	g.wantText(`"conditions":["true",".a ["]`)
}

func TestBlueprintPermissionsThatAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	const target = "/v1/blueprints/service/permissions"
	f.call("PATCH", target, `{"entities":{"register":{"users":["a@example.com"]}}}`).want(200)
	before := f.snapshot()
	tests := map[string]struct {
		body  string
		paths []string
	}{
		"a bad search": {`{"entities":{"update":{"policy":{"combinator":"and","rules":[{"property":"a","operator":"like","value":1}]}}}}`, []string{"entities.update.policy.rules[0].operator"}},
		"no conditions": {`{"entities":{"register":{"policy":{"conditions":[]}},"updateProperties":{"url":{"policy":{"conditions":[1]}}}}}`,
			[]string{"entities.register.policy.conditions", "entities.updateProperties.url.policy.conditions[0]"}},
		"an unknown policy member": {`{"entities":{"register":{"policy":{"query":{}}}}}`, []string{"entities.register.policy.query"}},
		"too much":                 {`{"entities":{"register":{"users":["` + strings.Repeat("u", 350<<10) + `"]}}}`, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			g := f.call("PATCH", target, test.body)
			g.fault(422, "invalid_request")
			g.namesAll(test.paths)
			f.unchanged(before)
		})
	}
	g := f.call("PATCH", target, `{"entities":{"updateRelations":{"uses":{"policy":{"conditions":["true",".a ["]}}}}}`).want(200)
	if warnings := g.list("warnings"); len(warnings) != 1 || warnings[0].(map[string]any)["path"] != "entities.updateRelations.uses.policy.conditions[1]" {
		t.Errorf("got %s, want a warning", g.text)
	}
}
