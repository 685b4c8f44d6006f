package webhook_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/backend/backendtest"
	"longshore/pkg/backend/webhook"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/signature"
	"longshore/pkg/trace"
)

const (
	runID  = "r_0123456789abcdef"
	secret = "0123456789abcdefghijklmnopqrstuvwxyzABCD"
	older  = "an-older-client-secret-of-40-characters!"
)

func now() time.Time { return time.Unix(1700000000, 0) }

func secrets(context.Context) (signature.Secrets, error) {
	return signature.Secrets{Current: secret}, nil
}

func text(s string) *string { return &s }

// sent is a request as its receiver sees it.
type sent struct {
	Method, Target, Host, Body string
	Length                     int64
	Header                     http.Header
}

// receiver keeps what it gets and answers 200.
func receiver(t testing.TB) (url string, requests <-chan sent) {
	t.Helper()
	got := make(chan sent, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- sent{r.Method, r.RequestURI, r.Host, string(body), r.ContentLength, r.Header}
		_, _ = io.WriteString(w, `{"ok":true}`)
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

func open(t testing.TB, change func(*webhook.Config)) *webhook.Backend {
	t.Helper()
	c := webhook.Config{Secrets: secrets, Client: egress.New(egress.Config{Allow: egress.Loopback()}), Version: "1.2.3", Now: now}
	t.Cleanup(c.Client.Close)
	if change != nil {
		change(&c)
	}
	return webhook.New(c)
}

func attempt(w invocation.Webhook) backend.Call {
	return backend.Call{RunID: runID, Action: "deploy", Attempt: 1, Invocation: &invocation.Invocation{
		V: 1, Type: "WEBHOOK", Backend: invocation.BackendWebhook, Webhook: &w,
	}}
}

func TestBackend(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]invocation.Webhook{
		"asynchronous":     {Method: http.MethodPost, Body: text("")},
		"synchronized":     {Method: http.MethodPost, Body: text(""), Synchronized: true},
		"GET":              {Method: http.MethodGet, Body: text("")},
		"synchronized GET": {Method: http.MethodGet, Body: text(""), Synchronized: true},
		"DELETE":           {Method: http.MethodDelete},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backendtest.Run(t, func(_ *testing.T, target backendtest.Target) (backend.Backend, func(string) backend.Call) {
				b := webhook.New(webhook.Config{
					Client: target.Client, Now: target.Now, Version: "1",
					Secrets: func(context.Context) (signature.Secrets, error) {
						return signature.Secrets{Current: "the-client-secret", Previous: older}, nil
					},
				})
				return b, func(hidden string) backend.Call {
					u, err := url.Parse(target.URL)
					if err != nil {
						panic(err) // a test server's own URL
					}
					u.User = url.UserPassword(hidden, hidden)
					u.Path = "/" + hidden
					u.RawQuery = url.Values{"token": {hidden}}.Encode()
					w := w
					w.URL = u.String()
					w.Headers = []invocation.Header{{Name: "X-Token", Value: hidden}, {Name: "Cookie", Value: "a=" + url.QueryEscape(hidden)}}
					if w.Body != nil {
						w.Body = text(`{"token":"` + url.QueryEscape(hidden) + `"}`)
					}
					return attempt(w)
				}
			})
		})
	}
}

// The trace that a call is a part of goes with it, unless the action has a trace of its own.
func TestTrace(t *testing.T) {
	t.Parallel()
	const ours, own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00"
	position, _ := trace.Parse(ours, "vendor=1")
	for name, c := range map[string]struct {
		headers           []invocation.Header
		wantParent, state string
	}{
		"ours":               {nil, ours, "vendor=1"},
		"the action's":       {[]invocation.Header{{Name: "TraceParent", Value: own}}, own, ""},
		"the action's state": {[]invocation.Header{{Name: "tracestate", Value: "mine=1"}}, "", "mine=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, requests := receiver(t)
			call := invocation.Webhook{Method: "POST", URL: base, Body: text("{}"), Headers: c.headers}
			if o := open(t, nil).Call(trace.With(t.Context(), position), attempt(call)); o.Verdict != run.Deliver {
				t.Fatalf("verdict %v: %s", o.Verdict, o.Error)
			}
			got := (<-requests).Header
			if got.Get("traceparent") != c.wantParent || got.Get("tracestate") != c.state {
				t.Errorf("traceparent %q, tracestate %q, want %q, %q", got["Traceparent"], got["Tracestate"], c.wantParent, c.state)
			}
		})
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	common := func(more http.Header) http.Header {
		h := http.Header{"User-Agent": {"Longshore/1.2.3"}, "Idempotency-Key": {runID}}
		for name, values := range more {
			h[name] = values
		}
		return h
	}
	jsonBody := http.Header{"Content-Type": {"application/json"}}
	cases := []struct {
		name string
		call invocation.Webhook
		want sent
	}{
		{
			"POST", invocation.Webhook{Method: "POST", URL: "/hook?a=1#frag", Body: text(`{"b": 1,"a":"ü"}`)},
			sent{Method: "POST", Target: "/hook?a=1", Body: `{"b": 1,"a":"ü"}`, Length: 17, Header: common(jsonBody)},
		},
		{
			"an array", invocation.Webhook{Method: "POST", URL: "/", Body: text(`[1, 2]`)},
			sent{Method: "POST", Target: "/", Body: "[1, 2]", Length: 6, Header: common(jsonBody)},
		},
		{
			"PUT", invocation.Webhook{Method: "PUT", URL: "", Body: text(`"x"`)},
			sent{Method: "PUT", Target: "/", Body: `"x"`, Length: 3, Header: common(jsonBody)},
		},
		{
			"PATCH", invocation.Webhook{Method: "PATCH", URL: "/", Body: text(`{}`)},
			sent{Method: "PATCH", Target: "/", Body: "{}", Length: 2, Header: common(jsonBody)},
		},
		{
			"DELETE with a body", invocation.Webhook{Method: "DELETE", URL: "/", Body: text(`{}`)},
			sent{Method: "DELETE", Target: "/", Body: "{}", Length: 2, Header: common(jsonBody)},
		},
		{
			"POST without a body", invocation.Webhook{Method: "POST", URL: "/"},
			sent{Method: "POST", Target: "/", Header: common(nil)},
		},
		{
			"GET", invocation.Webhook{Method: "GET", URL: "/q?z=1&y=%2F", Body: text(` {"b":"x y&=/ü","a":{"n": [1, 2.50],"s":"t"},"null":null,"t":true,"f":1.0,"":"","b":"<"} `)},
			sent{
				Method: "GET",
				Target: `/q?z=1&y=%2F&b=x+y%26%3D%2F%C3%BC&a=%7B%22n%22%3A%5B1%2C2.50%5D%2C%22s%22%3A%22t%22%7D&null=null&t=true&f=1.0&=&b=%3C`,
				Header: common(nil),
			},
		},
		{
			"GET without a body", invocation.Webhook{Method: "GET", URL: "/q?z=1"},
			sent{Method: "GET", Target: "/q?z=1", Header: common(nil)},
		},
		{
			"GET with an empty object", invocation.Webhook{Method: "GET", URL: "/q", Body: text("{}")},
			sent{Method: "GET", Target: "/q", Header: common(nil)},
		},
		{
			"GET with null", invocation.Webhook{Method: "GET", URL: "/q?z=1", Body: text("null")},
			sent{Method: "GET", Target: "/q?z=1", Header: common(nil)},
		},
		{
			"a query that was rendered", invocation.Webhook{Method: "POST", URL: "/a b/ü?q=a b\"<ü>%20"},
			sent{Method: "POST", Target: "/a%20b/%C3%BC?q=a%20b%22%3C%C3%BC%3E%20", Header: common(nil)},
		},
		{
			"an escaped path", invocation.Webhook{Method: "POST", URL: "/a%2Fb/../c"},
			sent{Method: "POST", Target: "/a%2Fb/../c", Header: common(nil)},
		},
		{
			"headers", invocation.Webhook{Method: "POST", URL: "/", Body: text("{}"), Headers: []invocation.Header{
				{Name: "x-many", Value: "1"}, {Name: "X-One", Value: "a, b"}, {Name: "X-MANY", Value: "2"},
				{Name: "authorization", Value: "Bearer t"},
			}},
			sent{Method: "POST", Target: "/", Body: "{}", Length: 2, Header: common(http.Header{
				"X-Many": {"1", "2"}, "X-One": {"a, b"}, "Authorization": {"Bearer t"}, "Content-Type": {"application/json"},
			})},
		},
		{
			"headers that win", invocation.Webhook{Method: "POST", URL: "/", Body: text("<a/>"), Headers: []invocation.Header{
				{Name: "content-type", Value: "application/xml"}, {Name: "user-agent", Value: "mine"}, {Name: "idempotency-key", Value: "other"},
			}},
			sent{Method: "POST", Target: "/", Body: "<a/>", Length: 4, Header: http.Header{
				"Content-Type": {"application/xml"}, "User-Agent": {"mine"}, "Idempotency-Key": {"other"},
			}},
		},
		{
			"headers that do not win", invocation.Webhook{Method: "POST", URL: "/", Body: text("{}"), Headers: []invocation.Header{
				{Name: "host", Value: "evil.example"}, {Name: "Content-length", Value: "1"}, {Name: "TRANSFER-ENCODING", Value: "chunked"},
				{Name: "X-Port-Signature", Value: "v1,x"}, {Name: "x-port-timestamp", Value: "1"},
				{Name: "webhook-id", Value: "x"}, {Name: "webhook-signature", Value: "x"}, {Name: "webhook-timestamp", Value: "1"},
			}},
			sent{Method: "POST", Target: "/", Body: "{}", Length: 2, Header: common(jsonBody)},
		},
		{
			"a content type without a body", invocation.Webhook{Method: "GET", URL: "/", Headers: []invocation.Header{{Name: "Content-Type", Value: "text/plain"}}},
			sent{Method: "GET", Target: "/", Header: common(http.Header{"Content-Type": {"text/plain"}})},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			base, requests := receiver(t)
			c.call.URL = base + c.call.URL
			o := open(t, nil).Call(t.Context(), attempt(c.call))
			if o.Verdict != run.Deliver {
				t.Fatalf("verdict %v: %s", o.Verdict, o.Error)
			}
			got := <-requests
			if host := strings.TrimPrefix(base, "http://"); got.Host != host {
				t.Errorf("Host = %q, want %q", got.Host, host)
			}
			got.Host = ""
			for _, verify := range []func(http.Header, string, []byte, signature.Check) error{signature.VerifyPort, signature.VerifyStandard} {
				if err := verify(got.Header, secret, []byte(got.Body), signature.Check{Now: now(), Tolerance: time.Second}); err != nil {
					t.Errorf("signature: %v", err)
				}
			}
			if id := got.Header.Get("webhook-id"); id != runID {
				t.Errorf("webhook-id = %q", id)
			}
			for _, name := range []string{"X-Port-Signature", "X-Port-Timestamp", "Webhook-Id", "Webhook-Signature", "Webhook-Timestamp"} {
				if n := len(got.Header.Values(name)); n != 1 {
					t.Errorf("%s comes %d times", name, n)
				}
				got.Header.Del(name)
			}
			// What the transport says of itself: Length has the length.
			got.Header.Del("Content-Length")
			got.Header.Del("Connection")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

// The signature was computed with Python's hmac, hashlib and base64.
func TestSignatureIsTheKnownAnswer(t *testing.T) {
	t.Parallel()
	base, requests := receiver(t)
	open(t, nil).Call(t.Context(), attempt(invocation.Webhook{Method: "POST", URL: base, Body: text(`{"name":"a","n":1}`)}))
	got := (<-requests).Header
	for name, want := range map[string]string{
		"x-port-timestamp":  "1700000000",
		"x-port-signature":  "v1,yuzvplfuYUb652UlbpVRQD/3TR2VpkomIwD/yNU4yKI=",
		"webhook-timestamp": "1700000000",
		"webhook-signature": "v1,ImzzIvEwpATVmI9XfbWgHl0laTpvyNJcFkXOOFlmxFE=",
	} {
		if got.Get(name) != want {
			t.Errorf("%s = %q, want %q", name, got.Get(name), want)
		}
	}
}

func TestBothSecretsSignDuringRotation(t *testing.T) {
	t.Parallel()
	base, requests := receiver(t)
	b := open(t, func(c *webhook.Config) {
		c.Secrets = func(context.Context) (signature.Secrets, error) {
			return signature.Secrets{Current: secret, Previous: older}, nil
		}
	})
	b.Call(t.Context(), attempt(invocation.Webhook{Method: "POST", URL: base, Body: text("{}")}))
	got := <-requests
	for name, s := range map[string]string{"new": secret, "old": older} {
		if err := signature.VerifyStandard(got.Header, s, []byte(got.Body), signature.Check{}); err != nil {
			t.Errorf("Standard Webhooks with the %s secret: %v", name, err)
		}
	}
	if err := signature.VerifyPort(got.Header, secret, []byte(got.Body), signature.Check{}); err != nil {
		t.Errorf("Port's with the new secret: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	base, requests := receiver(t)
	empty := func(c *webhook.Config) {
		c.Secrets = func(context.Context) (signature.Secrets, error) { return signature.Secrets{}, nil }
	}
	failing := func(c *webhook.Config) {
		c.Secrets = func(context.Context) (signature.Secrets, error) {
			return signature.Secrets{}, errors.New("throttled for " + secret)
		}
	}
	cases := []struct {
		name   string
		config func(*webhook.Config)
		call   backend.Call
		want   backend.Outcome
	}{
		{"no invocation", nil, backend.Call{RunID: runID}, backend.Refuse("the run's invocation is no HTTP call")},
		{"another type", nil, backend.Call{RunID: runID, Invocation: &invocation.Invocation{V: 1, Type: "KAFKA"}}, backend.Refuse("the run's invocation is no HTTP call")},
		{"an agent's call", nil, attempt(invocation.Webhook{Method: "POST", URL: base, Agent: true}), backend.Refuse("the call is to be made by an agent, never by Longshore")},
		{"a GET with an array", nil, attempt(invocation.Webhook{Method: "GET", URL: base, Body: text("[1]")}), backend.Refuse("the body of a GET must be an object, whose members go into the query")},
		{"a GET with a string", nil, attempt(invocation.Webhook{Method: "GET", URL: base, Body: text(`"x"`)}), backend.Refuse("the body of a GET must be an object, whose members go into the query")},
		{"a GET with half an object", nil, attempt(invocation.Webhook{Method: "GET", URL: base, Body: text(`{"a":1`)}), backend.Refuse("the body of a GET must be an object, whose members go into the query")},
		{"a GET with an empty text", nil, attempt(invocation.Webhook{Method: "GET", URL: base, Body: text("")}), backend.Refuse("the body of a GET must be an object, whose members go into the query")},
		{"no URL", nil, attempt(invocation.Webhook{Method: "POST", URL: "http://[::1/" + secret}), backend.Refuse("the URL is not valid")},
		{"no method", nil, attempt(invocation.Webhook{Method: "PO ST " + secret, URL: base}), backend.Refuse("the method is not valid")},
		{"an empty client secret", empty, attempt(invocation.Webhook{Method: "POST", URL: base}), backend.Refuse("the call cannot be signed: the client secret is empty")},
		{"no client secret to be had", failing, attempt(invocation.Webhook{Method: "POST", URL: base}), backend.Outcome{
			Verdict: run.Retry, Error: "the client secret to sign with could not be read", StatusLabel: "delivery failed",
		}},
	}
	for _, c := range cases {
		got := open(t, c.config).Call(t.Context(), c.call)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	if n := len(requests); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func TestCallTimeout(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hold) })
	b := open(t, func(c *webhook.Config) { c.CallTimeout = 50 * time.Millisecond })
	got := b.Call(t.Context(), attempt(invocation.Webhook{Method: "POST", URL: server.URL}))
	want := backend.Outcome{
		Verdict: run.Retry, Error: strings.TrimPrefix(server.URL, "http://") + " did not answer in time", StatusLabel: "delivery failed",
		NoAnswer: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

func BenchmarkCall(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	b.Cleanup(server.Close)
	w := open(b, nil)
	c := attempt(invocation.Webhook{Method: "POST", URL: server.URL, Body: text(`{"x":"` + strings.Repeat("x", 4096) + `"}`)})
	b.ReportAllocs()
	for b.Loop() {
		if o := w.Call(b.Context(), c); o.Verdict != run.Deliver {
			b.Fatal(o.Error)
		}
	}
}
