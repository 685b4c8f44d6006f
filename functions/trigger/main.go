// Trigger is the function behind the routes that start or restart a run. API Gateway starts it.
package main

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/action"
	"longshore/pkg/api"
	"longshore/pkg/approval"
	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/boot/apifunction"
	"longshore/pkg/catalog"
	"longshore/pkg/permission"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/trigger"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	table := dynamodb.NewFromConfig(e.AWS)
	runs := dynamostore.NewRuns(table, e.RunsTable, time.Duration(e.RunRetention), time.Now)
	actions := dynamocatalog.NewActions(table, e.CatalogTable)
	entities := catalog.NewReader(dynamocatalog.NewCatalog(table, e.CatalogTable, time.Now), time.Now)
	cache := action.NewCache(actions)
	queues := sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues())
	starter := trigger.New(trigger.Config{
		Actions: cache, Entities: entities, Runs: runs, Sender: queues, Approvers: permission.Admins{Users: entities.Users},
		ApprovalTimeout: e.Approval(), Mails: e.SESSender != "", BaseURL: e.BaseURL,
		OrgID: e.OrgID, Configured: e.Configured, Log: e.Log,
		Accepter: &trigger.StoreAndSend{Store: runs, Sender: queues, Log: e.Log},
	})
	decider := approval.New(approval.Config{Runs: runs, Send: queues, Configured: e.Configured, Log: e.Log})
	return apifunction.NewWithKeys(e, func(c api.Config, k apifunction.Keys) http.Handler {
		c.Actions, c.Cache, c.Runs, c.Starter, c.Decider = actions, cache, runs, starter.WithKeys(k.ClientSecret, k.TokenKey), decider
		return api.New(c)
	})
}
