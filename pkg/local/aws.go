package local

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/boot"
	"longshore/pkg/dispatch"
	"longshore/pkg/feed"
	"longshore/pkg/queue"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/store/dynamostore/dynamofeed"
	"longshore/pkg/store/dynamostore/dynamofollow"
	"longshore/pkg/trigger"
)

// maxSkew is how far this machine's clock may be from AWS's: leases carry a margin of 5 s.
const maxSkew = 5 * time.Second

// queuePrefix begins the names of queues where no URL is given, as docs and emulators use them.
const queuePrefix = "longshore-"

// openAWS keeps everything in DynamoDB and SQS, or in what AWS_ENDPOINT_URL_DYNAMODB and
// AWS_ENDPOINT_URL_SQS point at. The data directory keeps the credentials only.
func openAWS(ctx context.Context, c Config) (*stores, error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	config, err := boot.LoadAWS(ctx)
	if err != nil {
		return nil, err
	}
	table := dynamodb.NewFromConfig(config)
	// Long polls outlive the time-out of other calls.
	messages := sqs.NewFromConfig(config, func(o *sqs.Options) {
		if shared, ok := config.HTTPClient.(*http.Client); ok {
			patient := *shared
			patient.Timeout = pollFor + 10*time.Second
			o.HTTPClient = &patient
		}
	})
	if c.AWSCreate {
		if err := dynamostore.CreateTables(ctx, table, c.RunsTable, c.CatalogTable); err != nil {
			return nil, err
		}
	}
	urls, err := queueURLs(ctx, messages, c)
	if err != nil {
		return nil, err
	}
	ready := func(ctx context.Context) error {
		for _, name := range []string{c.RunsTable, c.CatalogTable} {
			if _, err := describe(ctx, table, name); err != nil {
				return err
			}
		}
		for _, url := range urls {
			if _, err := messages.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url}); err != nil {
				return err
			}
		}
		return nil
	}
	skew, err := describe(ctx, table, c.RunsTable)
	if err != nil {
		return nil, fmt.Errorf("use table %s: %w", c.RunsTable, err)
	}
	if skew.Abs() > maxSkew {
		return nil, fmt.Errorf("this machine's clock is %s away from AWS's: leases would lapse early or late; set it first", skew.Round(time.Second))
	}
	entries := dynamocatalog.NewAudit(table, c.CatalogTable, c.AuditRetention, time.Now)
	stored := dynamostore.NewRuns(table, c.RunsTable, c.Retention, time.Now)
	runs := &run.Metered{Metrics: c.metrics, Store: &run.Audited{Store: stored, Audit: entries, Log: c.Log}}
	actions, entities := dynamocatalog.NewActions(table, c.CatalogTable), dynamocatalog.NewCatalog(table, c.CatalogTable, time.Now)
	actions.AuditRetention, entities.AuditRetention, entities.Log = c.AuditRetention, c.AuditRetention, c.Log
	settings := dynamocatalog.NewOrganization(table, c.CatalogTable)
	settings.AuditRetention = c.AuditRetention
	queues := sqsqueue.New(messages, urls)
	changes, err := followed(ctx, c, urls, config, &dynamofeed.Decoder{Runs: stored, Actions: actions, Catalog: entities})
	if err != nil {
		return nil, err
	}
	return &stores{
		follow: changes, changes: entries,
		runs: runs, deliveries: runs, queue: queues,
		actions: actions, catalog: entities, audit: entries, organization: settings,
		hosts:      dynamostore.NewHosts(table, c.RunsTable, time.Now),
		migrations: dynamostore.NewMigrations(table, c.CatalogTable), timers: dynamostore.NewTimers(table, c.CatalogTable),
		accepter: &trigger.StoreAndSend{Store: runs, Sender: queues, Log: c.Log},
		settler:  &dispatch.StoreAndSend{Runs: runs, Send: queues, Log: c.Log},
		acked:    func(string) bool { return false },
		drains:   urls[queue.DeadLetter] != "",
		ready:    ready,
		start:    func(context.Context) error { return nil },
		purge:    func(context.Context, time.Time) error { return nil },
		close:    func() error { return nil },
	}, nil
}

// followed finds the changes that this process follows: where it drains the dead-letter queue too. A
// deployment's own function follows its streams.
func followed(ctx context.Context, c Config, urls map[string]string, config aws.Config, d *dynamofeed.Decoder) (func(context.Context, feed.Handler), error) {
	if urls[queue.DeadLetter] == "" {
		return nil, nil
	}
	streams := dynamodbstreams.NewFromConfig(config, func(o *dynamodbstreams.Options) {
		// An emulator of tables is one of their streams.
		if tables := os.Getenv("AWS_ENDPOINT_URL_DYNAMODB"); tables != "" && os.Getenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS") == "" {
			o.BaseEndpoint = &tables
		}
	})
	f, err := dynamofollow.Open(ctx, dynamofollow.Config{
		Streams: streams, Tables: dynamodb.NewFromConfig(config),
		Runs: c.RunsTable, Catalog: c.CatalogTable, Decoder: d, Log: c.Log,
	})
	if err != nil {
		return nil, err
	}
	return f.Follow, nil
}

// queueURLs finds the queues, or makes them. The dead-letter queue is drained by the deployment's own
// function; this process drains it only where it is called as the emulators' is.
func queueURLs(ctx context.Context, client *sqs.Client, c Config) (map[string]string, error) {
	names, urls := map[string]string{}, map[string]string{}
	for _, backend := range Backends() {
		switch {
		case !c.AWSCreate && !c.configured(backend):
		case !c.AWSCreate && c.Queues[backend] != "":
			urls[backend] = c.Queues[backend]
		default:
			names[backend] = queuePrefix + backend
		}
	}
	if len(urls) == 0 {
		names[queue.DeadLetter] = queuePrefix + queue.DeadLetter
	}
	if c.AWSCreate {
		return sqsqueue.CreateQueues(ctx, client, names, queue.Visibility)
	}
	for backend, name := range names {
		out, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
		if err != nil {
			return nil, fmt.Errorf("use queue %s: %w", name, err)
		}
		urls[backend] = aws.ToString(out.QueueUrl)
	}
	return urls, nil
}

// describe reads a table's state and returns how far this machine's clock is at least from the answer's, which
// was made between question and arrival.
func describe(ctx context.Context, client *dynamodb.Client, table string) (skew time.Duration, err error) {
	asked := time.Now()
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return 0, err
	}
	at, ok := awsmiddleware.GetServerTime(out.ResultMetadata)
	switch {
	case !ok || at.IsZero():
		return 0, nil
	case at.Before(asked):
		return asked.Sub(at), nil
	}
	return min(time.Since(at), 0), nil
}
