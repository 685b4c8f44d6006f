// Package awsevent turns AWS's event shapes into plain functions and back, and starts a Lambda
// function. It is the only user of aws-lambda-go.
//
// It promises that a handler sees the request as the client wrote it, whether the gateway handed
// the path over escaped or decoded, that one bad message of a batch does not return the others, and
// that lines which are logged with a handler's context name the request or the invocation, and
// requests go on with the trace that the platform began, if it records it.
package awsevent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"

	"longshore/pkg/logline"
	"longshore/pkg/trace"
)

// Handler takes one event as its JSON text.
type Handler func(ctx context.Context, event json.RawMessage) (any, error)

// Start hands events to h until the platform ends the process.
func Start(h Handler) { lambda.Start(h) }

// identified returns a context whose log lines name what started this invocation: a request by the
// gateway's id, with the platform's beside it, anything else by the platform's.
func identified(ctx context.Context, request string) context.Context {
	var invocation string
	if l, ok := lambdacontext.FromContext(ctx); ok {
		invocation = l.AwsRequestID
	}
	switch {
	case request != "" && invocation != "":
		return logline.Begin(ctx, slog.String(logline.RequestID, request), slog.String(logline.InvocationID, invocation))
	case request+invocation != "":
		return logline.Begin(ctx, slog.String(logline.RequestID, request+invocation))
	}
	return logline.Begin(ctx)
}

// traced continues X-Ray's trace.
func traced(ctx context.Context) context.Context {
	// The runtime client keeps the invocation's header under this key.
	header, _ := ctx.Value("x-amzn-trace-id").(string)
	if c, ok := trace.FromXRay(header); ok {
		return trace.With(ctx, c)
	}
	return ctx
}

// HTTP serves API Gateway HTTP API events, payload format 2.0.
func HTTP(h http.Handler) Handler {
	return func(ctx context.Context, event json.RawMessage) (any, error) {
		var request events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal(event, &request); err != nil {
			return nil, fmt.Errorf("decode API Gateway event: %w", err)
		}
		if request.RequestContext.HTTP.Method == "" {
			return nil, fmt.Errorf("decode API Gateway event: no requestContext.http.method: not payload format 2.0")
		}
		if request.RawPath == "" {
			request.RawPath = request.RequestContext.HTTP.Path
		}
		request.RawPath = EscapePath(request.RawPath)
		// The adapter splits header values at commas, which an idempotency key may hold.
		whole := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for name, value := range request.Headers {
				r.Header.Set(name, value)
			}
			h.ServeHTTP(w, r)
		})
		return httpadapter.NewV2(whole).ProxyWithContext(traced(identified(ctx, request.RequestContext.RequestID)), request)
	}
}

// EscapePath escapes what may not stand in the path of a URL (RFC 3986, section 3.3), and leaves
// escapes that are there. HTTP APIs and `sam local` hand paths over decoded, so that they may hold
// spaces, question marks, and a % that no two hexadecimal digits follow.
func EscapePath(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			strings.IndexByte("-._~!$&'()*+,;=:@/", c) >= 0,
			c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]):
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// Message is one SQS message.
type Message struct {
	ID, Receipt, Body string
	// Count says how often it was received, this time included.
	Count int
	// Traceparent and Tracestate are the message's attributes of these names.
	Traceparent, Tracestate string
	// Sent is when the message came to the queue.
	Sent time.Time
}

// SQS serves batches of messages. Handle returns the ids of those that have to come again; the
// event source must report batch item failures.
func SQS(handle func(ctx context.Context, messages []Message) (again []string)) Handler {
	return func(ctx context.Context, event json.RawMessage) (any, error) {
		var batch events.SQSEvent
		if err := json.Unmarshal(event, &batch); err != nil {
			return nil, fmt.Errorf("decode SQS event: %w", err)
		}
		messages := make([]Message, len(batch.Records))
		for i, r := range batch.Records {
			if r.EventSource != "aws:sqs" || r.MessageId == "" {
				return nil, fmt.Errorf("decode SQS event: record %d is no SQS message", i)
			}
			count, _ := strconv.Atoi(r.Attributes["ApproximateReceiveCount"])
			messages[i] = Message{
				ID: r.MessageId, Receipt: r.ReceiptHandle, Body: r.Body, Count: count,
				Traceparent: attribute(r, "traceparent"), Tracestate: attribute(r, "tracestate"),
			}
			if sent, err := strconv.ParseInt(r.Attributes["SentTimestamp"], 10, 64); err == nil {
				messages[i].Sent = time.UnixMilli(sent)
			}
		}
		answer := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
		for _, id := range handle(identified(ctx, ""), messages) {
			answer.BatchItemFailures = append(answer.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
		}
		return answer, nil
	}
}

// attribute returns a string attribute of a message, empty where it has none.
func attribute(m events.SQSMessage, name string) string {
	if v := m.MessageAttributes[name].StringValue; v != nil {
		return *v
	}
	return ""
}

// Clock serves scheduled events, whose content does not matter.
func Clock(handle func(ctx context.Context) error) Handler {
	return func(ctx context.Context, _ json.RawMessage) (any, error) {
		return nil, handle(identified(ctx, ""))
	}
}

// Beside hands to h every event that take does not take.
func Beside(h Handler, take func(ctx context.Context, event json.RawMessage) (taken bool, err error)) Handler {
	return func(ctx context.Context, event json.RawMessage) (any, error) {
		if taken, err := take(identified(ctx, ""), event); taken || err != nil {
			return nil, err
		}
		return h(ctx, event)
	}
}
