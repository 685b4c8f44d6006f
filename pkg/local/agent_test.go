package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/boot/kafkasettings"
	"longshore/pkg/emulator"
	"longshore/pkg/local"

	"github.com/twmb/franz-go/pkg/kgo"
)

// agent is an execution agent as it behaves on the wire: it polls, acknowledges, makes the call, reports
// the answer and the end, and logs once more. It knows nothing of Longshore but its routes.
type agent struct {
	t           *testing.T
	url         string
	credentials local.Credentials
}

// ask sends a request with a token that it fetches first, and returns the status.
func (a *agent) ask(ctx context.Context, method, path, body string, into any) int {
	var token struct {
		AccessToken string `json:"accessToken"`
	}
	login := fmt.Sprintf(`{"clientId":%q,"clientSecret":%q}`, a.credentials.ClientID, a.credentials.ClientSecret)
	if status := a.send(ctx, "POST", "/v1/auth/access_token", login, "", &token); status != http.StatusOK {
		return status
	}
	return a.send(ctx, method, path, body, token.AccessToken, into)
}

func (a *agent) send(ctx context.Context, method, path, body, token string, into any) int {
	r, err := http.NewRequestWithContext(ctx, method, a.url+path, strings.NewReader(body))
	if err != nil {
		a.t.Error(err)
		return 0
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("x-port-reserved-usage", "true")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		if ctx.Err() == nil {
			a.t.Error(err)
		}
		return 0
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode < 300 && into != nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil && ctx.Err() == nil {
		a.t.Errorf("%s %s: %d %s: %v", method, path, answer.StatusCode, text, err)
	}
	return answer.StatusCode
}

// order is a run as an agent gets it.
type order struct {
	ID      string `json:"id"`
	Payload struct {
		Type         string            `json:"type"`
		URL          string            `json:"url"`
		Agent        bool              `json:"agent"`
		Synchronized bool              `json:"synchronized"`
		Method       string            `json:"method"`
		Headers      map[string]string `json:"headers"`
		Body         map[string]any    `json:"body"`
	} `json:"payload"`
}

// claim fetches up to limit runs.
func (a *agent) claim(ctx context.Context, limit int) []order {
	var got struct {
		Runs []order `json:"runs"`
	}
	a.ask(ctx, "POST", "/v1/actions/runs/claim-pending",
		fmt.Sprintf(`{"installationId":"_PORT_EXEC_AGENT","limit":%d,"invocationMethod":"WEBHOOK"}`, limit), &got)
	var none struct {
		NodeRuns []any `json:"nodeRuns"`
	}
	a.ask(ctx, "POST", "/v1/workflows/runs/claim-pending", `{"installationId":"_PORT_EXEC_AGENT"}`, &none)
	return got.Runs
}

// execute acknowledges runs and makes the calls of those that count.
func (a *agent) execute(ctx context.Context, runs []order) {
	for _, r := range runs {
		var acked struct {
			Count int `json:"ackedCount"`
		}
		a.ask(ctx, "PATCH", "/v1/actions/runs/ack", `{"runIds":["`+r.ID+`"]}`, &acked)
		if acked.Count != 1 {
			continue
		}
		a.call(ctx, r)
	}
}

func (a *agent) call(ctx context.Context, r order) {
	body, err := json.Marshal(r.Payload.Body)
	if err != nil {
		a.t.Error(err)
		return
	}
	request, err := http.NewRequestWithContext(ctx, r.Payload.Method, r.Payload.URL, bytes.NewReader(body))
	if err != nil {
		a.t.Error(err)
		return
	}
	for name, value := range r.Payload.Headers {
		request.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		a.t.Error(err)
		return
	}
	text, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	one := "/v1/actions/runs/" + r.ID
	if r.Payload.Synchronized {
		a.ask(ctx, "PATCH", one+"/response", `{"response":`+string(text)+`}`, nil)
	}
	if answer.StatusCode < 300 {
		a.ask(ctx, "PATCH", one, `{"status":"SUCCESS"}`, nil)
	} else {
		// It patches the failure twice.
		a.ask(ctx, "PATCH", one, `{"status":"FAILURE"}`, nil)
		if status := a.ask(ctx, "PATCH", one, `{"status":"FAILURE"}`, nil); status != http.StatusUnprocessableEntity {
			a.t.Errorf("the second failure of %s is answered %d", r.ID, status)
		}
	}
	if status := a.ask(ctx, "POST", one+"/logs", `{"message":"done"}`, nil); status != http.StatusCreated {
		a.t.Errorf("a line after the end of %s is answered %d", r.ID, status)
	}
}

// inside is a target within the network of agents; it counts the calls of each run.
func inside(t *testing.T) *receiver {
	return newReceiver(t, func(w http.ResponseWriter, _ *http.Request, key string, _ int) {
		if key == "" {
			t.Error("a call without its run's id")
		}
		_, _ = io.WriteString(w, `{"took":"it"}`)
	})
}

// saveForAgents keeps the action "act", whose runs agents execute.
func saveForAgents(t *testing.T, c *client.Client, url string) {
	t.Helper()
	_, err := c.CreateAction(t.Context(), json.RawMessage(fmt.Sprintf(`{"identifier":"act",
		"trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{}}},
		"invocationMethod":{"type":"WEBHOOK","url":%q,"agent":true,"synchronized":true,"method":"PUT",
			"headers":{"Idempotency-Key":"{{ .run.id }}"},"body":{"id":"{{ .run.id }}"}}}`, url)))
	if err != nil {
		t.Fatal(err)
	}
}

// Three agents at once execute each of 1,000 runs once, though a fourth claims a hundred and dies: those
// go to the others once its lease has lapsed.
func TestAgents(t *testing.T) {
	t.Parallel()
	const n, instances, lost = 1_000, 3, 100
	// The API's clock stands still but for one step.
	var ahead atomic.Int64
	began := time.Now()
	c := config(t.TempDir())
	c.ClientID, c.ClientSecret = "client_1", strings.Repeat("s", 32)
	opened, url := serve(t, local.WithClock(c, func() time.Time { return began.Add(time.Duration(ahead.Load())) }))
	target := inside(t)
	saveForAgents(t, opened, target.URL)
	ids := trigger(t, opened, n)
	a := &agent{t: t, url: url, credentials: local.Credentials{ClientID: c.ClientID, ClientSecret: c.ClientSecret}}

	dead := map[string]bool{}
	for _, r := range a.claim(t.Context(), lost) {
		dead[r.ID] = true
	}
	if len(dead) != lost {
		t.Fatalf("the agent that dies has %d runs, want %d", len(dead), lost)
	}
	work := func(limit int) {
		var all sync.WaitGroup
		for range instances {
			all.Go(func() {
				for {
					runs := a.claim(t.Context(), limit)
					a.execute(t.Context(), runs)
					if len(runs) == 0 || t.Failed() {
						return
					}
				}
			})
		}
		all.Wait()
	}
	work(10)
	counts := target.counts()
	for _, id := range ids {
		want := 1
		if dead[id] {
			want = 0
		}
		if counts[id] != want {
			t.Errorf("run %s was executed %d times before the lease lapsed, want %d", id, counts[id], want)
		}
	}
	if page, err := opened.Runs(t.Context(), client.Filter{Active: new(true), Limit: 1000}); err != nil || len(page.Runs) != lost {
		t.Errorf("%d runs have not ended, want %d: %v", len(page.Runs), lost, err)
	}

	ahead.Store(int64(time.Minute))
	work(50)
	succeed(t, opened, ids)
	counts = target.counts()
	for _, id := range ids {
		if counts[id] != 1 {
			t.Errorf("run %s was executed %d times, want once", id, counts[id])
		}
	}
	if response := response(t, url, c, ids[0]); response != `{"took":"it"}` {
		t.Errorf("response is %s", response)
	}
}

// response reads a run's response as it was answered.
func response(t *testing.T, url string, c local.Config, id string) string {
	t.Helper()
	var got struct {
		Run struct {
			Response json.RawMessage `json:"response"`
		} `json:"run"`
	}
	a := &agent{t: t, url: url, credentials: local.Credentials{ClientID: c.ClientID, ClientSecret: c.ClientSecret}}
	a.ask(t.Context(), "GET", "/v1/actions/runs/"+id, "", &got)
	return string(got.Run.Response)
}

// A process that is killed after a claim was answered has lost nothing of it: the lease holds, and what is
// acknowledged after the next start counts.
func TestClaimsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	// The lease of a claim does not lapse meanwhile.
	now := time.Now()
	c := local.WithClock(config(t.TempDir()), func() time.Time { return now })
	c.ClientID, c.ClientSecret = "client_1", strings.Repeat("s", 32)
	first, err := local.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := &agent{t: t, url: "http://" + first.Addr(), credentials: first.Credentials()}
	target := inside(t)
	opened := connect(t, a.url, a.credentials)
	saveForAgents(t, opened, target.URL)
	trigger(t, opened, 2)
	claimed := a.claim(t.Context(), 1)
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	opened, a.url = serve(t, c)
	if others := a.claim(t.Context(), 10); len(others) != 1 || len(claimed) != 1 || others[0].ID == claimed[0].ID {
		t.Errorf("claimed %v, then %v; want one each", claimed, others)
	}
	a.execute(t.Context(), claimed)
	succeed(t, opened, []string{claimed[0].ID})
}

// Secrets reach the agent in clear, by a claim and by Kafka, and nobody else: neither a reader of the run,
// nor one of what the agent reports. Which way runs go is the organization's setting.
func TestSecretsOfAgents(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-hunter2"
	broker := emulator.Kafka(t)
	c := config(t.TempDir())
	c.OrgID = "org_local_agents"
	c.Kafka = kafkasettings.Settings{Brokers: broker.Plain}
	opened, q, credentials := open(t, c)
	a := &agent{t: t, url: q.url, credentials: credentials}
	q.call("POST", "/v1/organization/secrets", `{"secretName":"TOKEN","secretValue":"`+secret+`"}`)
	q.call("POST", "/v1/actions", `{"identifier":"inside","trigger":{"type":"self-service","operation":"CREATE"},
		"invocationMethod":{"type":"WEBHOOK","url":"http://inside.example/","agent":true,"headers":{"X-Token":"{{ .secrets.TOKEN }}"},
			"body":{"token":"{{ .secrets.TOKEN }}"}}}`)

	id := startOf(t, opened, "inside")
	claimed := a.claim(t.Context(), 10)
	if len(claimed) != 1 || claimed[0].Payload.Headers["X-Token"] != secret || claimed[0].Payload.Body["token"] != secret || !claimed[0].Payload.Agent {
		t.Fatalf("claimed %+v, want the secret in clear", claimed)
	}
	q.call("PATCH", "/v1/actions/runs/ack", `{"runId":"`+id+`"}`)
	q.call("PATCH", "/v1/actions/runs/"+id+"/response", `{"response":{"echo":"Bearer `+secret+`"}}`)

	q.call("PATCH", "/v1/organization", `{"settings":{"portAgentStreamerName":"KAFKA"}}`)
	byKafka := startOf(t, opened, "inside")
	reader, err := kgo.NewClient(kgo.SeedBrokers(broker.Plain), kgo.ConsumeTopics("org_local_agents.runs"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var found []byte
	for found == nil {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatal("no record")
		}
		for _, r := range fetches.Records() {
			found = r.Value
		}
	}
	var message struct {
		Token   string
		Context struct{ RunID string }
		Headers map[string]string
		Payload struct {
			Action struct {
				InvocationMethod struct {
					URL   string
					Agent bool
				}
			}
		}
	}
	if err := json.Unmarshal(found, &message); err != nil {
		t.Fatal(err)
	}
	method := message.Payload.Action.InvocationMethod
	if message.Token != secret || message.Context.RunID != byKafka || message.Headers["X-Token"] != secret ||
		message.Headers["X-Port-Signature"] == "" || method.URL != "http://inside.example/" || !method.Agent {
		t.Errorf("message is %s", found)
	}
	if others := a.claim(t.Context(), 10); len(others) != 0 {
		t.Errorf("claimed %v, want none: the run went to Kafka", others)
	}
	for _, id := range []string{id, byKafka} {
		q.call("POST", "/v1/actions/runs/"+id+"/logs", `{"message":"the target answered: no `+secret+`"}`)
		q.call("POST", "/v1/actions/runs/"+id+"/logs", `{"message":"it is `+secret+`","statusLabel":"`+secret+`"}`)
		q.call("PATCH", "/v1/actions/runs/"+id, `{"summary":"`+secret+`","link":["https://x.example/?t=`+secret+`"],"externalRunId":"`+secret+`"}`)
		for _, path := range []string{"", "/logs"} {
			text, err := json.Marshal(q.call("GET", "/v1/actions/runs/"+id+path, ""))
			if err != nil || strings.Contains(string(text), secret) || !strings.Contains(string(text), "******") {
				t.Errorf("a reader sees %s", text)
			}
		}
		report(t, opened, id)
	}
}
