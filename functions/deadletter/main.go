// Deadletter deals with messages that the dispatchers could not handle five times. The dead-letter
// queue starts it.
package main

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/dispatch"
	"longshore/pkg/queue"
	"longshore/pkg/store/dynamostore"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	runs := e.Metered(dynamostore.NewRuns(dynamodb.NewFromConfig(e.AWS), e.RunsTable, time.Duration(e.RunRetention), time.Now))
	count := e.Messages(queue.DeadLetter)
	return e.Received(dispatch.NewDeadLetter(dispatch.DeadLetterConfig{
		Runs: runs, Log: e.Log, Count: func(ev dispatch.Event) { count(string(ev)) },
	}).Handle), nil
}
