package gitlab_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/backend/backendtest"
	"longshore/pkg/backend/gitlab"
	"longshore/pkg/backend/gitlab/gitlabtest"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

const (
	runID   = "r_0123456789abcdef"
	access  = "glpat-0123456789abcdef"
	trigger = "glptt-0123456789abcdef"
	project = "acme/platform/tools.io"
)

var began = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

func given(c gitlab.Credentials) func(context.Context) (gitlab.Credentials, error) {
	return func(context.Context) (gitlab.Credentials, error) { return c, nil }
}

func attempt(payload string) backend.Call {
	return backend.Call{RunID: runID, Action: "a", Attempt: 1, Invocation: &invocation.Invocation{
		V: invocation.Version, Type: "GITLAB", Backend: invocation.BackendGitLab, Payload: json.RawMessage(payload),
	}}
}

// method is an invocation of the test's project with these members beside.
func method(members string) backend.Call {
	return attempt(`{"type":"GITLAB","groupName":"acme/platform","projectName":"tools.io"` + members + `}`)
}

func open(t *testing.T, c gitlab.Config) *gitlab.Backend {
	t.Helper()
	if c.Client == nil {
		c.Client = egress.New(egress.Config{Allow: egress.Loopback()})
		t.Cleanup(c.Client.Close)
	}
	c.Version = "test"
	b, err := gitlab.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// server has the test's project.
func server(t *testing.T) *gitlabtest.Server {
	t.Helper()
	s := gitlabtest.New(t)
	s.Projects = []gitlabtest.Project{
		{Path: project, Branches: []string{"main", "v1", "feature/x"}, Triggers: map[string]string{trigger: "owner"}},
		{Path: "acme/empty"},
	}
	s.Tokens = map[string]gitlabtest.User{access: {Name: "longshore"}, "glpat-guest": {Name: "guest", Guest: true}}
	return s
}

// started takes the only pipeline.
func started(t *testing.T, s *gitlabtest.Server) gitlabtest.Pipeline {
	t.Helper()
	all := s.Pipelines()
	if len(all) != 1 {
		t.Fatalf("%d pipelines, want one", len(all))
	}
	return all[0]
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, credentials := range map[string]func(string) gitlab.Credentials{
		"access token":  func(secret string) gitlab.Credentials { return gitlab.Credentials{Token: "glpat" + secret} },
		"trigger token": func(secret string) gitlab.Credentials { return gitlab.Credentials{TriggerToken: "glptt" + secret} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backendtest.Run(t, func(t *testing.T, target backendtest.Target) (backend.Backend, func(string) backend.Call) {
				b := open(t, gitlab.Config{URL: target.URL, Client: target.Client, Now: target.Now, Credentials: given(credentials("s3cr3tC0re"))})
				return b, func(secret string) backend.Call {
					text, err := json.Marshal(map[string]any{
						"type": "GITLAB", "groupName": "group" + secret, "projectName": "project" + secret, "defaultRef": "main" + secret,
						"pipelineVariables": map[string]any{"token": secret, "port_payload": map[string]string{"token": secret}},
					})
					if err != nil {
						t.Fatal(err)
					}
					c := attempt(string(text))
					c.Invocation.RunMessage = true
					return c
				}
			})
		})
	}
}

// TestStart: what GitLab takes is what the invocation says, with either token.
func TestStart(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		members, input string
		message        bool
		ref            string
		variables      map[string]string
		// payload is the run message as an access token's variable and in a trigger token's request.
		payload string
	}{
		"the default branch": {"", "", false, "main", nil, ""},
		"the default ref":    {`,"defaultRef":"v1"`, "", false, "v1", nil, ""},
		"an input":           {`,"defaultRef":"v1"`, "feature/x", false, "feature/x", nil, ""},
		"a variable before an input": {
			`,"defaultRef":"v1","pipelineVariables":{"ref":"main","A":"b"}`, "feature/x", false, "main", map[string]string{"A": "b"}, "",
		},
		"an empty ref": {`,"defaultRef":"v1","pipelineVariables":{"ref":""}`, "", false, "v1", nil, ""},
		"a null ref":   {`,"defaultRef":null,"pipelineVariables":{"ref":null}`, "", false, "main", nil, ""},
		"strings of anything": {
			`,"pipelineVariables":{"S":"<b>ü","N":1.50,"T":true,"O":{"b":1,"a":"<"},"L":[1, 2],"Z":null,"E":""}`, "", false, "main",
			map[string]string{"S": "<b>ü", "N": "1.5", "T": "true", "O": `{"b":1,"a":"<"}`, "L": "[1,2]", "E": ""}, "",
		},
		"a run message": {
			`,"pipelineVariables":{"A":"b","ref":"v1","port_payload":{"context":{"b":1,"a":"ü"}}}`, "", true, "v1",
			map[string]string{"A": "b"}, `{"context":{"b":1,"a":"ü"}}`,
		},
		"a variable called as the run message": {
			`,"pipelineVariables":{"port_payload":{"b":1}}`, "", false, "main", map[string]string{"port_payload": `{"b":1}`}, "",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for kind, credentials := range map[string]gitlab.Credentials{
				"api":     {Token: access},
				"trigger": {Token: access, TriggerTokens: map[string]string{project: trigger}},
			} {
				s := server(t)
				c := method(test.members)
				c.Invocation.Ref, c.Invocation.RunMessage = test.input, test.message
				got := open(t, gitlab.Config{URL: s.URL, Credentials: given(credentials)}).Call(t.Context(), c)
				want := backend.Outcome{
					Verdict: run.Deliver, StatusCode: 201, ExternalRunID: "4700", Watch: true,
					Link: json.RawMessage(`"` + s.URL + "/" + project + `/-/pipelines/4700"`),
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s: outcome (-want +got):\n%s", kind, diff)
				}
				p := started(t, s)
				variables := map[string]string{}
				for k, v := range test.variables {
					variables[k] = v
				}
				if test.payload != "" && kind == "api" {
					variables["port_payload"] = test.payload
				}
				if p.Ref != test.ref || p.Source != kind || p.Project != project {
					t.Errorf("%s: a pipeline of %s, source %s, in %s, want %s", kind, p.Ref, p.Source, p.Project, test.ref)
				}
				if diff := cmp.Diff(variables, p.Variables); diff != "" {
					t.Errorf("%s: variables (-want +got):\n%s", kind, diff)
				}
				var payload map[string]json.RawMessage
				if kind == "trigger" && json.Unmarshal([]byte(p.Payload), &payload) != nil {
					t.Fatalf("the payload is %s", p.Payload)
				}
				if got := string(payload["port_payload"]); kind == "trigger" && got != test.payload {
					t.Errorf("$TRIGGER_PAYLOAD has port_payload %s, want %s", got, test.payload)
				}
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		credentials gitlab.Credentials
		source      string
	}{
		"of the deployment":             {gitlab.Credentials{Token: access}, "api"},
		"of a group":                    {gitlab.Credentials{Token: "other", Tokens: map[string]string{"acme": "other", "Acme/Platform": access, "acme/plat": "other"}}, "api"},
		"of the project":                {gitlab.Credentials{Tokens: map[string]string{"acme/platform": "other", project: access}}, "api"},
		"a trigger of the deployment":   {gitlab.Credentials{TriggerToken: trigger}, "trigger"},
		"a trigger of a group":          {gitlab.Credentials{TriggerToken: "other", TriggerTokens: map[string]string{"acme": trigger}}, "trigger"},
		"as narrow: the trigger starts": {gitlab.Credentials{TriggerToken: trigger, Token: access}, "trigger"},
		"narrower access":               {gitlab.Credentials{TriggerToken: "other", Tokens: map[string]string{"acme": access}}, "api"},
		"a narrower trigger":            {gitlab.Credentials{Tokens: map[string]string{"acme": "other"}, TriggerTokens: map[string]string{project: trigger}}, "trigger"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server(t)
			got := open(t, gitlab.Config{URL: s.URL + "/", Credentials: given(test.credentials)}).
				Call(t.Context(), attempt(`{"groupName":"Acme/platform","projectName":"Tools.io","defaultRef":"main"}`))
			if got.Verdict != run.Deliver {
				t.Fatalf("verdict %v: %s", got.Verdict, got.Error)
			}
			if p := started(t, s); p.Source != test.source {
				t.Errorf("source %s, want %s", p.Source, test.source)
			}
		})
	}
}

// TestRefusals: GitLab's own words and ours about what to look at.
func TestRefusals(t *testing.T) {
	t.Parallel()
	both := gitlab.Credentials{Token: access}
	triggers := gitlab.Credentials{TriggerToken: trigger}
	tests := map[string]struct {
		credentials gitlab.Credentials
		call        backend.Call
		broken      string
		status      int
		want        string
	}{
		"no such ref": {
			both, method(`,"defaultRef":"nowhere"`), "", 400,
			"the target answered 400 Bad Request: Reference not found; is there a branch or tag of that name, and does its .gitlab-ci.yml make jobs for a pipeline of this source?",
		},
		"no jobs": {
			triggers, method(`,"defaultRef":"main"`), "Pipeline will not run for the selected trigger.", 400,
			"the target answered 400 Bad Request: Pipeline will not run for the selected trigger.; is there a branch or tag of that name, and does its .gitlab-ci.yml make jobs for a pipeline of this source?",
		},
		"a variable's name": {
			both, method(`,"defaultRef":"main","pipelineVariables":{"my-var":"a"}`), "", 400,
			"the target answered 400 Bad Request: variables.key can contain only letters, digits and '_'.; names of variables may have letters, digits and _ only",
		},
		"a message with what was sent": {
			both, method(`,"defaultRef":"main","pipelineVariables":{"V":"sensitive"}`), "no sensitive " + access + " glpat-another_0123\u0007\nword", 400,
			"the target answered 400 Bad Request: no *** *** *** word; is there a branch or tag of that name, and does its .gitlab-ci.yml make jobs for a pipeline of this source?",
		},
		"no such project": {
			both, attempt(`{"groupName":"acme","projectName":"nothing","defaultRef":"main"}`), "", 404,
			"the target answered 404 Not Found: 404 Project Not Found; is there a project of that path, and may the access token's user see it?",
		},
		"no such project, without a ref": {
			both, attempt(`{"groupName":"acme","projectName":"nothing"}`), "", 404,
			"read the project's default branch: the target answered 404 Not Found: 404 Project Not Found; is there a project of that path, and may the access token's user see it?",
		},
		"another project's trigger": {
			triggers, attempt(`{"groupName":"acme","projectName":"empty","defaultRef":"main"}`), "", 404,
			"the target answered 404 Not Found: 404 Not Found; is there a project of that path, and is the trigger token its own?",
		},
		"a trigger without a ref": {
			triggers, method(""), "", 404,
			"the target answered 404 Not Found: 404 Project Not Found; a trigger token cannot read which branch is the project's default: set defaultRef",
		},
		"an empty repository": {
			both, attempt(`{"groupName":"acme","projectName":"empty"}`), "", 200,
			"the project has no default branch, and the action names no branch or tag: set defaultRef",
		},
		"a bad token": {
			gitlab.Credentials{Token: "glpat-wrong"}, method(`,"defaultRef":"main"`), "", 401,
			"the target answered 401 Unauthorized: 401 Unauthorized; is the token still valid?",
		},
		"a guest": {
			gitlab.Credentials{Token: "glpat-guest"}, method(`,"defaultRef":"main"`), "", 403,
			"the target answered 403 Forbidden: 403 Forbidden; does the access token have the scope api, and may its user run pipelines in the project?",
		},
		"no token": {
			gitlab.Credentials{Tokens: map[string]string{"other": access}, TriggerTokens: map[string]string{"acme/platform/tools": trigger}},
			method(`,"defaultRef":"main"`), "", 0,
			"no token of GitLab is configured for the run's project, nor for a group that it lies in",
		},
		"no invocation": {both, backend.Call{RunID: runID}, "", 0, "the run's invocation is none of GitLab"},
		"no object":     {both, attempt(`[]`), "", 0, "the invocation cannot be read"},
		"no path":       {both, attempt(`{"groupName":"..","projectName":"p"}`), "", 0, "the invocation's groupName and projectName are no path of a project"},
		"no variables":  {both, method(`,"pipelineVariables":[1]`), "", 0, "the invocation's pipelineVariables are no object"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server(t)
			s.Projects[0].Broken = test.broken
			got := open(t, gitlab.Config{URL: s.URL, Credentials: given(test.credentials)}).Call(t.Context(), test.call)
			want := backend.Outcome{Verdict: run.Fail, StatusCode: test.status, Error: test.want, StatusLabel: "delivery failed"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			if n := len(s.Pipelines()); n > 0 {
				t.Errorf("%d pipelines were started", n)
			}
		})
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"1709208090":          90 * time.Second,
		"1809208090":          time.Hour,
		"9223372036854775807": time.Hour,
		"1709208000":          0,
		"-1":                  0,
		"soon":                0,
		"":                    0,
	} {
		s := server(t)
		s.Before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("RateLimit-Reset", header)
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		b := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{Token: access}), Now: func() time.Time { return began }})
		got := b.Call(t.Context(), method(`,"defaultRef":"main"`))
		if got.Verdict != run.Retry || got.RetryAfter != want || got.Limited != (want > 0) || got.Unknown {
			t.Errorf("%s: got %+v, want a wait of %s", header, got, want)
		}
	}
}

// GitLab's limit of pipelines a minute is waited for: it says so as it says what is wrong with a pipeline.
func TestTooManyPipelines(t *testing.T) {
	t.Parallel()
	s := server(t)
	s.Projects[0].Broken = "Too many pipelines created in the last minute. Try again later."
	got := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{Token: access})}).Call(t.Context(), method(`,"defaultRef":"main"`))
	want := backend.Outcome{
		Verdict: run.Retry, StatusCode: 400, RetryAfter: time.Minute, Limited: true, StatusLabel: "delivery failed",
		Error: "the target answered 400 Bad Request: Too many pipelines created in the last minute. Try again later.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

func TestNotGitLab(t *testing.T) {
	t.Parallel()
	s := server(t)
	s.Before = func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write([]byte("<html>sign in"))
		return true
	}
	got := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{Token: access})}).Call(t.Context(), method(`,"defaultRef":"main"`))
	want := "what answers at the URL of GitLab does not tell of a pipeline; is it GitLab's API?"
	if got.Verdict != run.Fail || got.Error != want {
		t.Errorf("got %+v", got)
	}
}

func TestAnswerTooLarge(t *testing.T) {
	t.Parallel()
	s := server(t)
	s.After = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"id":4700,"more":"` + strings.Repeat("x", 8<<20) + `"}`))
		return true
	}
	got := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{Token: access})}).Call(t.Context(), method(`,"defaultRef":"main"`))
	want := backend.Outcome{Verdict: run.Retry, StatusCode: 201, Error: "the answer is larger than 8 MiB", StatusLabel: "delivery failed", Unknown: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

func TestBelowAPath(t *testing.T) {
	t.Parallel()
	s := server(t)
	b := open(t, gitlab.Config{URL: s.URL + "/gitlab/", Credentials: given(gitlab.Credentials{Token: access})})
	b.Call(t.Context(), method(`,"defaultRef":"main"`))
	want := []string{"POST /gitlab/api/v4/projects/acme%2Fplatform%2Ftools%2Eio/pipeline"}
	if diff := cmp.Diff(want, s.Requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	down := func(context.Context) (gitlab.Credentials, error) { return gitlab.Credentials{}, errors.New("down") }
	b := open(t, gitlab.Config{Credentials: down})
	if err := b.Prepare(t.Context()); err == nil {
		t.Error("prepared without credentials")
	}
	if got := b.Call(t.Context(), method("")); got.Verdict != run.Retry || strings.Contains(got.Error, "down") {
		t.Errorf("got %+v", got)
	}
	if err := open(t, gitlab.Config{Credentials: given(gitlab.Credentials{})}).Prepare(t.Context()); err == nil {
		t.Error("prepared with no credentials at all")
	}
	for _, c := range []gitlab.Credentials{
		{Token: "t"}, {TriggerToken: "t"}, {Tokens: map[string]string{"a": "t"}}, {TriggerTokens: map[string]string{"a": "t"}},
	} {
		if err := open(t, gitlab.Config{Credentials: given(c)}).Prepare(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestNewRefusesURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"gitlab.com", "ftp://x", "https://", "https://u:p@x", "https://x?a=b", "https://x\x7f"} {
		if _, err := gitlab.New(gitlab.Config{URL: url}); err == nil || strings.Contains(err.Error(), "p@") {
			t.Errorf("%q: got error %v", url, err)
		}
	}
}

func TestParseTokens(t *testing.T) {
	t.Parallel()
	got, err := gitlab.ParseTokens(" acme/Shop = t1=, /other/ =t2,,")
	if diff := cmp.Diff(map[string]string{"acme/shop": "t1=", "other": "t2"}, got); diff != "" || err != nil {
		t.Errorf("error %v, tokens (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{"glpat-secret", "a=", "=glpat-secret", "a=glpat-secret,A/=glpat-secret"} {
		if _, err := gitlab.ParseTokens(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got error %v", text, err)
		}
	}
}
