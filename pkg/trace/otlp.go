package trace

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

// Tracer records spans. A nil one records none and passes contexts on.
type Tracer struct {
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

// Open returns a tracer that sends spans as OTLP's JSON documents (opentelemetry-proto, "JSON Protobuf
// Encoding"), nil without an endpoint. Its error names no header's value. The endpoint is the operator's
// own, so that it may be a private address; redirects and proxies of the environment are not followed.
func Open(c Config) (*Tracer, error) {
	if c.Endpoint == "" {
		return nil, nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT must be a URL, http or https with a host, without credentials and query")
	}
	t := &Tracer{c: c, url: u.JoinPath("v1", "traces").String(), headers: http.Header{}}
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
		t.headers.Set(name, value)
	}
	t.headers.Set("Content-Type", "application/json")
	t.headers.Set("User-Agent", "Longshore/"+c.Version)
	if t.c.Timeout == 0 {
		t.c.Timeout = 10 * time.Second
	}
	t.client = &http.Client{
		Transport:     &http.Transport{IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 5 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return t, nil
}

// add keeps a span for the next Flush.
func (t *Tracer) add(r record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) >= maxKept {
		t.kept = append(t.kept[:0], t.kept[maxBatch:]...)
		t.dropped += maxBatch
	}
	t.kept = append(t.kept, r)
}

// Run sends what is recorded every second until ctx ends, and then once more.
func (t *Tracer) Run(ctx context.Context) {
	if t == nil {
		return
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			t.Flush(last)
			return
		case <-ticker.C:
			t.Flush(ctx)
		}
	}
}

// Flush sends what is recorded. It returns when it is sent, when the collector failed, or when ctx ends;
// at once while a collector that failed is left alone, or somebody else is sending.
func (t *Tracer) Flush(ctx context.Context) {
	if t == nil || !t.sending.TryLock() {
		return
	}
	defer t.sending.Unlock()
	for {
		t.mu.Lock()
		if len(t.kept) == 0 || t.pause > 0 && time.Now().Before(t.resume) {
			t.mu.Unlock()
			return
		}
		n := min(len(t.kept), maxBatch)
		batch := append([]record(nil), t.kept[:n]...)
		t.kept = append(t.kept[:0], t.kept[n:]...)
		dropped := t.dropped
		t.dropped = 0
		t.mu.Unlock()
		if dropped > 0 {
			t.c.Log.WarnContext(ctx, "spans dropped: the collector does not take them fast enough", slog.Int("spans", dropped))
		}
		again, err := t.send(ctx, batch)
		if !t.settle(ctx, batch, again, err) {
			return
		}
	}
}

// settle takes notice of what became of a batch and reports whether to go on.
func (t *Tracer) settle(ctx context.Context, batch []record, again bool, err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.pause = 0
		return true
	}
	if t.pause == 0 {
		// Once an outage.
		t.c.Log.WarnContext(ctx, "spans not sent to the collector", slog.String("reason", err.Error()))
	}
	t.pause = min(max(2*t.pause, minPause), maxPause)
	t.resume = time.Now().Add(t.pause)
	if again && len(t.kept)+len(batch) <= maxKept {
		t.kept = append(batch, t.kept...)
	} else {
		t.dropped += len(batch)
	}
	return false
}

// send makes one request. Again says that the same spans may be sent later (OTLP, "Retryable Response
// Codes"). The error has no header and no more of the URL than its host.
func (t *Tracer) send(ctx context.Context, batch []record) (again bool, err error) {
	body, err := json.Marshal(document{[]resourceSpans{{
		Resource:   resource{[]keyValue{text("service.name", t.c.Service), text("service.version", t.c.Version)}},
		ScopeSpans: []scopeSpans{{Scope: scope{"longshore"}, Spans: batch}},
	}}})
	if err != nil {
		return false, fmt.Errorf("encode spans: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("the collector's URL is not valid")
	}
	req.Header = t.headers.Clone()
	resp, err := t.client.Do(req)
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
		Kind       Kind       `json:"kind"`
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

// record is the span as it is sent; the lock is held.
func (s *Span) record(end time.Time) record {
	r := record{
		TraceID: s.self.ID(), SpanID: hex.EncodeToString(s.self.SpanID[:]), TraceState: s.self.State, Flags: 1, Name: s.name, Kind: s.kind,
		Start: strconv.FormatInt(s.start.UnixNano(), 10), End: strconv.FormatInt(max(end.UnixNano(), s.start.UnixNano()), 10),
	}
	if s.parent != [8]byte{} {
		r.ParentID = hex.EncodeToString(s.parent[:])
	}
	for _, a := range s.attrs {
		r.Attributes = append(r.Attributes, attribute(a))
	}
	if s.failed {
		// STATUS_CODE_ERROR.
		r.Status = &status{Message: s.why, Code: 2}
	}
	return r
}
