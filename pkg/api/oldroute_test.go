package api_test

import (
	"maps"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// firstGeneration is an action as clients of the first generation send it: its blueprint is in the path.
const firstGeneration = `{"identifier":"restart","title":"Restart","icon":"Box","description":"","trigger":"DAY-2","requiredApproval":false,` +
	`"userInputs":{"properties":{"reason":{"type":"string"}},"required":[],"order":["reason"]},` +
	`"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/hook","agent":false,"synchronized":true}}`

// old is the fixture with the blueprints and an entity of service.
func (f *fixture) old() *fixture {
	f.blueprints()
	f.entity("service", `{"identifier":"cart"}`)
	return f
}

const actionsOfService = "/v1/blueprints/service/actions"

// Each definition of the first generation is answered as it was sent by each of the old routes, with the
// blueprint of the path; one of the second is answered in the first.
func TestOldRoutesRoundTrip(t *testing.T) {
	t.Parallel()
	forms := map[string]string{"with its blueprint": strings.Replace(firstGeneration, "{", `{"blueprint":"service",`, 1),
		"with none": strings.Replace(firstGeneration, "{", `{"blueprint":null,`, 1)}
	for name, sent := range actionForms(t) {
		if strings.Contains(sent, `"trigger":"`) || strings.Contains(sent, `"trigger": "`) {
			forms[name] = sent
		}
	}
	if len(forms) < 10 {
		t.Fatalf("only %d forms of the first generation", len(forms))
	}
	onStores(t, func(f *fixture) {
		f.old()
		for name, sent := range forms {
			f.t.Run(name, func(t *testing.T) {
				f := f.part(t)
				want := decoded(t, sent)
				want["blueprint"] = "service"
				target := actionsOfService + "/" + want["identifier"].(string)
				created := f.call("POST", actionsOfService, sent).want(201)
				listed := f.call("GET", actionsOfService, "").want(200).list("actions")
				replaced := f.call("PUT", target, sent).want(200)
				for way, got := range map[string]any{
					"POST": created.at("action"), "PUT": replaced.at("action"), "GET": f.call("GET", target, "").want(200).at("action"), "list": listed[0],
					"the newer GET": f.call("GET", "/v1/actions/"+want["identifier"].(string), "").want(200).at("action"),
				} {
					if diff := cmp.Diff(want, without(t, got)); diff != "" {
						t.Errorf("%s (-sent +got):\n%s", way, diff)
					}
				}
				for _, kept := range []string{"id", "createdAt", "createdBy"} {
					if created.at("action", kept) != replaced.at("action", kept) {
						t.Errorf("%s: got %v, want %v", kept, replaced.at("action", kept), created.at("action", kept))
					}
				}
				second := f.call("GET", target+"?version=v2", "").want(200)
				if second.at("action", "trigger", "blueprintIdentifier") != "service" {
					t.Errorf("got %s, want the second generation", second.text)
				}
				f.call("DELETE", target, "").want(200)
				f.call("GET", target, "").fault(404, "not_found")
			})
		}
	})
}

// What is sent in the second generation is stored in it, with the blueprint of the path, and answered in
// the first where that can say it.
func TestOldRoutesTakeTheSecondGeneration(t *testing.T) {
	t.Parallel()
	f := newFixture(t).old()
	const sent = `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{}}},"invocationMethod":{"type":"KAFKA","payload":{"b":1.0}}}`
	first := map[string]any{"identifier": "a", "blueprint": "service", "trigger": "CREATE", "userInputs": map[string]any{"properties": map[string]any{}},
		"invocationMethod": map[string]any{"type": "KAFKA"}}
	stored := decoded(t, strings.Replace(sent, `"operation"`, `"blueprintIdentifier":"service","operation"`, 1))
	created := f.call("POST", actionsOfService, sent).want(201)
	replaced := f.call("PUT", actionsOfService+"/a", strings.Replace(sent, `"operation"`, `"blueprintIdentifier":"service","operation"`, 1)).want(200)
	for way, got := range map[string]any{
		"POST": created.at("action"), "PUT": replaced.at("action"), "GET": f.call("GET", actionsOfService+"/a", "").want(200).at("action"),
		"list": f.call("GET", actionsOfService, "").want(200).list("actions")[0],
	} {
		if diff := cmp.Diff(first, without(t, got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", way, diff)
		}
	}
	if diff := cmp.Diff(stored, without(t, f.call("GET", "/v1/actions/a", "").want(200).at("action"))); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	// The first generation has no upserts.
	upsert := strings.Replace(strings.Replace(sent, `"a"`, `"u"`, 1), `{"type":"KAFKA","payload":{"b":1.0}}`, `{"type":"UPSERT_ENTITY","blueprintIdentifier":"service","mapping":{}}`, 1)
	if g := f.call("POST", actionsOfService, upsert).want(201); g.at("action", "trigger", "blueprintIdentifier") != "service" {
		t.Errorf("got %s, want the second generation", g.text)
	}
}

// To a path's blueprint there are its own actions alone.
func TestOldRoutesKnowTheirBlueprintsActions(t *testing.T) {
	t.Parallel()
	f := newFixture(t).old()
	f.define(deploy)
	f.define(automation)
	f.define(actionOf("of-system", "system"))
	f.call("POST", actionsOfService, firstGeneration).want(201)
	before := f.snapshot()
	for _, other := range []string{"deploy", "of-system", "none", strings.Repeat("a", 400)} {
		f.call("GET", actionsOfService+"/"+other, "").fault(404, "not_found")
		f.call("PUT", actionsOfService+"/"+other, firstGeneration).fault(404, "not_found")
		f.call("DELETE", actionsOfService+"/"+other, "").fault(404, "not_found")
		f.call("POST", actionsOfService+"/"+other+"/runs", `{"properties":{"service":"a"}}`).fault(404, "not_found")
		f.call("POST", actionsOfService+"/"+other+"/runs?dry_run=true", `{"properties":{"service":"a"}}`).fault(404, "not_found")
		f.call("POST", serviceEntities+"/cart/actions/"+other+"/runs", `{}`).fault(404, "not_found")
	}
	f.call("GET", "/v1/blueprints/none/actions", "").fault(404, "not_found")
	f.call("POST", "/v1/blueprints/none/actions", firstGeneration).fault(404, "not_found")
	f.call("POST", "/v1/blueprints/none/actions/restart/runs", `{}`).fault(404, "not_found")
	for path, body := range map[string]string{
		"blueprint":                   strings.Replace(firstGeneration, "{", `{"blueprint":"system",`, 1),
		"trigger.blueprintIdentifier": actionOf("a", "system"),
		"trigger.type":                automation,
	} {
		for _, way := range [][2]string{{"POST", actionsOfService}, {"PUT", actionsOfService + "/restart"}} {
			g := f.call(way[0], way[1], body)
			g.fault(422, "invalid_request")
			g.namesAll([]string{path})
		}
	}
	f.unchanged(before)
	for query, want := range map[string]int{"": 1, "?operation=DAY-2": 1, "?operation=CREATE": 0, "?published=false": 0} {
		if got := f.call("GET", actionsOfService+query, "").want(200).list("actions"); len(got) != want {
			t.Errorf("%s: got %d actions, want %d: %v", query, len(got), want, got)
		}
	}
}

// A run that is started by an old route is as one that is started by the newer one, and the two share their
// idempotency keys.
func TestOldRoutesStartRuns(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		f.old()
		f.call("POST", actionsOfService, firstGeneration).want(201)
		f.as("ada@example.com", `{}`)
		const ofAction, ofEntity = actionsOfService + "/restart/runs", serviceEntities + "/cart/actions/restart/runs"
		newer := f.call("POST", "/v1/actions/restart/runs", `{"entity":"cart","properties":{"reason":"x"}}`, "Idempotency-Key", "k").want(202)
		shape := func(g *got) map[string]any {
			o := maps.Clone(g.at("run").(map[string]any))
			for _, own := range []string{"id", "createdAt", "updatedAt", "payload"} {
				delete(o, own)
			}
			return o
		}
		for target, body := range map[string]string{ofAction: `{"entity":"cart","properties":{"reason":"x"}}`, ofEntity: `{"properties":{"reason":"x"}}`} {
			g := f.call("POST", target, body).want(202)
			if diff := cmp.Diff(shape(newer), shape(g)); diff != "" {
				f.t.Errorf("%s (-newer route +got):\n%s", target, diff)
			}
			again := f.call("POST", target, body, "Idempotency-Key", "k").want(200)
			if again.header.Get("Idempotent-Replayed") != "true" || again.at("run", "id") != newer.at("run", "id") {
				f.t.Errorf("%s: got %s, want the run of the key", target, again.text)
			}
			f.call("POST", target, strings.Replace(body, `"x"`, `"y"`, 1), "Idempotency-Key", "k").fault(422, "idempotency_key_reused")
			f.call("POST", target, body, "Idempotency-Key", "").want(202)
			before := f.snapshot()
			if dry := f.call("POST", target+"?dry_run=true", body).want(200); dry.at("triggerData", "entity", "identifier") != "cart" {
				f.t.Errorf("%s: got the dry run %s", target, dry.text)
			}
			f.unchanged(before)
			as := f.call("POST", target+"?run_as=ada@example.com", body).want(202)
			if as.at("run", "user", "email") != "ada@example.com" || as.at("run", "impersonatedBy") != clientID {
				f.t.Errorf("%s: got %s, want a run of ada", target, as.text)
			}
		}
		before := f.snapshot()
		f.call("POST", ofAction, `{}`).names("entity")
		f.call("POST", ofEntity, `{"entity":"till"}`).names("entity")
		f.call("POST", serviceEntities+"/none/actions/restart/runs", `{}`).fault(404, "not_found")
		f.unchanged(before)
		f.call("POST", ofEntity, `{"entity":"cart"}`).want(202)
		// The identifier of an entity may have slashes, however the path comes.
		f.entity("service", `{"identifier":"org/actions/x"}`)
		decoded := httptest.NewRequest("GET", "/", nil)
		decoded.URL = &url.URL{Path: serviceEntities + "/org/actions/x"}
		decoded.Header.Set("Authorization", "Bearer "+f.token)
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, decoded)
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"org/actions/x"`) {
			f.t.Errorf("got %d %s, want the entity", w.Code, w.Body)
		}
		g := f.call("POST", serviceEntities+"/org%2Factions%2Fx/actions/restart/runs", `{}`).want(202)
		if got := g.at("run", "entity", "identifier"); got != "org/actions/x" {
			f.t.Errorf("got a run on %v", got)
		}
	})
}
