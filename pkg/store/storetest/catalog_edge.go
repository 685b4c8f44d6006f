package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
)

// faultDetails returns the details of a fault.
func faultDetails(err error) []fault.Detail {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Details
	}
	return nil
}

// sources follows the edges to an entity to the end and returns them sorted.
func sources(t *testing.T, s catalog.Store, target catalog.Key, limit int) (all []catalog.Edge) {
	t.Helper()
	from := ""
	for range 10_000 {
		edges, next, err := s.Sources(t.Context(), target, from, limit)
		if err != nil {
			t.Fatalf("edges: %v", err)
		}
		if len(edges) > limit {
			t.Fatalf("%d edges, the limit is %d", len(edges), limit)
		}
		all = append(all, edges...)
		if next == "" {
			sortEdges(all)
			return all
		}
		from = next
	}
	t.Fatalf("the edges do not end: %d", len(all))
	return nil
}

func sortEdges(edges []catalog.Edge) {
	slices.SortFunc(edges, func(a, b catalog.Edge) int {
		return cmp.Or(cmp.Compare(a.Relation, b.Relation), cmp.Compare(a.Source.Blueprint, b.Source.Blueprint),
			cmp.Compare(a.Source.Identifier, b.Source.Identifier))
	})
}

// wantSources fails the test unless these are the edges to an entity, each once.
func wantSources(t *testing.T, s catalog.Store, target catalog.Key, want ...catalog.Edge) {
	t.Helper()
	want = slices.Clone(want)
	sortEdges(want)
	if diff := gocmp.Diff(want, sources(t, s, target, 100), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("edges (-want +got):\n%s", diff)
	}
}

func edgesBothWays(t *testing.T, s catalog.Store) {
	now := startOfTest()
	services, teams := catalog.NewBlueprintID(), catalog.NewBlueprintID()
	long := strings.Repeat("ü", catalog.MaxEntityIdentifier-1)
	cart, checkout := catalog.Key{Blueprint: services, Identifier: "cart"}, catalog.Key{Blueprint: services, Identifier: "checkout"}
	x, y := catalog.Key{Blueprint: teams, Identifier: long + "x"}, catalog.Key{Blueprint: teams, Identifier: long + "y"}
	edge := func(source catalog.Key, relation string, target catalog.Key) catalog.Edge {
		return catalog.Edge{Source: source, Relation: relation, Target: target}
	}
	wantSources(t, s, cart)

	createEntity(t, s, newEntity(teams, x.Identifier, now), edge(x, "owns", cart), edge(x, "owns", checkout))
	createEntity(t, s, newEntity(teams, y.Identifier, now), edge(y, "owns", cart))
	// To itself, to one entity by two relations, and before the target is there.
	c := createEntity(t, s, newEntity(services, "cart", now),
		edge(cart, "owner", x), edge(cart, "backup", x), edge(cart, "uses", checkout), edge(cart, "uses", cart))
	createEntity(t, s, newEntity(services, "checkout", now), edge(checkout, "owner", y))

	check := func(want map[catalog.Key][]catalog.Edge) {
		t.Helper()
		for _, target := range []catalog.Key{cart, checkout, x, y} {
			wantSources(t, s, target, want[target]...)
		}
		wantSources(t, s, catalog.Key{Blueprint: teams, Identifier: "cart"})
	}
	want := map[catalog.Key][]catalog.Edge{
		cart:     {edge(x, "owns", cart), edge(y, "owns", cart), edge(cart, "uses", cart)},
		checkout: {edge(x, "owns", checkout), edge(cart, "uses", checkout)},
		x:        {edge(cart, "owner", x), edge(cart, "backup", x)},
		y:        {edge(checkout, "owner", y)},
	}
	check(want)

	// A replace adds, keeps what it names again or does not name, and removes what is stale.
	c = replaceEntity(t, s, c, []catalog.Edge{edge(cart, "owner", y), edge(cart, "uses", checkout)}, []catalog.Edge{edge(cart, "owner", x)})
	want[x] = []catalog.Edge{edge(cart, "backup", x)}
	want[y] = append(want[y], edge(cart, "owner", y))
	check(want)

	// A delete removes the entity's own edges; those to it are other entities'.
	deleteEntity(t, s, c, edge(cart, "owner", y), edge(cart, "backup", x), edge(cart, "uses", checkout), edge(cart, "uses", cart))
	check(map[catalog.Key][]catalog.Edge{
		cart:     {edge(x, "owns", cart), edge(y, "owns", cart)},
		checkout: {edge(x, "owns", checkout)},
		y:        {edge(checkout, "owner", y)},
	})
}

// Edges are hints that a crash leaves without their entities: whoever writes or removes them again
// is not told that they are there, or gone.
func edgeStaleIgnored(t *testing.T, s catalog.Store) {
	now := startOfTest()
	bp := catalog.NewBlueprintID()
	source, target := catalog.Key{Blueprint: bp, Identifier: "source"}, catalog.Key{Blueprint: bp, Identifier: "target"}
	edge := catalog.Edge{Source: source, Relation: "uses", Target: target}
	other := catalog.Edge{Source: source, Relation: "other", Target: target}

	e := createEntity(t, s, newEntity(bp, "source", now), edge)
	// The author forgot the edge, as one that crashed would.
	deleteEntity(t, s, e)
	noEntity(t, s, source)
	e = createEntity(t, s, newEntity(bp, "source", now), edge)
	wantSources(t, s, target, edge)
	// What is written again is there once, what is removed again is gone.
	e = replaceEntity(t, s, e, []catalog.Edge{edge, edge}, []catalog.Edge{other})
	wantSources(t, s, target, edge)
	for range 2 {
		e = replaceEntity(t, s, e, nil, []catalog.Edge{edge, edge})
		wantSources(t, s, target)
	}
	deleteEntity(t, s, e, edge, other)
	wantSources(t, s, target)
}

func edgesOfRefusedWriteStay(t *testing.T, s catalog.Store) {
	now := startOfTest()
	bp := catalog.NewBlueprintID()
	source, target := catalog.Key{Blueprint: bp, Identifier: "source"}, catalog.Key{Blueprint: bp, Identifier: "target"}
	edge := catalog.Edge{Source: source, Relation: "uses", Target: target}
	stale := createEntity(t, s, newEntity(bp, "source", now), edge)
	current := *stale
	replaceEntity(t, s, &current, nil, nil)

	wantWord(t, s.ReplaceEntity(t.Context(), stale, nil, []catalog.Edge{edge}), "conflict")
	wantSources(t, s, target, edge)
	wantWord(t, s.DeleteEntity(t.Context(), stale, []catalog.Edge{edge}, author("client_1", now)), "conflict")
	wantSources(t, s, target, edge)
}

func edgesPaging(t *testing.T, s catalog.Store) {
	now := startOfTest()
	bp, target := catalog.NewBlueprintID(), catalog.Key{Blueprint: catalog.NewBlueprintID(), Identifier: "target"}
	neighbours := []catalog.Key{
		{Blueprint: target.Blueprint, Identifier: "target0"}, {Blueprint: target.Blueprint, Identifier: "targe"},
	}
	var want []catalog.Edge
	for i := range 120 {
		source := newEntity(bp, fmt.Sprintf("source-%03d", i), now)
		edges := []catalog.Edge{{Source: source.Key, Relation: "uses", Target: target}}
		if i%3 == 0 {
			edges = append(edges, catalog.Edge{Source: source.Key, Relation: "use", Target: target})
		}
		want = append(want, edges...)
		for _, neighbour := range neighbours {
			edges = append(edges, catalog.Edge{Source: source.Key, Relation: "uses", Target: neighbour})
		}
		if err := s.CreateEntity(t.Context(), source, edges); err != nil {
			t.Fatalf("create entity: %v", err)
		}
	}
	sortEdges(want)
	for _, limit := range []int{1, 7, len(want) - 1, len(want), 1_000} {
		if diff := gocmp.Diff(want, sources(t, s, target, limit)); diff != "" {
			t.Errorf("edges by %d (-want +got):\n%s", limit, diff)
		}
	}

	// One at a time, and each is removed once it was read: the place where to go on stays good.
	from, seen := "", 0
	for seen < 10*len(want) {
		edges, next, err := s.Sources(t.Context(), target, from, 1)
		if err != nil {
			t.Fatalf("edges: %v", err)
		}
		for _, edge := range edges {
			seen++
			replaceEntity(t, s, getEntity(t, s, edge.Source), nil, []catalog.Edge{edge})
		}
		if next == "" {
			break
		}
		from = next
	}
	if seen != len(want) {
		t.Errorf("%d edges were read, want %d", seen, len(want))
	}
	wantSources(t, s, target)

	// Nor does one entity's place lead to another's edges.
	_, next, err := s.Sources(t.Context(), neighbours[0], "", 1)
	if err != nil {
		t.Fatalf("edges: %v", err)
	}
	_, _, err = s.Sources(t.Context(), neighbours[1], next, 1)
	wantFrom(t, "another entity's place", err)
}
