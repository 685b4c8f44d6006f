package inbound_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend/gitlab/gitlabtest"
	"longshore/pkg/fault"
	"longshore/pkg/inbound"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/signature"
)

// lab is a receiver of GitLab's events over a store with a run that GitLab took as the pipeline 77 of
// acme/platform/shop.
type lab struct {
	*desk
	gitlab *inbound.GitLab
	id     string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{desk: newDesk(t), id: run.NewID(now)}
	l.gitlab = &inbound.GitLab{Ender: l.github.Ender, Tokens: func(context.Context) (signature.Secrets, error) {
		return signature.Secrets{Current: secret, Previous: "the one before"}, nil
	}}
	r := &run.Run{ID: l.id, Action: run.Action{Identifier: "deploy"}, Backend: invocation.BackendGitLab, Source: run.SourceAPI, UserID: "c", CreatedBy: "c"}
	r.Start(now, "")
	body := &run.Body{Properties: json.RawMessage("{}"), Invocation: &invocation.Invocation{
		V: 1, Type: "GITLAB", Backend: invocation.BackendGitLab,
		Payload: json.RawMessage(`{"type":"GITLAB","groupName":"Acme/platform","projectName":"shop"}`),
	}}
	if err := l.runs.Create(t.Context(), r, body); err != nil {
		t.Fatal(err)
	}
	_, err := l.runs.Update(t.Context(), l.id, func(r *run.Run) (*run.Write, error) {
		if _, err := r.Claim(now, 1, "o", time.Minute); err != nil {
			return nil, err
		}
		return &run.Write{}, r.Settle(now, 1, "o", time.Hour, run.Outcome{Verdict: run.Deliver, ExternalRunID: "77", Watch: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lab) send(t *testing.T, token string, body []byte) error {
	t.Helper()
	h := http.Header{}
	h.Set("X-Gitlab-Event", "Pipeline Hook")
	if token != "" {
		h.Set("X-Gitlab-Token", token)
	}
	return l.gitlab.Receive(t.Context(), h, body)
}

func pipelineEvent(id int, project, status string) []byte {
	return gitlabtest.Event(gitlabtest.Pipeline{ID: id, Project: project, Status: status, Ref: "main", Source: "api"})
}

func TestGitLabEventEndsItsRun(t *testing.T) {
	t.Parallel()
	const project = "acme/platform/shop"
	cases := []struct {
		name   string
		body   []byte
		status run.Status
		label  string
	}{
		{"success", pipelineEvent(77, project, "success"), run.Success, ""},
		{"failed", pipelineEvent(77, project, "failed"), run.Failure, "failed"},
		{"canceled", pipelineEvent(77, project, "canceled"), run.Failure, "canceled"},
		{"skipped", pipelineEvent(77, project, "skipped"), run.Failure, "skipped"},
		{"manual", pipelineEvent(77, project, "manual"), run.InProgress, ""},
		{"blocked", pipelineEvent(77, project, "blocked"), run.InProgress, ""},
		{"running", pipelineEvent(77, project, "running"), run.InProgress, ""},
		{"another pipeline", pipelineEvent(78, project, "success"), run.InProgress, ""},
		{"the same number elsewhere", pipelineEvent(77, "evil/shop", "success"), run.InProgress, ""},
		{"of another kind", []byte(`{"object_kind":"build","object_attributes":{"id":77,"status":"success"},"project":{"path_with_namespace":"acme/platform/shop"}}`), run.InProgress, ""},
		{"of another kind and shape", []byte(`{"object_kind":"push","project":"x","object_attributes":[]}`), run.InProgress, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			if err := l.send(t, secret, c.body); err != nil {
				t.Fatalf("receive: %v", err)
			}
			if r := l.run(t, l.id); r.Status != c.status || r.StatusLabel != c.label {
				t.Errorf("run is %s %q, want %s %q", r.Status, r.StatusLabel, c.status, c.label)
			}
		})
	}
}

func TestGitLabEventEndsOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, status := range []string{"failed", "failed", "success"} {
		if err := l.send(t, "the one before", pipelineEvent(77, "acme/platform/shop", status)); err != nil {
			t.Fatal(err)
		}
	}
	if r := l.run(t, l.id); r.Status != run.Failure {
		t.Errorf("run is %s, want FAILURE as the first event said", r.Status)
	}
	logs, err := l.runs.Logs(t.Context(), l.id, run.LogQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range logs {
		lines = append(lines, line.Message)
	}
	if diff := cmp.Diff([]string{"The pipeline ended: failed."}, lines); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestGitLabEventIsRefused(t *testing.T) {
	t.Parallel()
	good := pipelineEvent(77, "acme/platform/shop", "success")
	tokens := func(s signature.Secrets, err error) func(context.Context) (signature.Secrets, error) {
		return func(context.Context) (signature.Secrets, error) { return s, err }
	}
	cases := []struct {
		name, token string
		body        []byte
		tokens      func(context.Context) (signature.Secrets, error)
		want        fault.Kind
	}{
		{"no token", "", good, nil, fault.Unauthorized},
		{"another token", secret + "x", good, nil, fault.Unauthorized},
		{"a part of the token", secret[1:], good, nil, fault.Unauthorized},
		{"no token and no JSON", "", []byte("{"), nil, fault.Unauthorized},
		{"no token where the one before is empty", "", good, tokens(signature.Secrets{Current: secret}, nil), fault.Unauthorized},
		{"no JSON", secret, []byte("{"), nil, fault.Invalid},
		{"another shape", secret, []byte(`{"object_kind":"pipeline","object_attributes":[]}`), nil, fault.Invalid},
		{"no token here", secret, good, tokens(signature.Secrets{}, nil), fault.NotFound},
		{"the token cannot be read", secret, good, tokens(signature.Secrets{}, errors.New("x")), fault.Unavailable},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			if c.tokens != nil {
				l.gitlab.Tokens = c.tokens
			}
			if err := l.send(t, c.token, c.body); err == nil || fault.KindOf(err) != c.want {
				t.Errorf("got %v, want the kind %v", err, c.want)
			}
			if r := l.run(t, l.id); r.Status != run.InProgress {
				t.Errorf("run is %s, want IN_PROGRESS", r.Status)
			}
		})
	}
}
