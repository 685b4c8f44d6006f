package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api/client"
	"longshore/pkg/backend/gitlab"
	"longshore/pkg/backend/gitlab/gitlabtest"
	"longshore/pkg/local"
)

const webhookToken = "the token of GitLab's webhook"

// pipelines is a server with GitLab behind it, and the actions v1 and v2 that start pipelines there.
type pipelines struct {
	server *local.Server
	client *client.Client
	url    string
	gitlab *gitlabtest.Server
}

func newPipelines(t *testing.T) *pipelines {
	t.Helper()
	g := gitlabtest.New(t)
	g.Projects = []gitlabtest.Project{{Path: "acme/platform/shop", Branches: []string{"main", "v1"}}}
	g.Tokens = map[string]gitlabtest.User{"glpat-0123456789": {Name: "longshore"}}
	c := config(t.TempDir())
	c.GitLab = local.GitLab{
		Credentials: gitlab.Credentials{Tokens: map[string]string{"acme": "glpat-0123456789"}}, URL: g.URL, WebhookToken: webhookToken,
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
	p := &pipelines{server: s, url: "http://" + s.Addr(), gitlab: g}
	p.client = connect(t, p.url, s.Credentials())
	for _, definition := range []string{
		`{"identifier":"v2","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"ref":{"type":"string"},"n":{"type":"number"}}}},
		  "invocationMethod":{"type":"GITLAB","groupName":"acme/platform","projectName":"shop","pipelineVariables":{"N":"{{ .inputs.n }}","T":"<{{ .inputs.n }}>"}}}`,
		`{"identifier":"v1","trigger":"CREATE","userInputs":{"properties":{"ref":{"type":"string"},"n":{"type":"number"}}},
		  "invocationMethod":{"type":"GITLAB","groupName":"acme/platform","projectName":"shop","omitUserInputs":true}}`,
	} {
		if _, err := p.client.CreateAction(t.Context(), json.RawMessage(definition)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// start starts a run and waits until GitLab has taken it.
func (p *pipelines) start(t *testing.T, action string) *client.Run {
	t.Helper()
	r, _, err := p.client.StartRun(t.Context(), action, client.Start{Properties: json.RawMessage(`{"ref":"v1","n":2}`)})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if r, err = p.client.Run(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		if len(r.Link) > 4 || r.Status != "IN_PROGRESS" {
			return r
		}
	}
	t.Fatalf("run %s was not delivered: %s", r.ID, r.Raw)
	return nil
}

// tell sends an event of GitLab's and returns the answer's status.
func (p *pipelines) tell(t *testing.T, token string, event []byte) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/webhooks/gitlab", bytes.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Gitlab-Event", "Pipeline Hook")
	req.Header.Set("X-Gitlab-Token", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func external(t *testing.T, r *client.Run) string {
	t.Helper()
	var v struct {
		ExternalRunID string `json:"externalRunId"`
	}
	if err := json.Unmarshal(r.Raw, &v); err != nil {
		t.Fatal(err)
	}
	return v.ExternalRunID
}

func TestGitLabEndsByEvent(t *testing.T) {
	t.Parallel()
	p := newPipelines(t)
	r := p.start(t, "v2")
	if r.Status != "IN_PROGRESS" || external(t, r) != "4700" || string(r.Link) != `"`+p.gitlab.URL+`/acme/platform/shop/-/pipelines/4700"` {
		t.Errorf("run is %s", r.Raw)
	}
	started := p.gitlab.Pipelines()[0]
	if diff := cmp.Diff(map[string]string{"N": "2", "T": "<2>"}, started.Variables); diff != "" || started.Ref != "v1" {
		t.Errorf("the pipeline of %s has variables (-want +got):\n%s", started.Ref, diff)
	}
	for _, c := range []struct {
		name, token, state string
		status             int
		want               string
	}{
		{"a bad token", "other", "failed", 401, "IN_PROGRESS"},
		{"not an end", webhookToken, "manual", 202, "IN_PROGRESS"},
		{"the end", webhookToken, "canceled", 202, "FAILURE"},
		{"a replay", webhookToken, "success", 202, "FAILURE"},
	} {
		if got := p.tell(t, c.token, p.gitlab.Set(4700, c.state)); got != c.status {
			t.Errorf("%s: answered %d, want %d", c.name, got, c.status)
		}
		var err error
		if r, err = p.client.Run(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		if r.Status != c.want {
			t.Errorf("%s: run is %s, want %s", c.name, r.Status, c.want)
		}
	}
	if r.StatusLabel == nil || *r.StatusLabel != "canceled" {
		t.Errorf("run is %s", r.Raw)
	}
	if got := p.tell(t, webhookToken, gitlabtest.Event(gitlabtest.Pipeline{ID: 1, Status: "success"})); got != 202 {
		t.Errorf("an unknown pipeline: answered %d, want 202", got)
	}
	if got := p.tell(t, webhookToken, bytes.Repeat([]byte(" "), 1<<20+1)); got != 413 {
		t.Errorf("more than a MiB: answered %d, want 413", got)
	}
}

func TestGitLabEndsByLookUp(t *testing.T) {
	t.Parallel()
	p := newPipelines(t)
	r := p.start(t, "v1")
	started := p.gitlab.Pipelines()[0]
	var message struct {
		Payload struct {
			Properties json.RawMessage `json:"properties"`
		} `json:"payload"`
	}
	if err := json.Unmarshal([]byte(started.Variables["port_payload"]), &message); err != nil {
		t.Fatalf("variables are %v: %v", started.Variables, err)
	}
	if len(started.Variables) != 1 || started.Ref != "v1" || string(message.Payload.Properties) != `{"ref":"v1","n":2}` {
		t.Errorf("a pipeline of %s with %v", started.Ref, started.Variables)
	}
	p.gitlab.Set(4700, "success")
	if err := p.server.MakeDue(t.Context(), r.ID); err != nil {
		t.Fatal(err)
	}
	var lines []string
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended, err := p.client.Follow(ctx, r.ID, 20*time.Millisecond, func(l client.Log) { lines = append(lines, l.Message) })
	if err != nil {
		t.Fatal(err)
	}
	if ended.Status != "SUCCESS" || !strings.Contains(strings.Join(lines, "\n"), "The pipeline ended: success.") {
		t.Errorf("run is %s, its log %q", ended.Raw, lines)
	}
}

// TestGitLabStartsOnce: the answer to the first attempt is lost; the second finds its pipeline.
func TestGitLabStartsOnce(t *testing.T) {
	t.Parallel()
	p := newPipelines(t)
	var cut atomic.Bool
	p.gitlab.After = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost && cut.CompareAndSwap(false, true) {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	r := p.start(t, "v2")
	attempts, err := p.client.Attempts(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.gitlab.Pipelines()); n != 1 || external(t, r) != "4700" || len(attempts) != 2 {
		t.Errorf("%d pipelines after %d attempts; run is %s", n, len(attempts), r.Raw)
	}
}
