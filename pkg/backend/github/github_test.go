package github_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/backend/backendtest"
	"longshore/pkg/backend/github"
	"longshore/pkg/backend/github/githubtest"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

const (
	runID  = "r_0123456789abcdef"
	pat    = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
	dispat = "/actions/workflows/deploy.yml/dispatches"
)

// world is a GitHub with one repository, and what knows of it.
func world() *githubtest.Server {
	return &githubtest.Server{
		Repositories: map[string]githubtest.Repository{
			"acme/shop": {DefaultBranch: "trunk", Branches: []string{"next"}, Workflows: map[string]githubtest.Workflow{
				"deploy.yml":  {ID: 42, Inputs: []string{"a", "b", "c", "d", "e", "port_payload"}},
				"no trig.yml": {ID: 43, NoTrigger: true},
			}},
			"ada/notes": {DefaultBranch: "main", Workflows: map[string]githubtest.Workflow{"deploy.yml": {ID: 44}}},
		},
		Tokens:        map[string]string{pat: "ada"},
		Installations: map[string]int64{"acme": 11}, Users: map[string]int64{"ada": 12},
		Details: true,
	}
}

func withToken(*githubtest.Server) github.Credentials { return github.Credentials{Token: pat} }

func withApp(s *githubtest.Server) github.Credentials {
	return github.Credentials{AppID: githubtest.AppID, PrivateKey: s.PrivateKey()}
}

func open(t *testing.T, c github.Config, credentials github.Credentials) *github.Backend {
	t.Helper()
	if c.Client == nil {
		c.Client = egress.New(egress.Config{Allow: egress.Loopback()})
		t.Cleanup(c.Client.Close)
	}
	if c.Taken == nil {
		c.Taken = func(context.Context, string, string) (bool, error) { return false, nil }
	}
	c.Credentials = func(context.Context) (github.Credentials, error) { return credentials, credentials.Validate() }
	c.Version = "test"
	c.Pause = func(context.Context, time.Duration) {}
	b, err := github.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func attempt(payload string) backend.Call {
	kind := "GITHUB"
	if strings.Contains(payload, "integrationActionExecutionProperties") {
		kind = "INTEGRATION_ACTION"
	}
	return backend.Call{RunID: runID, Action: "a", Attempt: 1, Invocation: &invocation.Invocation{
		V: invocation.Version, Type: kind, Backend: invocation.BackendGitHub, Payload: json.RawMessage(payload),
	}}
}

// deploy is the invocation of acme's workflow with those inputs.
func deploy(inputs string) string {
	return `{"type":"GITHUB","org":"acme","repo":"shop","workflow":"deploy.yml","workflowInputs":` + inputs + `}`
}

func TestConformance(t *testing.T) {
	t.Parallel()
	backendtest.Run(t, func(t *testing.T, target backendtest.Target) (backend.Backend, func(string) backend.Call) {
		// Each attempt's secret is also the token, where a token can hold it.
		b := open(t, github.Config{APIURL: target.URL, Client: target.Client, Now: target.Now}, github.Credentials{Token: "ghp_s3cr3tC0re"})
		return b, func(secret string) backend.Call {
			text, err := json.Marshal(map[string]any{
				"type": "GITHUB", "org": "org" + secret, "repo": "repo" + secret, "workflow": "w" + secret,
				"workflowInputs": map[string]string{"token": secret, "ref": "main"},
			})
			if err != nil {
				t.Fatal(err)
			}
			return attempt(string(text))
		}
	})
}

func TestDispatch(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		payload string
		ref     string
		inputs  map[string]string
		watch   bool
	}{
		{"no inputs", `{"type":"GITHUB","org":"acme","repo":"shop","workflow":"deploy.yml"}`, "trunk", nil, true},
		{"a workflow by its number", `{"type":"GITHUB","org":"acme","repo":"shop","workflow":42}`, "trunk", nil, true},
		{"a number in a string", `{"type":"GITHUB","org":"acme","repo":"shop","workflow":"42","workflowInputs":null}`, "trunk", nil, true},
		{
			"values as strings",
			deploy(`{"a":"x","b":1.50,"c":true,"d":{"z":1,"a":"<&>é"},"e":null}`),
			"trunk", map[string]string{"a": "x", "b": "1.5", "c": "true", "d": `{"z":1,"a":"<&>é"}`}, true,
		},
		{"a ref", deploy(`{"ref":"next","a":""}`), "next", map[string]string{"a": ""}, true},
		{"an empty ref", deploy(`{"ref":""}`), "trunk", nil, true},
		{
			"one that reports itself",
			`{"type":"GITHUB","org":"acme","repo":"shop","workflow":"deploy.yml","reportWorkflowStatus":false}`,
			"trunk", nil, false,
		},
		{
			"an integration's action",
			`{"type":"INTEGRATION_ACTION","installationId":"4711","integrationActionType":"dispatch_workflow","integrationActionExecutionProperties":{"org":"acme","repo":"shop","workflow":"deploy.yml","workflowInputs":{"a":"x","ref":"next"},"reportWorkflowStatus":true}}`,
			"next", map[string]string{"a": "x"}, true,
		},
	}
	for _, c := range cases {
		for _, by := range []string{"token", "app"} {
			t.Run(c.name+" by "+by, func(t *testing.T) {
				t.Parallel()
				s := world().Open(t)
				credentials, actor := withToken(s), "ada"
				if by == "app" {
					credentials, actor = withApp(s), githubtest.AppActor
				}
				o := open(t, github.Config{APIURL: s.URL()}, credentials).Call(t.Context(), attempt(c.payload))
				runs := s.Runs()
				if len(runs) != 1 {
					t.Fatalf("%d workflow runs were started (%s), want 1", len(runs), o.Error)
				}
				want := backend.Outcome{
					Verdict: run.Deliver, StatusCode: 200, ExternalRunID: fmt.Sprint(runs[0].ID), Watch: c.watch,
					Link: json.RawMessage(fmt.Sprintf(`"https://github.example/acme/shop/actions/runs/%d"`, runs[0].ID)),
				}
				if diff := cmp.Diff(want, o); diff != "" {
					t.Errorf("outcome (-want +got):\n%s", diff)
				}
				if got := runs[0]; got.Ref != c.ref || got.Actor != actor || !cmp.Equal(got.Inputs, c.inputs) {
					t.Errorf("started with ref %q by %q: %v; want %q by %q: %v", got.Ref, got.Actor, got.Inputs, c.ref, actor, c.inputs)
				}
			})
		}
	}
}

func TestDispatchIsRefused(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for i := range 26 {
		many[fmt.Sprint("i", i)] = "x"
	}
	tooMany, _ := json.Marshal(many)
	long := func(n int) string { return deploy(`{"a":"` + strings.Repeat("é", n-len(`{"a":""}`)) + `"}`) }
	cases := []struct {
		name    string
		payload string
		code    int
		want    []string
		unasked bool
	}{
		{"too many inputs", deploy(string(tooMany)), 0, []string{"at most 25", "26", "fromJSON"}, true},
		{"too long inputs", long(65_536), 0, []string{"65535 characters", "65536"}, true},
		{"no workflow", `{"type":"GITHUB","org":"acme","repo":"shop","workflow":""}`, 0, []string{"workflow is no name"}, true},
		{"dots", `{"type":"GITHUB","org":"acme","repo":"..","workflow":"x"}`, 0, []string{"repo is no name"}, true},
		{"a workflow that is no name", `{"type":"GITHUB","org":"acme","repo":"shop","workflow":[1]}`, 0, []string{"file name nor a number"}, true},
		{"inputs that are none", deploy(`[1]`), 0, []string{"no object"}, true},
		{"no such repository", `{"type":"GITHUB","org":"acme","repo":"gone","workflow":"x"}`, 404, []string{"404", "Not Found", "such a repository"}, false},
		{"no such workflow", `{"type":"GITHUB","org":"acme","repo":"shop","workflow":"gone.yml"}`, 404, []string{"404", "on the default branch"}, false},
		{"no trigger", `{"type":"GITHUB","org":"acme","repo":"shop","workflow":"no trig.yml"}`, 422, []string{"does not have 'workflow_dispatch' trigger", "have the trigger workflow_dispatch"}, false},
		{"an unknown input", deploy(`{"zz":"1"}`), 422, []string{`Unexpected inputs provided: ["zz"]`, "declare every input"}, false},
		{"an unknown ref", deploy(`{"ref":"nowhere"}`), 422, []string{"No ref found for: nowhere"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := world().Open(t)
			o := open(t, github.Config{APIURL: s.URL()}, withToken(s)).Call(t.Context(), attempt(c.payload))
			if o.Verdict != run.Fail || o.StatusCode != c.code || o.StatusLabel != backend.DeliveryFailed {
				t.Errorf("outcome %+v, want a final failure with %d", o, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(o.Error, want) {
					t.Errorf("error %q does not say %q", o.Error, want)
				}
			}
			if asked := len(s.Requests()) > 0; asked == c.unasked || len(s.Runs()) > 0 {
				t.Errorf("GitHub got %v", s.Requests())
			}
		})
	}
	t.Run("as long as allowed", func(t *testing.T) {
		t.Parallel()
		s := world().Open(t)
		if o := open(t, github.Config{APIURL: s.URL()}, withToken(s)).Call(t.Context(), attempt(long(65_535))); o.Verdict != run.Deliver {
			t.Errorf("outcome %+v, want delivered", o)
		}
	})
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	notes := `{"type":"GITHUB","org":"ada","repo":"notes","workflow":"deploy.yml"}`
	cases := []struct {
		name        string
		credentials func(s *githubtest.Server) github.Credentials
		payload     string
		actor       string
		want        string
	}{
		{"an organization's own token first", func(s *githubtest.Server) github.Credentials {
			c := withApp(s)
			c.Tokens = map[string]string{"ACME": pat}
			return c
		}, deploy(`{}`), "ada", ""},
		{"the App before the token for all", func(s *githubtest.Server) github.Credentials {
			c := withApp(s)
			c.Token = "ghp_unknown"
			return c
		}, deploy(`{}`), githubtest.AppActor, ""},
		{"the App at a user's", withApp, notes, githubtest.AppActor, ""},
		{"the App where it is not", withApp, `{"type":"GITHUB","org":"other","repo":"x","workflow":"y"}`, "", "is the GitHub App installed"},
		{"none for the organization", func(*githubtest.Server) github.Credentials {
			return github.Credentials{Tokens: map[string]string{"other": pat}}
		}, deploy(`{}`), "", "no credentials of GitHub for the organization acme"},
		{"an expired token", func(*githubtest.Server) github.Credentials {
			return github.Credentials{Token: "ghp_expired_expired"}
		}, deploy(`{}`), "", "401 Unauthorized: Bad credentials; have the credentials of GitHub expired"},
		{"an App of another id", func(s *githubtest.Server) github.Credentials {
			c := withApp(s)
			c.AppID = "1"
			return c
		}, deploy(`{}`), "", "belong together"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := world().Open(t)
			o := open(t, github.Config{APIURL: s.URL()}, c.credentials(s)).Call(t.Context(), attempt(c.payload))
			runs := s.Runs()
			if c.want == "" {
				if len(runs) != 1 || runs[0].Actor != c.actor {
					t.Errorf("outcome %+v, started %+v, want one by %s", o, runs, c.actor)
				}
				return
			}
			if o.Verdict != run.Fail || !strings.Contains(o.Error, c.want) || len(runs) > 0 {
				t.Errorf("outcome %+v, want a final failure that says %q", o, c.want)
			}
		})
	}
}

func TestInstallationIsLookedUpOnce(t *testing.T) {
	t.Parallel()
	s := world().Open(t)
	b := open(t, github.Config{APIURL: s.URL()}, withApp(s))
	for range 3 {
		if o := b.Call(t.Context(), attempt(deploy(`{}`))); o.Verdict != run.Deliver {
			t.Fatal(o.Error)
		}
	}
	if n, m := s.Count("GET", "/installation"), s.Count("POST", "/access_tokens"); n != 1 || m != 1 {
		t.Errorf("the installation was looked up %d times, %d tokens were made, want 1 and 1", n, m)
	}
	// A token that was revoked is replaced within the attempt.
	s.Expire()
	if o := b.Call(t.Context(), attempt(deploy(`{}`))); o.Verdict != run.Deliver {
		t.Errorf("outcome %+v, want delivered with a new token", o)
	}
	if n := len(s.Runs()); n != 4 {
		t.Errorf("%d workflow runs were started, want 4", n)
	}
}

// An App that was removed and installed anew has another installation.
func TestInstallationThatChanges(t *testing.T) {
	t.Parallel()
	w := world()
	var gone atomic.Bool
	w.Before = func(w http.ResponseWriter, r *http.Request) bool {
		if gone.Load() && strings.HasSuffix(r.URL.Path, "/installations/11/access_tokens") {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		return false
	}
	s := w.Open(t)
	b := open(t, github.Config{APIURL: s.URL()}, withApp(s))
	if o := b.Call(t.Context(), attempt(deploy(`{}`))); o.Verdict != run.Deliver {
		t.Fatal(o.Error)
	}
	s.Expire()
	gone.Store(true)
	if o := b.Call(t.Context(), attempt(deploy(`{}`))); o.Verdict != run.Fail || o.StatusCode != http.StatusNotFound {
		t.Errorf("outcome %+v, want a final failure while the App is not installed", o)
	}
	gone.Store(false)
	if o := b.Call(t.Context(), attempt(deploy(`{}`))); o.Verdict != run.Deliver {
		t.Errorf("outcome %+v, want delivered by the new installation", o)
	}
}

func TestOlderServer(t *testing.T) {
	t.Parallel()
	for _, refusal := range []int{400, 422} {
		t.Run(fmt.Sprint(refusal), func(t *testing.T) {
			t.Parallel()
			w := world()
			w.Details, w.Refusal = false, refusal
			s := w.Open(t)
			var taken []string
			b := open(t, github.Config{APIURL: s.URL(), Taken: func(_ context.Context, id, _ string) (bool, error) {
				return slices.Contains(taken, id), nil
			}}, withToken(s))
			for i := range 3 {
				o := b.Call(t.Context(), attempt(deploy(`{}`)))
				runs := s.Runs()
				if o.Verdict != run.Deliver || len(runs) != i+1 || o.ExternalRunID != fmt.Sprint(runs[i].ID) || o.Link == nil {
					t.Fatalf("outcome %+v, started %+v", o, runs)
				}
				taken = append(taken, o.ExternalRunID)
			}
			if n := s.Count("POST", dispat); n != 4 {
				t.Errorf("%d dispatches were asked for, want 4: the refusal is remembered", n)
			}
			// Two that could be it: none is named, and the run goes on.
			w.After = func(http.ResponseWriter, *http.Request) bool {
				s.Start(githubtest.Run{Repository: "acme/shop", File: "deploy.yml", Event: "workflow_dispatch", Actor: "ada"})
				return false
			}
			if o := b.Call(t.Context(), attempt(deploy(`{}`))); o.Verdict != run.Deliver || o.ExternalRunID != "" || o.Link != nil || !o.Watch {
				t.Errorf("outcome %+v, want delivered without a link", o)
			}
		})
	}
}

func TestNewerServerIsNotAskedTwice(t *testing.T) {
	t.Parallel()
	s := world().Open(t)
	b := open(t, github.Config{APIURL: s.URL()}, withToken(s))
	if o := b.Call(t.Context(), attempt(deploy(`{}`))); o.Verdict != run.Deliver {
		t.Fatal(o.Error)
	}
	if o := b.Call(t.Context(), attempt(deploy(`{"zz":"1"}`))); o.StatusCode != 422 {
		t.Fatalf("outcome %+v, want 422", o)
	}
	if n := s.Count("POST", dispat); n != 2 {
		t.Errorf("%d dispatches were asked for, want 2", n)
	}
}
