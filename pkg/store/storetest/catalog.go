package storetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
)

// Tombstones is what a store that Catalog opens has besides: it reads what a deletion left for the
// change feed, which no method of catalog.Store shows. Tests of that are skipped without it.
type Tombstones interface {
	// EntityDeletedBy returns the author that the deletion of an entity named.
	EntityDeletedBy(t *testing.T, key catalog.Key) catalog.Author
	// BlueprintDeletedBy returns the author that the deletion of a blueprint named.
	BlueprintDeletedBy(t *testing.T, identifier string) catalog.Author
}

// Catalog runs every test of catalog.Store. Open returns an empty store of its own at each call and
// closes it with t.Cleanup.
func Catalog(t *testing.T, open func(t *testing.T) catalog.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s catalog.Store)
	}{
		{"DefinitionsReadAfterWrite", blueprintsReadAfterWrite},
		{"BlueprintTextComesBackAsItWas", blueprintTextComesBackAsItWas},
		{"BlueprintIdentifierTaken", blueprintIdentifierTaken},
		{"BlueprintRename", blueprintRename},
		{"BlueprintReplaceConflict", blueprintReplaceConflict},
		{"BlueprintDelete", blueprintDelete},
		{"BlueprintDeleteRefusedInUse", blueprintDeleteRefusedInUse},
		{"BlueprintDeleteNamesAuthor", blueprintDeleteNamesAuthor},
		{"BlueprintDeletedIsKnown", blueprintDeletedIsKnown},
		{"BlueprintDeleting", blueprintDeleting},
		{"BlueprintConcurrentCreateOneWins", blueprintConcurrentCreateOneWins},
		{"BlueprintConcurrentReplaceOneWins", blueprintConcurrentReplaceOneWins},
		{"StampMoves", stampMoves},
		{"EntityReplaceMergeDelete", entityReplaceMergeDelete},
		{"EntityIdentifierTaken", entityIdentifierTaken},
		{"EntityReplaceConflict", entityReplaceConflict},
		{"EntityDeleteConflict", entityDeleteConflict},
		{"EntityDeleteNamesAuthor", entityDeleteNamesAuthor},
		{"EntityRecreateAfterDelete", entityRecreateAfterDelete},
		{"EntityLongIdentifier", entityLongIdentifier},
		{"EntitiesByKeys", entitiesByKeys},
		{"EntityConcurrentCreateOneWins", entityConcurrentCreateOneWins},
		{"EntityConcurrentReplaceOneWins", entityConcurrentReplaceOneWins},
		{"EntityPagingComplete" + pagedName(), entityPagingComplete},
		{"EntityPagingSurvivesWrites", entityPagingSurvivesWrites},
		{"EntityPageEndsByTime", entityPageEndsByTime},
		{"EntityPageEndsBySize", entityPageEndsBySize},
		{"EntityPageOfAnotherBlueprintRefused", entityPageOfAnotherBlueprintRefused},
		{"CountOfBlueprint", countOfBlueprint},
		{"TimerDue", timerDue},
		{"TimerFiresOnce", timerFiresOnce},
		{"TimerMoved", timerMoved},
		{"TimerRacesWrite", timerRacesWrite},
		{"EdgesBothWays", edgesBothWays},
		{"EdgeStaleIgnored", edgeStaleIgnored},
		{"EdgesOfRefusedWriteStay", edgesOfRefusedWriteStay},
		{"EdgesPaging", edgesPaging},
		{"Sentences", catalogSentences},
		{"MigrationReadAfterWrite", migrationReadAfterWrite},
		{"MigrationMovesTheStamp", migrationMovesTheStamp},
		{"MigrationConcurrentUpdateOneWins", migrationConcurrentUpdateOneWins},
		{"MigrationDue", migrationDue},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

var (
	blueprintWithoutRev = cmpopts.IgnoreFields(catalog.Blueprint{}, "Rev")
	entityWithoutRev    = cmpopts.IgnoreFields(catalog.Entity{}, "Rev")
)

// newBlueprint returns a blueprint that is not stored.
func newBlueprint(identifier string, now time.Time) *catalog.Blueprint {
	return &catalog.Blueprint{
		Identifier: identifier,
		ID:         catalog.NewBlueprintID(),
		Definition: json.RawMessage(`{"identifier":"` + identifier + `","schema":{"properties":{},"required":[]}}`),
		Page:       true,
		CreatedAt:  now, UpdatedAt: now, CreatedBy: "client_1", UpdatedBy: "client_1",
	}
}

func createBlueprint(t *testing.T, s catalog.Store, b *catalog.Blueprint) *catalog.Blueprint {
	t.Helper()
	if err := s.CreateBlueprint(t.Context(), b); err != nil {
		t.Fatalf("create blueprint: %v", err)
	}
	return getBlueprint(t, s, b.Identifier)
}

func getBlueprint(t *testing.T, s catalog.Store, identifier string) *catalog.Blueprint {
	t.Helper()
	b, err := s.Blueprint(t.Context(), identifier)
	if err != nil {
		t.Fatalf("get blueprint: %v", err)
	}
	return b
}

func replaceBlueprint(t *testing.T, s catalog.Store, identifier string, b *catalog.Blueprint) *catalog.Blueprint {
	t.Helper()
	if err := s.ReplaceBlueprint(t.Context(), identifier, b); err != nil {
		t.Fatalf("replace blueprint: %v", err)
	}
	return getBlueprint(t, s, b.Identifier)
}

func deleteBlueprint(t *testing.T, s catalog.Store, b *catalog.Blueprint, by catalog.Author) {
	t.Helper()
	if err := s.DeleteBlueprint(t.Context(), b, by); err != nil {
		t.Fatalf("delete blueprint: %v", err)
	}
}

func blueprints(t *testing.T, s catalog.Store) (identifiers []string) {
	t.Helper()
	all, err := s.Blueprints(t.Context())
	if err != nil {
		t.Fatalf("list blueprints: %v", err)
	}
	for _, b := range all {
		identifiers = append(identifiers, b.Identifier)
	}
	return identifiers
}

// author returns who changes something at a time, through a run.
func author(id string, at time.Time) catalog.Author {
	return catalog.Author{
		ID: id, Email: id + "@example.com", Origin: "AUTOMATION", RunID: "r_0123456789abcdef", At: at,
		Cause: audit.Cause{EventID: "01J00000000000000000000000", RunID: "r_fedcba9876543210", Depth: 3},
	}
}

// newEntity returns an entity that is not stored.
func newEntity(blueprint, identifier string, now time.Time) *catalog.Entity {
	return &catalog.Entity{
		Key:       catalog.Key{Blueprint: blueprint, Identifier: identifier},
		ID:        catalog.NewEntityID(),
		Content:   json.RawMessage(`{"title":"An entity","team":[],"properties":{"n":1},"relations":{}}`),
		CreatedAt: now, UpdatedAt: now, CreatedBy: "client_1", UpdatedBy: "client_1",
		Last: catalog.Author{ID: "client_1", Origin: "API", At: now},
	}
}

func createEntity(t *testing.T, s catalog.Store, e *catalog.Entity, edges ...catalog.Edge) *catalog.Entity {
	t.Helper()
	if err := s.CreateEntity(t.Context(), e, edges); err != nil {
		t.Fatalf("create entity: %v", err)
	}
	return getEntity(t, s, e.Key)
}

func getEntity(t *testing.T, s catalog.Store, key catalog.Key) *catalog.Entity {
	t.Helper()
	e, err := s.Entity(t.Context(), key)
	if err != nil {
		t.Fatalf("get entity: %v", err)
	}
	return e
}

func replaceEntity(t *testing.T, s catalog.Store, e *catalog.Entity, edges, stale []catalog.Edge) *catalog.Entity {
	t.Helper()
	if err := s.ReplaceEntity(t.Context(), e, edges, stale); err != nil {
		t.Fatalf("replace entity: %v", err)
	}
	return getEntity(t, s, e.Key)
}

func deleteEntity(t *testing.T, s catalog.Store, e *catalog.Entity, edges ...catalog.Edge) {
	t.Helper()
	if err := s.DeleteEntity(t.Context(), e, edges, author("client_1", startOfTest())); err != nil {
		t.Fatalf("delete entity: %v", err)
	}
}

// sameEntity fails the test unless what is stored under want's key is want, its Rev included.
func sameEntity(t *testing.T, s catalog.Store, want *catalog.Entity) {
	t.Helper()
	if diff := cmp.Diff(want, getEntity(t, s, want.Key)); diff != "" {
		t.Errorf("entity (-want +got):\n%s", diff)
	}
}

// noEntity fails the test unless there is none under the key.
func noEntity(t *testing.T, s catalog.Store, key catalog.Key) {
	t.Helper()
	_, err := s.Entity(t.Context(), key)
	wantKind(t, err, fault.NotFound)
}

// fill creates n entities of a blueprint, many at a time, and returns their identifiers in order.
func fill(t *testing.T, s catalog.Store, blueprint string, n int) []string {
	t.Helper()
	now := startOfTest()
	identifiers := make([]string, n)
	next := make(chan string)
	go func() {
		defer close(next)
		for i := range identifiers {
			identifiers[i] = fmt.Sprintf("entity-%06d", i)
			next <- identifiers[i]
		}
	}()
	var all sync.WaitGroup
	for range 128 {
		all.Go(func() {
			for identifier := range next {
				if err := s.CreateEntity(t.Context(), newEntity(blueprint, identifier, now), nil); err != nil {
					t.Errorf("create entity %s: %v", identifier, err)
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return identifiers
}

// listFrom follows a list to its last page and returns the identifiers in the list's order.
func listFrom(t *testing.T, s catalog.Store, blueprint, from string, limit int) (identifiers []string) {
	t.Helper()
	for range 10_000 {
		page, err := s.List(t.Context(), blueprint, from, limit)
		if err != nil {
			t.Fatalf("list entities: %v", err)
		}
		if len(page.Entities) > limit {
			t.Fatalf("a page of %d entities, the limit is %d", len(page.Entities), limit)
		}
		for _, e := range page.Entities {
			if e.Blueprint != blueprint {
				t.Fatalf("entity %s is of blueprint %s, want %s", e.Identifier, e.Blueprint, blueprint)
			}
			identifiers = append(identifiers, e.Identifier)
		}
		if page.Next == "" {
			return identifiers
		}
		if page.Next == from {
			t.Fatalf("a page of %d entities leads to itself", len(page.Entities))
		}
		from = page.Next
	}
	t.Fatalf("the list does not end: %d entities", len(identifiers))
	return nil
}
