package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/local"
	"longshore/pkg/signature"
)

// caller speaks with a server by HTTP.
type caller struct {
	t          *testing.T
	url, token string
}

// open starts a server and logs in.
func open(t *testing.T, c local.Config) (*client.Client, *caller, local.Credentials) {
	t.Helper()
	c.ClientID, c.ClientSecret = "client_1", strings.Repeat("s", 32)
	opened, url := serve(t, c)
	q := &caller{t: t, url: url}
	q.token = q.call("POST", "/v1/auth/access_token", fmt.Sprintf(`{"clientId":%q,"clientSecret":%q}`, c.ClientID, c.ClientSecret))["accessToken"].(string)
	return opened, q, local.Credentials{ClientID: c.ClientID, ClientSecret: c.ClientSecret}
}

// call sends a request that must succeed.
func (q *caller) call(method, path, body string) map[string]any {
	q.t.Helper()
	r, err := http.NewRequestWithContext(q.t.Context(), method, q.url+path, strings.NewReader(body))
	if err != nil {
		q.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+q.token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		q.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 {
		q.t.Fatalf("%s %s: %d %s, %v", method, path, answer.StatusCode, text, err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		q.t.Fatal(err)
	}
	return got
}

// log waits until the run's log has a line that holds a text.
func (q *caller) log(id, holds string) {
	q.t.Helper()
	ctx, cancel := context.WithTimeout(q.t.Context(), patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		lines := q.call("GET", "/v1/actions/runs/"+id+"/logs", "")["runLogs"].([]any)
		for _, l := range lines {
			if strings.Contains(l.(map[string]any)["message"].(string), holds) {
				return
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			q.t.Fatalf("log of %s is %v, want %q in it", id, lines, holds)
		}
	}
}

// guard saves the action "act", which needs approval and tells a webhook.
func guard(q *caller, target, notice string) {
	q.t.Helper()
	q.call("POST", "/v1/actions", fmt.Sprintf(`{"identifier":"act","requiredApproval":true,%s
		"trigger":{"type":"self-service","operation":"CREATE"},
		"invocationMethod":{"type":"WEBHOOK","url":%q,"synchronized":true,"body":{"a":1}}}`, notice, target))
}

// notices is a receiver of notices that verifies them; fail is how often it answers 503 first.
func notices(t *testing.T, secret string, fail int) (server *httptest.Server, got chan map[string]any) {
	t.Helper()
	got = make(chan map[string]any, 100)
	var refused int
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		check := signature.Check{Now: time.Now(), Tolerance: time.Minute}
		if err := signature.VerifyPort(r.Header, secret, body, check); err != nil {
			t.Errorf("Port's signature: %v", err)
		}
		if err := signature.VerifyStandard(r.Header, secret, body, check); err != nil {
			t.Errorf("the standard signature: %v", err)
		}
		if key := r.Header.Get("Idempotency-Key"); !strings.HasPrefix(key, "d_") || r.Header.Get("Webhook-Id") != key {
			t.Errorf("key is %s, id %s", key, r.Header.Get("Webhook-Id"))
		}
		if refused < fail {
			refused++
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var message map[string]any
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(&message); err != nil {
			t.Error(err)
		}
		got <- message
	}))
	t.Cleanup(server.Close)
	return server, got
}

func TestNoticeThenApproval(t *testing.T) {
	t.Parallel()
	rc := newReceiver(t, ok)
	c, q, credentials := open(t, local.WithChaos(config(t.TempDir())))
	server, got := notices(t, credentials.ClientSecret, 1)
	guard(q, rc.URL, `"approvalNotification":{"type":"webhook","format":"json","url":"`+server.URL+`"},`)
	id := q.call("POST", "/v1/actions/act/runs", `{}`)["run"].(map[string]any)["id"].(string)

	message := <-got
	if message["status"] != "WAITING_FOR_APPROVAL" || message["link"] != q.url+"/v1/actions/runs/"+id {
		t.Errorf("notice is %v", message)
	}
	q.log(id, "The notice to approvers was delivered.")
	if n := rc.counts(); len(n) != 0 {
		t.Errorf("called %v before it was approved", n)
	}
	// Neither the list nor the link knows the notice.
	if runs := q.call("GET", "/v1/actions/runs", "")["runs"].([]any); len(runs) != 1 {
		t.Errorf("%d runs, want 1", len(runs))
	}
	q.call("PATCH", "/v1/actions/runs/"+id+"/approval", `{"status":"APPROVE"}`)
	succeed(t, c, []string{id})
	if n := rc.counts(); n[id] != 1 {
		t.Errorf("called %v, want once", n)
	}
	if len(got) != 0 {
		t.Errorf("%d notices more", len(got))
	}
}

// Nobody's request says where the run of an automation can be read: the notice says it all the same.
func TestNoticeOfAnAutomation(t *testing.T) {
	t.Parallel()
	_, q, credentials := open(t, config(t.TempDir()))
	server, got := notices(t, credentials.ClientSecret, 0)
	q.call("POST", "/v1/blueprints", `{"identifier":"service","title":"S","schema":{"properties":{}}}`)
	q.call("POST", "/v1/actions", `{"identifier":"act","requiredApproval":true,"approvalNotification":{"type":"webhook","format":"json","url":"`+server.URL+`"},
		"trigger":{"type":"automation","event":{"type":"ENTITY_CREATED","blueprintIdentifier":"service"}},
		"invocationMethod":{"type":"WEBHOOK","url":"https://example.com","body":{"a":1}}}`)
	q.call("POST", "/v1/blueprints/service/entities", `{"identifier":"cart"}`)
	if link, _ := (<-got)["link"].(string); !strings.HasPrefix(link, q.url+"/v1/actions/runs/r_") {
		t.Errorf("the link is %q, want one at %s", link, q.url)
	}
}

// A notice that its receiver refuses, puts off or does not answer holds no run back, whatever is decided.
func TestNoticeHoldsNoRunBack(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	came := map[string]chan struct{}{"/refuses": make(chan struct{}, 10), "/puts-off": make(chan struct{}, 10), "/hangs": make(chan struct{}, 10)}
	rc := newReceiver(t, func(w http.ResponseWriter, r *http.Request, _ string, _ int) {
		came[r.URL.Path] <- struct{}{}
		switch r.URL.Path {
		case "/refuses":
			w.WriteHeader(http.StatusGone)
		case "/puts-off":
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			<-hang
		}
	})
	defer close(hang)
	for name, log := range map[string]string{
		"/refuses":  "The notice to approvers failed after 1 attempt: the target answered 410 Gone",
		"/puts-off": "",
		"/hangs":    "",
	} {
		target := newReceiver(t, ok)
		c, q, _ := open(t, config(t.TempDir()))
		guard(q, target.URL, `"approvalNotification":{"type":"webhook","format":"slack","url":"`+rc.URL+name+`"},`)
		var ids []string
		for _, decision := range []string{"APPROVE", "DECLINE"} {
			id := q.call("POST", "/v1/actions/act/runs", `{}`)["run"].(map[string]any)["id"].(string)
			<-came[name]
			if log != "" {
				q.log(id, log)
			}
			if r, err := c.Run(t.Context(), id); err != nil || r.Status != "WAITING_FOR_APPROVAL" {
				t.Errorf("%s: run is %+v, %v", name, r, err)
			}
			q.call("PATCH", "/v1/actions/runs/"+id+"/approval", `{"status":"`+decision+`"}`)
			ids = append(ids, id)
		}
		succeed(t, c, ids[:1])
		if r, err := c.Run(t.Context(), ids[1]); err != nil || r.Status != "DECLINED" {
			t.Errorf("%s: run is %+v, %v; want it declined", name, r, err)
		}
		if n := target.counts(); len(n) != 1 || n[ids[0]] != 1 {
			t.Errorf("%s: delivered %v, want the approved run once", name, n)
		}
	}
}

// An address that may not be called is not called for a notice either.
func TestNoticeIsGuarded(t *testing.T) {
	t.Parallel()
	_, q, _ := open(t, config(t.TempDir()))
	guard(q, "http://192.0.2.1/", `"approvalNotification":{"type":"webhook","url":"http://169.254.169.254/latest"},`)
	id := q.call("POST", "/v1/actions/act/runs", `{}`)["run"].(map[string]any)["id"].(string)
	q.log(id, "The notice to approvers failed after 1 attempt")
}

func TestApprovalTimesOut(t *testing.T) {
	t.Parallel()
	config := config(t.TempDir())
	config.ApprovalTimeout = 100 * time.Millisecond
	c, q, _ := open(t, config)
	guard(q, "http://192.0.2.1/", "")
	id := q.call("POST", "/v1/actions/act/runs", `{}`)["run"].(map[string]any)["id"].(string)
	q.log(id, "Timed out: not approved within")
	q.log(id, "no e-mail sender")
	if r, err := c.Run(t.Context(), id); err != nil || r.Status != "FAILURE" || r.StatusLabel == nil || *r.StatusLabel != "approval timed out" {
		t.Errorf("run is %+v, %v", r, err)
	}
}

// E-mails go to the approvers through SES, here a stand-in at its address.
func TestEmailNotice(t *testing.T) {
	mails := make(chan map[string]any, 10)
	ses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var mail map[string]any
		if err := json.NewDecoder(r.Body).Decode(&mail); err != nil {
			t.Error(err)
		}
		mails <- mail
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"MessageId":"1"}`)
	}))
	t.Cleanup(ses.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": ses.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	config := config(t.TempDir())
	config.SESSender, config.BaseURL = "longshore@example.com", "https://longshore.example.com"
	_, q, _ := open(t, config)
	for email, role := range map[string]string{"ada@example.com": "Admin", "bo@example.com": "Member"} {
		q.call("POST", "/v1/blueprints/_user/entities", fmt.Sprintf(`{"identifier":%q,"properties":{"port_role":%q}}`, email, role))
	}
	guard(q, "http://192.0.2.1/", "")
	id := q.call("POST", "/v1/actions/act/runs", `{}`)["run"].(map[string]any)["id"].(string)
	mail := <-mails
	if to := fmt.Sprint(mail["Destination"]); to != "map[ToAddresses:[ada@example.com]]" || mail["FromEmailAddress"] != "longshore@example.com" {
		t.Errorf("from %v to %s", mail["FromEmailAddress"], to)
	}
	if text := fmt.Sprint(mail["Content"]); !strings.Contains(text, "https://longshore.example.com/v1/actions/runs/"+id) {
		t.Errorf("mail is %s", text)
	}
	q.log(id, "The notice to approvers was delivered.")
	approvers := q.call("GET", "/v1/actions/runs/"+id+"/approvers?include_pending_approvers=true", "")["approvers"].([]any)
	if len(approvers) != 1 || approvers[0].(map[string]any)["state"] != "PENDING" {
		t.Errorf("approvers are %v, want the one Admin", approvers)
	}
}
