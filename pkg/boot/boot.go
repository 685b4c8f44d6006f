// Package boot is what every Lambda main needs: settings from the environment, a log, and the AWS
// configuration, read once.
package boot

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/caarlos0/env/v11"

	"longshore/pkg/awsevent"
	"longshore/pkg/logline"
	"longshore/pkg/metric"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/trace"
	"longshore/pkg/trace/otlp"
)

// Version is the version that builds are stamped with (-ldflags -X).
var Version = "dev"

// Env is what a function starts with.
type Env struct {
	Settings
	Log *slog.Logger
	AWS aws.Config
	// Metrics are written to the log after each event, in CloudWatch's embedded format.
	Metrics *metric.Registry
	// Trace records steps, which spans sends to the collector after each event; nil without one.
	Trace *trace.Tracer
	spans *otlp.Exporter
}

// Main serves events with what Handler returns. A failure ends the process with one sentence on standard
// error, which the platform logs.
func Main(build func(ctx context.Context, e *Env) (awsevent.Handler, error)) {
	h, err := Handler(context.Background(), build)
	if err != nil {
		fmt.Fprintln(os.Stderr, "longshore:", err)
		os.Exit(1)
	}
	awsevent.Start(h)
}

// Handler reads the settings and calls build once. What it returns writes the metrics to the log and sends the
// spans after each event: then the platform may stop the process for good.
func Handler(ctx context.Context, build func(ctx context.Context, e *Env) (awsevent.Handler, error)) (awsevent.Handler, error) {
	var e Env
	if err := Read(&e.Settings); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	e.Log = slog.New(logline.Handler(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: e.LogLevel})))
	e.Metrics = metric.NewEMF(os.Stdout, "Longshore", time.Now, "Stack", e.Stack)
	var err error
	if e.spans, err = e.exporter(); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	e.Trace = e.spans.Tracer()
	if e.AWS, err = LoadAWS(ctx); err != nil {
		return nil, err
	}
	h, err := build(ctx, &e)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	return func(ctx context.Context, event json.RawMessage) (any, error) {
		defer e.flush(ctx)
		return h(ctx, event)
	}, nil
}

// Read fills a struct with env tags from the environment. Empty variables count as absent.
func Read(into any) error {
	present := map[string]string{}
	for name, value := range env.ToMap(os.Environ()) {
		if value != "" {
			present[name] = value
		}
	}
	return env.ParseWithOptions(into, env.Options{Environment: present})
}

// LoadAWS returns the AWS configuration with one HTTP client shared by all services: its calls are
// tried three times, each within five seconds, so that a handler outlives a failing dependency. The
// certificates of AWS_CA_BUNDLE are trusted, proxies of the environment are not used.
func LoadAWS(ctx context.Context) (aws.Config, error) {
	// The SDK adds a CA bundle to a client of its own kind only, and refuses any other.
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.Proxy = nil
		t.MaxIdleConnsPerHost = 64
		t.IdleConnTimeout = 50 * time.Second
		t.TLSHandshakeTimeout = 3 * time.Second
	})
	c, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(client), config.WithRetryMaxAttempts(3))
	if err != nil {
		return aws.Config{}, fmt.Errorf("load AWS configuration: %w", err)
	}
	// Each service would make a copy of such a client, connections and all.
	if built, ok := c.HTTPClient.(*awshttp.BuildableClient); ok {
		c.HTTPClient = &http.Client{Timeout: 5 * time.Second, Transport: built.GetTransport()}
	}
	return c, nil
}

// Received turns the messages of an event into those that dispatchers take.
func (e *Env) Received(handle func(ctx context.Context, messages []queue.Received) (again []string)) awsevent.Handler {
	return awsevent.SQS(func(ctx context.Context, messages []awsevent.Message) []string {
		received := make([]queue.Received, len(messages))
		for i, m := range messages {
			received[i] = queue.Received(m)
		}
		return handle(ctx, received)
	})
}

// collectorTimeout bounds what a collector that does not answer adds to an invocation, at most once in a
// while: see otlp.Exporter.Flush. One that runs beside the function answers within a millisecond.
const collectorTimeout = 500 * time.Millisecond

func (e *Env) exporter() (*otlp.Exporter, error) {
	return otlp.Open(otlp.Config{
		Endpoint: e.OTLPEndpoint, Headers: e.OTLPHeaders, Service: cmp.Or(e.ServiceName, "longshore"), Version: Version, Timeout: collectorTimeout, Log: e.Log,
	})
}

func (e *Env) flush(ctx context.Context) {
	if err := e.Metrics.Flush(); err != nil {
		e.Log.ErrorContext(ctx, "write metrics", slog.Any("error", err))
	}
	e.spans.Flush(ctx)
}

// Metered counts what becomes of the runs of a store.
func (e *Env) Metered(s run.Store) *run.Metered { return &run.Metered{Store: s, Metrics: e.Metrics} }

// Messages counts what became of messages, by backend, for a dispatcher's Count.
func (e *Env) Messages(backend string) func(event string) {
	return func(event string) { e.Metrics.Count(metric.Messages, "backend", backend, "event", event) }
}
