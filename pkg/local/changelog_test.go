package local_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"longshore/pkg/boot/kafkasettings"
	"longshore/pkg/emulator"
	"longshore/pkg/signature"
)

// told is a request that told of a change.
type told struct {
	header http.Header
	body   string
}

// listener is a webhook that is told of changes; the first try of each is refused.
func listener(t *testing.T) (url string, calls <-chan told) {
	t.Helper()
	got := make(chan told, 100)
	tries := map[string]int{}
	turn := make(chan bool, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		turn <- true
		tries[r.Header.Get("Idempotency-Key")]++
		again := tries[r.Header.Get("Idempotency-Key")] == 1
		<-turn
		if again {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		got <- told{r.Header, string(body)}
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

// Each change of an entity is told to the webhook of its blueprint, signed as every call and tried again, and
// is no run for anybody.
func TestChangelogWebhook(t *testing.T) {
	t.Parallel()
	url, calls := listener(t)
	c := config(t.TempDir())
	c.OrgID = "org_1"
	_, q, credentials := open(t, c)
	q.call("POST", "/v1/blueprints", `{"identifier":"service","title":"S","schema":{"properties":{"n":{"type":"number"}}},
		"changelogDestination":{"type":"WEBHOOK","url":"`+url+`/log"}}`)
	q.call("POST", "/v1/blueprints", `{"identifier":"quiet","title":"Q","schema":{"properties":{}}}`)
	q.call("POST", "/v1/blueprints/quiet/entities", `{"identifier":"cart"}`)
	q.call("POST", "/v1/blueprints/service/entities", `{"identifier":"cart","title":"<Ü>","properties":{"n":1}}`)
	q.call("PATCH", "/v1/blueprints/service/entities/cart", `{"properties":{"n":2}}`)
	q.call("PATCH", "/v1/blueprints/service/entities/cart", `{"properties":{"n":2}}`) // which changes nothing
	q.call("DELETE", "/v1/blueprints/service/entities/cart", "")

	bodies := map[string][]string{} // of each delivery
	actions := map[string]string{}
	for range 6 {
		var got told
		select {
		case got = <-calls:
		case <-time.After(patience):
			t.Fatalf("told only %v", bodies)
		}
		id := got.header.Get("Idempotency-Key")
		if !strings.HasPrefix(id, "d_") || got.header.Get("Webhook-Id") != id || got.header.Get("Content-Type") != "application/json" ||
			!strings.HasPrefix(got.header.Get("User-Agent"), "Longshore/") || got.header.Get("Authorization") != "" {
			t.Errorf("headers are %v", got.header)
		}
		if err := signature.VerifyPort(got.header, credentials.ClientSecret, []byte(got.body), signature.Check{}); err != nil {
			t.Errorf("signature: %v", err)
		}
		bodies[id] = append(bodies[id], got.body)
		var e map[string]any
		if err := json.Unmarshal([]byte(got.body), &e); err != nil {
			t.Fatalf("%s: %v", got.body, err)
		}
		state := ""
		for _, side := range []string{"before", "after"} {
			of, _ := e["diff"].(map[string]any)[side].(map[string]any)
			if of == nil {
				state += " none"
				continue
			}
			n, err := json.Marshal(of["properties"])
			if err != nil {
				t.Fatal(err)
			}
			state += " " + string(n)
		}
		actions[id] = e["action"].(string) + state
		by := e["trigger"].(map[string]any)["by"].(map[string]any)
		if e["resourceType"] != "entity" || by["orgId"] != "org_1" || by["userId"] != "client_1" || !strings.Contains(got.body, "<Ü>") || e["changelogDestination"] != nil {
			t.Errorf("told %s", got.body)
		}
	}
	for id, tries := range bodies {
		if len(tries) != 2 || tries[0] != tries[1] {
			t.Errorf("%s was told by %q, want the same twice", id, tries)
		}
	}
	want := map[string]bool{`CREATE none {"n":1}`: true, `UPDATE {"n":1} {"n":2}`: true, `DELETE {"n":2} none`: true}
	got := map[string]bool{}
	for id, a := range actions {
		got[a] = true
		for _, path := range []string{id, id + "/logs", id + "/attempts"} {
			if status := q.status("GET", "/v1/actions/runs/"+path); status != http.StatusNotFound {
				t.Errorf("GET %s: got %d, want 404", path, status)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if runs := q.call("GET", "/v1/actions/runs", "")["runs"].([]any); len(runs) != 0 {
		t.Errorf("runs are %v", runs)
	}
	if audits := q.call("GET", "/v1/audit-log?resources=run", "")["audits"].([]any); len(audits) != 0 {
		t.Errorf("the audit log has %v", audits)
	}
}

// A change is told on the topic of changes too, with the destination that it is for.
func TestChangelogKafka(t *testing.T) {
	t.Parallel()
	broker := emulator.Kafka(t)
	c := config(t.TempDir())
	c.OrgID = "org_local_changes"
	c.Kafka = kafkasettings.Settings{Brokers: broker.Plain}
	_, q, _ := open(t, c)
	for identifier, destination := range map[string]string{"service": `{"type":"KAFKA"}`, "inside": `{"type":"WEBHOOK","agent":true,"url":"http://inside.example/log"}`} {
		q.call("POST", "/v1/blueprints", `{"identifier":"`+identifier+`","title":"S","schema":{"properties":{}},"changelogDestination":`+destination+`}`)
		q.call("POST", "/v1/blueprints/"+identifier+"/entities", `{"identifier":"cart"}`)
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(broker.Plain), kgo.ConsumeTopics("org_local_changes.change.log"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ends := map[string]string{
		"service/cart": `}},"changelogDestination":{"type":"KAFKA"}}`,
		"inside/cart":  `}},"changelogDestination":{"type":"WEBHOOK","agent":true,"url":"http://inside.example/log"}}`,
	}
	for len(ends) > 0 {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("no record of %v", ends)
		}
		for _, r := range fetches.Records() {
			end := ends[string(r.Key)]
			if end == "" || !strings.HasSuffix(string(r.Value), end) || !strings.HasPrefix(string(r.Value), `{"id":"event_`) {
				t.Errorf("record %s: %s, want it to end with %s", r.Key, r.Value, end)
			}
			delete(ends, string(r.Key))
		}
	}
}

// An automation that changes the entity that it listens to, through this deployment's own API, is cut off
// after ten runs.
func TestLoopThroughOwnAPI(t *testing.T) {
	t.Parallel()
	_, q, _ := open(t, config(t.TempDir()))
	q.call("POST", "/v1/blueprints", `{"identifier":"service","title":"S","schema":{"properties":{"n":{"type":"number"}}}}`)
	q.call("POST", "/v1/actions", `{"identifier":"count","trigger":{"type":"automation","event":{"type":"ANY_ENTITY_CHANGE","blueprintIdentifier":"service"}},
		"invocationMethod":{"type":"WEBHOOK","method":"PATCH","synchronized":true,
		"url":"`+q.url+`/v1/blueprints/service/entities/{{ .event.context.entityIdentifier }}",
		"body":{"properties":{"n":"{{ .event.diff.after.properties.n + 1 }}"}}}}`)
	// Two actions that start one another end as well, though no automation is among them.
	q.call("POST", "/v1/actions", `{"identifier":"again","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{}}},
		"invocationMethod":{"type":"WEBHOOK","url":"`+q.url+`/v1/actions/again/runs","body":{}}}`)
	q.call("POST", "/v1/blueprints/service/entities", `{"identifier":"cart","properties":{"n":0}}`)
	q.call("POST", "/v1/actions/again/runs", `{}`)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for action, delivered := range map[string]int{"count": 10, "again": 11} {
		for {
			cut, others := "", 0
			for _, r := range q.call("GET", "/v1/actions/runs?action="+action, "")["runs"].([]any) {
				r := r.(map[string]any)
				if r["status"] == "FAILURE" {
					cut = r["id"].(string)
					if r["statusLabel"] != "loop cut off" {
						t.Errorf("a run of %s failed: %v", action, r)
					}
				} else {
					others++
				}
			}
			if cut != "" {
				if others != delivered {
					t.Errorf("%d runs of %s were delivered, want %d", others, action, delivered)
				}
				q.log(cut, "loop")
				break
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				t.Fatalf("the loop of %s goes on after %d runs", action, others)
			}
		}
	}
	if n := q.call("GET", "/v1/blueprints/service/entities/cart", "")["entity"].(map[string]any)["properties"].(map[string]any)["n"]; n != 10.0 {
		t.Errorf("the entity was counted to %v, want 10", n)
	}
}

// status asks for what may be refused.
func (q *caller) status(method, path string) int {
	q.t.Helper()
	r, err := http.NewRequestWithContext(q.t.Context(), method, q.url+path, nil)
	if err != nil {
		q.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+q.token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		q.t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}
