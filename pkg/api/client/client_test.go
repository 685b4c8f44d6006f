package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/api"
	"longshore/pkg/api/client"
	"longshore/pkg/catalog"
	"longshore/pkg/identity"
	"longshore/pkg/identity/directory"
	"longshore/pkg/permission"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
	"longshore/pkg/trigger"
)

const (
	secret = "the-secret-of-the-client-of-the-tests"
	deploy = `{"identifier":"deploy","trigger":{"type":"self-service","operation":"CREATE",` +
		`"userInputs":{"properties":{"service":{"type":"string"}},"required":["service"]}},` +
		`"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/hook","body":{"service":"{{ .inputs.service }}"}}}`
)

type nowhere struct{}

func (nowhere) Send(context.Context, string, queue.Message, time.Duration, string) error { return nil }

// server is a real API, and what was asked of it.
type server struct {
	*httptest.Server
	runs run.Store

	mu    sync.Mutex
	asked []string
}

func (s *server) count(request string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, a := range s.asked {
		if a == request {
			n++
		}
	}
	return n
}

// serve starts an API; before sees each request first and may answer it, by returning true.
func serve(t *testing.T, before func(http.ResponseWriter, *http.Request) bool) *server {
	t.Helper()
	ctx := context.Background()
	db := opentest.SQLite(t)
	s := &server{}
	var err error
	if s.runs, err = sqlitestore.NewRuns(ctx, db, sqlitestore.RunsOptions{}); err != nil {
		t.Fatal(err)
	}
	actions, err := sqlitestore.NewActions(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	entities, err := sqlitestore.NewCatalog(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := identity.NewTokens(identity.Config{
		OrgID: "org_1", ClientID: "client_1", Secrets: []string{secret}, Key: bytes.Repeat([]byte("k"), identity.MinKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	log, cache := slog.New(slog.DiscardHandler), action.NewCache(actions)
	handler := api.New(api.Config{
		Tokens: tokens, Actions: actions, Cache: cache, Runs: s.runs, Log: log,
		Catalog: catalog.NewService(entities, nil),
		Starter: trigger.New(trigger.Config{
			Permissions: permission.New(permission.Config{}), Users: directory.New(catalog.NewReader(entities, nil), "org_1"),
			Actions: cache, Runs: s.runs, Sender: nowhere{}, OrgID: "org_1", Log: log,
			Accepter:   &trigger.StoreAndSend{Store: s.runs, Sender: nowhere{}, Log: log},
			Configured: func(string) bool { return true },
		}),
	})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.Method+" "+r.URL.Path)
		s.mu.Unlock()
		if before == nil || !before(w, r) {
			handler.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func connect(t *testing.T, s *server, change ...func(*client.Config)) *client.Client {
	t.Helper()
	c := client.Config{URL: s.URL, ClientID: "client_1", ClientSecret: secret}
	for _, apply := range change {
		apply(&c)
	}
	made, err := client.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// refused fails the test unless the error is an answer of that status, and returns it.
func refused(t *testing.T, err error, status int) *client.Error {
	t.Helper()
	var e *client.Error
	if !errors.As(err, &e) || e.Status != status {
		t.Fatalf("got error %v, want an answer of status %d", err, status)
	}
	return e
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := connect(t, serve(t, nil))
	created := must[*client.Saved](t)(c.CreateAction(ctx, json.RawMessage(deploy)))
	got := must[json.RawMessage](t)(c.Action(ctx, "deploy"))
	if diff := cmp.Diff(string(created.Action), string(got)); diff != "" {
		t.Errorf("action (-created +got):\n%s", diff)
	}
	list := must[[]json.RawMessage](t)(c.Actions(ctx))
	if len(list) != 1 || !bytes.Equal(list[0], got) {
		t.Errorf("got list %s, want %s", list, got)
	}
	replaced := must[*client.Saved](t)(c.ReplaceAction(ctx, "deploy", json.RawMessage(strings.Replace(deploy, ".service }}", ". | }}", 1))))
	if len(replaced.Warnings) != 1 || replaced.Warnings[0].Path != "invocationMethod.body.service" {
		t.Errorf("got warnings %v, want one", replaced.Warnings)
	}
	if err := c.DeleteAction(ctx, "deploy"); err != nil {
		t.Fatal(err)
	}
	_, err := c.Action(ctx, "a/b c")
	if e := refused(t, err, 404); e.Word != "not_found" || !strings.Contains(e.Error(), "a/b c") {
		t.Errorf("got %+v, want the identifier in the sentence", e)
	}
	_, err = c.CreateAction(ctx, json.RawMessage(`{"identifier":`))
	if e := refused(t, err, 422); !strings.Contains(e.Error(), "malformed JSON") {
		t.Errorf("got %v, want the server's own sentence", e)
	}
	_, err = c.CreateAction(ctx, json.RawMessage(strings.Replace(deploy, "{{ .inputs", "{ .inputs", 1)))
	if e := refused(t, err, 422); len(e.Details) != 1 || e.Details[0].Position == nil {
		t.Errorf("got %+v, want a detail with its position", e)
	}
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := connect(t, serve(t, nil))
	const blueprint = `{"identifier":"a/b","title":"A","schema":{"properties":{"n":{"type":"number"}}},` +
		`"calculationProperties":{"twice":{"type":"number","calculation":".properties.n * 2"}}}`
	created := must[*client.SavedBlueprint](t)(c.CreateBlueprint(ctx, json.RawMessage(blueprint)))
	got := must[json.RawMessage](t)(c.Blueprint(ctx, "a/b"))
	if diff := cmp.Diff(string(created.Blueprint), string(got)); diff != "" {
		t.Errorf("blueprint (-created +got):\n%s", diff)
	}
	_, err := c.CreateBlueprint(ctx, json.RawMessage(blueprint))
	_ = refused(t, err, 409)
	replaced := must[*client.SavedBlueprint](t)(c.ReplaceBlueprint(ctx, "a/b", json.RawMessage(strings.Replace(blueprint, "* 2", "*", 1))))
	if len(replaced.Warnings) != 1 || replaced.Warnings[0].Path != "calculationProperties.twice.calculation" {
		t.Errorf("got warnings %v, want one", replaced.Warnings)
	}
	must[*client.SavedBlueprint](t)(c.ReplaceBlueprint(ctx, "a/b", json.RawMessage(blueprint)))
	// Two are built in.
	if list := must[[]json.RawMessage](t)(c.Blueprints(ctx)); len(list) != 3 || !bytes.Contains(list[2], []byte(`"a/b"`)) {
		t.Errorf("got list %s", list)
	}

	entity := func(n string) json.RawMessage {
		return json.RawMessage(`{"identifier":"x:y/z","title":"X","properties":{"n":` + n + `}}`)
	}
	_, err = c.Entity(ctx, "a/b", "x:y/z")
	if e := refused(t, err, 404); !strings.Contains(e.Error(), "x:y/z") {
		t.Errorf("got %v, want the identifier in the sentence", e)
	}
	checked := must[json.RawMessage](t)(c.CheckEntity(ctx, "a/b", entity("1")))
	if !bytes.Contains(checked, []byte(`"n":1,"twice":2`)) {
		t.Errorf("got %s", checked)
	}
	_, err = c.Entity(ctx, "a/b", "x:y/z")
	_ = refused(t, err, 404)
	must[json.RawMessage](t)(c.PutEntity(ctx, "a/b", entity("1")))
	put := must[json.RawMessage](t)(c.PutEntity(ctx, "a/b", json.RawMessage(`{"identifier":"x:y/z","properties":{"n":3}}`)))
	if !bytes.Contains(put, []byte(`"title":null`)) || !bytes.Contains(put, []byte(`"n":3,"twice":6`)) {
		t.Errorf("got %s, want nothing of the first left", put)
	}
	if read := must[json.RawMessage](t)(c.Entity(ctx, "a/b", "x:y/z")); !bytes.Contains(read, []byte(`"properties":{"n":3}`)) {
		t.Errorf("got %s, want no computed property", read)
	}
	_, err = c.PutEntity(ctx, "a/b", entity(`"one"`))
	if e := refused(t, err, 422); len(e.Details) != 1 || e.Details[0].Path != "properties.n" {
		t.Errorf("got %+v, want a detail with its path", e)
	}
	_ = refused(t, c.DeleteBlueprint(ctx, "a/b"), 409)
	if err := c.DeleteEntity(ctx, "a/b", "x:y/z"); err != nil {
		t.Error(err)
	}
	if err := c.DeleteBlueprint(ctx, "a/b"); err != nil {
		t.Error(err)
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := serve(t, nil)
	c := connect(t, s)
	must[*client.Saved](t)(c.CreateAction(ctx, json.RawMessage(deploy)))
	start := client.Start{Properties: json.RawMessage(`{"service":"shop"}`), IdempotencyKey: "k"}

	dry := must[*client.Dry](t)(c.DryRun(ctx, "deploy", start))
	if !strings.Contains(string(dry.Invocation), `"shop"`) || len(dry.TriggerData) == 0 {
		t.Errorf("got %+v", dry)
	}
	first, replayed, err := c.StartRun(ctx, "deploy", start)
	if err != nil || replayed || first.Status != "IN_PROGRESS" || first.Action.Identifier != "deploy" {
		t.Fatalf("got %+v, %v, %v", first, replayed, err)
	}
	again, replayed, err := c.StartRun(ctx, "deploy", start)
	if err != nil || !replayed || again.ID != first.ID {
		t.Fatalf("got %+v, %v, %v, want the first run again", again, replayed, err)
	}
	_, _, err = c.StartRun(ctx, "deploy", client.Start{})
	if e := refused(t, err, 422); len(e.Details) != 1 || e.Details[0].Path != "properties.service" {
		t.Errorf("got %+v", e)
	}
	_, _, err = c.StartRun(ctx, "deploy", client.Start{Properties: start.Properties, RunAs: "a+b@example.com"})
	if e := refused(t, err, 422); len(e.Details) != 1 || e.Details[0].Path != "run_as" {
		t.Errorf("got %+v, want run_as to arrive", e)
	}
	second, _, err := c.StartRun(ctx, "deploy", client.Start{Properties: start.Properties})
	if err != nil {
		t.Fatal(err)
	}

	reported := must[*client.Run](t)(c.Report(ctx, first.ID, client.Report{
		Status: "SUCCESS", StatusLabel: "fine", Link: []string{"https://example.com"}, Summary: "s", ExternalRunID: "e 1",
	}))
	if !reported.Ended() || reported.EndedAt == nil || *reported.StatusLabel != "fine" || reported.Summary != "s" || !bytes.Contains(reported.Raw, []byte(`"e 1"`)) {
		t.Errorf("got %+v", reported)
	}
	read := must[*client.Run](t)(c.Run(ctx, first.ID))
	if diff := cmp.Diff(reported, read); diff != "" {
		t.Errorf("run (-reported +read):\n%s", diff)
	}

	active, ended := true, false
	for name, test := range map[string]struct {
		filter client.Filter
		want   []string
	}{
		"all":      {client.Filter{}, []string{second.ID, first.ID}},
		"active":   {client.Filter{Active: &active}, []string{second.ID}},
		"ended":    {client.Filter{Active: &ended}, []string{first.ID}},
		"external": {client.Filter{ExternalRunID: "e 1"}, []string{first.ID}},
		"sources":  {client.Filter{Sources: []string{"UI", "API"}, Action: "deploy", UserID: "client_1"}, []string{second.ID, first.ID}},
		"another":  {client.Filter{Action: "none"}, nil},
		"entity":   {client.Filter{Entity: "a/b"}, nil},
		"from":     {client.Filter{From: second.ID}, []string{first.ID}},
	} {
		var got []string
		for _, r := range must[*client.Page](t)(c.Runs(ctx, test.filter)).Runs {
			got = append(got, r.ID)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	page := must[*client.Page](t)(c.Runs(ctx, client.Filter{Limit: 1}))
	if page.Next == nil || *page.Next != second.ID {
		t.Errorf("got next %v, want %s", page.Next, second.ID)
	}

	_, err = c.Redeliver(ctx, first.ID)
	if e := refused(t, err, 422); e.Word != "run_not_redeliverable" {
		t.Errorf("got %+v", e)
	}
	fail := func(r *run.Run) (*run.Write, error) {
		now := time.Now()
		if _, err := r.Claim(now, 1, "me", time.Minute); err != nil {
			return nil, err
		}
		return &run.Write{}, r.Settle(now, 1, "me", time.Hour, run.Outcome{Verdict: run.Fail, StatusCode: 404, Error: "status 404"})
	}
	if _, err := s.runs.Update(ctx, second.ID, fail); err != nil {
		t.Fatal(err)
	}
	attempts := must[[]client.Attempt](t)(c.Attempts(ctx, second.ID))
	if len(attempts) != 1 || *attempts[0].StatusCode != 404 || *attempts[0].Error != "status 404" || attempts[0].NextAttemptAt != nil {
		t.Errorf("got %+v", attempts)
	}
	if r := must[*client.Run](t)(c.Redeliver(ctx, second.ID)); r.Generation != 2 || r.Ended() {
		t.Errorf("got %+v, want its second generation", r)
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := connect(t, serve(t, nil))
	must[*client.Saved](t)(c.CreateAction(ctx, json.RawMessage(deploy)))
	r, _, err := c.StartRun(ctx, "deploy", client.Start{Properties: json.RawMessage(`{"service":"a"}`)})
	if err != nil {
		t.Fatal(err)
	}
	// More than one page, then what comes while somebody follows.
	for range 55 {
		must[*client.Log](t)(c.AppendLog(ctx, r.ID, client.Line{Message: "early"}))
	}
	var seen []string
	ended, err := c.Follow(ctx, r.ID, time.Millisecond, func(l client.Log) {
		seen = append(seen, l.Message)
		switch len(seen) {
		case 55:
			must[*client.Log](t)(c.AppendLog(ctx, r.ID, client.Line{Message: "late"}))
		case 56:
			must[*client.Log](t)(c.AppendLog(ctx, r.ID, client.Line{Message: "last", StatusLabel: "x", TerminationStatus: "FAILURE"}))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if ended.Status != "FAILURE" || len(seen) != 57 || seen[55] != "late" || seen[56] != "last" {
		t.Errorf("got status %s and %d lines, the last %v", ended.Status, len(seen), seen[max(0, len(seen)-3):])
	}
	var all []client.Log
	last, err := c.Logs(ctx, r.ID, "", func(l client.Log) { all = append(all, l) })
	if err != nil || len(all) != 57 || last != all[56].ID || all[0].CreatedBy != "client_1" || all[0].CreatedAt.IsZero() {
		t.Errorf("got %d lines, last %s, %v", len(all), last, err)
	}
	if again, err := c.Logs(ctx, r.ID, last, func(l client.Log) { t.Errorf("got %v after the last", l) }); err != nil || again != last {
		t.Errorf("got %s, %v, want the same line", again, err)
	}
	_, err = c.Follow(ctx, "r_0000000000000000", time.Millisecond, func(client.Log) {})
	_ = refused(t, err, 404)
}

func TestFollowEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	c := connect(t, serve(t, nil))
	must[*client.Saved](t)(c.CreateAction(ctx, json.RawMessage(deploy)))
	r, _, err := c.StartRun(ctx, "deploy", client.Start{Properties: json.RawMessage(`{"service":"a"}`)})
	if err != nil {
		t.Fatal(err)
	}
	must[*client.Log](t)(c.AppendLog(ctx, r.ID, client.Line{Message: "one"}))
	_, err = c.Follow(ctx, r.ID, time.Hour, func(client.Log) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to end with its context", err)
	}
}

func TestTokenIsKept(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := serve(t, nil)
	now := time.Now()
	c := connect(t, s, func(c *client.Config) { c.Now = func() time.Time { return now } })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := c.Actions(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	logins := func() int { return s.count("POST /v1/auth/access_token") }
	if logins() != 1 {
		t.Errorf("logged in %d times, want once", logins())
	}
	now = now.Add(identity.Lifetime - 30*time.Second)
	must[[]json.RawMessage](t)(c.Actions(ctx))
	if logins() != 2 {
		t.Errorf("logged in %d times, want again shortly before the token's end", logins())
	}
}

func TestTokenThatIsRefusedIsRenewedOnce(t *testing.T) {
	t.Parallel()
	var refuse atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/actions" || refuse.Add(-1) < 0 {
			return false
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"ok":false,"error":"unauthorized","message":"the access token has expired"}`)
		return true
	})
	c := connect(t, s)
	refuse.Store(1)
	must[[]json.RawMessage](t)(c.Actions(context.Background()))
	if got := s.count("POST /v1/auth/access_token"); got != 2 {
		t.Errorf("logged in %d times, want twice", got)
	}
	refuse.Store(100)
	_, err := c.Actions(context.Background())
	if e := refused(t, err, 401); e.Error() != "the access token has expired" {
		t.Errorf("got %v", e)
	}
	if got := s.count("POST /v1/auth/access_token"); got != 3 {
		t.Errorf("logged in %d times, want one time more", got)
	}
}

func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	c := connect(t, s, func(c *client.Config) { c.ClientSecret = "wrong" })
	_, err := c.Actions(context.Background())
	_ = refused(t, err, 401)
	if err.Error() != "log in: the client id or the client secret is wrong" {
		t.Errorf("got %q", err)
	}
	if got := s.count("POST /v1/auth/access_token"); got != 1 {
		t.Errorf("logged in %d times, want once", got)
	}
}

// Only what may be done twice is done again after a temporary fault.
func TestRepeats(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	unavailable := func(w http.ResponseWriter) {
		w.Header().Set("X-Request-Id", "id-1")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"ok":false,"error":"unavailable","message":"the store is throttled"}`)
	}
	cut := func(w http.ResponseWriter) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = connection.Close()
		}
	}
	gateway := func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, `<html>`)
	}
	start := func(key string) func(*client.Client) error {
		return func(c *client.Client) error {
			_, _, err := c.StartRun(ctx, "deploy", client.Start{Properties: json.RawMessage(`{"service":"a"}`), IdempotencyKey: key})
			return err
		}
	}
	list := func(c *client.Client) error { _, err := c.Actions(ctx); return err }
	tests := map[string]struct {
		path   string
		answer func(http.ResponseWriter)
		call   func(*client.Client) error
		asked  int
		fails  bool
	}{
		"GET, 503":                     {"/v1/actions", unavailable, list, 2, false},
		"GET, a cut connection":        {"/v1/actions", cut, list, 2, false},
		"GET, 502 of a gateway":        {"/v1/actions", gateway, list, 2, false},
		"POST with a key, 503":         {"/v1/actions/deploy/runs", unavailable, start("k"), 2, false},
		"POST without a key, 503":      {"/v1/actions/deploy/runs", unavailable, start(""), 1, true},
		"POST without a key, cut":      {"/v1/actions/deploy/runs", cut, start(""), 1, true},
		"login, 503":                   {"/v1/auth/access_token", unavailable, list, 2, false},
		"report, 503, is not repeated": {"/v1/actions/runs/r_1", unavailable, func(c *client.Client) error { _, err := c.Report(ctx, "r_1", client.Report{}); return err }, 1, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var armed, asked atomic.Int32
			s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != test.path || armed.Load() == 0 {
					return false
				}
				if asked.Add(1) > 1 {
					return false
				}
				test.answer(w)
				return true
			})
			must[*client.Saved](t)(connect(t, s).CreateAction(ctx, json.RawMessage(deploy)))
			armed.Store(1)
			err := test.call(connect(t, s))
			if (err != nil) != test.fails {
				t.Errorf("got error %v, want one: %v", err, test.fails)
			}
			if got := asked.Load(); int(got) != test.asked {
				t.Errorf("asked %d times, want %d", got, test.asked)
			}
		})
	}
}

func TestAnswersOfOthers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		header [2]string
		body   string
		want   string
	}{
		"a redirect":         {302, [2]string{"Location", "/elsewhere"}, "", "the server answered with status 302 Found"},
		"a page":             {404, [2]string{"Content-Type", "text/html"}, "<html>", "the server answered with status 404 Not Found"},
		"no JSON":            {200, [2]string{"Content-Type", "text/html"}, "<html>", "the server's answer is not what Longshore answers: "},
		"something else":     {200, [2]string{}, `{"run":[]}`, "the server's answer is not what Longshore answers: "},
		"nothing of a run":   {200, [2]string{}, `{"ok":true}`, "the server's answer is not what Longshore answers: it has no run"},
		"too much":           {200, [2]string{}, strings.Repeat(" ", 8<<20+1), "the server's answer is too large"},
		"a fault of its own": {500, [2]string{"X-Request-Id", "id-7"}, `{"ok":false,"error":"internal_error","message":"internal error"}`, "internal error (HTTP 500, request id-7)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodGet {
					return false
				}
				if test.header[0] != "" {
					w.Header().Set(test.header[0], test.header[1])
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
				return true
			})
			_, err := connect(t, s).Run(context.Background(), "r_1")
			if e := refused(t, err, test.status); !strings.HasPrefix(e.Error(), test.want) {
				t.Errorf("got %q, want %q", e, test.want)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	// Port 1 is none that the system gives out.
	c, err := client.New(client.Config{URL: "http://127.0.0.1:1", ClientID: "me", ClientSecret: secret})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Actions(context.Background())
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v, want the refused connection", err)
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("the error holds the secret: %v", err)
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "127.0.0.1:8080", "localhost", "ftp://a", "http://", "http://a b", "/v1"} {
		if _, err := client.New(client.Config{URL: address}); err == nil {
			t.Errorf("%q is taken for an address", address)
		}
	}
	s := serve(t, nil)
	for _, end := range []string{"/", "/v1", "/v1/"} {
		c := connect(t, s, func(c *client.Config) { c.URL += end })
		must[[]json.RawMessage](t)(c.Actions(context.Background()))
	}
}

// A server that answers every request with success is none of ours.
func TestLogInElsewhere(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) }))
	defer s.Close()
	c, err := client.New(client.Config{URL: s.URL, ClientID: "me", ClientSecret: secret})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Runs(context.Background(), client.Filter{}); err == nil || err.Error() != "log in: the server's answer is not what Longshore answers: it has no accessToken" {
		t.Errorf("got %v", err)
	}
}
