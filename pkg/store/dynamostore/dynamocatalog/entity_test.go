package dynamocatalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

const service = "bp_0123456789ABCDEF"

var withoutRev = cmp.Options{
	cmpopts.IgnoreFields(catalog.Blueprint{}, "Rev"), cmpopts.IgnoreFields(catalog.Entity{}, "Rev"),
}

func startOfTest() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// newCatalog returns an empty store and its table.
func newCatalog(t *testing.T) (s *dynamocatalog.Catalog, client *dynamodb.Client, name string) {
	t.Helper()
	client, name = newTable(t)
	return dynamocatalog.NewCatalog(client, name, time.Now), client, name
}

func newBlueprint(identifier string, now time.Time) *catalog.Blueprint {
	return &catalog.Blueprint{
		Identifier: identifier, ID: catalog.NewBlueprintID(), Definition: json.RawMessage(`{"z":1,"a":1.0}`),
		Page: true, CreatedAt: now, UpdatedAt: now, CreatedBy: "client_1", UpdatedBy: "client_2",
	}
}

func newEntity(identifier string, now time.Time) *catalog.Entity {
	return &catalog.Entity{
		Key: catalog.Key{Blueprint: service, Identifier: identifier}, ID: catalog.NewEntityID(),
		Content:   json.RawMessage(`{"title":"Cart","team":[],"properties":{"n":1.0}}`),
		CreatedAt: now, UpdatedAt: now, CreatedBy: "client_1", UpdatedBy: "client_2",
		Last: catalog.Author{ID: "client_2", Origin: "API", RunID: "r_1", At: now},
	}
}

func edge(source catalog.Key, relation, target string) catalog.Edge {
	return catalog.Edge{Source: source, Relation: relation, Target: catalog.Key{Blueprint: "bp_target", Identifier: target}}
}

func createEntity(t *testing.T, s *dynamocatalog.Catalog, e *catalog.Entity, edges ...catalog.Edge) *catalog.Entity {
	t.Helper()
	if err := s.CreateEntity(t.Context(), e, edges); err != nil {
		t.Fatalf("create entity: %v", err)
	}
	return getEntity(t, s, e.Key)
}

func getEntity(t *testing.T, s *dynamocatalog.Catalog, k catalog.Key) *catalog.Entity {
	t.Helper()
	e, err := s.Entity(t.Context(), k)
	if err != nil {
		t.Fatalf("get entity: %v", err)
	}
	return e
}

// sources returns all edges to a target, read in pages of two.
func sources(t *testing.T, s *dynamocatalog.Catalog, target catalog.Key) []catalog.Edge {
	t.Helper()
	var all []catalog.Edge
	for from := ""; ; {
		edges, next, err := s.Sources(t.Context(), target, from, 2)
		if err != nil {
			t.Fatalf("sources: %v", err)
		}
		if len(edges) > 2 {
			t.Fatalf("a page of %d edges", len(edges))
		}
		all = append(all, edges...)
		if next == "" {
			return all
		}
		from = next
	}
}

// wantFault fails the test unless err is a fault with that word.
func wantFault(t *testing.T, err error, word string) {
	t.Helper()
	if !fault.Is(err, word) {
		t.Errorf("got error %v, want %s", err, word)
	}
}

// stored reads an item as it is.
func stored(t *testing.T, client *dynamodb.Client, name, pk string) map[string]types.AttributeValue {
	t.Helper()
	out, err := client.Query(t.Context(), &dynamodb.QueryInput{
		TableName: &name, ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("pk = :pk"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": &types.AttributeValueMemberS{Value: pk}},
	})
	if err != nil || len(out.Items) != 1 {
		t.Fatalf("%d items in %s, %v; want one", len(out.Items), pk, err)
	}
	return out.Items[0]
}

func TestBlueprints(t *testing.T) {
	t.Parallel()
	s, client, name := newCatalog(t)
	now := startOfTest()
	b := newBlueprint("service", now)
	if err := s.CreateBlueprint(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	wantFault(t, s.CreateBlueprint(t.Context(), b), "identifier_taken")
	got, err := s.Blueprint(t.Context(), "service")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, got, withoutRev); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}

	got.Identifier, got.Permissions, got.Deleting = "renamed", json.RawMessage(`{}`), true
	if err := s.ReplaceBlueprint(t.Context(), "service", got); err != nil {
		t.Fatal(err)
	}
	wantFault(t, s.ReplaceBlueprint(t.Context(), "service", got), "not_found")
	wantFault(t, s.ReplaceBlueprint(t.Context(), "renamed", got), "conflict")
	wantFault(t, s.DeleteBlueprint(t.Context(), got, catalog.Author{}), "conflict")
	all, err := s.Blueprints(t.Context())
	if diff := cmp.Diff([]*catalog.Blueprint{got}, all, withoutRev); err != nil || diff != "" {
		t.Errorf("list, %v (-want +got):\n%s", err, diff)
	}

	by := catalog.Author{ID: "client_1", Origin: "AUTOMATION", RunID: "r_1", At: now}
	if err := s.DeleteBlueprint(t.Context(), all[0], by); err != nil {
		t.Fatal(err)
	}
	wantFault(t, s.DeleteBlueprint(t.Context(), all[0], by), "not_found")
	if err := s.CreateBlueprint(t.Context(), newBlueprint("renamed", now)); err != nil {
		t.Errorf("create over a deleted one: %v", err)
	}
	if stamp, err := s.Stamp(t.Context()); err != nil || stamp != 4 {
		t.Errorf("stamp %d after 4 changes, %v", stamp, err)
	}
	if other, err := dynamocatalog.NewActions(client, name).Stamp(t.Context()); err != nil || other != 0 {
		t.Errorf("the stamp of actions is %d, %v", other, err)
	}
}

func TestDeletedEntityNamesItsAuthor(t *testing.T) {
	t.Parallel()
	s, client, name := newCatalog(t)
	now := startOfTest()
	e := createEntity(t, s, newEntity("cart", now))
	by := catalog.Author{ID: "usr_1", Origin: "UI", RunID: "r_2", At: now}
	if err := s.DeleteEntity(t.Context(), e, nil, by); err != nil {
		t.Fatal(err)
	}
	// SHA-256 of cart starts with 1c: the shard is a part of the key for ever.
	const pk = "entity#" + service + "#c"
	i := stored(t, client, name, pk)
	if got := deletedBy(t, i); got != by {
		t.Errorf("deleted by %v, want %v", got, by)
	}
	if ttl, ok := i["ttl"].(*types.AttributeValueMemberN); !ok || ttl.Value != fmt.Sprint(now.Add(time.Hour).Unix()) {
		t.Errorf("expires at %v", i["ttl"])
	}
	// It counts as absent.
	_, err := s.Entity(t.Context(), e.Key)
	wantFault(t, err, "not_found")
	wantFault(t, s.DeleteEntity(t.Context(), e, nil, by), "not_found")
	wantFault(t, s.ReplaceEntity(t.Context(), e, nil, nil), "not_found")
	if found, err := s.Entities(t.Context(), []catalog.Key{e.Key}); err != nil || len(found) != 0 {
		t.Errorf("found %v, %v", found, err)
	}
	if page, err := s.List(t.Context(), service, "", 10); err != nil || len(page.Entities) != 0 || page.Next != "" {
		t.Errorf("list %v, %v", page, err)
	}
	if n, err := s.Count(t.Context(), service); err != nil || n != 0 {
		t.Errorf("count %d, %v", n, err)
	}
	// One over it is not deleted, does not expire, and is another one.
	createEntity(t, s, newEntity("cart", now))
	if i := stored(t, client, name, pk); i["deleted"] != nil || i["ttl"] != nil {
		t.Error("an entity that was created over a deleted one is deleted or expires")
	}
	wantFault(t, s.ReplaceEntity(t.Context(), e, nil, nil), "conflict")
	wantFault(t, s.DeleteEntity(t.Context(), e, nil, by), "conflict")
}

func TestLongIdentifiers(t *testing.T) {
	t.Parallel()
	s, _, _ := newCatalog(t)
	now := startOfTest()
	common := strings.Repeat("x", catalog.MaxEntityIdentifier-1)
	one, two := newEntity(common+"1", now), newEntity(common+"2", now)
	relation := strings.Repeat("r", 500)
	edges := []catalog.Edge{edge(one.Key, relation, common+"9"), edge(two.Key, relation, common+"9")}
	createEntity(t, s, one, edges[0])
	createEntity(t, s, two, edges[1])
	wantFault(t, s.CreateEntity(t.Context(), one, nil), "identifier_taken")
	found, err := s.Entities(t.Context(), []catalog.Key{one.Key, two.Key, one.Key, {Blueprint: service}, {Blueprint: service, Identifier: common}})
	if err != nil {
		t.Fatal(err)
	}
	byIdentifier := func(a, b *catalog.Entity) int { return strings.Compare(a.Identifier, b.Identifier) }
	slices.SortFunc(found, byIdentifier)
	if diff := cmp.Diff([]*catalog.Entity{one, two}, found, withoutRev); diff != "" {
		t.Errorf("entities (-want +got):\n%s", diff)
	}
	var listed []*catalog.Entity
	for from := ""; ; {
		page, err := s.List(t.Context(), service, from, 1)
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, page.Entities...)
		if from = page.Next; from == "" {
			break
		}
	}
	slices.SortFunc(listed, byIdentifier)
	if diff := cmp.Diff([]*catalog.Entity{one, two}, listed, withoutRev); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	bySource := cmpopts.SortSlices(func(a, b catalog.Edge) bool { return a.Source.Identifier < b.Source.Identifier })
	if diff := cmp.Diff(edges, sources(t, s, edges[0].Target), bySource); diff != "" {
		t.Errorf("edges (-want +got):\n%s", diff)
	}
}

func TestEdgesFollowTheirEntity(t *testing.T) {
	t.Parallel()
	s, _, _ := newCatalog(t)
	now := startOfTest()
	e := newEntity("cart", now)
	a, b := edge(e.Key, "needs", "db"), edge(e.Key, "uses", "db")
	e = createEntity(t, s, e, a)
	other := newEntity("shop", now)
	c, d := edge(other.Key, "needs", "db"), edge(other.Key, "uses", "db")
	createEntity(t, s, other, c, d)
	if diff := cmp.Diff([]catalog.Edge{a, c, d}, sources(t, s, a.Target)); diff != "" {
		t.Errorf("after creation (-want +got):\n%s", diff)
	}
	if err := s.ReplaceEntity(t.Context(), e, []catalog.Edge{b}, []catalog.Edge{a}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]catalog.Edge{c, b, d}, sources(t, s, a.Target)); diff != "" {
		t.Errorf("after a change (-want +got):\n%s", diff)
	}
	if err := s.DeleteEntity(t.Context(), getEntity(t, s, e.Key), []catalog.Edge{b}, catalog.Author{At: now}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]catalog.Edge{c, d}, sources(t, s, a.Target)); diff != "" {
		t.Errorf("after deletion (-want +got):\n%s", diff)
	}
	_, next, err := s.Sources(t.Context(), a.Target, "", 1)
	if err != nil || next == "" {
		t.Fatalf("next %q, %v", next, err)
	}
	_, _, err = s.Sources(t.Context(), catalog.Key{Blueprint: "bp_target", Identifier: "queue"}, next, 1)
	wantFault(t, err, "invalid_request")
}

// between calls do before an edge is removed, once.
type between struct {
	*dynamodb.Client
	do func()
}

func (c *between) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, o ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	if do := c.do; do != nil {
		c.do = nil
		do()
	}
	return c.Client.DeleteItem(ctx, in, o...)
}

// A writer that drops a relation and is slow does not take the edge of one that names the target again.
func TestLateRemovalLeavesNewerEdge(t *testing.T) {
	t.Parallel()
	now := startOfTest()
	e := newEntity("cart", now)
	needs := []catalog.Edge{edge(e.Key, "needs", "db")}
	for _, c := range []struct {
		name string
		// again names the target once more, while the edge is about to be removed.
		again func(t *testing.T, s *dynamocatalog.Catalog)
	}{
		{"written again", func(t *testing.T, s *dynamocatalog.Catalog) {
			if err := s.ReplaceEntity(t.Context(), getEntity(t, s, e.Key), needs, nil); err != nil {
				t.Error(err)
			}
		}},
		{"deleted and made again", func(t *testing.T, s *dynamocatalog.Catalog) {
			if err := s.DeleteEntity(t.Context(), getEntity(t, s, e.Key), nil, catalog.Author{At: now}); err != nil {
				t.Error(err)
			}
			createEntity(t, s, newEntity("cart", now), needs...)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, client, name := newCatalog(t)
			first := createEntity(t, s, e, needs...)
			slow := dynamocatalog.NewCatalog(&between{client, func() { c.again(t, s) }}, name, time.Now)
			if err := slow.ReplaceEntity(t.Context(), first, nil, needs); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(needs, sources(t, s, needs[0].Target)); diff != "" {
				t.Errorf("edges (-want +got):\n%s", diff)
			}
		})
	}
}

// losing repeats each write as the SDK does when the answer to the first was lost.
type losing struct {
	*dynamodb.Client
	lost *atomic.Int64
}

func (c losing) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	_, _ = c.Client.PutItem(ctx, in, o...)
	c.lost.Add(1)
	return c.Client.PutItem(ctx, in, o...)
}

func (c losing) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	_, _ = c.Client.UpdateItem(ctx, in, o...)
	c.lost.Add(1)
	return c.Client.UpdateItem(ctx, in, o...)
}

func (c losing) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, o ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	_, _ = c.Client.DeleteItem(ctx, in, o...)
	c.lost.Add(1)
	return c.Client.DeleteItem(ctx, in, o...)
}

func TestLostAnswersAreNotLostRaces(t *testing.T) {
	t.Parallel()
	plain, client, name := newCatalog(t)
	var lost atomic.Int64
	s := dynamocatalog.NewCatalog(losing{client, &lost}, name, time.Now)
	now := startOfTest()
	e := newEntity("cart", now)
	edges := []catalog.Edge{edge(e.Key, "needs", "db")}
	if err := s.CreateEntity(t.Context(), e, edges); err != nil {
		t.Errorf("create: %v", err)
	}
	if err := s.ReplaceEntity(t.Context(), getEntity(t, plain, e.Key), nil, nil); err != nil {
		t.Errorf("replace: %v", err)
	}
	e = getEntity(t, plain, e.Key)
	if e.Rev != 2 {
		t.Errorf("rev %d after two writes", e.Rev)
	}
	if err := s.DeleteEntity(t.Context(), e, edges, catalog.Author{At: now}); err != nil {
		t.Errorf("delete: %v", err)
	}
	if n := lost.Load(); n != 5 {
		t.Errorf("%d answers were lost, want those of edge, creation, change, deletion and removed edge", n)
	}
	if got := sources(t, plain, edges[0].Target); len(got) != 0 {
		t.Errorf("edges stay: %v", got)
	}
}

func TestConcurrentWritersOneWins(t *testing.T) {
	t.Parallel()
	s, _, _ := newCatalog(t)
	now := startOfTest()
	race := func(do func() error) (won int) {
		faults := make(chan error)
		for range 10 {
			go func() { faults <- do() }()
		}
		for range 10 {
			if err := <-faults; err == nil {
				won++
			} else if fault.KindOf(err) != fault.Conflict {
				t.Error(err)
			}
		}
		return won
	}
	if won := race(func() error { return s.CreateEntity(t.Context(), newEntity("cart", now), nil) }); won != 1 {
		t.Errorf("%d creations won", won)
	}
	e := getEntity(t, s, newEntity("cart", now).Key)
	if won := race(func() error { return s.ReplaceEntity(t.Context(), e, nil, nil) }); won != 1 {
		t.Errorf("%d changes won", won)
	}
}
