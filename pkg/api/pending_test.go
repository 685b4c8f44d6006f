package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/api"
	"longshore/pkg/fault"
	"longshore/pkg/run"
)

const (
	inside = `{"identifier":"inside","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"text":{"type":"string"}}}},` +
		`"invocationMethod":{"type":"WEBHOOK","url":"http://inside.example/{{ .inputs.text }}","agent":"{{ true }}","synchronized":"true",` +
		`"headers":{"X-Run":"{{ .run.id }}"},"body":{"text":"{{ .inputs.text }}"}}}`
	integration = `{"identifier":"ocean","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{}}},` +
		`"invocationMethod":{"type":"INTEGRATION_ACTION","installationId":"ocean-7","integrationActionType":"dispatch_workflow",` +
		`"integrationActionExecutionProperties":{"org":"o","repo":"r","workflow":"w"}}}`
	claimPath = "/v1/actions/runs/claim-pending"
	ackPath   = "/v1/actions/runs/ack"
	agents    = `{"installationId":"_PORT_EXEC_AGENT","invocationMethod":"WEBHOOK"`
)

// claim claims and returns the runs.
func (f *fixture) claim(body string) []map[string]any {
	f.t.Helper()
	runs := []map[string]any{}
	for _, r := range f.call("POST", claimPath, body, "x-port-reserved-usage", "true").want(200).list("runs") {
		runs = append(runs, r.(map[string]any))
	}
	return runs
}

func (f *fixture) startOf(action, properties string) string {
	f.t.Helper()
	return f.call("POST", "/v1/actions/"+action+"/runs", `{"properties":`+properties+`}`).want(202).at("run", "id").(string)
}

func TestAgentFetchesRuns(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f := newFixture(t, func(c *api.Config) { c.Now = func() time.Time { return now } })
	f.define(inside)
	f.define(deploy)
	f.start() // which is delivered
	first := f.startOf("inside", `{"text":"a"}`)
	// Runs of one millisecond are of one age.
	for at := time.Now().UnixMilli(); time.Now().UnixMilli() == at; {
		runtime.Gosched()
	}
	second := f.startOf("inside", `{"text":"b"}`)
	if g := f.call("GET", "/v1/actions/runs/"+first, "").want(200); g.at("run", "pendingExecution") != true || g.at("run", "installationId") != "_PORT_EXEC_AGENT" {
		t.Errorf("a run that waits is %s", g.text)
	}

	got := f.claim(agents + `,"limit":1}`)
	if len(got) != 1 || got[0]["id"] != first {
		t.Fatalf("claimed %v, want the older one, %s", got, first)
	}
	want := map[string]any{
		"type": "WEBHOOK", "url": "http://inside.example/a", "agent": true, "synchronized": true, "method": "POST",
		"headers": map[string]any{"X-Run": first}, "body": map[string]any{"text": "a"},
	}
	if diff := cmp.Diff(any(want), got[0]["payload"]); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	until := now.UTC().Truncate(time.Millisecond).Add(time.Minute).Format("2006-01-02T15:04:05.000Z")
	if got[0]["claimedUntil"] != until || got[0]["installationId"] != "_PORT_EXEC_AGENT" || got[0]["pendingExecution"] != true {
		t.Errorf("claimed run is %v, want it leased until %s", got[0], until)
	}
	if got := f.claim(agents + `,"visibilityTimeoutMs":1000}`); len(got) != 1 || got[0]["id"] != second {
		t.Errorf("claimed %v, want the other one", got)
	}
	if got := f.claim(agents + `}`); len(got) != 0 {
		t.Errorf("claimed %v, want none", got)
	}

	// The second one's lease lapses; it counts no more, and comes again.
	now = now.Add(time.Second)
	ack := `{"runIds":["` + first + `","` + second + `","` + first + `","r_0000000000000000","none"]}`
	if g := f.call("PATCH", ackPath, ack, "x-port-reserved-usage", "true").want(200); g.at("ackedCount") != 1.0 {
		t.Errorf("acknowledged %s, want 1", g.text)
	}
	if got := f.claim(agents + `}`); len(got) != 1 || got[0]["id"] != second {
		t.Errorf("claimed %v, want the one whose lease has lapsed", got)
	}

	// The agent reports, logs after the end, and fails twice.
	f.call("PATCH", "/v1/actions/runs/"+first+"/response", `{"response":{"n":[1.5,null]}}`).want(200)
	one := "/v1/actions/runs/" + first
	f.call("PATCH", one, `{"status":"FAILURE","summary":"no","externalRunId":"x"}`).want(200)
	f.call("PATCH", one, `{"status":"FAILURE"}`).fault(422, "run_already_ended")
	f.call("POST", one+"/logs", `{"message":"done"}`).want(201)
	g := f.call("GET", one, "").want(200)
	if diff := cmp.Diff(any(map[string]any{"n": []any{1.5, nil}}), g.at("run", "response")); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
	if g.at("run", "pendingExecution") != false || g.at("run", "claimedUntil") != nil {
		t.Errorf("ended run is %s", g.text)
	}
}

func TestIntegrationFetchesRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(integration)
	f.define(strings.Replace(integration, `"ocean"`, `"other"`, 1))
	id := f.startOf("ocean", `{}`)
	other := f.startOf("other", `{}`)
	if got := f.claim(agents + `}`); len(got) != 0 {
		t.Errorf("an agent gets %v", got)
	}
	got := f.claim(`{"installationId":"ocean-7","limit":5,"visibilityTimeoutMs":90000,"exclude":["other"]}`)
	if len(got) != 1 || got[0]["id"] != id {
		t.Fatalf("claimed %v, want %s", got, id)
	}
	payload := got[0]["payload"].(map[string]any)
	if payload["type"] != "INTEGRATION_ACTION" || payload["integrationActionType"] != "dispatch_workflow" {
		t.Errorf("payload %v", payload)
	}
	if g := f.call("PATCH", ackPath, `{"runId":"`+id+`"}`).want(200); g.at("ackedCount") != 1.0 {
		t.Errorf("acknowledged %s", g.text)
	}
	f.call("PATCH", ackPath, `{"runId":"`+id+`"}`).fault(409, "run_already_acknowledged")
	f.call("PATCH", ackPath, `{"runId":"`+other+`"}`).fault(409, "run_not_claimed")
	f.call("PATCH", ackPath, `{"runId":"r_0000000000000000"}`).fault(404, "not_found")
	f.call("PATCH", "/v1/actions/runs/"+id, `{"externalRunId":"gh_1"}`).want(200)
	if g := f.call("GET", "/v1/actions/runs?version=v2&external_run_id=gh_1", "").want(200); len(g.list("runs")) != 1 {
		t.Errorf("looked up %s", g.text)
	}
}

// A run whose installation rendered to none would wait for nobody.
func TestIntegrationWithoutInstallation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i, id := range []string{`{{ .inputs.none }}`, `{{ 7 }}`, ``, strings.Repeat("x", 1001)} {
		name := "ocean" + strconv.Itoa(i)
		f.define(strings.NewReplacer("ocean-7", id, `"ocean"`, `"`+name+`"`).Replace(integration))
		before := f.snapshot()
		g := f.call("POST", "/v1/actions/"+name+"/runs", `{"properties":{}}`)
		g.fault(422, "invalid_request")
		g.names("invocationMethod.installationId")
		f.unchanged(before)
	}
}

// counted counts the runs that are read.
type counted struct {
	run.Store
	read atomic.Int64
}

func (c *counted) Read(ctx context.Context, id string) (*run.Record, error) {
	c.read.Add(1)
	return c.Store.Read(ctx, id)
}

// What is too large for one answer is given back, most of it unread, and is the next claim's.
func TestClaimsFitOneAnswer(t *testing.T) {
	t.Parallel()
	var store *counted
	f := newFixture(t, func(c *api.Config) {
		store = &counted{Store: c.Runs}
		c.Runs = store
	})
	f.define(inside)
	const n = 20
	text := strings.Repeat("x", 300<<10)
	want := map[string]bool{}
	for range n {
		want[f.call("POST", "/v1/actions/inside/runs", `{"properties":{"text":"`+text+`"}}`).want(202).at("run", "id").(string)] = true
	}
	answers := 0
	for len(want) > 0 {
		store.read.Store(0)
		g := f.call("POST", claimPath, agents+`,"limit":100}`).want(200)
		if len(g.text) > api.MaxAnswer {
			t.Errorf("an answer has %d bytes", len(g.text))
		}
		if read := store.read.Load(); read > 16 {
			t.Errorf("%d runs were read for an answer of %d", read, len(g.list("runs")))
		}
		if len(g.list("runs")) == 0 {
			t.Fatalf("%d runs are not given out", len(want))
		}
		for _, r := range g.list("runs") {
			delete(want, r.(map[string]any)["id"].(string))
		}
		answers++
	}
	if answers < 2 {
		t.Errorf("%d answers", answers)
	}
}

func TestResponses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	long := strings.Repeat("é", run.MaxResponse)
	for name, c := range map[string]struct {
		response string
		want     any
	}{
		"null": {`null`, nil}, "number": {`1e-7`, 1e-7}, "string": {`"<ü>"`, "<ü>"}, "false": {`false`, false},
		"array": {`[1,{"a":[]}]`, []any{1.0, map[string]any{"a": []any{}}}},
		"long":  {`"` + long + `"`, `"` + long[:run.MaxResponse-2]},
	} {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			id := f.start()
			g := f.call("PATCH", "/v1/actions/runs/"+id+"/response", `{"response":`+c.response+`}`).want(200)
			if diff := cmp.Diff(c.want, g.at("run", "response")); diff != "" {
				t.Errorf("answered (-want +got):\n%.500s", diff)
			}
			g = f.call("GET", "/v1/actions/runs/"+id, "").want(200)
			if diff := cmp.Diff(c.want, g.at("run", "response")); diff != "" {
				t.Errorf("stored (-want +got):\n%.500s", diff)
			}
		})
	}
}

func TestAgentsAskForWorkflows(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, g := range []*got{
		f.call("POST", "/v1/workflows/runs/claim-pending", `{"installationId":"_PORT_EXEC_AGENT","limit":10}`),
		f.call("GET", "/v1/workflows/nodes/runs?x=1", ""),
	} {
		if len(g.want(200).list("nodeRuns")) != 0 {
			t.Errorf("got %s", g.text)
		}
	}
}

func TestKafkaCredentials(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) { c.AgentKafka = nil })
	f.call("GET", "/v1/kafka-credentials", "").fault(404, "kafka_not_configured")
	f = newFixture(t)
	g := f.call("GET", "/v1/kafka-credentials", "").want(200)
	want := map[string]any{"brokers": []any{"b:9092"}, "username": "agent", "password": "p"}
	if diff := cmp.Diff(any(want), g.at("credentials")); diff != "" {
		t.Errorf("credentials (-want +got):\n%s", diff)
	}
	f = newFixture(t, func(c *api.Config) {
		c.AgentKafka = func(context.Context) (*api.KafkaCredentials, error) {
			return nil, fault.Busy(errors.New("no answer"), 0, "the secrets cannot be read")
		}
	})
	f.call("GET", "/v1/kafka-credentials", "").fault(503, "unavailable")
}

// Nothing of a bad claim, acknowledgement or response is stored.
func TestBadInputOfAgents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(inside)
	id := f.startOf("inside", `{"text":"a"}`)
	response := "/v1/actions/runs/" + id + "/response"
	many, err := json.Marshal(make([]string, 101))
	if err != nil {
		t.Fatal(err)
	}
	before := f.snapshot()
	for name, c := range map[string]struct {
		method, target, body string
		status               int
		path                 string
	}{
		"no installation":              {"POST", claimPath, `{}`, 422, "installationId"},
		"empty installation":           {"POST", claimPath, `{"installationId":""}`, 422, "installationId"},
		"installation of a wrong type": {"POST", claimPath, `{"installationId":7}`, 422, "installationId"},
		"long installation":            {"POST", claimPath, `{"installationId":"` + strings.Repeat("x", 1001) + `"}`, 422, "installationId"},
		"limit 0":                      {"POST", claimPath, agents + `,"limit":0}`, 422, "limit"},
		"limit 101":                    {"POST", claimPath, agents + `,"limit":101}`, 422, "limit"},
		"limit 1.5":                    {"POST", claimPath, agents + `,"limit":1.5}`, 422, "limit"},
		"limit of a wrong type":        {"POST", claimPath, agents + `,"limit":"5"}`, 422, "limit"},
		"lease 0":                      {"POST", claimPath, agents + `,"visibilityTimeoutMs":0}`, 422, "visibilityTimeoutMs"},
		"lease over 600,000":           {"POST", claimPath, agents + `,"visibilityTimeoutMs":600001}`, 422, "visibilityTimeoutMs"},
		"exclude of a wrong type":      {"POST", claimPath, agents + `,"exclude":"a"}`, 422, "exclude"},
		"exclude with a number":        {"POST", claimPath, agents + `,"exclude":["a",1]}`, 422, "exclude"},
		"too many excluded":            {"POST", claimPath, agents + `,"exclude":` + string(many) + `}`, 422, "exclude"},
		"unknown method":               {"POST", claimPath, `{"installationId":"a","invocationMethod":"SMTP"}`, 422, "invocationMethod"},
		"unknown member":               {"POST", claimPath, agents + `,"more":1}`, 422, "more"},
		"claim is a list":              {"POST", claimPath, `[]`, 422, ""},
		"claim is no JSON":             {"POST", claimPath, `{`, 422, ""},
		"ack of nothing":               {"PATCH", ackPath, `{}`, 422, "runIds"},
		"ack of both":                  {"PATCH", ackPath, `{"runIds":[],"runId":"r"}`, 422, "runIds"},
		"ack of a wrong type":          {"PATCH", ackPath, `{"runIds":"r"}`, 422, "runIds"},
		"ack of a number":              {"PATCH", ackPath, `{"runId":1}`, 422, "runId"},
		"ack of too many":              {"PATCH", ackPath, `{"runIds":` + string(many) + `}`, 422, "runIds"},
		"ack with more":                {"PATCH", ackPath, `{"runIds":[],"more":1}`, 422, "more"},
		"no response":                  {"PATCH", response, `{}`, 422, "response"},
		"response and more":            {"PATCH", response, `{"response":1,"status":"SUCCESS"}`, 422, "status"},
		"response is a list":           {"PATCH", response, `[]`, 422, ""},
		"response of no run":           {"PATCH", "/v1/actions/runs/none/response", `{"response":1}`, 404, ""},
		"response over 1 MiB":          {"PATCH", response, `{"response":"` + strings.Repeat("x", api.MaxBody) + `"}`, 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			words := map[int]string{422: "invalid_request", 404: "not_found", 413: "payload_too_large"}
			g := f.call(c.method, c.target, c.body)
			g.fault(c.status, words[c.status])
			g.names(c.path)
			f.unchanged(before)
		})
	}
	if got := f.claim(agents + `}`); len(got) != 1 {
		t.Errorf("claimed %v, want the one run", got)
	}
}

// None is no fault: an agent need not look whether it has any.
func TestAckOfNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if g := f.call("PATCH", ackPath, `{"runIds":[]}`).want(http.StatusOK); g.at("ackedCount") != 0.0 {
		t.Errorf("got %s", g.text)
	}
}

// forgetful is a store whose definitions cannot be read for a while.
type forgetful struct {
	action.Store
	down bool
}

func (f *forgetful) Stamp(ctx context.Context) (int64, error) {
	if f.down {
		return 0, fault.Busy(errors.New("throttled"), 0, "the store is busy")
	}
	return f.Store.Stamp(ctx)
}

// A claim that cannot be answered leases nothing: the next one gets the run at once.
func TestClaimThatCannotBeAnswered(t *testing.T) {
	t.Parallel()
	var definitions *forgetful
	f := newFixture(t, func(c *api.Config) {
		definitions = &forgetful{Store: c.Actions}
		c.Cache = action.NewCache(definitions)
	})
	f.define(inside)
	id := f.startOf("inside", `{"text":"a"}`)
	definitions.down = true
	f.call("POST", claimPath, agents+`}`).fault(503, "unavailable")
	definitions.down = false
	if got := f.claim(agents + `}`); len(got) != 1 || got[0]["id"] != id {
		t.Errorf("claimed %v, want the run", got)
	}
}
