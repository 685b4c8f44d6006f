package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api"
	"longshore/pkg/audit"
	"longshore/pkg/run"
)

// audits are the entries that a query lists.
func (f *fixture) audits(query string) []map[string]any {
	f.t.Helper()
	var all []map[string]any
	for _, v := range f.call("GET", "/v1/audit-log"+query, "").want(200).list("audits") {
		all = append(all, v.(map[string]any))
	}
	return all
}

// told is an entry as the tests write it down: what was done to what, and what is missing of before and
// after.
func told(entry map[string]any) string {
	context, diff := entry["context"].(map[string]any), entry["diff"].(map[string]any)
	words := []string{entry["action"].(string), entry["resourceType"].(string)}
	for _, name := range []string{"blueprint", "entity", "action", "runId"} {
		if v, ok := context[name].(string); ok {
			words = append(words, name+"="+v)
		}
	}
	for _, side := range []string{"before", "after"} {
		if diff[side] == nil {
			words = append(words, "no "+side)
		}
	}
	return strings.Join(words, " ")
}

// jsonOf is a value as JSON text.
func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// failedDelivery starts a run and lets its delivery fail for good.
func (f *fixture) failedDelivery() string {
	f.t.Helper()
	id, now := f.start(), time.Now().UTC().Truncate(time.Millisecond)
	f.move(id, func(r *run.Run) error {
		if _, err := r.Claim(now, 1, "owner", time.Minute); err != nil {
			return err
		}
		return r.Settle(now, 1, "owner", time.Hour, run.Outcome{Verdict: run.Fail, Error: "refused"})
	})
	return id
}

// askApproval starts a run that waits for approval.
func (f *fixture) askApproval() string {
	f.t.Helper()
	f.call("POST", "/v1/actions", `{"identifier":"asked","trigger":{"type":"self-service","operation":"CREATE"},
		"requiredApproval":true,"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/"}}`).want(201)
	return f.call("POST", "/v1/actions/asked/runs", `{}`).want(202).at("run", "id").(string)
}

// Every route that changes something leaves one entry for each thing that it changed, which the next request
// finds; what is refused leaves none.
func TestEveryWriteHasItsEntry(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	entity := func(kind, blueprint, identifier string) string {
		missing := map[string]string{"CREATE": " no before", "DELETE": " no after"}[kind]
		return kind + " entity blueprint=" + blueprint + " entity=" + identifier + missing
	}
	run1, run2, failed, asked := "", "", "", ""
	const renamed = `{"identifier":"shop","title":"Shop","schema":{"properties":{"tier":{"type":"number"}}}}`
	steps := []struct {
		route        string
		target, body string
		status       int
		want         []string
		before       func()
	}{
		{route: "POST /v1/blueprints", body: systems, status: 201, want: []string{"CREATE blueprint blueprint=system no before"}},
		{route: "POST /v1/blueprints", body: services, status: 201, want: []string{"CREATE blueprint blueprint=service no before"}},
		{route: "POST /v1/blueprints", body: services, status: 409},
		{route: "POST /v1/blueprints", body: bound, status: 201, want: []string{"CREATE blueprint blueprint=bound no before"}},
		{route: "PATCH /v1/blueprints/{blueprint_identifier}", target: "/v1/blueprints/system", body: `{"title":"S"}`, status: 200,
			want: []string{"UPDATE blueprint blueprint=system"}},
		{route: "PATCH /v1/blueprints/{blueprint_identifier}", target: "/v1/blueprints/system", body: `{"title":1}`, status: 422},
		{route: "PATCH /v1/blueprints/{blueprint_identifier}/permissions", target: "/v1/blueprints/system/permissions",
			body: `{"entities":{"register":{"roles":["Member"]}}}`, status: 200, want: []string{"UPDATE permission blueprint=system"}},
		{route: "PATCH /v1/blueprints/{blueprint_identifier}/permissions", target: "/v1/blueprints/system/permissions", body: `{"x":1}`, status: 422},
		// Relations to it follow.
		{route: "PUT /v1/blueprints/{blueprint_identifier}", target: "/v1/blueprints/system", body: renamed, status: 200,
			want: []string{"UPDATE blueprint blueprint=service", "UPDATE blueprint blueprint=shop"}},
		{route: "DELETE /v1/blueprints/{blueprint_identifier}", target: "/v1/blueprints/service", status: 409},

		{route: "POST /v1/blueprints/{blueprint_identifier}/entities", target: serviceEntities, body: `{"identifier":"cart"}`, status: 201,
			want: []string{entity("CREATE", "service", "cart")}},
		{route: "POST /v1/blueprints/{blueprint_identifier}/entities", target: serviceEntities, body: `{"identifier":"cart"}`, status: 409},
		{route: "POST /v1/blueprints/{blueprint_identifier}/entities", target: serviceEntities + "?validation_only=true", body: `{"identifier":"x"}`, status: 200},
		// What changes nothing counts.
		{route: "POST /v1/blueprints/{blueprint_identifier}/entities", target: serviceEntities + "?upsert=true", body: `{"identifier":"cart"}`, status: 200,
			want: []string{entity("UPDATE", "service", "cart")}},
		{route: "POST /v1/blueprints/{blueprint_identifier}/entities", target: serviceEntities + "?create_missing_related_entities=true",
			body: `{"identifier":"till","relations":{"system":"eu","uses":["cart"]}}`, status: 201,
			want: []string{entity("CREATE", "service", "till"), entity("CREATE", "shop", "eu")}},
		{route: "POST /v1/blueprints/{blueprint_identifier}/entities/bulk", target: serviceEntities + "/bulk?upsert=true",
			body: `{"entities":[{"identifier":"a"},{"identifier":"b","properties":{"replicas":"x"}},{"identifier":"till","relations":{"uses":["cart"],"system":"eu"}}]}`, status: 207,
			want: []string{entity("CREATE", "service", "a"), entity("UPDATE", "service", "till")}},
		{route: "PATCH /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}", target: serviceEntities + "/a", body: `{"title":"A"}`, status: 200,
			want: []string{entity("UPDATE", "service", "a")}},
		// One that renames, and what relates to it.
		{route: "PUT /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}", target: serviceEntities + "/cart", body: `{"identifier":"basket"}`, status: 200,
			want: []string{entity("CREATE", "service", "basket"), entity("DELETE", "service", "cart"), entity("UPDATE", "service", "till")}},
		{route: "PUT /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}", target: serviceEntities + "/basket", body: `{"identifier":"till"}`, status: 409},
		// Relations to it are emptied.
		{route: "DELETE /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}", target: serviceEntities + "/basket", status: 200,
			want: []string{entity("DELETE", "service", "basket"), entity("UPDATE", "service", "till")}},
		{route: "DELETE /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}", target: serviceEntities + "/basket", status: 404},
		{route: "POST /v1/blueprints/{blueprint_identifier}/bulk/entities/delete", target: "/v1/blueprints/shop/bulk/entities/delete?delete_dependents=true",
			body: `{"entities":["eu","none"]}`, status: 200, want: []string{entity("DELETE", "service", "till"), entity("DELETE", "shop", "eu")}},
		{route: "DELETE /v1/blueprints/{blueprint_identifier}/all-entities", target: "/v1/blueprints/service/all-entities", status: 200,
			want: []string{entity("DELETE", "service", "a")}},
		{route: "DELETE /v1/blueprints/{blueprint_identifier}/all-entities", target: "/v1/blueprints/none/all-entities", status: 404},
		{route: "DELETE /v1/blueprints/{blueprint_identifier}", target: "/v1/blueprints/bound", status: 200, want: []string{"DELETE blueprint blueprint=bound no after"}},

		{route: "POST /v1/blueprints/{blueprint_identifier}/entities", target: "/v1/blueprints/_user/entities",
			body: `{"identifier":"a@x.example","properties":{"firstname":"A"}}`, status: 201, want: []string{entity("CREATE", "_user", "a@x.example")}},
		{route: "POST /v1/teams", body: `{"name":"platform","users":["a@x.example"]}`, status: 201,
			want: []string{entity("CREATE", "_team", "platform"), entity("UPDATE", "_user", "a@x.example")}},
		{route: "POST /v1/teams", body: `{"name":"other","users":["none"]}`, status: 422},
		{route: "PATCH /v1/teams/{name}", target: "/v1/teams/platform", body: `{"description":"d"}`, status: 200, want: []string{entity("UPDATE", "_team", "platform")}},
		// The entity keeps its identifier, by which its users name it.
		{route: "PUT /v1/teams/{name}", target: "/v1/teams/platform", body: `{"name":"base"}`, status: 200,
			want: []string{entity("UPDATE", "_team", "platform")}},
		{route: "PUT /v1/teams/{name}", target: "/v1/teams/none", body: `{"name":"base"}`, status: 404},
		{route: "DELETE /v1/teams/{name}", target: "/v1/teams/base", status: 200,
			want: []string{entity("DELETE", "_team", "platform"), entity("UPDATE", "_user", "a@x.example")}},

		{route: "POST /v1/actions", body: deploy, status: 201, want: []string{"CREATE action action=deploy no before"}},
		{route: "POST /v1/actions", body: deploy, status: 409},
		{route: "PUT /v1/actions/{action_identifier}", target: "/v1/actions/deploy", body: strings.Replace(deploy, "Deploy", "Ship", 1), status: 200,
			want: []string{"UPDATE action action=deploy"}},
		{route: "PUT /v1/actions/{action_identifier}", target: "/v1/actions/deploy", body: `{}`, status: 422},
		{route: "PATCH /v1/actions/{action_identifier}/permissions", target: "/v1/actions/deploy/permissions", body: `{"execute":{"roles":["Admin"]}}`, status: 200,
			want: []string{"UPDATE permission action=deploy"}},
		{route: "PATCH /v1/actions/{action_identifier}/permissions", target: "/v1/actions/deploy/permissions", body: `{"execute":{"roles":1}}`, status: 422},
		{route: "POST /v1/actions/{action_identifier}/runs", target: "/v1/actions/deploy/runs?dry_run=true", body: `{"properties":{"service":"a"}}`, status: 200},
		{route: "POST /v1/actions/{action_identifier}/runs", target: "/v1/actions/deploy/runs", body: `{"properties":{}}`, status: 422},
		{route: "POST /v1/actions/{action_identifier}/runs", target: "/v1/actions/deploy/runs", body: `{"properties":{"service":"a"}}`, status: 202,
			want: []string{"CREATE run runId={new} no before"}},
		{route: "PATCH /v1/actions/runs/{run_id}", target: "/v1/actions/runs/{run1}", body: `{"statusLabel":"half"}`, status: 200, want: []string{"UPDATE run runId={run1}"},
			before: func() { run1, run2 = f.start(), f.start() }},
		{route: "PATCH /v1/actions/runs/{run_id}/response", target: "/v1/actions/runs/{run1}/response", body: `{"response":1}`, status: 200, want: []string{"UPDATE run runId={run1}"}},
		{route: "PATCH /v1/actions/runs/{run_id}/response", target: "/v1/actions/runs/{run1}/response", body: `{}`, status: 422},
		{route: "PATCH /v1/actions/runs/{run_id}", target: "/v1/actions/runs/{run1}", body: `{"status":"SUCCESS"}`, status: 200, want: []string{"UPDATE run runId={run1}"}},
		{route: "PATCH /v1/actions/runs/{run_id}", target: "/v1/actions/runs/{run1}", body: `{"status":"FAILURE"}`, status: 422},
		{route: "POST /v1/actions/runs/{run_id}/logs", target: "/v1/actions/runs/{run1}/logs", body: `{"message":"m"}`, status: 201},
		{route: "POST /v1/actions/runs/{run_id}/logs", target: "/v1/actions/runs/{run2}/logs", body: `{"message":"m","terminationStatus":"SUCCESS"}`, status: 201,
			want: []string{"UPDATE run runId={run2}"}},
		{route: "POST /v1/actions/runs/{run_id}/redeliver", target: "/v1/actions/runs/{run1}/redeliver", status: 422},
		{route: "POST /v1/actions/runs/{run_id}/redeliver", target: "/v1/actions/runs/{failed}/redeliver", status: 202, want: []string{"UPDATE run runId={failed}"},
			before: func() { failed = f.failedDelivery() }},
		{route: "PATCH /v1/actions/runs/{run_id}/approval", target: "/v1/actions/runs/{asked}/approval", body: `{"status":"APPROVE"}`, status: 200,
			want: []string{"UPDATE run runId={asked}"}, before: func() { asked = f.askApproval() }},
		{route: "PATCH /v1/actions/runs/{run_id}/approval", target: "/v1/actions/runs/{asked}/approval", body: `{"status":"APPROVE"}`, status: 200},
		{route: "PATCH /v1/actions/runs/{run_id}/approval", target: "/v1/actions/runs/{asked}/approval", body: `{"status":"DECLINE"}`, status: 422},
		{route: "DELETE /v1/actions/{action_identifier}", target: "/v1/actions/deploy", status: 200, want: []string{"DELETE action action=deploy no after"}},
		{route: "DELETE /v1/actions/{action_identifier}", target: "/v1/actions/deploy", status: 404},

		{route: "POST /v1/blueprints/{blueprint_identifier}/actions", target: "/v1/blueprints/service/actions", body: firstGeneration, status: 201,
			want: []string{"CREATE action blueprint=service action=restart no before"}},
		{route: "POST /v1/blueprints/{blueprint_identifier}/actions", target: "/v1/blueprints/shop/actions", body: firstGeneration, status: 409},
		{route: "PUT /v1/blueprints/{blueprint_identifier}/actions/{action_identifier}", target: "/v1/blueprints/service/actions/restart", body: firstGeneration, status: 200,
			want: []string{"UPDATE action blueprint=service action=restart"}},
		{route: "PUT /v1/blueprints/{blueprint_identifier}/actions/{action_identifier}", target: "/v1/blueprints/shop/actions/restart", body: firstGeneration, status: 404},
		{route: "POST /v1/blueprints/{blueprint_identifier}/actions/{action_identifier}/runs", target: "/v1/blueprints/service/actions/restart/runs", body: `{}`, status: 422},
		{route: "POST /v1/blueprints/{blueprint_identifier}/actions/{action_identifier}/runs", target: "/v1/blueprints/service/actions/restart/runs", body: `{"entity":"kept"}`, status: 202,
			want: []string{"CREATE run blueprint=service entity=kept runId={new} no before"}, before: func() { f.entity("service", `{"identifier":"kept"}`) }},
		{route: "POST /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}/actions/{action_identifier}/runs", body: `{}`, status: 202,
			target: serviceEntities + "/kept/actions/restart/runs", want: []string{"CREATE run blueprint=service entity=kept runId={new} no before"}},
		{route: "DELETE /v1/blueprints/{blueprint_identifier}/actions/{action_identifier}", target: "/v1/blueprints/shop/actions/restart", status: 404},
		{route: "DELETE /v1/blueprints/{blueprint_identifier}/actions/{action_identifier}", target: "/v1/blueprints/service/actions/restart", status: 200,
			want: []string{"DELETE action blueprint=service action=restart no after"}},

		{route: "PATCH /v1/organization", body: `{"name":"Acme"}`, status: 200, want: []string{"UPDATE organization no before"}},
		{route: "PATCH /v1/organization", body: `{"settings":{"portalTitle":"T"}}`, status: 200, want: []string{"UPDATE organization"}},
		{route: "PATCH /v1/organization", body: `{"id":"x"}`, status: 422},
		{route: "POST /v1/organization/secrets", body: `{"secretName":"TOKEN","secretValue":"x"}`, status: 201, want: []string{"CREATE secret no before"}},
		{route: "POST /v1/organization/secrets", body: `{"secretName":"TOKEN","secretValue":"x"}`, status: 409},
		{route: "PATCH /v1/organization/secrets/{secret_name}", target: "/v1/organization/secrets/TOKEN", body: `{"secretValue":"y"}`, status: 200,
			want: []string{"UPDATE secret"}},
		{route: "PATCH /v1/organization/secrets/{secret_name}", target: "/v1/organization/secrets/none", body: `{}`, status: 404},
		{route: "DELETE /v1/organization/secrets/{secret_name}", target: "/v1/organization/secrets/TOKEN", status: 200, want: []string{"DELETE secret no after"}},
	}
	walked := map[string]bool{}
	for _, step := range steps {
		if step.before != nil {
			step.before()
		}
		method, pattern, _ := strings.Cut(step.route, " ")
		if step.target == "" {
			step.target = pattern
		}
		walked[step.route] = walked[step.route] || step.want != nil
		named := strings.NewReplacer("{run1}", run1, "{run2}", run2, "{failed}", failed, "{asked}", asked)
		known := map[string]bool{}
		for _, e := range f.audits("?limit=1000") {
			known[e["identifier"].(string)] = true
		}
		g := f.call(method, named.Replace(step.target), step.body).want(step.status)
		var got, want []string
		for _, e := range f.audits("?limit=1000") {
			if known[e["identifier"].(string)] {
				continue
			}
			text := told(e)
			if e["resourceType"] == "run" && step.status == 202 && strings.HasPrefix(text, "CREATE") {
				text = strings.ReplaceAll(text, g.at("run", "id").(string), "{new}")
			}
			got = append(got, text)
			trigger := e["trigger"].(map[string]any)
			holds(t, trigger["by"], `{"userId":"`+clientID+`","orgId":"org_1"}`)
			if at, err := time.Parse(time.RFC3339, trigger["at"].(string)); err != nil || time.Since(at).Abs() > time.Hour || trigger["origin"] != "API" {
				t.Errorf("got trigger %v", trigger)
			}
		}
		for _, text := range step.want {
			want = append(want, named.Replace(text))
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s: entries (-want +got):\n%s", method, step.target, diff)
		}
	}
	// These change nothing.
	for _, route := range []string{
		// A lease and its end are part of a delivery.
		"POST /v1/actions/runs/claim-pending", "PATCH /v1/actions/runs/ack", "POST /v1/workflows/runs/claim-pending",
		"POST /v1/auth/access_token", "POST /v1/jq", "POST /v1/entities/search", "POST /v1/blueprints/{blueprint_identifier}/entities/search",
	} {
		walked[route] = true
	}
	// The end of work outside is nobody's request.
	for _, route := range []string{"POST /webhooks/github", "POST /webhooks/gitlab"} {
		walked[route] = true
	}
	for _, r := range api.Routes() {
		if route := r.Method + " " + r.Pattern; r.Method != http.MethodGet && !walked[route] {
			t.Errorf("%s: nobody looked for its entry", route)
		}
	}
}

func TestAuditEntryShowsBeforeAndAfter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	f.entity("service", `{"identifier":"cart","title":"Cart","team":["a"],"properties":{"replicas":1.50}}`)
	shown := f.call("GET", serviceEntities+"/cart", "").want(200).at("entity").(map[string]any)
	f.call("PATCH", serviceEntities+"/cart", `{"properties":{"replicas":2}}`).want(200)
	g := f.call("GET", "/v1/audit-log?entity=cart&action=UPDATE", "").want(200)
	entries := g.list("audits")
	if len(entries) != 1 || g.at("next") != nil {
		t.Fatalf("got %s, want one entry", g.text)
	}
	// What is computed is not there.
	properties := shown["properties"].(map[string]any)
	delete(properties, "systemTier")
	delete(properties, "loud")
	diff := entries[0].(map[string]any)["diff"].(map[string]any)
	if d := cmp.Diff(any(shown), diff["before"]); d != "" {
		t.Errorf("before (-shown +got):\n%s", d)
	}
	holds(t, diff["after"].(map[string]any)["properties"], `{"replicas":2}`)
	if !strings.Contains(string(g.text), `"replicas":1.50`) {
		t.Errorf("got %s, want the number's own text", g.text)
	}

	f.define(deploy)
	f.call("PUT", "/v1/actions/deploy", strings.Replace(deploy, `"identifier":"deploy","title":"Deploy"`, `"identifier":"ship","title":"Ship"`, 1)).want(200)
	action := f.audits("?resources=action&identifier=ship")
	if len(action) != 1 {
		t.Fatalf("got %v, want one entry", action)
	}
	holds(t, action[0]["diff"].(map[string]any)["before"], `{"identifier":"deploy","title":"Deploy","createdBy":"`+clientID+`"}`)
	holds(t, action[0]["diff"].(map[string]any)["after"], `{"identifier":"ship","title":"Ship"}`)

	f.call("PATCH", "/v1/blueprints/system/permissions", `{"entities":{"register":{"roles":["Member"]}}}`).want(200)
	permission := f.audits("?resources=permission")
	if len(permission) != 1 {
		t.Fatalf("got %v, want one entry", permission)
	}
	before, after := jsonOf(t, permission[0]["diff"].(map[string]any)["before"]), jsonOf(t, permission[0]["diff"].(map[string]any)["after"])
	if !strings.Contains(before, `"Admin"`) || strings.Contains(before, `"Member"`) || !strings.Contains(after, `"Member"`) {
		t.Errorf("got permissions %s and %s", before, after)
	}
}

// Of a run the log has its head, and nothing that it was given or sent.
func TestAuditEntryOfARunIsItsHead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(deploy)
	id := f.call("POST", "/v1/actions/deploy/runs", `{"properties":{"service":"hidden-input"}}`).want(202).at("run", "id").(string)
	f.call("PATCH", "/v1/actions/runs/"+id, `{"summary":"`+strings.Repeat("é", 500)+`","link":["https://example.com/`+strings.Repeat("x", 500)+`"],"externalRunId":"7"}`).want(200)
	f.call("POST", "/v1/actions/runs/"+id+"/logs", `{"message":"hidden-message","terminationStatus":"FAILURE","statusLabel":"over"}`).want(201)
	g := f.call("GET", "/v1/audit-log?run_id="+id, "").want(200)
	entries := g.list("audits")
	if len(entries) != 3 || strings.Contains(string(g.text), "hidden") {
		t.Fatalf("got %s, want three entries without inputs", g.text)
	}
	last := entries[0].(map[string]any)["diff"].(map[string]any)
	holds(t, last["before"], `{"id":"`+id+`","status":"IN_PROGRESS","action":"deploy","externalRunId":"7"}`)
	holds(t, last["after"], `{"status":"FAILURE","statusLabel":"over"}`)
	for _, name := range []string{"summary", "link"} {
		if text, _ := last["after"].(map[string]any)[name].(string); len(text) < 100 || len(text) > 210 {
			t.Errorf("got %s %q, want it cut", name, text)
		}
	}
}

func TestAuditLogOfARun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	id := f.start()
	f.call("POST", serviceEntities+"?run_id="+id, `{"identifier":"cart"}`).want(201)
	f.call("PATCH", serviceEntities+"/cart", `{"title":"x"}`).want(200)
	f.call("POST", serviceEntities+"/bulk?upsert=true&run_id="+id, `{"entities":[{"identifier":"cart"},{"identifier":"till"}]}`).want(200)
	f.call("DELETE", serviceEntities+"/till?run_id="+id, ``).want(200)
	f.call("PATCH", "/v1/actions/runs/"+id, `{"status":"SUCCESS"}`).want(200)
	f.call("DELETE", serviceEntities+"/cart?run_id="+id, ``).fault(422, "run_not_in_progress")
	f.start()
	var got []string
	for _, e := range f.audits("?run_id=" + id) {
		got = append(got, strings.ReplaceAll(told(e), " runId="+id, ""))
	}
	slices.Sort(got)
	want := []string{
		"CREATE entity blueprint=service entity=cart no before", "CREATE entity blueprint=service entity=till no before",
		"CREATE run no before", "DELETE entity blueprint=service entity=till no after",
		"UPDATE entity blueprint=service entity=cart", "UPDATE run",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if got := f.audits("?resources=entity&run_id=" + id); len(got) != 4 {
		t.Errorf("%d entities were changed with the run, want 4", len(got))
	}
	for _, none := range []string{"r_0000000000000000", "x"} {
		if got := f.audits("?run_id=" + none); got != nil {
			t.Errorf("run %s: got %v", none, got)
		}
	}
}

func TestAuditLogParameters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	f.entity("service", `{"identifier":"cart"}`)
	f.call("DELETE", serviceEntities+"/cart", "").want(200)
	id := f.start()
	all := f.audits("")
	first := all[len(all)-1]
	later := url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339))
	for query, want := range map[string]int{
		"": 7, "?run_id=&identifier=&action=&limit=1000": 7, "?unknown=1": 7, "?include_deleted_entities=false&actionType=self-service": 7,
		"?resources=entity": 2, "?resources=entity,run": 3, "?resources=entity&resources=run": 3, "?resources[]=entity&resources[]=action": 3,
		"?resources=webhook": 0, "?resources=scorecard,run": 1,
		"?origin=API": 7, "?origin=UI": 0, "?origin=UI,API": 7, "?origin=UI&origin=AUTOMATION": 0,
		"?action=DELETE": 1, "?action=delete": 0, "?status=SUCCESS": 7, "?status=FAILURE": 0,
		"?blueprint=service": 3, "?blueprint=service&resources=blueprint": 1, "?entity=cart": 2, "?identifier=cart&blueprint=service&resources=entity": 2,
		"?identifier=" + first["identifier"].(string): 1, "?identifier=" + id: 1, "?identifier=deploy": 1,
		"?webhookId=a": 0, "?webhookEventId=a": 0, "?InstallationId=a": 0, "?webhookId=": 7,
		"?from=" + later: 0, "?to=" + later: 7, "?from=2020-01-01T00:00:00%2B02:00": 7, "?to=0001-01-01T00:00:01Z": 0, "?from=9999-12-31T23:59:59Z": 0,
		"?entity=" + strings.Repeat("x", 3000): 0, "?limit=3": 3,
	} {
		if got := f.audits(query); len(got) != want {
			t.Errorf("%s: %d entries, want %d", query, len(got), want)
		}
	}
	for query, want := range map[string]string{
		"?includes=action&includes=status": `{"action":"CREATE","status":"SUCCESS"}`,
		"?includes=identifier":             `{"identifier":"` + first["identifier"].(string) + `"}`,
		"?includes=resourceType,message":   `{"resourceType":"blueprint"}`,
		"?includes=message":                `{}`,
	} {
		got := f.audits(query)
		if diff := cmp.Diff(want, jsonOf(t, got[len(got)-1])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	var paged []map[string]any
	for next := ""; ; {
		g := f.call("GET", "/v1/audit-log?limit=2&next="+next, "").want(200)
		for _, e := range g.list("audits") {
			paged = append(paged, e.(map[string]any))
		}
		if g.at("next") == nil {
			break
		}
		next = g.at("next").(string)
	}
	if diff := cmp.Diff(all, paged); diff != "" {
		t.Errorf("page by page (-at once +got):\n%s", diff)
	}
}

// deaf is an audit log that cannot be written to.
type deaf struct{ audit.Store }

func (deaf) Record(context.Context, ...*audit.Entry) error { return errors.New("unplugged") }

// A run that exists is answered, whatever becomes of its entry.
func TestRunIsAnsweredThoughItsEntryIsLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) {
		c.Runs = &run.Audited{Store: c.Runs, Audit: deaf{}, Log: c.Log}
	})
	id := f.start()
	f.call("PATCH", "/v1/actions/runs/"+id, `{"status":"SUCCESS"}`).want(200)
	if log := f.log.String(); !strings.Contains(log, "unplugged") || !strings.Contains(log, id) {
		t.Errorf("the log does not say that the entry is lost: %s", log)
	}
}

func TestAuditLogStaysBelowTheLargestAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	text := strings.Repeat("\\u0001", 40_000)
	for n := range 14 {
		e := audit.Entry{
			Action: audit.Update, Resource: audit.Entity, Identifier: fmt.Sprint(n), By: audit.Author{At: time.Now().UTC().Truncate(time.Millisecond)},
			Before: json.RawMessage(`{"text":"` + text + `"}`), After: json.RawMessage(`{"text":"` + text + `"}`),
		}
		if err := f.audit.Record(t.Context(), audit.New(e, e.Identifier, 0)); err != nil {
			t.Fatal(err)
		}
	}
	seen, pages := map[string]bool{}, 0
	for next := ""; ; pages++ {
		g := f.call("GET", "/v1/audit-log?next="+next, "").want(200)
		if len(g.text) > api.MaxAnswer {
			t.Errorf("an answer of %d bytes", len(g.text))
		}
		for _, e := range g.list("audits") {
			seen[e.(map[string]any)["identifier"].(string)] = true
		}
		if g.at("next") == nil {
			break
		}
		next = g.at("next").(string)
	}
	if len(seen) != 14 || pages == 0 {
		t.Errorf("got %d entries on %d pages, want 14 on several", len(seen), pages+1)
	}
}
