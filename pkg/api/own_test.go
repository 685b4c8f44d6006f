package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"longshore/pkg/api"
	"longshore/pkg/audit"
	"longshore/pkg/identity"
	"longshore/pkg/run"
)

// within returns the API as a call of a run sees it, whose token is for that method and target.
func (f *fixture) within(method, target string, cause audit.Cause) *fixture {
	f.t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		f.t.Fatal(err)
	}
	token, err := f.tokens.SignCall(identity.Call{Method: method, Path: u.Path, Cause: cause})
	if err != nil {
		f.t.Fatal(err)
	}
	other := *f
	other.token = token
	return &other
}

// own makes a call with a token of its own.
func (f *fixture) own(cause audit.Cause, method, target, body string) *got {
	f.t.Helper()
	return f.within(method, target, cause).call(method, target, body)
}

// closedToOwnCalls are the routes that calls of runs do not reach: secrets, users, credentials and tokens,
// and what tells of them. A route that is not below one of the subjects has to be added, or opened.
var closedToOwnCalls = []string{
	"/v1/auth/", "/v1/users", "/v1/teams", "/v1/organization", "/v1/kafka-credentials", "/v1/backends", "/v1/audit-log", "/v1/workflows/",
	"/v1/actions/runs/claim-pending", "/v1/actions/runs/ack", "/v1/actions/runs/{run_id}/response", "/v1/entities/search",
	"/webhooks/", "/metrics", "/healthz", "/readyz", "/openapi.json",
}

// Each route is asked with a token of just that call: what is closed answers 403 and changes nothing.
func TestWhatCallsOfRunsReach(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("POST", "/v1/blueprints", `{"identifier":"service","title":"S","schema":{"properties":{}}}`).want(201)
	f.define(actionOf("a", "service"))
	id := f.start()
	before := f.snapshot()
	fill := func(pattern, blueprint string) string {
		return strings.NewReplacer("{action_identifier}", "a", "{run_id}", id, "{blueprint_identifier}", blueprint, "{entity_identifier}", "e",
			"{page_identifier}", "p", "{user_email}", "a@example.com", "{name}", "n", "{secret_name}", "s", "{migration_id}", "m").Replace(pattern)
	}
	for _, r := range api.Routes() {
		if r.Access == api.Open || r.Pattern == "/metrics" {
			continue // no token is looked at
		}
		closed := slices.ContainsFunc(closedToOwnCalls, func(p string) bool { return strings.HasPrefix(r.Pattern, p) })
		target := fill(r.Pattern, "service")
		// A body that no handler takes: nothing changes.
		g := f.own(audit.Cause{RunID: "r_1"}, r.Method, target, map[bool]string{true: "{"}[r.Method != "GET" && r.Method != "DELETE"])
		switch refused := g.status == http.StatusForbidden && g.body["error"] == "forbidden"; {
		case closed && !refused:
			t.Errorf("%s %s: got %d %s, want 403", r.Method, r.Pattern, g.status, g.text)
		case !closed && (refused || g.status == http.StatusUnauthorized):
			t.Errorf("%s %s: got %d %s, want it to be reached", r.Method, r.Pattern, g.status, g.text)
		}
		if r.Method == "DELETE" {
			before = f.snapshot()
			continue
		}
		// Nor do they reach users and teams as entities.
		for _, blueprint := range []string{"_user", "_team"} {
			if !strings.Contains(r.Pattern, "{blueprint_identifier}") {
				continue
			}
			if g := f.own(audit.Cause{}, r.Method, fill(r.Pattern, blueprint), ""); g.status != http.StatusForbidden {
				t.Errorf("%s %s of %s: got %d %s, want 403", r.Method, r.Pattern, blueprint, g.status, g.text)
			}
		}
	}
	f.unchanged(before)
}

// A token is good for its call and no other.
func TestTokenOfACallIsForThatCall(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, c := range map[string]struct {
		method, path   string // of the token
		called, target string
		want           int
	}{
		"the call":                   {"GET", "/v1/actions/deploy", "GET", "/v1/actions/deploy", 404},
		"with a query":               {"GET", "/v1/actions/deploy", "GET", "/v1/actions/deploy?version=v1", 404},
		"escaped":                    {"GET", "/v1/actions/a b", "GET", "/v1/actions/a%20b", 404},
		"another method":             {"GET", "/v1/actions/deploy", "DELETE", "/v1/actions/deploy", 401},
		"HEAD for GET":               {"GET", "/v1/actions/deploy", "HEAD", "/v1/actions/deploy", 401},
		"another path":               {"GET", "/v1/actions/deploy", "GET", "/v1/actions/other", 401},
		"above it":                   {"GET", "/v1/actions/deploy", "GET", "/v1/actions", 401},
		"below it":                   {"GET", "/v1/actions", "GET", "/v1/actions/deploy", 401},
		"a route that is not there":  {"GET", "/v1/nothing", "GET", "/v1/nothing", 404},
		"a method that is not there": {"PATCH", "/v1/actions", "PATCH", "/v1/actions", 405},
		"no path":                    {"GET", "", "GET", "/v1/actions", 401},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := f.tokens.SignCall(identity.Call{Method: c.method, Path: c.path})
			if err != nil {
				t.Fatal(err)
			}
			f.call(c.called, c.target, "", "Authorization", "Bearer "+token).want(c.want)
		})
	}
}

// What a call of a run changes says which run, and how deep it lies: entities, reports, decisions and runs.
func TestChangesOfCallsFollowFromTheirRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("POST", "/v1/blueprints", `{"identifier":"service","title":"S","schema":{"properties":{"n":{"type":"number"}}},
		"relations":{"owner":{"target":"_user","required":false,"many":false}}}`).want(201)
	f.as("ada@example.com", `{}`)
	id := f.start()
	by := audit.Cause{EventID: "event_1", RunID: "r_0123456789abcdef", Depth: 4}
	last := func(identifier string) audit.Author {
		t.Helper()
		_, e, err := f.entities.Entity(t.Context(), "service", identifier)
		if err != nil {
			t.Fatal(err)
		}
		return e.Last
	}
	f.own(by, "POST", "/v1/blueprints/service/entities", `{"identifier":"a"}`).want(201)
	f.own(by, "POST", "/v1/blueprints/service/entities/bulk", `{"entities":[{"identifier":"b"},{"identifier":"c"}]}`).want(200)
	for _, identifier := range []string{"a", "b", "c"} {
		if got := last(identifier); got.Cause != by || got.ID != clientID || got.Origin != "API" {
			t.Errorf("%s was written by %+v, want the client, from %+v", identifier, got, by)
		}
	}
	f.call("PATCH", "/v1/blueprints/service/entities/a", `{"properties":{"n":1}}`).want(200)
	if got := last("a"); got.Cause != (audit.Cause{}) {
		t.Errorf("a call of nobody's run follows from %+v", got.Cause)
	}
	// Tied to a run, it follows from that run; the longer of two ways counts.
	f.move(id, func(r *run.Run) error { r.Cause = audit.Cause{EventID: "event_2", RunID: "r_x", Depth: 2}; return nil })
	for depth, want := range map[int]int{4: 4, 1: 2} {
		cause := by
		cause.Depth = depth
		f.own(cause, "PATCH", "/v1/blueprints/service/entities/a?run_id="+id, `{"properties":{"n":`+string(rune('2'+depth))+`}}`).want(200)
		if got := last("a"); got.RunID != id || got.Cause != (audit.Cause{EventID: "event_2", RunID: id, Depth: want}) {
			t.Errorf("tied to a run at depth 2, from one at %d: got %+v", depth, got)
		}
	}
	f.call("PATCH", "/v1/blueprints/service/entities/a?run_id="+id, `{"properties":{"n":9}}`).want(200)
	if got := last("a"); got.Cause != (audit.Cause{EventID: "event_2", RunID: id, Depth: 2}) {
		t.Errorf("tied to a run at depth 2: got %+v", got)
	}
	// Users are out of reach, by a relation that makes them too.
	f.own(by, "POST", "/v1/blueprints/service/entities?create_missing_related_entities=true", `{"identifier":"d","relations":{"owner":"new@example.com"}}`).fault(403, "forbidden")
	f.call("GET", "/v1/users/new@example.com", "").want(404)

	f.own(by, "PATCH", "/v1/actions/runs/"+id, `{"statusLabel":"working"}`).want(200)
	reported := func(what string) {
		t.Helper()
		r, err := f.runs.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if r.Last.Cause != by || r.Last.ID != clientID {
			t.Errorf("%s: got %+v, want it to follow from %+v", what, r.Last, by)
		}
	}
	reported("a report")
	f.move(id, func(r *run.Run) error { r.Last = audit.Author{}; return nil })
	f.own(by, "POST", "/v1/actions/runs/"+id+"/logs", `{"message":"done","terminationStatus":"SUCCESS"}`).want(201)
	reported("a line that ends the run")

	started := func(cause audit.Cause, target string) *run.Run {
		t.Helper()
		g := f.own(cause, "POST", target, `{"properties":{"service":"shop"}}`).want(202)
		r, err := f.runs.Get(t.Context(), g.at("run", "id").(string))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := started(by, "/v1/actions/deploy/runs?run_as=ada@example.com")
	if r.Cause != (audit.Cause{RunID: by.RunID, Depth: 4}) || r.Source != "API" || r.UserEmail != "ada@example.com" || r.ImpersonatedBy != clientID {
		t.Errorf("a run of an automation's run: got %+v, %s by %s", r.Cause, r.Source, r.UserEmail)
	}
	// Runs of runs that are no automation's count by themselves: nothing else would end their loop.
	if r := started(audit.Cause{RunID: by.RunID, Depth: 9}, "/v1/actions/deploy/runs"); r.Cause.Depth != 10 || r.Status != run.InProgress {
		t.Errorf("the tenth: got depth %d, %s", r.Cause.Depth, r.Status)
	}
	sent := f.sent.count()
	r = started(audit.Cause{RunID: by.RunID, Depth: 10}, "/v1/actions/deploy/runs")
	if r.Status != run.Failure || r.StatusLabel != "loop cut off" || f.sent.count() != sent {
		t.Errorf("past the tenth: got %s %q, and %d messages more", r.Status, r.StatusLabel, f.sent.count()-sent)
	}
	lines := f.call("GET", "/v1/actions/runs/"+r.ID+"/logs", "").want(200).body["runLogs"].([]any)
	if len(lines) != 1 || !strings.Contains(lines[0].(map[string]any)["message"].(string), by.RunID) {
		t.Errorf("its log is %v, want one line that names %s", lines, by.RunID)
	}
	f.call("POST", "/v1/actions/runs/"+r.ID+"/redeliver", "").fault(422, "run_not_redeliverable")
}

// A Moderator may not save what would be called with the organization's token, nor a call of a run what
// reads secrets.
func TestWhoMaySaveCallsOfOurOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) {
		c.Addresses = func() []string { return []string{"", "https://longshore.example"} }
	})
	f.call("POST", "/v1/blueprints", `{"identifier":"service","title":"S","schema":{"properties":{}}}`).want(201)
	mo := f.as("mo@example.com", moderator)
	const address = "https://example.com/hook"
	for name, c := range map[string]struct {
		url  string
		want int
	}{
		"another":                     {address, 201},
		"own":                         {"https://longshore.example/v1/actions/x/runs", 403},
		"own, with an expression":     {"https://longshore.example/v1/{{ .inputs.path }}", 403},
		"own host by an expression":   {"https://{{ .inputs.host }}/v1/actions", 201},
		"of another host by the name": {"https://longshore.example.com/v1/actions", 201},
	} {
		t.Run(name, func(t *testing.T) {
			identifier := strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", "")
			definition := strings.Replace(actionOf(identifier, "service"), address, c.url, 1)
			g := mo.call("POST", "/v1/actions", definition).want(c.want)
			if c.want != 403 {
				return
			}
			if message, _ := g.body["message"].(string); !strings.Contains(message, "own API") {
				t.Errorf("got %s", g.text)
			}
			f.call("POST", "/v1/actions", definition).want(201)
			mo.call("PUT", "/v1/actions/"+identifier, actionOf(identifier, "service")).want(403)
			mo.call("PATCH", "/v1/actions/"+identifier+"/permissions", `{"execute":{"users":[]}}`).want(403)
			mo.call("DELETE", "/v1/actions/"+identifier, "").want(403)
		})
	}
	reads := strings.Replace(actionOf("reads", "service"), address, address+"/{{ .secrets.KEY }}", 1)
	f.own(audit.Cause{}, "POST", "/v1/actions", reads).fault(403, "forbidden")
	f.own(audit.Cause{}, "POST", "/v1/actions", actionOf("plain", "service")).want(201)
	f.own(audit.Cause{}, "PUT", "/v1/actions/plain", strings.Replace(reads, `"reads"`, `"plain"`, 1)).fault(403, "forbidden")
	f.call("POST", "/v1/actions", reads).want(201)
	before := f.snapshot()
	f.own(audit.Cause{}, "DELETE", "/v1/blueprints/service?delete_actions=true", "").fault(403, "forbidden")
	f.unchanged(before)
	f.call("DELETE", "/v1/actions/reads", "").want(200)
	f.own(audit.Cause{}, "DELETE", "/v1/blueprints/service?delete_actions=true", "").want(200)
}

// An API that is not told its address, as on AWS without a domain, refuses a Moderator whatever dispatchers may
// take for it: they know the name that API Gateway gave it.
func TestWhoMaySaveCallsOfOurOwnByTheRequestsHost(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("POST", "/v1/blueprints", `{"identifier":"service","title":"S","schema":{"properties":{}}}`).want(201)
	mo := f.as("mo@example.com", moderator)
	const gateway = "abc1.execute-api.eu-west-1.amazonaws.com"
	for name, c := range map[string]struct {
		// host is that of the request, empty for a name of the operator's own.
		host, url string
		want      int
	}{
		"the request's host":             {gateway, "https://" + gateway + "/v1/actions", 403},
		"in capitals":                    {strings.ToUpper(gateway), "https://" + gateway + "/v1/actions", 403},
		"with a port":                    {gateway + ":443", "https://" + gateway + "/v1/actions", 403},
		"with a dot":                     {gateway + ".", "https://" + gateway + "/v1/{{ .inputs.path }}", 403},
		"beside the API":                 {gateway, "https://" + gateway + "/hook", 201},
		"another API":                    {gateway, "https://abc2.execute-api.eu-west-1.amazonaws.com/v1/actions", 201},
		"the gateway's name by another":  {"", "https://" + gateway + "/v1/%{{ .inputs.path }}", 403},
		"another host, called by a name": {"", "https://other.example/v1/actions", 201},
	} {
		t.Run(name, func(t *testing.T) {
			identifier := strings.ReplaceAll(strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(name), "--", "-")
			definition := strings.Replace(actionOf(identifier, "service"), "https://example.com/hook", c.url, 1)
			r := httptest.NewRequest("POST", "/v1/actions", strings.NewReader(definition))
			r.Header.Set("Authorization", "Bearer "+mo.token)
			r.Header.Set("Content-Type", "application/json")
			if c.host != "" {
				r.Host = c.host
			}
			mo.do(r, []byte(definition)).want(c.want)
		})
	}
}
