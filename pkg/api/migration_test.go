package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/audit"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// fleet creates n services of the system shop.
func (f *fixture) fleet(n int) {
	f.t.Helper()
	f.blueprints()
	f.entity("system", `{"identifier":"shop"}`)
	for from := 0; from < n; from += 20 {
		var list []string
		for i := from; i < min(from+20, n); i++ {
			list = append(list, fmt.Sprintf(`{"identifier":"s%d","relations":{"system":"shop"}}`, i))
		}
		f.call("POST", serviceEntities+"/bulk", `{"entities":[`+strings.Join(list, ",")+`]}`).want(200)
	}
}

// slices carries out the slices that were asked for, until none is, and returns how many there were.
func (f *fixture) slices() (n int) {
	f.t.Helper()
	for {
		f.sent.mu.Lock()
		messages := f.sent.messages
		f.sent.messages = nil
		f.sent.mu.Unlock()
		if len(messages) == 0 {
			return n
		}
		for _, m := range messages {
			if m.Kind != queue.KindDelete {
				f.t.Fatalf("a message of the kind %s", m.Kind)
			}
			if done, err := f.entities.Continue(f.t.Context(), m.PK, m.Generation); !done || err != nil {
				f.t.Fatalf("slice %d: done %v, error %v", m.Generation, done, err)
			}
			n++
		}
	}
}

func (f *fixture) count(blueprint string) float64 {
	f.t.Helper()
	return f.call("GET", "/v1/blueprints/"+blueprint+"/entities-count", "").want(200).at("count").(float64)
}

// Up to 200 entities are gone before the answer, the others and the blueprint in slices.
func TestAllEntities(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fleet(405)
	f.call("DELETE", "/v1/blueprints/bound", "").want(200)
	id := f.call("DELETE", "/v1/blueprints/service/all-entities?delete_blueprint=true", "").want(200).at("migrationId").(string)
	migration := func() any { t.Helper(); return f.call("GET", "/v1/migrations/"+id, "").want(200).at("migration") }
	holds(t, migration(), `{"id":"`+id+`","status":"RUNNING","blueprint":"service","actor":"client_1","deletedEntities":200}`)
	if n := f.count("service"); n != 205 {
		t.Errorf("%v entities are left, want 205", n)
	}
	f.call("POST", serviceEntities, `{}`).fault(409, "blueprint_deleting")
	f.call("GET", "/v1/blueprints/service", "").want(200)
	if n := f.slices(); n != 1 {
		t.Errorf("%d slices, want one", n)
	}
	holds(t, migration(), `{"status":"COMPLETED","deletedEntities":405,"updatedEntities":0,"failedEntities":0}`)
	f.call("GET", "/v1/blueprints/service", "").fault(404, "not_found")
	// The same identifier is free, and has none of the old entities.
	f.call("POST", "/v1/blueprints", services).want(201)
	if n := f.count("service"); n != 0 {
		t.Errorf("%v entities of a new blueprint", n)
	}
}

// Each entity that slices delete or change has one entry, which names who asked for it and through which run;
// marks on a blueprint and the migration itself have none. Whoever takes up a slice again adds none.
func TestSlicesHaveTheirEntries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fleet(230)
	f.call("DELETE", "/v1/blueprints/bound", "").want(200)
	id := f.start()
	boss := audit.Author{
		ID: "usr_boss", Email: "boss@x.example", Origin: run.SourceUI, RunID: id, Cause: audit.Cause{RunID: id},
		At: time.Now().UTC().Truncate(time.Millisecond),
	}
	entries := func() map[string]int {
		told := map[string]int{}
		for next := ""; ; {
			page, err := f.audit.List(t.Context(), audit.Filter{Limit: 1000, Next: next})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Entries {
				by := fmt.Sprintf(" by %s, %s, %s, %s", e.By.ID, e.By.Email, e.By.Origin, e.By.RunID)
				if by == fmt.Sprintf(" by %s, %s, %s, %s", boss.ID, boss.Email, boss.Origin, id) {
					by = " by boss"
				}
				told[e.Action+" "+e.Resource+by]++
			}
			if next = page.Next; next == "" {
				return told
			}
		}
	}
	// sent takes what was sent so far.
	sent := func() []queue.Message {
		f.sent.mu.Lock()
		defer f.sent.mu.Unlock()
		messages := f.sent.messages
		f.sent.messages = nil
		return messages
	}
	// twice carries out each slice two times.
	twice := func() {
		t.Helper()
		n := 0
		for messages := sent(); len(messages) > 0; messages = sent() {
			for _, m := range slices.Concat(messages, messages) {
				if _, err := f.entities.Continue(t.Context(), m.PK, m.Generation); err != nil {
					t.Fatal(err)
				}
				n++
			}
		}
		if n == 0 {
			t.Error("no slice was asked for")
		}
	}
	sent()
	want := entries()
	if err := f.entities.DeleteEntity(t.Context(), "system", "shop", false, boss); err != nil {
		t.Fatal(err)
	}
	twice()
	want["DELETE entity by boss"], want["UPDATE entity by boss"] = 1, 230
	if diff := cmp.Diff(want, entries()); diff != "" {
		t.Errorf("entries of a deletion that empties relations (-want +got):\n%s", diff)
	}
	if _, err := f.entities.DeleteAllEntities(t.Context(), "service", true, boss); err != nil {
		t.Fatal(err)
	}
	twice()
	want["DELETE entity by boss"], want["DELETE blueprint by boss"] = 231, 1
	if diff := cmp.Diff(want, entries()); diff != "" {
		t.Errorf("entries of a deletion of all (-want +got):\n%s", diff)
	}
}

// With few entities everything is done before the answer, and nothing is sent.
func TestAllOfFewEntities(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fleet(3)
	g := f.call("DELETE", serviceAll, "").want(200)
	holds(t, f.call("GET", "/v1/migrations/"+g.at("migrationId").(string), "").at("migration"), `{"status":"COMPLETED","deletedEntities":3}`)
	if f.sent.count() != 0 {
		t.Error("a message was sent")
	}
	f.entity("service", `{"identifier":"s0"}`)
	f.entity("bound", `{"identifier":"b","relations":{"service":"s0"}}`)
	before := f.snapshot()
	f.call("DELETE", serviceAll, "").fault(409, "has_dependents")
	f.unchanged(before)
}

// A Moderator who empties a blueprint sees how far that has come; a Member is told why they may not.
func TestModeratorsMigration(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fleet(1)
	f.call("DELETE", "/v1/blueprints/bound", "").want(200)
	member := f.as("member@example.com", `{}`)
	if message := member.call("DELETE", serviceAll, "").fault(403, "forbidden"); strings.Contains(message, "action") {
		t.Errorf("got %q of a route about entities", message)
	}
	mo := f.as("mo@example.com", moderator)
	id := mo.call("DELETE", serviceAll, "").want(200).at("migrationId").(string)
	holds(t, mo.call("GET", "/v1/migrations/"+id, "").want(200).at("migration"), `{"status":"COMPLETED","deletedEntities":1}`)
}

// Who may not delete each entity of a blueprint may not delete all of them either.
func TestPermissionToDeleteAll(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fleet(1)
	f.call("DELETE", "/v1/blueprints/bound", "").want(200)
	admin, mo := f.as("admin@example.com", `{"port_role":"Admin"}`), f.as("mo@example.com", moderator)
	const permissions = "/v1/blueprints/service/permissions"
	for _, unregister := range []string{
		`{"roles":[],"users":["ada@example.com"]}`, `{"roles":[],"users":[],"ownedByTeam":true}`,
		`{"roles":["Admin"],"policy":{"conditions":[".entity.identifier != \"s0\""]}}`,
	} {
		f.call("PATCH", permissions, `{"entities":{"unregister":`+unregister+`}}`).want(200)
		before := f.snapshot()
		for _, as := range []*fixture{admin, mo} {
			as.call("DELETE", serviceEntities+"/s0", "").fault(403, "forbidden")
			as.call("DELETE", serviceAll, "").fault(403, "forbidden")
		}
		f.unchanged(before)
	}
	f.call("PATCH", permissions, `{"entities":{"unregister":{"policy":null,"users":["mo@example.com"],"roles":[]}}}`).want(200)
	admin.call("DELETE", serviceAll, "").fault(403, "forbidden")
	mo.call("DELETE", serviceAll, "").want(200)
	f.call("PATCH", permissions, `{"entities":{"unregister":null}}`).want(200)
	admin.call("DELETE", serviceAll, "").want(200)
	f.call("PATCH", permissions, `{"entities":{"unregister":{"roles":[]}}}`).want(200)
	f.call("DELETE", serviceAll, "").want(200)
}

const serviceAll = "/v1/blueprints/service/all-entities"

// What more than 200 entities relate to is deleted and renamed; they follow in slices.
func TestManyDependents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fleet(450)
	const shop = "/v1/blueprints/system/entities/"
	system := func(want string) {
		t.Helper()
		g := f.call("GET", serviceEntities+"?limit=1000&include=relations.system", "").want(200)
		for _, e := range g.list("entities") {
			holds(t, e.(map[string]any)["relations"], `{"system":`+want+`}`)
		}
		if len(g.list("entities")) != 450 {
			t.Errorf("%d entities", len(g.list("entities")))
		}
	}
	f.call("PUT", shop+"shop", `{"identifier":"store"}`).want(200)
	system(`"store"`)
	f.call("DELETE", shop+"store", "").fault(409, "migration_running")
	if n := f.slices(); n != 1 {
		t.Errorf("%d slices, want one", n)
	}
	system(`"store"`)
	f.call("DELETE", shop+"store", "").want(200)
	f.call("GET", shop+"store", "").fault(404, "not_found")
	system(`null`)
	f.slices()
	system(`null`)
	f.entity("system", `{"identifier":"store"}`)
	for i := range 450 {
		f.call("PATCH", fmt.Sprintf("%s/s%d", serviceEntities, i), `{"relations":{"system":"store"}}`).want(200)
	}
	f.call("DELETE", shop+"store?delete_dependents=true", "").want(200)
	f.call("GET", shop+"store", "").fault(404, "not_found")
	if n := f.count("service"); n != 250 {
		t.Errorf("%v dependents are left, want 250", n)
	}
	f.slices()
	if n := f.count("service"); n != 0 {
		t.Errorf("%v dependents are left", n)
	}
}

// A Moderator may see how far the deletion is that a Moderator may ask for.
func TestWhoSeesMigrations(t *testing.T) {
	t.Parallel()
	f := newUserFixture(t)
	f.blueprints()
	f.as("other@example.com", `{"port_role":"Moderator","moderated_blueprints":["system"]}`)
	id := f.by("mod", "DELETE", serviceAll, "").want(200).at("migrationId").(string)
	for name, status := range map[string]int{"mod": 200, "admin": 200, "machine": 200, "other": 403, "ada": 403} {
		if g := f.by(name, "GET", "/v1/migrations/"+id, ""); g.status != status {
			t.Errorf("%s got %d %s, want %d", name, g.status, g.text, status)
		}
	}
}
