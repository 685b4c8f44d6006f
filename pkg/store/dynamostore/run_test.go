package dynamostore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/emulator"
	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/storetest"
)

const retention = 365 * 24 * time.Hour

// tables are the two tables of one test.
type tables struct {
	client        *dynamodb.Client
	runs, catalog string
}

// newTables makes tables that no other test has.
func newTables(t testing.TB) tables {
	t.Helper()
	prefix := rand.Text()
	s := tables{
		client: dynamodb.NewFromConfig(emulator.Config(emulator.DynamoDB(t))),
		runs:   prefix + "-runs", catalog: prefix + "-catalog",
	}
	if err := dynamostore.CreateTables(t.Context(), s.client, s.runs, s.catalog); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s tables) store(client dynamostore.Client) *dynamostore.Runs {
	return dynamostore.NewRuns(client, s.runs, retention, time.Now)
}

func key(pk, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk},
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	storetest.Runs(t, func(t *testing.T) storetest.RunStore {
		s := newTables(t)
		return storetest.RunStore{
			Store: s.store(s.client),
			OrphanBody: func(t *testing.T, id string, b *run.Body) {
				dying := s.store(noHeads{s.client})
				r := &run.Run{ID: id}
				r.Start(time.Now(), "")
				if err := dying.Create(t.Context(), r, b); !errors.Is(err, errNoHead) {
					t.Fatalf("create without a head: %v", err)
				}
			},
			DropBody: func(t *testing.T, id string) {
				_, err := s.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &s.runs, Key: key(id, "body")})
				if err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

var errNoHead = errors.New("no head is written here")

// noHeads is a client whose process dies before it writes a head.
type noHeads struct{ *dynamodb.Client }

func (c noHeads) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if in.Item["sk"].(*types.AttributeValueMemberS).Value == "head" {
		return nil, errNoHead
	}
	return c.Client.PutItem(ctx, in, o...)
}
