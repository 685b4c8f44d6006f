// Dispatch-azuredevops calls incoming webhooks of Azure DevOps. The queue of that backend starts it.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/awsevent"
	"longshore/pkg/backend/azuredevops"
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
		URL         string `env:"LONGSHORE_AZURE_DEVOPS_URL"`
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
	b, err := azuredevops.New(azuredevops.Config{
		URL: own.URL, Secrets: secrets.Get, Version: boot.Version, CallTimeout: time.Duration(e.CallTimeout),
		Client: egress.New(egress.Config{Allow: allow.With(egress.Host(own.URL)), ConnectTimeout: time.Duration(e.ConnectTimeout)}),
	})
	if err != nil {
		return nil, fmt.Errorf("LONGSHORE_AZURE_DEVOPS_URL: %w", err)
	}
	sealer, err := awssecret.Sealer(e.AWS)
	if err != nil {
		return nil, err
	}
	runs := dynamostore.NewRuns(dynamodb.NewFromConfig(e.AWS), e.RunsTable, time.Duration(e.RunRetention), time.Now)
	count, queues := e.Messages(invocation.BackendAzureDevOps), sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues())
	return e.Received(dispatch.New(dispatch.Config{
		Backend: b, Name: invocation.BackendAzureDevOps, Runs: runs, Send: queues, Sealer: sealer,
		Settler:     &dispatch.StoreAndSend{Runs: runs, Send: queues, Backend: invocation.BackendAzureDevOps, Log: e.Log},
		CallTimeout: time.Duration(e.CallTimeout), Timeout: e.Timeout, Log: e.Log, Count: func(ev dispatch.Event) { count(string(ev)) },
	}).Handle), nil
}
