// Api is the function behind every route that starts no run. API Gateway starts it.
package main

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"longshore/pkg/action"
	"longshore/pkg/api"
	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/boot/apifunction"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/catalog"
	"longshore/pkg/organization"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	table := dynamodb.NewFromConfig(e.AWS)
	runs := dynamostore.NewRuns(table, e.RunsTable, time.Duration(e.RunRetention), time.Now)
	actions := dynamocatalog.NewActions(table, e.CatalogTable)
	cache := action.NewCache(actions)
	entities := catalog.NewService(dynamocatalog.NewCatalog(table, e.CatalogTable, time.Now), time.Now)
	sealer, err := awssecret.Sealer(e.AWS)
	if err != nil {
		return nil, err
	}
	settings := organization.NewService(dynamocatalog.NewOrganization(table, e.CatalogTable), sealer)
	return apifunction.New(e, func(c api.Config) http.Handler {
		c.Actions, c.Cache, c.Runs, c.Catalog, c.Organization = actions, cache, runs, entities, settings
		return api.New(c)
	})
}
