package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A mistake in the call is exit status 2 and one sentence; nothing is printed, made or served.
func TestMistakesInTheCall(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	directory := t.TempDir()
	short := strings.Repeat("s", 31)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":              {[]string{"serve", "--bogus"}, "unknown flag --bogus"},
		"unknown flag, no command":  {[]string{"--bogus"}, "unknown flag --bogus"},
		"unknown command":           {[]string{"bogus"}, "unexpected argument bogus"},
		"argument of serve":         {[]string{"serve", "bogus"}, "unexpected argument bogus"},
		"log level":                 {[]string{"serve", "--log-level", "loud"}, `--log-level: slog: level string "loud": unknown name`},
		"log format":                {[]string{"serve", "--log-format", "xml"}, `--log-format must be one of "auto","text","json" but got "xml"`},
		"no duration":               {[]string{"serve", "--call-timeout", "soon"}, `--call-timeout: "soon" is no duration, expected a Go duration such as 12h, or days such as 7d`},
		"call time-out too long":    {[]string{"serve", "--call-timeout", "46s"}, "LONGSHORE_CALL_TIMEOUT is 46s, expected 1s to 45s"},
		"connect time-out zero":     {[]string{"serve", "--connect-timeout", "0s"}, "LONGSHORE_CONNECT_TIMEOUT is 0s, expected 100ms to 45s"},
		"retention under time-out":  {[]string{"serve", "--run-retention", "7d"}, "LONGSHORE_RUN_RETENTION is 168h0m0s, expected more than the time-out of a run, 168h0m0s"},
		"address without port":      {[]string{"serve", "--addr", "localhost"}, `--addr is "localhost", expected host:port`},
		"port too large":            {[]string{"serve", "--addr", "127.0.0.1:65536"}, `--addr has the port "65536", expected 0 to 65535`},
		"port by name":              {[]string{"serve", "--addr", "127.0.0.1:http"}, `--addr has the port "http", expected 0 to 65535`},
		"short secret":              {[]string{"serve", "--client-secret", short}, "--client-secret has 31 characters, it needs at least 32"},
		"short previous secret":     {[]string{"serve", "--client-secret-previous", short}, "--client-secret-previous has 31 characters, it needs at least 32"},
		"token key":                 {[]string{"serve", "--token-key", short}, "--token-key is no key, expected 32 bytes in base64"},
		"issuer over HTTP":          {[]string{"serve", "--oidc-issuer", "http://idp.example.com", "--oidc-audience", "a"}, "the issuer must begin with https://"},
		"issuer alone":              {[]string{"serve", "--oidc-issuer", "https://idp.example.com"}, "the audience is empty"},
		"audience alone":            {[]string{"serve", "--oidc-audience", "a"}, "need --oidc-issuer"},
		"base URL":                  {[]string{"serve", "--base-url", "example.com"}, "LONGSHORE_BASE_URL must have the form https://host, without credentials and query"},
		"base URL with a password":  {[]string{"serve", "--base-url", "https://u:" + short + "@example.com"}, "LONGSHORE_BASE_URL must have the form https://host, without credentials and query"},
		"base URL with a query":     {[]string{"serve", "--base-url", "https://example.com?x=y"}, "LONGSHORE_BASE_URL must have the form https://host, without credentials and query"},
		"allow list":                {[]string{"serve", "--egress-allow", "10.0.0.0/99"}, `egress allow list: "10.0.0.0/99" is no CIDR such as 10.0.0.0/8 or fd00::/8`},
		"aws-create alone":          {[]string{"serve", "--aws-create"}, "--aws-create needs --aws"},
		"data is no directory":      {[]string{"serve", "--data", filepath.Join(os.Args[0], "x")}, "mkdir " + os.Args[0] + ": not a directory"},
		"run without action":        {[]string{"run"}, `expected "<action>"`},
		"run without credentials":   {[]string{"run", "a", "--data", empty}, "no credentials: set LONGSHORE_CLIENT_ID and LONGSHORE_CLIENT_SECRET, or --data to a server's data directory"},
		"input without a value":     {[]string{"run", "a", "--input", "name"}, `--input: expected "<key>=<value>" but got "name"`},
		"inputs from nowhere":       {[]string{"run", "a", "--inputs", empty + "/x"}, "open " + empty + "/x: no such file or directory"},
		"inputs that are a folder":  {[]string{"run", "a", "--inputs", directory}, "read " + directory + ": is a directory"},
		"address of no server":      {[]string{"runs", "--url", "localhost:8080", "--client-id", "a", "--client-secret", "b"}, `"localhost:8080" is no address of a server: it takes the form http://host:port`},
		"limit of runs":             {[]string{"runs", "--limit", "1001"}, "--limit is 1001, expected 1 to 1000"},
		"limit of no runs":          {[]string{"runs", "--limit", "0"}, "--limit is 0, expected 1 to 1000"},
		"source of runs":            {[]string{"runs", "--source", "CLI"}, `--source must be one of "UI","API","AUTOMATION" but got "CLI"`},
		"logs of nothing":           {[]string{"logs"}, `expected "<run-id>"`},
		"approve nothing":           {[]string{"approve"}, `expected "<run-id>"`},
		"decline nothing":           {[]string{"decline", "--description", "x"}, `expected "<run-id>"`},
		"redeliver nothing":         {[]string{"redeliver"}, `expected "<run-id>"`},
		"apply nothing":             {[]string{"apply"}, `expected "<file> ..."`},
		"apply from nowhere":        {[]string{"apply", empty + "/x.yaml"}, "open " + empty + "/x.yaml: no such file or directory"},
		"render nothing":            {[]string{"render"}, "expected --template and --data, or --batch"},
		"render without data":       {[]string{"render", "--template", os.Args[0]}, "expected --template and --data, or --batch"},
		"render both":               {[]string{"render", "--batch", "--template", "x"}, "--template and --batch can't be used together"},
		"render a batch of data":    {[]string{"render", "--batch", "--data", "x"}, "--batch takes data and strictness from its lines"},
		"Kafka by no mechanism":     {[]string{"serve", "--kafka-brokers", "b:9092", "--kafka-sasl-mechanism", "GSSAPI"}, `LONGSHORE_KAFKA_SASL_MECHANISM is "GSSAPI"`},
		"Kafka without a user":      {[]string{"serve", "--kafka-brokers", "b:9092", "--kafka-sasl-mechanism", "PLAIN"}, "it needs LONGSHORE_KAFKA_USERNAME"},
		"GitHub at no URL":          {[]string{"serve", "--github-api-url", "api.github.com"}, "--github-api-url: the URL of GitHub's API must be http or https"},
		"GitHub's key in no file":   {[]string{"serve", "--github-app-id", "7", "--github-app-private-key", short}, "LONGSHORE_GITHUB_APP_PRIVATE_KEY is no key in PEM, nor a file that can be read"},
		"Azure at no URL":           {[]string{"serve", "--azure-devops-url", "dev.azure.com"}, "--azure-devops-url: the URL of Azure DevOps must be http or https"},
		"sign without secret":       {[]string{"sign"}, "missing flags: --secret=STRING"},
		"verify without signature":  {[]string{"verify-signature", "--secret", "x", "--timestamp", "1"}, "missing flags: --signature=STRING"},
		"verify a timestamp":        {[]string{"verify-signature", "--secret", "x", "--timestamp", "now", "--signature", "v1,"}, `--timestamp: expected a valid 64 bit int but got "now"`},
		"verify with less than now": {[]string{"verify-signature", "--secret", "x", "--timestamp", "1", "--signature", "v1,", "--tolerance=-1s"}, "--tolerance is negative"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			args := c.args
			if args[0] == "serve" && name != "data is no directory" {
				args = append(args, "--data", data)
			}
			got := call(t, "", args...)
			if got.code != 2 || got.out != "" || !strings.Contains(got.err, c.want) {
				t.Errorf("exit status %d, output %q, error %q; want 2, none and %q", got.code, got.out, got.err, c.want)
			}
			if !strings.HasPrefix(got.err, "longshore: ") || strings.Count(got.err, "\n") != 1 {
				t.Errorf("got %q, want one sentence", got.err)
			}
			if strings.Contains(got.err, short) {
				t.Errorf("a secret is printed: %s", got.err)
			}
			if _, err := os.Stat(data); !os.IsNotExist(err) {
				t.Errorf("the data directory was made: %v", err)
			}
		})
	}
}

// All that is wrong with the flags is said at once.
func TestEveryFaultIsSaid(t *testing.T) {
	t.Parallel()
	got := call(t, "", "serve", "--client-secret", "x", "--addr", "x", "--egress-allow", "*", "--call-timeout", "1ms",
		"--kafka-sasl-mechanism", "X", "--github-tokens", "x", "--gitlab-tokens", "x")
	for _, want := range []string{
		"--client-secret has 1 characters", `--addr is "x"`, `"*" has a wildcard`, "LONGSHORE_CALL_TIMEOUT is 1ms",
		`LONGSHORE_KAFKA_SASL_MECHANISM is "X"`, "LONGSHORE_GITHUB_TOKENS: ", "LONGSHORE_GITLAB_TOKENS: ",
	} {
		if !strings.Contains(got.err, want) {
			t.Errorf("no %q in %q", want, got.err)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"run", "-h"}} {
		if got := call(t, "", args...); got.code != 0 || !strings.HasPrefix(got.out, "Usage: longshore ") || got.err != "" {
			t.Errorf("%v: exit status %d, output %.40q, error %q", args, got.code, got.out, got.err)
		}
	}
	if got := call(t, "", "--help"); strings.Contains(got.out, "demo") || strings.Contains(got.out, "bench") {
		t.Errorf("hidden commands are shown:\n%s", got.out)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(result{0, "longshore dev\n", ""}, call(t, "", "version"), cmp.AllowUnexported(result{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(result{0, `{"version":"dev"}` + "\n", ""}, call(t, "", "version", "--json"), cmp.AllowUnexported(result{})); diff != "" {
		t.Error(diff)
	}
}

// A command that waits for standard input ends when it is interrupted.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	never, _ := io.Pipe()
	var out, errs strings.Builder
	cancel()
	code := execute(ctx, []string{"sign", "--secret", "x"}, &streams{interruptible{ctx, never}, &out, &errs})
	if code != 1 || out.String() != "" || errs.String() != "longshore: interrupted\n" {
		t.Errorf("exit status %d, output %q, error %q", code, out.String(), errs.String())
	}
}

// Nobody listens: a failed operation, said in one sentence.
func TestNoServer(t *testing.T) {
	t.Parallel()
	got := call(t, "", "runs", "--url", "http://127.0.0.1:1", "--client-id", "a", "--client-secret", "a secret that is never printed")
	if got.code != 1 || !strings.Contains(got.err, "connection refused") || strings.Count(got.err, "\n") != 1 ||
		strings.Contains(got.err, "never printed") {
		t.Errorf("exit status %d, error %q", got.code, got.err)
	}
}
