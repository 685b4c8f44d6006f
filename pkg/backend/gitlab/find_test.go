package gitlab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/backend/gitlab"
	"longshore/pkg/backend/gitlab/gitlabtest"
	"longshore/pkg/run"
)

// cutOff ends a connection without an answer.
func cutOff(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// TestUnknown: which failed attempts may have started a pipeline.
func TestUnknown(t *testing.T) {
	t.Parallel()
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(code)
			return true
		}
	}
	tests := map[string]struct {
		before, after func(http.ResponseWriter, *http.Request) bool
		want          bool
	}{
		"an answer that did not come": {nil, cutOff, true},
		"a gateway's time-out":        {nil, status(504), true},
		"half an answer": {nil, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(201)
			_, _ = w.Write([]byte(`{"id":`))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, true},
		"too many requests": {status(429), nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server(t)
			s.Before, s.After = test.before, test.after
			got := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{Token: access})}).Call(t.Context(), method(`,"defaultRef":"main"`))
			if got.Verdict != run.Retry || got.Unknown != test.want {
				t.Errorf("verdict %v, unknown %v (%s), want unknown %v", got.Verdict, got.Unknown, got.Error, test.want)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		got := open(t, gitlab.Config{URL: "http://127.0.0.1:1", Credentials: given(gitlab.Credentials{Token: access})}).Call(t.Context(), method(`,"defaultRef":"main"`))
		if got.Verdict != run.Retry || got.Unknown {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("no default branch was told", func(t *testing.T) {
		t.Parallel()
		s := server(t)
		s.After = cutOff
		got := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{Token: access})}).Call(t.Context(), method(""))
		if got.Verdict != run.Retry || got.Unknown || len(s.Pipelines()) > 0 {
			t.Errorf("got %+v", got)
		}
	})
}

// TestAdopt: what is done before a second pipeline is started.
func TestAdopt(t *testing.T) {
	t.Parallel()
	ours := gitlabtest.Pipeline{Project: project, Ref: "main", Source: "api", Username: "longshore", CreatedAt: began.Add(time.Second)}
	triggered := ours
	triggered.Source, triggered.Username = "trigger", "owner"
	but := func(change func(*gitlabtest.Pipeline)) gitlabtest.Pipeline {
		p := ours
		change(&p)
		return p
	}
	api := gitlab.Credentials{Token: access}
	triggers := gitlab.Credentials{Token: access, TriggerTokens: map[string]string{project: trigger}}
	tests := map[string]struct {
		credentials gitlab.Credentials
		there       []gitlabtest.Pipeline
		taken       []string
		// adopted is the id of the run's pipeline, started whether it is a new one.
		adopted string
		started bool
		fault   string
	}{
		"none":                   {api, nil, nil, "4700", true, ""},
		"one":                    {api, []gitlabtest.Pipeline{ours}, nil, "4700", false, ""},
		"one of a trigger":       {triggers, []gitlabtest.Pipeline{ours, triggered}, nil, "4701", false, ""},
		"a little early":         {api, []gitlabtest.Pipeline{but(func(p *gitlabtest.Pipeline) { p.CreatedAt = began.Add(-3 * time.Second) })}, nil, "4700", false, ""},
		"a later one":            {api, []gitlabtest.Pipeline{ours, but(func(p *gitlabtest.Pipeline) { p.CreatedAt = began.Add(50 * time.Second) })}, nil, "4700", false, ""},
		"an earlier one":         {api, []gitlabtest.Pipeline{but(func(p *gitlabtest.Pipeline) { p.CreatedAt = began.Add(-time.Minute) })}, nil, "4701", true, ""},
		"of another ref":         {api, []gitlabtest.Pipeline{but(func(p *gitlabtest.Pipeline) { p.Ref = "v1" })}, nil, "4701", true, ""},
		"of another source":      {api, []gitlabtest.Pipeline{but(func(p *gitlabtest.Pipeline) { p.Source = "web" })}, nil, "4701", true, ""},
		"of another user":        {api, []gitlabtest.Pipeline{but(func(p *gitlabtest.Pipeline) { p.Username = "somebody" })}, nil, "4701", true, ""},
		"of another run":         {api, []gitlabtest.Pipeline{ours}, []string{"4700"}, "4701", true, ""},
		"two, one another run's": {api, []gitlabtest.Pipeline{ours, ours}, []string{"4701"}, "4700", false, ""},
		"several": {
			api, []gitlabtest.Pipeline{ours, ours}, nil, "", false,
			"an earlier attempt may have started one of the pipelines 4701, 4700",
		},
		"nobody may look": {
			gitlab.Credentials{TriggerToken: trigger}, []gitlabtest.Pipeline{triggered}, nil, "", false,
			"an earlier attempt may have started a pipeline, which could not be looked for: the target answered 404 Not Found: 404 Project Not Found",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server(t)
			s.Now = func() time.Time { return began.Add(time.Minute) }
			for _, p := range test.there {
				s.Add(p)
			}
			taken := func(_ context.Context, external, id string) (bool, error) {
				return id == runID && strings.Contains(strings.Join(test.taken, " "), external), nil
			}
			c := method(`,"defaultRef":"main"`)
			c.Attempt, c.Uncertain, c.UncertainUntil = 2, began, began.Add(30*time.Second)
			got := open(t, gitlab.Config{URL: s.URL, Credentials: given(test.credentials), Taken: taken}).Call(t.Context(), c)
			if test.fault != "" {
				if got.Verdict != run.Fail || got.Error != test.fault || got.StatusLabel != "outcome unknown" {
					t.Errorf("got %+v, want the fault %s", got, test.fault)
				}
			} else if got.Verdict != run.Deliver || got.ExternalRunID != test.adopted || !got.Watch || got.Link == nil {
				t.Errorf("got %+v, want the pipeline %s", got, test.adopted)
			}
			if n := len(s.Pipelines()) - len(test.there); (n == 1) != test.started {
				t.Errorf("%d pipelines were started, want any: %v", n, test.started)
			}
		})
	}
}

// TestAdoptOfMany: pages are read until one tells of the time before the attempt.
func TestAdoptOfMany(t *testing.T) {
	t.Parallel()
	s := server(t)
	for i := range 300 {
		s.Add(gitlabtest.Pipeline{Project: project, Ref: "main", Source: "api", Username: "longshore", CreatedAt: began.Add(time.Duration(i-90) * time.Minute)})
	}
	// Pipeline 90 was created as the attempt began; all later ones are other runs'.
	taken := func(_ context.Context, external, _ string) (bool, error) { return external != "4790", nil }
	c := method(`,"defaultRef":"main"`)
	c.Uncertain = began
	got := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{Token: access}), Taken: taken}).Call(t.Context(), c)
	if got.ExternalRunID != "4790" {
		t.Errorf("got %+v, want the pipeline 4790", got)
	}
	pages := 0
	for _, r := range s.Requests() {
		if strings.Contains(r, "/pipelines?") {
			pages++
		}
	}
	if pages != 3 {
		t.Errorf("%d pages were read, want 3", pages)
	}
}

// TestAdoptOfTooMany: where the pages end before the time of the attempt, the run's pipeline may be behind them.
func TestAdoptOfTooMany(t *testing.T) {
	t.Parallel()
	s := server(t)
	for i := range 1001 {
		s.Add(gitlabtest.Pipeline{Project: project, Ref: "main", Source: "api", Username: "longshore", CreatedAt: began.Add(time.Duration(i) * time.Second)})
	}
	c := method(`,"defaultRef":"main"`)
	c.Uncertain, c.UncertainUntil = began, began.Add(500*time.Millisecond)
	got := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{Token: access})}).Call(t.Context(), c)
	if got.Verdict != run.Fail || got.StatusLabel != "outcome unknown" || !strings.Contains(got.Error, "1000 pipelines or more") {
		t.Errorf("got %+v, want an outcome that nobody knows", got)
	}
	if n := len(s.Pipelines()); n != 1001 {
		t.Errorf("%d pipelines were started", n-1001)
	}
}

// TestAdoptLater: a search that fails is made again, and starts nothing.
func TestAdoptLater(t *testing.T) {
	t.Parallel()
	t.Run("a user that is not told is not compared", func(t *testing.T) {
		t.Parallel()
		s := server(t)
		s.Tokens[access] = gitlabtest.User{Name: "longshore", Nameless: true}
		s.Add(gitlabtest.Pipeline{Project: project, Ref: "main", Source: "api", Username: "anybody", CreatedAt: began})
		c := method(`,"defaultRef":"main"`)
		c.Uncertain = began
		got := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{Token: access})}).Call(t.Context(), c)
		if got.ExternalRunID != "4700" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("an older server knows no filter by source", func(t *testing.T) {
		t.Parallel()
		s := server(t)
		s.Older = true
		s.Add(gitlabtest.Pipeline{Project: project, Ref: "main", Source: "web", Username: "longshore", CreatedAt: began})
		s.Add(gitlabtest.Pipeline{Project: project, Ref: "main", Source: "api", Username: "longshore", CreatedAt: began})
		c := method(`,"defaultRef":"main"`)
		c.Uncertain = began
		got := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{Token: access})}).Call(t.Context(), c)
		if got.ExternalRunID != "4701" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("GitLab is down", func(t *testing.T) {
		t.Parallel()
		s := server(t)
		s.Before = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/pipelines") {
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return false
		}
		c := method(`,"defaultRef":"main"`)
		c.Uncertain = began
		got := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{Token: access})}).Call(t.Context(), c)
		if got.Verdict != run.Retry || len(s.Pipelines()) > 0 {
			t.Errorf("got %+v, %d pipelines", got, len(s.Pipelines()))
		}
	})
	t.Run("the store is down", func(t *testing.T) {
		t.Parallel()
		s := server(t)
		s.Add(gitlabtest.Pipeline{Project: project, Ref: "main", Source: "api", Username: "longshore", CreatedAt: began})
		c := method(`,"defaultRef":"main"`)
		c.Uncertain = began
		down := func(context.Context, string, string) (bool, error) { return false, errors.New("down") }
		got := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{Token: access}), Taken: down}).Call(t.Context(), c)
		if got.Verdict != run.Retry || len(s.Pipelines()) > 1 {
			t.Errorf("got %+v, %d pipelines", got, len(s.Pipelines()))
		}
	})
}

func TestLookUp(t *testing.T) {
	t.Parallel()
	tests := map[string]run.Finding{
		"success":              {Status: run.Success, Line: "The pipeline ended: success."},
		"failed":               {Status: run.Failure, StatusLabel: "failed", Line: "The pipeline ended: failed."},
		"canceled":             {Status: run.Failure, StatusLabel: "canceled", Line: "The pipeline ended: canceled."},
		"skipped":              {Status: run.Failure, StatusLabel: "skipped", Line: "The pipeline ended: skipped."},
		"manual":               {},
		"blocked":              {},
		"created":              {},
		"waiting_for_resource": {},
		"running":              {},
		"scheduled":            {},
		"canceling":            {},
		"a word to come":       {},
	}
	for status, want := range tests {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			s := server(t)
			id := s.Add(gitlabtest.Pipeline{Project: project, Ref: "main", Source: "api", Status: status, CreatedAt: began})
			b := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{Token: access})})
			want.Link = json.RawMessage(fmt.Sprintf("%q", s.URL+"/"+project+"/-/pipelines/4700"))
			look := backend.LookUp{RunID: runID, Invocation: method("").Invocation, ExternalRunID: fmt.Sprint(id), Since: began}
			if diff := cmp.Diff(want, b.LookUp(t.Context(), look)); diff != "" {
				t.Errorf("finding (-want +got):\n%s", diff)
			}
			// A pipeline whose id GitLab did not tell is looked for.
			look.ExternalRunID, want.ExternalRunID = "", "4700"
			s.Tokens[access] = gitlabtest.User{Nameless: true}
			if diff := cmp.Diff(want, b.LookUp(t.Context(), look)); diff != "" {
				t.Errorf("finding of a search (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLookUpWaits(t *testing.T) {
	t.Parallel()
	s := server(t)
	s.Add(gitlabtest.Pipeline{Project: project, Ref: "main", Source: "trigger", Status: "success", CreatedAt: began})
	b := open(t, gitlab.Config{URL: s.URL, Credentials: given(gitlab.Credentials{TriggerToken: trigger})})
	look := backend.LookUp{RunID: runID, Invocation: method(`,"defaultRef":"main"`).Invocation, ExternalRunID: "4700"}
	for name, want := range map[string]string{
		"4700":   "the pipeline could not be looked up: the target answered 404 Not Found: 404 Project Not Found",
		"../../": "the run's externalRunId is no pipeline's id",
		"":       "the pipeline could not be looked up: the target answered 404 Not Found: 404 Project Not Found",
	} {
		look.ExternalRunID = name
		if got := b.LookUp(t.Context(), look); got.Waiting != want || got.Status != "" {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	s.Projects[0].Public = true
	look.ExternalRunID = "4700"
	if got := b.LookUp(t.Context(), look); got.Status != run.Success {
		t.Errorf("of a public project: got %+v", got)
	}
	s.Before = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	if got := b.LookUp(t.Context(), look); got.After != 7*time.Second || got.Waiting == "" || got.Status != "" {
		t.Errorf("at the rate limit: got %+v", got)
	}
}
