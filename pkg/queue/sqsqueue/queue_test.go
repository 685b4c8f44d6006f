package sqsqueue_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/emulator"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/queue/queuetest"
	"longshore/pkg/queue/sqsqueue"
)

const backend = invocation.BackendWebhook

// open makes queues that no other test has.
func open(t *testing.T, visibility time.Duration) (*sqs.Client, map[string]string) {
	t.Helper()
	client := sqs.NewFromConfig(emulator.Config(emulator.SQS(t)))
	urls, err := sqsqueue.CreateQueues(t.Context(), client, newNames(), visibility)
	if err != nil {
		t.Fatal(err)
	}
	return client, urls
}

func newNames() map[string]string {
	prefix := rand.Text()
	return map[string]string{backend: prefix + "-webhook", queue.DeadLetter: prefix + "-deadletter"}
}

func TestQueue(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T, o queuetest.Options) queuetest.Queue {
		client, urls := open(t, o.Visibility)
		return queuetest.Queue{Queue: sqsqueue.New(client, urls), LateAckDeletes: true}
	})
}

// SQS refuses two characters that JSON allows, and the emulator does so too.
func TestEveryTextPasses(t *testing.T) {
	t.Parallel()
	client, urls := open(t, queue.Visibility)
	q := sqsqueue.New(client, urls)
	text := "\uFFFE \uFFFF \x00 \x1f \U0010FFFF <&> \u2028 \"\\uFFFE\""
	for name, text := range map[string]string{"odd characters": text, "large": strings.Repeat("é", 80<<10)} {
		t.Run(name, func(t *testing.T) {
			want := queue.Message{PK: "r_1", Generation: 2, Kind: queue.KindRun, Invocation: &invocation.Invocation{
				V: invocation.Version, Type: "WEBHOOK", Webhook: &invocation.Webhook{Body: &text},
				Payload: []byte("{\"odd\":\"\uFFFE\uFFFF\"}"),
			}}
			if err := q.Send(t.Context(), backend, want, 0, ""); err != nil {
				t.Fatal(err)
			}
			got, err := q.Receive(t.Context(), backend, 1, 10*time.Second)
			if err != nil || len(got) != 1 {
				t.Fatalf("received %d messages, %v", len(got), err)
			}
			m, err := queue.Decode([]byte(got[0].Body))
			if err != nil {
				t.Fatal(err)
			}
			if m.Invocation == nil || *m.Invocation.Webhook.Body != text {
				t.Error("the text came back changed")
			}
			if err := q.Ack(t.Context(), backend, got[0].Receipt); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestCreateQueuesTwice(t *testing.T) {
	t.Parallel()
	client := sqs.NewFromConfig(emulator.Config(emulator.SQS(t)))
	names := newNames()
	first, err := sqsqueue.CreateQueues(t.Context(), client, names, queue.Visibility)
	if err != nil {
		t.Fatal(err)
	}
	// The second finds the queues, though it asks for another visibility.
	second, err := sqsqueue.CreateQueues(t.Context(), client, names, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("URLs (-first +second):\n%s", diff)
	}
	url := first[backend]
	out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := out.Attributes["VisibilityTimeout"]; got != "360" {
		t.Errorf("visibility is %s s, want 360", got)
	}
	if got := out.Attributes["RedrivePolicy"]; !strings.Contains(got, names[queue.DeadLetter]) || !strings.Contains(got, "5") {
		t.Errorf("redrive policy is %s, want 5 receives, then %s", got, names[queue.DeadLetter])
	}
}

// fake is SQS as one test needs it; the calls that it has no answer for are not made.
type fake struct {
	send    func(*sqs.SendMessageInput) error
	receive func(*sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error)
	delete  func(*sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error)
}

func (f fake) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	return &sqs.SendMessageOutput{}, f.send(in)
}

func (f fake) ReceiveMessage(_ context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	return f.receive(in)
}

func (f fake) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	return f.delete(in)
}

func urls() map[string]string { return map[string]string{backend: "http://queue.invalid/webhook"} }

func TestDelayInWholeSeconds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		delay time.Duration
		want  int32
	}{
		{-time.Second, 0},
		{0, 0},
		{time.Nanosecond, 1},
		{time.Second, 1},
		{5*time.Second + time.Millisecond, 6},
		{queue.MaxDelay, 900},
		{time.Hour, 900},
	} {
		t.Run(c.delay.String(), func(t *testing.T) {
			t.Parallel()
			var got int32
			q := sqsqueue.New(fake{send: func(in *sqs.SendMessageInput) error { got = in.DelaySeconds; return nil }}, urls())
			if err := q.Send(t.Context(), backend, queue.Message{PK: "r_1", Kind: queue.KindRun}, c.delay, ""); err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got %d s, want %d", got, c.want)
			}
		})
	}
}

// refusal is an answer of AWS with an error code.
func refusal(code string) error {
	return &smithy.GenericAPIError{Code: code, Message: "arn:aws:sqs:eu-west-1:123456789012:webhook"}
}

func TestGroupIsRefusedOnce(t *testing.T) {
	t.Parallel()
	var groups []string
	q := sqsqueue.New(fake{send: func(in *sqs.SendMessageInput) error {
		groups = append(groups, aws.ToString(in.MessageGroupId))
		if in.MessageGroupId != nil {
			return refusal("InvalidParameterValue")
		}
		return nil
	}}, urls())
	for range 3 {
		if err := q.Send(t.Context(), backend, queue.Message{PK: "r_1", Kind: queue.KindRun}, 0, "a"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"a", "", "", ""}, groups); diff != "" {
		t.Errorf("groups of the requests (-want +got):\n%s", diff)
	}
}

func TestGroupAsSQSTakesIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		group string
		same  bool
	}{
		"identifier":     {"scaffold@service:1.0/=-_", true},
		"128 characters": {strings.Repeat("a", 128), true},
		"129 characters": {strings.Repeat("a", 129), false},
		"not ASCII":      {"größe", false},
		"space":          {"a b", false},
		"control":        {"a\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got string
			q := sqsqueue.New(fake{send: func(in *sqs.SendMessageInput) error { got = *in.MessageGroupId; return nil }}, urls())
			if err := q.Send(t.Context(), backend, queue.Message{PK: "r_1", Kind: queue.KindRun}, 0, c.group); err != nil {
				t.Fatal(err)
			}
			if c.same != (got == c.group) || len(got) > 128 || strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' }) {
				t.Errorf("group %q was sent as %q", c.group, got)
			}
		})
	}
}

func TestFailuresAreUnavailable(t *testing.T) {
	t.Parallel()
	m := queue.Message{PK: "r_1", Kind: queue.KindRun}
	broken := refusal("OverLimit")
	all := fake{
		send:    func(*sqs.SendMessageInput) error { return broken },
		receive: func(*sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) { return nil, broken },
		delete:  func(*sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) { return nil, broken },
	}
	entry := fake{delete: func(in *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) {
		return &sqs.DeleteMessageBatchOutput{Failed: []types.BatchResultErrorEntry{
			{Id: in.Entries[0].Id, Code: aws.String("InternalError")},
		}}, nil
	}}
	unreachable := sqs.NewFromConfig(emulator.Config("http://127.0.0.1:1"), func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
	for name, do := range map[string]func(context.Context) error{
		"send":            func(ctx context.Context) error { return sqsqueue.New(all, urls()).Send(ctx, backend, m, 0, "") },
		"send with group": func(ctx context.Context) error { return sqsqueue.New(all, urls()).Send(ctx, backend, m, 0, "a") },
		"no such queue":   func(ctx context.Context) error { return sqsqueue.New(all, urls()).Send(ctx, "kafka", m, 0, "") },
		"acknowledge":     func(ctx context.Context) error { return sqsqueue.New(all, urls()).Ack(ctx, backend, "a") },
		"one of a batch":  func(ctx context.Context) error { return sqsqueue.New(entry, urls()).Ack(ctx, backend, "a", "b") },
		"nobody listens":  func(ctx context.Context) error { return sqsqueue.New(unreachable, urls()).Send(ctx, backend, m, 0, "") },
		"deadline":        func(ctx context.Context) error { return sqsqueue.New(late{}, urls()).Send(ctx, backend, m, 0, "") },
		"receive": func(ctx context.Context) error {
			_, err := sqsqueue.New(all, urls()).Receive(ctx, backend, 10, time.Second)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := do(t.Context())
			var f *fault.Error
			if !errors.As(err, &f) || f.Kind != fault.Unavailable || !f.Retryable || f.RetryAfter <= 0 {
				t.Fatalf("got %v, want a fault to try again", err)
			}
			if strings.Contains(f.Message, "arn") || strings.Contains(f.Message, "http") {
				t.Errorf("the sentence is %q", f.Message)
			}
		})
	}
}

// late is a service that answers nothing within any deadline.
type late struct{ sqsqueue.Client }

func (late) SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	return nil, fmt.Errorf("send: %w", context.DeadlineExceeded)
}

func TestReceiptsInBatches(t *testing.T) {
	t.Parallel()
	var sizes []int
	q := sqsqueue.New(fake{delete: func(in *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) {
		sizes = append(sizes, len(in.Entries))
		// A receipt that is no longer valid is the sender's fault, and no error.
		return &sqs.DeleteMessageBatchOutput{Failed: []types.BatchResultErrorEntry{
			{Id: in.Entries[0].Id, Code: aws.String("ReceiptHandleIsInvalid"), SenderFault: true},
		}}, nil
	}}, urls())
	if err := q.Ack(t.Context(), backend, make([]string, 23)...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{10, 10, 3}, sizes); diff != "" {
		t.Errorf("receipts a request (-want +got):\n%s", diff)
	}
}

func TestReceiveWithinTheServicesBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		limit      int
		wait       time.Duration
		messages   int32
		waitSecond int32
	}{
		{"usual", 10, 20 * time.Second, 10, 20},
		{"too much", 100, time.Hour, 10, 20},
		{"too little", 0, -time.Second, 1, 0},
		{"part of a second", 1, 100 * time.Millisecond, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got *sqs.ReceiveMessageInput
			q := sqsqueue.New(fake{receive: func(in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
				got = in
				return &sqs.ReceiveMessageOutput{}, nil
			}}, urls())
			if _, err := q.Receive(t.Context(), backend, c.limit, c.wait); err != nil {
				t.Fatal(err)
			}
			if got.MaxNumberOfMessages != c.messages || got.WaitTimeSeconds != c.waitSecond {
				t.Errorf("asked for %d messages in %d s, want %d in %d", got.MaxNumberOfMessages, got.WaitTimeSeconds, c.messages, c.waitSecond)
			}
		})
	}
}
