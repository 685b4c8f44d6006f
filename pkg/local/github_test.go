package local_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/backend/github"
	"longshore/pkg/backend/github/githubtest"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/local"
	"longshore/pkg/run"
)

const webhookSecret = "the secret of GitHub's webhook"

// githubWorld is a local process and the GitHub that it works with.
type githubWorld struct {
	github *githubtest.Server
	server *local.Server
	client *client.Client
	url    string
}

func newGitHubWorld(t *testing.T, change ...func(*githubtest.Server)) *githubWorld {
	t.Helper()
	return newGitHubWorldOn(t, config(t.TempDir()), change...)
}

func newGitHubWorldOn(t *testing.T, c local.Config, change ...func(*githubtest.Server)) *githubWorld {
	t.Helper()
	g := &githubtest.Server{
		Repositories: map[string]githubtest.Repository{"acme/shop": {DefaultBranch: "main", Branches: []string{"v2"}, Workflows: map[string]githubtest.Workflow{
			"deploy.yml": {ID: 1, Inputs: []string{"size", "n", "port_payload"}},
		}}},
		Installations: map[string]int64{"acme": 11},
		Details:       true,
	}
	for _, f := range change {
		f(g)
	}
	g.Open(t)
	c.GitHub = local.GitHub{
		Credentials: github.Credentials{AppID: githubtest.AppID, PrivateKey: g.PrivateKey()}, App: githubtest.AppID,
		APIURL: g.URL(), WebhookSecret: webhookSecret,
	}
	s, err := local.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &githubWorld{github: g, server: s, url: "http://" + s.Addr()}
	w.client = connect(t, w.url, s.Credentials())
	return w
}

// v2 saves an action of the second generation with that invocation method.
func (w *githubWorld) v2(t *testing.T, method string) {
	t.Helper()
	_, err := w.client.CreateAction(t.Context(), json.RawMessage(`{"identifier":"act","trigger":{"type":"self-service","operation":"CREATE",
		"userInputs":{"properties":{"size":{"type":"number"},"note":{"type":"string"}}}},"invocationMethod":`+method+`}`))
	if err != nil {
		t.Fatal(err)
	}
}

const v2Method = `{"type":"GITHUB","org":"acme","repo":"shop","workflow":"deploy.yml","workflowInputs":{"size":"{{ .inputs.size }}","n":"{{ .inputs.note }}"}}`

func (w *githubWorld) start(t *testing.T) string {
	t.Helper()
	r, _, err := w.client.StartRun(t.Context(), "act", client.Start{Properties: json.RawMessage(`{"size":3}`)})
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// until waits for a state of a run.
func (w *githubWorld) until(t *testing.T, id, what string, is func(*run.Run) bool) *run.Run {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		r, err := w.server.Head(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if is(r) {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("the run was never %s: %+v", what, r)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func delivered(r *run.Run) bool { return r.Delivery.State == run.Delivered }

func ended(r *run.Run) bool { return r.Status.Ended() }

// event sends GitHub's event about a workflow run and returns the answer's status.
func (w *githubWorld) event(t *testing.T, id int64, secret string) int {
	t.Helper()
	body := w.github.Event(id)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/webhooks/github", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-GitHub-Event", "workflow_run")
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ OK *bool }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.OK == nil {
		t.Errorf("answer %d is no JSON with ok: %v", resp.StatusCode, err)
	}
	return resp.StatusCode
}

func TestGitHubRunIsEndedByItsEvent(t *testing.T) {
	t.Parallel()
	w := newGitHubWorld(t)
	w.v2(t, v2Method)
	id := w.start(t)
	r := w.until(t, id, "delivered", delivered)
	runs := w.github.Runs()
	if len(runs) != 1 || runs[0].Ref != "main" || runs[0].Actor != githubtest.AppActor || len(runs[0].Inputs) != 1 || runs[0].Inputs["size"] != "3" {
		t.Fatalf("started %+v, want one on main with the size 3 alone", runs)
	}
	if r.ExternalRunID != fmt.Sprint(runs[0].ID) || !bytes.Contains(r.Link, []byte("/acme/shop/actions/runs/")) {
		t.Errorf("run has the external id %q and the link %s", r.ExternalRunID, r.Link)
	}
	w.github.Complete(runs[0].ID, "failure")
	if status := w.event(t, runs[0].ID, "another secret"); status != http.StatusUnauthorized {
		t.Errorf("an event of a stranger: %d, want 401", status)
	}
	if r, _ := w.server.Head(t.Context(), id); r.Status != run.InProgress {
		t.Errorf("a stranger's event made the run %s", r.Status)
	}
	for range 2 {
		if status := w.event(t, runs[0].ID, webhookSecret); status != http.StatusAccepted {
			t.Errorf("an event: %d, want 202", status)
		}
	}
	if r, _ := w.server.Head(t.Context(), id); r.Status != run.Failure || r.StatusLabel != "failure" {
		t.Errorf("run is %s %q, want FAILURE failure", r.Status, r.StatusLabel)
	}
}

func TestGitHubRunIsEndedByALookUp(t *testing.T) {
	t.Parallel()
	w := newGitHubWorld(t)
	w.v2(t, v2Method)
	id := w.start(t)
	w.until(t, id, "delivered", delivered)
	// The event is lost.
	w.github.Complete(w.github.Runs()[0].ID, "success")
	if err := w.server.MakeDue(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if r := w.until(t, id, "ended", ended); r.Status != run.Success {
		t.Errorf("run is %s, want SUCCESS", r.Status)
	}
}

func TestGitHubEventBeforeTheDispatchIsAnswered(t *testing.T) {
	t.Parallel()
	var w *githubWorld
	var early atomic.Int64
	w = newGitHubWorld(t, func(g *githubtest.Server) {
		g.After = func(http.ResponseWriter, *http.Request) bool {
			// The workflow ends, and its event comes, while the dispatcher waits for its answer.
			id := g.Runs()[0].ID
			g.Complete(id, "success")
			early.Store(int64(w.event(t, id, webhookSecret)))
			return false
		}
	})
	w.v2(t, v2Method)
	id := w.start(t)
	w.until(t, id, "delivered", delivered)
	if early.Load() != http.StatusAccepted {
		t.Errorf("an event of an unknown run: %d, want 202", early.Load())
	}
	if err := w.server.MakeDue(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if r := w.until(t, id, "ended", ended); r.Status != run.Success {
		t.Errorf("run is %s, want SUCCESS", r.Status)
	}
}

// The answer to a dispatch is lost: the next attempt takes over what the first one started.
func TestGitHubDispatchWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	w := newGitHubWorld(t, func(g *githubtest.Server) {
		g.After = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	})
	w.v2(t, v2Method)
	id := w.start(t)
	w.until(t, id, "waiting for its next try", func(r *run.Run) bool { return len(r.Attempts) > 0 && !r.Attempts[0].Open })
	if err := w.server.MakeDue(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	r := w.until(t, id, "delivered", delivered)
	if runs := w.github.Runs(); len(runs) != 1 || r.ExternalRunID != fmt.Sprint(runs[0].ID) {
		t.Errorf("%d workflow runs were started, the run has %q; want one, adopted", len(runs), r.ExternalRunID)
	}
}

// A workflow that never ends ends its run by the run's time-out, and once: what comes of it later changes
// nothing.
func TestGitHubWorkflowThatNeverEnds(t *testing.T) {
	t.Parallel()
	c := config(t.TempDir())
	var timeout atomic.Int64
	timeout.Store(int64(time.Hour))
	c.Timeout = func(string) time.Duration { return time.Duration(timeout.Load()) }
	w := newGitHubWorldOn(t, c)
	w.v2(t, v2Method)
	id := w.start(t)
	w.until(t, id, "delivered", delivered)
	// The hour passes.
	timeout.Store(int64(time.Nanosecond))
	if err := w.server.MakeDue(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if r := w.until(t, id, "ended", ended); r.Status != run.Failure || r.StatusLabel != "timed out" {
		t.Errorf("run is %s %q, want FAILURE timed out", r.Status, r.StatusLabel)
	}
	started := w.github.Runs()
	if len(started) != 1 || started[0].Status == "completed" {
		t.Fatalf("workflow runs %+v, want one that runs", started)
	}
	w.github.Complete(started[0].ID, "success")
	if status := w.event(t, started[0].ID, webhookSecret); status != http.StatusAccepted {
		t.Errorf("its event: %d, want 202", status)
	}
	if r, _ := w.server.Head(t.Context(), id); r.Status != run.Failure {
		t.Errorf("a late event made the run %s", r.Status)
	}
}

func TestGitHubV1(t *testing.T) {
	t.Parallel()
	w := newGitHubWorld(t)
	_, err := w.client.CreateAction(t.Context(), json.RawMessage(`{"identifier":"act","trigger":"CREATE",
		"userInputs":{"properties":{"size":{"type":"number"},"ref":{"type":"string","default":"v2"}}},
		"invocationMethod":{"type":"GITHUB","org":"acme","repo":"shop","workflow":"deploy.yml","reportWorkflowStatus":false}}`))
	if err != nil {
		t.Fatal(err)
	}
	id := w.start(t)
	r := w.until(t, id, "delivered", delivered)
	runs := w.github.Runs()
	if len(runs) != 1 || runs[0].Ref != "v2" || runs[0].Inputs["size"] != "3" || len(runs[0].Inputs) != 2 {
		t.Fatalf("started %+v, want one on v2 with size and port_payload", runs)
	}
	message, err := jqtemplate.Decode([]byte(runs[0].Inputs["port_payload"]))
	if err != nil {
		t.Fatalf("port_payload is no JSON: %v", err)
	}
	if o, ok := message.(*jqtemplate.Object); !ok {
		t.Errorf("port_payload is %T", message)
	} else if kind, _ := o.Get("resourceType"); kind != "run" {
		t.Errorf("port_payload has the resourceType %v", kind)
	}
	if r.Watched() {
		t.Error("a run that reports itself is looked up")
	}
	// Its workflow's end says nothing.
	w.github.Complete(runs[0].ID, "success")
	if status := w.event(t, runs[0].ID, webhookSecret); status != http.StatusAccepted {
		t.Errorf("an event: %d, want 202", status)
	}
	if r, _ := w.server.Head(t.Context(), id); r.Status != run.InProgress {
		t.Errorf("run is %s, want IN_PROGRESS until somebody reports", r.Status)
	}
}

func TestGitHubIntegrationAction(t *testing.T) {
	t.Parallel()
	w := newGitHubWorld(t)
	w.v2(t, `{"type":"INTEGRATION_ACTION","installationId":"`+githubtest.AppID+`","integrationActionType":"dispatch_workflow",
		"integrationActionExecutionProperties":{"org":"acme","repo":"shop","workflow":"deploy.yml","workflowInputs":{"size":"{{ .inputs.size }}"}}}`)
	id := w.start(t)
	w.until(t, id, "delivered", delivered)
	runs := w.github.Runs()
	w.github.Complete(runs[0].ID, "cancelled")
	if status := w.event(t, runs[0].ID, webhookSecret); status != http.StatusAccepted {
		t.Errorf("an event: %d, want 202", status)
	}
	if r, _ := w.server.Head(t.Context(), id); r.Status != run.Failure || r.StatusLabel != "cancelled" {
		t.Errorf("run is %s %q, want FAILURE cancelled", r.Status, r.StatusLabel)
	}
}

func TestGitHubRefusalEndsTheRun(t *testing.T) {
	t.Parallel()
	w := newGitHubWorld(t)
	w.v2(t, `{"type":"GITHUB","org":"acme","repo":"shop","workflow":"deploy.yml","workflowInputs":{"size":"{{ .inputs.size }}","region":"eu"}}`)
	id := w.start(t)
	if r := w.until(t, id, "ended", ended); r.Status != run.Failure {
		t.Errorf("run is %s, want FAILURE", r.Status)
	}
	var logs []client.Log
	if _, err := w.client.Logs(t.Context(), id, "", func(l client.Log) { logs = append(logs, l) }); err != nil {
		t.Fatal(err)
	}
	if len(logs) != 1 || !strings.Contains(logs[0].Message, `Unexpected inputs provided: ["region"]`) {
		t.Errorf("log %+v, want GitHub's own message", logs)
	}
}
