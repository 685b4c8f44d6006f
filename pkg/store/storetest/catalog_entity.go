package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
)

// awkwardContent is an entity's content whose text a decoder and an encoder would change.
const awkwardContent = `{"relations":{"uses":null,"many":[]},"team":[],"properties":` + awkward + `,"title":"Größe \u00e9"}`

func entityReplaceMergeDelete(t *testing.T, s catalog.Store) {
	now := startOfTest()
	bp := catalog.NewBlueprintID()
	key := catalog.Key{Blueprint: bp, Identifier: "cart"}
	for _, key := range []catalog.Key{key, {Blueprint: bp}, {}} {
		noEntity(t, s, key)
	}
	wantKind(t, s.ReplaceEntity(t.Context(), newEntity(bp, "cart", now), nil, nil), fault.NotFound)
	wantKind(t, s.DeleteEntity(t.Context(), newEntity(bp, "cart", now), nil, author("client_1", now)), fault.NotFound)

	e := newEntity(bp, "cart", now)
	e.Content = json.RawMessage(awkwardContent)
	e.Last = author("client_1", now)
	e.Rev = 99 // The store's own matter.
	want := *e
	got := createEntity(t, s, e)
	if diff := cmp.Diff(&want, got, entityWithoutRev); diff != "" {
		t.Errorf("entity (-want +got):\n%s", diff)
	}

	// A replace leaves nothing of what was before.
	rev := got.Rev
	got.Content = json.RawMessage(`{"team":["a","b"],"properties":{"x":1.10},"relations":{}}`)
	got.UpdatedAt, got.UpdatedBy = now.Add(time.Second), "client_2"
	got.Last = catalog.Author{ID: "usr_ada", Origin: "UI", At: now.Add(time.Second)}
	want = *got
	got = replaceEntity(t, s, got, nil, nil)
	if diff := cmp.Diff(&want, got, entityWithoutRev); diff != "" {
		t.Errorf("replaced entity (-want +got):\n%s", diff)
	}
	if got.Rev <= rev {
		t.Errorf("rev is %d after %d", got.Rev, rev)
	}

	// Those who merge read, change and replace, again if somebody else did meanwhile: no change is lost.
	merge := func(i int) error {
		for range 100 {
			e, err := s.Entity(t.Context(), key)
			if err != nil {
				return err
			}
			var content struct {
				Properties map[string]any `json:"properties"`
			}
			if err := json.Unmarshal(e.Content, &content); err != nil {
				return err
			}
			content.Properties[fmt.Sprintf("p%d", i)] = true
			if e.Content, err = json.Marshal(content); err != nil {
				return err
			}
			if err = s.ReplaceEntity(t.Context(), e, nil, nil); !fault.Is(err, "conflict") {
				return err
			}
		}
		return fmt.Errorf("overtaken 100 times")
	}
	together(t, 5, merge, nil)
	got = getEntity(t, s, key)
	const merged = `{"properties":{"p0":true,"p1":true,"p2":true,"p3":true,"p4":true,"x":1.1}}`
	if diff := cmp.Diff(merged, string(got.Content)); diff != "" {
		t.Errorf("merged content (-want +got):\n%s", diff)
	}

	deleteEntity(t, s, got)
	noEntity(t, s, key)
	wantKind(t, s.ReplaceEntity(t.Context(), got, nil, nil), fault.NotFound)
	wantKind(t, s.DeleteEntity(t.Context(), got, nil, author("client_1", now)), fault.NotFound)
	if got := listFrom(t, s, bp, "", 10); len(got) != 0 {
		t.Errorf("deleted entities are listed: %v", got)
	}
}

func entityIdentifierTaken(t *testing.T, s catalog.Store) {
	now := startOfTest()
	bp := catalog.NewBlueprintID()
	first := createEntity(t, s, newEntity(bp, "cart", now))
	wantWord(t, s.CreateEntity(t.Context(), newEntity(bp, "cart", now), nil), "identifier_taken")
	sameEntity(t, s, first)
	// An identifier is one blueprint's, and its case counts.
	createEntity(t, s, newEntity(bp, "Cart", now))
	createEntity(t, s, newEntity(catalog.NewBlueprintID(), "cart", now))
	sameEntity(t, s, first)
}

func entityReplaceConflict(t *testing.T, s catalog.Store) {
	now := startOfTest()
	e := createEntity(t, s, newEntity(catalog.NewBlueprintID(), "cart", now))
	first, second, stranger := *e, *e, *e
	first.UpdatedBy, second.UpdatedBy = "first", "second"
	stranger.ID = catalog.NewEntityID()
	wantWord(t, s.ReplaceEntity(t.Context(), &stranger, nil, nil), "conflict")
	after := replaceEntity(t, s, &first, nil, nil)
	wantWord(t, s.ReplaceEntity(t.Context(), &second, nil, nil), "conflict")
	sameEntity(t, s, after)
}

func entityDeleteConflict(t *testing.T, s catalog.Store) {
	now := startOfTest()
	e := createEntity(t, s, newEntity(catalog.NewBlueprintID(), "cart", now))
	stale, stranger := *e, *e
	e = replaceEntity(t, s, e, nil, nil)
	stranger.ID, stranger.Rev = catalog.NewEntityID(), e.Rev
	for _, other := range []*catalog.Entity{&stale, &stranger} {
		wantWord(t, s.DeleteEntity(t.Context(), other, nil, author("client_1", now)), "conflict")
	}
	sameEntity(t, s, e)

	// Of a replace and deletes at once, one wins.
	replaced := *e
	i := oneWinsOf(t, 6, func(i int) error {
		if i == 0 {
			return s.ReplaceEntity(t.Context(), &replaced, nil, nil)
		}
		return s.DeleteEntity(t.Context(), e, nil, author("client_1", now))
	})
	if i == 0 {
		getEntity(t, s, e.Key)
	} else {
		noEntity(t, s, e.Key)
	}
}

// oneWinsOf is oneWins for callers who may also come when the thing is gone.
func oneWinsOf(t *testing.T, n int, do func(i int) error) (winner int) {
	t.Helper()
	return oneWins(t, n, "conflict", func(i int) error {
		err := do(i)
		if fault.KindOf(err) == fault.NotFound && err != nil {
			return fault.New(fault.Conflict, "conflict", "it is gone")
		}
		return err
	})
}

func entityDeleteNamesAuthor(t *testing.T, s catalog.Store) {
	tombstones, ok := s.(Tombstones)
	if !ok {
		t.Skip("the store does not show what a deletion leaves")
	}
	now := startOfTest()
	bp := catalog.NewBlueprintID()
	for i, identifier := range []string{"cart", strings.Repeat("größe", 200)} {
		e := createEntity(t, s, newEntity(bp, identifier, now))
		by := author("client_2", now.Add(time.Second))
		if i > 0 {
			by.RunID, by.Email, by.Cause = "", "", audit.Cause{}
		}
		if err := s.DeleteEntity(t.Context(), e, nil, by); err != nil {
			t.Fatalf("delete entity: %v", err)
		}
		if diff := cmp.Diff(by, tombstones.EntityDeletedBy(t, e.Key)); diff != "" {
			t.Errorf("deleted by (-want +got):\n%s", diff)
		}
		noEntity(t, s, e.Key)
	}
}

func entityRecreateAfterDelete(t *testing.T, s catalog.Store) {
	now := startOfTest()
	bp := catalog.NewBlueprintID()
	old := createEntity(t, s, newEntity(bp, "cart", now))
	deleteEntity(t, s, old)

	again := newEntity(bp, "cart", now.Add(time.Second))
	again.Content = json.RawMessage(`{"team":[],"properties":{},"relations":{}}`)
	got := createEntity(t, s, again)
	if diff := cmp.Diff(again, got, entityWithoutRev); diff != "" {
		t.Errorf("created over a deleted one (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"cart"}, listFrom(t, s, bp, "", 10)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	// What was read before the delete neither replaces nor deletes what came after it, whatever its rev.
	for _, rev := range []int64{old.Rev, got.Rev} {
		stale := *old
		stale.Rev = rev
		wantWord(t, s.ReplaceEntity(t.Context(), &stale, nil, nil), "conflict")
		wantWord(t, s.DeleteEntity(t.Context(), &stale, nil, author("client_1", now)), "conflict")
	}
	sameEntity(t, s, got)
	wantWord(t, s.CreateEntity(t.Context(), newEntity(bp, "cart", now), nil), "identifier_taken")
	// And once more.
	deleteEntity(t, s, got)
	noEntity(t, s, got.Key)
	createEntity(t, s, newEntity(bp, "cart", now))
}

func entityLongIdentifier(t *testing.T, s catalog.Store) {
	now := startOfTest()
	bp := catalog.NewBlueprintID()
	edges := map[string]catalog.Edge{}
	byIdentifier := map[string]*catalog.Entity{}
	for _, character := range []string{"a", "ü", "日", "😀"} {
		for _, last := range []string{"x", "y"} {
			identifier := strings.Repeat(character, catalog.MaxEntityIdentifier-1) + last
			e := newEntity(bp, identifier, now)
			e.UpdatedBy = character + last
			edge := catalog.Edge{Source: e.Key, Relation: "self", Target: e.Key}
			got := createEntity(t, s, e, edge)
			if diff := cmp.Diff(e, got, entityWithoutRev); diff != "" {
				t.Fatalf("entity (-want +got):\n%s", diff)
			}
			byIdentifier[identifier], edges[identifier] = got, edge
			wantWord(t, s.CreateEntity(t.Context(), newEntity(bp, identifier, now), nil), "identifier_taken")
		}
	}
	var all []string
	for identifier, e := range byIdentifier {
		all = append(all, identifier)
		sameEntity(t, s, e)
		wantSources(t, s, e.Key, edges[identifier])
	}
	slices.Sort(all)
	for _, limit := range []int{1, 3, 100} {
		got := listFrom(t, s, bp, "", limit)
		slices.Sort(got)
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("list by %d (-want +got):\n%s", limit, diff)
		}
	}
	for i, identifier := range all {
		if i%2 == 0 {
			deleteEntity(t, s, byIdentifier[identifier], edges[identifier])
		}
	}
	for i, identifier := range all {
		e := byIdentifier[identifier]
		if i%2 == 0 {
			noEntity(t, s, e.Key)
			wantSources(t, s, e.Key)
			continue
		}
		sameEntity(t, s, e)
		wantSources(t, s, e.Key, edges[identifier])
	}
}

func entitiesByKeys(t *testing.T, s catalog.Store) {
	ctx, now := t.Context(), startOfTest()
	one, two := catalog.NewBlueprintID(), catalog.NewBlueprintID()
	if got, err := s.Entities(ctx, nil); err != nil || len(got) != 0 {
		t.Errorf("no keys: %d entities, error %v", len(got), err)
	}
	keys := []catalog.Key{{Blueprint: one}, {}}
	var want []*catalog.Entity
	for _, identifier := range fill(t, s, one, 300) {
		e := getEntity(t, s, catalog.Key{Blueprint: one, Identifier: identifier})
		want = append(want, e)
		keys = append(keys, e.Key, catalog.Key{Blueprint: two, Identifier: identifier})
	}
	gone := createEntity(t, s, newEntity(two, "gone", now))
	deleteEntity(t, s, gone)
	there := createEntity(t, s, newEntity(two, strings.Repeat("ü", catalog.MaxEntityIdentifier), now))
	want = append(want, there)
	// A key that is asked for twice is answered once.
	keys = append(keys, gone.Key, there.Key, there.Key)
	for i := 0; len(keys) < 1_000; i++ {
		keys = append(keys, catalog.Key{Blueprint: one, Identifier: fmt.Sprintf("none-%d", i)})
	}
	got, err := s.Entities(ctx, keys)
	if err != nil {
		t.Fatalf("entities: %v", err)
	}
	inOrder := cmpopts.SortSlices(func(a, b *catalog.Entity) bool {
		return a.Blueprint+" "+a.Identifier < b.Blueprint+" "+b.Identifier
	})
	if diff := cmp.Diff(want, got, inOrder); diff != "" {
		t.Errorf("entities (-want +got):\n%s", diff)
	}
}

func entityConcurrentCreateOneWins(t *testing.T, s catalog.Store) {
	bp := catalog.NewBlueprintID()
	all := make([]*catalog.Entity, 10)
	for i := range all {
		all[i] = newEntity(bp, "raced", startOfTest())
	}
	i := oneWins(t, len(all), "identifier_taken", func(i int) error {
		return s.CreateEntity(t.Context(), all[i], nil)
	})
	if diff := cmp.Diff(all[i], getEntity(t, s, all[i].Key), entityWithoutRev); diff != "" {
		t.Errorf("entity (-winner +got):\n%s", diff)
	}
}

func entityConcurrentReplaceOneWins(t *testing.T, s catalog.Store) {
	e := createEntity(t, s, newEntity(catalog.NewBlueprintID(), "raced", startOfTest()))
	all := make([]catalog.Entity, 10)
	for i := range all {
		all[i] = *e
		all[i].Content = json.RawMessage(fmt.Sprintf(`{"team":[],"properties":{"n":%d},"relations":{}}`, i))
	}
	i := oneWins(t, len(all), "conflict", func(i int) error {
		return s.ReplaceEntity(t.Context(), &all[i], nil, nil)
	})
	if diff := cmp.Diff(&all[i], getEntity(t, s, e.Key), entityWithoutRev); diff != "" {
		t.Errorf("entity (-winner +got):\n%s", diff)
	}
}
