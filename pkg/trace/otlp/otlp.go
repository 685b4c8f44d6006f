// Package otlp sends the steps of traces to a collector of OpenTelemetry, by OTLP over HTTP.
//
// It promises that a collector that is slow, wrong or gone slows nothing down and loses nothing but
// spans, and that no error has the value of a header.
//
// The SDK of OpenTelemetry is not used: its exporter lengthens a function's start by about a fifth and
// its binary by 7.7 MB, for a protocol that is one JSON document (opentelemetry-proto, "JSON Protobuf
// Encoding").
package otlp

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"longshore/pkg/trace"
)

// Config is how spans reach a collector.
type Config struct {
	// Endpoint is the base URL of a collector that takes OTLP over HTTP, without /v1/traces; empty for none
	// (OpenTelemetry, "OTLP Exporter Configuration": OTEL_EXPORTER_OTLP_ENDPOINT).
	Endpoint string
	// Headers are sent along, k=v,… with percent-encoded values (OTEL_EXPORTER_OTLP_HEADERS). They may
	// hold a credential.
	Headers string
	// Service and Version say whose spans they are.
	Service, Version string
	// Timeout bounds one request to the collector; 0 means 10 s.
	Timeout time.Duration
	Log     *slog.Logger
	// Now is for tests.
	Now func() time.Time
}

const (
	// maxKept is how many spans wait for the collector; the oldest are dropped first.
	maxKept = 4096
	// maxBatch is how many are sent at once.
	maxBatch = 512
	// every is how often Run sends.
	every = time.Second
	// minPause and maxPause bound how long a collector that failed is left alone.
	minPause, maxPause = time.Second, 30 * time.Second
)

// Exporter keeps spans and sends them. A nil one, which has no collector, does nothing.
type Exporter struct {
	c       Config
	url     string
	headers http.Header
	client  *http.Client

	// sending is held by who sends; mu by who touches what follows.
	sending sync.Mutex
	mu      sync.Mutex
	kept    []record
	dropped int
	// pause is how long the collector is left alone, until resume; 0 while it works.
	pause  time.Duration
	resume time.Time
}

// Open returns an exporter, nil without an endpoint. The endpoint is the operator's
// own, so that it may be a private address; redirects and proxies of the environment are not followed.
func Open(c Config) (*Exporter, error) {
	if c.Endpoint == "" {
		return nil, nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT must be a URL, http or https with a host, without credentials and query")
	}
	e := &Exporter{c: c, url: u.JoinPath("v1", "traces").String(), headers: http.Header{}}
	for pair := range strings.SplitSeq(c.Headers, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !found || name == "" || err != nil || strings.ContainsAny(name+value, "\r\n\x00") {
			return nil, errors.New("OTEL_EXPORTER_OTLP_HEADERS must be name=value pairs, separated by commas, with percent-encoded values")
		}
		e.headers.Set(name, value)
	}
	e.headers.Set("Content-Type", "application/json")
	e.headers.Set("User-Agent", "Longshore/"+c.Version)
	if e.c.Now == nil {
		e.c.Now = time.Now
	}
	if e.c.Timeout == 0 {
		e.c.Timeout = 10 * time.Second
	}
	e.client = &http.Client{
		Transport:     &http.Transport{IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 5 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return e, nil
}

// Tracer returns what makes spans for the exporter; nil for a nil one.
func (e *Exporter) Tracer() *trace.Tracer {
	if e == nil {
		return nil
	}
	return trace.NewTracer(e.add)
}

// add keeps a span for the next Flush.
func (e *Exporter) add(s trace.Step) {
	r := encode(s)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.kept) >= maxKept {
		e.kept = append(e.kept[:0], e.kept[maxBatch:]...)
		e.dropped += maxBatch
	}
	e.kept = append(e.kept, r)
}

// Run sends what is recorded every second until ctx ends, and then once more.
func (e *Exporter) Run(ctx context.Context) {
	if e == nil {
		return
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			e.Flush(last)
			return
		case <-ticker.C:
			e.Flush(ctx)
		}
	}
}

// Flush sends what is recorded. It returns when it is sent, when the collector failed, or when ctx ends;
// at once while a collector that failed is left alone, or somebody else is sending.
func (e *Exporter) Flush(ctx context.Context) {
	if e == nil || !e.sending.TryLock() {
		return
	}
	defer e.sending.Unlock()
	for {
		e.mu.Lock()
		if len(e.kept) == 0 || e.pause > 0 && e.c.Now().Before(e.resume) {
			e.mu.Unlock()
			return
		}
		n := min(len(e.kept), maxBatch)
		batch := append([]record(nil), e.kept[:n]...)
		e.kept = append(e.kept[:0], e.kept[n:]...)
		dropped := e.dropped
		e.dropped = 0
		e.mu.Unlock()
		if dropped > 0 {
			e.c.Log.WarnContext(ctx, "spans dropped: the collector does not take them fast enough", slog.Int("spans", dropped))
		}
		again, err := e.send(ctx, batch)
		if !e.settle(ctx, batch, again, err) {
			return
		}
	}
}

// settle takes notice of what became of a batch and reports whether to go on.
func (e *Exporter) settle(ctx context.Context, batch []record, again bool, err error) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		e.pause = 0
		return true
	}
	if e.pause == 0 {
		// Once an outage.
		e.c.Log.WarnContext(ctx, "spans not sent to the collector", slog.String("reason", err.Error()))
	}
	e.pause = min(max(2*e.pause, minPause), maxPause)
	e.resume = e.c.Now().Add(e.pause)
	if again && len(e.kept)+len(batch) <= maxKept {
		e.kept = append(batch, e.kept...)
	} else {
		e.dropped += len(batch)
	}
	return false
}

// send makes one request. Again says that the same spans may be sent later (OTLP, "Retryable Response
// Codes"). The error has no header and no more of the URL than its host.
func (e *Exporter) send(ctx context.Context, batch []record) (again bool, err error) {
	body, err := json.Marshal(document{[]resourceSpans{{
		Resource:   resource{[]keyValue{text("service.name", e.c.Service), text("service.version", e.c.Version)}},
		ScopeSpans: []scopeSpans{{Scope: scope{"longshore"}, Spans: batch}},
	}}})
	if err != nil {
		return false, fmt.Errorf("encode spans: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, e.c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("the collector's URL is not valid")
	}
	req.Header = e.headers.Clone()
	resp, err := e.client.Do(req)
	if err != nil {
		// The client's error begins with the URL.
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return true, fmt.Errorf("call %s: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return false, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	return again, fmt.Errorf("%s answers %d", req.URL.Host, resp.StatusCode)
}

// The document of one request, by the names of OTLP's JSON. Ids are hexadecimal there, 64-bit numbers
// strings.
type (
	document struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   resource     `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	resource struct {
		Attributes []keyValue `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope    `json:"scope"`
		Spans []record `json:"spans"`
	}
	scope struct {
		Name string `json:"name"`
	}
	record struct {
		TraceID    string     `json:"traceId"`
		SpanID     string     `json:"spanId"`
		ParentID   string     `json:"parentSpanId,omitempty"`
		TraceState string     `json:"traceState,omitempty"`
		Flags      int        `json:"flags"`
		Name       string     `json:"name"`
		Kind       trace.Kind `json:"kind"`
		Start      string     `json:"startTimeUnixNano"`
		End        string     `json:"endTimeUnixNano"`
		Attributes []keyValue `json:"attributes,omitempty"`
		Status     *status    `json:"status,omitempty"`
	}
	status struct {
		Message string `json:"message,omitempty"`
		Code    int    `json:"code"`
	}
	keyValue struct {
		Key   string `json:"key"`
		Value value  `json:"value"`
	}
	value struct {
		String *string  `json:"stringValue,omitempty"`
		Bool   *bool    `json:"boolValue,omitempty"`
		Int    *string  `json:"intValue,omitempty"`
		Double *float64 `json:"doubleValue,omitempty"`
	}
)

func text(name, s string) keyValue {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return keyValue{name, value{String: &s}}
}

func attribute(a slog.Attr) keyValue {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindBool:
		b := v.Bool()
		return keyValue{a.Key, value{Bool: &b}}
	case slog.KindInt64:
		n := strconv.FormatInt(v.Int64(), 10)
		return keyValue{a.Key, value{Int: &n}}
	case slog.KindFloat64:
		f := v.Float64()
		return keyValue{a.Key, value{Double: &f}}
	default:
		return text(a.Key, v.String())
	}
}

// encode writes a span as it is sent.
func encode(s trace.Step) record {
	r := record{
		TraceID: s.ID(), SpanID: hex.EncodeToString(s.SpanID[:]), TraceState: s.State, Flags: 1, Name: s.Name, Kind: s.Kind,
		Start: strconv.FormatInt(s.Start.UnixNano(), 10), End: strconv.FormatInt(s.End.UnixNano(), 10),
	}
	if s.Parent != [8]byte{} {
		r.ParentID = hex.EncodeToString(s.Parent[:])
	}
	for _, a := range s.Attrs {
		r.Attributes = append(r.Attributes, attribute(a))
	}
	if s.Failed {
		// STATUS_CODE_ERROR.
		r.Status = &status{Message: s.Why, Code: 2}
	}
	return r
}
