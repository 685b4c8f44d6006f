package sqsqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"longshore/pkg/queue"
)

// Creator is what CreateQueues needs of SQS's client.
type Creator interface {
	CreateQueue(context.Context, *sqs.CreateQueueInput, ...func(*sqs.Options)) (*sqs.CreateQueueOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// retention is how long a queue keeps a message: 14 days, SQS's longest.
const retention = 14 * 24 * time.Hour

// CreateQueues makes queues where they are missing and returns their URLs by backend. Names are by
// backend, that of the dead-letter queue under queue.DeadLetter. A queue that is there is left as it
// is. Visibility is queue.Visibility but in tests. It is for emulators: a deployment's queues come
// from its template.
func CreateQueues(ctx context.Context, client Creator, names map[string]string, visibility time.Duration) (map[string]string, error) {
	urls := map[string]string{}
	create := func(backend string, attributes map[string]string) error {
		name := names[backend]
		attributes["VisibilityTimeout"] = strconv.Itoa(int(seconds(visibility)))
		attributes["MessageRetentionPeriod"] = strconv.Itoa(int(seconds(retention)))
		url, err := createQueue(ctx, client, name, attributes)
		if err != nil {
			return fmt.Errorf("create queue %q: %w", name, err)
		}
		urls[backend] = url
		return nil
	}
	if err := create(queue.DeadLetter, map[string]string{}); err != nil {
		return nil, err
	}
	redrive, err := redrivePolicy(ctx, client, urls[queue.DeadLetter])
	if err != nil {
		return nil, err
	}
	for _, backend := range slices.Sorted(maps.Keys(names)) {
		if backend == queue.DeadLetter {
			continue
		}
		if err := create(backend, map[string]string{"RedrivePolicy": redrive}); err != nil {
			return nil, err
		}
	}
	return urls, nil
}

func createQueue(ctx context.Context, client Creator, name string, attributes map[string]string) (url string, err error) {
	made, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err == nil {
		return aws.ToString(made.QueueUrl), nil
	}
	var other *types.QueueNameExists
	if !errors.As(err, &other) {
		return "", err
	}
	found, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		return "", fmt.Errorf("find the one that is there: %w", err)
	}
	return aws.ToString(found.QueueUrl), nil
}

// redrivePolicy returns the attribute that sends what was received too often to the queue at url.
func redrivePolicy(ctx context.Context, client Creator, url string) (string, error) {
	arn := types.QueueAttributeNameQueueArn
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{arn},
	})
	if err != nil {
		return "", fmt.Errorf("read the dead-letter queue's name: %w", err)
	}
	policy, err := json.Marshal(map[string]string{
		"deadLetterTargetArn": out.Attributes[string(arn)],
		"maxReceiveCount":     strconv.Itoa(queue.MaxReceive),
	})
	if err != nil {
		return "", fmt.Errorf("encode the redrive policy: %w", err)
	}
	return string(policy), nil
}
