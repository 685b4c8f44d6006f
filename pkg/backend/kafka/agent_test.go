package kafka_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/backend/kafka"
	"longshore/pkg/emulator"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/signature"
)

const clientSecret = "the client secret of the organization"

func secrets(current string) func(context.Context) (signature.Secrets, error) {
	return func(context.Context) (signature.Secrets, error) { return signature.Secrets{Current: current}, nil }
}

// forAgent is a call of a webhook that an agent makes.
func forAgent(w invocation.Webhook) backend.Call {
	w.Agent, w.URL, w.Method = true, "http://inside.example/x", "POST"
	return backend.Call{RunID: runID, Action: "scale_up", Attempt: 1, Invocation: &invocation.Invocation{
		V: invocation.Version, Type: "WEBHOOK", Backend: invocation.BackendKafka, Webhook: &w,
	}}
}

// runMessage is one of an action of the first generation.
func runMessage(method string) string {
	return `{"action":"scale_up","resourceType":"run","status":"TRIGGERED","context":{"entity":null,"blueprint":null,"runId":"` + runID + `"},` +
		`"payload":{"entity":null,"action":{"id":"action_1","identifier":"scale_up","invocationMethod":` + method + `},"properties":{"ref":"main","tiny":1e-7},"censoredProperties":[]}}`
}

func gitLab() backend.Call {
	const method = `{"type":"GITLAB","agent":true,"groupName":"g","projectName":"p","defaultRef":"main","omitPayload":false,"omitUserInputs":false}`
	return backend.Call{RunID: runID, Action: "scale_up", Attempt: 1, Invocation: &invocation.Invocation{
		V: invocation.Version, Type: "GITLAB", Backend: invocation.BackendKafka,
		Payload: json.RawMessage(method), Message: json.RawMessage(runMessage(method)),
	}}
}

// What lies on the topic is what an agent can verify: it reads the message with Python, and writes the
// very bytes again.
func TestAgentVerifiesTheMessage(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	emulator.Need(t, "python3", err)
	broker := emulator.Kafka(t)
	hooked := runMessage(`{"type":"WEBHOOK","url":"http://inside.example/x","agent":true}`)
	for name, call := range map[string]backend.Call{
		"no body": forAgent(invocation.Webhook{}),
		"numbers": forAgent(invocation.Webhook{Body: new(
			`{"a":[0,1,-1,0.5,1e-4,0.00001,0.000012,1e-7,1.5e-7,-2.5e-5,5e-324,1e-100],` +
				`"b":[1e+21,1.5e+300,100000000000000000000,9007199254740993,123456789.125,1e16,0.1]}`)}),
		"text":         forAgent(invocation.Webhook{Body: new("{\"ü\":\"</a>&\u2028\\u0001\\\"\\\\\x7f😀\\b\\f\\n\\r\\t\",\"10\":1,\"2\":[]}")}),
		"headers":      forAgent(invocation.Webhook{Headers: []invocation.Header{{Name: "Z", Value: "1"}, {Name: "A", Value: "é"}, {Name: "x-port-signature", Value: "mine"}}}),
		"members kept": forAgent(invocation.Webhook{Body: new(`{"headers":{"own":1},"context":{"a":1,"runId":"mine"},"payload":{"b":2,"action":{"c":3}},"z":null}`)}),
		"members lost": forAgent(invocation.Webhook{Body: new(`{"headers":"own","context":[1],"payload":"b"}`)}),
		"run message":  forAgent(invocation.Webhook{Body: &hooked, Message: true}),
		"GITLAB":       gitLab(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			org := organization(t)
			b := open(t, kafka.Config{Brokers: []string{broker.Plain}, OrgID: org, Secrets: secrets(clientSecret)})
			if diff := cmp.Diff(delivered, b.Call(t.Context(), call)); diff != "" {
				t.Fatalf("outcome (-want +got):\n%s", diff)
			}
			r := records(t, broker.Plain, kafka.Topic(org), 1)[0]
			if string(r.Key) != runID {
				t.Errorf("key %s", r.Key)
			}
			command := exec.CommandContext(t.Context(), python, "testdata/verify.py", clientSecret)
			command.Stdin = bytes.NewReader(r.Value)
			var failed strings.Builder
			command.Stderr = &failed
			again, err := command.Output()
			if err != nil {
				t.Fatalf("verify %s: %v: %s", r.Value, err, failed.String())
			}
			if diff := cmp.Diff(string(again), string(r.Value)); diff != "" {
				t.Errorf("message (-as Python writes it +got):\n%s", diff)
			}
		})
	}
}

// The message to the letter, but for its signature.
func TestMessage(t *testing.T) {
	t.Parallel()
	at := time.Unix(1767225600, 0)
	const method = `{"type":"WEBHOOK","url":"http://inside.example/x","agent":true,"synchronized":true,"method":"POST","headers":{"A":"1"},"body":`
	message := runMessage(`{"type":"WEBHOOK","url":"http://inside.example/x","agent":true}`)
	for name, c := range map[string]struct {
		call backend.Call
		want string
	}{
		"members kept": {
			forAgent(invocation.Webhook{
				Synchronized: true, Headers: []invocation.Header{{Name: "A", Value: "1"}},
				Body: new(`{"headers":1,"context":{"a":1},"payload":{"b":2,"action":{"c":3}},"z":1e-5}`),
			}),
			`{"context":{"a":1,"runId":"` + runID + `"},"payload":{"b":2,"action":{"c":3,"invocationMethod":` + method +
				`{"headers":1,"context":{"a":1},"payload":{"b":2,"action":{"c":3}},"z":1e-05}}}},"z":1e-05,"headers":{"A":"1",SIGNED}}`,
		},
		"nothing": {
			forAgent(invocation.Webhook{Synchronized: true, Headers: []invocation.Header{{Name: "A", Value: "1"}}}),
			`{"payload":{"action":{"invocationMethod":` + method + `{}}}},"context":{"runId":"` + runID + `"},"headers":{"A":"1",SIGNED}}`,
		},
		"run message": {
			forAgent(invocation.Webhook{Body: &message, Message: true}),
			strings.Replace(strings.TrimSuffix(message, "}"), "1e-7", "1e-07", 1) + `,"headers":{SIGNED}}`,
		},
		"GITLAB": {gitLab(), strings.Replace(strings.TrimSuffix(string(gitLab().Invocation.Message), "}"), "1e-7", "1e-07", 1) + `,"headers":{SIGNED}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := kafka.Message(c.call.Invocation, runID, clientSecret, at)
			if err != nil {
				t.Fatal(err)
			}
			var read struct{ Headers map[string]string }
			if err := json.Unmarshal(got, &read); err != nil {
				t.Fatal(err)
			}
			signed := `"X-Port-Timestamp":"1767225600","X-Port-Signature":"` + read.Headers["X-Port-Signature"] + `"`
			if diff := cmp.Diff(strings.Replace(c.want, "SIGNED", signed, 1), string(got)); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

// Without a secret no attempt is made; what cannot be made into a message fails at once.
func TestAgentNeedsASecret(t *testing.T) {
	t.Parallel()
	config := kafka.Config{Brokers: []string{"127.0.0.1:1"}}
	call := forAgent(invocation.Webhook{})
	if got := open(t, config).Call(t.Context(), call); got.Verdict != run.Fail {
		t.Errorf("without secrets: got %+v, want it refused", got)
	}
	config.Secrets = secrets("")
	if err := open(t, config).Prepare(t.Context()); !errors.Is(err, signature.ErrNoSecret) {
		t.Errorf("without a secret: got error %v", err)
	}
	config.Secrets = secrets(clientSecret)
	if err := open(t, config).Prepare(t.Context()); err != nil {
		t.Errorf("with a secret: got error %v", err)
	}
	array := forAgent(invocation.Webhook{Body: new(`["` + clientSecret + `"]`)})
	if got := open(t, config).Call(t.Context(), array); got.Verdict != run.Fail || strings.Contains(got.Error, clientSecret) {
		t.Errorf("a body that is no object: got %+v", got)
	}
	old := backend.Call{RunID: runID, Invocation: &invocation.Invocation{Type: "GITLAB", Payload: json.RawMessage(`{"type":"GITLAB"}`)}}
	if got := open(t, config).Call(t.Context(), old); got.Verdict != run.Fail {
		t.Errorf("no run message: got %+v", got)
	}
}
