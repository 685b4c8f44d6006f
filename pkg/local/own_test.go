package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/egress"
)

// Actions call the API that runs them, with no credentials anywhere.
func TestOwnCalls(t *testing.T) {
	t.Parallel()
	c := config(t.TempDir())
	var log journal
	c.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	// Nothing but public addresses may be called: the API is reached in this process.
	c.EgressAllow = egress.Allow{}
	api, q, credentials := open(t, c)
	q.call("POST", "/v1/blueprints/_user/entities", `{"identifier":"ada@example.com","properties":{}}`)
	q.call("POST", "/v1/blueprints", `{"identifier":"service","title":"Service","schema":{"properties":{"n":{"type":"number"}}}}`)
	inputs := `{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"name":{"type":"string"},"host":{"type":"string"}}}}`
	define := func(identifier, method string) {
		t.Helper()
		q.call("POST", "/v1/actions", `{"identifier":"`+identifier+`","trigger":`+inputs+`,"invocationMethod":{"type":"WEBHOOK",`+strings.ReplaceAll(method, "BASE", q.url)+`}}`)
	}
	end := func(action, body string) (id string, r map[string]any) {
		t.Helper()
		id = q.call("POST", "/v1/actions/"+action+"/runs", body)["run"].(map[string]any)["id"].(string)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := api.Follow(ctx, id, 20*time.Millisecond, func(client.Log) {}); err != nil {
			t.Fatal(err)
		}
		return id, q.call("GET", "/v1/actions/runs/"+id, "")["run"].(map[string]any)
	}

	define("write", `"url":"BASE/v1/blueprints/service/entities?upsert=true&run_id={{ .run.id }}","synchronized":true,
		"body":{"identifier":"{{ .inputs.name }}","properties":{"n":7}}`)
	define("start", `"url":"BASE/v1/actions/{{ \"write\" }}/runs?run_as=ada@example.com","synchronized":true,"body":{"properties":{"name":"by-ada"}}`)
	define("secrets", `"url":"BASE/v1/organization/secrets","method":"GET","synchronized":true`)
	define("users", `"url":"BASE/v1/{{ \"users\" }}","method":"GET","synchronized":true`)
	define("dots", `"url":"BASE/v1/{{ .inputs.name }}/actions","method":"GET","synchronized":true`)
	define("given", `"url":"http://{{ .inputs.host }}/v1/actions","method":"GET","synchronized":true`)

	id, r := end("write", `{"properties":{"name":"cart"}}`)
	if r["status"] != "SUCCESS" {
		t.Fatalf("the run that writes an entity: %v, log %v", r, q.call("GET", "/v1/actions/runs/"+id+"/logs", ""))
	}
	e := q.call("GET", "/v1/blueprints/service/entities/cart", "")["entity"].(map[string]any)
	if e["properties"].(map[string]any)["n"] != 7.0 || e["createdBy"] != "client_1" {
		t.Errorf("the entity is %v", e)
	}
	if audits := q.call("GET", "/v1/audit-log?resources=entity&run_id="+id, "")["audits"].([]any); len(audits) != 1 {
		t.Errorf("the run changed %v, want one entity", audits)
	}
	_, r = end("start", `{}`)
	if r["status"] != "SUCCESS" {
		t.Fatalf("the run that starts one: %v", r)
	}
	started := r["response"].(map[string]any)["run"].(map[string]any)
	if started["source"] != "API" || started["impersonatedBy"] != "client_1" || started["user"].(map[string]any)["email"] != "ada@example.com" {
		t.Errorf("the run that it started is %v", started)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if last, err := api.Follow(ctx, started["id"].(string), 20*time.Millisecond, func(client.Log) {}); err != nil || last.Status != "SUCCESS" {
		t.Errorf("it ended with %v, %v", last, err)
	}
	q.call("GET", "/v1/blueprints/service/entities/by-ada", "")
	// What the token does not reach, and calls that carry none.
	for _, c := range []struct {
		action, inputs string
		status         float64
	}{
		{"secrets", `{}`, 403}, {"users", `{}`, 403}, {"dots", `{"name":"actions/.."}`, 0}, {"given", `{"host":"` + strings.TrimPrefix(q.url, "http://") + `"}`, 0},
	} {
		id, r := end(c.action, `{"properties":`+c.inputs+`}`)
		attempt := q.call("GET", "/v1/actions/runs/"+id+"/attempts", "")["attempts"].([]any)[0].(map[string]any)
		code, _ := attempt["statusCode"].(float64)
		if r["status"] != "FAILURE" || code != c.status {
			t.Errorf("%s: %v with %v, want a failure with %v", c.action, r["status"], attempt, c.status)
		}
	}
	// A token is found nowhere: all of them begin as the caller's own does.
	mark := regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}\.`)
	runs, err := json.Marshal(q.call("GET", "/v1/actions/runs", ""))
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string][]byte{"the log": log.Bytes(), "the runs": runs} {
		if found := mark.Find(text); found != nil || bytes.Contains(text, []byte(credentials.ClientSecret)) {
			t.Errorf("%s holds a token: %s", where, found)
		}
	}
	files, err := filepath.Glob(filepath.Join(c.Data, "*.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no database in %s: %v", c.Data, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if found := mark.Find(text); found != nil {
			t.Errorf("%s holds a token: %s", f, found)
		}
	}
}

// The address that clients use counts too; what is in front of the process is not asked.
func TestOwnCallsOfTheBaseURL(t *testing.T) {
	t.Parallel()
	c := config(t.TempDir())
	c.BaseURL = "https://longshore.example/base"
	api, q, _ := open(t, c)
	q.call("POST", "/v1/actions", `{"identifier":"list","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{}}},
		"invocationMethod":{"type":"WEBHOOK","url":"https://longshore.example/base/v1/actions","method":"GET","synchronized":true}}`)
	r, _, err := api.StartRun(t.Context(), "list", client.Start{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if r, err = api.Follow(ctx, r.ID, 20*time.Millisecond, func(client.Log) {}); err != nil || r.Status != "SUCCESS" {
		t.Errorf("got %+v, %v", r, err)
	}
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// Bytes returns what was written.
func (j *journal) Bytes() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Clone(j.text.Bytes())
}

// An automation that redelivers what fails, through this deployment's own API, is cut off after ten runs: what
// fails anew is no beginning.
func TestLoopOfRedeliveries(t *testing.T) {
	t.Parallel()
	_, q, _ := open(t, config(t.TempDir()))
	gone := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(gone.Close)
	q.call("POST", "/v1/actions", `{"identifier":"broken","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{}}},
		"invocationMethod":{"type":"WEBHOOK","url":"`+gone.URL+`"}}`)
	q.call("POST", "/v1/actions", `{"identifier":"again","trigger":{"type":"automation","event":{"type":"RUN_UPDATED","actionIdentifier":"broken"},
		"condition":{"type":"JQ","expressions":[".diff.after.status == \"FAILURE\""]}},
		"invocationMethod":{"type":"WEBHOOK","method":"POST","synchronized":true,"url":"`+q.url+`/v1/actions/runs/{{ .event.diff.after.id }}/redeliver"}}`)
	id := q.call("POST", "/v1/actions/broken/runs", `{}`)["run"].(map[string]any)["id"].(string)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		ended := map[any]int{}
		for _, r := range q.call("GET", "/v1/actions/runs?action=again", "")["runs"].([]any) {
			r := r.(map[string]any)
			ended[r["statusLabel"]]++
		}
		if ended["loop cut off"] > 0 {
			break
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("the loop goes on; runs by label: %v", ended)
		}
	}
	if n := q.call("GET", "/v1/actions/runs/"+id, "")["run"].(map[string]any)["generation"]; n != 11.0 {
		t.Errorf("the run was delivered %v times, want once and ten times again", n)
	}
}
