package kafka_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"longshore/pkg/backend"
	"longshore/pkg/backend/kafka"
	"longshore/pkg/emulator"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

const (
	runID = "r_0123456789abcdef"
	// patience is how long a test waits for a broker on a machine that is busy with others.
	patience = 3 * time.Minute
)

var delivered = backend.Outcome{Verdict: run.Deliver}

func attempt(payload string) backend.Call {
	return backend.Call{RunID: runID, Action: "scale_up", Attempt: 1, Invocation: &invocation.Invocation{
		V: invocation.Version, Type: "KAFKA", Backend: invocation.BackendKafka, Payload: json.RawMessage(payload),
	}}
}

// open returns a backend of an organization that no other test uses.
func open(t *testing.T, c kafka.Config) *kafka.Backend {
	t.Helper()
	if c.OrgID == "" {
		c.OrgID = organization(t)
	}
	b, err := kafka.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func organization(t *testing.T) string {
	return "org_" + strings.NewReplacer("/", "_", ",", "_", "'", "_").Replace(t.Name())
}

func credentials(password string) func(context.Context) (kafka.Credentials, error) {
	return func(context.Context) (kafka.Credentials, error) {
		return kafka.Credentials{Username: emulator.KafkaUser, Password: password}, nil
	}
}

// records reads n records of a topic from its beginning.
func records(t *testing.T, broker, topic string, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got []*kgo.Record
	for len(got) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("got %d records, want %d", len(got), n)
		}
		got = append(got, fetches.Records()...)
	}
	return got
}

func TestRecord(t *testing.T) {
	t.Parallel()
	broker := emulator.Kafka(t)
	tests := map[string]struct{ payload, value string }{
		"a rendered payload, to the byte": {`{"type":"KAFKA","payload":{"b":1.0,"a":"ü<\u0000"}}`, `{"b":1.0,"a":"ü<\u0000"}`},
		"an array":                        {`{"payload":[1,2]}`, `[1,2]`},
		"no payload":                      {`{"type":"KAFKA"}`, `{}`},
		"a run message": {
			`{"type":"KAFKA","payload":{"action":"scale_up","resourceType":"run","context":{"runId":"` + runID + `"}}}`,
			`{"action":"scale_up","resourceType":"run","context":{"runId":"` + runID + `"}}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			org := organization(t)
			b := open(t, kafka.Config{Brokers: []string{broker.Plain}, OrgID: org})
			if diff := cmp.Diff(delivered, b.Call(t.Context(), attempt(test.payload))); diff != "" {
				t.Fatalf("outcome (-want +got):\n%s", diff)
			}
			r := records(t, broker.Plain, org+".runs", 1)[0]
			if string(r.Key) != runID || string(r.Value) != test.value {
				t.Errorf("got key %s and value %s, want %s and %s", r.Key, r.Value, runID, test.value)
			}
			want := []kgo.RecordHeader{{Key: "run-id", Value: []byte(runID)}, {Key: "action", Value: []byte("scale_up")}}
			if diff := cmp.Diff(want, r.Headers); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}

// Both topics are made by the first call, agents subscribe to the two.
func TestTopicsAreMade(t *testing.T) {
	t.Parallel()
	broker := emulator.Kafka(t)
	org := organization(t)
	b := open(t, kafka.Config{Brokers: []string{broker.Plain}, OrgID: org})
	for range 2 {
		if err := b.MakeTopics(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Plain))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, name := range []string{org + ".runs", org + ".change.log"} {
		// A broker that has made a topic may take a while to tell of it.
		for topics := (kadm.TopicDetails{}); !topics.Has(name) || topics[name].Err != nil; {
			if topics, err = kadm.NewClient(client).ListTopics(ctx, name); err != nil {
				t.Fatalf("topic %s is not there: %v", name, err)
			}
		}
	}
}

func TestWaysIn(t *testing.T) {
	t.Parallel()
	broker := emulator.Kafka(t)
	for _, mechanism := range []string{kafka.Plain, kafka.ScramSHA256, kafka.ScramSHA512} {
		for name, c := range map[string]kafka.Config{
			"SASL":     {Brokers: []string{broker.SASL}},
			"SASL_SSL": {Brokers: []string{broker.TLS}, TLS: true, CA: broker.CA},
		} {
			t.Run(mechanism+" "+name, func(t *testing.T) {
				t.Parallel()
				c.Mechanism, c.Credentials, c.OrgID = mechanism, credentials(emulator.KafkaPassword), organization(t)
				if diff := cmp.Diff(delivered, open(t, c).Call(t.Context(), attempt(`{"payload":{}}`))); diff != "" {
					t.Errorf("outcome (-want +got):\n%s", diff)
				}
				records(t, broker.Plain, c.OrgID+".runs", 1)
			})
		}
	}
}

// Whoever is not let in tries again: the operator may put it right.
func TestNotLetIn(t *testing.T) {
	t.Parallel()
	broker := emulator.Kafka(t)
	const wrong = "a-wrong-password-of-the-broker"
	tests := map[string]kafka.Config{
		"wrong password": {Brokers: []string{broker.SASL}, Mechanism: kafka.ScramSHA512, Credentials: credentials(wrong)},
		"no credentials": {Brokers: []string{broker.SASL}},
		"no TLS":         {Brokers: []string{broker.TLS}, Mechanism: kafka.Plain, Credentials: credentials(emulator.KafkaPassword)},
		"an authority that the system does not know": {
			Brokers: []string{broker.TLS}, TLS: true, Mechanism: kafka.Plain, Credentials: credentials(emulator.KafkaPassword),
		},
		"credentials that cannot be read": {
			Brokers: []string{broker.SASL}, Mechanism: kafka.Plain,
			Credentials: func(context.Context) (kafka.Credentials, error) { return kafka.Credentials{}, errors.New(wrong) },
		},
		"nobody there": {Brokers: []string{"127.0.0.1:1"}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.CallTimeout = 2 * time.Second
			got := open(t, c).Call(t.Context(), attempt(`{"payload":{"token":"`+wrong+`"}}`))
			if got.Verdict != run.Retry || got.Error == "" || got.StatusLabel != backend.DeliveryFailed {
				t.Errorf("got %+v, want another try", got)
			}
			if strings.Contains(got.Error, wrong) {
				t.Errorf("the error holds a secret: %s", got.Error)
			}
		})
	}
}

// A password that the broker does not take any more is tried again; the one that replaces it is used by the
// same dispatcher.
func TestPasswordThatChanges(t *testing.T) {
	t.Parallel()
	broker := emulator.Kafka(t)
	for _, mechanism := range []string{kafka.Plain, kafka.ScramSHA512} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			var current atomic.Value
			current.Store("an-older-password-of-the-broker")
			org := organization(t)
			b := open(t, kafka.Config{
				Brokers: []string{broker.SASL}, Mechanism: mechanism, OrgID: org, CallTimeout: 5 * time.Second,
				Credentials: func(ctx context.Context) (kafka.Credentials, error) {
					return credentials(current.Load().(string))(ctx)
				},
			})
			if got := b.Call(t.Context(), attempt(`{"payload":{"n":1}}`)); got.Verdict != run.Retry {
				t.Errorf("before: got %+v, want another try", got)
			}
			current.Store(emulator.KafkaPassword)
			// It makes the topics, too, for which a busy broker may need longer than a call.
			deadline := time.Now().Add(patience)
			for got := b.Call(t.Context(), attempt(`{"payload":{"n":2}}`)); got.Verdict != run.Deliver; got = b.Call(t.Context(), attempt(`{"payload":{"n":2}}`)) {
				if time.Now().After(deadline) {
					t.Fatalf("after: got %+v, want the record delivered", got)
				}
			}
			if got := records(t, broker.Plain, org+".runs", 1)[0]; string(got.Value) != `{"n":2}` {
				t.Errorf("got %s, want the second record alone", got.Value)
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	broker := emulator.Kafka(t)
	b := open(t, kafka.Config{Brokers: []string{broker.Plain}})
	// What compresses badly, as what does well would fit.
	noise := make([]byte, 0, 3<<20)
	for state := uint64(1); len(noise) < cap(noise); {
		state = state*6364136223846793005 + 1442695040888963407
		noise = append(noise, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-"[state>>58])
	}
	got := b.Call(t.Context(), attempt(`{"payload":{"text":"`+string(noise)+`"}}`))
	want := backend.Outcome{
		Verdict: run.Fail, StatusLabel: backend.DeliveryFailed,
		Error: "the record has 3145739 bytes; the topic takes at most 1048588 (max.message.bytes)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

// A broker that goes down and comes back: calls meanwhile are to be tried again, the next ones arrive,
// and so does everything that was acknowledged.
func TestBrokerDownThenUp(t *testing.T) {
	t.Parallel()
	broker := emulator.NewKafka(t)
	b := open(t, kafka.Config{Brokers: []string{broker.Plain}, OrgID: "org_down", CallTimeout: 15 * time.Second})
	if diff := cmp.Diff(delivered, b.Call(t.Context(), attempt(`{"payload":{"n":1}}`))); diff != "" {
		t.Fatalf("before (-want +got):\n%s", diff)
	}
	if err := broker.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := b.Call(t.Context(), attempt(`{"payload":{"n":2}}`)); got.Verdict != run.Retry {
		t.Errorf("while it is down: got %+v, want another try", got)
	}
	if err := broker.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for b.Call(t.Context(), attempt(`{"payload":{"n":3}}`)).Verdict != run.Deliver {
		if time.Now().After(deadline) {
			t.Fatal("no record arrives after the broker has come back")
		}
	}
	seen := map[string]bool{}
	for _, r := range records(t, broker.Plain, "org_down.runs", 2) {
		seen[string(r.Value)] = true
	}
	if !seen[`{"n":1}`] || !seen[`{"n":3}`] {
		t.Errorf("got the records %v", seen)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := open(t, kafka.Config{Brokers: []string{"127.0.0.1:1"}})
	for name, call := range map[string]backend.Call{
		"no invocation": {RunID: runID},
		"another type":  {RunID: runID, Invocation: &invocation.Invocation{Type: "GITLAB", Payload: json.RawMessage(`{}`)}},
		"no object":     attempt(`[]`),
	} {
		if got := b.Call(t.Context(), call); got.Verdict != run.Fail || got.Error == "" {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config kafka.Config
		want   string
	}{
		"no brokers":     {kafka.Config{OrgID: "o"}, "configure Kafka: brokers and the organization's id are needed"},
		"no credentials": {kafka.Config{Brokers: []string{"b:9092"}, OrgID: "o", Mechanism: kafka.Plain}, "configure Kafka: PLAIN needs a user name and a password"},
		"no IAM":         {kafka.Config{Brokers: []string{"b:9092"}, OrgID: "o", Mechanism: kafka.IAM}, "configure Kafka: AWS_MSK_IAM needs credentials"},
		"a mechanism that is none": {
			kafka.Config{Brokers: []string{"b:9092"}, OrgID: "o", Mechanism: "GSSAPI", Credentials: credentials("x")},
			"configure Kafka: the SASL mechanism must be PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or AWS_MSK_IAM",
		},
		"no PEM": {kafka.Config{Brokers: []string{"b:9092"}, OrgID: "o", TLS: true, CA: []byte("x")}, "configure Kafka: the certificate of the authority is no PEM"},
	} {
		if _, err := kafka.New(test.config); err == nil || err.Error() != test.want {
			t.Errorf("%s: got error %v, want %s", name, err, test.want)
		}
	}
}
