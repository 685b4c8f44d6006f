// Dispatch-github starts workflows of GitHub Actions and asks how they ended. The queue of the GitHub
// backend starts it.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/awsevent"
	"longshore/pkg/backend"
	"longshore/pkg/backend/github"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/boot/githubsettings"
	"longshore/pkg/dispatch"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/store/dynamostore"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	var own struct {
		githubsettings.Settings
		ARN         string `env:"LONGSHORE_GITHUB_CREDENTIALS_ARN"`
		EgressAllow string `env:"LONGSHORE_EGRESS_ALLOW"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	allow, err := egress.ParseAllow(github.Allow(own.EgressAllow, own.APIURL))
	if err != nil {
		return nil, fmt.Errorf("LONGSHORE_EGRESS_ALLOW: %w", err)
	}
	credentials := awssecret.New(awssecret.NewClient(e.AWS), time.Now, func(v []awssecret.Value) (github.Credentials, error) {
		return own.Credentials(e.GitHubApp, v[0].Current)
	}, awssecret.Secret{ARN: own.ARN})
	runs := dynamostore.NewRuns(dynamodb.NewFromConfig(e.AWS), e.RunsTable, time.Duration(e.RunRetention), time.Now)
	b, err := github.New(github.Config{
		APIURL: own.APIURL, Credentials: credentials.Get, Taken: backend.TakenIn(runs), Version: boot.Version, CallTimeout: time.Duration(e.CallTimeout),
		Client: egress.New(egress.Config{Allow: allow, ConnectTimeout: time.Duration(e.ConnectTimeout)}),
	})
	if err != nil {
		return nil, fmt.Errorf("LONGSHORE_GITHUB_API_URL: %w", err)
	}
	count, queues := e.Messages(invocation.BackendGitHub), sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues())
	return e.Received(dispatch.New(dispatch.Config{
		Backend: b, Name: invocation.BackendGitHub, Runs: runs, Send: queues, Settler: &dispatch.StoreAndSend{Runs: runs, Send: queues, Log: e.Log},
		CallTimeout: time.Duration(e.CallTimeout), Timeout: e.Timeout, Log: e.Log, Count: func(ev dispatch.Event) { count(string(ev)) },
	}).Handle), nil
}
