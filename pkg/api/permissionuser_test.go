package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newUserFixture is an API that knows users too: admin, ada, who is in the team ops called Operations, bob,
// and mod, who moderates service.
func newUserFixture(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.call("POST", "/v1/blueprints/_team/entities", `{"identifier":"ops","title":"Operations"}`).want(201)
	f.as("admin@example.com", `{"port_role":"Admin"}`)
	f.as("ada@example.com", `{}`, "ops")
	f.as("bob@example.com", `{}`)
	f.as("mod@example.com", `{"port_role":"Moderator","moderated_blueprints":["service"]}`)
	return f
}

// by sends a request of a user, or of the "machine".
func (f *fixture) by(name, method, target, body string) *got {
	f.t.Helper()
	if name == "machine" {
		return f.call(method, target, body)
	}
	return f.signedIn(name+"@example.com").call(method, target, body)
}

const shopRun = `{"properties":{"service":"shop"}}`

func TestWhoSeesPrivateRuns(t *testing.T) {
	t.Parallel()
	f := newUserFixture(t)
	private := strings.Replace(deploy, `"title"`, `"allowAnyoneToViewRuns":false,"title"`, 1)
	f.define(private)
	f.define(strings.Replace(deploy, `"deploy"`, `"open"`, 1))
	start := func(name, action string) string {
		t.Helper()
		return f.by(name, "POST", "/v1/actions/"+action+"/runs", shopRun).want(http.StatusAccepted).at("run", "id").(string)
	}
	adas, bobs, open := start("ada", "deploy"), start("bob", "deploy"), start("machine", "open")
	names := map[string]string{adas: "ada's", bobs: "bob's", open: "open"}
	check := func(when string, want map[string]string) {
		t.Helper()
		for name, want := range want {
			var seen []string
			for _, r := range f.by(name, "GET", "/v1/actions/runs", "").want(200).list("runs") {
				seen = append(seen, names[r.(map[string]any)["id"].(string)])
			}
			slices.Sort(seen)
			if diff := cmp.Diff(want, strings.Join(seen, " ")); diff != "" {
				t.Errorf("%s: the list of %s (-want +got):\n%s", when, name, diff)
			}
			for id, run := range names {
				for _, part := range []string{"", "/attempts", "/logs"} {
					g := f.by(name, "GET", "/v1/actions/runs/"+id+part, "")
					if slices.Contains(seen, run) {
						g.want(200)
					} else {
						g.fault(404, "not_found")
					}
				}
			}
		}
	}
	both := "ada's bob's open"
	check("private", map[string]string{"machine": both, "admin": both, "ada": "ada's open", "bob": "bob's open", "mod": "open"})
	renamed := strings.Replace(private, `"deploy"`, `"renamed"`, 1)
	f.call("PUT", "/v1/actions/deploy", renamed).want(200)
	check("renamed", map[string]string{"admin": both, "ada": "ada's open", "mod": "open"})
	f.call("PUT", "/v1/actions/renamed", strings.Replace(deploy, `"deploy"`, `"renamed"`, 1)).want(200)
	check("made public", map[string]string{"ada": both, "mod": both})
	f.call("PUT", "/v1/actions/renamed", renamed).want(200)
	f.call("DELETE", "/v1/actions/renamed", "").want(200)
	check("deleted", map[string]string{"admin": both, "ada": "ada's open", "mod": "open"})
}

func TestWhoReportsOnRuns(t *testing.T) {
	t.Parallel()
	f := newUserFixture(t)
	f.define(deploy)
	id := f.by("ada", "POST", "/v1/actions/deploy/runs", shopRun).want(http.StatusAccepted).at("run", "id").(string)
	one := "/v1/actions/runs/" + id
	requests := []struct {
		method, target, body string
		status               int
	}{
		{"PATCH", one, `{"summary":"s"}`, 200},
		{"POST", one + "/logs", `{"message":"m"}`, 201},
		{"POST", one + "/logs", `{"message":"m","statusLabel":"l"}`, 201},
		// It is there, and cannot be done now.
		{"POST", one + "/redeliver", ``, 422},
	}
	for _, q := range requests {
		for name, may := range map[string]bool{"machine": true, "admin": true, "ada": true, "bob": false, "mod": false} {
			before := f.snapshot()
			if g := f.by(name, q.method, q.target, q.body); may {
				g.want(q.status)
			} else {
				g.fault(http.StatusForbidden, "forbidden")
				f.unchanged(before)
			}
		}
	}
	f.call("PUT", "/v1/actions/deploy", strings.Replace(deploy, `"title"`, `"allowAnyoneToViewRuns":false,"title"`, 1)).want(200)
	for _, q := range requests {
		f.by("bob", q.method, q.target, q.body).fault(http.StatusNotFound, "not_found")
	}
	// Nor does a change tied to it tell that it is there.
	f.blueprints()
	f.call("PATCH", "/v1/blueprints/system/permissions", `{"entities":{"register":{"roles":["Member"]}}}`).want(200)
	f.by("bob", "POST", "/v1/blueprints/system/entities?run_id="+id, `{"identifier":"shop"}`).fault(http.StatusNotFound, "not_found")
	f.by("ada", "POST", "/v1/blueprints/system/entities?run_id="+id, `{"identifier":"shop"}`).want(http.StatusCreated)
}

// Every route that writes entities asks for the permission of its kind.
func TestWhoWritesEntities(t *testing.T) {
	t.Parallel()
	f := newUserFixture(t)
	f.blueprints()
	const services = "/v1/blueprints/service"
	kinds := map[string][]struct {
		method, target, body string
		status               int
	}{
		"register": {
			{"POST", services + "/entities", `{"identifier":"new"}`, 201},
			{"POST", services + "/entities?upsert=true", `{"identifier":"newer"}`, 201},
		},
		"unregister": {
			{"DELETE", services + "/entities/gone", ``, 200},
			{"POST", services + "/bulk/entities/delete", `{"entities":["going"]}`, 200},
		},
		"update": {
			{"POST", services + "/entities?upsert=true", `{"identifier":"cart","title":"a"}`, 200},
			{"POST", services + "/entities?upsert=true&merge=true", `{"identifier":"cart","title":"b"}`, 200},
			{"PUT", services + "/entities/cart", `{"identifier":"cart","title":"c"}`, 200},
			{"PATCH", services + "/entities/cart", `{"title":"d"}`, 200},
			{"POST", services + "/entities?upsert=true&validation_only=true", `{"identifier":"cart","title":"e"}`, 200},
		},
	}
	for _, identifier := range []string{"cart", "gone", "going"} {
		f.entity("service", `{"identifier":"`+identifier+`"}`)
	}
	for kind, requests := range kinds {
		f.call("PATCH", services+"/permissions", `{"entities":{"`+kind+`":{"teams":["ops"]}}}`).want(200)
		for _, q := range requests {
			before := f.snapshot()
			f.by("bob", q.method, q.target, q.body).fault(http.StatusForbidden, "forbidden")
			f.unchanged(before)
			f.by("ada", q.method, q.target, q.body).want(q.status)
		}
	}
	// In bulk each entity is judged by itself.
	f.call("PATCH", services+"/permissions", `{"entities":{"register":{"teams":[],"ownedByTeam":true}}}`).want(200)
	g := f.by("ada", "POST", services+"/entities/bulk?upsert=true", `{"entities":[{"identifier":"one"},{"identifier":"two","team":["ops"]}]}`).want(http.StatusMultiStatus)
	if failed := g.list("errors"); len(failed) != 1 || failed[0].(map[string]any)["identifier"] != "one" || failed[0].(map[string]any)["statusCode"] != 403.0 {
		t.Errorf("got %s, want that one is forbidden", g.text)
	}
	f.call("GET", services+"/entities/one", "").want(404)
	f.call("GET", services+"/entities/two", "").want(200)
	// Moderators count as Admins, of what they moderate.
	f.by("mod", "PATCH", services+"/entities/cart", `{"title":"m"}`).want(200)
	f.by("mod", "POST", "/v1/blueprints/system/entities", `{"identifier":"m"}`).fault(403, "forbidden")
	f.by("admin", "POST", "/v1/blueprints/system/entities", `{"identifier":"m"}`).want(201)
	f.by("mod", "POST", "/v1/teams", `{"name":"mine"}`).fault(403, "forbidden")
}
