package azuredevops_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the digest that Azure's service connection checks
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/backend/azuredevops"
	"longshore/pkg/backend/backendtest"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/signature"
)

const (
	runID  = "r_0123456789abcdef"
	secret = "0123456789abcdefghijklmnopqrstuvwxyzABCD"
	older  = "an-older-client-secret-of-40-characters!"
)

func now() time.Time { return time.Unix(1700000000, 0) }

func secrets(context.Context) (signature.Secrets, error) {
	return signature.Secrets{Current: secret, Previous: older}, nil
}

func attempt(payload string) backend.Call {
	return backend.Call{RunID: runID, Action: "a", Attempt: 1, Invocation: &invocation.Invocation{
		V: invocation.Version, Type: "AZURE_DEVOPS", Backend: invocation.BackendAzureDevOps, Payload: json.RawMessage(payload),
	}}
}

func open(t *testing.T, c azuredevops.Config) *azuredevops.Backend {
	t.Helper()
	if c.Client == nil {
		c.Client = egress.New(egress.Config{Allow: egress.Loopback()})
		t.Cleanup(c.Client.Close)
	}
	if c.Secrets == nil {
		c.Secrets = secrets
	}
	if c.Now == nil {
		c.Now = now
	}
	c.Version = "test"
	b, err := azuredevops.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConformance(t *testing.T) {
	t.Parallel()
	backendtest.Run(t, func(t *testing.T, target backendtest.Target) (backend.Backend, func(string) backend.Call) {
		b := open(t, azuredevops.Config{URL: target.URL, Client: target.Client, Now: target.Now})
		return b, func(secret string) backend.Call {
			text, err := json.Marshal(map[string]any{
				"type": "AZURE_DEVOPS", "org": "org" + secret, "webhook": "hook" + secret, "payload": map[string]string{"token": secret},
			})
			if err != nil {
				t.Fatal(err)
			}
			return attempt(string(text))
		}
	})
}

// sent is a request as its receiver sees it.
type sent struct {
	Method, Target, Body string
	Header               http.Header
}

// service keeps what it gets, checks the digest as Azure's service connection does, and answers.
func service(t *testing.T, status int) (url string, requests <-chan sent) {
	t.Helper()
	got := make(chan sent, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- sent{r.Method, r.RequestURI, string(body), r.Header}
		mac := hmac.New(sha1.New, []byte(secret))
		mac.Write(body)
		if r.Header.Get("X-Port-Signature") != hex.EncodeToString(mac.Sum(nil)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

func TestRequest(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ base, payload, target, body string }{
		"an object, to the byte": {
			"", `{"type":"AZURE_DEVOPS","webhook":"start","org":"acme","payload":{"b":1.0,"a":"ü<"}}`,
			"/acme/_apis/public/distributedtask/webhooks/start?api-version=6.0-preview", `{"b":1.0,"a":"ü<"}`,
		},
		"an array": {
			"", `{"org":"acme","webhook":"w","payload":[1,2]}`,
			"/acme/_apis/public/distributedtask/webhooks/w?api-version=6.0-preview", `[1,2]`,
		},
		"no payload": {
			"", `{"org":"acme","webhook":"w"}`,
			"/acme/_apis/public/distributedtask/webhooks/w?api-version=6.0-preview", `{}`,
		},
		"names that leave their segment": {
			"", `{"org":"a/../b","webhook":"w?x#y z","payload":{}}`,
			"/a%2F..%2Fb/_apis/public/distributedtask/webhooks/w%3Fx%23y%20z?api-version=6.0-preview", `{}`,
		},
		"a server with a path": {
			"/tfs/", `{"org":"acme","webhook":"w","payload":{}}`,
			"/tfs/acme/_apis/public/distributedtask/webhooks/w?api-version=6.0-preview", `{}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, requests := service(t, http.StatusOK)
			got := open(t, azuredevops.Config{URL: url + test.base}).Call(t.Context(), attempt(test.payload))
			if diff := cmp.Diff(backend.Outcome{Verdict: run.Deliver, StatusCode: 200}, got); diff != "" {
				t.Fatalf("outcome (-want +got):\n%s", diff)
			}
			r := <-requests
			if r.Method != "POST" || r.Target != test.target || r.Body != test.body {
				t.Errorf("got %s %s %s, want POST %s %s", r.Method, r.Target, r.Body, test.target, test.body)
			}
			for header, want := range map[string]string{
				"Content-Type": "application/json", "User-Agent": "Longshore/test", "Idempotency-Key": runID,
				"Webhook-Id": runID, "X-Port-Timestamp": "1700000000",
			} {
				if got := r.Header.Get(header); got != want {
					t.Errorf("header %s is %q, want %q", header, got, want)
				}
			}
			for _, valid := range []string{secret, older} {
				if err := signature.VerifyStandard(r.Header, valid, []byte(r.Body), signature.Check{}); err != nil {
					t.Errorf("Standard Webhooks' signature: %v", err)
				}
			}
		})
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		http.StatusNotFound:     "the target answered 404 Not Found; is there an incoming webhook service connection of that name in the organization?",
		http.StatusUnauthorized: "the target answered 401 Unauthorized; does the service connection's secret equal the client secret, and its header name X-Port-Signature?",
	} {
		url, _ := service(t, status)
		got := open(t, azuredevops.Config{URL: url}).Call(t.Context(), attempt(`{"org":"o","webhook":"w","payload":{}}`))
		if got.Verdict != run.Fail || got.Error != want {
			t.Errorf("%d: verdict %v, error %q, want %q", status, got.Verdict, got.Error, want)
		}
	}
}

// A secret that the service does not take any more ends a run; the one that replaces it is used at once.
func TestSecretThatChanges(t *testing.T) {
	t.Parallel()
	url, requests := service(t, http.StatusOK)
	current := signature.Secrets{Current: older}
	b := open(t, azuredevops.Config{URL: url, Secrets: func(context.Context) (signature.Secrets, error) { return current, nil }})
	call := attempt(`{"org":"o","webhook":"w","payload":{}}`)
	if got := b.Call(t.Context(), call); got.Verdict != run.Fail || got.StatusCode != http.StatusUnauthorized {
		t.Errorf("before: got %+v, want a final failure with 401", got)
	}
	current = signature.Secrets{Current: secret, Previous: older}
	if got := b.Call(t.Context(), call); got.Verdict != run.Deliver {
		t.Errorf("after: got %+v, want delivered", got)
	}
	if n := len(requests); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	url, requests := service(t, http.StatusOK)
	b := open(t, azuredevops.Config{URL: url})
	for name, call := range map[string]backend.Call{
		"no invocation": {RunID: runID},
		"another type":  {RunID: runID, Invocation: &invocation.Invocation{Type: "KAFKA", Payload: json.RawMessage(`{}`)}},
		"no org":        attempt(`{"webhook":"w","payload":{}}`),
		"two dots":      attempt(`{"org":"..","webhook":"w","payload":{}}`),
		"no string":     attempt(`{"org":1,"webhook":"w","payload":{}}`),
	} {
		if got := b.Call(t.Context(), call); got.Verdict != run.Fail || got.StatusCode != 0 || got.Error == "" {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	select {
	case r := <-requests:
		t.Errorf("a call was made: %s", r.Target)
	default:
	}
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(context.Context) (signature.Secrets, error){
		"none":       func(context.Context) (signature.Secrets, error) { return signature.Secrets{}, nil },
		"unreadable": func(context.Context) (signature.Secrets, error) { return signature.Secrets{}, errors.New("down") },
	} {
		if err := open(t, azuredevops.Config{Secrets: read}).Prepare(t.Context()); err == nil {
			t.Errorf("%s: prepared without a secret", name)
		}
	}
	if err := open(t, azuredevops.Config{}).Prepare(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNewRefusesURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"dev.azure.com", "ftp://x", "https://", "https://u:p@x", "https://x?a=b", "https://x\x7f"} {
		if _, err := azuredevops.New(azuredevops.Config{URL: url}); err == nil || strings.Contains(err.Error(), "p@") {
			t.Errorf("%q: got error %v", url, err)
		}
	}
}
