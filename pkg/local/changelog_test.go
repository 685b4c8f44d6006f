package local_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"longshore/pkg/catalog"
	"longshore/pkg/event"
	"longshore/pkg/local"
	"longshore/pkg/run"
	"longshore/pkg/signature"
)

// A change is told to the webhook of its blueprint as every call is made, tried again when that fails, and
// is no run for anybody.
func TestChangelogWebhook(t *testing.T) {
	t.Parallel()
	type call struct {
		header http.Header
		body   string
	}
	calls := make(chan call, 10)
	first := true
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if first {
			first = false
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		calls <- call{r.Header, string(body)}
	}))
	t.Cleanup(receiver.Close)
	c := config(t.TempDir())
	c.ClientID, c.ClientSecret, c.OrgID = "client_1", strings.Repeat("s", 32), "org_1"
	s, err := local.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := &event.Event{
		ID: event.ID("entity", "e_1", "1"), Action: event.Create, Resource: event.Entity, UserID: "client_1", Origin: "API",
		At: time.Now().UTC().Truncate(time.Millisecond), Context: json.RawMessage(`{"blueprintIdentifier":"service","entityIdentifier":"cart"}`),
		Blueprint: "service", Entity: "cart", After: json.RawMessage(`{"identifier":"cart","n":1e-7}`),
	}
	b := &catalog.Blueprint{Identifier: "service", Definition: json.RawMessage(`{"changelogDestination":{"type":"WEBHOOK","url":"` + receiver.URL + `/log"}}`)}
	if err := s.Deliver(t.Context(), e, b); err != nil {
		t.Fatal(err)
	}
	id := run.ChangeID(e.At, e.ID)
	want, err := e.JSON("org_1")
	if err != nil {
		t.Fatal(err)
	}
	for try := range 2 {
		select {
		case got := <-calls:
			if got.body != string(want) {
				t.Errorf("try %d: got %s, want %s", try+1, got.body, want)
			}
			if got.header.Get("Idempotency-Key") != id || got.header.Get("Webhook-Id") != id || got.header.Get("Content-Type") != "application/json" ||
				!strings.HasPrefix(got.header.Get("User-Agent"), "Longshore/") || got.header.Get("Authorization") != "" {
				t.Errorf("try %d: headers are %v", try+1, got.header)
			}
			if err := signature.VerifyPort(got.header, c.ClientSecret, []byte(got.body), signature.Check{}); err != nil {
				t.Errorf("try %d: %v", try+1, err)
			}
		case <-time.After(patience):
			t.Fatalf("try %d was not made", try+1)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		head, err := s.Head(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if head.Status == run.Success && len(head.Attempts) == 2 {
			break
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("the delivery is %+v", head)
		}
	}
	q := &caller{t: t, url: "http://" + s.Addr()}
	q.token = q.call("POST", "/v1/auth/access_token", `{"clientId":"client_1","clientSecret":"`+c.ClientSecret+`"}`)["accessToken"].(string)
	if runs := q.call("GET", "/v1/actions/runs", "")["runs"].([]any); len(runs) != 0 {
		t.Errorf("runs are %v", runs)
	}
	if audits := q.call("GET", "/v1/audit-log?resources=run", "")["audits"].([]any); len(audits) != 0 {
		t.Errorf("the audit log has %v", audits)
	}
	for _, path := range []string{id, id + "/logs", id + "/attempts"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", q.url+"/v1/actions/runs/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+q.token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: got %d, want 404", path, answer.StatusCode)
		}
	}
}
