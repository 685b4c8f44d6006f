package dispatchfunction_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/awsevent"
	"longshore/pkg/backend"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/boot/dispatchfunction"
	"longshore/pkg/emulator"
	"longshore/pkg/invocation"
	"longshore/pkg/metric"
	"longshore/pkg/queue"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/run"
	"longshore/pkg/secret"
	"longshore/pkg/store/dynamostore"
)

const (
	password    = "s3cret-of-the-organization"
	callTimeout = 3 * time.Second
	runTimeout  = 48 * time.Hour
	patience    = 20 * time.Second
)

// target is a backend that answers with what is next.
type target struct {
	t       *testing.T
	answers []backend.Outcome
	calls   int
}

func (b *target) Call(ctx context.Context, c backend.Call) backend.Outcome {
	if c.Invocation.Webhook == nil || *c.Invocation.Webhook.Body != password {
		b.t.Errorf("got %+v, want what was sealed", c.Invocation)
	}
	if end, limited := ctx.Deadline(); !limited || time.Until(end) > callTimeout {
		b.t.Errorf("the call may take until %v, longer than the setting says", end)
	}
	b.calls++
	return b.answers[b.calls-1]
}

// world is a dispatcher as a function of the template has it: settings from the environment, tables and
// queues by name.
type world struct {
	t      *testing.T
	env    *boot.Env
	runs   run.Store
	queues *sqsqueue.Queue
	out    bytes.Buffer
	handle awsevent.Handler
}

func newWorld(t *testing.T, b backend.Backend) *world {
	t.Helper()
	tables, messages := emulator.DynamoDB(t), emulator.SQS(t)
	client := sqs.NewFromConfig(emulator.Config(messages))
	urls, err := sqsqueue.CreateQueues(t.Context(), client, map[string]string{
		invocation.BackendWebhook: "function-webhook", queue.DeadLetter: "function-deadletter",
	}, queue.Visibility)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": tables, "AWS_ENDPOINT_URL_SQS": messages, "AWS_REGION": "eu-west-1",
		"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_EC2_METADATA_DISABLED": "true",
		"LONGSHORE_RUNS_TABLE": "function-runs", "LONGSHORE_QUEUE_WEBHOOK": urls[invocation.BackendWebhook],
		"LONGSHORE_CALL_TIMEOUT": callTimeout.String(), "LONGSHORE_RUN_TIMEOUT": runTimeout.String(), "LONGSHORE_STACK": "harbour",
		"LONGSHORE_SEALING_KEY": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), secret.KeySize)), "LONGSHORE_SEALING_KEY_ARN": "",
	} {
		t.Setenv(name, value)
	}
	w := &world{t: t, env: &boot.Env{}, queues: sqsqueue.New(client, urls)}
	w.env.Log, w.env.Metrics = slog.New(slog.NewJSONHandler(&w.out, nil)), metric.NewEMF(&w.out, "Longshore", time.Now, "Stack", "harbour")
	if err := boot.Read(&w.env.Settings); err != nil {
		t.Fatal(err)
	}
	if w.env.AWS, err = boot.LoadAWS(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := dynamostore.CreateTables(t.Context(), dynamodb.NewFromConfig(emulator.Config(tables)), "function-runs", "function-catalog"); err != nil {
		t.Fatal(err)
	}
	w.runs = dispatchfunction.Runs(w.env)
	if w.handle, err = dispatchfunction.Handler(w.env, invocation.BackendWebhook, b); err != nil {
		t.Fatal(err)
	}
	return w
}

// record records a run whose invocation is sealed.
func (w *world) record() *run.Run {
	w.t.Helper()
	sealer, err := awssecret.Sealer(w.env.AWS)
	if err != nil {
		w.t.Fatal(err)
	}
	now, body, hidden := time.Now().UTC().Truncate(time.Millisecond), password, secret.Hidden
	sent := func(body *string) *invocation.Invocation {
		return &invocation.Invocation{V: invocation.Version, Type: "WEBHOOK", Backend: invocation.BackendWebhook,
			Webhook: &invocation.Webhook{URL: "https://example.com/", Method: "POST", Body: body}}
	}
	r := &run.Run{ID: run.NewID(now), Backend: invocation.BackendWebhook, Action: run.Action{Identifier: "deploy"},
		Source: run.SourceAPI, UserID: "client", CreatedBy: "client"}
	r.Start(now, "")
	sealed, err := invocation.Seal(w.t.Context(), sealer, r.ID, sent(&body), []string{password})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.runs.Create(w.t.Context(), r, &run.Body{Invocation: sent(&hidden), Secrets: true, Sealed: sealed}); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// give hands the function a message as its event source would; none may come again.
func (w *world) give(ctx context.Context, body string) {
	w.t.Helper()
	text, err := json.Marshal(map[string]any{"Records": []any{map[string]any{
		"messageId": "m1", "receiptHandle": "r1", "body": body, "eventSource": "aws:sqs", "attributes": map[string]string{"ApproximateReceiveCount": "1"},
	}}})
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := w.handle(ctx, text)
	if err != nil {
		w.t.Fatal(err)
	}
	if answer, _ := json.Marshal(got); strings.Contains(string(answer), "m1") {
		w.t.Fatalf("the message comes again: %s\n%s", answer, w.out.String())
	}
}

// next takes the message that was sent.
func (w *world) next() string {
	w.t.Helper()
	received, err := w.queues.Receive(w.t.Context(), invocation.BackendWebhook, 1, patience)
	if err != nil || len(received) != 1 {
		w.t.Fatalf("got %d messages, %v; want one", len(received), err)
	}
	if err := w.queues.Ack(w.t.Context(), invocation.BackendWebhook, received[0].Receipt); err != nil {
		w.t.Fatal(err)
	}
	return received[0].Body
}

// A message goes all the ways that need something of the settings: back to the queue for want of time,
// to the backend with what was sealed, to the queue for another try, to the end of its delivery.
func TestDispatcherOfTheSettings(t *testing.T) {
	b := &target{t: t, answers: []backend.Outcome{
		{Verdict: run.Retry, StatusCode: 503, Error: "refused " + password, RetryAfter: time.Millisecond},
		{Verdict: run.Deliver, StatusCode: 202},
	}}
	w := newWorld(t, b)
	r := w.record()
	first, err := queue.Encode(queue.Message{PK: r.ID, Generation: r.Generation, Kind: queue.KindRun})
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	w.give(short, string(first))
	if b.calls != 0 {
		t.Error("a call began that had no time to end")
	}
	w.give(t.Context(), w.next())
	w.give(t.Context(), w.next())
	got, err := w.runs.Read(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if b.calls != 2 || got.Status != run.InProgress || got.Delivery.State != run.Delivered {
		t.Errorf("after %d calls the run is %s, its delivery %s", b.calls, got.Status, got.Delivery.State)
	}
	if len(got.Attempts) != 2 || got.Attempts[0].Error != "refused "+secret.Hidden {
		t.Errorf("got attempts %+v, want two, the first with the secret masked", got.Attempts)
	}
	if left := time.Until(got.Due); left > runTimeout || left < runTimeout-time.Minute {
		t.Errorf("the run times out in %s, want the setting's %s", left, runTimeout)
	}
	if err := w.env.Metrics.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, event := range []string{"returned", "retried", "delivered"} {
		want := fmt.Sprintf(`"backend":"webhook","event":%q,"messages":1}`, event)
		found := slices.ContainsFunc(slices.Collect(strings.Lines(w.out.String())), func(line string) bool {
			return strings.HasPrefix(line, `{"Stack":"harbour",`) && strings.HasSuffix(line, want+"\n")
		})
		if !found {
			t.Errorf("no metric %s of the stack in\n%s", want, w.out.String())
		}
	}
}

func TestDispatcherWithABadKey(t *testing.T) {
	t.Setenv("LONGSHORE_SEALING_KEY", "no key")
	_, err := dispatchfunction.Handler(&boot.Env{Log: slog.New(slog.DiscardHandler)}, invocation.BackendWebhook, &target{t: t})
	if err == nil || !strings.Contains(err.Error(), "LONGSHORE_SEALING_KEY") {
		t.Errorf("got %v, want the setting named", err)
	}
}
