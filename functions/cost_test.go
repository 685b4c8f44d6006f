package functions_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/action"
	"longshore/pkg/api"
	"longshore/pkg/awsevent"
	"longshore/pkg/backend/webhook"
	"longshore/pkg/breaker"
	"longshore/pkg/catalog"
	"longshore/pkg/dispatch"
	"longshore/pkg/egress"
	"longshore/pkg/emulator"
	"longshore/pkg/identity"
	"longshore/pkg/invocation"
	"longshore/pkg/permission"
	"longshore/pkg/queue"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/run"
	"longshore/pkg/signature"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
	"longshore/pkg/trigger"
)

// costMeter counts what a run consumes: units of the tables, indexes included, and requests to the
// queue. A plain run has no transaction, whose units DynamoDB Local counts wrongly.
type costMeter struct {
	dynamostore.Client
	mu            sync.Mutex
	writes, reads float64
	requests      int
	transactions  int
}

func (m *costMeter) add(to *float64, used ...types.ConsumedCapacity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range used {
		if c.CapacityUnits != nil {
			*to += *c.CapacityUnits
		}
	}
}

func (m *costMeter) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
	out, err := m.Client.GetItem(ctx, in, o...)
	if err == nil {
		m.add(&m.reads, *out.ConsumedCapacity)
	}
	return out, err
}

func (m *costMeter) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
	out, err := m.Client.Query(ctx, in, o...)
	if err == nil {
		m.add(&m.reads, *out.ConsumedCapacity)
	}
	return out, err
}

func (m *costMeter) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
	out, err := m.Client.BatchGetItem(ctx, in, o...)
	if err == nil {
		m.add(&m.reads, out.ConsumedCapacity...)
	}
	return out, err
}

func (m *costMeter) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
	out, err := m.Client.PutItem(ctx, in, o...)
	if err == nil {
		m.add(&m.writes, *out.ConsumedCapacity)
	}
	return out, err
}

func (m *costMeter) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	m.transactions++
	return m.Client.TransactWriteItems(ctx, in, o...)
}

// queueRequests counts the requests of a queue's client.
type queueRequests struct {
	sqsqueue.Client
	m *costMeter
}

func (q queueRequests) SendMessage(ctx context.Context, in *sqs.SendMessageInput, o ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	q.m.requests++
	return q.Client.SendMessage(ctx, in, o...)
}

func (q queueRequests) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	q.m.requests++
	return q.Client.ReceiveMessage(ctx, in, o...)
}

func (q queueRequests) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	q.m.requests++
	return q.Client.DeleteMessageBatch(ctx, in, o...)
}

// httpEvent is a request as the gateway hands it over.
func httpEvent(method, path, token, body string) json.RawMessage {
	text, _ := json.Marshal(map[string]any{
		"version": "2.0", "rawPath": path, "body": body, "headers": map[string]string{"authorization": "Bearer " + token, "content-type": "application/json"},
		"requestContext": map[string]any{"domainName": "localhost", "http": map[string]string{"method": method, "path": path}},
	})
	return text
}

// TestCostOfOneRun drives one plain asynchronous run of a machine's token, with a payload of 4 KiB,
// through the functions' handlers, from the POST to the report that ends it, and pins what it costs:
// the figures of the README's price.
func TestCostOfOneRun(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	config := emulator.Config(emulator.DynamoDB(t))
	table := dynamodb.NewFromConfig(config)
	name := fmt.Sprintf("cost-%d", time.Now().UnixNano())
	if err := dynamostore.CreateTables(ctx, table, name+"-runs", name+"-catalog"); err != nil {
		t.Fatal(err)
	}
	client := sqs.NewFromConfig(emulator.Config(emulator.SQS(t)))
	urls, err := sqsqueue.CreateQueues(ctx, client, map[string]string{
		invocation.BackendWebhook: name + "-webhook", queue.DeadLetter: name + "-deadletter",
	}, queue.Visibility)
	if err != nil {
		t.Fatal(err)
	}
	m := &costMeter{Client: table}
	queues := sqsqueue.New(queueRequests{client, m}, urls)
	log := slog.New(slog.DiscardHandler)
	entries := dynamocatalog.NewAudit(m, name+"-catalog", 0, time.Now)
	kept := dynamostore.NewRuns(m, name+"-runs", 24*time.Hour, time.Now)
	runs := &run.Audited{Store: kept, Audit: entries, Log: log}
	actions := dynamocatalog.NewActions(m, name+"-catalog")
	cache := action.NewCache(actions)
	timeout := run.Timeouts(0)

	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(receiver.Close)
	tokens, err := identity.NewTokens(identity.Config{OrgID: "org", ClientID: "client", Key: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Sign()
	if err != nil {
		t.Fatal(err)
	}
	entities := dynamocatalog.NewCatalog(m, name+"-catalog", time.Now)
	starter := trigger.New(trigger.Config{
		Actions: cache, Entities: catalog.NewReader(entities, nil),
		Permissions: permission.New(permission.Config{}), Runs: runs, Sender: queues, OrgID: "org", Log: log,
		Configured: func(backend string) bool { return backend == invocation.BackendWebhook },
		Accepter:   &trigger.StoreAndSend{Store: runs, Sender: queues, Log: log},
	})
	secret := func(context.Context) (signature.Secrets, error) {
		return signature.Secrets{Current: "a secret of more than 32 characters"}, nil
	}
	dispatcher := dispatch.New(dispatch.Config{
		Backend: webhook.New(webhook.Config{Secrets: secret, Client: egress.New(egress.Config{Allow: egress.Loopback()})}),
		Name:    invocation.BackendWebhook, Runs: kept, Send: queues, Timeout: timeout, Log: log,
		Settler: &dispatch.StoreAndSend{Runs: kept, Send: queues, Log: log},
		// A fresh instance reads the state of the host: half a unit, of a host that works no more for 5 s.
		Breaker: breaker.New(breaker.Config{Store: dynamostore.NewHosts(m, name+"-runs", time.Now), Log: log}),
	})
	invocations := 0
	invoke := func(h awsevent.Handler, event json.RawMessage) string {
		t.Helper()
		invocations++
		answer, err := h(ctx, event)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	served := awsevent.HTTP(api.New(api.Config{
		Tokens: tokens, Actions: actions, Cache: cache, Runs: runs, Audit: entries, Starter: starter, Log: log,
		Catalog: catalog.NewService(entities, time.Now),
	}))
	body := fmt.Sprintf(`{"identifier":"plain","trigger":{"type":"self-service","operation":"CREATE"},`+
		`"invocationMethod":{"type":"WEBHOOK","url":%q,"body":{"text":"{{ .inputs.text }}"}}}`, receiver.URL)
	start := httpEvent("POST", "/v1/actions/plain/runs", token, fmt.Sprintf(`{"properties":{"text":%q}}`, strings.Repeat("a line of four KiB; ", 204)))
	if got := invoke(served, httpEvent("POST", "/v1/actions", token, body)); !strings.Contains(got, `"statusCode":201`) {
		t.Fatalf("create action: %s", got)
	}
	// What the first run of an action costs, its definition's read, is no cost of a run.
	if got := invoke(served, start); !strings.Contains(got, `"statusCode":202`) {
		t.Fatalf("first run: %s", got)
	}
	receive := func() []queue.Received {
		t.Helper()
		received, err := queues.Receive(ctx, invocation.BackendWebhook, 1, 20*time.Second)
		if err != nil || len(received) != 1 {
			t.Fatalf("received %d messages, %v", len(received), err)
		}
		return received
	}
	if err := queues.Ack(ctx, invocation.BackendWebhook, receive()[0].Receipt); err != nil {
		t.Fatal(err)
	}

	m.writes, m.reads, m.requests, m.transactions, invocations = 0, 0, 0, 0, 0
	var answered struct {
		Body string `json:"body"`
	}
	if err := json.Unmarshal([]byte(invoke(served, start)), &answered); err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(answered.Body, `"id":"`)
	id, _, _ := strings.Cut(after, `"`)
	received := receive()
	event, err := json.Marshal(map[string]any{"Records": []map[string]any{{
		"messageId": received[0].ID, "receiptHandle": received[0].Receipt, "body": received[0].Body, "eventSource": "aws:sqs",
		"attributes": map[string]string{"ApproximateReceiveCount": "1"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	handled := awsevent.SQS(func(ctx context.Context, messages []awsevent.Message) []string {
		return dispatcher.Handle(ctx, []queue.Received{queue.Received(messages[0])})
	})
	if got := invoke(handled, event); got != `{"batchItemFailures":[]}` {
		t.Fatalf("dispatcher: %s", got)
	}
	if err := queues.Ack(ctx, invocation.BackendWebhook, received[0].Receipt); err != nil {
		t.Fatal(err)
	}
	if got := invoke(served, httpEvent("PATCH", "/v1/actions/runs/"+id, token, `{"status":"SUCCESS"}`)); !strings.Contains(got, `\"status\":\"SUCCESS\"`) {
		t.Fatalf("report: %s", got)
	}
	t.Logf("one run: %v write units, %v read units, %d queue requests, %d invocations", m.writes, m.reads, m.requests, invocations)
	// 11 of the run, and one for each of its two entries in the audit log.
	if m.writes != 11+2 || m.requests != 3 || invocations != 3 || m.transactions != 0 {
		t.Errorf("%v write units, %d queue requests, %d invocations, %d transactions; want 13, 3, 3, 0",
			m.writes, m.requests, invocations, m.transactions)
	}
	if m.reads > 8 {
		t.Errorf("%v read units, want at most 8", m.reads)
	}
}
