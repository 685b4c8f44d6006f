package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
)

// people makes users a, b and c, who are in no team.
func (f *fixture) people() {
	f.t.Helper()
	for _, name := range []string{"a", "b", "c"} {
		f.entity("_user", `{"identifier":"`+name+`@x.example","properties":{"firstname":"`+strings.ToUpper(name)+`"}}`)
	}
}

// emails are the users of the team in an answer: objects where it was read, e-mails where it was written.
func (g *got) emails() string {
	g.t.Helper()
	var list []string
	for _, u := range g.at("team", "users").([]any) {
		if read, ok := u.(map[string]any); ok {
			u = read["email"]
		}
		list = append(list, u.(string)[:1])
	}
	return strings.Join(list, " ")
}

// sameTeam compares the team that was written with the one that was read, their users aside.
func sameTeam(t *testing.T, wrote, read *got) {
	t.Helper()
	without := func(g *got) map[string]any {
		team := maps.Clone(g.at("team").(map[string]any))
		delete(team, "users")
		return team
	}
	if diff := cmp.Diff(without(wrote), without(read)); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
}

// teamOf is the team of a user's entity.
func (f *fixture) teamOf(name string) string {
	f.t.Helper()
	return encoded(f.call("GET", "/v1/blueprints/_user/entities/"+name+"@x.example", "").want(200).at("entity", "team"))
}

func TestTeams(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.people()
	g := f.call("POST", "/v1/teams", `{"name":"platform","description":"d","users":["a@x.example","B@X.example"]}`).want(201)
	// Whoever writes a team gets e-mails, as they were sent; whoever reads it gets objects.
	holds(t, g.at("team"), `{"name":"platform","description":"d","provider":"port","users":["a@x.example","b@x.example"]}`)
	read := f.call("GET", "/v1/teams/platform", "").want(200)
	holds(t, read.at("team", "users").([]any)[1], `{"email":"b@x.example"}`)
	if got := read.emails(); got != "a b" {
		t.Errorf("got users %s", got)
	}
	sameTeam(t, g, read)
	if diff := cmp.Diff([]any{read.at("team")}, f.call("GET", "/v1/teams", "").want(200).list("teams")); diff != "" {
		t.Errorf("(-read +listed):\n%s", diff)
	}
	holds(t, f.call("GET", "/v1/blueprints/_team/entities/platform", "").want(200).at("entity"), `{"title":"platform","properties":{"description":"d"}}`)
	if got := f.teamOf("a") + f.teamOf("b") + f.teamOf("c"); got != `["platform"]["platform"][]` {
		t.Errorf("got teams %s", got)
	}

	// One out, one in; the description is not sent.
	holds(t, f.call("PATCH", "/v1/teams/platform", `{"users":["b@x.example","c@x.example"]}`).want(200).at("team"),
		`{"users":["b@x.example","c@x.example"]}`)
	if got := f.teamOf("a") + f.teamOf("b") + f.teamOf("c"); got != `[]["platform"]["platform"]` {
		t.Errorf("got teams %s", got)
	}
	g = f.call("PUT", "/v1/teams/platform", `{"name":"platform"}`).want(200)
	holds(t, g.at("team"), `{"description":null,"users":["b@x.example","c@x.example"]}`)

	f.call("DELETE", "/v1/teams/platform", "").want(200)
	f.call("DELETE", "/v1/teams/platform", "").fault(404, "not_found")
	f.call("GET", "/v1/teams/platform", "").fault(404, "not_found")
	f.call("PUT", "/v1/teams/platform", `{"name":"platform"}`).fault(404, "not_found")
	if got := f.teamOf("b") + f.teamOf("c"); got != `[][]` {
		t.Errorf("got teams %s", got)
	}
}

// Names may have spaces and other signs; a team that is renamed keeps its users, those too who are in
// it by its old name, and what an organization added to its entity.
func TestTeamIsRenamed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.people()
	f.call("PATCH", "/v1/blueprints/_team", `{"schema":{"properties":{"slack":{"type":"string"}}}}`).want(200)
	f.call("POST", "/v1/teams", `{"name":"The é & 100% team","users":["a@x.example"]}`).want(201)
	const target = "/v1/teams/The%20%C3%A9%20&%20100%25%20team"
	id := f.call("GET", target, "").want(200).at("team", "id")
	identifier := f.call("GET", "/v1/users/a@x.example", "").want(200).at("user", "teamsIdentifiers").([]any)[0].(string)
	f.call("PATCH", "/v1/blueprints/_team/entities/"+identifier, `{"properties":{"slack":"#one"}}`).want(200)
	f.call("PATCH", "/v1/blueprints/_user/entities/b@x.example", `{"team":["other","The é & 100% team"]}`).want(200)

	g := f.call("PUT", target, `{"name":"Core"}`).want(200)
	holds(t, g.at("team"), fmt.Sprintf(`{"id":%q,"name":"Core"}`, id))
	if got := g.emails(); got != "a b" {
		t.Errorf("got users %s", got)
	}
	if got, want := f.teamOf("b"), `["other","`+identifier+`"]`; got != want {
		t.Errorf("got teams %s, want %s", got, want)
	}
	f.call("GET", target, "").fault(404, "not_found")
	for _, name := range []string{"Core", identifier} {
		sameTeam(t, g, f.call("GET", "/v1/teams/"+name, "").want(200))
	}
	holds(t, f.call("GET", "/v1/blueprints/_team/entities/"+identifier, "").want(200).at("entity", "properties"), `{"slack":"#one"}`)
	if got := encoded(f.call("GET", "/v1/users/b@x.example", "").want(200).at("user", "teams")); got != `["Core"]` {
		t.Errorf("got teams %s", got)
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.people()
	f.call("POST", "/v1/teams", `{"name":"platform","users":["a@x.example"]}`).want(201)
	g := f.call("GET", "/v1/users/A@X.example", "").want(200)
	holds(t, g.at("user"), `{"id":"`+catalog.UserID("a@x.example")+`","email":"a@x.example","firstName":"A","status":"Active",`+
		`"teams":["platform"],"teamsIdentifiers":["platform"],"roles":[{"name":"Member"}]}`)
	users := f.call("GET", "/v1/users", "").want(200).list("users")
	if len(users) != 3 {
		t.Fatalf("got %d users, want 3", len(users))
	}
	if diff := cmp.Diff(g.at("user"), users[0]); diff != "" {
		t.Errorf("(-read +listed):\n%s", diff)
	}
	f.call("GET", "/v1/users/nobody@x.example", "").fault(404, "not_found")
}

func TestFieldsOfTeamsAndUsers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.people()
	f.call("POST", "/v1/teams", `{"name":"platform","users":["a@x.example"]}`).want(201)
	tests := map[string]struct{ target, key, want string }{
		"members of a team": {"/v1/teams/platform?fields=name&fields=description", "team", `{"description":null,"name":"platform"}`},
		"of its users":      {"/v1/teams/platform?fields=users.email", "team", `{"users":[{"email":"a@x.example"}]}`},
		"of all teams":      {"/v1/teams?fields=name&fields=users.firstName&fields=users.status", "teams", `[{"name":"platform","users":[{"firstName":"A","status":"Active"}]}]`},
		"of all users":      {"/v1/users?fields=email&fields=roles.name", "users", `[{"email":"a@x.example","roles":[{"name":"Member"}]},{"email":"b@x.example","roles":[{"name":"Member"}]},{"email":"c@x.example","roles":[{"name":"Member"}]}]`},
		"teams of users":    {"/v1/users?fields=teams.name", "users", `[{"teams":["platform"]},{"teams":[]},{"teams":[]}]`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := *f
			f.t = t
			g := f.call("GET", test.target, "").want(200)
			var want any
			if err := json.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, g.at(test.key)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is refused is refused with all faults, and nothing of it is stored.
func TestBadTeams(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.people()
	f.call("POST", "/v1/teams", `{"name":"platform","users":["a@x.example"]}`).want(201)
	f.call("POST", "/v1/teams", `{"name":"data"}`).want(201)
	f.call("PATCH", "/v1/teams/data", `{"name":"The data"}`).want(200)
	before := f.snapshot()
	tests := map[string]struct {
		method, target, body string
		status               int
		word                 string
		paths                []string
	}{
		"no object":              {"POST", "/v1/teams", `[]`, 422, "invalid_request", nil},
		"no JSON":                {"POST", "/v1/teams", `{`, 422, "invalid_request", nil},
		"no name":                {"POST", "/v1/teams", `{}`, 422, "invalid_request", []string{"name"}},
		"all faults":             {"POST", "/v1/teams", `{"name":"a/b","users":[1,"b"],"description":7,"x":1}`, 422, "invalid_request", []string{"description", "name", "users[0]", "users[1]", "x"}},
		"unknown users":          {"POST", "/v1/teams", `{"name":"new","users":["n@x.example","b@x.example","m@x.example"]}`, 422, "invalid_request", []string{"users[0]", "users[2]"}},
		"unknown user of a PUT":  {"PUT", "/v1/teams/platform", `{"name":"new","users":["b@x.example","n@x.example"]}`, 422, "invalid_request", []string{"users[1]"}},
		"a PUT without a name":   {"PUT", "/v1/teams/platform", `{}`, 422, "invalid_request", []string{"name"}},
		"faults of a PATCH":      {"PATCH", "/v1/teams/platform", `{"name":1,"users":{}}`, 422, "invalid_request", []string{"name", "users"}},
		"a taken name":           {"POST", "/v1/teams", `{"name":"platform","users":["b@x.example"]}`, 409, "identifier_taken", nil},
		"a taken name of spaces": {"POST", "/v1/teams", `{"name":"The data"}`, 409, "identifier_taken", nil},
		"another's identifier":   {"POST", "/v1/teams", `{"name":"data"}`, 409, "identifier_taken", nil},
		"renamed to a taken one": {"PUT", "/v1/teams/platform", `{"name":"The data","users":[]}`, 409, "identifier_taken", nil},
		"patched to a taken one": {"PATCH", "/v1/teams/platform", `{"name":"The data","users":[]}`, 409, "identifier_taken", nil},
		"names differ by case":   {"PATCH", "/v1/teams/Platform", `{}`, 404, "not_found", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			g := f.call(test.method, test.target, test.body)
			g.fault(test.status, test.word)
			var paths []string
			details, _ := g.body["details"].([]any)
			for _, d := range details {
				paths = append(paths, d.(map[string]any)["path"].(string))
			}
			slices.Sort(paths)
			if test.paths != nil {
				if diff := cmp.Diff(test.paths, paths); diff != "" {
					t.Errorf("paths (-want +got):\n%s", diff)
				}
			}
			f.unchanged(before)
		})
	}
}

// A team that may not be written leaves its users as they were.
func TestTeamThatMayNotBeWritten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.people()
	f.call("POST", "/v1/teams", `{"name":"platform","users":["a@x.example"]}`).want(201)
	f.call("PATCH", "/v1/blueprints/_team", `{"schema":{"properties":{"slack":{"type":"string"}},"required":["slack"]}}`).want(200)
	before := f.snapshot()
	f.call("POST", "/v1/teams", `{"name":"new","users":["b@x.example"]}`).fault(422, "invalid_request")
	f.call("PUT", "/v1/teams/platform", `{"name":"new","users":["b@x.example"]}`).fault(422, "invalid_request")
	f.unchanged(before)
}

// Of teams that are made at once under one name there is one, though no identifier is its name; a team
// may have a name that another one had before.
func TestTeamsOfOneName(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		for _, name := range []string{"core", "The core team"} {
			const tries = 4
			answers := make(chan *got, tries)
			for range tries {
				go func() { answers <- f.call("POST", "/v1/teams", `{"name":"`+name+`"}`) }()
			}
			statuses := map[int]int{}
			for range tries {
				g := <-answers
				statuses[g.status]++
				if g.status == 409 {
					if message := g.fault(409, "identifier_taken"); !strings.Contains(message, name) {
						f.t.Errorf("got message %q, want it to name the team", message)
					}
				}
			}
			if diff := cmp.Diff(map[int]int{201: 1, 409: tries - 1}, statuses); diff != "" {
				f.t.Errorf("statuses (-want +got):\n%s", diff)
			}
		}
		f.call("PUT", "/v1/teams/The%20core%20team", `{"name":"Others"}`).want(200)
		f.call("POST", "/v1/teams", `{"name":"The core team"}`).want(201)
		if got := len(f.call("GET", "/v1/teams", "").want(200).list("teams")); got != 3 {
			f.t.Errorf("got %d teams, want 3", got)
		}
	})
}

// Of teams that are renamed to one name at once no two get it.
func TestTeamsRenamedAtOnce(t *testing.T) {
	t.Parallel()
	onStores(t, func(f *fixture) {
		const teams = 5
		for i := range teams {
			f.call("POST", "/v1/teams", fmt.Sprintf(`{"name":"team%d"}`, i)).want(201)
		}
		for round := range 4 {
			name := fmt.Sprintf("The name of round %d", round)
			list := f.call("GET", "/v1/teams", "").want(200).list("teams")
			var all sync.WaitGroup
			statuses := make([]int, len(list))
			for i, team := range list {
				all.Go(func() {
					old := url.PathEscape(team.(map[string]any)["name"].(string))
					statuses[i] = f.call("PUT", "/v1/teams/"+old, `{"name":"`+name+`"}`).status
				})
			}
			all.Wait()
			won, named := 0, 0
			for _, status := range statuses {
				if status == 200 {
					won++
				} else if status != 409 {
					f.t.Errorf("got status %d, want 200 or 409", status)
				}
			}
			for _, team := range f.call("GET", "/v1/teams", "").want(200).list("teams") {
				if team.(map[string]any)["name"] == name {
					named++
				}
			}
			if won > 1 || named != won {
				f.t.Errorf("%d renames were answered with 200, and %d teams are called %q; want one at most, and as many", won, named, name)
			}
		}
	})
}

// A user's status and role are what they are in any case, and come back as they were sent. A team that is
// not there can be named, as one can that is deleted later.
func TestUsersAndTeamsAsSent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const users = "/v1/blueprints/_user/entities"
	f.entity("_user", `{"identifier":"a@x.example","team":["nobody"],"properties":{"status":"DISABLED","port_role":"admin"}}`)
	holds(t, f.call("GET", users+"/a@x.example", "").want(200).at("entity"), `{"team":["nobody"]}`)
	holds(t, f.call("GET", users+"/a@x.example", "").want(200).at("entity", "properties"), `{"status":"DISABLED","port_role":"admin"}`)
	holds(t, f.call("GET", "/v1/users/a@x.example", "").want(200).at("user"), `{"status":"Disabled","roles":[{"name":"Admin"}],"teams":[],"picture":null}`)
	f.call("PATCH", users+"/a@x.example", `{"properties":{"status":"staged"}}`).want(200)
	holds(t, f.call("GET", "/v1/users/a@x.example", "").want(200).at("user"), `{"status":"Staged"}`)
	f.call("PATCH", users+"/a@x.example", `{"properties":{"status":"gone"}}`).fault(422, "invalid_request")
	f.call("PATCH", users+"/a@x.example", `{"properties":{"port_role":"King"}}`).fault(422, "invalid_request")
	// The same words are nothing special elsewhere.
	f.call("POST", "/v1/blueprints", `{"identifier":"x","title":"X","schema":{"properties":{"status":{"type":"string","enum":["Active"]}}}}`).want(201)
	f.call("POST", "/v1/blueprints/x/entities", `{"properties":{"status":"active"}}`).fault(422, "invalid_request")
}

// Users put into two teams at once are in both afterwards.
func TestTeamsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.people()
	s := catalog.NewService(f.catalog, nil)
	const teams = 4
	errs := make(chan error, teams)
	for i := range teams {
		go func() {
			_, _, err := s.CreateTeam(context.Background(), fmt.Appendf(nil, `{"name":"team%d","users":["a@x.example"]}`, i), catalog.Author{ID: "x"})
			errs <- err
		}()
	}
	for range teams {
		if err := <-errs; err != nil {
			t.Errorf("CreateTeam: %v", err)
		}
	}
	if got := f.call("GET", "/v1/users/a@x.example", "").want(200).at("user", "teams").([]any); len(got) != teams {
		t.Errorf("got teams %v, want %d", got, teams)
	}
}

// Who may not delete a team does not take its users out of it either.
func TestDeleteTeamIsNotPermitted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.people()
	f.call("POST", "/v1/teams", `{"name":"platform","users":["a@x.example"]}`).want(201)
	f.call("PATCH", "/v1/blueprints/_team/permissions", `{"entities":{"unregister":{"roles":[]}}}`).want(200)
	admin := f.as("admin@example.com", `{"port_role":"Admin"}`)
	admin.call("DELETE", "/v1/teams/platform", "").fault(403, "forbidden")
	if got := f.teamOf("a"); got != `["platform"]` {
		t.Errorf("got teams %s", got)
	}
}
