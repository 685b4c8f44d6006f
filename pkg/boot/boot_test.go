package boot_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/metric"
)

func TestDurationTakesDays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"": 0, "90s": 90 * time.Second, "7d": 7 * 24 * time.Hour, "1h30m": 90 * time.Minute} {
		var got boot.Duration
		if err := got.UnmarshalText([]byte(text)); err != nil || time.Duration(got) != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"7", "-1d", "1.5d", "d", "week"} {
		var got boot.Duration
		if err := got.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "expected") {
			t.Errorf("%q: got %v, %v, want an error that says what was expected", text, got, err)
		}
	}
}

func TestSettingsFromAnEmptyEnvironmentWork(t *testing.T) {
	for _, name := range []string{"LONGSHORE_LOG_LEVEL", "LONGSHORE_RUN_TIMEOUT", "LONGSHORE_APPROVAL_TIMEOUT", "LONGSHORE_CALL_TIMEOUT", "LONGSHORE_BACKENDS"} {
		t.Setenv(name, "")
	}
	var s boot.Settings
	if err := boot.Read(&s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := s.Timeout("webhook"); got != 7*24*time.Hour {
		t.Errorf("time-out of a webhook's run: got %s, want 7 days", got)
	}
	if got := s.Timeout("github"); got != 35*24*time.Hour {
		t.Errorf("time-out of a workflow's run: got %s, want 35 days", got)
	}
	if got := s.Approval(); got != 30*24*time.Hour {
		t.Errorf("time-out of an approval: got %s, want 30 days", got)
	}
	s.RunRetention = boot.Duration(14 * 24 * time.Hour)
	if got, err := s.Approval(), s.Validate(); got != 7*24*time.Hour || err != nil {
		t.Errorf("time-out of an approval where runs are kept for 14 days: got %s, %v; want 7 days", got, err)
	}
	if s.Configured("webhook") {
		t.Error("webhook is configured without a setting")
	}
}

func TestSettingsNameEveryFaultAtOnce(t *testing.T) {
	t.Setenv("LONGSHORE_CALL_TIMEOUT", "46s")
	t.Setenv("LONGSHORE_CONNECT_TIMEOUT", "1ms")
	t.Setenv("LONGSHORE_RUN_TIMEOUT", "30d")
	t.Setenv("LONGSHORE_RUN_RETENTION", "30d")
	t.Setenv("LONGSHORE_APPROVAL_TIMEOUT", "31d")
	t.Setenv("LONGSHORE_SES_SENDER", "longshore")
	t.Setenv("LONGSHORE_BASE_URL", "longshore.example.com")
	var s boot.Settings
	if err := boot.Read(&s); err != nil {
		t.Fatal(err)
	}
	err := s.Validate()
	for _, want := range []string{"LONGSHORE_CALL_TIMEOUT", "LONGSHORE_CONNECT_TIMEOUT", "LONGSHORE_RUN_RETENTION", "LONGSHORE_APPROVAL_TIMEOUT", "LONGSHORE_SES_SENDER", "LONGSHORE_BASE_URL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
}

func TestSettingsOfTheCollector(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=very%20secret")
	var s boot.Settings
	if err := boot.Read(&s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil || s.OTLPEndpoint == "" || s.OTLPHeaders == "" {
		t.Errorf("%+v: %v", s, err)
	}
	for name, wrong := range map[string]boot.Settings{
		"OTEL_EXPORTER_OTLP_ENDPOINT": {OTLPEndpoint: "very secret"},
		"OTEL_EXPORTER_OTLP_HEADERS":  {OTLPEndpoint: "http://host", OTLPHeaders: "very secret"},
	} {
		if err := wrong.Validate(); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "very secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSettingsOfGitHub(t *testing.T) {
	for name, value := range map[string]string{
		"LONGSHORE_QUEUE_WEBHOOK": "https://sqs/webhook", "LONGSHORE_QUEUE_GITHUB": "", "LONGSHORE_GITHUB_EVENTS": "", "LONGSHORE_GITHUB_APP_ID": "4711",
	} {
		t.Setenv(name, value)
	}
	read := func() boot.Settings {
		var s boot.Settings
		if err := boot.Read(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := read()
	if diff := cmp.Diff(map[string]string{"webhook": "https://sqs/webhook"}, s.Queues()); diff != "" {
		t.Errorf("queues (-want +got):\n%s", diff)
	}
	if s.Events("github") || s.GitHubApp != "4711" {
		t.Errorf("events: %t, App %q", s.Events("github"), s.GitHubApp)
	}
	t.Setenv("LONGSHORE_QUEUE_GITHUB", "https://sqs/github")
	t.Setenv("LONGSHORE_GITHUB_EVENTS", "true")
	s = read()
	if s.Queues()["github"] != "https://sqs/github" || !s.Events("github") || s.Events("webhook") {
		t.Errorf("queues %v, events of github %t, of webhook %t", s.Queues(), s.Events("github"), s.Events("webhook"))
	}
}

// The platform may stop a function for good once it has answered: whatever an event recorded is written by then.
func TestMetricsAreWrittenAfterEachEvent(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("LONGSHORE_STACK", "staging")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	t.Cleanup(func() { os.Stdout = stdout })
	os.Stdout = write
	failed := errors.New("failed")
	h, err := boot.Handler(t.Context(), func(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
		return func(context.Context, json.RawMessage) (any, error) {
			e.Metrics.Count(metric.RunsAccepted, "backend", "webhook")
			return "answer", failed
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := h(t.Context(), nil); answer != "answer" || !errors.Is(err, failed) {
		t.Errorf("got %v, %v", answer, err)
	}
	_ = write.Close()
	text, err := io.ReadAll(read)
	if err != nil || !strings.Contains(string(text), `"runs_accepted":1`) || !strings.Contains(string(text), `"Stack":"staging"`) {
		t.Errorf("written is %q, %v; want the metric", text, err)
	}
}

func TestKeyIsThirtyTwoBytes(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		strings.Repeat("A", 43):        true,
		strings.Repeat("A", 43) + "=":  true,
		strings.Repeat("z9", 21) + "Q": true,
		strings.Repeat("A", 42):        false,
		"":                             false,
		strings.Repeat("!", 43):        false,
	} {
		key, err := boot.Key("LONGSHORE_TOKEN_KEY", text)
		if (err == nil) != ok || ok && len(key) != 32 {
			t.Errorf("Key(%q): got %d bytes, %v", text, len(key), err)
		}
		if err != nil && text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("Key(%q): the error holds the key", text)
		}
	}
}

func TestCABundleIsTrusted(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(bundle, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	c, err := boot.LoadAWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.HTTPClient.Do(request)
	if err != nil {
		t.Fatalf("call a server whose certificate is in AWS_CA_BUNDLE: %v", err)
	}
	_ = answer.Body.Close()
}
