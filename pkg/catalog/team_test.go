package catalog_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

func user(t testing.TB, email, content string) *catalog.User {
	t.Helper()
	u, err := catalog.UserOf(entity(email, content))
	if err != nil {
		t.Fatalf("UserOf: %v", err)
	}
	return u
}

func team(t testing.TB, identifier, content string) *catalog.Team {
	t.Helper()
	got, err := catalog.TeamOf(entity(identifier, content))
	if err != nil {
		t.Fatalf("TeamOf: %v", err)
	}
	return got
}

func TestUserID(t *testing.T) {
	t.Parallel()
	// The SHA-256 of "ada@example.com" to the base 62, computed elsewhere.
	const want = "usr_H9AdTvEGmHjYJR0f"
	for _, email := range []string{"ada@example.com", "Ada@Example.COM"} {
		if got := catalog.UserID(email); got != want {
			t.Errorf("UserID(%s) is %s, want %s", email, got, want)
		}
	}
}

func TestUserView(t *testing.T) {
	t.Parallel()
	teams := []*catalog.Team{team(t, "t1", `{"title":"Platform"}`), team(t, "t2", `{"title":"Data"}`), team(t, "Data", `{}`)}
	tests := []struct{ name, content, want string }{
		{"nothing", `{}`, `"firstName":"","lastName":"","picture":null,"type":null,"status":"Active","providers":[],TIMES,"teams":[],"teamsIdentifiers":[],"roles":[{"name":"Member"}]`},
		{"everything", `{"team":["t1","Data","nobody"],"properties":{"firstname":"Ada","lastname":"L","status":"DISABLED","port_role":"admin"}}`,
			`"firstName":"Ada","lastName":"L","picture":null,"type":null,"status":"Disabled","providers":[],TIMES,"teams":["Platform","Data","Data"],"teamsIdentifiers":["t1","t2","Data"],"roles":[{"name":"Admin"}]`},
		{"wrong types", `{"properties":{"firstname":1,"status":[],"port_role":"King"}}`,
			`"firstName":"","lastName":"","picture":null,"type":null,"status":"Active","providers":[],TIMES,"teams":[],"teamsIdentifiers":[],"roles":[{"name":"Member"}]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := user(t, "ada@example.com", tt.content)
			want := `{"id":"` + catalog.UserID(u.Email) + `","email":"ada@example.com",` + withTimes(tt.want) + `}`
			if diff := cmp.Diff(want, string(jqtemplate.Encode(u.View(teams)))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	u := user(t, "ada@example.com", `{"properties":{"port_role":"Moderator","moderated_blueprints":["a","b"]}}`)
	if diff := cmp.Diff([]string{"a", "b"}, u.ModeratedBlueprints); diff != "" || u.Role != catalog.RoleModerator {
		t.Errorf("role %s (-want +got):\n%s", u.Role, diff)
	}
}

func withTimes(text string) string {
	const times = `"createdAt":"2026-01-02T03:04:05.006Z","updatedAt":"2026-01-02T03:05:05.000Z"`
	return strings.ReplaceAll(text, "TIMES", times)
}

func TestTeamView(t *testing.T) {
	t.Parallel()
	users := []*catalog.User{
		user(t, "a@x.example", `{"team":["t1"],"properties":{"firstname":"A"}}`),
		user(t, "b@x.example", `{"team":["Platform"]}`),
		user(t, "c@x.example", `{"team":["platform","T1"]}`),
	}
	got := string(jqtemplate.Encode(team(t, "t1", `{"title":"Platform","properties":{"description":""}}`).View(users)))
	want := withTimes(`{"id":"ent_1","name":"Platform","description":"","provider":"port",TIMES,"users":[` +
		`{"email":"a@x.example","firstName":"A","lastName":"","picture":null,"status":"Active"},{"email":"b@x.example","firstName":"","lastName":"","picture":null,"status":"Active"}]}`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got = string(jqtemplate.Encode(team(t, "t2", `{}`).View(nil)))
	if diff := cmp.Diff(withTimes(`{"id":"ent_1","name":"t2","description":null,"provider":"port",TIMES,"users":[]}`), got); diff != "" {
		t.Errorf("as little as possible (-want +got):\n%s", diff)
	}
}

func TestParseTeam(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		write      catalog.Write
		want       string
		faults     []string
	}{
		{"a new team", `{"name":"platform","users":["a@x.example"],"description":"d"}`, catalog.Creating, `{"title":"platform","properties":{"description":"d"},"identifier":"platform"}`, nil},
		{"a name that is no identifier", `{"name":"The platform"}`, catalog.Creating, `{"title":"The platform","identifier":"team_5776b0d8f73f3ea5dba29ccb32"}`, nil},
		{"replaced without a description", `{"name":"x"}`, catalog.Replacing, `{"title":"x","properties":{"description":null}}`, nil},
		{"a patch of nothing", `{}`, catalog.Merging, `{}`, nil},
		{"a patch that clears", `{"description":null,"users":[]}`, catalog.Merging, `{"properties":{"description":null}}`, nil},
		{"what was read", `{"id":"ent_1","name":"xy","provider":"port","createdAt":"t","updatedAt":"t","description":null,"users":null}`, catalog.Replacing, `{"title":"xy","properties":{"description":null}}`, nil},
		{"all faults", `{"name":" a","users":["b",1],"description":7,"x":1}`, catalog.Creating, "", []string{
			"description: must be a string, got a number", "name: must have at least 2 characters, none of ; # / ? and no white space at its ends",
			"users[0]: must be an e-mail address", "users[1]: must be a string, got a number", "x: unknown field"}},
		{"no name", `{}`, catalog.Replacing, "", []string{"name: is required"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := catalog.ParseTeam(json.RawMessage(tt.text), tt.write)
			if diff := cmp.Diff(tt.faults, lines(t, err, fault.Invalid)); diff != "" {
				t.Fatalf("faults (-want +got):\n%s", diff)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(tt.want, string(got.Entity)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			own, err := catalog.SystemBlueprint(catalog.TeamBlueprint)
			if err != nil {
				t.Fatalf("SystemBlueprint: %v", err)
			}
			write := tt.write
			if write == catalog.Replacing {
				write = catalog.Merging
			}
			if _, err := catalog.Merge(definition(t, string(own)), entity("x", `{}`), body(t, string(got.Entity), write)); err != nil {
				t.Errorf("the entity cannot be written: %v", err)
			}
		})
	}
}

func TestWithTeam(t *testing.T) {
	t.Parallel()
	platform := team(t, "t1", `{"title":"Platform"}`)
	tests := []struct {
		name, content string
		member        bool
		want          string
	}{
		{"in", `{"team":["a"]}`, true, `{"team":["a","t1"]}`},
		{"in already", `{"team":["Platform"]}`, true, ``},
		{"out", `{"team":["Platform","a","t1"]}`, false, `{"team":["a"]}`},
		{"out already", `{}`, false, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, string(user(t, "a@x.example", tt.content).WithTeam(platform, tt.member))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
