package inbound_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/inbound"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	sealing "longshore/pkg/secret"
	"longshore/pkg/signature"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/sqlitestore"
)

const secret = "a webhook's secret"

var now = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

// desk is a receiver over a store.
type desk struct {
	runs   *sqlitestore.Runs
	sealer *sealing.Sealer
	github *inbound.GitHub
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	runs, err := sqlitestore.NewRuns(t.Context(), db, sqlitestore.RunsOptions{Retention: 100 * 365 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	key, err := sealing.NewKey("one", bytes.Repeat([]byte("k"), sealing.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	sealer := sealing.NewSealer(sealing.Ring{key})
	return &desk{runs, sealer, &inbound.GitHub{
		Ender:   inbound.Ender{Runs: runs, Sealer: sealer, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }},
		Secrets: func(context.Context) (signature.Secrets, error) { return signature.Secrets{Current: secret}, nil },
	}}
}

// asked is an invocation of a workflow of an organization.
func asked(org string) *invocation.Invocation {
	return &invocation.Invocation{
		V: 1, Type: "GITHUB", Backend: invocation.BackendGitHub,
		Payload: json.RawMessage(`{"type":"GITHUB","org":"` + org + `","repo":"shop","workflow":"deploy.yml"}`),
	}
}

// delivered records a run that GitHub took as the workflow run 77 of acme/shop.
func (d *desk) delivered(t *testing.T, id string, watch bool) string {
	t.Helper()
	return d.record(t, id, watch, &run.Body{Properties: json.RawMessage("{}"), Invocation: asked("Acme")})
}

func (d *desk) record(t *testing.T, id string, watch bool, body *run.Body) string {
	t.Helper()
	r := &run.Run{ID: id, Action: run.Action{Identifier: "deploy"}, Backend: invocation.BackendGitHub, Source: run.SourceAPI, UserID: "c", CreatedBy: "c"}
	r.Start(now, "")
	if err := d.runs.Create(t.Context(), r, body); err != nil {
		t.Fatal(err)
	}
	_, err := d.runs.Update(t.Context(), id, func(r *run.Run) (*run.Write, error) {
		if _, err := r.Claim(now, 1, "o", time.Minute); err != nil {
			return nil, err
		}
		return &run.Write{}, r.Settle(now, 1, "o", time.Hour, run.Outcome{Verdict: run.Deliver, ExternalRunID: "77", Watch: watch})
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (d *desk) run(t *testing.T, id string) *run.Run {
	t.Helper()
	r, err := d.runs.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sign(body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func (d *desk) send(t *testing.T, event, body string, more ...string) error {
	t.Helper()
	h := http.Header{}
	h.Set("X-GitHub-Event", event)
	h.Set("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	h.Set("Content-Type", "application/json")
	h.Set("X-Hub-Signature-256", sign(body))
	for i := 0; i < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	return d.github.Receive(t.Context(), h, []byte(body))
}

func event(action string, id int, repository, conclusion string) string {
	return fmt.Sprintf(`{"action":%q,"workflow_run":{"id":%d,"status":"completed","conclusion":%q},"repository":{"full_name":%q}}`,
		action, id, conclusion, repository)
}

func TestGitHubEventEndsItsRun(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		event  string
		body   string
		watch  bool
		status run.Status
		label  string
	}{
		{"success", "workflow_run", event("completed", 77, "acme/shop", "success"), true, run.Success, ""},
		{"failure", "workflow_run", event("completed", 77, "acme/shop", "failure"), true, run.Failure, "failure"},
		{"cancelled", "workflow_run", event("completed", 77, "acme/shop", "cancelled"), true, run.Failure, "cancelled"},
		{"still running", "workflow_run", event("in_progress", 77, "acme/shop", ""), true, run.InProgress, ""},
		{"another workflow run", "workflow_run", event("completed", 78, "acme/shop", "success"), true, run.InProgress, ""},
		{"the same number elsewhere", "workflow_run", event("completed", 77, "evil/shop", "success"), true, run.InProgress, ""},
		{"of another type", "workflow_job", event("completed", 77, "acme/shop", "success"), true, run.InProgress, ""},
		{"a run that reports itself", "workflow_run", event("completed", 77, "acme/shop", "success"), false, run.InProgress, ""},
		{"a ping", "ping", `{"zen":"Design for failure."}`, true, run.InProgress, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			id := d.delivered(t, run.NewID(now), c.watch)
			if err := d.send(t, c.event, c.body); err != nil {
				t.Fatalf("receive: %v", err)
			}
			if r := d.run(t, id); r.Status != c.status || r.StatusLabel != c.label {
				t.Errorf("run is %s %q, want %s %q", r.Status, r.StatusLabel, c.status, c.label)
			}
		})
	}
}

// Where a secret is part of the repository's name, what can be read of the run does not tell whose it is.
func TestGitHubEventOfASecretPlace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		repository string
		lost       bool
		status     run.Status
	}{
		"its own":            {"acme/shop", false, run.Success},
		"another":            {"evil/shop", false, run.InProgress},
		"a key that is lost": {"acme/shop", true, run.InProgress},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			id := run.NewID(now)
			sealed, err := invocation.Seal(t.Context(), d.sealer, id, asked("acme"), []string{"acme"})
			if err != nil {
				t.Fatal(err)
			}
			if c.lost {
				d.github.Sealer = sealing.NewSealer(nil)
			}
			d.record(t, id, true, &run.Body{Properties: json.RawMessage("{}"), Invocation: asked(sealing.Hidden), Secrets: true, Sealed: sealed})
			if err := d.send(t, "workflow_run", event("completed", 77, c.repository, "success")); err != nil {
				t.Fatal(err)
			}
			if r := d.run(t, id); r.Status != c.status {
				t.Errorf("run is %s, want %s", r.Status, c.status)
			}
		})
	}
}

func TestGitHubEventFromAForm(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.delivered(t, run.NewID(now), true)
	body := url.Values{"payload": {event("completed", 77, "acme/shop", "success")}}.Encode()
	if err := d.send(t, "workflow_run", body, "Content-Type", "application/x-www-form-urlencoded"); err != nil {
		t.Fatal(err)
	}
	if r := d.run(t, id); r.Status != run.Success {
		t.Errorf("run is %s, want SUCCESS", r.Status)
	}
}

func TestGitHubEventEndsOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.delivered(t, run.NewID(now), true)
	for _, conclusion := range []string{"failure", "failure", "success"} {
		if err := d.send(t, "workflow_run", event("completed", 77, "acme/shop", conclusion)); err != nil {
			t.Fatal(err)
		}
	}
	if r := d.run(t, id); r.Status != run.Failure {
		t.Errorf("run is %s, want FAILURE as the first event said", r.Status)
	}
	logs, err := d.runs.Logs(t.Context(), id, run.LogQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range logs {
		lines = append(lines, l.Message)
	}
	if diff := cmp.Diff([]string{"The workflow run ended: failure."}, lines); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestGitHubEventIsRefused(t *testing.T) {
	t.Parallel()
	good := event("completed", 77, "acme/shop", "success")
	cases := []struct {
		name string
		send func(t *testing.T, d *desk) error
		want fault.Kind
	}{
		{"unsigned", func(t *testing.T, d *desk) error {
			return d.send(t, "workflow_run", good, "X-Hub-Signature-256", "")
		}, fault.Unauthorized},
		{"signed for another body", func(t *testing.T, d *desk) error {
			return d.send(t, "workflow_run", good, "X-Hub-Signature-256", sign(good+" "))
		}, fault.Unauthorized},
		{"unsigned and no JSON", func(t *testing.T, d *desk) error {
			return d.send(t, "workflow_run", "{", "X-Hub-Signature-256", "sha256=00")
		}, fault.Unauthorized},
		{"no JSON", func(t *testing.T, d *desk) error { return d.send(t, "workflow_run", "{") }, fault.Invalid},
		{"no secret here", func(t *testing.T, d *desk) error {
			d.github.Secrets = func(context.Context) (signature.Secrets, error) { return signature.Secrets{}, nil }
			return d.send(t, "workflow_run", good)
		}, fault.NotFound},
		{"the secret cannot be read", func(t *testing.T, d *desk) error {
			d.github.Secrets = func(context.Context) (signature.Secrets, error) { return signature.Secrets{}, errors.New("x") }
			return d.send(t, "workflow_run", good)
		}, fault.Unavailable},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			id := d.delivered(t, run.NewID(now), true)
			if err := c.send(t, d); err == nil || fault.KindOf(err) != c.want {
				t.Errorf("got %v, want the kind %v", err, c.want)
			}
			if r := d.run(t, id); r.Status != run.InProgress {
				t.Errorf("run is %s, want IN_PROGRESS", r.Status)
			}
		})
	}
}
