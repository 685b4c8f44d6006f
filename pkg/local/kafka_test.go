package local_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"longshore/pkg/api/client"
	"longshore/pkg/boot"
	"longshore/pkg/boot/kafkasettings"
	"longshore/pkg/egress"
	"longshore/pkg/emulator"
)

// startOf starts a run of an action that has no inputs, and returns its id.
func startOf(t *testing.T, c *client.Client, action string) string {
	t.Helper()
	r, _, err := c.StartRun(t.Context(), action, client.Start{})
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// report ends a run as its backend does.
func report(t *testing.T, c *client.Client, id string) {
	t.Helper()
	r, err := c.Run(t.Context(), id)
	if err != nil || r.Status != "IN_PROGRESS" {
		t.Fatalf("run is %+v, %v; want it in progress", r, err)
	}
	if _, err := c.Report(t.Context(), id, client.Report{Status: "SUCCESS"}); err != nil {
		t.Fatal(err)
	}
	succeed(t, c, []string{id})
}

// Runs of all kinds that go by Kafka, from the request to the record and to the end that its consumer
// reports; the topics are there before the first run, and agents get a user of their own.
func TestKafka(t *testing.T) {
	t.Parallel()
	broker := emulator.Kafka(t)
	c := config(t.TempDir())
	c.OrgID = "org_local_kafka"
	c.Kafka = kafkasettings.Settings{Brokers: broker.SASL, Mechanism: "SCRAM-SHA-512", Username: emulator.KafkaUser, Password: emulator.KafkaPassword}
	c.AgentKafka = boot.AgentKafka{AgentUsername: "agent", AgentPassword: "the agents' password"}
	opened, q, _ := open(t, c)

	reader, err := kgo.NewClient(kgo.SeedBrokers(broker.Plain), kgo.ConsumeTopics("org_local_kafka.runs"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		topics, err := kadm.NewClient(reader).ListTopics(ctx, "org_local_kafka.runs", "org_local_kafka.change.log")
		if err == nil && topics.Error() == nil {
			break
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("the topics are not made: %v, %v", topics, err)
		}
	}
	got := q.call("GET", "/v1/kafka-credentials", "")["credentials"]
	if diff := cmp.Diff(any(map[string]any{"brokers": []any{broker.SASL}, "username": "agent", "password": "the agents' password"}), got); diff != "" {
		t.Errorf("credentials (-want +got):\n%s", diff)
	}

	q.call("POST", "/v1/actions", `{"identifier":"publish","trigger":{"type":"self-service","operation":"CREATE"},
		"invocationMethod":{"type":"KAFKA","payload":{"run":"{{ .run.id }}","n":1e-7}}}`)
	q.call("POST", "/v1/actions", `{"identifier":"old","trigger":"CREATE","userInputs":{"properties":{}},"invocationMethod":{"type":"KAFKA"}}`)
	q.call("POST", "/v1/actions", `{"identifier":"pipeline","trigger":"CREATE","userInputs":{"properties":{}},
		"invocationMethod":{"type":"GITLAB","agent":true,"groupName":"g","projectName":"p"}}`)
	for action, check := range map[string]func(id string, text []byte, message map[string]any){
		"publish": func(id string, text []byte, _ map[string]any) {
			if want := `{"run":"` + id + `","n":1e-7}`; string(text) != want {
				t.Errorf("got %s, want %s", text, want)
			}
		},
		"old": func(id string, text []byte, message map[string]any) {
			r, err := opened.Run(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			// What is shown of the run is what its trigger made.
			var shown struct {
				Payload struct{ Payload json.RawMessage }
			}
			if err := json.Unmarshal(r.Raw, &shown); err != nil || !bytes.Equal(shown.Payload.Payload, text) {
				t.Errorf("got %s, %v, want to the byte %s", text, err, shown.Payload.Payload)
			}
			if message["resourceType"] != "run" || message["context"].(map[string]any)["runId"] != id || message["headers"] != nil {
				t.Errorf("got %v, want the run message", message)
			}
		},
		"pipeline": func(id string, _ []byte, message map[string]any) {
			headers, _ := message["headers"].(map[string]any)
			method := message["payload"].(map[string]any)["action"].(map[string]any)["invocationMethod"].(map[string]any)
			if message["context"].(map[string]any)["runId"] != id || method["projectName"] != "p" || headers["X-Port-Signature"] == nil {
				t.Errorf("got %v, want the run message with a signature", message)
			}
		},
	} {
		id := startOf(t, opened, action)
		var found *kgo.Record
		for found == nil {
			fetches := reader.PollFetches(ctx)
			if ctx.Err() != nil {
				t.Fatalf("no record of %s", action)
			}
			for _, r := range fetches.Records() {
				if string(r.Key) == id {
					found = r
				}
			}
		}
		headers := []kgo.RecordHeader{{Key: "run-id", Value: []byte(id)}, {Key: "action", Value: []byte(action)}}
		if diff := cmp.Diff(headers, found.Headers); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
		var message map[string]any
		if err := json.Unmarshal(found.Value, &message); err != nil {
			t.Fatalf("%s: %v", found.Value, err)
		}
		check(id, found.Value, message)
		report(t, opened, id)
	}
}

// Without brokers runs wait, saying why, and agents are told that there is no Kafka.
func TestWithoutKafka(t *testing.T) {
	t.Parallel()
	opened, q, _ := open(t, config(t.TempDir()))
	q.call("POST", "/v1/actions", `{"identifier":"publish","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":{"type":"KAFKA","payload":{}}}`)
	id := startOf(t, opened, "publish")
	q.log(id, "kafka is not configured")
	report(t, opened, id)
}

// Azure's service is called at the address that the operator gave, whatever addresses others may be called
// at; its pipeline reports the end.
func TestAzureDevOps(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("s", 32)
	calls := make(chan string, 10)
	azure := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mac := hmac.New(sha1.New, []byte(secret))
		mac.Write(body)
		if r.Header.Get("X-Port-Signature") != hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("signature %s", r.Header.Get("X-Port-Signature"))
		}
		calls <- r.Method + " " + r.URL.String() + " " + r.Header.Get("Idempotency-Key") + " " + string(body)
	}))
	t.Cleanup(azure.Close)
	c := config(t.TempDir())
	c.EgressAllow, c.AzureDevOpsURL, c.Log = egress.Allow{}, azure.URL+"/tfs", slog.New(slog.DiscardHandler)
	opened, q, _ := open(t, c)
	q.call("POST", "/v1/actions", `{"identifier":"build","trigger":{"type":"self-service","operation":"CREATE"},
		"invocationMethod":{"type":"AZURE_DEVOPS","org":"acme","webhook":"build hook","payload":{"n":1}}}`)
	q.call("POST", "/v1/actions", fmt.Sprintf(`{"identifier":"other","trigger":{"type":"self-service","operation":"CREATE"},
		"invocationMethod":{"type":"WEBHOOK","url":%q}}`, azure.URL+"/private"))
	id := startOf(t, opened, "build")
	want := "POST /tfs/acme/_apis/public/distributedtask/webhooks/build%20hook?api-version=6.0-preview " + id + ` {"n":1}`
	select {
	case got := <-calls:
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	case <-time.After(patience):
		t.Fatal("Azure was not called")
	}
	report(t, opened, id)
	q.call("POST", "/v1/actions", `{"identifier":"old","trigger":"CREATE","userInputs":{"properties":{}},
		"invocationMethod":{"type":"AZURE-DEVOPS","org":"acme","webhook":"old"}}`)
	id = startOf(t, opened, "old")
	select {
	case got := <-calls:
		if !strings.Contains(got, "/webhooks/old?") || !strings.Contains(got, `{"action":"old","resourceType":"run","status":"TRIGGERED"`) {
			t.Errorf("got %s, want the run message", got)
		}
	case <-time.After(patience):
		t.Fatal("Azure was not called")
	}
	report(t, opened, id)
	// The host is allowed for that backend alone.
	q.log(startOf(t, opened, "other"), "Delivery failed")
	if len(calls) != 0 {
		t.Errorf("a webhook reached it: %s", <-calls)
	}
}
