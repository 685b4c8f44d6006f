package github_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"longshore/pkg/backend"
	"longshore/pkg/backend/github"
	"longshore/pkg/egress"
	"longshore/pkg/run"

	"github.com/google/go-cmp/cmp"
)

func TestNewCredentialsAreUsedAtOnce(t *testing.T) {
	t.Parallel()
	w := world()
	w.Tokens["ghp_new_new_new"] = "bob"
	s := w.Open(t)
	client := egress.New(egress.Config{Allow: egress.Loopback()})
	t.Cleanup(client.Close)
	current := github.Credentials{Token: pat}
	b, err := github.New(github.Config{
		APIURL: s.URL(), Client: client, Version: "test",
		Credentials: func(context.Context) (github.Credentials, error) { return current, nil },
		Taken:       func(context.Context, string, string) (bool, error) { return false, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Call(t.Context(), attempt(deploy(`{}`)))
	current.Token = "ghp_new_new_new"
	b.Call(t.Context(), attempt(deploy(`{}`)))
	if runs := s.Runs(); len(runs) != 2 || runs[0].Actor != "ada" || runs[1].Actor != "bob" {
		t.Errorf("started %+v, want one by each token", runs)
	}
	current = github.Credentials{}
	if err := b.Prepare(t.Context()); err == nil {
		t.Error("a call without any credentials was prepared")
	}
}

func TestRequestsCarryNothingButTheirOwn(t *testing.T) {
	t.Parallel()
	w := world()
	headers := make(chan http.Header, 20)
	w.Before = func(_ http.ResponseWriter, r *http.Request) bool {
		headers <- r.Header.Clone()
		return false
	}
	s := w.Open(t)
	if o := open(t, github.Config{APIURL: s.URL()}, withApp(s)).Call(t.Context(), attempt(deploy(`{}`))); o.Verdict != run.Deliver {
		t.Fatal(o.Error)
	}
	close(headers)
	n := 0
	for h := range headers {
		n++
		if h.Get("User-Agent") != "Longshore/test" {
			t.Errorf("User-Agent is %q", h.Get("User-Agent"))
		}
		for name := range h {
			if lower := strings.ToLower(name); lower == "idempotency-key" || strings.Contains(lower, "signature") {
				t.Errorf("GitHub got %s", name)
			}
		}
	}
	// The installation, its token, the default branch, the dispatch.
	if n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
}

func TestAnswerThatIsTooLong(t *testing.T) {
	t.Parallel()
	w := world()
	w.Before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/acme/shop") {
			_, _ = io.WriteString(w, `{"default_branch":"`)
			chunk := strings.Repeat("x", 1<<20)
			for range 9 {
				if _, err := io.WriteString(w, chunk); err != nil {
					return true
				}
			}
			_, _ = io.WriteString(w, `"}`)
			return true
		}
		return false
	}
	s := w.Open(t)
	o := open(t, github.Config{APIURL: s.URL()}, withToken(s)).Call(t.Context(), attempt(deploy(`{}`)))
	if o.Verdict == run.Deliver || !strings.Contains(o.Error, "too long") || len(s.Runs()) > 0 {
		t.Errorf("outcome %+v, want a failure that says that the answer is too long", o)
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{
		"": true, "https://ghe.example/api/v3": true, "https://ghe.example/api/v3/": true, "http://10.0.0.1:8080": true,
		"ghe.example": false, "ftp://ghe.example": false, "https://": false, "https://user:word@ghe.example": false, "https://ghe.example?x": false,
	} {
		if _, err := github.New(github.Config{APIURL: url}); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestOperatorsHostIsAllowedForThisBackend(t *testing.T) {
	t.Parallel()
	s := world().Open(t)
	for name, list := range map[string]string{"allowed": github.Allow("", s.URL()), "beside others": github.Allow("10.0.0.0/8", s.URL()), "not allowed": ""} {
		allow, err := egress.ParseAllow(list)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		client := egress.New(egress.Config{Allow: allow})
		t.Cleanup(client.Close)
		o := open(t, github.Config{APIURL: s.URL(), Client: client}, github.Credentials{Token: pat}).Call(t.Context(), attempt(deploy(`{}`)))
		if want := map[bool]run.Verdict{true: run.Deliver, false: run.Fail}[list != ""]; o.Verdict != want {
			t.Errorf("%s: outcome %+v", name, o)
		}
	}
	if github.Allow("a", "") != "a" {
		t.Error("the default host was added")
	}
}

func TestWithoutAnInvocation(t *testing.T) {
	t.Parallel()
	s := world().Open(t)
	b := open(t, github.Config{APIURL: s.URL()}, withToken(s))
	if o := b.Call(t.Context(), backend.Call{RunID: runID}); o.Verdict != run.Fail {
		t.Errorf("outcome %+v", o)
	}
	if f := b.LookUp(t.Context(), backend.LookUp{RunID: runID}); f.Waiting == "" || f.Status != "" {
		t.Errorf("finding %+v", f)
	}
	other := attempt(deploy(`{}`))
	other.Invocation.Backend = "webhook"
	if o := b.Call(t.Context(), other); o.Verdict != run.Fail {
		t.Errorf("outcome %+v", o)
	}
}

// An App that stands still does not hold up those who wait for its token beyond their own time.
func TestTokenThatIsSlow(t *testing.T) {
	t.Parallel()
	w := world()
	hold := make(chan struct{})
	reached := make(chan struct{}, 10)
	w.Before = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/access_tokens") {
			reached <- struct{}{}
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
		return false
	}
	s := w.Open(t)
	b := open(t, github.Config{APIURL: s.URL()}, withApp(s))
	slow := make(chan backend.Outcome, 1)
	go func() { slow <- b.Call(context.WithoutCancel(t.Context()), attempt(deploy(`{}`))) }()
	<-reached
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if o := b.Call(ctx, attempt(deploy(`{}`))); o.Verdict != run.Retry || o.Unknown {
		t.Errorf("outcome %+v, want another try", o)
	}
	close(hold)
	if o := <-slow; o.Verdict != run.Deliver {
		t.Errorf("outcome %+v, want delivered", o)
	}
}

// An organization's case does not matter: two spellings of one would leave it to chance which token counts.
func TestParseTokens(t *testing.T) {
	t.Parallel()
	got, err := github.ParseTokens(" Acme = a,other=b,")
	if diff := cmp.Diff(map[string]string{"acme": "a", "other": "b"}, got); diff != "" || err != nil {
		t.Errorf("tokens, %v (-want +got):\n%s", err, diff)
	}
	for list, want := range map[string]string{
		"acme=one,ACME=two": `two for "acme"`,
		"acme=one,two":      "entry 2",
		"=one":              "entry 1",
		"acme=":             "entry 1",
	} {
		if _, err := github.ParseTokens(list); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "one") {
			t.Errorf("%s: got %v, want %q and no token", list, err, want)
		}
	}
}
