package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/api"
	"longshore/pkg/approval"
	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/dispatch"
	"longshore/pkg/identity"
	"longshore/pkg/identity/directory"
	"longshore/pkg/invocation"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/logline"
	"longshore/pkg/organization"
	"longshore/pkg/permission"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

const (
	clientID     = "client_1"
	clientSecret = "the-secret-of-the-client-of-the-tests"
)

// fixture is an API over real stores and a real trigger. Every answer that passes through it is
// checked against the OpenAPI document.
type fixture struct {
	t       *testing.T
	handler http.Handler
	// entities is the catalog behind the handler.
	entities *catalog.Service
	tokens   *identity.Tokens
	token    string
	stores
	sent  *outbox
	log   *buffer
	users identity.Users
}

// newFixture returns an API; change may change what it works with.
func newFixture(t testing.TB, change ...func(*api.Config)) *fixture {
	t.Helper()
	return newFixtureOn(t, openStores(t), change...)
}

func newFixtureOn(t testing.TB, s stores, change ...func(*api.Config)) *fixture {
	t.Helper()
	f := &fixture{stores: s, sent: &outbox{}, log: &buffer{}}
	// What fuzzes has a test of its own for each request, and calls the handler.
	f.t, _ = t.(*testing.T)
	f.tokens = newTokens(t, time.Now)
	var err error
	if f.token, err = f.tokens.Sign(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(logline.Handler(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	cache := action.NewCache(f.actions)
	entities := catalog.NewReader(f.catalog, nil)
	f.users = directory.New(entities, "org_1")
	judge := permission.New(permission.Config{Catalog: entities})
	c := api.Config{
		Tokens: &identity.Access{Tokens: f.tokens, Provider: provider{}, Users: f.users}, Actions: f.actions, Cache: cache, Runs: f.runs, Log: log,
		Catalog: catalog.NewService(f.catalog, time.Now), Audit: f.audit,
		Organization: organization.NewService(f.organization, newSealer(t)),
		Hosts:        hosts{}, Configured: func(backend string) bool { return backend == invocation.BackendWebhook },
		Starter: trigger.New(trigger.Config{
			Actions: cache, Entities: entities, Users: f.users, Runs: f.runs, Sender: f.sent, OrgID: "org_1", Log: log,
			Secrets: organization.NewVault(f.organization, newSealer(t)), Sealer: newSealer(t),
			Permissions: judge, Approvers: judge, ClientSecret: clientSecret,
			Accepter:   &trigger.StoreAndSend{Store: f.runs, Sender: f.sent, Log: log},
			Configured: func(backend string) bool { return backend == invocation.BackendWebhook },
		}),
	}
	c.Decider = approval.New(approval.Config{
		Runs: f.runs, Users: f.users, Send: f.sent, Log: log, Configured: func(backend string) bool { return backend == invocation.BackendWebhook },
	})
	c.Catalog.OnSlice(dispatch.SendSlices(f.sent, log))
	c.AgentKafka = func(context.Context) (*api.KafkaCredentials, error) {
		return &api.KafkaCredentials{Brokers: []string{"b:9092"}, Username: "agent", Password: "p"}, nil
	}
	for _, apply := range change {
		apply(&c)
	}
	f.entities = c.Catalog
	f.handler = api.New(c)
	return f
}

func newTokens(t testing.TB, now func() time.Time) *identity.Tokens {
	t.Helper()
	tokens, err := identity.NewTokens(identity.Config{
		OrgID: "org_1", ClientID: clientID, Secrets: []string{clientSecret},
		Key: bytes.Repeat([]byte("k"), identity.MinKey), Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// outbox keeps the messages that would be queued.
type outbox struct {
	mu       sync.Mutex
	messages []queue.Message
}

func (o *outbox) Send(_ context.Context, _ string, m queue.Message, _ time.Duration, _ string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.messages = append(o.messages, m)
	return nil
}

func (o *outbox) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.messages)
}

// buffer is a log that can be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// got is an answer.
type got struct {
	t      *testing.T
	status int
	header http.Header
	text   []byte
	// body is the decoded text.
	body map[string]any
}

// call sends a request with a token and returns the checked answer. Headers are name, value pairs;
// an Authorization among them replaces the token, an empty value removes the header.
func (f *fixture) call(method, target, body string, headers ...string) *got {
	f.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+f.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	return f.do(r, []byte(body))
}

// do sends a request as it is.
func (f *fixture) do(r *http.Request, body []byte) *got {
	f.t.Helper()
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	g := &got{t: f.t, status: w.Code, header: w.Header(), text: w.Body.Bytes()}
	checkAnswer(f.t, r, body, g)
	return g
}

// want fails the test unless the answer has that status.
func (g *got) want(status int) *got {
	g.t.Helper()
	if g.status != status {
		g.t.Fatalf("got status %d, want %d: %s", g.status, status, g.text)
	}
	return g
}

// fault fails the test unless the answer is a fault of that status and word, and returns its message.
func (g *got) fault(status int, word string) string {
	g.t.Helper()
	g.want(status)
	if g.body["ok"] != false || g.body["error"] != word {
		g.t.Fatalf("got %s, want the fault %s", g.text, word)
	}
	return g.body["message"].(string)
}

// names fails the test unless a fault has a detail with a path; an empty one is none.
func (g *got) names(path string) {
	g.t.Helper()
	details, _ := g.body["details"].([]any)
	for _, d := range details {
		if d.(map[string]any)["path"] == path {
			return
		}
	}
	if path != "" {
		g.t.Errorf("got %.500s, want a detail with the path %s", g.text, path)
	}
}

// namesAll fails the test unless the paths of a fault's details are these, which are sorted.
func (g *got) namesAll(want []string) {
	g.t.Helper()
	var paths []string
	details, _ := g.body["details"].([]any)
	for _, d := range details {
		paths = append(paths, d.(map[string]any)["path"].(string))
	}
	if diff := cmp.Diff(want, sorted(paths)); diff != "" {
		g.t.Errorf("paths (-want +got):\n%s\n%s", diff, g.text)
	}
}

// at returns the value at a path of member names.
func (g *got) at(path ...string) any {
	g.t.Helper()
	var v any = g.body
	for _, name := range path {
		object, isObject := v.(map[string]any)
		if !isObject {
			g.t.Fatalf("there is no %s in %s", strings.Join(path, "."), g.text)
		}
		v = object[name]
	}
	return v
}

func (g *got) list(name string) []any {
	g.t.Helper()
	list, isList := g.body[name].([]any)
	if !isList {
		g.t.Fatalf("there is no list %s in %s", name, g.text)
	}
	return list
}

// document is the API's own document, in which objects have the members that are listed and no others,
// so that a member that is not documented is found.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(api.Document())
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	closed := map[*openapi3.Schema]bool{}
	for _, s := range doc.Components.Schemas {
		closeSchema(s, closed)
	}
	for _, item := range doc.Paths.Map() {
		for _, o := range item.Operations() {
			for _, r := range o.Responses.Map() {
				for _, m := range r.Value.Content {
					closeSchema(m.Schema, closed)
				}
			}
		}
	}
	return doc, nil
})

// documentRouter finds operations in the document, in another way than the API finds its routes.
var documentRouter = sync.OnceValues(func() (routers.Router, error) {
	doc, err := document()
	if err != nil {
		return nil, err
	}
	return legacy.NewRouter(doc)
})

func closeSchema(ref *openapi3.SchemaRef, closed map[*openapi3.Schema]bool) {
	if ref == nil || closed[ref.Value] {
		return
	}
	s := ref.Value
	closed[s] = true
	if len(s.Properties) > 0 && s.AdditionalProperties.Has == nil && s.AdditionalProperties.Schema == nil {
		no := false
		s.AdditionalProperties.Has = &no
	}
	for _, p := range s.Properties {
		closeSchema(p, closed)
	}
	for _, list := range []openapi3.SchemaRefs{s.OneOf, s.AnyOf, s.AllOf} {
		for _, p := range list {
			closeSchema(p, closed)
		}
	}
	closeSchema(s.Items, closed)
}

// checkAnswer checks an answer, and the request behind a good one, against the document.
func checkAnswer(t *testing.T, r *http.Request, body []byte, g *got) {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	if g.header.Get("X-Request-Id") == "" {
		t.Errorf("%s %s: no X-Request-Id in the answer", r.Method, r.URL)
	}
	if r.Method == http.MethodHead {
		return
	}
	if strings.HasPrefix(g.header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(g.text, &g.body); err != nil {
			t.Fatalf("%s %s: got %d %q, which is no JSON object: %v", r.Method, r.URL, g.status, g.text, err)
		}
	}
	router, err := documentRouter()
	if err != nil {
		t.Fatal(err)
	}
	lookup := httptest.NewRequest(r.Method, r.URL.String(), nil)
	route, params, err := router.FindRoute(lookup)
	// That router is kinder than ours to paths that are not clean.
	if err != nil || g.status == http.StatusMethodNotAllowed || g.body["message"] == "there is no such route" {
		var unknown *routers.RouteError
		if !errors.As(err, &unknown) && err != nil {
			t.Fatal(err)
		}
		if err := doc.Components.Schemas["Fault"].Value.VisitJSON(g.body); err != nil {
			t.Errorf("%s %s: got %d %s, which is no fault: %v", r.Method, r.URL, g.status, g.text, err)
		}
		return
	}
	input := &openapi3filter.RequestValidationInput{
		Request: lookup, PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
			// Parameters that are none count as absent; the document says so in prose only.
			ExcludeRequestQueryParams: true,
		},
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: g.status, Header: g.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), answer.SetBodyBytes(g.text)); err != nil {
		t.Errorf("%s %s: the document does not allow the answer %d %s: %v", r.Method, r.URL, g.status, g.text, err)
	}
	if g.status < 300 {
		lookup.Header = r.Header
		lookup.Body = http.NoBody
		if len(body) > 0 {
			lookup.Body = readCloser{bytes.NewReader(body)}
			lookup.ContentLength = int64(len(body))
		}
		if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
			t.Errorf("%s %s: the document does not allow the request %s: %v", r.Method, r.URL, body, err)
		}
	}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// Definitions for tests.
const (
	deploy = `{"identifier":"deploy","title":"Deploy","trigger":{"type":"self-service","operation":"CREATE",` +
		`"userInputs":{"properties":{"service":{"type":"string"},"count":{"type":"number"}},"required":["service"]}},` +
		`"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/hook","body":{"service":"{{ .inputs.service }}"}}}`
	kafka = `{"identifier":"publish","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{}}},` +
		`"invocationMethod":{"type":"KAFKA","payload":{"a":1}}}`
	older = `{"identifier":"older","title":"Older","userInputs":{"properties":{}},"trigger":"CREATE",` +
		`"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/older"}}`
	automation = `{"identifier":"watch","trigger":{"type":"automation","event":{"type":"RUN_UPDATED","actionIdentifier":"deploy"}},` +
		`"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/watch"},"publish":true}`
)

// define creates an action.
func (f *fixture) define(definition string) *got {
	f.t.Helper()
	return f.call("POST", "/v1/actions", definition).want(http.StatusCreated)
}

// start creates the action deploy, unless it is there, and starts a run of it.
func (f *fixture) start() string {
	f.t.Helper()
	if f.call("GET", "/v1/actions/deploy", "").status == http.StatusNotFound {
		f.define(deploy)
	}
	g := f.call("POST", "/v1/actions/deploy/runs", `{"properties":{"service":"shop"}}`).want(http.StatusAccepted)
	return g.at("run", "id").(string)
}

// move changes a run as another part of the deployment would.
func (f *fixture) move(id string, move func(*run.Run) error) {
	f.t.Helper()
	_, err := f.runs.Update(context.Background(), id, func(r *run.Run) (*run.Write, error) {
		return &run.Write{}, move(r)
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// snapshot is all that is stored and sent.
type snapshot struct {
	Actions []*action.Record
	Runs    []*run.Record
	Logs    []*run.Log
	Sent    int
	// Blueprints and Entities are the whole catalog.
	Blueprints []*catalog.Blueprint
	Entities   []*catalog.Entity
	Settings   *organization.Settings
	Secrets    []*organization.Secret
	Audits     []*audit.Entry
	// Raw is everything as it is stored.
	Raw []string
}

func (f *fixture) snapshot() snapshot {
	f.t.Helper()
	ctx := context.Background()
	var s snapshot
	var err error
	if s.Actions, err = f.actions.List(ctx); err != nil {
		f.t.Fatal(err)
	}
	page, err := f.runs.List(ctx, run.Filter{Limit: 1000})
	if err != nil {
		f.t.Fatal(err)
	}
	s.Runs = page.Runs
	for _, r := range page.Runs {
		lines, err := f.runs.Logs(ctx, r.ID, run.LogQuery{Limit: 50})
		if err != nil {
			f.t.Fatal(err)
		}
		s.Logs = append(s.Logs, lines...)
	}
	s.Sent = f.sent.count()
	if s.Settings, err = f.organization.Settings(ctx); err != nil {
		f.t.Fatal(err)
	}
	if s.Secrets, err = f.organization.Secrets(ctx); err != nil {
		f.t.Fatal(err)
	}
	if s.Blueprints, err = f.catalog.Blueprints(ctx); err != nil {
		f.t.Fatal(err)
	}
	for _, b := range s.Blueprints {
		page, err := f.catalog.List(ctx, b.ID, "", 1000)
		if err != nil {
			f.t.Fatal(err)
		}
		s.Entities = append(s.Entities, page.Entities...)
	}
	entries, err := f.audit.List(ctx, audit.Filter{Limit: 1000})
	if err != nil {
		f.t.Fatal(err)
	}
	s.Audits = entries.Entries
	s.Raw = f.raw(f.t)
	return s
}

// unchanged fails the test if anything was stored or sent since.
func (f *fixture) unchanged(before snapshot) {
	f.t.Helper()
	if diff := cmp.Diff(before, f.snapshot()); diff != "" {
		f.t.Errorf("something was stored (-before +after):\n%s", diff)
	}
}

// encoded is a value as JSON text.
func encoded(v any) string { return string(jqtemplate.Encode(v)) }
