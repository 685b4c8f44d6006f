package webhook_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/backend/webhook"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

// answering returns the outcome of a call whose target answers so.
func answering(t *testing.T, synchronized bool, status int, body string) backend.Outcome {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	return open(t, nil).Call(t.Context(), attempt(invocation.Webhook{Method: "POST", URL: server.URL, Synchronized: synchronized}))
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	const body = `{"a": 1.0, "b": [null]}`
	response := json.RawMessage(body)
	cases := []struct {
		name         string
		synchronized bool
		status       int
		want         backend.Outcome
	}{
		{"delivered", false, 202, backend.Outcome{Verdict: run.Deliver, StatusCode: 202}},
		{"succeeded", true, 200, backend.Outcome{Verdict: run.Succeed, StatusCode: 200, Response: response}},
		{"refused", false, 400, backend.Outcome{
			Verdict: run.Fail, StatusCode: 400, Error: "the target answered 400 Bad Request", StatusLabel: "delivery failed",
		}},
		{"refused, synchronized", true, 422, backend.Outcome{
			Verdict: run.Fail, StatusCode: 422, Error: "the target answered 422 Unprocessable Entity", StatusLabel: "delivery failed", Response: response,
		}},
		{"down", false, 503, backend.Outcome{
			Verdict: run.Retry, StatusCode: 503, Error: "the target answered 503 Service Unavailable", StatusLabel: "delivery failed", RetryAfter: 3 * time.Second,
		}},
		{"down, synchronized", true, 500, backend.Outcome{
			Verdict: run.Retry, StatusCode: 500, Error: "the target answered 500 Internal Server Error", StatusLabel: "delivery failed", RetryAfter: 3 * time.Second, Response: response,
		}},
		{"a status without a name", false, 799, backend.Outcome{
			Verdict: run.Fail, StatusCode: 799, Error: "the target answered 799", StatusLabel: "delivery failed",
		}},
		{"moved", true, 301, backend.Outcome{
			Verdict: run.Fail, StatusCode: 301, Error: "the target answered 301 Moved Permanently; redirects are not followed", StatusLabel: "delivery failed", Response: response,
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, answering(t, c.synchronized, c.status, body)); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResponse(t *testing.T) {
	t.Parallel()
	limit := run.MaxResponse
	text := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	cases := []struct{ name, answer, want string }{
		{"empty", "", ""},
		{"spaces", " \r\n\t", ""},
		{"an object", `{"b":1,"a":1.50,"c":12345678901234567890}`, `{"b":1,"a":1.50,"c":12345678901234567890}`},
		{"JSON with spaces around", "\n{ }\n", "{ }"},
		{"null", "null", "null"},
		{"a number", "1e2", "1e2"},
		{"a string", `"x"`, `"x"`},
		{"text", "done", `"done"`},
		{"text with spaces around", " done\n", `" done\n"`},
		{"HTML", "<p>&</p>", `"<p>&</p>"`},
		{"two values", "{}{}", `"{}{}"`},
		{"half an object", `{"a":`, `"{\"a\":"`},
		{"no UTF-8", "a\xff\xfeb", `"a` + "\uFFFD" + `b"`},
		{"no UTF-8 in JSON", "\"\xff\"", `"\"` + "\uFFFD" + `\""`},
		{"JSON at the depth limit", nested(1000), nested(1000)},
		{"JSON beyond the depth limit", nested(1001), text(nested(1001))},
		{"brackets in strings are no depth", `["` + strings.Repeat(`[\"`, 2000) + `"]`, `["` + strings.Repeat(`[\"`, 2000) + `"]`},
		{"JSON at the limit", `"` + strings.Repeat("x", limit-2) + `"`, `"` + strings.Repeat("x", limit-2) + `"`},
		{"JSON beyond the limit", `"` + strings.Repeat("x", limit-1) + `"`, text(`"` + strings.Repeat("x", limit-1))},
		{"JSON in front of the limit, more behind", `{}` + strings.Repeat(" ", limit), text("{}" + strings.Repeat(" ", limit-2))},
		{"text at the limit", strings.Repeat("x", limit), text(strings.Repeat("x", limit))},
		{"text beyond the limit", strings.Repeat("x", limit+1), text(strings.Repeat("x", limit))},
		{"a character across the limit", strings.Repeat("x", limit-1) + "é", text(strings.Repeat("x", limit-1))},
		{"a long character across the limit", strings.Repeat("x", limit-3) + "😀", text(strings.Repeat("x", limit-3))},
		{"no character across the limit", strings.Repeat("x", limit-1) + "\xff" + "x", text(strings.Repeat("x", limit-1) + "\uFFFD")},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := answering(t, true, http.StatusOK, c.answer)
			if got.Verdict != run.Succeed {
				t.Fatalf("verdict %v: %s", got.Verdict, got.Error)
			}
			if string(got.Response) != c.want {
				t.Errorf("response of %d bytes %.80q, want %d bytes %.80q", len(got.Response), got.Response, len(c.want), c.want)
			}
			if (got.Response == nil) != (c.want == "") {
				t.Errorf("response is nil: %v", got.Response == nil)
			}
		})
	}
}

// Escapes make a text up to six times as long; what is stored stays below the limit of an item.
func TestResponseOfEscapesFits(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"control characters": strings.Repeat("\x01", run.MaxResponse+1),
		"short, then long":   strings.Repeat("é", run.MaxResponse/4) + strings.Repeat("\x01", run.MaxResponse),
		"quotes":             strings.Repeat(`"`, run.MaxResponse),
		"bytes":              strings.Repeat("\xff\x00", run.MaxResponse),
	} {
		got := answering(t, true, http.StatusOK, answer)
		var text string
		if err := json.Unmarshal(got.Response, &text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := len(got.Response); n > 384<<10 || n < 100<<10 {
			t.Errorf("%s: %d bytes are stored", name, n)
		}
		if !utf8.ValidString(text) || !strings.HasPrefix(strings.ToValidUTF8(answer, "\uFFFD"), text) {
			t.Errorf("%s: what is stored is not how the answer begins", name)
		}
	}
}

// The end of a broken answer is missing: what the status says holds.
func TestBrokenAnswer(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]backend.Outcome{
		200: {Verdict: run.Succeed, StatusCode: 200, Response: json.RawMessage(`"{}"`)},
		404: {Verdict: run.Fail, StatusCode: 404, Error: "the target answered 404 Not Found", StatusLabel: "delivery failed", Response: json.RawMessage(`"{}"`)},
		502: {Verdict: run.Retry, StatusCode: 502, Error: "the target answered 502 Bad Gateway", StatusLabel: "delivery failed", Response: json.RawMessage(`"{}"`)},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "{}")
		}))
		got := open(t, nil).Call(t.Context(), attempt(invocation.Webhook{Method: "POST", URL: server.URL, Synchronized: true}))
		want.Error = strings.Replace(want.Error, "HOST", strings.TrimPrefix(server.URL, "http://"), 1)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d (-want +got):\n%s", status, diff)
		}
		server.Close()
	}
}

// A run is delivered when the target says so; the rest of its answer is of no use.
func TestDeliveryDoesNotWaitForTheRestOfAnAnswer(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-hold
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hold) })
	b := open(t, func(c *webhook.Config) { c.CallTimeout = time.Hour })
	done := make(chan backend.Outcome, 1)
	go func() { done <- b.Call(t.Context(), attempt(invocation.Webhook{Method: "POST", URL: server.URL})) }()
	select {
	case got := <-done:
		if got.Verdict != run.Deliver {
			t.Errorf("verdict %v: %s", got.Verdict, got.Error)
		}
	case <-time.After(time.Minute):
		t.Error("the call waits for an answer that does not end")
	}
}
