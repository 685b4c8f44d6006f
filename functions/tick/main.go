// Tick makes a message of every run that is due, and an event of every timer that has ended. EventBridge Scheduler starts it each minute.
package main

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/metric"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/sweep"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	table := dynamodb.NewFromConfig(e.AWS)
	sweeper := sweep.New(sweep.Config{
		Runs:       e.Metered(dynamostore.NewRuns(table, e.RunsTable, time.Duration(e.RunRetention), time.Now)),
		Migrations: dynamostore.NewMigrations(table, e.CatalogTable),
		Timers:     dynamostore.NewTimers(table, e.CatalogTable),
		Send:       sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues()),
		Breaker:    e.Guard(dynamostore.NewHosts(table, e.RunsTable, time.Now)),
		Configured: e.Configured, Timeout: e.Timeout, Events: e.Events, Log: e.Log,
	})
	return awsevent.Clock(func(ctx context.Context) error {
		report, err := sweeper.Sweep(ctx)
		if err == nil {
			// A sweep that saw nothing says nothing: the alarm takes silence for a breach.
			e.Metrics.Set(metric.SweepLag, report.Lag.Seconds())
		}
		return err
	}), nil
}
