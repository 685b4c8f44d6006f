// Trigger is the function behind the routes that start or restart a run, and of schedules that have come.
// API Gateway and EventBridge Scheduler start it.
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
	"longshore/pkg/automation"
	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/boot/apifunction"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/catalog"
	"longshore/pkg/identity/directory"
	"longshore/pkg/organization"
	"longshore/pkg/permission"
	"longshore/pkg/queue/sqsqueue"
	runpkg "longshore/pkg/run"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/trigger"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	table := dynamodb.NewFromConfig(e.AWS)
	runs := &runpkg.Audited{
		Store: e.Metered(dynamostore.NewRuns(table, e.RunsTable, time.Duration(e.RunRetention), time.Now)),
		Audit: dynamocatalog.NewAudit(table, e.CatalogTable, time.Duration(e.AuditRetention), time.Now), Log: e.Log,
	}
	entities := catalog.NewReader(dynamocatalog.NewCatalog(table, e.CatalogTable, time.Now), time.Now)
	actions, settings := dynamocatalog.NewActions(table, e.CatalogTable), dynamocatalog.NewOrganization(table, e.CatalogTable)
	cache, queues := action.NewCache(actions), sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues())
	users, judge := directory.New(entities, e.OrgID), permission.New(permission.Config{Catalog: entities})
	sealer, err := awssecret.Sealer(e.AWS)
	if err != nil {
		return nil, err
	}
	starter := trigger.New(trigger.Config{
		Actions: cache, Entities: entities, Permissions: judge, Approvers: judge, Users: users, Runs: runs, Sender: queues, ApprovalTimeout: e.Approval(),
		Mails: e.SESSender != "", BaseURL: e.BaseURL, OrgID: e.OrgID, Configured: e.Configured, GitHubApp: e.GitHubApp, Log: e.Log, Trace: e.Trace,
		Streamer: organization.NewService(settings, sealer), Secrets: organization.NewVault(settings, sealer), Sealer: sealer, Accepter: &trigger.StoreAndSend{Store: runs, Sender: queues, Log: e.Log},
	})
	decider := approval.New(approval.Config{Runs: runs, Users: users, Send: queues, Configured: e.Configured, Log: e.Log})
	scheduled := automation.New(automation.Config{Actions: cache, Starter: starter, OrgID: e.OrgID, Log: e.Log})
	h, err := apifunction.NewWithKeys(e, users, func(c api.Config, k apifunction.Keys) http.Handler {
		c.Actions, c.Cache, c.Runs, c.Starter, c.Decider = actions, cache, runs, starter.WithKeys(k.ClientSecret, k.TokenKey), decider
		return api.New(c)
	})
	return awsevent.Beside(h, scheduled.TakeSchedule), err
}
