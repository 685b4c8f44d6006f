// Package sqsqueue sends and receives messages by SQS: a standard queue for each backend and one for
// dead letters.
//
// It promises what queue.Queue promises. Groups make a queue fair between tenants where the service
// knows them on standard queues; where it does not, messages go without.
package sqsqueue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"longshore/pkg/fault"
	"longshore/pkg/queue"
	"longshore/pkg/trace"
)

// Client is what a queue needs of SQS's client.
type Client interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
}

// Queue is the queues of a deployment.
type Queue struct {
	client Client
	urls   map[string]string
	// ungrouped is set once the service has refused a group.
	ungrouped atomic.Bool
}

var _ queue.Queue = (*Queue)(nil)

// New returns the queues at these URLs, by backend; queue.DeadLetter is one of the keys where the
// dead-letter queue is received from.
func New(client Client, urls map[string]string) *Queue { return &Queue{client: client, urls: urls} }

const (
	// maxBatch is how many messages one call receives or deletes (SQS, ReceiveMessage and
	// DeleteMessageBatch).
	maxBatch = 10
	// maxWait is the longest long poll (SQS, ReceiveMessage: WaitTimeSeconds).
	maxWait = 20 * time.Second
	// retryAfter is what callers are told to wait when the queue is out of reach.
	retryAfter = 2 * time.Second
)

// failed says what could not be done. Only the log sees why.
func failed(err error, doing, backend string) error {
	err = fmt.Errorf("%s queue of %s: %w", doing, backend, err)
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fault.Busy(err, retryAfter, "the queue cannot be used now")
}

var errNoURL = errors.New("it has no URL")

func (q *Queue) url(doing, backend string) (*string, error) {
	url, ok := q.urls[backend]
	if !ok {
		return nil, failed(errNoURL, doing, backend)
	}
	return &url, nil
}

// permitted writes the two characters that JSON may hold and SQS refuses as JSON escapes (SQS,
// SendMessage: MessageBody).
var permitted = strings.NewReplacer("\uFFFE", `\ufffe`, "\uFFFF", `\uffff`)

// Send implements queue.Sender.
func (q *Queue) Send(ctx context.Context, backend string, m queue.Message, delay time.Duration, group string) error {
	url, err := q.url("send to", backend)
	if err != nil {
		return err
	}
	body, err := queue.Encode(m)
	if err != nil {
		return err
	}
	input := &sqs.SendMessageInput{
		QueueUrl:     url,
		MessageBody:  aws.String(permitted.Replace(string(body))),
		DelaySeconds: seconds(min(delay, queue.MaxDelay)),
	}
	if c := trace.From(ctx); !c.None() {
		input.MessageAttributes = map[string]types.MessageAttributeValue{traceparent: text(c.Traceparent())}
		if c.State != "" {
			input.MessageAttributes[tracestate] = text(c.State)
		}
	}
	if group != "" && !q.ungrouped.Load() {
		input.MessageGroupId = aws.String(groupID(group))
	}
	_, err = q.client.SendMessage(ctx, input)
	if err != nil && input.MessageGroupId != nil && refusesGroup(err) {
		q.ungrouped.Store(true)
		input.MessageGroupId = nil
		_, err = q.client.SendMessage(ctx, input)
	}
	if err != nil {
		return failed(err, "send to", backend)
	}
	return nil
}

// The attributes that the trace of a message travels in.
const traceparent, tracestate = "traceparent", "tracestate"

func text(s string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(s)}
}

// maxGroup is the longest group id in characters (SQS, SendMessage: MessageGroupId).
const maxGroup = 128

// groupID returns a group as SQS takes it: ASCII letters, digits and punctuation. Any other is its
// hash.
func groupID(group string) string {
	odd := strings.ContainsFunc(group, func(r rune) bool { return r <= ' ' || r > '~' })
	if !odd && len(group) <= maxGroup {
		return group
	}
	sum := sha256.Sum256([]byte(group))
	return hex.EncodeToString(sum[:])
}

// seconds returns a time in whole seconds, rounded up.
func seconds(d time.Duration) int32 { return int32(math.Ceil(max(d, 0).Seconds())) }

// refusesGroup reports whether a service that knows groups on FIFO queues only refused one.
func refusesGroup(err error) bool {
	var refusal smithy.APIError
	return errors.As(err, &refusal) && strings.Contains(refusal.ErrorCode(), "InvalidParameterValue")
}

// Receive implements queue.Queue. One call gives at most 10 messages and waits at most 20 s.
func (q *Queue) Receive(ctx context.Context, backend string, limit int, wait time.Duration) ([]queue.Received, error) {
	url, err := q.url("receive from", backend)
	if err != nil {
		return nil, err
	}
	out, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    url,
		MaxNumberOfMessages:         int32(max(1, min(limit, maxBatch))),
		WaitTimeSeconds:             seconds(min(wait, maxWait)),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount, types.MessageSystemAttributeNameSentTimestamp},
		MessageAttributeNames:       []string{traceparent, tracestate},
	})
	if err != nil {
		return nil, failed(err, "receive from", backend)
	}
	received := make([]queue.Received, len(out.Messages))
	for n, m := range out.Messages {
		count, err := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
		if err != nil {
			return nil, failed(fmt.Errorf("read the receive count: %w", err), "receive from", backend)
		}
		received[n] = queue.Received{
			ID: aws.ToString(m.MessageId), Receipt: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body), Count: count,
			Traceparent: aws.ToString(m.MessageAttributes[traceparent].StringValue), Tracestate: aws.ToString(m.MessageAttributes[tracestate].StringValue),
		}
		if sent, err := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64); err == nil {
			received[n].Sent = time.UnixMilli(sent)
		}
	}
	return received, nil
}

// Ack implements queue.Queue. A receipt stays good until its message is gone, even after a later
// receive: SQS deletes the message then, whose run the sweeper has.
func (q *Queue) Ack(ctx context.Context, backend string, receipts ...string) error {
	url, err := q.url("acknowledge in", backend)
	if err != nil {
		return err
	}
	var faults []error
	for batch := range slices.Chunk(receipts, maxBatch) {
		entries := make([]types.DeleteMessageBatchRequestEntry, len(batch))
		for n := range batch {
			entries[n] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(n)), ReceiptHandle: &batch[n]}
		}
		out, err := q.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: entries})
		if err != nil {
			faults = append(faults, err)
			continue
		}
		for _, f := range out.Failed {
			// The sender's fault is a receipt that is no longer valid.
			if !f.SenderFault {
				faults = append(faults, fmt.Errorf("entry %s: %s", aws.ToString(f.Id), aws.ToString(f.Code)))
			}
		}
	}
	if err := errors.Join(faults...); err != nil {
		return failed(err, "acknowledge in", backend)
	}
	return nil
}
