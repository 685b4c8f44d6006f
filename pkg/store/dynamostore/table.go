package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// RunsTable describes the runs table. Every key attribute is a string. All indexes are there from
// the first release, because DynamoDB changes one index a stack update.
func RunsTable(name string) *dynamodb.CreateTableInput {
	fields := []string{"action", "blueprint", "entity", "user", "source"}
	return describe(name,
		index("all", "allShard", "pk", fields...),
		index("action", "actionKey", "pk", fields...),
		index("entity", "entityKey", "pk", fields...),
		index("user", "userKey", "pk", fields...),
		index("external", "externalRunId", "pk"),
		index("due", "dueShard", "dueAt", fields...),
		index("pending", "pendingKey", "pk", "claimedUntil", "action", "method"),
	)
}

// CatalogTable describes the catalog table, as RunsTable does.
func CatalogTable(name string) *dynamodb.CreateTableInput {
	return describe(name,
		index("timer", "timerShard", "timerAt"),
		index("subject", "subject", "sk"),
		index("run", "runId", "sk"),
	)
}

// describe describes a table with the keys pk and sk, on demand, with a stream of both images.
func describe(name string, indexes ...types.GlobalSecondaryIndex) *dynamodb.CreateTableInput {
	input := &dynamodb.CreateTableInput{
		TableName:              &name,
		BillingMode:            types.BillingModePayPerRequest,
		KeySchema:              keySchema("pk", "sk"),
		GlobalSecondaryIndexes: indexes,
		StreamSpecification: &types.StreamSpecification{
			StreamEnabled:  aws.Bool(true),
			StreamViewType: types.StreamViewTypeNewAndOldImages,
		},
	}
	known := map[string]bool{}
	define := func(schema []types.KeySchemaElement) {
		for _, key := range schema {
			if !known[*key.AttributeName] {
				known[*key.AttributeName] = true
				input.AttributeDefinitions = append(input.AttributeDefinitions, types.AttributeDefinition{
					AttributeName: key.AttributeName, AttributeType: types.ScalarAttributeTypeS,
				})
			}
		}
	}
	define(input.KeySchema)
	for _, x := range indexes {
		define(x.KeySchema)
	}
	return input
}

// index describes an index; without further attributes it holds keys only.
func index(name, hash, sort string, fields ...string) types.GlobalSecondaryIndex {
	projection := &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}
	if len(fields) > 0 {
		projection = &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: fields}
	}
	return types.GlobalSecondaryIndex{IndexName: &name, KeySchema: keySchema(hash, sort), Projection: projection}
}

func keySchema(hash, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: &hash, KeyType: types.KeyTypeHash},
		{AttributeName: &sort, KeyType: types.KeyTypeRange},
	}
}

// Creator is what CreateTables needs of DynamoDB's client.
type Creator interface {
	CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error)
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	DescribeTimeToLive(context.Context, *dynamodb.DescribeTimeToLiveInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTimeToLiveOutput, error)
	UpdateTimeToLive(context.Context, *dynamodb.UpdateTimeToLiveInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateTimeToLiveOutput, error)
}

// createTimeout bounds the creation of one table. AWS takes up to a minute with seven indexes.
const createTimeout = 5 * time.Minute

// CreateTables makes the two tables where they are missing and returns once both can be used. A
// table that is there is left as it is. It is for emulators: a deployment's tables come from its
// template.
func CreateTables(ctx context.Context, client Creator, runs, catalog string) error {
	for _, input := range []*dynamodb.CreateTableInput{RunsTable(runs), CatalogTable(catalog)} {
		if err := createTable(ctx, client, input); err != nil {
			return fmt.Errorf("create table %s: %w", *input.TableName, err)
		}
	}
	return nil
}

func createTable(ctx context.Context, client Creator, input *dynamodb.CreateTableInput) error {
	var taken *types.ResourceInUseException
	if _, err := client.CreateTable(ctx, input); err != nil && !errors.As(err, &taken) {
		return err
	}
	waiter := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay = 50 * time.Millisecond
		o.MaxDelay = 2 * time.Second
	})
	if err := waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: input.TableName}, createTimeout); err != nil {
		return fmt.Errorf("wait until it can be used: %w", err)
	}
	found, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: input.TableName})
	if err != nil {
		return fmt.Errorf("read its expiry: %w", err)
	}
	if d := found.TimeToLiveDescription; d != nil && d.AttributeName != nil {
		return nil
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: input.TableName,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String(TTLAttribute), Enabled: aws.Bool(true),
		},
	})
	if err != nil {
		return fmt.Errorf("switch its expiry on: %w", err)
	}
	return nil
}
