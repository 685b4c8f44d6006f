package dynamostore_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/store/dynamostore"
)

func TestCreateTablesTwice(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	if err := dynamostore.CreateTables(t.Context(), s.client, s.runs, s.catalog); err != nil {
		t.Fatal(err)
	}
	for table, indexes := range map[string]int{s.runs: 7, s.catalog: 3} {
		out, err := s.client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(out.Table.GlobalSecondaryIndexes); got != indexes {
			t.Errorf("%d indexes, want %d", got, indexes)
		}
		if v := out.Table.StreamSpecification; v == nil || v.StreamViewType != types.StreamViewTypeNewAndOldImages {
			t.Error("the stream does not have both images")
		}
		ttl, err := s.client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &table})
		if err != nil {
			t.Fatal(err)
		}
		if d := ttl.TimeToLiveDescription; d == nil || aws.ToString(d.AttributeName) != dynamostore.TTLAttribute {
			t.Error("items do not expire")
		}
	}
}
