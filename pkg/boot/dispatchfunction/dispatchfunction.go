// Package dispatchfunction is what the functions behind the backends' queues share: a dispatcher over
// DynamoDB and SQS that opens what is sealed and counts what becomes of its messages. It stands apart
// from package boot so that other functions link none of it.
package dispatchfunction

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/awsevent"
	"longshore/pkg/backend"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/dispatch"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore"
)

// Runs returns the store of runs.
func Runs(e *boot.Env) *run.Metered {
	return e.Metered(dynamostore.NewRuns(dynamodb.NewFromConfig(e.AWS), e.RunsTable, time.Duration(e.RunRetention), time.Now))
}

// New returns the dispatcher of a backend, by its name.
func New(e *boot.Env, name string, b backend.Backend) (*dispatch.Dispatcher, error) {
	sealer, err := awssecret.Sealer(e.AWS)
	if err != nil {
		return nil, err
	}
	runs, queues, count := Runs(e), sqsqueue.New(sqs.NewFromConfig(e.AWS), e.Queues()), e.Messages(name)
	return dispatch.New(dispatch.Config{
		Backend: b, Name: name, Runs: runs, Send: queues,
		Settler:     &dispatch.StoreAndSend{Runs: runs, Send: queues, Log: e.Log},
		Sealer:      sealer,
		Breaker:     e.Guard(dynamostore.NewHosts(dynamodb.NewFromConfig(e.AWS), e.RunsTable, time.Now)),
		CallTimeout: time.Duration(e.CallTimeout), Timeout: e.Timeout, Log: e.Log,
		Count: func(ev dispatch.Event) { count(string(ev)) }, Metrics: e.Metrics, Trace: e.Trace,
	}), nil
}

// Handler returns what deals with the messages of a backend's queue.
func Handler(e *boot.Env, name string, b backend.Backend) (awsevent.Handler, error) {
	d, err := New(e, name, b)
	if err != nil {
		return nil, err
	}
	return e.Received(d.Handle), nil
}
