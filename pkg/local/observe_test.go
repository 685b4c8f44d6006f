package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"longshore/pkg/local"
	"longshore/pkg/trace"
	"longshore/pkg/trace/otlp"
)

const (
	clientTrace  = "0af7651916cd43dd8448eb211c80319c"
	clientSpan   = "b7ad6b7169203331"
	clientParent = "00-" + clientTrace + "-" + clientSpan + "-01"
)

// logBuffer is written by many.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) lines(t *testing.T) (lines []map[string]any, text string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	text = l.b.String()
	for line := range strings.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		lines = append(lines, m)
	}
	return lines, text
}

// spans collects what a process sends to its collector.
type spans struct {
	*httptest.Server
	mu   sync.Mutex
	all  []ptrace.Span
	text bytes.Buffer
}

func newSpans(t *testing.T) *spans {
	t.Helper()
	s := &spans{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var reader ptrace.JSONUnmarshaler
		traces, err := reader.UnmarshalTraces(body)
		if err != nil {
			t.Errorf("the collector cannot read %s: %v", body, err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.text.Write(body)
		for _, resource := range traces.ResourceSpans().All() {
			for _, scope := range resource.ScopeSpans().All() {
				for _, span := range scope.Spans().All() {
					s.all = append(s.all, span)
				}
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// observed is a server whose log, spans and metrics are looked at.
type observed struct {
	*local.Server
	t   *testing.T
	url string
	log *logBuffer
	// token is a machine's.
	token string
}

func observe(t *testing.T, collector string) *observed {
	t.Helper()
	o := &observed{t: t, log: &logBuffer{}}
	c := config(t.TempDir())
	c.Log = slog.New(slog.NewJSONHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Collector = otlp.Config{Endpoint: collector}
	var err error
	if o.Server, err = local.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := o.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.url = "http://" + o.Addr()
	credentials := o.Credentials()
	var answer struct{ AccessToken string }
	o.do("POST", "/v1/auth/access_token", nil, fmt.Sprintf(`{"clientId":%q,"clientSecret":%q}`, credentials.ClientID, credentials.ClientSecret), &answer)
	o.token = answer.AccessToken
	return o
}

// do makes a request, which has to succeed, and returns the answer's header.
func (o *observed) do(method, path string, header http.Header, body string, into any) http.Header {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.url+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+o.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		o.t.Fatalf("%s %s: %s %s %v", method, path, resp.Status, text, err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			o.t.Fatal(err)
		}
	}
	return resp.Header
}

// start triggers the action "act" and returns the run's id.
func (o *observed) start(header http.Header) (id string, answered http.Header) {
	o.t.Helper()
	var answer struct{ Run struct{ ID string } }
	answered = o.do("POST", "/v1/actions/act/runs", header, `{"properties":{"n":"canary-input"}}`, &answer)
	return answer.Run.ID, answered
}

func (o *observed) stop() {
	o.t.Helper()
	if err := o.Stop(context.Background()); err != nil {
		o.t.Error(err)
	}
}

// count reads a counter, or the count of a histogram, summed over its series.
func (o *observed) count(name string) float64 {
	o.t.Helper()
	resp, err := http.Get(o.url + "/metrics") //nolint:noctx // the test's own server
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, want := resp.Header.Get("Content-Type"), "text/plain; version=0.0.4; charset=utf-8"; got != want {
		o.t.Errorf("Content-Type = %q, want %q", got, want)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		sum += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return sum
}

// await waits until a metric has come to a value: it is counted behind the write that others see.
func (o *observed) await(name string, want float64) {
	o.t.Helper()
	await(o.t, func() bool { return o.count(name) >= want })
	if got := o.count(name); got != want {
		o.t.Errorf("%s = %v, want %v", name, got, want)
	}
}

// A run's whole way is one trace, from the client's span over each step to the receiver, and every log
// line about the run can be found by the run's id and leads to the request or message that it is of.
func TestOneRunIsOneTraceAndItsLinesAreFound(t *testing.T) {
	t.Parallel()
	collector := newSpans(t)
	o := observe(t, collector.URL)
	received := make(chan http.Header, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received <- r.Header.Clone()
		_, _ = io.WriteString(w, `{"answer":"canary-answer"}`)
	}))
	defer receiver.Close()
	client := connect(t, o.url, o.Credentials())
	save(t, client, receiver.URL+"/canary-path?key=canary-query")
	id, answered := o.start(http.Header{
		"Traceparent": {clientParent}, "Tracestate": {"vendor=1"}, "X-Request-Id": {"client-42"}, "Idempotency-Key": {"canary-key"},
	})
	succeed(t, client, []string{id})
	got := <-received
	o.do("GET", "/v1/actions/runs/"+id, nil, "", nil)
	o.stop()

	collector.mu.Lock()
	defer collector.mu.Unlock()
	parents, names := map[string]string{}, map[string]string{}
	for _, s := range collector.all {
		if s.TraceID().String() == clientTrace {
			names[s.SpanID().String()] = s.Name()
		}
	}
	names[clientSpan] = "client"
	for _, s := range collector.all {
		if s.TraceID().String() != clientTrace {
			continue
		}
		parents[s.Name()] = names[s.ParentSpanID().String()]
		if s.TraceState().AsRaw() != "vendor=1" {
			t.Errorf("the state of %s is %q", s.Name(), s.TraceState().AsRaw())
		}
		if run, _ := s.Attributes().Get("longshore.run.id"); s.Name() != "queue webhook" && !strings.HasPrefix(s.Name(), "POST") && run.AsString() != id {
			t.Errorf("%s is of run %q, want %q", s.Name(), run.AsString(), id)
		}
	}
	want := map[string]string{
		"POST /v1/actions/{action_identifier}/runs": "client",
		"trigger":          "POST /v1/actions/{action_identifier}/runs",
		"queue webhook":    "trigger",
		"dispatch webhook": "queue webhook",
		"call webhook":     "dispatch webhook",
	}
	if diff := cmp.Diff(want, parents); diff != "" {
		t.Errorf("steps and what they belong to (-want +got):\n%s", diff)
	}
	sent, ok := trace.FromHeader(got)
	if !ok || sent.ID() != clientTrace || sent.State != "vendor=1" || names[fmt.Sprintf("%x", sent.SpanID)] != "call webhook" {
		t.Errorf("the receiver got %q, %q, want the trace at the call's span", got["Traceparent"], got["Tracestate"])
	}

	lines, text := o.log.lines(t)
	var told []string
	for _, l := range lines {
		whole, _ := json.Marshal(l)
		if !bytes.Contains(whole, []byte(id)) {
			continue
		}
		message := l["msg"].(string)
		told = append(told, message)
		if l["run_id"] != id {
			t.Errorf("run_id is not the run's: %s", whole)
		}
		if (l["request_id"] == nil) == (l["message_id"] == nil) {
			t.Errorf("a line is of a request or of a message: %s", whole)
		}
		if l["trace_id"] != clientTrace && l["method"] != "GET" {
			t.Errorf("trace_id is not the client's: %s", whole)
		}
		if _, timed := l["ms"].(float64); message == "attempt made" && !timed {
			t.Errorf("an attempt has no time in ms, as requests have: %s", whole)
		}
		if message == "run accepted" && (l["request_id"] != answered.Get("X-Request-Id") || l["client_request_id"] != "client-42") {
			t.Errorf("request ids %s, want %s and client-42", whole, answered.Get("X-Request-Id"))
		}
	}
	for _, must := range []string{"run accepted", "request", "attempt made"} {
		if !slices.Contains(told, must) {
			t.Errorf("no line %q about the run among %q", must, told)
		}
	}
	if answered.Get("X-Request-Id") == "client-42" {
		t.Error("the client chose the request's id")
	}
	for _, where := range []struct{ name, text string }{{"log", text}, {"spans", collector.text.String()}} {
		for _, canary := range []string{"canary", o.token, o.Credentials().ClientSecret} {
			if strings.Contains(where.text, canary) {
				t.Errorf("the %s has %q", where.name, canary)
			}
		}
	}
}

// A receiver gets a traceparent from a process that has no collector, for a client that sends none, and
// for one that sends nonsense; the next try that only the sweeper knows of has one as well.
func TestReceiversGetATrace(t *testing.T) {
	t.Parallel()
	o := observe(t, "")
	defer o.stop()
	received := make(chan http.Header, 2)
	answers := make(chan int, 2)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received <- r.Header.Clone()
		w.WriteHeader(<-answers)
	}))
	defer receiver.Close()
	client := connect(t, o.url, o.Credentials())
	save(t, client, receiver.URL)
	run := func(header http.Header) trace.Context {
		t.Helper()
		answers <- http.StatusOK
		id, _ := o.start(header)
		got := <-received
		succeed(t, client, []string{id})
		c, ok := trace.FromHeader(got)
		if !ok {
			t.Fatalf("the receiver got the traceparent %q", got["Traceparent"])
		}
		return c
	}
	if c := run(http.Header{"Traceparent": {clientParent}, "Tracestate": {"vendor=1"}}); c.Traceparent() != clientParent || c.State != "vendor=1" {
		t.Errorf("the client's trace was passed on as %s, %s", c.Traceparent(), c.State)
	}
	for name, header := range map[string]http.Header{
		"none":     nil,
		"zero":     {"Traceparent": {"00-00000000000000000000000000000000-b7ad6b7169203331-01"}, "Tracestate": {"vendor=1"}},
		"nonsense": {"Traceparent": {strings.Repeat("x", 8000)}},
		"two":      {"Traceparent": {clientParent, clientParent}},
	} {
		if c := run(header); c.ID() == clientTrace || c.State != "" || !c.Sampled {
			t.Errorf("%s: the receiver got %s, %q, want a new trace", name, c.Traceparent(), c.State)
		}
	}

	answers <- http.StatusServiceUnavailable
	id, _ := o.start(http.Header{"Traceparent": {clientParent}})
	if first, _ := trace.FromHeader(<-received); first.ID() != clientTrace {
		t.Errorf("the first try is of trace %s", first.ID())
	}
	// The outcome is written behind the answer.
	for {
		head, err := o.Head(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if !head.Delivery.NextTry.IsZero() {
			break
		}
	}
	answers <- http.StatusOK
	if err := o.MakeDue(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	second, _ := trace.FromHeader(<-received)
	if second.ID() != trace.Of(id).ID() && second.ID() != clientTrace {
		t.Errorf("the second try is of trace %s, want the run's own or the first one's", second.ID())
	}
	succeed(t, client, []string{id})
	for name, want := range map[string]float64{
		"longshore_runs_accepted_total": 6, "longshore_runs_delivered_total": 6, "longshore_runs_retried_total": 1, "longshore_runs_failed_total": 0,
		"longshore_runs_ended_total": 6, "longshore_delivery_age_seconds": 6, "longshore_call_time_seconds": 7,
	} {
		o.await(name, want)
	}
}

// Runs do not notice a collector that is gone or hangs.
func TestCollectorThatIsNoneHoldsUpNothing(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-released:
		case <-r.Context().Done():
		}
	}))
	defer hangs.Close()
	defer close(released)
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, url := range []string{hangs.URL, gone.URL} {
		rc := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ string, _ int) { _, _ = io.WriteString(w, "{}") })
		o := observe(t, url)
		client := connect(t, o.url, o.Credentials())
		save(t, client, rc.URL)
		succeed(t, client, trigger(t, client, 200))
		o.await("longshore_runs_delivered_total", 200)
		o.stop()
	}
}
