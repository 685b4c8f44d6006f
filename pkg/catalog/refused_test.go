package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
)

// A search in a body does not hide what else is wrong with it, and is not taken in part.
func TestFaultsOfSearchesInBodies(t *testing.T) {
	t.Parallel()
	s, _ := onSQLite(t)
	w := newWorld(s)
	w.blueprint(t, `{"identifier":"part","title":"T","schema":{"properties":{"n":{"type":"number"}}},"relations":{"of":{"target":"part","many":true}}}`)
	for i := range 1001 {
		w.entity(t, "part", fmt.Sprintf(`{"identifier":"p%04d"}`, i))
	}
	before := w.count(t, "part")
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"a search and a value": {`{"identifier":"x","properties":{"n":"1"},"relations":{"of":{"combinator":"not","rules":[]}}}`,
			[]string{"properties.n: must be a number, got a string", `relations.of.combinator: must be "and" or "or"`}},
		"searches for all": {`{"team":{"rules":[]},"identifier":{"combinator":"and"},"relations":{"of":{"combinator":"or","rules":[1]}}}`,
			[]string{"identifier.rules: is required", "relations.of.rules[0]: must be an object: a rule, or a group with combinator and rules", "team.combinator: is required"}},
		"too many entities": {`{"identifier":"x","properties":{"n":"1"},"relations":{"of":{"combinator":"and","rules":[]}}}`,
			[]string{"properties.n: must be a number, got a string", "relations.of: the search must yield at most 1000 entities"}},
	} {
		_, err := w.service.CreateEntity(t.Context(), "part", json.RawMessage(c.text), catalog.EntityWrite{By: author})
		if diff := cmp.Diff(c.want, lines(t, err, fault.Invalid)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if after := w.count(t, "part"); after != before {
		t.Errorf("%d entities, want %d", after, before)
	}
	w.entity(t, "part", `{"identifier":"all","relations":{"of":{"combinator":"and","rules":[{"property":"$identifier","operator":"!=","value":"p0000"}]}}}`)
}

// What a blueprint relates to is looked for though something else is wrong with it.
func TestFaultsOfBlueprintsTogether(t *testing.T) {
	t.Parallel()
	s, _ := onSQLite(t)
	w := newWorld(s)
	w.blueprint(t, `{"identifier":"part","title":"T","schema":{"properties":{}}}`)
	text := json.RawMessage(`{"identifier":"part","title":"","schema":{"properties":{}},"relations":{"of":{"target":"none"},"self":{"target":"part"},"no":{"target":""}}}`)
	want := []string{"relations.no.target: must have at least 1 character", "relations.of.target: there is no such blueprint", "title: must have at least 1 character"}
	_, post := w.service.CreateBlueprint(t.Context(), text, false, author)
	_, put := w.service.ReplaceBlueprint(t.Context(), "part", text, author)
	for name, err := range map[string]error{"POST": post, "PUT": put} {
		if diff := cmp.Diff(want, lines(t, err, fault.Invalid)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func (w *world) count(t *testing.T, blueprint string) int {
	t.Helper()
	n, err := w.service.Count(t.Context(), blueprint)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A write that is refused because of a migration has not made the related entities that it asks for.
func TestRefusedWriteMakesNothing(t *testing.T) {
	t.Parallel()
	h := newHarbour(t, onSQLite)
	s := h.service(h.store)
	if _, err := s.PatchBlueprint(t.Context(), "system", json.RawMessage(`{"relations":{"part":{"target":"empty"}}}`), by()); err != nil {
		t.Fatal(err)
	}
	if err := changes["an entity is renamed, relations follow"].do(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	before := h.state()
	w := catalog.EntityWrite{By: by(), CreateMissing: true}
	_, post := s.CreateEntity(t.Context(), "system", json.RawMessage(`{"identifier":"shop","relations":{"part":"made"}}`), w)
	_, put := s.ReplaceEntity(t.Context(), "system", "store", json.RawMessage(`{"identifier":"again","relations":{"part":"made"}}`), w)
	for name, err := range map[string]error{"POST": post, "PUT": put} {
		if !fault.Is(err, "migration_running") {
			t.Errorf("%s: got error %v, want migration_running", name, err)
		}
	}
	if diff := cmp.Diff(before, h.state()); diff != "" {
		t.Errorf("state (-before +after):\n%s", diff)
	}
}

// stuck is a store in which no entity is replaced, and no blueprint but those before it sticks.
type stuck struct {
	catalog.Store
	blueprints atomic.Int64
}

var errStuck = fault.Busy(nil, 0, "the store is busy")

func (s *stuck) ReplaceEntity(context.Context, *catalog.Entity, []catalog.Edge, []catalog.Edge, ...*audit.Entry) error {
	return errStuck
}

func (s *stuck) ReplaceBlueprint(ctx context.Context, identifier string, b *catalog.Blueprint, entries ...*audit.Entry) error {
	if s.blueprints.Add(-1) < 0 {
		return errStuck
	}
	return s.Store.ReplaceBlueprint(ctx, identifier, b, entries...)
}

// What has another identifier, and is recorded to be followed, is answered so though what follows has to wait.
func TestRenamedThoughRelationsHaveToWait(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open opener, _ int) {
		for _, name := range []string{"an entity is renamed, relations follow", "a blueprint is renamed, relations follow"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newHarbour(t, open)
				s := &stuck{Store: h.store}
				s.blueprints.Store(1)
				if err := changes[name].do(t.Context(), h.service(s)); err != nil {
					t.Errorf("got error %v", err)
				}
				if h.state() == changes[name].want {
					t.Fatal("nothing has to wait")
				}
				h.sweep()
				if diff := cmp.Diff(changes[name].want, h.state()); diff != "" {
					t.Errorf("state (-want +got):\n%s", diff)
				}
			})
		}
	})
}

// lost is a store that renames a blueprint, but whose answer does not come back.
type lost struct{ catalog.Store }

func (s lost) ReplaceBlueprint(ctx context.Context, identifier string, b *catalog.Blueprint, entries ...*audit.Entry) error {
	if err := s.Store.ReplaceBlueprint(ctx, identifier, b, entries...); err != nil {
		return err
	}
	return errStuck
}

// Relations follow a blueprint of which nobody knows whether it was renamed.
func TestRenamedThoughTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	h := newHarbour(t, onSQLite)
	c := changes["a blueprint is renamed, relations follow"]
	if err := c.do(t.Context(), h.service(lost{h.store})); fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("got error %v, want that of the store", err)
	}
	h.sweep()
	if diff := cmp.Diff(c.want, h.state()); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

// A blueprint that is renamed twice while relations wait for it is followed to where it is.
func TestBlueprintRenamedTwice(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"third", "system"} {
		h := newHarbour(t, onSQLite)
		for _, identifier := range []string{"second", last} {
			s := &stuck{Store: h.store}
			s.blueprints.Store(1)
			from := map[string]string{"second": "system"}[identifier]
			if from == "" {
				from = "second"
			}
			if _, err := h.service(s).PatchBlueprint(t.Context(), from, json.RawMessage(`{"identifier":"`+identifier+`"}`), by()); err != nil {
				t.Fatal(err)
			}
		}
		h.sweep()
		k, err := h.service(h.store).Blueprint(t.Context(), "service")
		if err != nil {
			t.Fatal(err)
		}
		if r, _ := k.Definition.Relation("system"); r.Target != last {
			t.Errorf("the relation leads to %s, want %s", r.Target, last)
		}
	}
}

// A deletion of a team that was interrupted is completed by the same deletion: nobody stays in a team that
// another one of its name would take over.
func TestDeleteTeamOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	died := true
	for point := int64(1); died; point++ {
		h := newHarbour(t, onSQLite)
		s := h.service(h.store)
		for _, email := range []string{"ada@example.com", "bob@example.com"} {
			h.create(s, catalog.UserBlueprint, `{"identifier":"`+email+`"}`)
		}
		if _, _, err := s.CreateTeam(t.Context(), json.RawMessage(`{"name":"ops","users":["ada@example.com","bob@example.com"]}`), by()); err != nil {
			t.Fatal(err)
		}
		m := &mortal{Store: h.store}
		m.left.Store(point)
		err := h.service(m).DeleteTeam(t.Context(), "ops", by())
		died = m.left.Load() <= 0
		if died == (err == nil) {
			t.Fatalf("died at write %d: %v, error %v", point, died, err)
		}
		if err := s.DeleteTeam(t.Context(), "ops", by()); err != nil && !absentOf(err) {
			t.Fatal(err)
		}
		teams, users, err := s.Teams(t.Context())
		if err != nil || len(teams) > 0 || len(users) != 2 {
			t.Fatalf("%d teams, %d users, error %v", len(teams), len(users), err)
		}
		for _, u := range users {
			if len(u.Teams) > 0 {
				t.Errorf("died at write %d: %s is still in %v", point, u.Email, u.Teams)
			}
		}
	}
}
