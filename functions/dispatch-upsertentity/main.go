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
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/catalog"
	"longshore/pkg/dispatch"
	"longshore/pkg/invocation"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	table := dynamodb.NewFromConfig(e.AWS)
	store := dynamocatalog.NewCatalog(table, e.CatalogTable, time.Now)
	store.AuditRetention, store.Log = time.Duration(e.AuditRetention), e.Log
	runs := dynamostore.NewRuns(table, e.RunsTable, time.Duration(e.RunRetention), time.Now)
	queues := sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues())
	entities := catalog.NewService(store, time.Now)
	entities.OnSlice(dispatch.SendSlices(queues, e.Log))
	sealer, err := awssecret.Sealer(e.AWS)
	if err != nil {
		return nil, err
	}
	count := e.Messages(invocation.BackendUpsertEntity)
	return e.Received(dispatch.Both(dispatch.New(dispatch.Config{
		Backend: upsertentity.New(upsertentity.Config{Entities: entities, BaseURL: func() string { return e.BaseURL }}),
		Name:    invocation.BackendUpsertEntity, Runs: runs, Send: queues,
		Settler: &dispatch.StoreAndSend{Runs: runs, Send: queues, Log: e.Log},
		Sealer:  sealer, CallTimeout: time.Duration(e.CallTimeout), Timeout: e.Timeout, Log: e.Log,
		Count: func(ev dispatch.Event) { count(string(ev)) },
	}), dispatch.NewSlices(dispatch.SlicesConfig{Migrations: entities, Log: e.Log}))), nil
}
