package api_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
)

const startDeploy = `{"properties":{"service":"shop"}}`

func TestUsersComeIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.signedIn("ada@example.com").call("GET", "/v1/actions", "").fault(401, "unauthorized")
	ada := f.as("ada@example.com", `{}`)
	ada.call("GET", "/v1/actions", "").want(200)
	f.signedIn("ADA@Example.com").call("GET", "/v1/actions", "").want(200)
	ada.call("GET", "/v1/nothing", "").fault(404, "not_found")
	ada.call("DELETE", "/v1/users", "").fault(405, "method_not_allowed")
	ada.call("GET", "/v1/teams", "").fault(403, "forbidden")

	// What changes counts at once.
	f.as("ada@example.com", `{"port_role":"Admin"}`)
	ada.call("GET", "/v1/teams", "").want(200)
	f.as("ada@example.com", `{"status":"Disabled","port_role":"Admin"}`)
	message := ada.call("GET", "/v1/teams", "").fault(401, "unauthorized")
	if want := "the access token is of nobody who is an active user here"; message != want {
		t.Errorf("got %q, want %q", message, want)
	}
	f.as("ada@example.com", `{"status":"Staged"}`)
	ada.call("GET", "/v1/actions", "").want(200)
	f.call("DELETE", "/v1/blueprints/_user/entities/ada@example.com", "").want(200)
	ada.call("GET", "/v1/actions", "").fault(401, "unauthorized")
}

// Runs of users say so, whether the user came or a machine for the user.
func TestRunsOfUsers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(deploy)
	ada := f.as("Ada@example.com", `{"firstname":"Ada","lastname":"Lovelace"}`)
	bob := f.as("bob@example.com", `{}`)
	const runs = "/v1/actions/deploy/runs"
	own := ada.call("POST", runs, startDeploy).want(202)
	machines := f.call("POST", runs, startDeploy).want(202)
	instead := f.call("POST", runs+"?run_as=ADA%40example.com", startDeploy).want(202)
	bobs := bob.call("POST", runs, startDeploy).want(202)

	id := catalog.UserID("ada@example.com")
	entity := f.call("GET", "/v1/users/ada@example.com", "").want(200)
	user := map[string]any{
		"id": id, "email": "Ada@example.com", "firstName": "Ada", "lastName": "Lovelace", "phoneNumber": nil, "picture": nil,
		"providers": []any{}, "status": "Active", "createdAt": entity.at("user", "createdAt"), "updatedAt": entity.at("user", "updatedAt"),
	}
	client := map[string]any{
		"id": clientID, "email": nil, "firstName": nil, "lastName": nil, "phoneNumber": nil, "picture": nil,
		"providers": nil, "status": nil, "createdAt": nil, "updatedAt": nil,
	}
	for name, test := range map[string]struct {
		started *got
		want    map[string]any
	}{
		"by the user":  {own, map[string]any{"source": "UI", "userId": id, "createdBy": id, "user": user, "impersonatedBy": nil}},
		"by a machine": {machines, map[string]any{"source": "API", "userId": clientID, "createdBy": clientID, "user": client, "impersonatedBy": nil}},
		"for the user": {instead, map[string]any{"source": "API", "userId": id, "createdBy": id, "user": user, "impersonatedBy": clientID}},
	} {
		for _, g := range []*got{test.started, f.call("GET", "/v1/actions/runs/"+test.started.at("run", "id").(string), "").want(200)} {
			shown := map[string]any{}
			for member := range test.want {
				shown[member] = g.at("run", member)
			}
			if diff := cmp.Diff(test.want, shown); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}

	for query, want := range map[string][]*got{
		"user_email=ada@example.com":                    {instead, own},
		"user_email=ADA@example.com&source=UI":          {own},
		"user_id=" + id:                                 {instead, own},
		"user_id=" + clientID:                           {machines},
		"user_id=" + id + "&user_email=bob@example.com": {},
		"user_email=bob@example.com":                    {bobs},
		"user_email=eve@example.com":                    {},
	} {
		var ids, wanted []string
		for _, r := range f.call("GET", "/v1/actions/runs?"+query, "").want(200).list("runs") {
			ids = append(ids, r.(map[string]any)["id"].(string))
		}
		for _, g := range want {
			wanted = append(wanted, g.at("run", "id").(string))
		}
		if diff := cmp.Diff(wanted, ids); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
}

func TestRunAs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(deploy)
	admin := f.as("admin@example.com", `{"port_role":"Admin"}`)
	f.as("ada@example.com", `{}`)
	f.as("off@example.com", `{"status":"Disabled"}`)
	before := f.snapshot()
	const runs = "/v1/actions/deploy/runs?run_as="
	admin.call("POST", runs+"ada@example.com", startDeploy).fault(403, "forbidden")
	admin.call("POST", runs+"admin@example.com&dry_run=true", startDeploy).fault(403, "forbidden")
	for _, as := range []string{"eve@example.com", "off@example.com", "ada", "@", "ada@", "@example.com", "a@b@c", "ada%20@example.com",
		"ada@example.com%0a", "%00@example.com", "%ff@example.com", strings.Repeat("a", 300) + "@example.com", ""} {
		g := f.call("POST", runs+as, startDeploy)
		g.fault(422, "invalid_request")
		if details := g.list("details"); len(details) != 1 || details[0].(map[string]any)["path"] != "run_as" {
			t.Errorf("%q: got %s, want the path run_as", as, g.text)
		}
	}
	f.unchanged(before)

	// The key is the machine's; who the run is by is part of what was asked.
	first := f.call("POST", runs+"ada@example.com", startDeploy, "Idempotency-Key", "k").want(202)
	again := f.call("POST", runs+"ada@example.com", startDeploy, "Idempotency-Key", "k").want(200)
	if first.at("run", "id") != again.at("run", "id") || again.at("run", "impersonatedBy") != clientID {
		t.Errorf("got %s, want the first run again", again.text)
	}
	f.call("POST", runs+"admin@example.com", startDeploy, "Idempotency-Key", "k").fault(422, "idempotency_key_reused")
}

// Reports on a run and its redelivery are for its own user, admins and machines.
func TestReportsAreForTheRunsUser(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(deploy)
	ada, bob := f.as("ada@example.com", `{}`), f.as("bob@example.com", moderator)
	admin := f.as("admin@example.com", `{"port_role":"Admin"}`)
	for name, started := range map[string]*got{
		"her own":     ada.call("POST", "/v1/actions/deploy/runs", startDeploy).want(202),
		"run for her": f.call("POST", "/v1/actions/deploy/runs?run_as=ada@example.com", startDeploy).want(202),
	} {
		one := "/v1/actions/runs/" + started.at("run", "id").(string)
		before := f.snapshot()
		for _, c := range [][3]string{
			{"PATCH", one, `{"statusLabel":"x"}`}, {"PATCH", one, `{"status":"SUCCESS"}`}, {"POST", one + "/logs", `{"message":"x"}`},
			{"POST", one + "/logs", `{"message":"x","terminationStatus":"SUCCESS"}`}, {"POST", one + "/redeliver", ""},
		} {
			bob.call(c[0], c[1], c[2]).fault(403, "forbidden")
		}
		f.unchanged(before)
		for _, as := range []*fixture{ada, admin, f} {
			as.call("PATCH", one, `{"statusLabel":"x"}`).want(200)
			as.call("POST", one+"/logs", `{"message":"x"}`).want(201)
			as.call("POST", one+"/redeliver", "").fault(422, "run_not_redeliverable")
		}
		bob.call("GET", one+"/logs", "").want(200)
		line := ada.call("POST", one+"/logs", `{"message":"done","terminationStatus":"SUCCESS"}`).want(201)
		if line.at("runLog", "createdBy") != catalog.UserID("ada@example.com") {
			t.Errorf("%s: got %s, want the line hers", name, line.text)
		}
	}
	machines := "/v1/actions/runs/" + f.start()
	ada.call("PATCH", machines, `{"statusLabel":"x"}`).fault(403, "forbidden")
}

// A Moderator cannot reach beyond the blueprints that are listed.
func TestModeratorsStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("POST", "/v1/blueprints", `{"identifier":"other","title":"O","schema":{"properties":{}}}`).want(201)
	f.call("POST", "/v1/blueprints", `{"identifier":"service","title":"S","schema":{"properties":{}},"relations":{"r":{"target":"other","required":false,"many":false},`+
		`"u":{"target":"_user","required":false,"many":false}}}`).want(201)
	f.call("POST", "/v1/blueprints", `{"identifier":"third","title":"T","schema":{"properties":{}},"relations":{"s":{"target":"service","required":false,"many":false}}}`).want(201)
	f.call("POST", "/v1/blueprints/service/entities", `{"identifier":"held"}`).want(201)
	f.call("POST", "/v1/blueprints/third/entities", `{"identifier":"holder","relations":{"s":"held"}}`).want(201)
	f.define(actionOf("theirs", "other"))
	f.define(actionOf("mine", "service"))
	f.define(automation)
	f.define(kafka)
	// calling is an action of the Moderator's blueprint whose call has this in it.
	calling := func(identifier, member string) string {
		return strings.Replace(actionOf(identifier, "service"), `"url":"https://example.com/hook"`, `"url":"https://example.com/hook",`+member, 1)
	}
	f.define(calling("sealed", `"headers":{"X-Token":"{{ .secrets.TOKEN }}"}`))
	mod := f.as("mod@example.com", moderator)
	upsert := func(blueprint string) string {
		return strings.Replace(actionOf("up", "service"), `{"type":"WEBHOOK","url":"https://example.com/hook"}`,
			`{"type":"UPSERT_ENTITY","blueprintIdentifier":"`+blueprint+`","mapping":{"identifier":"x"}}`, 1)
	}
	const entities = "/v1/blueprints/service/entities"
	before := f.snapshot()
	for name, c := range map[string][3]string{
		"an action without a blueprint":        {"POST", "/v1/actions", deploy},
		"an action of users":                   {"POST", "/v1/actions", actionOf("x", "_user")},
		"an automation":                        {"POST", "/v1/actions", strings.Replace(automation, "watch", "watch2", 1)},
		"deleting an automation":               {"DELETE", "/v1/actions/watch", ""},
		"deleting one without a blueprint":     {"DELETE", "/v1/actions/publish", ""},
		"moving an action to another":          {"PUT", "/v1/actions/mine", actionOf("mine", "other")},
		"taking an action of another":          {"PUT", "/v1/actions/theirs", actionOf("theirs", "service")},
		"writing users by an action":           {"POST", "/v1/actions", upsert("_user")},
		"writing another by an action":         {"POST", "/v1/actions", upsert("other")},
		"writing anything by an action":        {"POST", "/v1/actions", upsert("{{ .inputs.b }}")},
		"writing users by a changed action":    {"PUT", "/v1/actions/mine", upsert("_user")},
		"reading a secret in a header":         {"POST", "/v1/actions", calling("x", `"headers":{"X":"{{ .secrets.TOKEN }}"}`)},
		"reading one in the body":              {"POST", "/v1/actions", calling("x", `"body":{"a":[{"b":"x {{ .secrets[\"TOKEN\"] | @base64 }}"}]}`)},
		"reading one in a key":                 {"POST", "/v1/actions", calling("x", `"body":{"{{ .secrets.TOKEN }}":1}`)},
		"reading one that the inputs name":     {"POST", "/v1/actions", calling("x", `"body":{"a":"{{ .secrets[.inputs.b] }}"}`)},
		"reading all of them":                  {"POST", "/v1/actions", calling("x", `"body":{"a":"{{ .secrets }}"}`)},
		"reading all there is":                 {"POST", "/v1/actions", calling("x", `"body":{"a":"{{ . | tostring }}"}`)},
		"reading what an expression names":     {"POST", "/v1/actions", calling("x", `"body":{"a":"{{ .[\"sec\" + \"rets\"] }}","b":"{{ getpath([\"secrets\"]) }}","c":"{{ to_entries }}"}`)},
		"reading a secret by a changed action": {"PUT", "/v1/actions/mine", calling("mine", `"url":"https://example.com/{{ .secrets.TOKEN }}"`)},
		"sending a secret elsewhere":           {"PUT", "/v1/actions/sealed", actionOf("sealed", "service")},
		"letting others send it":               {"PATCH", "/v1/actions/sealed/permissions", `{"execute":{"roles":["Member"]}}`},
		"deleting what sends it":               {"DELETE", "/v1/actions/sealed", ""},
		"a user beside an entity":              {"POST", entities + "?create_missing_related_entities=true", `{"identifier":"e","relations":{"u":"eve@example.com"}}`},
		"an entity of another blueprint":       {"POST", entities + "?create_missing_related_entities=true", `{"identifier":"e","relations":{"r":"e"}}`},
		"deleting what relates to it":          {"DELETE", entities + "/held?delete_dependents=true", ""},
		"deleting that in bulk":                {"POST", "/v1/blueprints/service/bulk/entities/delete?delete_dependents=true", `{"entities":["held"]}`},
		"the role of its own":                  {"PATCH", "/v1/blueprints/_user/entities/mod@example.com", `{"properties":{"port_role":"Admin"}}`},
		"the permissions of its own blueprint": {"PATCH", "/v1/blueprints/service/permissions", `{"entities":{"register":{"roles":["Member"]}}}`},
		"its own blueprint":                    {"PATCH", "/v1/blueprints/service", `{"title":"x"}`},
	} {
		if g := mod.call(c[0], c[1], c[2]); g.status != 403 {
			t.Errorf("%s: got %d %s, want 403", name, g.status, g.text)
		}
	}
	g := mod.call("POST", entities+"/bulk?create_missing_related_entities=true", `{"entities":[{"identifier":"e","relations":{"r":"e"}}]}`).want(207)
	if !strings.Contains(string(g.text), `"statusCode":403`) {
		t.Errorf("one in bulk: got %s, want 403 for it", g.text)
	}
	f.unchanged(before)

	mod.define(actionOf("new", "service"))
	mod.define(upsert("service"))
	mod.define(calling("plain", `"body":{"a":"{{ .inputs }}","b":".secrets","c":"{{ .entity.secrets }}"}`))
	mod.call("PUT", "/v1/actions/new", actionOf("renamed", "service")).want(200)
	mod.call("DELETE", "/v1/actions/renamed", "").want(200)
	mod.call("POST", entities, `{"identifier":"e"}`).want(201)
	mod.call("POST", entities+"/bulk", `{"entities":[{"identifier":"f"}]}`).want(200)
	mod.call("DELETE", entities+"/f", "").want(200)
}

// What a user changes bears the user's name.
func TestAuthorsOfChanges(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("POST", "/v1/blueprints", `{"identifier":"service","title":"S","schema":{"properties":{}}}`).want(201)
	f.call("POST", "/v1/blueprints/service/entities", `{"identifier":"e"}`).want(201)
	admin := f.as("Admin@example.com", `{"port_role":"Admin"}`)
	id := catalog.UserID("admin@example.com")
	g := admin.call("PATCH", "/v1/blueprints/service/entities/e", `{"title":"E"}`).want(200)
	if g.at("entity", "createdBy") != clientID || g.at("entity", "updatedBy") != id {
		t.Errorf("got %s", g.text)
	}
	if g := admin.define(actionOf("a", "service")); g.at("action", "createdBy") != id || g.at("action", "updatedBy") != id {
		t.Errorf("got %s", g.text)
	}
	blueprint, err := f.catalog.Blueprint(context.Background(), "service")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := f.catalog.Entity(context.Background(), catalog.Key{Blueprint: blueprint.ID, Identifier: "e"})
	if err != nil {
		t.Fatal(err)
	}
	// A store need not keep the e-mail: the id is made of it.
	if stored.Last.ID != id || stored.Last.Origin != "UI" {
		t.Errorf("the author is %+v", stored.Last)
	}
}
