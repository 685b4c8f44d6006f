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
	"longshore/pkg/catalog"
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
	agents, err := apifunction.AgentKafka(e)
	if err != nil {
		return nil, err
	}
	return apifunction.New(e, func(c api.Config) http.Handler {
		c.Actions, c.Cache, c.Runs, c.Catalog = actions, cache, runs, entities
		c.AgentKafka = agents
		return api.New(c)
	})
}
