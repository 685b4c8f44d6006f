// Dispatch-upsertentity writes the entities of runs, and carries on the slices of long deletions and
// renames. The queue of entities starts it.
package main

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/awsevent"
	"longshore/pkg/backend/upsertentity"
	"longshore/pkg/boot"
	"longshore/pkg/boot/dispatchfunction"
	"longshore/pkg/catalog"
	"longshore/pkg/dispatch"
	"longshore/pkg/invocation"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	store := dynamocatalog.NewCatalog(dynamodb.NewFromConfig(e.AWS), e.CatalogTable, time.Now)
	store.AuditRetention, store.Log = time.Duration(e.AuditRetention), e.Log
	queues := sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues())
	entities := catalog.NewService(store, time.Now)
	entities.OnSlice(dispatch.SendSlices(queues, e.Log))
	d, err := dispatchfunction.New(e, invocation.BackendUpsertEntity, upsertentity.New(upsertentity.Config{
		Entities: entities, BaseURL: func() string { return e.BaseURL },
	}))
	if err != nil {
		return nil, err
	}
	return e.Received(dispatch.Both(d, dispatch.NewSlices(dispatch.SlicesConfig{Migrations: entities, Log: e.Log}))), nil
}
