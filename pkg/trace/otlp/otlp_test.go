package otlp_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"longshore/pkg/trace"
	"longshore/pkg/trace/otlp"
)

// collector keeps what it is sent, as the library of OpenTelemetry's own collector reads it.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	spans  []ptrace.Span
	header http.Header
	calls  int
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{status: http.StatusOK}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.calls++
		c.header = r.Header
		if r.URL.Path != "/otlp/v1/traces" || r.Method != http.MethodPost {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		w.WriteHeader(c.status)
		if c.status != http.StatusOK {
			return
		}
		var reader ptrace.JSONUnmarshaler
		traces, err := reader.UnmarshalTraces(body)
		if err != nil {
			t.Errorf("the collector cannot read %s: %v", body, err)
			return
		}
		for _, resource := range traces.ResourceSpans().All() {
			if name, _ := resource.Resource().Attributes().Get("service.name"); name.AsString() != "longshore" {
				t.Errorf("service.name is %q", name.AsString())
			}
			for _, scope := range resource.ScopeSpans().All() {
				for _, s := range scope.Spans().All() {
					c.spans = append(c.spans, s)
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func open(t *testing.T, c otlp.Config) (*otlp.Exporter, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	c.Log, c.Service, c.Version = slog.New(slog.NewTextHandler(&log, nil)), "longshore", "v1"
	e, err := otlp.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return e, &log
}

func TestSpansReachTheCollector(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	e, _ := open(t, otlp.Config{Endpoint: c.URL + "/otlp/", Headers: "x-key=a%20b, x-other=c"})
	client, _ := trace.Parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "foo=1")
	began := time.UnixMilli(1_700_000_000_000)
	_, span := e.Tracer().StartAt(trace.With(t.Context(), client), began, "call webhook", trace.Client,
		slog.String("text", "é\xff"), slog.Int("n", 1<<60), slog.Bool("yes", true), slog.Float64("f", 1.5))
	span.Fail("broken")
	span.End()
	_, root := e.Tracer().Start(t.Context(), "request", trace.Server)
	root.End()
	e.Flush(t.Context())
	if len(c.spans) != 2 {
		t.Fatalf("%d spans, want 2", len(c.spans))
	}
	s := c.spans[0]
	if s.TraceID().String() != client.ID() || s.ParentSpanID().String() != "b7ad6b7169203331" || s.SpanID().IsEmpty() ||
		s.TraceState().AsRaw() != "foo=1" || s.Name() != "call webhook" || s.Kind() != ptrace.SpanKindClient ||
		s.StartTimestamp().AsTime().UnixMilli() != began.UnixMilli() || s.EndTimestamp() <= s.StartTimestamp() ||
		s.Status().Code() != ptrace.StatusCodeError || s.Status().Message() != "broken" {
		t.Errorf("span %s %s of %s: %v", s.Name(), s.SpanID(), s.ParentSpanID(), s.Status().Code())
	}
	want := map[string]any{"text": "é\uFFFD", "n": int64(1 << 60), "yes": true, "f": 1.5}
	if diff := cmp.Diff(want, s.Attributes().AsRaw()); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if r := c.spans[1]; !r.ParentSpanID().IsEmpty() || r.Status().Code() != ptrace.StatusCodeUnset {
		t.Errorf("the first span of a trace has the parent %s", r.ParentSpanID())
	}
	if c.header.Get("X-Key") != "a b" || c.header.Get("X-Other") != "c" || c.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", c.header)
	}
	e.Flush(t.Context())
	if c.calls != 1 {
		t.Errorf("%d requests, want 1: nothing was left to send", c.calls)
	}
}

// A collector that is away for a while is left alone, and gets what was recorded meanwhile.
func TestCollectorIsAway(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	c.status = http.StatusServiceUnavailable
	now := time.Now()
	e, log := open(t, otlp.Config{Endpoint: c.URL + "/otlp", Headers: "x-key=very-secret", Now: func() time.Time { return now }})
	end := func() {
		_, span := e.Tracer().Start(t.Context(), "request", trace.Server)
		span.End()
		e.Flush(t.Context())
	}
	for range 20 {
		end()
	}
	if c.calls != 1 {
		t.Errorf("%d requests to a collector that is away, want 1 and a pause", c.calls)
	}
	c.status = http.StatusOK
	now = now.Add(time.Second)
	end()
	if len(c.spans) != 21 {
		t.Errorf("%d spans arrived, want all 21", len(c.spans))
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || strings.Contains(log.String(), "very-secret") || strings.Contains(log.String(), "/otlp") {
		t.Errorf("log of an outage, want one line without header and path:\n%s", log)
	}
}

// What a collector refuses for good, and what does not fit, is dropped: memory is bounded.
func TestSpansAreDropped(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	c.status = http.StatusBadRequest
	now := time.Now()
	e, log := open(t, otlp.Config{Endpoint: c.URL + "/otlp", Now: func() time.Time { return now }})
	for range 10_000 {
		_, span := e.Tracer().Start(t.Context(), "request", trace.Server)
		span.End()
	}
	e.Flush(t.Context())
	c.status = http.StatusOK
	now = now.Add(time.Minute)
	e.Flush(t.Context())
	// The newest of what was kept, without the batch that was refused.
	if n := len(c.spans); n == 0 || n > 4096 {
		t.Errorf("%d spans arrived, want some and at most 4,096", n)
	}
	if !strings.Contains(log.String(), "spans dropped") {
		t.Errorf("the log does not say that spans were dropped:\n%s", log)
	}
}

func TestCollectorHangs(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-released:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	defer close(released)
	e, log := open(t, otlp.Config{Endpoint: s.URL, Timeout: time.Hour})
	_, span := e.Tracer().Start(t.Context(), "request", trace.Server)
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	e.Flush(ctx)
	if !strings.Contains(log.String(), "spans not sent") {
		t.Errorf("log %q", log)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	if e, err := otlp.Open(otlp.Config{}); e != nil || err != nil || e.Tracer() != nil {
		t.Errorf("without an endpoint: %v, %v", e, err)
	}
	var none *otlp.Exporter
	none.Flush(t.Context())
	none.Run(t.Context())
	for _, c := range []otlp.Config{
		{Endpoint: "localhost:4318"},
		{Endpoint: "http://"},
		{Endpoint: "http://user:very-secret@host"},
		{Endpoint: "http://host?key=very-secret"},
		{Endpoint: "http://host", Headers: "very-secret"},
		{Endpoint: "http://host", Headers: "x=very-secret%zz"},
		{Endpoint: "http://host", Headers: "x=very-secret%0d%0ay"},
	} {
		if _, err := otlp.Open(c); err == nil || strings.Contains(err.Error(), "very-secret") {
			t.Errorf("Open(%+v): %v", c, err)
		}
	}
}
