package storetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
)

func blueprintsReadAfterWrite(t *testing.T, s catalog.Store) {
	now := startOfTest()
	if got := blueprints(t, s); len(got) != 0 {
		t.Errorf("an empty store lists %v", got)
	}
	for _, identifier := range []string{"service", ""} {
		_, err := s.Blueprint(t.Context(), identifier)
		wantKind(t, err, fault.NotFound)
	}
	for i, identifier := range []string{"service", "_user", "größe", "Zeta", "a"} {
		b := newBlueprint(identifier, now)
		if diff := cmp.Diff(b, createBlueprint(t, s, b), blueprintWithoutRev); diff != "" {
			t.Errorf("blueprint (-want +got):\n%s", diff)
		}
		if got := blueprints(t, s); len(got) != i+1 {
			t.Errorf("%d blueprints are listed after %d creates", len(got), i+1)
		}
	}
	if diff := cmp.Diff([]string{"Zeta", "_user", "a", "größe", "service"}, blueprints(t, s)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	b := getBlueprint(t, s, "service")
	rev := b.Rev
	b.Definition = json.RawMessage(`{"identifier":"service","title":"Service"}`)
	b.Permissions = json.RawMessage(`{"entities":{}}`)
	b.Page = false
	b.UpdatedAt, b.UpdatedBy = now.Add(time.Second), "client_2"
	want := *b
	got := replaceBlueprint(t, s, "service", b)
	if diff := cmp.Diff(&want, got, blueprintWithoutRev); diff != "" {
		t.Errorf("replaced blueprint (-want +got):\n%s", diff)
	}
	if got.Rev <= rev {
		t.Errorf("rev is %d after %d", got.Rev, rev)
	}
}

func blueprintTextComesBackAsItWas(t *testing.T, s catalog.Store) {
	b := newBlueprint(strings.Repeat("ü", catalog.MaxBlueprintIdentifier), startOfTest())
	b.Definition = json.RawMessage(awkward[:len(awkward)-1] + `,"big":"` + strings.Repeat("x", 300<<10) + `"}`)
	b.Permissions = json.RawMessage(awkward)
	got := createBlueprint(t, s, b)
	if diff := cmp.Diff(b, got, blueprintWithoutRev); diff != "" {
		t.Errorf("blueprint (-want +got):\n%s", diff)
	}
	all, err := s.Blueprints(t.Context())
	if err != nil {
		t.Fatalf("list blueprints: %v", err)
	}
	if diff := cmp.Diff([]*catalog.Blueprint{got}, all); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func blueprintIdentifierTaken(t *testing.T, s catalog.Store) {
	now := startOfTest()
	first := createBlueprint(t, s, newBlueprint("service", now))
	wantWord(t, s.CreateBlueprint(t.Context(), newBlueprint("service", now)), "identifier_taken")

	other := createBlueprint(t, s, newBlueprint("other", now))
	rename := *other
	rename.Identifier = "service"
	wantWord(t, s.ReplaceBlueprint(t.Context(), "other", &rename), "identifier_taken")
	for _, want := range []*catalog.Blueprint{first, other} {
		if diff := cmp.Diff(want, getBlueprint(t, s, want.Identifier)); diff != "" {
			t.Errorf("the refused write changed the blueprint (-want +got):\n%s", diff)
		}
	}
}

func blueprintRename(t *testing.T, s catalog.Store) {
	now := startOfTest()
	b := createBlueprint(t, s, newBlueprint("old", now))
	target := createEntity(t, s, newEntity(b.ID, "target", now))
	edge := catalog.Edge{Source: catalog.Key{Blueprint: b.ID, Identifier: "source"}, Relation: "uses", Target: target.Key}
	source := createEntity(t, s, newEntity(b.ID, "source", now), edge)

	rename := *b
	rename.Identifier = "new"
	want := rename
	got := replaceBlueprint(t, s, "old", &rename)
	if diff := cmp.Diff(&want, got, blueprintWithoutRev); diff != "" {
		t.Errorf("renamed blueprint (-want +got):\n%s", diff)
	}
	if got.Rev <= b.Rev {
		t.Errorf("rev is %d after %d", got.Rev, b.Rev)
	}
	_, err := s.Blueprint(t.Context(), "old")
	wantKind(t, err, fault.NotFound)
	wantKind(t, s.ReplaceBlueprint(t.Context(), "old", b), fault.NotFound)
	if diff := cmp.Diff([]string{"new"}, blueprints(t, s)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	// The entities are kept under the blueprint's id.
	sameEntity(t, s, target)
	sameEntity(t, s, source)
	wantSources(t, s, target.Key, edge)

	// The old identifier is free, and so is a way back.
	taken := createBlueprint(t, s, newBlueprint("old", now))
	if got := listFrom(t, s, taken.ID, "", 10); len(got) != 0 {
		t.Errorf("a new blueprint of the old identifier has entities: %v", got)
	}
	third := *got
	third.Identifier = "newer"
	back := *replaceBlueprint(t, s, "new", &third)
	back.Identifier = "new"
	if got := replaceBlueprint(t, s, "newer", &back); got.ID != b.ID {
		t.Errorf("id is %s after renames, want %s", got.ID, b.ID)
	}
}

func blueprintReplaceConflict(t *testing.T, s catalog.Store) {
	now := startOfTest()
	wantKind(t, s.ReplaceBlueprint(t.Context(), "none", newBlueprint("none", now)), fault.NotFound)
	b := createBlueprint(t, s, newBlueprint("service", now))
	first, second, renamed, stranger := *b, *b, *b, *b
	first.UpdatedBy, second.UpdatedBy = "first", "second"
	renamed.Identifier = "elsewhere"
	stranger.ID = catalog.NewBlueprintID()
	wantWord(t, s.ReplaceBlueprint(t.Context(), "service", &stranger), "conflict")
	after := replaceBlueprint(t, s, "service", &first)
	wantWord(t, s.ReplaceBlueprint(t.Context(), "service", &second), "conflict")
	wantWord(t, s.ReplaceBlueprint(t.Context(), "service", &renamed), "conflict")
	if diff := cmp.Diff(after, getBlueprint(t, s, "service")); diff != "" {
		t.Errorf("the refused writes changed the blueprint (-want +got):\n%s", diff)
	}
	_, err := s.Blueprint(t.Context(), "elsewhere")
	wantKind(t, err, fault.NotFound)
}

func blueprintDelete(t *testing.T, s catalog.Store) {
	now := startOfTest()
	by := author("client_1", now)
	wantKind(t, s.DeleteBlueprint(t.Context(), newBlueprint("service", now), by), fault.NotFound)
	old := createBlueprint(t, s, newBlueprint("service", now))
	stale := *old
	old = replaceBlueprint(t, s, "service", old)
	stranger := *old
	stranger.ID = catalog.NewBlueprintID()
	wantWord(t, s.DeleteBlueprint(t.Context(), &stale, by), "conflict")
	wantWord(t, s.DeleteBlueprint(t.Context(), &stranger, by), "conflict")
	left := createEntity(t, s, newEntity(old.ID, "cart", now))

	deleteBlueprint(t, s, old, by)
	_, err := s.Blueprint(t.Context(), "service")
	wantKind(t, err, fault.NotFound)
	wantKind(t, s.DeleteBlueprint(t.Context(), old, by), fault.NotFound)
	wantKind(t, s.ReplaceBlueprint(t.Context(), "service", old), fault.NotFound)
	if got := blueprints(t, s); len(got) != 0 {
		t.Errorf("deleted blueprints are listed: %v", got)
	}

	again := newBlueprint("service", now.Add(time.Second))
	made := createBlueprint(t, s, again)
	if diff := cmp.Diff(again, made, blueprintWithoutRev); diff != "" {
		t.Errorf("created over a deleted one (-want +got):\n%s", diff)
	}
	// The new one does not find what was left of the old one, which is its own still.
	noEntity(t, s, catalog.Key{Blueprint: made.ID, Identifier: "cart"})
	if got := listFrom(t, s, made.ID, "", 10); len(got) != 0 {
		t.Errorf("the new blueprint has entities: %v", got)
	}
	sameEntity(t, s, left)
	// What was read before the delete neither replaces nor deletes what came after it.
	wantWord(t, s.ReplaceBlueprint(t.Context(), "service", old), "conflict")
	wantWord(t, s.DeleteBlueprint(t.Context(), old, by), "conflict")

	// A rename may take the identifier of a deleted blueprint.
	other := createBlueprint(t, s, newBlueprint("other", now))
	deleteBlueprint(t, s, made, by)
	other.Identifier = "service"
	replaceBlueprint(t, s, "other", other)
	if diff := cmp.Diff([]string{"service"}, blueprints(t, s)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

// Whether a blueprint is in use is found out by reading what the store has just written, whoever wrote it: a
// deletion that is refused for it changes nothing.
func blueprintDeleteRefusedInUse(t *testing.T, s catalog.Store) {
	ctx, now := t.Context(), startOfTest()
	service := catalog.NewService(s, func() time.Time { return now })
	by := author("client_1", now)
	for _, text := range []string{
		`{"identifier":"target","title":"T","schema":{"properties":{}}}`,
		`{"identifier":"source","title":"S","schema":{"properties":{}},"relations":{"uses":{"target":"target"}}}`,
		`{"identifier":"full","title":"F","schema":{"properties":{}}}`,
	} {
		if _, err := service.CreateBlueprint(ctx, json.RawMessage(text), false, by); err != nil {
			t.Fatalf("create blueprint: %v", err)
		}
	}
	full := createEntity(t, s, newEntity(getBlueprint(t, s, "full").ID, "cart", now))
	refused := func(identifier string) {
		t.Helper()
		before := blueprints(t, s)
		wantWord(t, service.DeleteBlueprint(ctx, identifier, by), "has_dependents")
		if diff := cmp.Diff(before, blueprints(t, s)); diff != "" {
			t.Errorf("the refused deletion changed the blueprints (-want +got):\n%s", diff)
		}
		if getBlueprint(t, s, identifier).Deleting {
			t.Errorf("the blueprint %s is left as being deleted", identifier)
		}
	}
	refused("target")
	refused("full")
	sameEntity(t, s, full)
	deleteEntity(t, s, full)
	for _, identifier := range []string{"full", "source", "target"} {
		if err := service.DeleteBlueprint(ctx, identifier, by); err != nil {
			t.Errorf("delete %s, which is not in use any more: %v", identifier, err)
		}
	}
}

func blueprintDeleteNamesAuthor(t *testing.T, s catalog.Store) {
	tombstones, ok := s.(Tombstones)
	if !ok {
		t.Skip("the store does not show what a deletion leaves")
	}
	now := startOfTest()
	b := createBlueprint(t, s, newBlueprint("service", now))
	by := author("client_2", now.Add(time.Second))
	deleteBlueprint(t, s, b, by)
	if diff := cmp.Diff(by, tombstones.BlueprintDeletedBy(t, "service")); diff != "" {
		t.Errorf("deleted by (-want +got):\n%s", diff)
	}
}

// What is told of a change of an entity may come after its blueprint is gone.
func blueprintDeletedIsKnown(t *testing.T, s catalog.Store) {
	now := startOfTest()
	by := author("client_2", now.Add(time.Second))
	b, other := createBlueprint(t, s, newBlueprint("service", now)), createBlueprint(t, s, newBlueprint("other", now))
	missing := func(id string) {
		t.Helper()
		if got, err := s.DeletedBlueprint(t.Context(), id); fault.KindOf(err) != fault.NotFound {
			t.Errorf("deleted blueprint %s is %+v, %v; want none", id, got, err)
		}
	}
	missing(b.ID)
	renamed := *b
	renamed.Identifier = "renamed"
	last := replaceBlueprint(t, s, "service", &renamed)
	deleteBlueprint(t, s, last, by)
	got, err := s.DeletedBlueprint(t.Context(), b.ID)
	if err != nil {
		t.Fatalf("read the deleted blueprint: %v", err)
	}
	if got.Identifier != "renamed" || got.ID != b.ID || !bytes.Equal(got.Definition, last.Definition) {
		t.Errorf("deleted blueprint is %+v, want %+v", got, last)
	}
	missing(other.ID)
	missing("bp_none")
}

func blueprintDeleting(t *testing.T, s catalog.Store) {
	now := startOfTest()
	b := createBlueprint(t, s, newBlueprint("service", now))
	for _, deleting := range []bool{true, false, true} {
		b.Deleting = deleting
		if b = replaceBlueprint(t, s, "service", b); b.Deleting != deleting {
			t.Errorf("deleting is %t, want %t", b.Deleting, deleting)
		}
		all, err := s.Blueprints(t.Context())
		if err != nil {
			t.Fatalf("list blueprints: %v", err)
		}
		if diff := cmp.Diff([]*catalog.Blueprint{b}, all); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
	}
	deleteBlueprint(t, s, b, author("client_1", now))
	if got := createBlueprint(t, s, newBlueprint("service", now)); got.Deleting {
		t.Error("the blueprint that was made again is being deleted")
	}
}

func blueprintConcurrentCreateOneWins(t *testing.T, s catalog.Store) {
	now := startOfTest()
	all := make([]*catalog.Blueprint, 10)
	for i := range all {
		all[i] = newBlueprint("raced", now)
		all[i].UpdatedBy = fmt.Sprintf("client_%d", i)
	}
	i := oneWins(t, len(all), "identifier_taken", func(i int) error { return s.CreateBlueprint(t.Context(), all[i]) })
	if diff := cmp.Diff(all[i], getBlueprint(t, s, "raced"), blueprintWithoutRev); diff != "" {
		t.Errorf("blueprint (-winner +got):\n%s", diff)
	}
}

func blueprintConcurrentReplaceOneWins(t *testing.T, s catalog.Store) {
	b := createBlueprint(t, s, newBlueprint("raced", startOfTest()))
	all := make([]catalog.Blueprint, 10)
	for i := range all {
		all[i] = *b
		all[i].UpdatedBy = fmt.Sprintf("client_%d", i)
	}
	i := oneWins(t, len(all), "conflict", func(i int) error {
		return s.ReplaceBlueprint(t.Context(), "raced", &all[i])
	})
	if diff := cmp.Diff(&all[i], getBlueprint(t, s, "raced"), blueprintWithoutRev); diff != "" {
		t.Errorf("blueprint (-winner +got):\n%s", diff)
	}
}

// oneWins calls do for 0 to n-1 at once and returns which call returned nil. The test fails unless
// it is one, and all others are refused with that word.
func oneWins(t *testing.T, n int, word string, do func(i int) error) (winner int) {
	t.Helper()
	won := 0
	for i, err := range gather(n, do) {
		switch {
		case err == nil:
			won++
			winner = i
		case !fault.Is(err, word):
			t.Errorf("caller %d: %v", i, err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d callers won, want 1", won, n)
	}
	return winner
}

func stampMoves(t *testing.T, s catalog.Store) {
	now := startOfTest()
	stamp := func() int64 {
		t.Helper()
		stamp, err := s.Stamp(t.Context())
		if err != nil {
			t.Fatalf("stamp: %v", err)
		}
		return stamp
	}
	seen := map[int64]string{}
	moved := func(by string) {
		t.Helper()
		now := stamp()
		if before, ok := seen[now]; ok {
			t.Errorf("stamp %d after %s is that of %s", now, by, before)
		}
		seen[now] = by
	}
	moved("start")
	b := createBlueprint(t, s, newBlueprint("service", now))
	moved("create")
	stale := *b
	b = replaceBlueprint(t, s, "service", b)
	moved("replace")
	b.Identifier = "renamed"
	b = replaceBlueprint(t, s, "service", b)
	moved("rename")

	before := stamp()
	stays := func(by string) {
		t.Helper()
		if got := stamp(); got != before {
			t.Errorf("%s moved the stamp", by)
		}
	}
	wantWord(t, s.ReplaceBlueprint(t.Context(), "renamed", &stale), "conflict")
	stays("a refused replace")
	wantWord(t, s.CreateBlueprint(t.Context(), newBlueprint("renamed", now)), "identifier_taken")
	stays("a refused create")
	stale.Identifier = "renamed"
	wantWord(t, s.DeleteBlueprint(t.Context(), &stale, author("client_1", now)), "conflict")
	stays("a refused delete")
	e := createEntity(t, s, newEntity(b.ID, "cart", now))
	stays("an entity's create")
	e = replaceEntity(t, s, e, nil, nil)
	stays("an entity's replace")
	deleteEntity(t, s, e)
	stays("an entity's delete")

	deleteBlueprint(t, s, b, author("client_1", now))
	moved("delete")
	createBlueprint(t, s, newBlueprint("renamed", now))
	moved("create again")
}
