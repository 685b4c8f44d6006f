// Dispatch-gitlab starts GitLab pipelines and asks how they ended. The queue of the gitlab backend
// starts it.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/awsevent"
	"longshore/pkg/backend"
	"longshore/pkg/backend/gitlab"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/dispatch"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/store/dynamostore"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	var own struct {
		gitlab.Settings
		EgressAllow string `env:"LONGSHORE_EGRESS_ALLOW"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	allow, err := egress.ParseAllow(own.EgressAllow)
	if err == nil {
		allow, err = gitlab.Allow(allow, own.URL)
	}
	if err != nil {
		return nil, fmt.Errorf("read LONGSHORE_EGRESS_ALLOW and LONGSHORE_GITLAB_URL: %w", err)
	}
	credentials := awssecret.New(awssecret.NewClient(e.AWS), time.Now, func(v []awssecret.Value) (gitlab.Credentials, error) {
		return gitlab.ParseCredentials(v[0].Current)
	}, awssecret.Secret{Plain: own.Plain(), ARN: own.SecretARN})
	runs := dynamostore.NewRuns(dynamodb.NewFromConfig(e.AWS), e.RunsTable, time.Duration(e.RunRetention), time.Now)
	b, err := gitlab.New(gitlab.Config{
		URL: own.URL, Credentials: credentials.Get, Taken: backend.TakenIn(runs), Version: boot.Version, CallTimeout: time.Duration(e.CallTimeout),
		Client: egress.New(egress.Config{Allow: allow, ConnectTimeout: time.Duration(e.ConnectTimeout)}),
	})
	if err != nil {
		return nil, fmt.Errorf("read LONGSHORE_GITLAB_URL: %w", err)
	}
	count, queues := e.Messages(invocation.BackendGitLab), sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues())
	return e.Received(dispatch.New(dispatch.Config{
		Backend: b, Name: invocation.BackendGitLab, Runs: runs, Send: queues, Settler: &dispatch.StoreAndSend{Runs: runs, Send: queues, Log: e.Log},
		CallTimeout: time.Duration(e.CallTimeout), Timeout: e.Timeout, Log: e.Log, Count: func(ev dispatch.Event) { count(string(ev)) },
	}).Handle), nil
}
