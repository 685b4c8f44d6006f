package dynamostore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"longshore/pkg/emulator"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/queue/sqsqueue"
	"longshore/pkg/run"
	"longshore/pkg/store/dynamostore"
	"longshore/pkg/store/dynamostore/dynamocatalog"
)

// meter adds up the capacity that requests consume, their indexes included. It knows no
// transactions, whose capacity DynamoDB Local counts wrongly: a plain run has none.
type meter struct {
	dynamostore.Client
	t testing.TB

	mu            sync.Mutex
	writes, reads float64
}

func (m *meter) add(to *float64, c *types.ConsumedCapacity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c != nil && c.CapacityUnits != nil {
		*to += *c.CapacityUnits
	}
}

func (m *meter) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
	out, err := m.Client.GetItem(ctx, in, o...)
	if err == nil {
		m.add(&m.reads, out.ConsumedCapacity)
	}
	return out, err
}

func (m *meter) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
	out, err := m.Client.PutItem(ctx, in, o...)
	if err == nil {
		m.add(&m.writes, out.ConsumedCapacity)
	}
	return out, err
}

func (m *meter) TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	m.t.Error("a plain run has no transaction")
	return &dynamodb.TransactWriteItemsOutput{}, nil
}

// since returns what was consumed since the last call.
func (m *meter) since() (writes, reads float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	writes, reads = m.writes, m.reads
	m.writes, m.reads = 0, 0
	return writes, reads
}

// payload is a JSON object of 4 KiB, as varied as a service's settings are.
func payload() string {
	var b strings.Builder
	b.WriteString(`{"service":{"name":"cart","owner":"team-checkout","regions":["eu-west-1","us-east-1"]},"settings":[`)
	for n := 0; b.Len() < 4<<10-160; n++ {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"key":"feature.%d.enabled","value":%t,"description":"Whether feature %d is on","rollout":%d}`, n, n%3 == 0, n, n*7%101)
	}
	b.WriteString(`],"comment":"`)
	b.WriteString(strings.Repeat("x", 4<<10-b.Len()-len(`"}`)))
	b.WriteString(`"}`)
	return b.String()
}

// kinds of caller and action that data.md counts.
var plainRuns = []struct {
	name   string
	edit   func(*run.Run)
	writes [4]float64 // Create, claim, outcome, end
}{
	{"machine, CREATE", func(*run.Run) {}, [4]float64{5, 1, 3, 2}},
	{"user, CREATE", func(r *run.Run) { r.UserID, r.UserEmail = "usr_0123456789abcdef", "ada@example.com" }, [4]float64{6, 1, 3, 2}},
	{"user, DAY-2", func(r *run.Run) {
		r.UserID, r.UserEmail = "usr_0123456789abcdef", "ada@example.com"
		r.Blueprint, r.Entity = "service", "cart"
	}, [4]float64{7, 1, 3, 2}},
}

// plain drives one run with a 4 KiB payload through its steps, each of them one request to the store
// but for the reads that go before; after is called behind each.
func plain(ctx context.Context, s *dynamostore.Runs, edit func(*run.Run), after func(step int)) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	text := payload()
	r := &run.Run{
		ID:      run.NewID(now),
		Action:  run.Action{Identifier: "scaffold-service", Title: "Scaffold a service", Icon: "Git", ID: "action_0123456789abcdef"},
		Backend: invocation.BackendWebhook, Source: run.SourceAPI,
		UserID: "client_0123456789ab", CreatedBy: "client_0123456789ab", Blueprint: "service",
	}
	edit(r)
	r.Start(now, "")
	b := &run.Body{
		Properties: json.RawMessage(`{"name":"cart","region":"eu-west-1"}`),
		User:       json.RawMessage(`{"id":"client_0123456789ab","email":null,"firstName":null,"lastName":null}`),
		Invocation: &invocation.Invocation{
			V: invocation.Version, Type: "WEBHOOK", Backend: invocation.BackendWebhook,
			Webhook: &invocation.Webhook{URL: "https://example.com/hook", Method: "POST", Body: &text},
		},
	}
	if err := s.Create(ctx, r, b); err != nil {
		return err
	}
	after(0)
	for step, move := range []func(*run.Run) error{
		func(r *run.Run) error { _, err := r.Claim(now, 1, "0123456789abcdef", 75*time.Second); return err },
		func(r *run.Run) error {
			return r.Settle(now, 1, "0123456789abcdef", 7*24*time.Hour, run.Outcome{Verdict: run.Deliver, StatusCode: 202})
		},
		func(r *run.Run) error { return r.End(now, "client_0123456789ab", run.Success, "") },
	} {
		_, err := s.Update(ctx, r.ID, func(r *run.Run) (*run.Write, error) { return &run.Write{}, move(r) })
		if err != nil {
			return err
		}
		after(step + 1)
	}
	return nil
}

func TestCostOfPlainRun(t *testing.T) {
	t.Parallel()
	tables := newTables(t)
	for _, c := range plainRuns {
		t.Run(c.name, func(t *testing.T) {
			m := &meter{Client: tables.client, t: t}
			total := 0.0
			err := plain(t.Context(), tables.store(m), c.edit, func(step int) {
				writes, _ := m.since()
				total += writes
				if writes != c.writes[step] {
					t.Errorf("step %d took %v write units, want %v", step, writes, c.writes[step])
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%v write units", total)
		})
	}
}

// What an agent takes: its claim, its acknowledgement, and no more of the run's end than of any other's.
func TestCostOfAgentsRun(t *testing.T) {
	t.Parallel()
	tables := newTables(t)
	m := &meter{Client: tables.client, t: t}
	s := tables.store(m)
	now := time.Now().UTC().Truncate(time.Millisecond)
	r := &run.Run{
		ID: run.NewID(now), Action: run.Action{Identifier: "scaffold-service", ID: "action_0123456789abcdef"}, Source: run.SourceAPI,
		UserID: "client_0123456789ab", CreatedBy: "client_0123456789ab", Backend: invocation.BackendAgent,
		Pending: run.Claimable{Installation: "_PORT_EXEC_AGENT", Method: "WEBHOOK"},
	}
	r.Start(now, "")
	if err := s.Create(t.Context(), r, &run.Body{Invocation: &invocation.Invocation{V: invocation.Version, Type: "WEBHOOK", Backend: invocation.BackendAgent}}); err != nil {
		t.Fatal(err)
	}
	m.since()
	for _, step := range []struct {
		name   string
		move   func(*run.Run) error
		writes float64
	}{
		{"claim", func(r *run.Run) error { return r.Hold(now, "_PORT_EXEC_AGENT", run.ClaimFor) }, 2},
		{"acknowledgement", func(r *run.Run) error { return r.Acknowledge(now, "client_0123456789ab") }, 2},
		{"end", func(r *run.Run) error { return r.End(now, "client_0123456789ab", run.Success, "") }, 2},
	} {
		if _, err := s.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) { return &run.Write{}, step.move(r) }); err != nil {
			t.Fatal(err)
		}
		if writes, _ := m.since(); writes != step.writes {
			t.Errorf("%s: %v write units, want %v", step.name, writes, step.writes)
		}
	}
}

// queueMeter counts requests.
type queueMeter struct {
	*sqs.Client
	requests int
}

func (m *queueMeter) SendMessage(ctx context.Context, in *sqs.SendMessageInput, o ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	m.requests++
	return m.Client.SendMessage(ctx, in, o...)
}

func (m *queueMeter) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	m.requests++
	return m.Client.ReceiveMessage(ctx, in, o...)
}

func (m *queueMeter) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	m.requests++
	return m.Client.DeleteMessageBatch(ctx, in, o...)
}

// BenchmarkPlainRun prints what a plain run of a machine's token consumes: units of the store, the
// stamp included that the trigger reads for its definitions, and requests to the queue. The message
// is received on its own; on Lambda batches share requests.
func BenchmarkPlainRun(b *testing.B) {
	tables := newTables(b)
	client := sqs.NewFromConfig(emulator.Config(emulator.SQS(b)))
	backend := invocation.BackendWebhook
	urls, err := sqsqueue.CreateQueues(b.Context(), client, map[string]string{
		backend: tables.runs + "-webhook", queue.DeadLetter: tables.runs + "-deadletter",
	}, queue.Visibility)
	if err != nil {
		b.Fatal(err)
	}
	m := &meter{Client: tables.client, t: b}
	messages := &queueMeter{Client: client}
	runs, actions, q := tables.store(m), dynamocatalog.NewActions(m, tables.catalog), sqsqueue.New(messages, urls)
	var got []queue.Received
	for b.Loop() {
		if _, err := actions.Stamp(b.Context()); err != nil {
			b.Fatal(err)
		}
		err := plain(b.Context(), runs, func(*run.Run) {}, func(step int) {
			var err error
			switch step {
			case 0: // the trigger sends when it has recorded the run
				err = q.Send(b.Context(), backend, queue.Message{PK: "r_1", Generation: 1, Kind: queue.KindRun}, 0, "")
				if err == nil {
					got, err = q.Receive(b.Context(), backend, 1, 20*time.Second)
				}
			case 2: // the dispatcher acknowledges when it has written the outcome
				err = q.Ack(b.Context(), backend, got[0].Receipt)
			}
			if err != nil {
				b.Error(err)
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	writes, reads := m.since()
	n := float64(b.N)
	b.ReportMetric(writes/n, "write-units/run")
	b.ReportMetric(reads/n, "read-units/run")
	b.ReportMetric(float64(messages.requests)/n, "sqs-requests/run")
}
