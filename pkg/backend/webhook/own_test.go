package webhook_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/audit"
	"longshore/pkg/backend"
	"longshore/pkg/backend/webhook"
	"longshore/pkg/egress"
	"longshore/pkg/identity"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

var cause = audit.Cause{EventID: "event_1", RunID: runID, Depth: 2}

// own is an attempt of a run with a cause, whose URL is literal.
func own(w invocation.Webhook) backend.Call {
	w.Literal = w.URL
	c := attempt(w)
	c.By = audit.Author{Cause: cause}
	return c
}

// A call of our own API carries a token that is made for it, each try a new one; no other call does.
func TestOwnCallsCarryAToken(t *testing.T) {
	t.Parallel()
	url, got := receiver(t)
	var made []identity.Call
	b := open(t, func(c *webhook.Config) {
		c.Own = &webhook.Own{
			Addresses: func() []string { return []string{"", url} },
			Token: func(_ context.Context, c identity.Call) (string, error) {
				made = append(made, c)
				return strings.Repeat("t", len(made)), nil
			},
		}
	})
	for _, c := range []struct {
		name string
		call backend.Call
		want []string
	}{
		{"own", own(invocation.Webhook{Method: "PUT", URL: url + "/v1/blueprints/b/entities/a%2Fb?run_as=a", Body: text("{}")}), []string{"Bearer t"}},
		{"again", own(invocation.Webhook{Method: "PUT", URL: url + "/v1/blueprints/b/entities/a%2Fb?run_as=a", Body: text("{}")}), []string{"Bearer tt"}},
		{"its own authorization", own(invocation.Webhook{Method: "POST", URL: url + "/v1/jq", Headers: []invocation.Header{{Name: "authorization", Value: "Basic x"}}}), []string{"Basic x"}},
		{"beside the API", own(invocation.Webhook{Method: "POST", URL: url + "/hook"}), nil},
		{"out of it", own(invocation.Webhook{Method: "POST", URL: url + "/v1/../hook"}), nil},
		{"another", attempt(invocation.Webhook{Method: "POST", URL: url + "/v1/jq"}), nil},
	} {
		if o := b.Call(t.Context(), c.call); o.Verdict != run.Deliver {
			t.Fatalf("%s: got %+v", c.name, o)
		}
		r := <-got
		if diff := cmp.Diff(c.want, r.Header["Authorization"]); diff != "" {
			t.Errorf("%s: authorization (-want +got):\n%s", c.name, diff)
		}
		if r.Header.Get("X-Port-Signature") == "" || r.Header.Get("Idempotency-Key") != runID {
			t.Errorf("%s: got headers %v, want it signed as every call", c.name, r.Header)
		}
	}
	call := identity.Call{Method: "PUT", Path: "/v1/blueprints/b/entities/a/b", Cause: cause}
	if diff := cmp.Diff([]identity.Call{call, call}, made); diff != "" {
		t.Errorf("tokens were made for (-want +got):\n%s", diff)
	}
}

// A redirect is not followed, so that no token reaches where it points to.
func TestOwnCallsFollowNoRedirect(t *testing.T) {
	t.Parallel()
	target, got := receiver(t)
	server := httptest.NewServer(http.RedirectHandler(target+"/v1/jq", http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	b := open(t, func(c *webhook.Config) {
		c.Own = &webhook.Own{
			Addresses: func() []string { return []string{server.URL} },
			Token:     func(context.Context, identity.Call) (string, error) { return "t0ken", nil },
		}
	})
	o := b.Call(t.Context(), own(invocation.Webhook{Method: "POST", URL: server.URL + "/v1/jq"}))
	if o.Verdict != run.Fail || o.StatusCode != 307 || strings.Contains(o.Error+o.Cause, "t0ken") {
		t.Errorf("got %+v, want a failure that holds no token", o)
	}
	if len(got) != 0 {
		t.Errorf("the redirect was followed: %+v", <-got)
	}
}

// Without a token nothing is sent, and it is tried again.
func TestOwnCallWithoutAToken(t *testing.T) {
	t.Parallel()
	url, got := receiver(t)
	b := open(t, func(c *webhook.Config) {
		c.Own = &webhook.Own{
			Addresses: func() []string { return []string{url} },
			Token:     func(context.Context, identity.Call) (string, error) { return "", errors.New("no key") },
		}
	})
	o := b.Call(t.Context(), own(invocation.Webhook{Method: "POST", URL: url + "/v1/jq"}))
	if o.Verdict != run.Retry || o.Error != "the token for this deployment's own API could not be made" {
		t.Errorf("got %+v", o)
	}
	if len(got) != 0 {
		t.Error("a request was sent")
	}
}

// Where the API is in this process its handler is asked, though no address may be called. What it is asked
// and what it answers are as by the network.
func TestOwnCallsInThisProcess(t *testing.T) {
	t.Parallel()
	const url = "http://127.0.0.1:1"
	var asked sent
	answer := func(h http.HandlerFunc) *webhook.Backend {
		return open(t, func(c *webhook.Config) {
			c.Client = egress.New(egress.Config{})
			c.Own = &webhook.Own{
				Addresses: func() []string { return []string{url} }, Handler: h,
				Token: func(context.Context, identity.Call) (string, error) { return "t", nil },
			}
		})
	}
	b := answer(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked = sent{r.Method, r.RequestURI, r.Host, string(body), r.ContentLength, nil}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"ok":true}`)
	})
	o := b.Call(t.Context(), own(invocation.Webhook{Method: "POST", URL: url + "/v1/a%2Fb?q=1#f", Body: text(`{"a":1}`), Synchronized: true}))
	if o.Verdict != run.Succeed || o.StatusCode != 201 || string(o.Response) != `{"ok":true}` {
		t.Errorf("got %+v", o)
	}
	want := sent{Method: "POST", Target: "/v1/a%2Fb?q=1", Host: "127.0.0.1:1", Body: `{"a":1}`, Length: 7}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if o := b.Call(t.Context(), own(invocation.Webhook{Method: "POST", URL: url + "/hook"})); o.Verdict != run.Fail {
		t.Errorf("a call beside the API: got %+v, want it refused by the guard", o)
	}
	o = answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }).Call(t.Context(), own(invocation.Webhook{Method: "GET", URL: url + "/v1/x"}))
	if o.Verdict != run.Retry || o.StatusCode != 503 {
		t.Errorf("503: got %+v", o)
	}
	// The API's own word says why; nothing else of an answer does.
	for text, want := range map[string]string{
		`{"ok":false,"error":"condition_not_met","message":"m"}`: "the target answered 422 Unprocessable Entity: condition_not_met",
		`{"error":"A sentence."}`:                                "the target answered 422 Unprocessable Entity",
		`{"error":1}`:                                            "the target answered 422 Unprocessable Entity",
		`<p>x`:                                                   "the target answered 422 Unprocessable Entity",
	} {
		refuse := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(422); _, _ = io.WriteString(w, text) }
		o := answer(refuse).Call(t.Context(), own(invocation.Webhook{Method: "GET", URL: url + "/v1/x", Synchronized: true}))
		if o.Verdict != run.Fail || o.Error != want || len(o.Response) == 0 {
			t.Errorf("%s: got %+v, want the error %q", text, o, want)
		}
	}
	o = answer(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }).Call(t.Context(), own(invocation.Webhook{Method: "GET", URL: url + "/v1/x"}))
	if o.Verdict != run.Retry || !strings.Contains(o.Error, "gave its answer up") {
		t.Errorf("an answer that is given up: got %+v", o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o = answer(func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() }).Call(ctx, own(invocation.Webhook{Method: "GET", URL: url + "/v1/x"}))
	if o.Verdict != run.Retry || o.StatusCode != 0 {
		t.Errorf("no answer in time: got %+v", o)
	}
}
