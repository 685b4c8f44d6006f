package permission_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/permission"
)

// Each row has who of the users of the world may execute an action.
func TestExecute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const nobody = `{"execute":{"roles":[]}}`
	with := func(member string) string { return `{"execute":{"roles":[],` + member + `}}` }
	tests := []struct {
		name, permissions string
		// on is the blueprint and the entity of the run, empty for none.
		on, want string
	}{
		{"the defaults", "", "", "admin ada bob mod"},
		{"nobody", nobody, "", ""},
		{"a user, case ignored", with(`"users":["ADA@example.COM"]`), "", "ada"},
		{"two users and a stranger", with(`"users":["bob@example.com","x@example.com","ada@example.com"]`), "", "ada bob"},
		{"Admins", with(`"x":0`), "", ""},
		{"the role Admin", `{"execute":{"roles":["Admin"]}}`, "", "admin"},
		{"the role Member, which moderators hold too and Admins do not", `{"execute":{"roles":["Member"]}}`, "", "ada bob mod"},
		{"the role Moderator", `{"execute":{"roles":["moderator"]}}`, "", "mod"},
		{"the moderators of a blueprint", `{"execute":{"roles":["service-moderator"]}}`, "", "mod"},
		{"the moderators of one of another case", `{"execute":{"roles":["Service-moderator"]}}`, "", ""},
		{"an e-mail that folds to another", with(`"users":["bob@example.com\u017f","\u212aada@example.com"]`), "", ""},
		{"the moderators of another", `{"execute":{"roles":["deployment-moderator"]}}`, "", ""},
		{"a role that is none", `{"execute":{"roles":["Owner",""]}}`, "", ""},
		{"a team by identifier", with(`"teams":["ops"]`), "", "ada"},
		{"a team by name", with(`"teams":["Operations"]`), "", "ada"},
		{"a team of another case", with(`"teams":["OPS"]`), "", ""},
		{"a team that is not there", with(`"teams":["gone","dev"]`), "", "bob mod"},
		{"the entity's team", with(`"ownedByTeam":true`), "service/cart", "ada"},
		{"an entity of no team", with(`"ownedByTeam":true`), "service/till", ""},
		{"ownedByTeam without an entity", with(`"ownedByTeam":true`), "service/", ""},
		{"ownedByTeam false", with(`"ownedByTeam":false`), "service/cart", ""},
		{"an inherited owner", with(`"ownedByTeam":true`), "deployment/d1", "ada"},
		{"no inherited owner", with(`"ownedByTeam":true`), "deployment/d2", ""},
		{"either suffices", `{"execute":{"roles":["Admin"],"users":["bob@example.com"],"teams":["ops"],"ownedByTeam":true}}`, "service/till", "admin ada bob"},

		{"a policy", policy(`.inputs.count == 3`), "", "admin ada bob mod"},
		{"a policy decides alone", `{"execute":{"roles":["Admin"],"users":["ada@example.com"],"policy":{"conditions":["false"]}}}`, "", ""},
		{"conditions are ORed", policy(`false`, `.user.email == "bob@example.com"`, `.user.role == "Admin"`), "", "admin bob"},
		{"only true is true", policy(`1`, `"true"`, `[true]`, `{}`, `null`), "", ""},
		{"a condition that fails is false", policy(`error("x")`, `.inputs.name | keys`, `.user.email == "ada@example.com"`), "", "ada"},
		{"one that does not compile is false", policy(`.a [`, `.user.email == "ada@example.com"`), "", "ada"},
		{"one that never ends is false", policy(`def f: f; f`, `.user.email == "ada@example.com"`), "", "ada"},
		{"one without a result", policy(`empty`), "", ""},
		{"no condition", `{"execute":{"policy":{"queries":{}}}}`, "", ""},
		{"what it sees", policy(`.blueprint == {"identifier":"service","title":"Service"} and .action == {"identifier":"deploy","title":"Deploy"}` +
			` and .trigger.at == "2026-03-01T10:20:30.456Z" and .trigger.user == .user and .entity.properties.tier == "gold" and .results == {}`), "service/cart", "admin ada bob mod"},
		{"what it sees without a blueprint", policy(`.blueprint == null and .entity == {}`), "", "admin ada bob mod"},
		{"its user", policy(`.user | .firstName == "Ada" and .lastName == null and .status == "Active" and .role == "Member" and (.teams | sort) == ["Operations","ops"] and (.id | startswith("usr_"))`), "", "ada"},

		{"a query with an input", query(`{"property":"$identifier","operator":"=","value":"{{ .inputs.name }}"}`, `.results.q.entities[0].properties.tier == "gold"`), "", "admin ada bob mod"},
		{"a query with the caller", query(`{"property":"$identifier","operator":"=","value":"{{ .trigger.user.email }}"},{"property":"$blueprint","operator":"=","value":"_user"}`,
			`.results.q.entities | length == 1 and .[0].properties.firstname == "Ada"`), "", "ada"},
		{"a query with a property of the user", query(`{"property":"$blueprint","operator":"=","value":"_team"},{"property":"$identifier","operator":"in","value":{"context":"user","property":"$team"}}`,
			`[.results.q.entities[].identifier] == ["dev"]`), "", "bob mod"},
		{"a query with properties of the user's teams", query(`{"property":"$blueprint","operator":"=","value":"service"},{"property":"$team","operator":"containsAny","value":{"context":"userTeams","property":"$identifier"}}`,
			`[.results.q.entities[].identifier] == ["cart"]`), "", "ada"},
		{"a query about the user", query(`{"property":"$identifier","operator":"=","value":"cart"},{"property":{"context":"user","property":"firstname"},"operator":"=","value":"Ada"}`,
			`.results.q.entities | length > 0`), "", "ada"},
		{"a query with a template that fails is empty", query(`{"property":"$identifier","operator":"=","value":"{{ .inputs.name | keys }}"}`, `.results.q.entities == []`), "", "admin ada bob mod"},
		{"a query with a value that is of no use is empty", query(`{"property":"tier","operator":"contains","value":"{{ .inputs }}"}`, `.results.q.entities == []`), "", "admin ada bob mod"},
		{"a query about a blueprint that is not there is empty", query(`{"operator":"relatedTo","blueprint":"none","value":"x"}`, `.results.q.entities == []`), "", "admin ada bob mod"},
		{"a query about relations to the entity", query(`{"property":"$blueprint","operator":"=","value":"deployment"},{"operator":"relatedTo","blueprint":"service","direction":"upstream","value":"{{ .entity.identifier }}"}`,
			`[.results.q.entities[].identifier] == ["d1"]`), "service/cart", "admin ada bob mod"},
		{"two queries", `{"execute":{"policy":{"queries":{"a":{"combinator":"and","rules":[{"property":"$identifier","operator":"=","value":"cart"}]},` +
			`"b c":{"combinator":"or","rules":[{"property":"$identifier","operator":"=","value":"till"}]}},"conditions":[".results.a.entities[0].identifier + .results[\"b c\"].entities[0].identifier == \"carttill\""]}}}`, "", "admin ada bob mod"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			permissions := strings.ReplaceAll(test.permissions, `,"x":0`, "")
			blueprint, entity, _ := strings.Cut(test.on, "/")
			var may []string
			for _, name := range []string{"admin", "ada", "bob", "mod"} {
				if allowed(t, w.Execute(t.Context(), w.question(t, w.user(t, name), permissions, blueprint, entity))) {
					may = append(may, name)
				}
			}
			if diff := cmp.Diff(test.want, strings.Join(may, " ")); diff != "" {
				t.Errorf("who may execute (-want +got):\n%s", diff)
			}
			if err := w.Execute(t.Context(), w.question(t, machine, permissions, blueprint, entity)); err != nil {
				t.Errorf("the machine is refused: %v", err)
			}
		})
	}
}

// policy is permissions to execute by conditions.
func policy(conditions ...string) string { return `{"execute":{"policy":{` + list(conditions) + `}}}` }

func list(conditions []string) string {
	quoted := make([]string, len(conditions))
	for i, c := range conditions {
		quoted[i] = fmt.Sprintf("%q", c)
	}
	return `"conditions":[` + strings.Join(quoted, ",") + `]`
}

// query is permissions to execute by a query called q and a condition.
func query(rules, condition string) string {
	return `{"execute":{"policy":{"queries":{"q":{"combinator":"and","rules":[` + rules + `]}},` + list([]string{condition}) + `}}}`
}

func TestRefusalNamesTheAction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	err := w.Execute(t.Context(), w.question(t, w.user(t, "ada"), `{"execute":{"roles":["Admin"]}}`, "", ""))
	if fault.KindOf(err) != fault.Forbidden || err.Error() != "ada@example.com may not execute action deploy" {
		t.Errorf("got %v", err)
	}
	// Nobody known is nobody.
	if err := w.Execute(t.Context(), w.question(t, identity.Caller{ID: "x"}, "", "", "")); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("a caller who is neither machine nor user: got %v, want forbidden", err)
	}
}

func TestApprovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	with := func(member string) string { return `{"approve":{"roles":[],` + member + `}}` }
	tests := []struct{ name, permissions, want string }{
		{"the defaults", "", "admin"},
		{"users, unknown and disabled ones left out", with(`"users":["BOB@example.com","x@example.com","ada@example.com","eve@example.com"]`), "ada bob"},
		{"a role", `{"approve":{"roles":["Member"]}}`, "ada bob mod"},
		{"a team by name", with(`"teams":["Operations"]`), "ada"},
		{"all of them together", `{"approve":{"roles":["Admin"],"users":["mod@example.com"],"teams":["ops","dev"]}}`, "ada admin bob mod"},
		{"a team that nobody is in", with(`"teams":["gone"]`), ""},
		{"a policy decides alone", `{"approve":{"roles":["Admin"],"policy":{"conditions":["[\"bob@example.com\"]"]}}}`, "bob"},
		{"arrays are united, the rest ignored", with(`"policy":{"conditions":["[\"bob@example.com\",1,null]","[\"Ada@Example.com\",\"bob@example.com\"]","true","\"admin@example.com\"","error(\"x\")",".a ["]}`), "ada bob"},
		{"who is no user", with(`"policy":{"conditions":["[\"x@example.com\",\"eve@example.com\"]"]}`), ""},
		{"by a query", with(`"policy":{"queries":{"q":{"combinator":"and","rules":[{"property":"$identifier","operator":"=","value":"{{ .inputs.name }}"}]}},"conditions":["[.results.q.entities[].properties.owner]"]}`), "bob"},
		{"by who executes", with(`"policy":{"conditions":["[.trigger.user.email]"]}`), "bob"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			approvers, err := w.Approvers(t.Context(), w.question(t, w.user(t, "bob"), test.permissions, "", ""))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, emails(t, approvers)); diff != "" {
				t.Errorf("approvers (-want +got):\n%s", diff)
			}
		})
	}
	_, err := w.Approvers(t.Context(), w.question(t, machine, `{"approve":{"roles":[]}}`, "", ""))
	if fault.KindOf(err) != fault.Invalid || !fault.Is(err, "no_approvers") {
		t.Errorf("permissions that name nobody: got %v, want no_approvers", err)
	}
}

// A store that fails is no empty result: a policy that permits where nothing is found would permit.
func TestPolicyWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	judge := permission.New(permission.Config{Catalog: &broken{w.reader, errBusy}})
	permits := query(`{"property":"$identifier","operator":"=","value":"freeze"}`, `.results.q.entities == []`)
	q := w.question(t, w.user(t, "ada"), permits, "", "")
	if err := w.Execute(t.Context(), q); err != nil {
		t.Errorf("got %v while the store is well", err)
	}
	if err := judge.Execute(t.Context(), q); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Execute(ctx, q); err == nil || fault.KindOf(err) == fault.Forbidden {
		t.Errorf("got %v for a caller who is gone, want their own end", err)
	}
	// What needs no store is decided without.
	if err := judge.Execute(t.Context(), w.question(t, w.user(t, "ada"), "", "", "")); err != nil {
		t.Errorf("got %v for the defaults", err)
	}
}

func TestPolicyReadsWithinBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := &bounded{Catalog: w.reader}
	judge := permission.New(permission.Config{Catalog: b})
	two := `{"execute":{"policy":{"queries":{"a":{"combinator":"and","rules":[]},"b":{"combinator":"and","rules":[]}},"conditions":["true"]}}}`
	if err := judge.Execute(t.Context(), w.question(t, w.user(t, "ada"), two, "", "")); err != nil {
		t.Fatal(err)
	}
	bytes := 0
	for _, f := range b.asked {
		bytes += f.Bytes
		if f.Limit != permission.MaxEntities {
			t.Errorf("a query asks for %d entities, want %d", f.Limit, permission.MaxEntities)
		}
	}
	if len(b.asked) != 2 || bytes != 16<<20 {
		t.Errorf("%d queries ask for %d bytes, want 2 for 16 MiB", len(b.asked), bytes)
	}
}

func TestPermissionsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := w.question(t, w.user(t, "admin"), "", "", "")
	q.Action.Record.Permissions = []byte(`{"execute":{"groups":[]}}`)
	if err := w.Execute(t.Context(), q); !fault.Is(err, action.CodeUnreadable) {
		t.Errorf("execute: got %v, want %s", err, action.CodeUnreadable)
	}
	if _, err := w.Approvers(t.Context(), q); !fault.Is(err, action.CodeUnreadable) {
		t.Errorf("approvers: got %v, want %s", err, action.CodeUnreadable)
	}
}

// An e-mail with letters that fold to those of another is another's.
func TestEmailsThatFold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kim := identity.Caller{ID: "usr_kim", User: &identity.User{Email: "\u212Aim@example.com", Role: identity.Member}}
	for email, want := range map[string]bool{"\u212Aim@example.com": true, "kim@example.com": false, "Kim@example.com": false} {
		permissions := fmt.Sprintf(`{"execute":{"roles":[],"users":[%q]}}`, email)
		if got := allowed(t, w.Execute(t.Context(), w.question(t, kim, permissions, "", ""))); got != want {
			t.Errorf("listed as %s: may execute %t, want %t", email, got, want)
		}
	}
}
