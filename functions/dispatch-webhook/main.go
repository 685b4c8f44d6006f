// Dispatch-webhook calls webhooks. The queue of the webhook backend starts it.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/awsevent"
	"longshore/pkg/backend/email"
	"longshore/pkg/backend/webhook"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/dispatch"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/signature"
	"longshore/pkg/store/dynamostore"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	var own struct {
		boot.ClientSecret
		EgressAllow string `env:"LONGSHORE_EGRESS_ALLOW"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	allow, err := egress.ParseAllow(own.EgressAllow)
	if err != nil {
		return nil, fmt.Errorf("LONGSHORE_EGRESS_ALLOW: %w", err)
	}
	secrets := awssecret.New(awssecret.NewClient(e.AWS), time.Now, func(v []awssecret.Value) (signature.Secrets, error) {
		return signature.Secrets{Current: v[0].Current, Previous: v[0].Previous}, nil
	}, awssecret.Secret{Plain: own.Plain, PlainPrevious: own.Previous, ARN: own.ARN, Rotates: true})
	sealer, err := awssecret.Sealer(e.AWS)
	if err != nil {
		return nil, err
	}
	runs := dynamostore.NewRuns(dynamodb.NewFromConfig(e.AWS), e.RunsTable, time.Duration(e.RunRetention), time.Now)
	queues := sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues())
	count := e.Messages(invocation.BackendWebhook)
	return e.Received(dispatch.New(dispatch.Config{
		Backend: email.Open(e.SESSender, e.AWS, webhook.New(webhook.Config{
			Secrets: secrets.Get, Version: boot.Version, CallTimeout: time.Duration(e.CallTimeout),
			Client: egress.New(egress.Config{Allow: allow, ConnectTimeout: time.Duration(e.ConnectTimeout)}),
		})),
		Name: invocation.BackendWebhook, Runs: runs, Send: queues,
		Settler:     &dispatch.StoreAndSend{Runs: runs, Send: queues, Backend: invocation.BackendWebhook, Log: e.Log},
		Sealer:      sealer,
		CallTimeout: time.Duration(e.CallTimeout), Timeout: e.Timeout, Log: e.Log,
		Count: func(ev dispatch.Event) { count(string(ev)) },
	}).Handle), nil
}
