// Automate is what a change sets off: the automations that wait for it. The streams of both tables start it.
package main

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/boot/automatefunction"
	"longshore/pkg/feed"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/dynamostore/dynamofeed"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	table := dynamodb.NewFromConfig(e.AWS)
	decoder := &dynamofeed.Decoder{
		Runs:    dynamostore.NewRuns(table, e.RunsTable, time.Duration(e.RunRetention), time.Now),
		Actions: dynamocatalog.NewActions(table, e.CatalogTable),
		Catalog: dynamocatalog.NewCatalog(table, e.CatalogTable, time.Now),
	}
	// Automations take this place.
	handler := feed.HandlerFunc(func(context.Context, *feed.Change) error { return nil })
	return automatefunction.New(e, decoder, handler)
}
