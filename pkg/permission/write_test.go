package permission_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/permission"
)

// as makes a context whose changes are judged for a caller.
func (w *world) as(ctx context.Context, caller identity.Caller) context.Context {
	return catalog.WithPermit(ctx, func(ctx context.Context, c *catalog.Change) error { return w.MayWrite(ctx, caller, c) })
}

// Each row has who of the users of the world may make a change of an entity.
func TestMayWrite(t *testing.T) {
	t.Parallel()
	const upsert = "POST upsert "
	tests := []struct {
		name string
		// permissions are those of the blueprint service that are written, "" for none.
		permissions string
		// change is a method, an entity and, but for DELETE, a body.
		change, want string
	}{
		{"register by default", "", `POST {"identifier":"new"}`, "admin mod"},
		{"unregister by default", "", `DELETE till`, "admin mod"},
		{"update by default", "", `PATCH till {"properties":{"tier":"x"}}`, "admin mod"},
		{"members may register", `{"register":{"roles":["Member"]}}`, `POST {"identifier":"new"}`, "ada bob mod"},
		{"which is not to update", `{"register":{"roles":["Member"]}}`, upsert + `{"identifier":"till"}`, "admin mod"},
		{"nor to unregister", `{"register":{"roles":["Member"]}}`, `DELETE till`, "admin mod"},
		{"nobody", `{"register":{"roles":[]}}`, `POST {"identifier":"new"}`, ""},
		{"a user, case ignored", `{"unregister":{"roles":[],"users":["Bob@Example.com"]}}`, `DELETE till`, "bob"},
		{"a team by name", `{"update":{"roles":[],"teams":["Operations"]}}`, `PUT till {"title":"T"}`, "ada"},
		{"the moderators by their role", `{"update":{"roles":["service-moderator"]}}`, `PUT till {"title":"T"}`, "mod"},
		{"the entity's team", `{"update":{"roles":[],"ownedByTeam":true}}`, `PATCH cart {"title":"T"}`, "ada"},
		{"an entity of no team", `{"update":{"roles":[],"ownedByTeam":true}}`, `PATCH till {"title":"T"}`, ""},
		{"the team before the change", `{"update":{"roles":[],"ownedByTeam":true}}`, `PATCH till {"team":["ops"]}`, ""},
		{"the new entity's team", `{"register":{"roles":[],"ownedByTeam":true}}`, `POST {"identifier":"new","team":["dev"]}`, "bob mod"},
		{"the team of what is deleted", `{"unregister":{"roles":[],"ownedByTeam":true}}`, `DELETE cart`, "ada"},
		{"a block that was removed", `{"register":null}`, `POST {"identifier":"new"}`, "admin mod"},

		{"a property", `{"updateProperties":{"tier":{"users":["ada@example.com"]}}}`, `PATCH till {"properties":{"tier":"x"}}`, "admin ada mod"},
		{"another property", `{"updateProperties":{"tier":{"users":["ada@example.com"]}}}`, `PATCH till {"properties":{"owner":"x"}}`, "admin mod"},
		{"two properties", `{"updateProperties":{"tier":{"users":["ada@example.com"]}}}`, `PATCH till {"properties":{"tier":"x","owner":"x"}}`, "admin mod"},
		{"each by its own block", `{"updateProperties":{"tier":{"users":["ada@example.com"]},"owner":{"teams":["ops"]}}}`, `PATCH till {"properties":{"tier":"x","owner":"x"}}`, "admin ada mod"},
		{"a property that stays", `{"updateProperties":{"tier":{"users":["ada@example.com"]}}}`, `PATCH cart {"properties":{"tier":"x","owner":"BOB@example.com"}}`, "admin ada mod"},
		{"nothing changes, for who may change something", `{"updateProperties":{"tier":{"users":["ada@example.com"]}}}`, `PATCH till {"properties":{"tier":"silver"}}`, "admin ada mod"},
		{"PUT clears a property that is not theirs", `{"updateProperties":{"tier":{"users":["ada@example.com"]}}}`, `PUT cart {"title":"Cart","team":["ops"],"properties":{"tier":"x"}}`, "admin mod"},
		{"PUT keeps it", `{"updateProperties":{"tier":{"users":["ada@example.com"]}}}`, `PUT cart {"title":"Cart","team":["ops"],"properties":{"tier":"x","owner":"BOB@example.com"}}`, "admin ada mod"},
		{"title, icon and team", `{"updateProperties":{"$title":{"users":["ada@example.com"]},"$icon":{"users":["ada@example.com"]},"$team":{"users":["ada@example.com"]}}}`,
			`PATCH till {"title":"x","icon":"x","team":["dev"]}`, "admin ada mod"},
		{"the title of another block", `{"updateProperties":{"tier":{"users":["ada@example.com"]}}}`, `PATCH till {"title":"x"}`, "admin mod"},
		{"the identifier", `{"updateProperties":{"$identifier":{"users":["ada@example.com"]},"$title":{"users":["ada@example.com"]},"tier":{"users":["ada@example.com"]}}}`,
			`PUT till {"identifier":"drawer","properties":{"tier":"silver"}}`, "admin ada mod"},
		{"a relation", `{"updateRelations":{"part":{"roles":["Member"]}}}`, `PATCH till {"relations":{"part":"cart"}}`, "admin ada bob mod"},
		{"a relation is no property", `{"updateProperties":{"part":{"roles":["Member"]}}}`, `PATCH till {"relations":{"part":"cart"}}`, "admin mod"},
		{"an upsert that merges", `{"updateProperties":{"tier":{"users":["ada@example.com"]}}}`, upsert + `merge {"identifier":"cart","properties":{"tier":"x"}}`, "admin ada mod"},

		{"a policy of queries", `{"update":{"policy":{"queries":{"q":{"combinator":"and","rules":[{"property":"$identifier","operator":"=","value":"{{ .entity.identifier }}"}]}},` +
			`"conditions":[".results.q.entities[0].properties.owner | ascii_downcase == $__loc__.x","(.entity.properties.owner | ascii_downcase) == (.user.email | ascii_downcase)"]}}}`, `PATCH cart {"title":"T"}`, "bob"},
		{"a policy that sees the blueprint", `{"register":{"policy":{"conditions":[".blueprint == {\"identifier\":\"service\",\"title\":\"Service\"} and .action == null and .entity.properties.tier == \"gold\" and .user.role == \"Member\""]}}}`,
			`POST {"identifier":"new","properties":{"tier":"gold"}}`, "ada bob"},
		{"a policy that is a search", `{"unregister":{"policy":{"combinator":"and","rules":[{"property":"tier","operator":"=","value":"silver"}]}}}`, `DELETE till`, "admin ada bob mod"},
		{"one that the entity is not among", `{"unregister":{"policy":{"combinator":"and","rules":[{"property":"tier","operator":"=","value":"gold"}]}}}`, `DELETE till`, ""},
		{"one about the caller's teams", `{"update":{"policy":{"combinator":"and","rules":[{"property":"$team","operator":"containsAny","value":{"context":"userTeams","property":"$identifier"}}]}}}`,
			`PATCH cart {"title":"T"}`, "ada"},
		{"one with a template", `{"update":{"policy":{"combinator":"and","rules":[{"property":"owner","operator":"=","value":"{{ .user.email | sub(\"bob\";\"BOB\") }}"}]}}}`,
			`PATCH cart {"title":"T"}`, "bob"},
		{"one that cannot be rendered", `{"update":{"policy":{"combinator":"and","rules":[{"property":"owner","operator":"!=","value":"{{ .user.email | keys }}"}]}}}`, `PATCH cart {"title":"T"}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var may []string
			var w *world
			for _, name := range []string{"admin", "ada", "bob", "mod", "machine"} {
				if w == nil {
					w = newWorld(t)
					if test.permissions != "" {
						if _, err := w.service.PatchPermissions(t.Context(), "service", json.RawMessage(`{"entities":`+test.permissions+`}`), catalog.Author{ID: "client_1", At: time.Now()}); err != nil {
							t.Fatal(err)
						}
					}
				}
				caller := machine
				if name != "machine" {
					caller = w.user(t, name)
				}
				before := w.everything(t)
				if allowed(t, w.change(w.as(t.Context(), caller), test.change)) {
					may, w = append(may, name), nil
				} else if diff := cmp.Diff(before, w.everything(t)); diff != "" {
					t.Errorf("the change that %s may not make left (-before +after):\n%s", name, diff)
				}
			}
			if diff := cmp.Diff(strings.TrimSpace(test.want+" machine"), strings.Join(may, " ")); diff != "" {
				t.Errorf("who may (-want +got):\n%s", diff)
			}
		})
	}
}

// change makes a change of a service.
func (w *world) change(ctx context.Context, text string) error {
	write := catalog.EntityWrite{By: author}
	method, rest, _ := strings.Cut(text, " ")
	identifier, body, _ := strings.Cut(rest, " ")
	var err error
	switch method {
	case "POST":
		rest, write.Upsert = strings.CutPrefix(rest, "upsert ")
		rest, write.Merge = strings.CutPrefix(rest, "merge ")
		_, err = w.service.CreateEntity(ctx, "service", json.RawMessage(rest), write)
	case "PUT":
		_, err = w.service.ReplaceEntity(ctx, "service", identifier, json.RawMessage(body), write)
	case "PATCH":
		_, err = w.service.PatchEntity(ctx, "service", identifier, json.RawMessage(body), write)
	case "DELETE":
		err = w.service.DeleteEntity(ctx, "service", identifier, false, author)
	}
	return err
}

// everything is all entities, as they are answered.
func (w *world) everything(t *testing.T) []string {
	t.Helper()
	found, err := w.service.Find(t.Context(), catalog.Find{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var views []string
	for _, v := range found.Views {
		views = append(views, string(v))
	}
	return views
}

func TestRefusalOfAWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for change, want := range map[string]string{
		`POST {"identifier":"new"}`: "ada@example.com may not create entities of the blueprint service",
		`DELETE till`:               "ada@example.com may not delete entities of the blueprint service",
		`PATCH till {"title":"x","properties":{"owner":"x"},"relations":{"part":"cart"}}`: "ada@example.com may not update entities of the blueprint service: $title, owner, part",
	} {
		err := w.change(w.as(t.Context(), w.user(t, "ada")), change)
		if fault.KindOf(err) != fault.Forbidden || err.Error() != want {
			t.Errorf("%s: got %v, want %s", change, err, want)
		}
	}
}

// What comes with a change needs a permission too, where it makes or deletes other entities, and is not
// begun without.
func TestMayWriteWhatComesWithAChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for blueprint, permissions := range map[string]string{
		"deployment": `{"entities":{"register":{"roles":["Member"]},"unregister":{"roles":[]}}}`,
		"service":    `{"entities":{"unregister":{"roles":["Member"]}}}`,
	} {
		if _, err := w.service.PatchPermissions(t.Context(), blueprint, json.RawMessage(permissions), catalog.Author{ID: "client_1", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	ctx := w.as(t.Context(), w.user(t, "ada"))
	before := w.everything(t)
	_, err := w.service.CreateEntity(ctx, "deployment", json.RawMessage(`{"identifier":"d3","relations":{"service":"fresh"}}`), catalog.EntityWrite{CreateMissing: true, By: author})
	if fault.KindOf(err) != fault.Forbidden || !strings.Contains(err.Error(), "service") {
		t.Errorf("a related entity that is to be made: got %v, want forbidden", err)
	}
	if err := w.service.DeleteEntity(ctx, "service", "cart", true, author); fault.KindOf(err) != fault.Forbidden || !strings.Contains(err.Error(), "deployment") {
		t.Errorf("dependents that are to be deleted: got %v, want forbidden", err)
	}
	_, err = w.service.CreateEntity(ctx, "deployment", json.RawMessage(`{"identifier":"d3","relations":{"service":"cart"}}`), catalog.EntityWrite{ValidationOnly: true, By: author})
	if err != nil {
		t.Errorf("a validation: %v", err)
	}
	items, err := w.service.WriteEntities(ctx, "service", []json.RawMessage{json.RawMessage(`{"identifier":"a"}`)}, catalog.EntityWrite{By: author})
	if err != nil || len(items) != 1 || fault.KindOf(items[0].Err) != fault.Forbidden {
		t.Errorf("bulk: got %+v, %v, want one that is forbidden", items, err)
	}
	if diff := cmp.Diff(before, w.everything(t)); diff != "" {
		t.Errorf("what was refused left (-before +after):\n%s", diff)
	}
	// An emptied relation is no change of its own.
	if err := w.service.DeleteEntity(ctx, "service", "cart", false, author); err != nil {
		t.Errorf("a deletion that empties relations: %v", err)
	}
	_, err = w.service.CreateEntity(ctx, "deployment", json.RawMessage(`{"identifier":"d3","relations":{"service":"till"}}`), catalog.EntityWrite{By: author})
	if err != nil {
		t.Errorf("what ada may: %v", err)
	}
}

// Users and teams are what permissions stand on: nobody but Admins changes them.
func TestOnlyAdminsWriteUsersAndTeams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := `{"entities":{"update":{"roles":["Member"]},"register":{"roles":["Member","Admin"]}}}`
	for _, blueprint := range []string{"_user", "_team"} {
		if _, err := w.service.PatchPermissions(t.Context(), blueprint, json.RawMessage(all), catalog.Author{ID: "client_1", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	promote := func(caller identity.Caller) error {
		_, err := w.service.PatchEntity(w.as(t.Context(), caller), "_user", "ada@example.com", json.RawMessage(`{"properties":{"port_role":"Admin"}}`), catalog.EntityWrite{By: author})
		return err
	}
	if err := promote(w.user(t, "ada")); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("ada makes herself an Admin: got %v, want forbidden", err)
	}
	if err := promote(w.user(t, "admin")); err != nil {
		t.Errorf("an Admin: %v", err)
	}
	if err := promote(machine); err != nil {
		t.Errorf("the machine: %v", err)
	}
	_, _, err := w.service.CreateTeam(w.as(t.Context(), w.user(t, "bob")), json.RawMessage(`{"name":"mine"}`), author)
	if fault.KindOf(err) != fault.Forbidden {
		t.Errorf("a team by its own route: got %v, want forbidden", err)
	}
}

func TestMayWriteWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	permissions := `{"entities":{"update":{"policy":{"queries":{"q":{"combinator":"and","rules":[]}},"conditions":[".results.q.entities == []"]}}}}`
	if _, err := w.service.PatchPermissions(t.Context(), "service", json.RawMessage(permissions), catalog.Author{ID: "client_1", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	w.Judge = permission.New(permission.Config{Catalog: &broken{w.reader, errBusy}})
	if err := w.change(w.as(t.Context(), w.user(t, "ada")), `PATCH till {"title":"x"}`); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
}
