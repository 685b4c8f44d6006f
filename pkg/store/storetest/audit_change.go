package storetest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/run"
)

func auditEntersWithItsDefinition(t *testing.T, s AuditStores) {
	now := startOfTest()
	change := func(kind string, n int) *audit.Entry {
		return newChange(now.Add(time.Duration(n)*time.Millisecond), "deploy", func(e *audit.Entry) {
			e.Action, e.Resource, e.Entity = kind, audit.Action, ""
		})
	}
	r := definition("deploy", now)
	created, replaced, deleted := change(audit.Create, 1), change(audit.Update, 2), change(audit.Delete, 3)
	// As large as definitions may be.
	replaced.Before, replaced.After = large(1, 350<<10), large(2, 350<<10)
	if err := s.Actions.Create(t.Context(), r, created, nil); err != nil {
		t.Fatal(err)
	}
	wantWord(t, s.Actions.Create(t.Context(), definition("deploy", now), change(audit.Create, 4)), "identifier_taken")
	stored, err := s.Actions.Get(t.Context(), "deploy")
	if err != nil {
		t.Fatal(err)
	}
	stale := *stored
	if err := s.Actions.Replace(t.Context(), "deploy", stored, replaced); err != nil {
		t.Fatal(err)
	}
	stale.Rev = 999
	wantWord(t, s.Actions.Replace(t.Context(), "deploy", &stale, change(audit.Update, 5)), "conflict")
	if err := s.Actions.Delete(t.Context(), "deploy", "client_1", now, deleted); err != nil {
		t.Fatal(err)
	}
	wantKind(t, s.Actions.Delete(t.Context(), "deploy", "client_1", now, change(audit.Delete, 6)), fault.NotFound)
	sameEntries(t, s, audit.Filter{}, deleted, replaced, created)
}

func auditEntersWithItsBlueprint(t *testing.T, s AuditStores) {
	now := startOfTest()
	change := func(kind string, n int) *audit.Entry {
		return newChange(now.Add(time.Duration(n)*time.Millisecond), "service", func(e *audit.Entry) {
			e.Action, e.Resource, e.Entity = kind, audit.Blueprint, ""
		})
	}
	created, replaced, deleted := change(audit.Create, 1), change(audit.Update, 2), change(audit.Delete, 3)
	if err := s.Catalog.CreateBlueprint(t.Context(), newBlueprint("service", now), created); err != nil {
		t.Fatal(err)
	}
	wantWord(t, s.Catalog.CreateBlueprint(t.Context(), newBlueprint("service", now), change(audit.Create, 4)), "identifier_taken")
	b := getBlueprint(t, s.Catalog, "service")
	if err := s.Catalog.ReplaceBlueprint(t.Context(), "service", b, replaced); err != nil {
		t.Fatal(err)
	}
	stale := *b
	stale.Rev = 999
	wantWord(t, s.Catalog.ReplaceBlueprint(t.Context(), "service", &stale, change(audit.Update, 5)), "conflict")
	wantWord(t, s.Catalog.DeleteBlueprint(t.Context(), &stale, author("client_1", now), change(audit.Delete, 6)), "conflict")
	if err := s.Catalog.DeleteBlueprint(t.Context(), getBlueprint(t, s.Catalog, "service"), author("client_1", now), deleted); err != nil {
		t.Fatal(err)
	}
	sameEntries(t, s, audit.Filter{}, deleted, replaced, created)
}

func auditEntersWithItsEntity(t *testing.T, s AuditStores) {
	now := startOfTest()
	b := catalog.NewBlueprintID()
	change := func(kind string, n int) *audit.Entry {
		return newChange(now.Add(time.Duration(n)*time.Millisecond), "a", func(e *audit.Entry) { e.Action = kind })
	}
	created, replaced, deleted, renamed := change(audit.Create, 1), change(audit.Update, 2), change(audit.Delete, 3), change(audit.Create, 4)
	e := newEntity(b, "a", now)
	if err := s.Catalog.CreateEntity(t.Context(), e, nil, created); err != nil {
		t.Fatal(err)
	}
	wantWord(t, s.Catalog.CreateEntity(t.Context(), newEntity(b, "a", now), nil, change(audit.Create, 5)), "identifier_taken")
	e = getEntity(t, s.Catalog, e.Key)
	if err := s.Catalog.ReplaceEntity(t.Context(), e, nil, nil, replaced); err != nil {
		t.Fatal(err)
	}
	stale := *e
	stale.Rev = 999
	wantWord(t, s.Catalog.ReplaceEntity(t.Context(), &stale, nil, nil, change(audit.Update, 6)), "conflict")
	wantWord(t, s.Catalog.DeleteEntity(t.Context(), &stale, nil, author("client_1", now), change(audit.Delete, 7)), "conflict")
	if err := s.Catalog.DeleteEntity(t.Context(), getEntity(t, s.Catalog, e.Key), nil, author("client_1", now), deleted, renamed); err != nil {
		t.Fatal(err)
	}
	sameEntries(t, s, audit.Filter{}, renamed, deleted, replaced, created)
}

func auditEntersWithItsRun(t *testing.T, s AuditStores) {
	now := startOfTest()
	r, b := newRun(now)
	if err := s.Runs.Create(t.Context(), r, b); err != nil {
		t.Fatal(err)
	}
	wantKind(t, s.Runs.Create(t.Context(), r, b), fault.Conflict)
	by := audit.Author{ID: "client_2", Origin: "API", At: now.Add(time.Second)}
	move := func(status run.Status) func(*run.Run) (*run.Write, error) {
		return func(r *run.Run) (*run.Write, error) {
			if err := r.End(by.At, by.ID, status, ""); err != nil {
				return nil, err
			}
			return &run.Write{By: &by}, nil
		}
	}
	if _, err := s.Runs.Update(t.Context(), r.ID, move(run.Success)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Runs.Update(t.Context(), r.ID, move(run.Failure)); err == nil {
		t.Error("a run ended twice")
	}
	if _, err := s.Runs.Update(t.Context(), r.ID, func(*run.Run) (*run.Write, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entriesOf(t, s, audit.Filter{RunID: r.ID, RunFrom: r.CreatedAt, RunTo: by.At}) {
		var before, after struct{ Status run.Status }
		if e.Before != nil {
			if err := json.Unmarshal(e.Before, &before); err != nil {
				t.Error(err)
			}
		}
		if err := json.Unmarshal(e.After, &after); err != nil {
			t.Error(err)
		}
		got = append(got, fmt.Sprintf("%s by %s: %q to %q", e.Action, e.By.ID, before.Status, after.Status))
	}
	want := []string{`UPDATE by client_2: "IN_PROGRESS" to "SUCCESS"`, `CREATE by client_1: "" to "IN_PROGRESS"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}
