package dynamofollow_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"

	"longshore/pkg/emulator"
	"longshore/pkg/feed/feedtest"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/dynamostore/dynamofeed"
	"longshore/pkg/store/dynamostore/dynamofollow"
	"longshore/pkg/store/opentest"
)

const retention = 365 * 24 * time.Hour

func TestFeed(t *testing.T) {
	t.Parallel()
	feedtest.Run(t, func(t *testing.T) *feedtest.World {
		client, runs, catalog := opentest.DynamoDB(t)
		return openWorld(t, &mortal{Client: client}, runs, catalog)
	})
}

// mortal is a client whose notes are not written once it is dead.
type mortal struct {
	*dynamodb.Client
	dead atomic.Bool
}

func (c *mortal) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if pk, ok := in.Item["pk"].(*types.AttributeValueMemberS); ok && pk.Value == "feed" && c.dead.Load() {
		return nil, errors.New("the process is dead")
	}
	return c.Client.PutItem(ctx, in, o...)
}

func openWorld(t *testing.T, client *mortal, runs, catalog string) *feedtest.World {
	t.Helper()
	w := &feedtest.World{
		Runs:    dynamostore.NewRuns(client, runs, retention, time.Now),
		Actions: dynamocatalog.NewActions(client, catalog), Catalog: dynamocatalog.NewCatalog(client, catalog, time.Now),
		Kill:   func(*testing.T) { client.dead.Store(true) },
		Next:   func(t *testing.T) *feedtest.World { return openWorld(t, &mortal{Client: client.Client}, runs, catalog) },
		Expire: func(t *testing.T) { expire(t, client.Client, runs, catalog) },
	}
	follower := open(t, client, runs, catalog)
	w.Follow = follower.Follow
	return w
}

func open(t *testing.T, client *mortal, runs, catalog string) *dynamofollow.Follower {
	t.Helper()
	follower, err := dynamofollow.Open(t.Context(), dynamofollow.Config{
		Streams: dynamodbstreams.NewFromConfig(emulator.Config(emulator.DynamoDB(t))),
		Tables:  client, Runs: runs, Catalog: catalog, Log: slog.New(slog.DiscardHandler), Poll: 50 * time.Millisecond,
		Decoder: &dynamofeed.Decoder{
			Runs:    dynamostore.NewRuns(client, runs, retention, time.Now),
			Actions: dynamocatalog.NewActions(client, catalog), Catalog: dynamocatalog.NewCatalog(client, catalog, time.Now),
		},
	})
	if err != nil {
		t.Fatalf("open follower: %v", err)
	}
	return follower
}

// expire removes what has a time to vanish, outright, as DynamoDB does.
func expire(t *testing.T, client *dynamodb.Client, tables ...string) {
	t.Helper()
	for _, table := range tables {
		out, err := client.Scan(t.Context(), &dynamodb.ScanInput{
			TableName: &table, ConsistentRead: aws.Bool(true), FilterExpression: aws.String("attribute_exists(#ttl)"),
			ExpressionAttributeNames: map[string]string{"#ttl": dynamostore.TTLAttribute},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range out.Items {
			if _, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
				TableName: &table, Key: map[string]types.AttributeValue{"pk": i["pk"], "sk": i["sk"]},
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTableWithoutStreamIsRefused(t *testing.T) {
	t.Parallel()
	client, runs, catalog := opentest.DynamoDB(t)
	if _, err := client.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{
		TableName: &catalog, StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(false)},
	}); err != nil {
		t.Fatal(err)
	}
	_, err := dynamofollow.Open(t.Context(), dynamofollow.Config{Tables: &mortal{Client: client}, Runs: runs, Catalog: catalog})
	if err == nil || !strings.Contains(err.Error(), catalog) {
		t.Errorf("got error %v, want one that names the table", err)
	}
}
