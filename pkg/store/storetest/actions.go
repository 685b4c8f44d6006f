package storetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/action"
	"longshore/pkg/fault"
)

// Actions runs every test of action.Store. Open returns an empty store of its own at each call and
// closes it with t.Cleanup.
func Actions(t *testing.T, open func(t *testing.T) action.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s action.Store)
	}{
		{"DefinitionsReadAfterWrite", definitionsReadAfterWrite},
		{"DefinitionTextComesBackAsItWas", definitionTextComesBackAsItWas},
		{"DefinitionIdentifierTaken", definitionIdentifierTaken},
		{"DefinitionRename", definitionRename},
		{"DefinitionReplaceConflict", definitionReplaceConflict},
		{"DefinitionDeleteFreesIdentifier", definitionDeleteFreesIdentifier},
		{"DefinitionStampMoves", definitionStampMoves},
		{"Sentences", actionSentences},
		{"DefinitionCarriesPermissions", definitionCarriesPermissions},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

func definition(identifier string, now time.Time) *action.Record {
	return &action.Record{
		Identifier: identifier,
		ID:         "action_" + (identifier + "0123456789abcdef")[:16],
		Definition: json.RawMessage(`{"identifier":"` + identifier + `","trigger":{"type":"self-service"}}`),
		CreatedAt:  now, UpdatedAt: now, CreatedBy: "client_1", UpdatedBy: "client_1",
	}
}

func createDefinition(t *testing.T, s action.Store, r *action.Record) *action.Record {
	t.Helper()
	if err := s.Create(t.Context(), r); err != nil {
		t.Fatalf("create definition: %v", err)
	}
	return getDefinition(t, s, r.Identifier)
}

func getDefinition(t *testing.T, s action.Store, identifier string) *action.Record {
	t.Helper()
	r, err := s.Get(t.Context(), identifier)
	if err != nil {
		t.Fatalf("get definition: %v", err)
	}
	return r
}

func definitions(t *testing.T, s action.Store) (identifiers []string) {
	t.Helper()
	all, err := s.List(t.Context())
	if err != nil {
		t.Fatalf("list definitions: %v", err)
	}
	for _, r := range all {
		identifiers = append(identifiers, r.Identifier)
	}
	return identifiers
}

var withoutRev = cmpopts.IgnoreFields(action.Record{}, "Rev")

func definitionsReadAfterWrite(t *testing.T, s action.Store) {
	now := startOfTest()
	if got := definitions(t, s); len(got) != 0 {
		t.Errorf("an empty store lists %v", got)
	}
	_, err := s.Get(t.Context(), "deploy")
	wantKind(t, err, fault.NotFound)
	for i, identifier := range []string{"deploy", "a", "größe", "Zeta"} {
		r := definition(identifier, now)
		if diff := cmp.Diff(r, createDefinition(t, s, r), withoutRev); diff != "" {
			t.Errorf("definition (-want +got):\n%s", diff)
		}
		if got := definitions(t, s); len(got) != i+1 {
			t.Errorf("%d definitions are listed after %d creates", len(got), i+1)
		}
	}
	if diff := cmp.Diff([]string{"Zeta", "a", "deploy", "größe"}, definitions(t, s)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	r := getDefinition(t, s, "deploy")
	rev := r.Rev
	r.Definition = json.RawMessage(`{"identifier":"deploy","title":"Deploy"}`)
	r.UpdatedAt, r.UpdatedBy = now.Add(time.Second), "client_2"
	want := *r
	if err := s.Replace(t.Context(), "deploy", r); err != nil {
		t.Fatalf("replace: %v", err)
	}
	got := getDefinition(t, s, "deploy")
	if diff := cmp.Diff(&want, got, withoutRev); diff != "" {
		t.Errorf("replaced definition (-want +got):\n%s", diff)
	}
	if got.Rev <= rev {
		t.Errorf("rev is %d after %d", got.Rev, rev)
	}
}

func definitionTextComesBackAsItWas(t *testing.T, s action.Store) {
	r := definition(strings.Repeat("ü", 100), startOfTest())
	r.ID = "action_0123456789abcdef"
	r.Definition = json.RawMessage(awkward[:len(awkward)-1] + `,"big":"` + strings.Repeat("x", 300<<10) + `"}`)
	got := createDefinition(t, s, r)
	if diff := cmp.Diff(r, got, withoutRev); diff != "" {
		t.Errorf("definition (-want +got):\n%s", diff)
	}
	all, err := s.List(t.Context())
	if err != nil {
		t.Fatalf("list definitions: %v", err)
	}
	if diff := cmp.Diff([]*action.Record{got}, all); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

// wantWord fails the test unless err is a conflict with that word.
func wantWord(t *testing.T, err error, word string) {
	t.Helper()
	wantKind(t, err, fault.Conflict)
	if !fault.Is(err, word) {
		t.Errorf("got error %v, want the word %s", err, word)
	}
}

func definitionIdentifierTaken(t *testing.T, s action.Store) {
	now := startOfTest()
	first := createDefinition(t, s, definition("deploy", now))
	second := definition("deploy", now)
	second.ID = "action_another000000000"
	wantWord(t, s.Create(t.Context(), second), "identifier_taken")
	if diff := cmp.Diff(first, getDefinition(t, s, "deploy")); diff != "" {
		t.Errorf("the refused create changed the definition (-want +got):\n%s", diff)
	}
	won := 0
	for i, err := range gather(10, func(i int) error {
		r := definition("raced", now)
		r.ID = fmt.Sprintf("action_%016d", i)
		return s.Create(t.Context(), r)
	}) {
		if err == nil {
			won++
			continue
		}
		if !fault.Is(err, "identifier_taken") {
			t.Errorf("create %d: %v", i, err)
		}
	}
	if won != 1 {
		t.Errorf("%d creates of one identifier won, want 1", won)
	}
}

func definitionRename(t *testing.T, s action.Store) {
	now := startOfTest()
	r := createDefinition(t, s, definition("old", now))
	createDefinition(t, s, definition("taken", now))
	rename := *r
	rename.Identifier = "taken"
	wantWord(t, s.Replace(t.Context(), "old", &rename), "identifier_taken")
	if diff := cmp.Diff(r, getDefinition(t, s, "old")); diff != "" {
		t.Errorf("the refused rename changed the definition (-want +got):\n%s", diff)
	}

	rename = *r
	rename.Identifier = "new"
	want := rename
	if err := s.Replace(t.Context(), "old", &rename); err != nil {
		t.Fatalf("rename: %v", err)
	}
	if diff := cmp.Diff(&want, getDefinition(t, s, "new"), withoutRev); diff != "" {
		t.Errorf("renamed definition (-want +got):\n%s", diff)
	}
	_, err := s.Get(t.Context(), "old")
	wantKind(t, err, fault.NotFound)
	if diff := cmp.Diff([]string{"new", "taken"}, definitions(t, s)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	// The old identifier is free, and so is a way back.
	createDefinition(t, s, definition("old", now))
	third := *getDefinition(t, s, "new")
	third.Identifier = "newer"
	if err := s.Replace(t.Context(), "new", &third); err != nil {
		t.Fatalf("rename again: %v", err)
	}
	back := *getDefinition(t, s, "newer")
	back.Identifier = "new"
	if err := s.Replace(t.Context(), "newer", &back); err != nil {
		t.Fatalf("rename back: %v", err)
	}
	if got := getDefinition(t, s, "new"); got.ID != r.ID {
		t.Errorf("id is %s after renames, want %s", got.ID, r.ID)
	}
}

func definitionReplaceConflict(t *testing.T, s action.Store) {
	now := startOfTest()
	wantKind(t, s.Replace(t.Context(), "none", definition("none", now)), fault.NotFound)
	r := createDefinition(t, s, definition("deploy", now))
	first, second, renamed := *r, *r, *r
	first.UpdatedBy, second.UpdatedBy = "first", "second"
	renamed.Identifier = "elsewhere"
	if err := s.Replace(t.Context(), "deploy", &first); err != nil {
		t.Fatalf("replace: %v", err)
	}
	wantWord(t, s.Replace(t.Context(), "deploy", &second), "conflict")
	wantWord(t, s.Replace(t.Context(), "deploy", &renamed), "conflict")
	if got := getDefinition(t, s, "deploy"); got.UpdatedBy != "first" {
		t.Errorf("updated by %s, want first", got.UpdatedBy)
	}
	_, err := s.Get(t.Context(), "elsewhere")
	wantKind(t, err, fault.NotFound)
}

func definitionDeleteFreesIdentifier(t *testing.T, s action.Store) {
	now := startOfTest()
	wantKind(t, s.Delete(t.Context(), "deploy", "client_1", now), fault.NotFound)
	old := createDefinition(t, s, definition("deploy", now))
	if err := s.Delete(t.Context(), "deploy", "client_1", now); err != nil {
		t.Fatalf("delete: %v", err)
	}
	_, err := s.Get(t.Context(), "deploy")
	wantKind(t, err, fault.NotFound)
	wantKind(t, s.Delete(t.Context(), "deploy", "client_1", now), fault.NotFound)
	wantKind(t, s.Replace(t.Context(), "deploy", old), fault.NotFound)
	if got := definitions(t, s); len(got) != 0 {
		t.Errorf("deleted definitions are listed: %v", got)
	}

	again := definition("deploy", now.Add(time.Second))
	again.ID = "action_again00000000000"
	if diff := cmp.Diff(again, createDefinition(t, s, again), withoutRev); diff != "" {
		t.Errorf("created over a deleted one (-want +got):\n%s", diff)
	}
	// What was read before the delete does not replace what came after it.
	wantWord(t, s.Replace(t.Context(), "deploy", old), "conflict")
	// A rename may take the identifier of a deleted definition.
	other := createDefinition(t, s, definition("other", now))
	if err := s.Delete(t.Context(), "deploy", "client_1", now); err != nil {
		t.Fatalf("delete: %v", err)
	}
	other.Identifier = "deploy"
	if err := s.Replace(t.Context(), "other", other); err != nil {
		t.Fatalf("rename over a deleted one: %v", err)
	}
	if diff := cmp.Diff([]string{"deploy"}, definitions(t, s)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func definitionStampMoves(t *testing.T, s action.Store) {
	now := startOfTest()
	seen := map[int64]string{}
	moved := func(by string) {
		t.Helper()
		stamp, err := s.Stamp(t.Context())
		if err != nil {
			t.Fatalf("stamp: %v", err)
		}
		if before, ok := seen[stamp]; ok {
			t.Errorf("stamp %d after %s is that of %s", stamp, by, before)
		}
		seen[stamp] = by
	}
	moved("start")
	r := createDefinition(t, s, definition("deploy", now))
	moved("create")
	if err := s.Replace(t.Context(), "deploy", r); err != nil {
		t.Fatalf("replace: %v", err)
	}
	moved("replace")
	r = getDefinition(t, s, "deploy")
	r.Identifier = "renamed"
	if err := s.Replace(t.Context(), "deploy", r); err != nil {
		t.Fatalf("rename: %v", err)
	}
	moved("rename")
	if err := s.Delete(t.Context(), "renamed", "client_1", now); err != nil {
		t.Fatalf("delete: %v", err)
	}
	moved("delete")
	createDefinition(t, s, definition("renamed", now))
	moved("create again")
}

// definitionCarriesPermissions writes permissions, renames and deletes the definition, and makes another
// one in its place.
func definitionCarriesPermissions(t *testing.T, s action.Store) {
	now := startOfTest()
	want := func(identifier string, permissions json.RawMessage) *action.Record {
		t.Helper()
		r := getDefinition(t, s, identifier)
		if diff := cmp.Diff(permissions, r.Permissions); diff != "" {
			t.Errorf("permissions of %s (-want +got):\n%s", identifier, diff)
		}
		return r
	}
	createDefinition(t, s, definition("deploy", now))
	r := want("deploy", nil)
	permissions := json.RawMessage(awkward[:len(awkward)-1] + `,"big":"` + strings.Repeat("x", 300<<10) + `"}`)
	r.Permissions = permissions
	if err := s.Replace(t.Context(), "deploy", r); err != nil {
		t.Fatalf("write permissions: %v", err)
	}
	r = want("deploy", permissions)
	if diff := cmp.Diff(definition("deploy", now).Definition, r.Definition); diff != "" {
		t.Errorf("definition after its permissions were written (-want +got):\n%s", diff)
	}
	r.Identifier = "renamed"
	if err := s.Replace(t.Context(), "deploy", r); err != nil {
		t.Fatalf("rename: %v", err)
	}
	want("renamed", permissions)
	createDefinition(t, s, definition("deploy", now))
	want("deploy", nil)
	all, err := s.List(t.Context())
	if err != nil {
		t.Fatalf("list definitions: %v", err)
	}
	for _, r := range all {
		if got, has := r.Permissions != nil, r.Identifier == "renamed"; got != has {
			t.Errorf("the list has permissions of %s: %t, want %t", r.Identifier, got, has)
		}
	}
	if err := s.Delete(t.Context(), "renamed", "client_1", now); err != nil {
		t.Fatalf("delete: %v", err)
	}
	createDefinition(t, s, definition("renamed", now))
	want("renamed", nil)
}
