package local_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/pkg/emulator"
	"longshore/pkg/local"
)

// automate lets two automations set off each other through entities, beside one that tells a webhook, as
// their author sees it.
func automate(t *testing.T, c local.Config) {
	t.Helper()
	var mu sync.Mutex
	told := map[string][]string{}
	target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if told[r.Header.Get("Idempotency-Key")] == nil {
			told[r.URL.Path] = append(told[r.URL.Path], string(body))
			told[r.Header.Get("Idempotency-Key")] = []string{""}
		}
	}))
	t.Cleanup(target.Close)
	_, q, _ := open(t, c)
	for _, blueprint := range []string{"ping", "pong"} {
		q.call("POST", "/v1/blueprints", `{"identifier":"`+blueprint+`","title":"B","schema":{"properties":{"n":{"type":"number"}}}}`)
	}
	upsert := func(blueprint string) string {
		return `{"type":"UPSERT_ENTITY","blueprintIdentifier":"` + blueprint + `","mapping":{"identifier":"x","properties":{"n":"{{ .event.diff.after.properties.n + 1 }}"}}}`
	}
	for _, a := range [][3]string{
		{"to-pong", `"type":"ANY_ENTITY_CHANGE","blueprintIdentifier":"ping"`, upsert("pong")},
		{"to-ping", `"type":"ANY_ENTITY_CHANGE","blueprintIdentifier":"pong"`, upsert("ping")},
		{"tell", `"type":"RUN_UPDATED","actionIdentifier":"to-pong"`, `{"type":"WEBHOOK","synchronized":true,"url":"` + target.URL + `/told",
			"body":{"of":"{{ .event.diff.after.id }}","was":"{{ .event.diff.before.status }}","is":"{{ .event.diff.after.status }}"}}`},
	} {
		condition := ""
		if a[0] == "tell" {
			condition = `,"condition":{"type":"JQ","expressions":[".diff.before.status != .diff.after.status"]}`
		}
		q.call("POST", "/v1/actions", `{"identifier":"`+a[0]+`","trigger":{"type":"automation","event":{`+a[1]+`}`+condition+`},"invocationMethod":`+a[2]+`}`)
	}
	q.call("POST", "/v1/blueprints/ping/entities", `{"identifier":"x","properties":{"n":0}}`)

	// runs are those of automations that have ended, by status and label.
	runs := func() (ended map[string]int, active int, cut string) {
		ended = map[string]int{}
		for _, r := range q.call("GET", "/v1/actions/runs?source=AUTOMATION&limit=1000", "")["runs"].([]any) {
			r := r.(map[string]any)
			if r["status"] == "IN_PROGRESS" {
				active++
				continue
			}
			ended[fmt.Sprint(r["action"].(map[string]any)["identifier"], " ", r["status"])]++
			if r["status"] == "FAILURE" {
				cut = r["id"].(string)
			}
		}
		return ended, active, cut
	}
	// Five of each direction are delivered, then one to-pong is cut off; tell hears of the ends of five.
	want := map[string]int{"to-pong SUCCESS": 5, "to-ping SUCCESS": 5, "to-pong FAILURE": 1, "tell SUCCESS": 5}
	deadline := time.NewTimer(patience)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	var cut string
	for {
		ended, active, failed := runs()
		if cut = failed; fmt.Sprint(ended) == fmt.Sprint(want) && active == 0 {
			break
		}
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("runs that ended: %v, %d are active; want %v", ended, active, want)
		}
	}
	q.log(cut, "follows from 10 runs of automations")
	if r := q.call("GET", "/v1/actions/runs/"+cut, "")["run"].(map[string]any); r["statusLabel"] != "loop cut off" {
		t.Errorf("the run that was cut off is %v", r)
	}
	if n := q.call("GET", "/v1/blueprints/ping/entities/x", "")["entity"].(map[string]any)["properties"].(map[string]any)["n"]; n != 10.0 {
		t.Errorf("the entity has been written by %v runs, want ten", n)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told["/told"]) != 5 || !strings.Contains(told["/told"][0], `"was":"IN_PROGRESS","is":"SUCCESS"`) {
		t.Errorf("the webhook was told %q", told["/told"])
	}
	audits := q.call("GET", "/v1/audit-log?resources=entity&origin=AUTOMATION", "")["audits"].([]any)
	if len(audits) != 10 {
		t.Errorf("the audit log has %d changes by automations, want ten", len(audits))
	}
	// The begin of 16 and the end of 15; the entry of a change is written behind it.
	entries := map[string]int{}
	await(t, func() bool {
		clear(entries)
		for _, a := range q.call("GET", "/v1/audit-log?resources=run&limit=1000", "")["audits"].([]any) {
			a := a.(map[string]any)
			entries[fmt.Sprint(a["context"], a["action"], a["diff"].(map[string]any)["after"])]++
		}
		return len(entries) >= 31
	})
	// Whoever made a change and who was told of it have made one entry.
	for entry, n := range entries {
		if n != 1 {
			t.Errorf("%d entries of one change: %s", n, entry)
		}
	}
}

func TestAutomationsOnSQLite(t *testing.T) {
	t.Parallel()
	automate(t, local.WithChaos(config(t.TempDir())))
}

func TestAutomationsOnAWS(t *testing.T) { automate(t, onAWS(t)) }

// onAWS is the configuration of a process on DynamoDB and SQS, on tables of its own.
func onAWS(t *testing.T) local.Config {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": emulator.DynamoDB(t), "AWS_ENDPOINT_URL_SQS": emulator.SQS(t),
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
	} {
		t.Setenv(name, value)
	}
	c := config(t.TempDir())
	name := strconv.FormatInt(time.Now().UnixNano(), 36)
	c.AWS, c.AWSCreate, c.RunsTable, c.CatalogTable = true, true, "runs-automation-"+name, "catalog-automation-"+name
	return c
}
