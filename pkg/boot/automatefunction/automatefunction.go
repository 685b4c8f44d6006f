// Package automatefunction joins the streams of both tables with what a change sets off, for the function
// behind them. What cannot be handled by any try is parked in a queue, whole and with the reason, so that it
// holds up nothing.
package automatefunction

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/feed"
	"longshore/pkg/metric"
	"longshore/pkg/store/dynamostore/dynamofeed"
)

// maxParked is how many bytes a message has at most: SQS takes 256 KiB, attributes included.
const maxParked = 250 << 10

// Settings are what this function alone reads from the environment.
type Settings struct {
	// ParkedQueue is the URL of the queue of parked records. Without one they come again, until the stream
	// gives up on them.
	ParkedQueue string `env:"LONGSHORE_PARKED_QUEUE"`
}

// Sender is what parking needs of the queues' client.
type Sender interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// Config is what a function works with.
type Config struct {
	Settings
	Decoder *dynamofeed.Decoder
	Handler feed.Handler
	Send    Sender
	Log     *slog.Logger
	// Count counts what became of records: handled, again or parked; nil for nobody.
	Count func(event string)
}

// New returns the function over SQS, counting into its metrics.
func New(e *boot.Env, d *dynamofeed.Decoder, h feed.Handler) (awsevent.Handler, error) {
	c := Config{Decoder: d, Handler: h, Send: sqs.NewFromConfig(e.AWS), Log: e.Log}
	if err := boot.Read(&c.Settings); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	c.Count = func(event string) { e.Metrics.Count(metric.Changes, "event", event) }
	return Handler(c), nil
}

// Handler returns the function.
func Handler(c Config) awsevent.Handler {
	if c.Count == nil {
		c.Count = func(string) {}
	}
	return awsevent.Stream(func(ctx context.Context, records []awsevent.Record) (again int) {
		tasks := make([]feed.Task, len(records))
		for n, r := range records {
			whole := dynamofeed.Record{Old: r.Old, New: r.New}
			tasks[n] = feed.Task{
				Item: whole.Item(),
				Read: func(ctx context.Context) (*feed.Change, error) {
					if r.Err != nil {
						return nil, r.Err
					}
					return c.Decoder.Change(ctx, whole)
				},
				Done: func() { c.Count("handled") },
			}
		}
		again = feed.Batch(ctx, c.Handler, tasks, func(ctx context.Context, n int, reason error) error {
			return c.park(ctx, records[n], reason)
		})
		if again >= 0 {
			c.Count("again")
			c.Log.Warn("records come again", slog.String("from", records[again].Sequence), slog.Int("records", len(records)-again))
		}
		return again
	})
}

// parked is a message of the queue of parked records.
type parked struct {
	Reason string `json:"reason"`
	// Record is the record as it came, without what Left names.
	Record json.RawMessage `json:"record"`
	// Left are the images that did not fit the message; the item itself is in the table still.
	Left []string `json:"left,omitempty"`
}

// park sends a record to the queue.
func (c *Config) park(ctx context.Context, r awsevent.Record, reason error) error {
	c.Log.Error("record parked: it cannot be handled", slog.String("sequence", r.Sequence), slog.Any("error", reason))
	if c.ParkedQueue == "" {
		return fmt.Errorf("park record %s: there is no queue for it: %w", r.Sequence, reason)
	}
	text, err := message(r, reason)
	if err != nil {
		return fmt.Errorf("park record %s: %w", r.Sequence, err)
	}
	if _, err := c.Send.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &c.ParkedQueue, MessageBody: &text}); err != nil {
		return fmt.Errorf("park record %s: %w", r.Sequence, err)
	}
	c.Count("parked")
	return nil
}

// message writes a parked record; what is too large for a message is left out of it.
func message(r awsevent.Record, reason error) (string, error) {
	p := parked{Reason: reason.Error(), Record: r.Text}
	for _, image := range []string{"OldImage", "NewImage", ""} {
		text, err := json.Marshal(p)
		if err != nil || len(text) <= maxParked || image == "" {
			return string(text), err
		}
		var record, change map[string]json.RawMessage
		if err := json.Unmarshal(p.Record, &record); err != nil {
			return "", err
		}
		if err := json.Unmarshal(record["dynamodb"], &change); err != nil {
			return "", err
		}
		delete(change, image)
		if record["dynamodb"], err = json.Marshal(change); err != nil {
			return "", err
		}
		if p.Record, err = json.Marshal(record); err != nil {
			return "", err
		}
		p.Left = append(p.Left, image)
	}
	return "", nil
}
