package trigger_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

// addUser makes a user.
func (w *world) addUser(t *testing.T, text string) {
	t.Helper()
	_, err := catalog.NewService(w.catalog, nil).CreateEntity(t.Context(), catalog.UserBlueprint, json.RawMessage(text),
		catalog.EntityWrite{By: catalog.Author{ID: "client", At: start}})
	if err != nil {
		t.Fatal(err)
	}
}

// What a template and a receiver see of the user that a run is by.
func TestUserInTriggerData(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.addUser(t, `{"identifier":"Ada@example.com","properties":{"firstname":"Ada","lastname":"Lovelace","status":"Staged"}}`)
	w.actions.add(t, v2("new", `{"type":"WEBHOOK","url":"https://example.com",
		"body":{"by":"{{ .trigger.by }}","user":"{{ .user }}","origin":"{{ .trigger.origin }}"}}`))
	w.actions.add(t, `{"identifier":"old","userInputs":{"properties":{}},"trigger":"CREATE","invocationMethod":{"type":"WEBHOOK","url":"https://example.com"}}`)
	id := catalog.UserID("ada@example.com")
	user := `{"id":"` + id + `","email":"Ada@example.com","firstName":"Ada","lastName":"Lovelace","phoneNumber":null,"picture":null,` +
		`"providers":[],"status":"Staged","createdAt":"` + at + `","updatedAt":"` + at + `"}`
	by := `{"orgId":"org_1","userId":"` + id + `","user":` + user + `}`
	ada := identity.Caller{OrgID: "org_1", ID: id, User: &identity.User{
		Email: "Ada@example.com", FirstName: "Ada", LastName: "Lovelace", Status: "Staged", Role: identity.Member, CreatedAt: start, UpdatedAt: start,
	}}
	for name, test := range map[string]struct {
		edit         func(*trigger.Request)
		source       string
		impersonated string
	}{
		"the user":  {func(q *trigger.Request) { q.Caller = ada }, run.SourceUI, ""},
		"a machine": {func(q *trigger.Request) { q.RunAs = "ada@EXAMPLE.com" }, run.SourceAPI, "client"},
	} {
		q := request(t, "new", "")
		test.edit(&q)
		started := w.start(t, q)
		r := started.Record
		want := `{"by":` + by + `,"user":` + user + `,"origin":"` + test.source + `"}`
		if diff := cmp.Diff(want, *r.Invocation.Webhook.Body); diff != "" {
			t.Errorf("%s: body (-want +got):\n%s", name, diff)
		}
		stored := w.read(t, r.ID)
		if diff := cmp.Diff(user, string(stored.User)); diff != "" {
			t.Errorf("%s: user of the run (-want +got):\n%s", name, diff)
		}
		got := []string{stored.UserID, stored.UserEmail, stored.CreatedBy, stored.UpdatedBy, stored.ImpersonatedBy, stored.Source}
		if diff := cmp.Diff([]string{id, "Ada@example.com", id, id, test.impersonated, test.source}, got); diff != "" {
			t.Errorf("%s: run (-want +got):\n%s", name, diff)
		}

		q = request(t, "old", "")
		test.edit(&q)
		var message struct {
			Trigger struct {
				By     json.RawMessage
				Origin string
			}
		}
		if err := json.Unmarshal([]byte(*w.start(t, q).Record.Invocation.Webhook.Body), &message); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(by, string(message.Trigger.By)); diff != "" || message.Trigger.Origin != test.source {
			t.Errorf("%s: run message from %s, by (-want +got):\n%s", name, message.Trigger.Origin, diff)
		}
	}
}

// unreadable are users that cannot be read.
type unreadable struct{ err error }

func (u unreadable) Caller(context.Context, string) (identity.Caller, error) {
	return identity.Caller{}, u.err
}

func TestRunAsNeedsTheDirectory(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		err  error
		kind fault.Kind
	}{
		"a store that is busy": {fault.Busy(broken, 0, "busy"), fault.Unavailable},
		"a fault of ours":      {broken, fault.Internal},
		"a user of no use":     {fault.New(fault.NotFound, "", "disabled"), fault.Invalid},
		// It is not the machine's run then.
		"users that cannot be read": {fault.New(fault.Invalid, "blueprint_unreadable", "_user cannot be read"), fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(_ *world, c *trigger.Config) { c.Users = unreadable{test.err} })
			w.actions.add(t, v2("a", `{"type":"WEBHOOK","url":"https://example.com"}`))
			q := request(t, "a", "")
			q.RunAs = "ada@example.com"
			if _, err := w.Start(t.Context(), q); fault.KindOf(err) != test.kind {
				t.Errorf("got %v, want kind %d", err, test.kind)
			}
			w.wantNothing(t)
		})
	}
}

func TestRunAsIsForMachines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, v2("a", `{"type":"WEBHOOK","url":"https://example.com"}`))
	q := request(t, "a", "")
	q.Caller = identity.Caller{OrgID: "org_1", ID: "usr_1", User: &identity.User{Email: "root@example.com", Role: identity.Admin}}
	q.RunAs = "ada@example.com"
	_, err := w.Start(t.Context(), q)
	wantFault(t, err, fault.Forbidden, "forbidden", "only a machine token may use run_as")
	_, err = w.DryRun(t.Context(), q)
	wantFault(t, err, fault.Forbidden, "forbidden")
	w.wantNothing(t)
}
