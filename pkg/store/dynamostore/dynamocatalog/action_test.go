package dynamocatalog_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/storetest"
)

// newTable makes a catalog table that no other test has.
func newTable(t *testing.T) (client *dynamodb.Client, name string) {
	t.Helper()
	client, _, name = opentest.DynamoDB(t)
	return client, name
}

func TestActions(t *testing.T) {
	t.Parallel()
	storetest.Actions(t, func(t *testing.T) action.Store {
		client, table := newTable(t)
		return dynamocatalog.NewActions(client, table)
	})
}

// The change feed tells from what a deletion leaves who deleted a definition.
func TestDeletedDefinitionNamesItsAuthor(t *testing.T) {
	t.Parallel()
	client, table := newTable(t)
	actions := dynamocatalog.NewActions(client, table)
	stored := func() map[string]types.AttributeValue {
		out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
			TableName: &table, ConsistentRead: aws.Bool(true), Key: map[string]types.AttributeValue{
				"pk": &types.AttributeValueMemberS{Value: "action"}, "sk": &types.AttributeValueMemberS{Value: "deploy"},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.Item
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	r := &action.Record{Identifier: "deploy", ID: "action_1", Definition: json.RawMessage(`{}`), CreatedAt: now, UpdatedAt: now}
	if err := actions.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := actions.Delete(t.Context(), "deploy", "client_1", now); err != nil {
		t.Fatal(err)
	}
	i := stored()
	deleted, _ := i["deleted"].(*types.AttributeValueMemberM)
	if deleted == nil {
		t.Fatal("the item does not say that it is deleted")
	}
	got := map[string]string{
		"by":  deleted.Value["by"].(*types.AttributeValueMemberS).Value,
		"at":  deleted.Value["at"].(*types.AttributeValueMemberN).Value,
		"ttl": i["ttl"].(*types.AttributeValueMemberN).Value,
	}
	want := map[string]string{
		"by": "client_1", "at": strconv.FormatInt(now.UnixMilli(), 10), "ttl": strconv.FormatInt(now.Add(time.Hour).Unix(), 10),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what stays (-want +got):\n%s", diff)
	}
	// A definition over it does not expire.
	if err := actions.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if stored()["ttl"] != nil {
		t.Error("a definition that was created over a deleted one expires")
	}
}
