package sqsqueue_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/emulator"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/queue/queuetest"
	"longshore/pkg/queue/sqsqueue"
)

// open makes queues that no other test has.
func open(t *testing.T, visibility time.Duration) (*sqs.Client, map[string]string) {
	t.Helper()
	client := sqs.NewFromConfig(emulator.Config(emulator.SQS(t)))
	prefix := rand.Text()
	urls, err := sqsqueue.CreateQueues(t.Context(), client, map[string]string{
		invocation.BackendWebhook: prefix + "-webhook", queue.DeadLetter: prefix + "-deadletter",
	}, visibility)
	if err != nil {
		t.Fatal(err)
	}
	return client, urls
}

func TestQueue(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T, o queuetest.Options) queuetest.Queue {
		client, urls := open(t, o.Visibility)
		return queuetest.Queue{Queue: sqsqueue.New(client, urls), LateAckDeletes: true}
	})
}
