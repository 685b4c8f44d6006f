package awsevent_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/awsevent"
)

func event(t *testing.T, name string) json.RawMessage {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../events", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestHTTPHandsOverTheRequestAsItWasSent(t *testing.T) {
	t.Parallel()
	type seen struct{ Method, Path, Query, Body, Key string }
	cases := []struct {
		name, event string
		want        seen
	}{
		{"a POST with a body", "trigger-run.json", seen{
			Method: "POST", Path: "/v1/actions/scaffold_service/runs", Query: "dry_run=false",
			Body: `{"properties":{"name":"checkout"}}`, Key: "order 1, first",
		}},
		{"an escaped slash", "api-path-escaped.json", seen{Method: "GET", Path: "/v1/actions/org%2Frepo"}},
		{"a decoded slash and what may not stand in a path", "api-path-decoded.json", seen{
			Method: "GET", Path: "/v1/actions/org/re%20po%3F100%25",
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got seen
			h := awsevent.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = seen{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(body), r.Header.Get("Idempotency-Key")}
				w.Header().Set("X-Answer", "yes")
				w.WriteHeader(http.StatusTeapot)
				_, _ = io.WriteString(w, "short")
			}))
			answer, err := h(t.Context(), event(t, c.event))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			text, err := json.Marshal(answer)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{`"statusCode":418`, `"body":"short"`, `"X-Answer":"yes"`} {
				if !strings.Contains(string(text), want) {
					t.Errorf("answer %s has no %s", text, want)
				}
			}
		})
	}
}

func TestHTTPRefusesOtherEvents(t *testing.T) {
	t.Parallel()
	h := awsevent.HTTP(http.NotFoundHandler())
	for _, name := range []string{"dispatch-webhook.json", "tick.json"} {
		if _, err := h(t.Context(), event(t, name)); err == nil || !strings.Contains(err.Error(), "API Gateway") {
			t.Errorf("%s: got error %v, want one that names the event", name, err)
		}
	}
}

func TestSQSReturnsOnlyTheMessagesThatFailed(t *testing.T) {
	t.Parallel()
	var got []awsevent.Message
	h := awsevent.SQS(func(_ context.Context, messages []awsevent.Message) []string {
		got = messages
		return []string{messages[0].ID}
	})
	answer, err := h(t.Context(), event(t, "dispatch-webhook.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Count != 1 || got[0].Receipt == "" || !strings.Contains(got[0].Body, `"kind":"run"`) {
		t.Errorf("got messages %+v", got)
	}
	text, _ := json.Marshal(answer)
	if want := `{"batchItemFailures":[{"itemIdentifier":"` + got[0].ID + `"}]}`; string(text) != want {
		t.Errorf("got answer %s, want %s", text, want)
	}
	none := awsevent.SQS(func(context.Context, []awsevent.Message) []string { return nil })
	answer, err = none(t.Context(), event(t, "dispatch-webhook.json"))
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(answer); string(text) != `{"batchItemFailures":[]}` {
		t.Errorf("got answer %s, want an empty list", text)
	}
}

func TestSQSRefusesOtherEvents(t *testing.T) {
	t.Parallel()
	h := awsevent.SQS(func(context.Context, []awsevent.Message) []string {
		t.Error("the handler was called")
		return nil
	})
	if _, err := h(t.Context(), json.RawMessage(`{"Records":[{"eventSource":"aws:s3"}]}`)); err == nil {
		t.Error("an S3 event was taken for messages")
	}
}

func TestEscapePath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/v1/a%2Fb":  "/v1/a%2Fb",
		"/v1/a b":    "/v1/a%20b",
		"/v1/50%":    "/v1/50%25",
		"/v1/%zz":    "/v1/%25zz",
		"/v1/ü?#\\":  "/v1/%C3%BC%3F%23%5C",
		"/v1/@_.+:=": "/v1/@_.+:=",
	} {
		if got := awsevent.EscapePath(path); got != want {
			t.Errorf("EscapePath(%q) = %q, want %q", path, got, want)
		}
	}
}
