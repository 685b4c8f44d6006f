package storetest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
)

// paged is how many entities EntityPagingComplete makes: with LONGSHORE_SCALE it is EntityPagingComplete100k,
// the size that a blueprint stays usable with; an emulated DynamoDB takes minutes for them.
func paged() int {
	if os.Getenv("LONGSHORE_SCALE") != "" {
		return 100_000
	}
	return 2_000
}

func pagedName() string { return fmt.Sprintf("%dk", paged()/1_000) }

func entityPagingComplete(t *testing.T, s catalog.Store) {
	bp := catalog.NewBlueprintID()
	want := fill(t, s, bp, paged())
	// Neighbours that no list of the blueprint may show.
	fill(t, s, bp+"0", 3)
	fill(t, s, bp[:len(bp)-1], 3)
	first := listFrom(t, s, bp, "", 1_000)
	sorted := slices.Sorted(slices.Values(first))
	if diff := cmp.Diff(want, sorted); diff != "" {
		t.Fatalf("listed by 1,000 (-want +got):\n%s", diff)
	}
	for _, limit := range []int{999, len(want), len(want) + 1} {
		if diff := cmp.Diff(first, listFrom(t, s, bp, "", limit)); diff != "" {
			t.Errorf("listed by %d, in the order by 1,000 (-want +got):\n%s", limit, diff)
		}
	}
	if got := listFrom(t, s, catalog.NewBlueprintID(), "", 10); len(got) != 0 {
		t.Errorf("a blueprint without entities lists %v", got)
	}
}

func entityPagingSurvivesWrites(t *testing.T, s catalog.Store) {
	ctx, now := t.Context(), startOfTest()
	bp := catalog.NewBlueprintID()
	identifiers := fill(t, s, bp, 200)
	deleted, stays := map[string]bool{}, map[string]bool{}
	for i, identifier := range identifiers {
		if i%3 > 0 {
			stays[identifier] = true
		}
	}
	seen := map[string]int{}
	from := ""
	for number := 0; ; number++ {
		page, err := s.List(ctx, bp, from, 7)
		if err != nil {
			t.Fatalf("page %d: %v", number, err)
		}
		for i, e := range page.Entities {
			seen[e.Identifier]++
			if deleted[e.Identifier] {
				t.Errorf("page %d has %s, which was deleted before", number, e.Identifier)
			}
			switch {
			// The last of a page is where the next one begins: it goes, or is written over.
			case i == len(page.Entities)-1 && !stays[e.Identifier]:
				deleteEntity(t, s, e)
				deleted[e.Identifier] = true
			case stays[e.Identifier]:
				replaceEntity(t, s, e, nil, nil)
			}
		}
		// Others come and go before, between and behind.
		for _, name := range []string{"a-%d", "entity-000100-%d", "zz-%d"} {
			createEntity(t, s, newEntity(bp, fmt.Sprintf(name, number), now))
		}
		if i := 3 * (number % (len(identifiers) / 3)); !deleted[identifiers[i]] {
			deleteEntity(t, s, getEntity(t, s, catalog.Key{Blueprint: bp, Identifier: identifiers[i]}))
			deleted[identifiers[i]] = true
		}
		if page.Next == "" || number == 1_000 {
			break
		}
		from = page.Next
	}
	for identifier, times := range seen {
		if times != 1 {
			t.Errorf("%s was listed %d times", identifier, times)
		}
	}
	for identifier := range stays {
		if seen[identifier] != 1 {
			t.Errorf("%s was there all the time and is not listed", identifier)
		}
	}
}

func entityPageEndsByTime(t *testing.T, s catalog.Store) {
	bp := catalog.NewBlueprintID()
	want := fill(t, s, bp, 1_000)
	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := s.List(over, bp, "", 10); err == nil {
		t.Error("a list after its deadline has no error")
	}
	// A page that has little time may be short and may be refused, but it does not lose anything:
	// what comes with it and what its Next leads to are all.
	for _, left := range []time.Duration{20 * time.Millisecond, 200 * time.Millisecond, 600 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), left)
		page, err := s.List(ctx, bp, "", 1_000)
		cancel()
		if err != nil {
			wantKind(t, err, fault.Unavailable)
			continue
		}
		if page.Next == "" && len(page.Entities) < len(want) {
			t.Errorf("%v: %d entities, and no more", left, len(page.Entities))
			continue
		}
		var got []string
		for _, e := range page.Entities {
			got = append(got, e.Identifier)
		}
		if page.Next != "" {
			got = append(got, listFrom(t, s, bp, page.Next, 1_000)...)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v: listed (-want +got):\n%s", left, diff)
		}
	}
}

func entityPageEndsBySize(t *testing.T, s catalog.Store) {
	const size, maxPage = 300 << 10, 5 << 20
	now := startOfTest()
	bp := catalog.NewBlueprintID()
	want := map[string]string{}
	var keys []catalog.Key
	noise := rand.New(rand.NewPCG(1, 2)) // Text that no compression makes small.
	for i := range 30 {
		text := make([]byte, size/2)
		for i := range text {
			text[i] = byte(noise.Uint32())
		}
		e := newEntity(bp, fmt.Sprintf("big-%02d", i), now)
		e.Content = json.RawMessage(`{"team":[],"properties":{"text":"` + hex.EncodeToString(text) + `"},"relations":{}}`)
		if err := s.CreateEntity(t.Context(), e, nil); err != nil {
			t.Fatalf("create entity: %v", err)
		}
		want[e.Identifier] = string(e.Content)
		keys = append(keys, e.Key)
	}
	contents := func(all []*catalog.Entity) map[string]string {
		got := map[string]string{}
		for _, e := range all {
			got[e.Identifier] = string(e.Content)
		}
		return got
	}
	var all []*catalog.Entity
	from := ""
	for number := 0; ; number++ {
		page, err := s.List(t.Context(), bp, from, 1_000)
		if err != nil {
			t.Fatalf("page %d: %v", number, err)
		}
		bytes := 0
		for _, e := range page.Entities {
			bytes += len(e.Content)
		}
		if bytes > maxPage+catalog.MaxEntity {
			t.Errorf("page %d has %d bytes", number, bytes)
		}
		all = append(all, page.Entities...)
		if page.Next == "" || number == 1_000 {
			break
		}
		from = page.Next
	}
	if len(all) != len(want) || !cmp.Equal(want, contents(all)) {
		t.Errorf("%d entities are listed, want the same %d", len(all), len(want))
	}
	got, err := s.Entities(t.Context(), keys)
	if err != nil {
		t.Fatalf("entities: %v", err)
	}
	if len(got) != len(want) || !cmp.Equal(want, contents(got)) {
		t.Errorf("%d entities are read by their keys, want the same %d", len(got), len(want))
	}
}

func entityPageOfAnotherBlueprintRefused(t *testing.T, s catalog.Store) {
	ctx := t.Context()
	bp, other := catalog.NewBlueprintID(), catalog.NewBlueprintID()
	target := catalog.Key{Blueprint: bp, Identifier: "entity-000000"}
	for _, bp := range []string{bp, other} {
		fill(t, s, bp, 3)
	}
	page, err := s.List(ctx, bp, "", 1)
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	if page.Next == "" {
		t.Fatal("a page of 1 of 3 entities has no next one")
	}
	tokens := map[string]string{
		"text":      "x",
		"space":     " ",
		"quotes":    `'" OR 1=1 --`,
		"NUL":       "\x00",
		"not UTF-8": "\xff\xfe",
		"an object": base64.RawURLEncoding.EncodeToString([]byte(`{}`)),
		"zeros":     base64.RawURLEncoding.EncodeToString(make([]byte, 40)),
		"long":      strings.Repeat("A", 100_000),
		"an entity": "entity-000000",
	}
	refused := func(name string, err error) {
		t.Helper()
		wantFrom(t, name, err)
	}
	for name, token := range tokens {
		_, err := s.List(ctx, bp, token, 1)
		refused("entities from "+name, err)
		_, _, err = s.Sources(ctx, target, token, 1)
		refused("edges from "+name, err)
	}
	_, err = s.List(ctx, other, page.Next, 1)
	refused("another blueprint's token", err)
	_, _, err = s.Sources(ctx, target, page.Next, 1)
	refused("edges from a token of entities", err)
}

// wantFrom fails the test unless err says that the member from is invalid.
func wantFrom(t *testing.T, name string, err error) {
	t.Helper()
	details := faultDetails(err)
	if err == nil || fault.KindOf(err) != fault.Invalid || len(details) != 1 || details[0].Path != "from" {
		t.Errorf("%s: got error %v, details %v; want an invalid from", name, err, details)
	}
}

func countOfBlueprint(t *testing.T, s catalog.Store) {
	one, two := catalog.NewBlueprintID(), catalog.NewBlueprintID()
	count := func(bp string, want int) {
		t.Helper()
		eventually(t, func() string {
			got, err := s.Count(t.Context(), bp)
			if err != nil {
				t.Fatalf("count: %v", err)
			}
			return cmp.Diff(want, got)
		})
	}
	count(one, 0)
	identifiers := fill(t, s, one, 150)
	fill(t, s, two, 3)
	count(one, 150)
	count(two, 3)
	e := getEntity(t, s, catalog.Key{Blueprint: one, Identifier: identifiers[0]})
	e = replaceEntity(t, s, e, nil, nil)
	count(one, 150)
	deleteEntity(t, s, e)
	count(one, 149)
	count(two, 3)
	createEntity(t, s, newEntity(one, e.Identifier, startOfTest()))
	count(one, 150)
}
