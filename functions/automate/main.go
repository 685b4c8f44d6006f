// Automate is what a change sets off: the automations that wait for it. The streams of both tables start it.
package main

import (
	"context"
	"time"
	_ "time/tzdata" // Schedules have time zones, and the runtime has none.

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/action"
	"longshore/pkg/automation"
	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/boot/automatefunction"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/catalog"
	"longshore/pkg/changelog"
	"longshore/pkg/identity/directory"
	"longshore/pkg/organization"
	"longshore/pkg/permission"
	"longshore/pkg/queue/sqsqueue"
	runpkg "longshore/pkg/run"
	"longshore/pkg/schedule/awsschedule"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/dynamostore/dynamofeed"
	"longshore/pkg/trigger"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	table := dynamodb.NewFromConfig(e.AWS)
	stored := dynamostore.NewRuns(table, e.RunsTable, time.Duration(e.RunRetention), time.Now)
	actions, entities := dynamocatalog.NewActions(table, e.CatalogTable), dynamocatalog.NewCatalog(table, e.CatalogTable, time.Now)
	entries := dynamocatalog.NewAudit(table, e.CatalogTable, time.Duration(e.AuditRetention), time.Now)
	runs := &runpkg.Audited{Store: e.Metered(stored), Audit: entries, Log: e.Log}
	cache, reader := action.NewCache(actions), catalog.NewReader(entities, time.Now)
	queues := sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues())
	judge := permission.New(permission.Config{Catalog: reader})
	sealer, err := awssecret.Sealer(e.AWS)
	if err != nil {
		return nil, err
	}
	starter := trigger.New(trigger.Config{
		Actions: cache, Entities: reader, Permissions: judge, Approvers: judge, Users: directory.New(reader, e.OrgID), Runs: runs, Sender: queues,
		ApprovalTimeout: e.Approval(), Mails: e.SESSender != "", BaseURL: e.BaseURL,
		OrgID: e.OrgID, Configured: e.Configured, GitHubApp: e.GitHubApp, Log: e.Log, Trace: e.Trace,
		Streamer: organization.NewService(dynamocatalog.NewOrganization(table, e.CatalogTable), sealer),
		Secrets:  organization.NewVault(dynamocatalog.NewOrganization(table, e.CatalogTable), sealer), Sealer: sealer,
		Accepter: &trigger.StoreAndSend{Store: runs, Sender: queues, Log: e.Log},
	})
	schedules := awsschedule.New(awsschedule.Config{Client: scheduler.NewFromConfig(e.AWS), Group: e.ScheduleGroup, Target: e.ScheduleTarget, Role: e.ScheduleRole, Log: e.Log})
	return automatefunction.New(e, &dynamofeed.Decoder{Runs: stored, Actions: actions, Catalog: entities},
		automation.New(automation.Config{Actions: cache, Entities: reader, Starter: starter, Audit: entries, Schedules: schedules, OrgID: e.OrgID, Log: e.Log,
			Changelog: changelog.New(changelog.Config{Runs: stored, Send: queues, Configured: e.Configured, OrgID: e.OrgID, Log: e.Log})}))
}
