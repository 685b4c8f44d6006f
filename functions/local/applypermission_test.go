package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// Permissions beside an action are written after it, once, and only what they say.
func TestApplyPermissions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	noted := w.watched()
	with := func(permissions string) string { return write(t, "a.yaml", restart+permissions) }
	permissions := func() string {
		t.Helper()
		text, err := w.client.Permissions(t.Context(), "restart")
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	steps := []struct {
		name, permissions string
		// change is what apply says, writes what is written, and has what the permissions have then.
		change, writes, has string
	}{
		{"a new action", "permissions: {execute: {users: [ada@example.com], roles: []}, approve: {teams: [ops]}}\n", created,
			"POST /v1/actions PATCH /v1/actions/restart/permissions", `"users":["ada@example.com"],"roles":[],`},
		{"again", "permissions: {execute: {roles: [], users: [ada@example.com]}, approve: {teams: [ops]}}\n", unchanged, "", ""},
		{"a part of it", "permissions: {execute: {roles: []}}\n", unchanged, "", ""},
		{"what is the default", "permissions: {execute: {ownedByTeam: false, policy: null, teams: []}, approve: {roles: [Admin]}}\n", unchanged, "", ""},
		{"null", "permissions: null\n", unchanged, "", ""},
		{"none", "", unchanged, "", `"users":["ada@example.com"],"roles":[],`},
		{"a policy", "permissions: {execute: {policy: {conditions: ['true']}}}\n", changed, "PATCH /v1/actions/restart/permissions", `"policy":{"conditions":["true"]}`},
		{"the policy again", "permissions: {execute: {policy: {conditions: ['true']}}}\n", unchanged, "", ""},
		{"no policy", "permissions: {execute: {policy: null}}\n", changed, "PATCH /v1/actions/restart/permissions", `"ownedByTeam":false,"policy":null`},
		{"both", "permissions: {execute: {teams: [dev]}}\ndescription: d\n", changed, "PUT /v1/actions/restart PATCH /v1/actions/restart/permissions", `"teams":["dev"]`},
	}
	for _, step := range steps {
		if got := w.must("apply", with(step.permissions)); got.out != "action restart "+step.change+"\n" {
			t.Errorf("%s: said %q, want %s", step.name, got.out, step.change)
		}
		if got := strings.Join(noted.taken(), " "); got != step.writes {
			t.Errorf("%s: wrote %q, want %q", step.name, got, step.writes)
		}
		if got := permissions(); !strings.Contains(got, step.has) {
			t.Errorf("%s: the permissions are %s, want them to have %s", step.name, got, step.has)
		}
		// For "both", which changes the definition.
		if strings.Contains(step.permissions, "description") {
			break
		}
	}
	got := w.must("apply", with("permissions: {approve: {policy: {conditions: ['.a [']}}}\ndescription: d\n"))
	if !strings.Contains(got.err, "restart: approve.policy.conditions[0]: .a [ does not compile") {
		t.Errorf("jq that does not compile: said %q", got.err)
	}
	noted.taken()
	bad := call(t, "", "apply", with("permissions: {execute: {groups: []}}\n"), "--url", w.url)
	if bad.code != 2 || !strings.Contains(bad.err, "permissions of action restart: execute.groups") {
		t.Errorf("an unknown member: %d %s", bad.code, bad.err)
	}
	if got := noted.taken(); len(got) != 0 {
		t.Errorf("bad permissions wrote %v", got)
	}
	if !json.Valid([]byte(permissions())) {
		t.Error("the permissions are no JSON")
	}
}
