package api_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"longshore/pkg/api"
	"longshore/pkg/fault"
)

// provider believes whoever says "user." and an e-mail.
type provider struct{}

// Verify implements identity.Provider.
func (provider) Verify(_ context.Context, token string) (string, error) {
	if email, ok := strings.CutPrefix(token, "user."); ok {
		return email, nil
	}
	return "", fault.New(fault.Unauthorized, "", "the access token is not valid")
}

// as returns the API as a user sees it, whose entity of _user is made with these properties and teams.
func (f *fixture) as(email, properties string, teams ...string) *fixture {
	f.t.Helper()
	list := `[]`
	if len(teams) > 0 {
		list = `["` + strings.Join(teams, `","`) + `"]`
	}
	if g := f.call("POST", "/v1/blueprints/_user/entities?upsert=true", `{"identifier":"`+email+`","team":`+list+`,"properties":`+properties+`}`); g.status > 201 {
		f.t.Fatalf("make the user %s: got %d %s", email, g.status, g.text)
	}
	return f.signedIn(email)
}

// signedIn returns the API as whoever has that e-mail sees it.
func (f *fixture) signedIn(email string) *fixture {
	other := *f
	other.token = "user." + email
	return &other
}

// A Moderator of the blueprint service, and what there is to moderate.
const moderator = `{"port_role":"Moderator","moderated_blueprints":["service","_user","_team"]}`

func actionOf(identifier, blueprint string) string {
	return `{"identifier":"` + identifier + `","trigger":{"type":"self-service","operation":"CREATE","blueprintIdentifier":"` + blueprint + `",` +
		`"userInputs":{"properties":{}}},"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/hook"}}`
}

// forMembers are for everybody although they are no GET. Of runs the handler asks whose they are.
var forMembers = []string{
	"POST /v1/blueprints/{blueprint_identifier}/actions/{action_identifier}/runs",
	"POST /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}/actions/{action_identifier}/runs",
	"POST /v1/actions/{action_identifier}/runs",
	"PATCH /v1/actions/runs/{run_id}",
	"PATCH /v1/actions/runs/{run_id}/approval",
	"POST /v1/actions/runs/{run_id}/redeliver",
	"POST /v1/actions/runs/{run_id}/logs",
	"POST /v1/blueprints/{blueprint_identifier}/entities/search",
	"POST /v1/entities/search",
	"POST /v1/jq",
}

// The rules that the table of routes has to keep, whatever is added to it.
func TestRulesOfRoutes(t *testing.T) {
	t.Parallel()
	for _, r := range api.Routes() {
		name := r.Method + " " + r.Pattern
		last := r.Pattern[strings.LastIndex(r.Pattern, "/")+1:]
		begins := func(prefixes ...string) bool {
			return slices.ContainsFunc(prefixes, func(p string) bool { return r.Pattern == p || strings.HasPrefix(r.Pattern, p+"/") })
		}
		administration := begins("/v1/users", "/v1/teams", "/v1/organization", "/v1/kafka-credentials", "/v1/audit-log") ||
			slices.Contains([]string{"claim-pending", "claim", "ack", "response"}, last)
		if administration && r.Access != api.AdminOnly {
			t.Errorf("%s is not for admins alone", name)
		}
		if r.Access == api.Member && r.Method != "GET" && !slices.Contains(forMembers, name) {
			t.Errorf("%s changes something and is for every member", name)
		}
		if begins("/v1") && r.Access != api.Open && r.Access < api.Member {
			t.Errorf("%s has no rule about users", name)
		}
		if r.Access == api.Entities && !strings.Contains(r.Pattern, "{blueprint_identifier}") {
			t.Errorf("%s names no blueprint whose moderators may use it", name)
		}
	}
}

// Each route is walked by each kind of caller. A refusal is 403 and leaves nothing behind.
func TestWhoMayUseWhichRoutes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("POST", "/v1/blueprints", `{"identifier":"service","title":"S","schema":{"properties":{}}}`).want(201)
	f.call("POST", "/v1/blueprints", `{"identifier":"other","title":"O","schema":{"properties":{}}}`).want(201)
	for _, blueprint := range []string{"service", "other"} {
		f.define(actionOf("of-"+blueprint, blueprint))
		f.call("POST", "/v1/blueprints/"+blueprint+"/entities", `{"identifier":"e"}`).want(201)
	}
	id := f.start()
	callers := map[string]*fixture{
		"machine":                   f,
		"admin":                     f.as("admin@example.com", `{"port_role":"Admin"}`),
		"moderator":                 f.as("moderator@example.com", moderator),
		"member":                    f.as("member@example.com", `{}`),
		"member who would moderate": f.as("would@example.com", `{"moderated_blueprints":["service"]}`),
	}
	bodies := map[string]string{
		"POST /v1/blueprints/{blueprint_identifier}/actions":                    "ACTION",
		"PUT /v1/blueprints/{blueprint_identifier}/actions/{action_identifier}": "ACTION",
		"POST /v1/actions":                                                         "ACTION",
		"PUT /v1/actions/{action_identifier}":                                      "ACTION",
		"PATCH /v1/actions/runs/{run_id}":                                          `{"statusLabel":"x"}`,
		"PATCH /v1/actions/runs/{run_id}/approval":                                 `{"status":"APPROVE"}`,
		"PATCH /v1/actions/{action_identifier}/permissions":                        `{"execute":{"users":[]}}`,
		"POST /v1/actions/runs/{run_id}/logs":                                      `{"message":"x"}`,
		"POST /v1/blueprints/{blueprint_identifier}/bulk/entities/delete":          `{"entities":["none"]}`,
		"POST /v1/blueprints/{blueprint_identifier}/entities/bulk":                 `{"entities":[]}`,
		"PUT /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}":   `{"identifier":"e"}`,
		"PATCH /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}": `{"identifier":"e"}`,
	}
	before := f.snapshot()
	type call struct {
		caller, method, target, body string
	}
	var allowed []call
	for _, r := range api.Routes() {
		name := r.Method + " " + r.Pattern
		if r.Access == api.Open || r.Pattern == "/metrics" {
			continue
		}
		for _, blueprint := range []string{"service", "other", "_user"} {
			target := strings.NewReplacer("{action_identifier}", "of-"+blueprint, "{run_id}", id, "{blueprint_identifier}", blueprint,
				"{entity_identifier}", "e", "{page_identifier}", blueprint, "{user_email}", "a@example.com", "{name}", "none").Replace(r.Pattern)
			for caller, as := range callers {
				may := caller == "machine" || caller == "admin"
				switch r.Access {
				case api.Member:
					// The run is the machine's.
					finer := strings.HasPrefix(r.Pattern, "/v1/actions/runs/{run_id}") && r.Method != "GET"
					may = may || !finer
				case api.Entities:
					// What the blueprint's permissions say has a test of its own.
					may = may || blueprint != "_user"
				case api.Moderates:
					may = may || caller == "moderator" && blueprint == "service"
				}
				body := strings.Replace(bodies[name], "ACTION", actionOf("of-"+blueprint, blueprint), 1)
				if blueprint == "_user" && r.Access == api.Moderates && r.Method != "POST" {
					continue // there is no such action
				}
				if may {
					allowed = append(allowed, call{caller, r.Method, target, "{"})
					continue
				}
				g := as.call(r.Method, target, body)
				if g.status != 403 || g.body["error"] != "forbidden" || len(g.body["message"].(string)) < 20 {
					t.Errorf("%s %s: a %s got %d %s, want 403", r.Method, target, caller, g.status, g.text)
				}
			}
		}
	}
	f.unchanged(before)
	// Those who may get further; what then becomes of the request is the handler's.
	for _, c := range allowed {
		if c.method == "DELETE" && !strings.HasSuffix(c.target, "/all-entities") {
			c.target += "none"
		}
		g := callers[c.caller].call(c.method, c.target, c.body)
		if g.status == 403 || g.status == 401 {
			t.Errorf("%s %s: a %s got %d %s", c.method, c.target, c.caller, g.status, g.text)
		}
	}
}
