// Dispatch-upsertentity changes entities in the background: the slices of long deletions and renames.
// The queue of entities starts it.
package main

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/catalog"
	"longshore/pkg/dispatch"
	"longshore/pkg/invocation"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	entities := catalog.NewService(dynamocatalog.NewCatalog(dynamodb.NewFromConfig(e.AWS), e.CatalogTable, time.Now), time.Now)
	queues := sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues())
	entities.OnSlice(dispatch.SendSlices(queues, e.Log))
	count := e.Messages(invocation.BackendUpsertEntity)
	return e.Received(dispatch.NewSlices(dispatch.SlicesConfig{
		Migrations: entities, Log: e.Log, Count: func(ev dispatch.Event) { count(string(ev)) },
	}).Handle), nil
}
