package github_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/backend/github"
	"longshore/pkg/backend/github/githubtest"
	"longshore/pkg/run"
)

// mine is a workflow run as one of our dispatches makes it.
func mine(at time.Time) githubtest.Run {
	return githubtest.Run{Repository: "acme/shop", File: "deploy.yml", Event: "workflow_dispatch", Actor: "ada", CreatedAt: at}
}

func TestUncertainDispatchIsLookedUpFirst(t *testing.T) {
	t.Parallel()
	began := time.Now().Add(-time.Minute)
	other := func(change func(*githubtest.Run)) githubtest.Run {
		r := mine(began)
		change(&r)
		return r
	}
	cases := []struct {
		name  string
		runs  []githubtest.Run
		taken []int
		// adopted is the place of the run that is taken over, -1 for none.
		adopted    int
		dispatches int
		fails      bool
	}{
		{"none", nil, nil, -1, 1, false},
		{"one", []githubtest.Run{mine(began)}, nil, 0, 0, false},
		{"one that began within the clocks' difference", []githubtest.Run{mine(began.Add(-4 * time.Second))}, nil, 0, 0, false},
		{"several", []githubtest.Run{mine(began), mine(began.Add(time.Second))}, nil, -1, 0, true},
		{"another run's", []githubtest.Run{mine(began)}, []int{0}, -1, 1, false},
		{"one and another run's", []githubtest.Run{mine(began), mine(began)}, []int{0}, 1, 0, false},
		{"one that a redelivery is later than", []githubtest.Run{mine(began), mine(began.Add(40 * time.Second))}, nil, 0, 0, false},
		{"one that more than the pages hold are later than", append([]githubtest.Run{mine(began)}, slices.Repeat([]githubtest.Run{mine(began.Add(40 * time.Second))}, 11)...), nil, 0, 0, false},
		{"older ones", []githubtest.Run{mine(began.Add(-time.Minute))}, nil, -1, 1, false},
		{"somebody else's", []githubtest.Run{other(func(r *githubtest.Run) { r.Actor = "bob" })}, nil, -1, 1, false},
		{"another workflow's", []githubtest.Run{other(func(r *githubtest.Run) { r.File = "test.yml" })}, nil, -1, 1, false},
		{"those of a push", []githubtest.Run{other(func(r *githubtest.Run) { r.Event = "push" })}, nil, -1, 1, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := world()
			w.Page = 1
			s := w.Open(t)
			var ids []string
			taken := map[string]bool{}
			for _, r := range c.runs {
				ids = append(ids, fmt.Sprint(s.Start(r)))
			}
			for _, i := range c.taken {
				taken[ids[i]] = true
			}
			b := open(t, github.Config{APIURL: s.URL(), Taken: func(_ context.Context, id, of string) (bool, error) {
				return taken[id] && of == runID, nil
			}}, withToken(s))
			call := attempt(deploy(`{}`))
			call.Attempt, call.Uncertain, call.UncertainUntil = 2, began, began.Add(30*time.Second)
			o := b.Call(t.Context(), call)
			if n := s.Count("POST", dispat); n != c.dispatches {
				t.Errorf("%d dispatches, want %d", n, c.dispatches)
			}
			switch {
			case c.fails:
				if o.Verdict != run.Fail || o.StatusLabel != "outcome unknown" {
					t.Errorf("outcome %+v, want FAILURE, outcome unknown", o)
				}
				for _, id := range ids {
					if !strings.Contains(o.Error, id) {
						t.Errorf("error %q does not list %s", o.Error, id)
					}
				}
			case c.adopted >= 0:
				want := backend.Outcome{
					Verdict: run.Deliver, ExternalRunID: ids[c.adopted], Watch: true,
					Link: json.RawMessage(`"https://github.example/acme/shop/actions/runs/` + ids[c.adopted] + `"`),
				}
				if diff := cmp.Diff(want, o); diff != "" {
					t.Errorf("outcome (-want +got):\n%s", diff)
				}
			case o.Verdict != run.Deliver || o.StatusCode != 200:
				t.Errorf("outcome %+v, want delivered", o)
			}
		})
	}
}

func TestUncertainByApp(t *testing.T) {
	t.Parallel()
	s := world().Open(t)
	began := time.Now()
	s.Start(mine(began))
	r := mine(began)
	r.Actor = githubtest.AppActor
	id := s.Start(r)
	call := attempt(deploy(`{}`))
	call.Uncertain = began
	if o := open(t, github.Config{APIURL: s.URL()}, withApp(s)).Call(t.Context(), call); o.ExternalRunID != fmt.Sprint(id) {
		t.Errorf("outcome %+v, want %d adopted", o, id)
	}
}

func TestUncertainWhenGitHubCannotBeAsked(t *testing.T) {
	t.Parallel()
	w := world()
	w.Before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/runs") {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		return false
	}
	s := w.Open(t)
	call := attempt(deploy(`{}`))
	call.Uncertain = time.Now()
	if o := open(t, github.Config{APIURL: s.URL()}, withToken(s)).Call(t.Context(), call); o.Verdict != run.Retry || len(s.Runs()) > 0 {
		t.Errorf("outcome %+v, %d started, want another try and none", o, len(s.Runs()))
	}
	w.Before = nil
	b := open(t, github.Config{APIURL: s.URL(), Taken: func(context.Context, string, string) (bool, error) {
		return false, errors.New("throttled")
	}}, withToken(s))
	s.Start(mine(time.Now()))
	if o := b.Call(t.Context(), call); o.Verdict != run.Retry || s.Count("POST", dispat) > 0 {
		t.Errorf("outcome %+v, want another try", o)
	}
}

func TestWhatIsUnknown(t *testing.T) {
	t.Parallel()
	cut := func(w http.ResponseWriter, _ *http.Request) bool { panic(http.ErrAbortHandler) }
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "{}")
			return true
		}
	}
	cases := []struct {
		name    string
		after   func(http.ResponseWriter, *http.Request) bool
		unknown bool
	}{
		{"the connection broke", cut, true},
		{"502", status(502), true},
		{"500", status(500), true},
		{"429", status(429), false},
		{"404", status(404), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := world()
			w.After = c.after
			s := w.Open(t)
			if o := open(t, github.Config{APIURL: s.URL()}, withToken(s)).Call(t.Context(), attempt(deploy(`{}`))); o.Unknown != c.unknown || o.Verdict == run.Deliver {
				t.Errorf("outcome %+v, want unknown: %t", o, c.unknown)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		b := open(t, github.Config{APIURL: "http://127.0.0.1:1"}, github.Credentials{Token: pat})
		if o := b.Call(t.Context(), attempt(deploy(`{"ref":"main"}`))); o.Unknown || o.Verdict != run.Retry {
			t.Errorf("outcome %+v, want another try, and known", o)
		}
	})
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	cases := []struct {
		name   string
		header map[string]string
		code   int
		body   string
		want   time.Duration
	}{
		{"primary", map[string]string{"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(now.Add(20 * time.Minute).Unix())}, 403, `{"message":"API rate limit exceeded"}`, 20 * time.Minute},
		{"primary with 429", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(now.Add(20 * time.Minute).Unix())}, 429, `{"message":"API rate limit exceeded"}`, 20 * time.Minute},
		{"over an hour", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(now.Add(20 * time.Hour).Unix())}, 403, `{}`, time.Hour},
		{"a reset in this second", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(now.Unix())}, 403, `{}`, time.Second},
		{"a reset that has passed", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(now.Add(-time.Minute).Unix())}, 403, `{}`, time.Minute},
		{"no reset", map[string]string{"X-RateLimit-Remaining": "0"}, 429, `{}`, time.Minute},
		{"a time alone", map[string]string{"Retry-After": "90"}, 403, `{"message":"Forbidden"}`, 90 * time.Second},
		{"secondary with a time", map[string]string{"Retry-After": "90"}, 403, `{"message":"You have exceeded a secondary rate limit","documentation_url":"https://docs.github.com/rest/overview/resources-in-the-rest-api#secondary-rate-limits"}`, 90 * time.Second},
		{"secondary", nil, 403, `{"message":"You have exceeded a secondary rate limit"}`, time.Minute},
		{"secondary with 429", nil, 429, `{"message":"You have exceeded a secondary rate limit"}`, time.Minute},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := world()
			w.Before = func(w http.ResponseWriter, _ *http.Request) bool {
				for name, value := range c.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(c.code)
				_, _ = io.WriteString(w, c.body)
				return true
			}
			s := w.Open(t)
			b := open(t, github.Config{APIURL: s.URL(), Now: func() time.Time { return now }}, withToken(s))
			o := b.Call(t.Context(), attempt(deploy(`{"ref":"next"}`)))
			if o.Verdict != run.Retry || !o.Limited || o.RetryAfter != c.want || o.Unknown || !strings.Contains(o.Error, "rate limit") {
				t.Errorf("outcome %+v, want another try in %s", o, c.want)
			}
		})
	}
	t.Run("not asked again before", func(t *testing.T) {
		t.Parallel()
		s := world().Open(t)
		s.Limit(0, now.Add(10*time.Minute))
		b := open(t, github.Config{APIURL: s.URL(), Now: func() time.Time { return now }}, withToken(s))
		// The limit is the token's, whatever organization is asked about.
		for _, org := range []string{"acme", "acme", "other"} {
			if o := b.Call(t.Context(), attempt(strings.Replace(deploy(`{}`), "acme", org, 1))); o.Verdict != run.Retry || o.RetryAfter != 10*time.Minute {
				t.Errorf("outcome %+v, want another try in 10 minutes", o)
			}
		}
		if n := len(s.Requests()); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
	t.Run("a refusal that is none", func(t *testing.T) {
		t.Parallel()
		w := world()
		w.Before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(403)
			_, _ = io.WriteString(w, `{"message":"Resource not accessible by personal access token `+pat+`"}`)
			return true
		}
		s := w.Open(t)
		o := open(t, github.Config{APIURL: s.URL()}, withToken(s)).Call(t.Context(), attempt(deploy(`{}`)))
		if o.Verdict != run.Fail || !strings.Contains(o.Error, "Resource not accessible") || strings.Contains(o.Error, pat) {
			t.Errorf("outcome %+v, want a final failure with GitHub's message and without the token", o)
		}
	})
}

func TestLookUp(t *testing.T) {
	t.Parallel()
	began := time.Now().Add(-time.Minute)
	link := func(id int64) json.RawMessage {
		return json.RawMessage(fmt.Sprintf(`"https://github.example/acme/shop/actions/runs/%d"`, id))
	}
	cases := []struct {
		name string
		runs []string
		// id is the run's external id: "" for none yet, "first" for the first workflow run's.
		id   string
		want func(id int64) run.Finding
	}{
		{"running", []string{""}, "first", func(id int64) run.Finding { return run.Finding{ExternalRunID: fmt.Sprint(id), Link: link(id)} }},
		{"success", []string{"success"}, "first", func(id int64) run.Finding {
			return run.Finding{Status: run.Success, Line: "The workflow run ended: success.", ExternalRunID: fmt.Sprint(id), Link: link(id)}
		}},
		{"cancelled", []string{"cancelled"}, "first", func(id int64) run.Finding {
			return run.Finding{Status: run.Failure, StatusLabel: "cancelled", Line: "The workflow run ended: cancelled.", ExternalRunID: fmt.Sprint(id), Link: link(id)}
		}},
		{"found by what it is", []string{"failure"}, "", func(id int64) run.Finding {
			return run.Finding{Status: run.Failure, StatusLabel: "failure", Line: "The workflow run ended: failure.", ExternalRunID: fmt.Sprint(id), Link: link(id)}
		}},
		{"not listed yet", nil, "", func(int64) run.Finding {
			return run.Finding{Waiting: "GitHub lists no workflow run that the dispatch started"}
		}},
		{"two that it could be", []string{"success", "failure"}, "", func(id int64) run.Finding {
			return run.Finding{Waiting: fmt.Sprintf("2 workflow runs could be it: %d, %d", id+1, id)}
		}},
		{"deleted", nil, "5", func(int64) run.Finding {
			return run.Finding{Waiting: "the workflow run's state is not known: the target answered 404 Not Found: Not Found; was the workflow run deleted, or may the credentials not read the repository's actions?"}
		}},
		{"an id of somebody's own", nil, "build-7", func(int64) run.Finding {
			return run.Finding{Waiting: "externalRunId is not the number of a workflow run, so that GitHub cannot be asked how it ended"}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := world().Open(t)
			var first int64
			for i, conclusion := range c.runs {
				id := s.Start(mine(began))
				if i == 0 {
					first = id
				}
				if conclusion != "" {
					s.Complete(id, conclusion)
				}
			}
			l := backend.LookUp{RunID: runID, Invocation: attempt(deploy(`{}`)).Invocation, ExternalRunID: c.id, Since: began}
			if c.id == "first" {
				l.ExternalRunID = fmt.Sprint(first)
			}
			got := open(t, github.Config{APIURL: s.URL()}, withToken(s)).LookUp(t.Context(), l)
			if diff := cmp.Diff(c.want(first), got); diff != "" {
				t.Errorf("finding (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLookUpWaitsForTheRateLimit(t *testing.T) {
	t.Parallel()
	s := world().Open(t)
	now := time.Now().Truncate(time.Second)
	s.Limit(0, now.Add(30*time.Minute))
	b := open(t, github.Config{APIURL: s.URL(), Now: func() time.Time { return now }}, withToken(s))
	got := b.LookUp(t.Context(), backend.LookUp{RunID: runID, Invocation: attempt(deploy(`{}`)).Invocation, ExternalRunID: "7"})
	if got.After != 30*time.Minute || got.Waiting == "" || got.Status != "" {
		t.Errorf("finding %+v, want another look-up in 30 minutes", got)
	}
}
