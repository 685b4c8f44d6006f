package dynamofeed_test

import (
	"maps"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/feed"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/dynamostore/dynamofeed"
)

type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: s} }
func number(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

// with returns an item with other attributes beside its own; nil takes one out.
func with(i item, more item) item {
	all := maps.Clone(i)
	for name, v := range more {
		if v == nil {
			delete(all, name)
		} else {
			all[name] = v
		}
	}
	return all
}

func decoder() *dynamofeed.Decoder {
	return &dynamofeed.Decoder{
		Runs:    dynamostore.NewRuns(nil, "", 365*24*time.Hour, time.Now),
		Actions: dynamocatalog.NewActions(nil, ""), Catalog: dynamocatalog.NewCatalog(nil, "", time.Now),
	}
}

// None of these reads anything: there is no table.
func TestWhatIsNoChange(t *testing.T) {
	t.Parallel()
	entity := item{
		"pk": text("entity#bp_1#0"), "sk": text("cart"), "identifier": text("cart"), "id": text("ent_1"), "rev": number("3"),
		"content": text(`{}`), "timerShard": text("1"), "timerAt": text("1767225600000"),
	}
	deleted := &types.AttributeValueMemberM{Value: item{"by": text("client_1")}}
	head := item{
		"pk": text("r_0Ulb3v7wXhQ2kZ9a"), "sk": text("head"), "rev": number("1"), "ttl": number("4102444800"), "status": text("IN_PROGRESS"),
		"generation": number("1"), "detail": text("detail#1#00"),
	}
	definition := item{"pk": text("action"), "sk": text("deploy"), "identifier": text("deploy"), "id": text("action_1"), "rev": number("1"), "definition": text(`{}`)}
	for name, r := range map[string]dynamofeed.Record{
		"nothing":                          {},
		"a timer that was taken out":       {Old: entity, New: with(entity, item{"timerShard": nil, "timerAt": nil, "mark": text("x")})},
		"an entity that was removed":       {Old: entity},
		"a deletion that expires":          {Old: with(entity, item{"deleted": deleted})},
		"a deletion of what is deleted":    {Old: with(entity, item{"deleted": deleted}), New: with(entity, item{"deleted": deleted, "rev": number("4")})},
		"a blueprint":                      {New: item{"pk": text("blueprint"), "sk": text("b"), "deleting": &types.AttributeValueMemberBOOL{Value: true}}},
		"an edge":                          {New: item{"pk": text("edge#bp_1#cart"), "sk": text("x")}},
		"an entry of the audit log":        {New: item{"pk": text("audit#2026-01-01#0"), "sk": text("x")}},
		"a stamp":                          {New: item{"pk": text("stamp"), "sk": text("action")}},
		"a lease":                          {Old: head, New: with(head, item{"rev": number("2"), "lease": number("1767225600000"), "owner": text("x")})},
		"a run that expires":               {Old: head},
		"a change of a run that is past":   {Old: head, New: with(head, item{"status": text("FAILURE"), "ttl": number("1")})},
		"a log line":                       {New: item{"pk": text("r_0Ulb3v7wXhQ2kZ9a"), "sk": text("log#01")}},
		"a notice":                         {New: with(head, item{"pk": text("d_0Ulb3v7wXhQ2kZ9a")})},
		"a breaker":                        {New: item{"pk": text("host#webhook"), "sk": text("example.com")}},
		"an event that was put once more":  {Old: item{"pk": text("event#1"), "sk": text("event")}, New: item{"pk": text("event#1"), "sk": text("event")}},
		"a definition that did not change": {Old: definition, New: with(definition, item{"mark": text("x")})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c, err := decoder().Change(t.Context(), r); c != nil || err != nil {
				t.Errorf("got %+v, %v; want no change", c, err)
			}
		})
	}
}

func TestTimerThatEnded(t *testing.T) {
	t.Parallel()
	got, err := decoder().Change(t.Context(), dynamofeed.Record{New: item{
		"pk": text("event#event_1"), "sk": text("event"), "entities": text("entity#bp_1#c"), "identifier": text("cart"), "id": text("ent_1"),
		"property": text("ttl"), "at": number("1767225600001"), "firedAt": number("1767225660000"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := &feed.Change{Timer: &feed.Timer{
		Key: catalog.Key{Blueprint: "bp_1", Identifier: "cart"}, EntityID: "ent_1", Property: "ttl",
		At: time.UnixMilli(1767225600001).UTC(), Fired: time.UnixMilli(1767225660000).UTC(),
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is deleted and made again under the same rev is another thing.
func TestSameRevOfAnotherEntityIsAChange(t *testing.T) {
	t.Parallel()
	entity := item{
		"pk": text("entity#bp_1#0"), "sk": text("cart"), "identifier": text("cart"), "id": text("ent_1"), "rev": number("1"), "content": text(`{"title":"a"}`),
	}
	got, err := decoder().Change(t.Context(), dynamofeed.Record{Old: entity, New: with(entity, item{"id": text("ent_2")})})
	if err != nil || got == nil || got.Entity.Before.ID != "ent_1" || got.Entity.After.ID != "ent_2" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRecordThatIsNoneOfOurs(t *testing.T) {
	t.Parallel()
	packed := &types.AttributeValueMemberB{Value: []byte("no zstd")}
	for name, r := range map[string]dynamofeed.Record{
		"an entity": {New: item{"pk": text("entity#bp_1#0"), "sk": text("cart"), "content": packed}},
		"an action": {New: item{"pk": text("action"), "sk": text("deploy"), "definition": packed}},
		"a run": {
			Old: item{"pk": text("r_0Ulb3v7wXhQ2kZ9a"), "sk": text("head"), "attempts": text("no JSON")},
			New: item{"pk": text("r_0Ulb3v7wXhQ2kZ9a"), "sk": text("head")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := decoder().Change(t.Context(), r)
			if err == nil || feed.Curable(err) || c != nil {
				t.Errorf("got %+v and error %v, want an error that no other try cures", c, err)
			}
		})
	}
}

func TestItemOfARecord(t *testing.T) {
	t.Parallel()
	keys := item{"pk": text("a"), "sk": text("b")}
	for _, r := range []dynamofeed.Record{{Old: keys}, {New: keys}, {Old: keys, New: with(keys, item{"x": text("1")})}} {
		if r.Item() != "a\x00b" {
			t.Errorf("the item of %v is %q", r, r.Item())
		}
	}
}
