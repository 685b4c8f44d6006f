package awsevent_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"longshore/pkg/awsevent"
	"longshore/pkg/logline"
	"longshore/pkg/trace"
)

// invoked is the context of an invocation, as the runtime client makes it.
func invoked(t *testing.T, xray string) context.Context {
	t.Helper()
	ctx := context.WithValue(t.Context(), "x-amzn-trace-id", xray) //nolint:staticcheck // the runtime client's own key
	return lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "invocation-1"})
}

func TestLinesNameRequestAndInvocation(t *testing.T) {
	t.Parallel()
	var request, invocation, traceID string
	look := func(ctx context.Context) {
		request, invocation = logline.Get(ctx, logline.RequestID), logline.Get(ctx, logline.InvocationID)
		traceID = trace.From(ctx).ID()
	}
	h := awsevent.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		look(r.Context())
		w.WriteHeader(http.StatusNoContent)
	}))
	var gateway struct {
		RequestContext struct{ RequestID string }
	}
	if err := json.Unmarshal(event(t, "trigger-run.json"), &gateway); err != nil || gateway.RequestContext.RequestID == "" {
		t.Fatalf("the event has no request id: %v", err)
	}
	for xray, want := range map[string]string{
		"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1": "5759e988bd862e3fe1be46a994272793",
		"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0": "",
	} {
		if _, err := h(invoked(t, xray), event(t, "trigger-run.json")); err != nil {
			t.Fatal(err)
		}
		if request != gateway.RequestContext.RequestID || invocation != "invocation-1" || traceID != want {
			t.Errorf("request %q, invocation %q, trace %q, want %q, invocation-1, %q", request, invocation, traceID, gateway.RequestContext.RequestID, want)
		}
	}
	for name, h := range map[string]awsevent.Handler{
		"clock":  awsevent.Clock(func(ctx context.Context) error { look(ctx); return nil }),
		"stream": awsevent.Stream(func(ctx context.Context, _ []awsevent.Record) int { look(ctx); return -1 }),
		"beside": awsevent.Beside(nil, func(ctx context.Context, _ json.RawMessage) (bool, error) { look(ctx); return true, nil }),
	} {
		request = ""
		if _, err := h(invoked(t, ""), json.RawMessage(`{}`)); err != nil || request != "invocation-1" || invocation != "" {
			t.Errorf("of an event that is no request, %s: request %q, invocation %q, %v", name, request, invocation, err)
		}
	}
}

func TestMessagesBringTheirTrace(t *testing.T) {
	t.Parallel()
	var got []awsevent.Message
	var request string
	h := awsevent.SQS(func(ctx context.Context, messages []awsevent.Message) []string {
		got, request = messages, logline.Get(ctx, logline.RequestID)
		return nil
	})
	if _, err := h(invoked(t, ""), json.RawMessage(`{"Records":[{"eventSource":"aws:sqs","messageId":"m","body":"b",
		"attributes":{"ApproximateReceiveCount":"2","SentTimestamp":"1700000000123"},
		"messageAttributes":{
			"traceparent":{"dataType":"String","stringValue":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","stringListValues":[],"binaryListValues":[]},
			"tracestate":{"dataType":"String","stringValue":"vendor=1"}}},
		{"eventSource":"aws:sqs","messageId":"n","body":"b"}]}`)); err != nil {
		t.Fatal(err)
	}
	if m := got[0]; m.Traceparent != "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" || m.Tracestate != "vendor=1" || !m.Sent.Equal(time.UnixMilli(1700000000123)) {
		t.Errorf("got %+v", m)
	}
	if m := got[1]; m.Traceparent != "" || m.Tracestate != "" || !m.Sent.IsZero() {
		t.Errorf("got %+v of a message that has none", m)
	}
	if request != "invocation-1" {
		t.Errorf("the lines of messages name %q", request)
	}
}
