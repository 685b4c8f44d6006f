package directory_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/identity/directory"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/sqlitestore"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// counted counts how often entities are listed.
type counted struct {
	catalog.Store
	lists atomic.Int64
}

func (c *counted) List(ctx context.Context, blueprint, from string, limit int) (catalog.Page, error) {
	c.lists.Add(1)
	return c.Store.List(ctx, blueprint, from, limit)
}

type world struct {
	*directory.Directory
	store   *counted
	service *catalog.Service
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "longshore.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	store, err := sqlitestore.NewCatalog(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{store: &counted{Store: store}}
	w.service = catalog.NewService(store, nil)
	w.Directory = directory.New(catalog.NewReader(w.store, nil), "org_1")
	return w
}

func (w *world) write(t *testing.T, blueprint, text string, args ...any) {
	t.Helper()
	_, err := w.service.CreateEntity(t.Context(), blueprint, json.RawMessage(fmt.Sprintf(text, args...)),
		catalog.EntityWrite{Upsert: true, Merge: true, By: catalog.Author{ID: "client_1", At: start}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(t, "_team", `{"identifier":"t1","title":"Platform"}`)
	w.write(t, "_team", `{"identifier":"t2"}`)
	w.write(t, "_team", `{"identifier":"t3","title":"Others"}`)
	w.write(t, "_team", `{"identifier":"gone"}`)
	w.write(t, "_user", `{"identifier":"ada@example.com","team":["t1","t2"],"properties":{"firstname":"Ada","lastname":"Lovelace",
		"port_role":"Moderator","status":"Active","moderated_blueprints":["service"]}}`)
	w.write(t, "_user", `{"identifier":"By@Example.com","team":["Platform","gone"]}`)
	if err := w.service.DeleteEntity(t.Context(), "_team", "gone", false, catalog.Author{ID: "client_1", At: start}); err != nil {
		t.Fatal(err)
	}
	w.write(t, "_user", `{"identifier":"two@example.com","properties":{"firstname":"lower"}}`)
	w.write(t, "_user", `{"identifier":"TWO@example.com","properties":{"firstname":"upper"}}`)
	w.write(t, "_user", `{"identifier":"off@example.com","properties":{"status":"Disabled","port_role":"Admin"}}`)
	w.write(t, "_user", `{"identifier":"kim@example.com"}`)
	w.write(t, "_user", `{"identifier":"new@example.com","properties":{"status":"Staged"}}`)
	ada := &identity.User{
		Email: "ada@example.com", FirstName: "Ada", LastName: "Lovelace", Status: "Active", Role: identity.Moderator,
		Teams: []string{"t1", "Platform", "t2"}, Moderates: []string{"service"}, CreatedAt: start, UpdatedAt: start,
	}
	member := func(email, status string, teams ...string) *identity.User {
		return &identity.User{Email: email, Status: status, Role: identity.Member, Teams: teams, CreatedAt: start, UpdatedAt: start}
	}
	named := func(name string, u *identity.User) *identity.User { u.FirstName = name; return u }
	tests := map[string]struct {
		email string
		// want is nil for nobody.
		want *identity.User
		// lists is how often all of a blueprint are listed.
		lists int64
	}{
		"as it is written":         {"ada@example.com", ada, 0},
		"in capitals":              {"ADA@EXAMPLE.COM", ada, 0},
		"of two, the one":          {"two@example.com", named("lower", member("two@example.com", "Active")), 0},
		"of two, the other":        {"TWO@example.com", named("upper", member("TWO@example.com", "Active")), 0},
		"of two, in lower case":    {"Two@example.com", named("lower", member("two@example.com", "Active")), 0},
		"written with capitals":    {"by@example.com", member("By@Example.com", "Active", "t1", "Platform"), 2},
		"staged":                   {"new@example.com", member("new@example.com", "Staged"), 0},
		"disabled":                 {"off@example.com", nil, 0},
		"unknown":                  {"eve@example.com", nil, 1},
		"a letter that folds to k": {"\u212aim@example.com", nil, 0},
		"empty":                    {"", nil, 1},
		"a space behind":           {"ada@example.com ", nil, 1},
		"a part of one":            {"da@example.com", nil, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := directory.New(catalog.NewReader(w.store, nil), "org_1")
			before := w.store.lists.Load()
			got, err := d.Caller(t.Context(), test.email)
			if lists := w.store.lists.Load() - before; lists != test.lists {
				t.Errorf("listed %d times, want %d", lists, test.lists)
			}
			if test.want == nil {
				if fault.KindOf(err) != fault.NotFound || got.User != nil {
					t.Fatalf("got %+v, %v, want nobody", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := identity.Caller{OrgID: "org_1", ID: catalog.UserID(test.email), User: test.want}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("caller (-want +got):\n%s", diff)
			}
		})
	}
}

// What is written counts from the next request, whatever was read before.
func TestChangesCountAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	caller := func() (identity.Caller, error) { return w.Caller(t.Context(), "ada@example.com") }
	if _, err := caller(); fault.KindOf(err) != fault.NotFound {
		t.Fatalf("got %v before there is a catalog, want nobody", err)
	}
	if blueprints, err := w.store.Blueprints(t.Context()); err != nil || len(blueprints) != 0 {
		t.Fatalf("got %d blueprints, %v: looking for a user wrote something", len(blueprints), err)
	}
	w.write(t, "_user", `{"identifier":"Ada@Example.com"}`)
	for _, step := range []struct {
		blueprint, text string
		role            identity.Role
		teams           []string
	}{
		{"_team", `{"identifier":"t1","title":"One"}`, identity.Member, nil},
		{"_user", `{"identifier":"Ada@Example.com","team":"t1"}`, identity.Member, []string{"t1", "One"}},
		{"_team", `{"identifier":"t1","title":"Two"}`, identity.Member, []string{"t1", "Two"}},
		{"_user", `{"identifier":"Ada@Example.com","properties":{"port_role":"Admin"}}`, identity.Admin, []string{"t1", "Two"}},
		{"_user", `{"identifier":"Ada@Example.com","team":[]}`, identity.Admin, nil},
	} {
		w.write(t, step.blueprint, "%s", step.text)
		got, err := caller()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.teams, got.User.Teams, cmpopts.EquateEmpty()); diff != "" || got.User.Role != step.role {
			t.Errorf("after %s: role %s, teams (-want +got):\n%s", step.text, got.User.Role, diff)
		}
	}
	if err := w.service.DeleteEntity(t.Context(), "_user", "Ada@Example.com", false, catalog.Author{ID: "client_1", At: start}); err != nil {
		t.Fatal(err)
	}
	if _, err := caller(); fault.KindOf(err) != fault.NotFound {
		t.Errorf("got %v after the user was deleted, want nobody", err)
	}
}
