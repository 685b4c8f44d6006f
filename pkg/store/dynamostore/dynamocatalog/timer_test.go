package dynamocatalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/timer"
)

// unmoved is a table whose items cannot be updated.
type unmoved struct{ *dynamodb.Client }

func (unmoved) UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	return nil, errors.New("the process was killed")
}

// timed creates an entity with two timers that have ended and one ahead, and returns what the clock sees.
func timed(t *testing.T, s *catalogTable) (*catalog.Entity, timer.Late) {
	t.Helper()
	e := &catalog.Entity{
		Key: catalog.Key{Blueprint: catalog.NewBlueprintID(), Identifier: "cart"}, ID: catalog.NewEntityID(),
		Content: json.RawMessage(`{"properties":{"a":"2026-11-25T10:00:00Z","b":"2026-11-25T11:00:00Z","c":"2026-11-26T10:00:00Z"}}`), CreatedAt: noon, UpdatedAt: noon,
	}
	for i, name := range []string{"a", "b", "c"} {
		e.Timers = append(e.Timers, timer.Timer{Property: name, At: []time.Time{noon.Add(-2 * time.Hour), noon.Add(-time.Hour), noon.Add(22 * time.Hour)}[i]})
	}
	if err := s.CreateEntity(t.Context(), e, nil); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		late, err := dynamostore.NewTimers(s.client, s.name).LateTimers(t.Context(), noon, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(late) == 1 {
			return e, late[0]
		}
	}
	t.Fatal("the index does not show the entity")
	return nil, timer.Late{}
}

type catalogTable struct {
	catalog.Store
	client *dynamodb.Client
	name   string
}

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func openTable(t *testing.T) *catalogTable {
	t.Helper()
	s, client, name := newCatalog(t)
	return &catalogTable{s, client, name}
}

// A clock that died after it had put the events, and before the timers were taken out, left them due: they
// are the same events again.
func TestClockDiesBetweenEventAndMove(t *testing.T) {
	t.Parallel()
	s := openTable(t)
	e, late := timed(t, s)
	if n, err := dynamostore.NewTimers(unmoved{s.client}, s.name).FireTimers(t.Context(), late, noon); n != 2 || err == nil {
		t.Errorf("the clock that dies: %d fired, %v; want two and an error", n, err)
	}
	if n, err := dynamostore.NewTimers(s.client, s.name).FireTimers(t.Context(), late, noon.Add(time.Minute)); n != 0 || err != nil {
		t.Errorf("the next clock: %d fired, %v; want none that is new", n, err)
	}
	got, err := s.Entity(t.Context(), e.Key)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e.Timers[2:], got.Timers); diff != "" {
		t.Errorf("timers (-want +got):\n%s", diff)
	}
}

// An item that was written before timers were kept has the time of the earliest only.
func TestTimersOfAnOldItem(t *testing.T) {
	t.Parallel()
	s := openTable(t)
	e, late := timed(t, s)
	if _, err := s.client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &s.name, UpdateExpression: aws.String("REMOVE timers"),
		Key: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: late.Partition}, "sk": &types.AttributeValueMemberS{Value: late.Name}},
	}); err != nil {
		t.Fatal(err)
	}
	if n, err := dynamostore.NewTimers(s.client, s.name).FireTimers(t.Context(), late, noon); n != 2 || err != nil {
		t.Errorf("%d fired, %v; want two", n, err)
	}
	got, err := s.Entity(t.Context(), e.Key)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e.Timers[2:], got.Timers); diff != "" {
		t.Errorf("timers (-want +got):\n%s", diff)
	}
}
