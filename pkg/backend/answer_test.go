package backend_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/egress"
	"longshore/pkg/run"
)

func TestAnswer(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	requested, err := url.Parse("https://user:word@target.example:8443/path?query")
	if err != nil {
		t.Fatal(err)
	}
	failed := func(v run.Verdict, code int, sentence string, after time.Duration) backend.Outcome {
		return backend.Outcome{Verdict: v, StatusCode: code, Error: sentence, RetryAfter: after, StatusLabel: "delivery failed"}
	}
	cases := []struct {
		name   string
		code   int
		header http.Header
		want   backend.Outcome
	}{
		{"created", 201, nil, backend.Outcome{Verdict: run.Deliver, StatusCode: 201}},
		{"the last of 2xx", 299, http.Header{"Retry-After": {"5"}}, backend.Outcome{Verdict: run.Deliver, StatusCode: 299}},
		{"a redirect", 307, http.Header{"Location": {"https://u:p@other.example/x?y"}}, failed(run.Fail, 307, "the target answered 307 Temporary Redirect, which points to other.example; redirects are not followed", 0)},
		{"a redirect within", 301, http.Header{"Location": {"../x"}}, failed(run.Fail, 301, "the target answered 301 Moved Permanently, which points to target.example; redirects are not followed", 0)},
		{"a redirect to a name that is none", 301, http.Header{"Location": {"http://a(b)/"}}, failed(run.Fail, 301, "the target answered 301 Moved Permanently; redirects are not followed", 0)},
		{"not modified", 304, nil, failed(run.Fail, 304, "the target answered 304 Not Modified; redirects are not followed", 0)},
		{"not found", 404, http.Header{"Retry-After": {"5"}}, failed(run.Fail, 404, "the target answered 404 Not Found", 0)},
		{"time-out", 408, nil, failed(run.Retry, 408, "the target answered 408 Request Timeout", 0)},
		{"too early", 425, nil, failed(run.Retry, 425, "the target answered 425 Too Early", 0)},
		{"too many", 429, http.Header{"Retry-After": {"Thu, 29 Feb 2024 12:00:30 GMT"}}, failed(run.Retry, 429, "the target answered 429 Too Many Requests", 30*time.Second)},
		{"unavailable", 503, http.Header{"Retry-After": {"7200"}}, failed(run.Retry, 503, "the target answered 503 Service Unavailable", time.Hour)},
		{"a 5xx without a name", 599, nil, failed(run.Retry, 599, "the target answered 599", 0)},
		{"no class", 600, nil, failed(run.Fail, 600, "the target answered 600", 0)},
		{"preliminary", 101, nil, failed(run.Fail, 101, "the target answered 101 Switching Protocols", 0)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			resp := &http.Response{StatusCode: c.code, Status: "999 hostile", Header: c.header}
			if diff := cmp.Diff(c.want, backend.Answer(resp, requested, now)); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFault(t *testing.T) {
	t.Parallel()
	refused := &egress.Error{Sentence: "refused by the egress guard: x is a private address", Refused: true}
	broken := &egress.Error{Sentence: "connection refused by x:443"}
	cases := []struct {
		name string
		err  error
		want backend.Outcome
	}{
		{"refused", refused, backend.Outcome{Verdict: run.Fail, Error: refused.Sentence, StatusLabel: "delivery failed"}},
		{"broken", broken, backend.Outcome{Verdict: run.Retry, Error: broken.Sentence, StatusLabel: "delivery failed", NoAnswer: true}},
		{"wrapped", fmt.Errorf("POST https://x/secret: %w", broken), backend.Outcome{Verdict: run.Retry, Error: broken.Sentence, StatusLabel: "delivery failed", NoAnswer: true}},
		{"of another kind", errors.New("secret"), backend.Outcome{Verdict: run.Retry, Error: "the call failed", StatusLabel: "delivery failed"}},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, backend.Fault(c.err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
