package permission_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/permission"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/sqlitestore"
)

var start = time.Date(2026, 3, 1, 10, 20, 30, 456_000_000, time.UTC)

// world is a judge over a catalog:
//
//	user                 role       teams
//	admin@example.com    Admin
//	ada@example.com      Member     ops (called Operations)
//	bob@example.com      Member     dev
//	mod@example.com      Moderator  dev; moderates service
//	Eve@Example.com      Member     ops, disabled
//
// The service cart is of the team ops, the service till of none; the deployments d1 and d2 run on cart
// and till and are owned as their services are.
type world struct {
	*permission.Judge
	service *catalog.Service
	reader  *catalog.Reader
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "longshore.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	store, err := sqlitestore.NewCatalog(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return start }
	w := &world{service: catalog.NewService(store, now), reader: catalog.NewReader(store, now)}
	w.Judge = permission.New(permission.Config{Catalog: w.reader, Now: now})
	w.blueprint(t, `{"identifier":"service","title":"Service","schema":{"properties":{"tier":{"type":"string"},"owner":{"type":"string"}}},`+
		`"relations":{"part":{"target":"service"}}}`)
	w.blueprint(t, `{"identifier":"deployment","title":"Deployment","schema":{"properties":{}},"relations":{"service":{"target":"service"}},`+
		`"ownership":{"type":"Inherited","path":"service"}}`)
	w.entity(t, "_team", `{"identifier":"ops","title":"Operations"}`)
	w.entity(t, "_team", `{"identifier":"dev","title":"dev"}`)
	for _, u := range []string{
		`{"identifier":"admin@example.com","properties":{"port_role":"Admin"}}`,
		`{"identifier":"ada@example.com","team":["ops"],"properties":{"firstname":"Ada"}}`,
		`{"identifier":"bob@example.com","team":["dev"],"properties":{"port_role":"Member"}}`,
		`{"identifier":"mod@example.com","team":["dev"],"properties":{"port_role":"Moderator","moderated_blueprints":["service"]}}`,
		`{"identifier":"Eve@Example.com","team":["Operations"],"properties":{"status":"Disabled"}}`,
	} {
		w.entity(t, "_user", u)
	}
	w.entity(t, "service", `{"identifier":"cart","title":"Cart","team":["ops"],"properties":{"tier":"gold","owner":"BOB@example.com"}}`)
	w.entity(t, "service", `{"identifier":"till","properties":{"tier":"silver"}}`)
	w.entity(t, "deployment", `{"identifier":"d1","relations":{"service":"cart"}}`)
	w.entity(t, "deployment", `{"identifier":"d2","relations":{"service":"till"}}`)
	return w
}

var author = catalog.Author{ID: "client", At: start}

func (w *world) blueprint(t *testing.T, text string) {
	t.Helper()
	if _, err := w.service.CreateBlueprint(t.Context(), json.RawMessage(text), false, author); err != nil {
		t.Fatal(err)
	}
}

func (w *world) entity(t *testing.T, blueprint, text string) {
	t.Helper()
	if _, err := w.service.CreateEntity(t.Context(), blueprint, json.RawMessage(text), catalog.EntityWrite{By: author}); err != nil {
		t.Fatal(err)
	}
}

// machine is the organization's client.
var machine = identity.Caller{OrgID: "org", Machine: true, ID: "client"}

// user is a user of the world as a token or run_as name them: email is before the @.
func (w *world) user(t *testing.T, name string) identity.Caller {
	t.Helper()
	u, teams, err := w.service.User(t.Context(), name+"@example.com")
	if err != nil {
		t.Fatal(err)
	}
	is := &identity.User{Email: u.Email, FirstName: u.FirstName, Status: u.Status, Role: identity.Role(u.Role), Moderates: u.ModeratedBlueprints}
	for _, team := range teams {
		if team.Has(u) {
			is.Teams = append(is.Teams, team.Identifier, team.Name)
		}
	}
	return identity.Caller{OrgID: "org", ID: u.ID, User: is}
}

// question asks about a run of an action with these permissions on an entity, "" for none, with the
// inputs {"name": "cart", "count": 3}.
func (w *world) question(t *testing.T, caller identity.Caller, permissions, blueprint, entity string) permission.Question {
	t.Helper()
	definition := `{"identifier":"deploy","title":"Deploy","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":{"type":"KAFKA"}}`
	if blueprint != "" {
		definition = strings.Replace(definition, `"CREATE"`, `"DAY-2","blueprintIdentifier":"`+blueprint+`"`, 1)
	}
	d, err := action.Parse(json.RawMessage(definition))
	if err != nil {
		t.Fatal(err)
	}
	record := &action.Record{Identifier: "deploy", ID: "action_1", Definition: json.RawMessage(definition)}
	if permissions != "" {
		if _, err := action.ParsePermissions(json.RawMessage(permissions)); err != nil {
			t.Fatal(err)
		}
		if record.Permissions, err = action.MergePermissions(nil, json.RawMessage(permissions)); err != nil {
			t.Fatal(err)
		}
	}
	inputs, err := jqtemplate.Decode([]byte(`{"name":"cart","count":3}`))
	if err != nil {
		t.Fatal(err)
	}
	q := permission.Question{
		Caller: caller, Action: &action.Entry{Record: record, Definition: d}, Inputs: inputs.(*jqtemplate.Object), At: start,
	}
	if entity != "" {
		if q.Entity, _, err = w.reader.Lookup(t.Context(), blueprint, entity, nil); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

// allowed tells what an error of the judge's means: nil, or that it is refused.
func allowed(t *testing.T, err error) bool {
	t.Helper()
	if err != nil && fault.KindOf(err) != fault.Forbidden {
		t.Fatalf("got error %v, want none or forbidden", err)
	}
	return err == nil
}

// emails are those of approvers, without their domain.
func emails(t *testing.T, approvers []permission.Approver) string {
	t.Helper()
	var names []string
	for _, a := range approvers {
		if a.UserID != catalog.UserID(a.Email) {
			t.Errorf("the id of %s is %s", a.Email, a.UserID)
		}
		name, _, _ := strings.Cut(a.Email, "@")
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// broken is a catalog whose searches fail.
type broken struct {
	permission.Catalog
	err error
}

func (b *broken) Find(context.Context, catalog.Find) ([]*jqtemplate.Object, bool, error) {
	return nil, false, b.err
}

// bounded is a catalog that keeps what it is asked for.
type bounded struct {
	permission.Catalog
	asked []catalog.Find
}

func (b *bounded) Find(_ context.Context, f catalog.Find) ([]*jqtemplate.Object, bool, error) {
	b.asked = append(b.asked, f)
	return nil, false, nil
}

var errBusy = fault.Busy(errors.New("throttled"), time.Second, "the store is busy")
