// Api is the function behind every route that starts no run. API Gateway starts it.
package main

import (
	"context"
	"net/http"
	"time"
	_ "time/tzdata" // Schedules have time zones, and the runtime has none.

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/action"
	"longshore/pkg/api"
	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/boot/apifunction"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/catalog"
	"longshore/pkg/dispatch"
	"longshore/pkg/identity/directory"
	"longshore/pkg/organization"
	"longshore/pkg/queue/sqsqueue"
	runpkg "longshore/pkg/run"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	table := dynamodb.NewFromConfig(e.AWS)
	retention := time.Duration(e.AuditRetention)
	log := dynamocatalog.NewAudit(table, e.CatalogTable, retention, time.Now)
	kept := e.Metered(dynamostore.NewRuns(table, e.RunsTable, time.Duration(e.RunRetention), time.Now))
	runs := &runpkg.Audited{Store: kept, Audit: log, Log: e.Log}
	actions := dynamocatalog.NewActions(table, e.CatalogTable)
	store := dynamocatalog.NewCatalog(table, e.CatalogTable, time.Now)
	actions.AuditRetention, store.AuditRetention, store.Log = retention, retention, e.Log
	cache, entities := action.NewCache(actions), catalog.NewService(store, time.Now)
	entities.OnSlice(dispatch.SendSlices(sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues()), e.Log))
	users := directory.New(entities.Reader(), e.OrgID)
	sealer, err := awssecret.Sealer(e.AWS)
	if err != nil {
		return nil, err
	}
	secrets := dynamocatalog.NewOrganization(table, e.CatalogTable)
	secrets.AuditRetention = retention
	settings := organization.NewService(secrets, sealer)
	systems, err := apifunction.Systems(e, runs)
	if err != nil {
		return nil, err
	}
	return apifunction.New(e, users, func(c api.Config) http.Handler {
		c.Actions, c.Cache, c.Runs, c.Catalog, c.Audit, c.Organization = actions, cache, runs, entities, log, settings
		c.Sealer = sealer
		systems(&c)
		return api.New(c)
	})
}
