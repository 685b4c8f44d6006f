package dynamocatalog_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/storetest"
)

// late is what the sweeper sees of migrations; the alias keeps its name from that of a method.
type late = dynamostore.Migrations

// ends is what it sees of timers.
type ends = dynamostore.Timers

// tombstones is a store whose deleted items can be read.
type tombstones struct {
	*dynamocatalog.Catalog
	*late
	*ends
	client *dynamodb.Client
	table  string
}

var (
	_ storetest.Tombstones     = tombstones{}
	_ storetest.LateMigrations = tombstones{}
	_ storetest.Clocked        = tombstones{}
)

func TestCatalog(t *testing.T) {
	t.Parallel()
	storetest.Catalog(t, func(t *testing.T) catalog.Store {
		s, client, table := newCatalog(t)
		return tombstones{s, dynamostore.NewMigrations(client, table), dynamostore.NewTimers(client, table), client, table}
	})
}

// EntityDeletedBy implements storetest.Tombstones.
func (s tombstones) EntityDeletedBy(t *testing.T, key catalog.Key) catalog.Author {
	return s.deletedBy(t, "begins_with(pk, :place)", "entity#"+key.Blueprint+"#", key.Identifier)
}

// BlueprintDeletedBy implements storetest.Tombstones.
func (s tombstones) BlueprintDeletedBy(t *testing.T, identifier string) catalog.Author {
	return s.deletedBy(t, "pk = :place", "blueprint", identifier)
}

// deletedBy returns the author that the one deleted item of an identifier names.
func (s tombstones) deletedBy(t *testing.T, where, place, identifier string) catalog.Author {
	t.Helper()
	out, err := s.client.Scan(t.Context(), &dynamodb.ScanInput{
		TableName: &s.table, ConsistentRead: aws.Bool(true),
		FilterExpression: aws.String(where + " AND identifier = :identifier AND attribute_exists(deleted)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":place": &types.AttributeValueMemberS{Value: place}, ":identifier": &types.AttributeValueMemberS{Value: identifier},
		},
	})
	if err != nil || len(out.Items) != 1 {
		t.Fatalf("%d deleted items of %s, %v; want one", len(out.Items), identifier, err)
	}
	return deletedBy(t, out.Items[0])
}

// deletedBy returns the author that an item names as who deleted it.
func deletedBy(t *testing.T, i map[string]types.AttributeValue) catalog.Author {
	t.Helper()
	m, ok := i["deleted"].(*types.AttributeValueMemberM)
	if !ok {
		t.Fatal("the item does not say that it is deleted")
	}
	of := func(i map[string]types.AttributeValue, name string) string {
		switch v := i[name].(type) {
		case *types.AttributeValueMemberS:
			return v.Value
		case *types.AttributeValueMemberN:
			return v.Value
		}
		return ""
	}
	text := func(name string) string { return of(m.Value, name) }
	a := catalog.Author{ID: text("by"), Email: text("email"), Origin: text("origin"), RunID: text("runId")}
	if cause, ok := m.Value["cause"].(*types.AttributeValueMemberM); ok {
		depth, err := strconv.Atoi(of(cause.Value, "depth"))
		if err != nil {
			t.Fatal(err)
		}
		a.Cause = audit.Cause{EventID: of(cause.Value, "eventId"), RunID: of(cause.Value, "runId"), Depth: depth}
	}
	if at, ok := m.Value["at"].(*types.AttributeValueMemberN); ok {
		ms, err := strconv.ParseInt(at.Value, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		a.At = time.UnixMilli(ms).UTC()
	}
	return a
}
