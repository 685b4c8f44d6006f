// Dispatch-kafka produces runs to Kafka. The queue of the Kafka backend starts it.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/awsevent"
	"longshore/pkg/backend/kafka"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/boot/kafkasettings"
	"longshore/pkg/dispatch"
	"longshore/pkg/invocation"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/signature"
	"longshore/pkg/store/dynamostore"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	var own struct {
		Signing boot.ClientSecret
		kafkasettings.Settings
		ARN string `env:"LONGSHORE_KAFKA_SECRET_ARN"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	client := awssecret.NewClient(e.AWS)
	signing := awssecret.New(client, time.Now, func(v []awssecret.Value) (signature.Secrets, error) {
		return signature.Secrets{Current: v[0].Current, Previous: v[0].Previous}, nil
	}, awssecret.Secret{Plain: own.Signing.Plain, PlainPrevious: own.Signing.Previous, ARN: own.Signing.ARN, Rotates: true})
	credentials := awssecret.New(client, time.Now, func(v []awssecret.Value) (kafka.Credentials, error) {
		return kafkasettings.Credentials(v[0].Current)
	}, awssecret.Secret{Plain: own.Plain(), ARN: own.ARN})
	config := own.Config(e.OrgID, credentials.Get, signing.Get, e.AWS)
	config.CallTimeout = time.Duration(e.CallTimeout)
	b, err := kafka.New(config)
	if err != nil {
		return nil, err
	}
	sealer, err := awssecret.Sealer(e.AWS)
	if err != nil {
		return nil, err
	}
	runs := dynamostore.NewRuns(dynamodb.NewFromConfig(e.AWS), e.RunsTable, time.Duration(e.RunRetention), time.Now)
	count, queues := e.Messages(invocation.BackendKafka), sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues())
	return e.Received(dispatch.New(dispatch.Config{
		Backend: b, Name: invocation.BackendKafka, Runs: runs, Send: queues, Sealer: sealer,
		Settler:     &dispatch.StoreAndSend{Runs: runs, Send: queues, Backend: invocation.BackendKafka, Log: e.Log},
		CallTimeout: time.Duration(e.CallTimeout), Timeout: e.Timeout, Log: e.Log, Count: func(ev dispatch.Event) { count(string(ev)) },
	}).Handle), nil
}
