package boot

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/secret"
	"longshore/pkg/trace/otlp"
)

// Settings are what the functions and the local process read from the environment, each variable
// under the same name everywhere. An empty variable counts as absent, and a missing one works, so
// that code and template deploy in either order.
type Settings struct {
	LogLevel slog.Level `name:"log-level" env:"LONGSHORE_LOG_LEVEL" default:"info" envDefault:"info" help:"debug, info, warn or error."`
	OrgID    string     `name:"org-id" env:"LONGSHORE_ORG_ID" help:"The organization's id; generated and kept by default."`
	ClientID string     `name:"client-id" env:"LONGSHORE_CLIENT_ID" help:"The client id; generated and kept by default."`
	BaseURL  string     `name:"base-url" env:"LONGSHORE_BASE_URL" help:"The address that clients use, which links begin with; by default that of each request, or the one that is listened on."`

	// Without an issuer there are no users' tokens.
	OIDCIssuer   string `name:"oidc-issuer" env:"LONGSHORE_OIDC_ISSUER" help:"The identity provider whose tokens users come with, a URL; by default none."`
	OIDCAudience string `name:"oidc-audience" env:"LONGSHORE_OIDC_AUDIENCE" help:"The audience of those tokens; required with the issuer."`
	OIDCJWKSURL  string `name:"oidc-jwks-url" env:"LONGSHORE_OIDC_JWKS_URL" help:"Where the provider publishes its keys; by default where its discovery document says."`

	RunTimeout      Duration `name:"run-timeout" env:"LONGSHORE_RUN_TIMEOUT" help:"How long a run may stay IN_PROGRESS; by default 7d, GitHub and GitLab 35d."`
	ApprovalTimeout Duration `name:"approval-timeout" env:"LONGSHORE_APPROVAL_TIMEOUT" help:"How long a run may wait for approval; by default 30d, at most half of the retention."`
	RunRetention    Duration `name:"run-retention" env:"LONGSHORE_RUN_RETENTION" default:"365d" envDefault:"365d" help:"How long a run is kept."`
	AuditRetention  Duration `name:"audit-retention" env:"LONGSHORE_AUDIT_RETENTION" default:"365d" envDefault:"365d" help:"How long an entry of the audit log is kept."`
	CallTimeout     Duration `name:"call-timeout" env:"LONGSHORE_CALL_TIMEOUT" default:"25s" envDefault:"25s" help:"Longest call to a backend, 1s to 45s."`
	ConnectTimeout  Duration `name:"connect-timeout" env:"LONGSHORE_CONNECT_TIMEOUT" default:"5s" envDefault:"5s" help:"Longest wait for a connection to a backend."`

	RunsTable    string `name:"runs-table" env:"LONGSHORE_RUNS_TABLE" default:"longshore-runs" envDefault:"longshore-runs" help:"DynamoDB table of runs."`
	CatalogTable string `name:"catalog-table" env:"LONGSHORE_CATALOG_TABLE" default:"longshore-catalog" envDefault:"longshore-catalog" help:"DynamoDB table of definitions."`
	SESSender    string `name:"ses-sender" env:"LONGSHORE_SES_SENDER" help:"The address that e-mails to approvers come from, through Amazon SES; without it none are sent."`
	QueueSettings
	BreakerSettings
	ScheduleSettings
	// GitHubApp decides which integration actions are dispatched.
	GitHubApp string `name:"github-app-id" env:"LONGSHORE_GITHUB_APP_ID" help:"The id of the GitHub App that workflows are started as; an INTEGRATION_ACTION of this installationId is dispatched."`
	// GitHubEvents says that GitHub's events are taken, so that look-ups may be rare. The local process derives it.
	GitHubEvents bool `kong:"-" env:"LONGSHORE_GITHUB_EVENTS"`
	// GitLabEvents is the same of GitLab's.
	GitLabEvents bool `kong:"-" env:"LONGSHORE_GITLAB_EVENTS"`
	// Backends are the configured ones, separated by commas. The local process derives them.
	Backends string `kong:"-" env:"LONGSHORE_BACKENDS"`
	// The collector of spans, under OpenTelemetry's own names.
	OTLPEndpoint string `name:"otlp-endpoint" env:"OTEL_EXPORTER_OTLP_ENDPOINT" help:"The collector that spans are sent to by OTLP over HTTP, such as http://127.0.0.1:4318; by default none."`
	OTLPHeaders  string `name:"otlp-headers" env:"OTEL_EXPORTER_OTLP_HEADERS" help:"Headers for the collector, name=value, separated by commas, the values percent-encoded."`
	ServiceName  string `name:"otel-service-name" env:"OTEL_SERVICE_NAME" help:"The service that spans are of; by default longshore."`
	// Stack is the dimension of the metrics.
	Stack string `kong:"-" env:"LONGSHORE_STACK"`
}

// Validate reports every setting that is out of range.
func (s *Settings) Validate() error {
	var faults []error
	between := func(name string, d, least, most time.Duration) {
		if d < least || d > most {
			faults = append(faults, fmt.Errorf("%s is %s, expected %s to %s", name, d, least, most))
		}
	}
	between("LONGSHORE_CALL_TIMEOUT", time.Duration(s.CallTimeout), time.Second, 45*time.Second)
	between("LONGSHORE_BREAKER_WINDOW", time.Duration(s.BreakerWindow), time.Second, 24*time.Hour)
	if s.BreakerFailures < 1 || s.BreakerFailures > 1000 {
		faults = append(faults, fmt.Errorf("LONGSHORE_BREAKER_FAILURES is %d, expected 1 to 1000", s.BreakerFailures))
	}
	between("LONGSHORE_CONNECT_TIMEOUT", time.Duration(s.ConnectTimeout), 100*time.Millisecond, 45*time.Second)
	between("LONGSHORE_RUN_RETENTION", time.Duration(s.RunRetention), time.Minute, 100*365*24*time.Hour)
	between("LONGSHORE_AUDIT_RETENTION", time.Duration(s.AuditRetention), time.Minute, 100*365*24*time.Hour)
	if s.RunTimeout != 0 {
		between("LONGSHORE_RUN_TIMEOUT", time.Duration(s.RunTimeout), time.Second, 100*365*24*time.Hour)
	}
	for _, backend := range []string{invocation.BackendWebhook, invocation.BackendGitHub, invocation.BackendGitLab} {
		if backend != invocation.BackendWebhook && !s.Configured(backend) {
			continue
		}
		if timeout := s.Timeout(backend); timeout >= time.Duration(s.RunRetention) {
			faults = append(faults, fmt.Errorf("LONGSHORE_RUN_RETENTION is %s, expected more than the time-out of a run, %s",
				time.Duration(s.RunRetention), timeout))
			break
		}
	}
	if s.ApprovalTimeout != 0 {
		between("LONGSHORE_APPROVAL_TIMEOUT", time.Duration(s.ApprovalTimeout), time.Second, 100*365*24*time.Hour)
	}
	if s.ApprovalTimeout >= s.RunRetention {
		faults = append(faults, fmt.Errorf("LONGSHORE_RUN_RETENTION is %s, expected more than LONGSHORE_APPROVAL_TIMEOUT, %s",
			time.Duration(s.RunRetention), time.Duration(s.ApprovalTimeout)))
	}
	if u, err := url.Parse(s.BaseURL); s.BaseURL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		faults = append(faults, errors.New("LONGSHORE_BASE_URL must have the form https://host, without credentials and query"))
	}
	if s.SESSender != "" {
		if _, err := mail.ParseAddress(s.SESSender); err != nil {
			faults = append(faults, fmt.Errorf("LONGSHORE_SES_SENDER is %q, expected an e-mail address", s.SESSender))
		}
	}
	if _, err := otlp.Open(otlp.Config{Endpoint: s.OTLPEndpoint, Headers: s.OTLPHeaders}); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// Timeout returns how long a run of a backend may stay IN_PROGRESS.
func (s *Settings) Timeout(backend string) time.Duration {
	return run.Timeouts(time.Duration(s.RunTimeout))(backend)
}

// Approval returns how long a run may wait for approval. Without a setting it fits the retention.
func (s *Settings) Approval() time.Duration {
	if s.ApprovalTimeout != 0 {
		return time.Duration(s.ApprovalTimeout)
	}
	return min(run.ApprovalTimeout, time.Duration(s.RunRetention)/2)
}

// Configured reports whether runs of a backend can be delivered.
func (s *Settings) Configured(backend string) bool {
	for name := range strings.SplitSeq(s.Backends, ",") {
		if strings.TrimSpace(name) == backend && backend != "" {
			return true
		}
	}
	return false
}

// Events reports whether a backend tells by itself how its work ends.
func (s *Settings) Events(backend string) bool {
	return backend == invocation.BackendGitHub && s.GitHubEvents || backend == invocation.BackendGitLab && s.GitLabEvents
}

// Duration is a Go duration, or a whole number of days with "d".
type Duration time.Duration

// UnmarshalText reads 90s, 12h, 7d. Empty is zero.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "" {
		*d = 0
		return nil
	}
	if days, found := strings.CutSuffix(s, "d"); found {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is no duration, expected a Go duration such as 12h, or days such as 7d", s)
		}
		*d = Duration(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is no duration, expected a Go duration such as 12h, or days such as 7d", s)
	}
	*d = Duration(v)
	return nil
}

// String writes the duration as Go does.
func (d Duration) String() string { return time.Duration(d).String() }

// Key decodes a key of 32 bytes from base64, padded or not.
func Key(name, text string) ([]byte, error) {
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(text), "="))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%s is no key, expected 32 bytes in base64", name)
	}
	return key, nil
}

// ClientSecret is where a function finds the client secret: in plain variables, or in Secrets Manager.
type ClientSecret struct {
	Plain    string `env:"LONGSHORE_CLIENT_SECRET"`
	Previous string `env:"LONGSHORE_CLIENT_SECRET_PREVIOUS"`
	ARN      string `env:"LONGSHORE_CLIENT_SECRET_ARN"`
}

// SealingKey is where a function finds the key that seals secrets: in plain variables, the older ones
// separated by commas, or in Secrets Manager.
type SealingKey struct {
	Plain    string `env:"LONGSHORE_SEALING_KEY"`
	Previous string `env:"LONGSHORE_SEALING_KEY_PREVIOUS"`
	ARN      string `env:"LONGSHORE_SEALING_KEY_ARN"`
}

// Ring returns the keys of the plain variables; none without a current one.
func (k SealingKey) Ring() (secret.Ring, error) {
	if k.Plain == "" {
		return nil, nil
	}
	var ring secret.Ring
	for i, text := range strings.Split(k.Plain+","+k.Previous, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		name := "LONGSHORE_SEALING_KEY"
		if i > 0 {
			name = "LONGSHORE_SEALING_KEY_PREVIOUS"
		}
		plain, err := Key(name, text)
		if err != nil {
			return nil, err
		}
		key, err := secret.NewKey("", plain)
		if err != nil {
			return nil, err
		}
		ring = append(ring, key)
	}
	return ring, nil
}
