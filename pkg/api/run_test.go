package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api"
	"longshore/pkg/identity"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

func TestStartRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(deploy)
	g := f.call("POST", "/v1/actions/deploy/runs", `{"properties":{"service":"shop","count":2}}`).want(http.StatusAccepted)
	started := maps.Clone(g.at("run").(map[string]any))
	milliseconds := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
	for _, name := range []string{"createdAt", "updatedAt"} {
		if !milliseconds.MatchString(started[name].(string)) {
			t.Errorf("got %s %v, want RFC 3339 with milliseconds", name, started[name])
		}
		delete(started, name)
	}
	id := started["id"].(string)
	delete(started, "id")
	user := started["user"].(map[string]any)
	if user["id"] != clientID || user["email"] != nil {
		t.Errorf("got user %v", user)
	}
	delete(started, "user")
	payload := started["payload"].(map[string]any)
	if payload["type"] != "WEBHOOK" || payload["url"] != "https://example.com/hook" || !cmp.Equal(payload["body"], any(map[string]any{"service": "shop"})) {
		t.Errorf("got payload %v", payload)
	}
	delete(started, "payload")
	want := map[string]any{
		"status": "IN_PROGRESS", "statusLabel": nil,
		"action":    map[string]any{"identifier": "deploy", "title": "Deploy", "icon": nil, "deleted": false},
		"blueprint": nil, "entity": nil,
		"properties": map[string]any{"service": "shop", "count": 2.0},
		"source":     "API", "requiredApproval": false, "approval": nil,
		"generation": 1.0, "waiting": nil, "userId": clientID, "createdBy": clientID,
	}
	delete(started, "updatedBy")
	if diff := cmp.Diff(want, started); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
	read := f.call("GET", "/v1/actions/runs/"+id+"?version=v1", "").want(200)
	if diff := cmp.Diff(g.at("run"), read.at("run")); diff != "" {
		t.Errorf("GET answers another run (-POST +GET):\n%s", diff)
	}
	if f.sent.count() != 1 {
		t.Errorf("got %d messages, want 1", f.sent.count())
	}
}

func TestStartRunOfABackendThatIsNotConfigured(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(kafka)
	g := f.call("POST", "/v1/actions/publish/runs", `{}`).want(http.StatusAccepted)
	if g.at("run", "status") != "IN_PROGRESS" || g.at("run", "waiting") == nil {
		t.Errorf("got %s, want a run that waits", g.text)
	}
	if f.sent.count() != 0 {
		t.Error("a message was sent")
	}
	id := g.at("run", "id").(string)
	if logs := f.call("GET", "/v1/actions/runs/"+id+"/logs", "").want(200).list("runLogs"); len(logs) != 1 {
		t.Errorf("got log %v, want a line that says why", logs)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(deploy)
	const body, path = `{"properties":{"service":"a","count":1}}`, "/v1/actions/deploy/runs"
	first := f.call("POST", path, body, "Idempotency-Key", "key 1").want(http.StatusAccepted)
	if first.header.Get("Idempotent-Replayed") != "" {
		t.Error("the first answer says that it is a repeated one")
	}
	again := f.call("POST", path, ` { "properties" : {"count":1.0,"service":"a"} }`, "Idempotency-Key", "key 1").want(http.StatusOK)
	if again.header.Get("Idempotent-Replayed") != "true" || again.at("run", "id") != first.at("run", "id") {
		t.Errorf("got %v and %s, want the first run again", again.header, again.text)
	}
	f.call("POST", path, `{"properties":{"service":"b"}}`, "Idempotency-Key", "key 1").fault(422, "idempotency_key_reused")
	other := f.call("POST", path, body, "Idempotency-Key", "key 2").want(http.StatusAccepted)
	if other.at("run", "id") == first.at("run", "id") {
		t.Error("another key answers the same run")
	}
	if f.sent.count() != 2 {
		t.Errorf("got %d messages, want 2", f.sent.count())
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(strings.Replace(deploy, `"{{ .inputs.service }}"`, `"{{ .inputs.service }} {{ .inputs | error }} {{ .a | }}"`, 1))
	before := f.snapshot()
	g := f.call("POST", "/v1/actions/deploy/runs?dry_run=true", `{"properties":{"service":"a<b"}}`, "Idempotency-Key", "k").want(http.StatusOK)
	if g.at("invocation", "type") != "WEBHOOK" || g.at("triggerData", "inputs", "service") != "a<b" {
		t.Errorf("got %s", g.text)
	}
	if !strings.Contains(string(g.text), "a<b") {
		t.Errorf("got %s, want no escapes for HTML", g.text)
	}
	if len(g.list("failedExpressions")) == 0 || len(g.list("warnings")) != 1 {
		t.Errorf("got %s, want a failed expression and a warning", g.text)
	}
	f.call("POST", "/v1/actions/deploy/runs?dry_run=true", `{"properties":{}}`).fault(422, "invalid_request")
	// One that is not understood starts no run.
	for _, query := range []string{"?dry_run=1", "?dry_run=True", "?dry_run=", "?dry_run"} {
		f.call("POST", "/v1/actions/deploy/runs"+query, `{"properties":{"service":"b"}}`).fault(422, "invalid_request")
	}
	f.unchanged(before)
	// The key was not bound.
	f.call("POST", "/v1/actions/deploy/runs?dry_run=false", `{"properties":{"service":"b"}}`, "Idempotency-Key", "k").want(http.StatusAccepted)
}

func TestPatchRun(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		patch string
		want  map[string]any
	}{
		"nothing":               {`{}`, map[string]any{"status": "IN_PROGRESS"}},
		"label":                 {`{"statusLabel":"at work"}`, map[string]any{"statusLabel": "at work", "status": "IN_PROGRESS"}},
		"label, longest":        {`{"statusLabel":"` + strings.Repeat("é", 150) + `"}`, map[string]any{"statusLabel": strings.Repeat("é", 150)}},
		"no change of status":   {`{"status":"IN_PROGRESS","summary":"s"}`, map[string]any{"status": "IN_PROGRESS", "summary": "s"}},
		"a link":                {`{"link":"https://example.com/?a=1&b=<2>"}`, map[string]any{"link": "https://example.com/?a=1&b=<2>"}},
		"links":                 {`{"link":["https://a.example","https://b.example"]}`, map[string]any{"link": []any{"https://a.example", "https://b.example"}}},
		"no links":              {`{"link":[]}`, map[string]any{"link": []any{}}},
		"twenty links":          {`{"link":["` + strings.Repeat(`x","`, 19) + strings.Repeat("é", 2000) + `"]}`, nil},
		"external id":           {`{"externalRunId":"42"}`, map[string]any{"externalRunId": "42"}},
		"summary, longest":      {`{"summary":"` + strings.Repeat("s", 64<<10) + `"}`, map[string]any{"summary": strings.Repeat("s", 64<<10)}},
		"deprecated message":    {`{"message":{"a":[1]},"statusLabel":"x"}`, map[string]any{"statusLabel": "x"}},
		"null changes nothing":  {`{"status":null,"link":null,"summary":null,"statusLabel":null,"message":null,"externalRunId":null}`, map[string]any{"status": "IN_PROGRESS"}},
		"the last member wins":  {`{"statusLabel":"a","statusLabel":"b"}`, map[string]any{"statusLabel": "b"}},
		"success":               {`{"status":"SUCCESS","summary":"done"}`, map[string]any{"status": "SUCCESS", "summary": "done"}},
		"failure with a reason": {`{"status":"FAILURE","statusLabel":"no space"}`, map[string]any{"status": "FAILURE", "statusLabel": "no space"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := f.start()
			g := f.call("PATCH", "/v1/actions/runs/"+id, test.patch).want(http.StatusOK)
			for name, want := range test.want {
				if diff := cmp.Diff(want, g.at("run", name)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			status := g.at("run", "status")
			if ended := g.at("run", "endedAt") != nil; ended != (status != "IN_PROGRESS") {
				t.Errorf("got endedAt %v with status %v", g.at("run", "endedAt"), status)
			}
			if g.at("run", "updatedBy") != clientID {
				t.Errorf("got updatedBy %v", g.at("run", "updatedBy"))
			}
			read := f.call("GET", "/v1/actions/runs/"+id, "").want(200)
			if diff := cmp.Diff(g.at("run"), read.at("run")); diff != "" {
				t.Errorf("GET (-PATCH +GET):\n%s", diff)
			}
		})
	}
}

func TestEndedRunTakesNoReports(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.start()
	f.call("PATCH", "/v1/actions/runs/"+id, `{"status":"SUCCESS"}`).want(200)
	before := f.snapshot()
	for _, patch := range []string{`{"status":"SUCCESS"}`, `{"status":"FAILURE"}`, `{"status":"IN_PROGRESS"}`, `{"summary":"late"}`, `{}`} {
		message := f.call("PATCH", "/v1/actions/runs/"+id, patch).fault(422, "run_already_ended")
		if !strings.Contains(message, id) || !strings.Contains(message, "SUCCESS") {
			t.Errorf("%s: got message %q", patch, message)
		}
	}
	f.call("POST", "/v1/actions/runs/"+id+"/logs", `{"message":"m","terminationStatus":"FAILURE"}`).fault(422, "run_already_ended")
	f.unchanged(before)
}

// However many writers race, one ends the run.
func TestRunEndsOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.start()
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			status := []string{"SUCCESS", "FAILURE"}[i%2]
			var g *got
			if i < 8 {
				g = f.call("PATCH", "/v1/actions/runs/"+id, `{"status":"`+status+`"}`)
			} else {
				g = f.call("POST", "/v1/actions/runs/"+id+"/logs", `{"message":"end","terminationStatus":"`+status+`"}`)
			}
			if g.status < 300 {
				won.Add(1)
			} else {
				g.fault(422, "run_already_ended")
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d writers ended the run, want 1", won.Load())
	}
}

func TestWaitingRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.start()
	f.move(id, func(r *run.Run) error { r.Status = run.WaitingForApproval; return nil })
	f.call("PATCH", "/v1/actions/runs/"+id, `{"summary":"x"}`).fault(422, "run_not_in_progress")
	f.call("PATCH", "/v1/actions/runs/"+id, `{"status":"SUCCESS"}`).fault(422, "run_not_in_progress")
	f.call("POST", "/v1/actions/runs/"+id+"/logs", `{"message":"m","terminationStatus":"SUCCESS"}`).fault(422, "run_not_in_progress")
	f.call("POST", "/v1/actions/runs/"+id+"/logs", `{"message":"m"}`).want(201)
	g := f.call("PATCH", "/v1/actions/runs/"+id, `{"status":"FAILURE"}`).want(200)
	if g.at("run", "status") != "FAILURE" {
		t.Errorf("got %s, want it withdrawn", g.text)
	}
}

func TestListRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(kafka)
	var ids []string
	for range 3 {
		ids = append(ids, f.start())
	}
	published := f.call("POST", "/v1/actions/publish/runs", `{}`).want(202).at("run", "id").(string)
	f.call("PATCH", "/v1/actions/runs/"+ids[0], `{"externalRunId":"ext 1","status":"SUCCESS"}`).want(200)
	newest := func(ids ...string) []string {
		list := slices.Clone(ids)
		slices.Sort(list)
		slices.Reverse(list)
		return list
	}
	all := newest(append(ids, published)...)
	tests := map[string]struct {
		query string
		want  []string
	}{
		"all":                     {"", all},
		"action":                  {"action=publish", []string{published}},
		"an unknown action":       {"action=none", nil},
		"active":                  {"active=true", newest(ids[1], ids[2], published)},
		"ended":                   {"active=false", []string{ids[0]}},
		"active is no boolean":    {"active=yes", all},
		"external id":             {"external_run_id=ext+1", []string{ids[0]}},
		"user":                    {"user_id=" + clientID, all},
		"another user":            {"user_id=usr_1", nil},
		"source":                  {"source=API", all},
		"sources":                 {"source=UI&source=API", all},
		"another source":          {"source=AUTOMATION", nil},
		"an unknown source":       {"source=NONE", nil},
		"blueprint":               {"blueprint=service", nil},
		"entity":                  {"entity=a%2Fb", nil},
		"filters together":        {"action=deploy&active=true&source=API", newest(ids[1], ids[2])},
		"older ones":              {"from=" + all[1], all[2:]},
		"version and unknown":     {"version=v2&x=y&run_id=", all},
		"a value no run can have": {"action=" + strings.Repeat("a", 5000), nil},
		"an entity of 400 bytes":  {"entity=" + strings.Repeat("a", 400), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := *f
			f.t = t
			g := f.call("GET", "/v1/actions/runs?"+test.query, "").want(200)
			var got []string
			for _, r := range g.list("runs") {
				got = append(got, r.(map[string]any)["id"].(string))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("runs (-want +got):\n%s", diff)
			}
			if g.at("next") != nil {
				t.Errorf("got next %v on the only page", g.at("next"))
			}
		})
	}
}

func TestListRunsInPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want := map[string]bool{}
	for range 5 {
		want[f.start()] = true
	}
	var from, last string
	for pages := 0; ; pages++ {
		if pages == 5 {
			t.Fatal("the list does not end")
		}
		g := f.call("GET", "/v1/actions/runs?limit=2&from="+from, "").want(200)
		for _, r := range g.list("runs") {
			id := r.(map[string]any)["id"].(string)
			if !want[id] || last != "" && id >= last {
				t.Errorf("got %s after %s: unknown, twice or out of order", id, last)
			}
			delete(want, id)
			last = id
		}
		if g.at("next") == nil {
			break
		}
		from = g.at("next").(string)
	}
	if len(want) > 0 {
		t.Errorf("%v were on no page", slices.Collect(maps.Keys(want)))
	}
}

// pages answers lists that hold more than the store's own limit, as a store may that stops late.
type pages struct {
	run.Store
	page *run.Page
}

func (p pages) List(context.Context, run.Filter) (*run.Page, error) { return p.page, nil }

func TestListRunsStaysBelowTheLargestAnswer(t *testing.T) {
	t.Parallel()
	page := &run.Page{Next: "r_0000000000000000"}
	properties := json.RawMessage(`{"a":"` + strings.Repeat("x", 900_000) + `"}`)
	for i := range 8 {
		id := fmt.Sprintf("r_000000%d000000000", 9-i)
		page.Runs = append(page.Runs, &run.Record{Run: &run.Run{ID: id, Generation: 1, Status: run.InProgress, Source: "API"}, Body: run.Body{Properties: properties}})
	}
	f := newFixture(t, func(c *api.Config) { c.Runs = pages{c.Runs, page} })
	g := f.call("GET", "/v1/actions/runs", "").want(200)
	if len(g.text) > api.MaxAnswer || len(g.text) < api.MaxAnswer-1_000_000 {
		t.Errorf("got %d bytes, want a little less than %d", len(g.text), api.MaxAnswer)
	}
	list := g.list("runs")
	if last := list[len(list)-1].(map[string]any)["id"]; g.at("next") != last {
		t.Errorf("got next %v, want the last run of the page, %v", g.at("next"), last)
	}
}

// A run that was accepted is answered, even if all that it has is more than an answer can hold.
func TestRunThatIsLargerThanAnAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(strings.Replace(deploy, "{{ .inputs.service }}", "{{ .inputs.service * 30000 }}", 1))
	body := `{"properties":{"service":"` + strings.Repeat("a", 30) + `","x":[` + strings.Repeat("1e20,", 190_000) + `1]}}`
	g := f.call("POST", "/v1/actions/deploy/runs", body).want(http.StatusAccepted)
	id := g.at("run", "id").(string)
	if g.at("run", "payload") != nil || g.at("run", "properties", "service") == nil {
		t.Errorf("got payload %.100v, want it left out, and the inputs", g.at("run", "payload"))
	}
	for _, q := range [][3]string{
		{"GET", "/v1/actions/runs/" + id, ""}, {"PATCH", "/v1/actions/runs/" + id, `{"summary":"` + strings.Repeat(`\u0001`, 64<<10) + `"}`},
		{"GET", "/v1/actions/runs", ""},
	} {
		if g := f.call(q[0], q[1], q[2]).want(200); len(g.text) > api.MaxAnswer {
			t.Errorf("%s %s: got %d bytes", q[0], q[1], len(g.text))
		}
	}
	f.call("POST", "/v1/actions/deploy/runs?dry_run=true", body).fault(422, "answer_too_large")
}

// A run that was reported on during its call, and whose dispatcher then died, is claimed by nobody
// again: its attempt reads as interrupted once the lease is over.
func TestAttemptOfAnEndedRunIsInterrupted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for lease, want := range map[time.Duration]bool{time.Minute: true, 100 * 365 * 24 * time.Hour: false} {
		id := f.start()
		f.move(id, func(r *run.Run) error {
			_, err := r.Claim(r.CreatedAt, r.Generation, "died", lease)
			return err
		})
		f.call("PATCH", "/v1/actions/runs/"+id, `{"status":"SUCCESS"}`).want(200)
		f.move(id, func(r *run.Run) error {
			if want {
				r.Delivery.Lease = r.CreatedAt
			}
			return nil
		})
		got := f.call("GET", "/v1/actions/runs/"+id+"/attempts", "").want(200).list("attempts")
		if len(got) != 1 || got[0].(map[string]any)["interrupted"] != want {
			t.Errorf("lease of %s: attempts %v, want interrupted %v", lease, got, want)
		}
	}
}

func TestAttemptsAndRedelivery(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.start()
	f.call("POST", "/v1/actions/runs/"+id+"/redeliver", "").fault(422, "run_not_redeliverable")
	if got := f.call("GET", "/v1/actions/runs/"+id+"/attempts", "").want(200).list("attempts"); len(got) != 0 {
		t.Errorf("got attempts %v before the first", got)
	}
	start := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	try := func(owner string, o run.Outcome) {
		t.Helper()
		f.move(id, func(r *run.Run) error {
			r.Delivery.NextTry = time.Time{}
			if _, err := r.Claim(start, r.Generation, owner, time.Minute); err != nil {
				return err
			}
			return r.Settle(start.Add(time.Second), r.Generation, owner, time.Hour, o)
		})
	}
	try("a", run.Outcome{Verdict: run.Retry, StatusCode: 503, Error: "status 503", Duration: 1500 * time.Millisecond, NextTry: start.Add(time.Minute)})
	try("b", run.Outcome{Verdict: run.Fail, Error: "connection refused", StatusLabel: "delivery failed"})
	attempts := func() []any {
		t.Helper()
		return f.call("GET", "/v1/actions/runs/"+id+"/attempts", "").want(200).list("attempts")
	}
	want := []any{
		map[string]any{
			"generation": 1.0, "number": 1.0, "startedAt": "2026-01-02T03:04:05.678Z", "durationMs": 1500.0, "statusCode": 503.0,
			"error": "status 503", "interrupted": false, "nextAttemptAt": "2026-01-02T03:05:05.678Z",
		},
		map[string]any{
			"generation": 1.0, "number": 2.0, "startedAt": "2026-01-02T03:04:05.678Z", "durationMs": 0.0, "statusCode": nil,
			"error": "connection refused", "interrupted": false, "nextAttemptAt": nil,
		},
	}
	if diff := cmp.Diff(want, attempts()); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	sent := f.sent.count()
	g := f.call("POST", "/v1/actions/runs/"+id+"/redeliver", "").want(http.StatusAccepted)
	if g.at("run", "status") != "IN_PROGRESS" || g.at("run", "generation") != 2.0 || g.at("run", "statusLabel") != nil || g.at("run", "endedAt") != nil {
		t.Errorf("got %s, want the run in its next generation", g.text)
	}
	if f.sent.count() != sent+1 {
		t.Errorf("got %d messages more, want 1", f.sent.count()-sent)
	}
	if diff := cmp.Diff(want, attempts()); diff != "" {
		t.Errorf("attempts of the closed generation (-want +got):\n%s", diff)
	}
	try("c", run.Outcome{Verdict: run.Succeed, StatusCode: 200})
	if got := attempts(); len(got) != 3 || got[2].(map[string]any)["generation"] != 2.0 {
		t.Errorf("got %v, want a third attempt, in generation 2", got)
	}
	f.call("POST", "/v1/actions/runs/"+id+"/redeliver", "").fault(422, "run_not_redeliverable")
	f.call("POST", "/v1/actions/runs/r_0000000000000000/redeliver", "").fault(404, "not_found")
	f.call("GET", "/v1/actions/runs/r_0000000000000000/attempts", "").fault(404, "not_found")
}

func TestRunWithAResponse(t *testing.T) {
	t.Parallel()
	for name, response := range map[string]string{"object": `{"a":[1,"<"]}`, "text": `"plain"`, "number": `1.50`, "null": `null`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := f.start()
			_, err := f.runs.Update(context.Background(), id, func(r *run.Run) (*run.Write, error) {
				r.HasResponse = true
				return &run.Write{Response: json.RawMessage(response)}, r.End(time.Now(), run.Own, run.Success, "")
			})
			if err != nil {
				t.Fatal(err)
			}
			g := f.call("GET", "/v1/actions/runs/"+id, "").want(200)
			if !strings.Contains(string(g.text), `"response":`+response) {
				t.Errorf("got %s, want the response %s", g.text, response)
			}
		})
	}
}

// starter records what it is asked.
type starter struct {
	api.Starter
	mu    sync.Mutex
	asked []trigger.Request
	err   error
}

func (s *starter) Start(_ context.Context, q trigger.Request) (*trigger.Started, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, q)
	return nil, s.err
}

func TestStartPassesTheRequestOn(t *testing.T) {
	t.Parallel()
	s := &starter{err: context.DeadlineExceeded}
	f := newFixture(t, func(c *api.Config) { c.Starter = s })
	f.call("POST", "/v1/actions/a%20b/runs?run_as="+url.QueryEscape("a+b@example.com"), `{"entity":"org/repo","properties":{"x":[1]}}`,
		"Idempotency-Key", strings.Repeat("k", 255)).fault(503, "unavailable")
	f.call("POST", "/v1/actions/deploy/runs", `{"entity":null,"properties":null}`).want(503)
	if len(s.asked) != 2 {
		t.Fatalf("got %d requests, want 2", len(s.asked))
	}
	q := s.asked[0]
	caller := identity.Caller{OrgID: "org_1", Machine: true, ID: clientID}
	if q.Caller != caller || q.Action != "a b" || q.Entity != "org/repo" || q.RunAs != "a+b@example.com" ||
		q.IdempotencyKey != strings.Repeat("k", 255) || encoded(q.Properties) != `{"x":[1]}` {
		t.Errorf("got %+v", q)
	}
	if q := s.asked[1]; q.Properties != nil || q.Entity != "" || q.RunAs != "" || q.IdempotencyKey != "" {
		t.Errorf("got %+v, want it empty", q)
	}
}
