package audit_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/audit"
)

func TestIDIsMadeOfTheChange(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	change := func(kind, resource, key string, at time.Time) string {
		return audit.New(audit.Entry{Action: kind, Resource: resource, By: audit.Author{At: at}}, key, 0).ID
	}
	id := change(audit.Update, audit.Entity, "ent_1#1", at)
	if again := change(audit.Update, audit.Entity, "ent_1#1", at); again != id {
		t.Errorf("the same change has the ids %s and %s", id, again)
	}
	seen := map[string]bool{id: true}
	for _, other := range []string{
		change(audit.Delete, audit.Entity, "ent_1#1", at), change(audit.Update, audit.Run, "ent_1#1", at),
		change(audit.Update, audit.Entity, "ent_1#2", at), change(audit.Update, audit.Entity, "ent_1#1", at.Add(time.Millisecond)),
	} {
		if seen[other] {
			t.Errorf("another change has the same id %s", other)
		}
		seen[other] = true
	}
	if got, ok := audit.Time(id); !ok || !got.Equal(at) {
		t.Errorf("the time in the id is %v, %v, want %v", got, ok, at)
	}
	if later := change(audit.Update, audit.Entity, "ent_1#1", at.Add(time.Hour)); later <= id {
		t.Errorf("%s is later than %s and sorts before it", later, id)
	}
}

func TestTimesThatNoIDCanHave(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{{}, time.Unix(-1, 0), time.Unix(1<<40, 0)} {
		if _, ok := audit.Time(audit.Place(at)); !ok {
			t.Errorf("the place of %v is %s, which is no id", at, audit.Place(at))
		}
	}
	for _, text := range []string{"", "x", "01jd0000000000000000000000", "81JD0000000000000000000000", "01JD000000000000000000000", "01JD00000000000000000000000"} {
		if _, ok := audit.Time(text); ok {
			t.Errorf("%q counts as an id", text)
		}
	}
}

func TestView(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	machine := audit.Author{ID: "client_1", Origin: "API", At: at}
	user := audit.Author{ID: "user_1", Email: "ada@example.com", Origin: "UI", RunID: "r_1", At: at}
	const byMachine = `{"by":{"userId":"client_1","orgId":"org_1"},"origin":"API","at":"2026-01-02T03:04:05.678Z"}`
	for name, c := range map[string]struct {
		entry   audit.Entry
		members []string
		want    string
	}{
		"by a user": {audit.Entry{
			ID: "01", Action: audit.Update, Resource: audit.Entity, Identifier: "cart", Blueprint: "service", Entity: "cart", By: user,
			Before: json.RawMessage(`{"z":1.50,"a":"<&>"}`), After: json.RawMessage(`{}`),
		}, nil, `{"identifier":"01","action":"UPDATE","resourceType":"entity","status":"SUCCESS",` +
			`"context":{"blueprint":"service","entity":"cart","runId":"r_1"},"diff":{"before":{"z":1.50,"a":"<&>"},"after":{}},` +
			`"trigger":{"by":{"userId":"user_1","orgId":"org_1","user":{"email":"ada@example.com"}},"origin":"UI","at":"2026-01-02T03:04:05.678Z"},"additionalData":{}}`},
		"created":   {audit.Entry{After: json.RawMessage(`{}`)}, []string{"diff"}, `{"diff":{"before":null,"after":{}}}`},
		"a machine": {audit.Entry{By: machine}, []string{"trigger"}, `{"trigger":` + byMachine + `}`},
		"a run":     {audit.Entry{Resource: audit.Run, Identifier: "r_2", Entity: "cart"}, []string{"context"}, `{"context":{"entity":"cart","runId":"r_2"}}`},
		"an action": {audit.Entry{Resource: audit.Action, Identifier: "deploy"}, []string{"context"}, `{"context":{"action":"deploy"}}`},
		"permissions of an action": {audit.Entry{Resource: audit.Permission, Identifier: "deploy", Blueprint: "service"}, []string{"context"},
			`{"context":{"blueprint":"service","action":"deploy"}}`},
		"permissions of a blueprint": {audit.Entry{Resource: audit.Permission, Identifier: "service", Blueprint: "service"}, []string{"context"},
			`{"context":{"blueprint":"service"}}`},
		"a secret":    {audit.Entry{Resource: audit.Secret, Identifier: "TOKEN"}, []string{"context"}, `{"context":{"secret":"TOKEN"}}`},
		"two members": {audit.Entry{Action: audit.Create}, []string{"status", "action"}, `{"action":"CREATE","status":"SUCCESS"}`},
		"none known":  {audit.Entry{}, []string{"message"}, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.entry.View("org_1", c.members)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
