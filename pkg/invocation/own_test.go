package invocation_test

import (
	"testing"

	"longshore/pkg/invocation"
)

// Which calls are of the deployment's own API: its address stands literally in the definition, and what
// was rendered stays below /v1/.
func TestOwnPath(t *testing.T) {
	t.Parallel()
	addresses := []string{"", "https://longshore.example/", "http://127.0.0.1:8080", "https://proxy.example/base"}
	for name, c := range map[string]struct {
		// url is the literal text too where that is empty.
		literal, url string
		want         string
	}{
		"all literal":                        {"", "https://longshore.example/v1/actions/deploy/runs", "/v1/actions/deploy/runs"},
		"another address":                    {"", "http://127.0.0.1:8080/v1/jq", "/v1/jq"},
		"query":                              {"", "http://127.0.0.1:8080/v1/actions/a/runs?run_as=a@example.com#x", "/v1/actions/a/runs"},
		"expression behind /v1/":             {"http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1/actions/a/runs", "/v1/actions/a/runs"},
		"expression in the path":             {"http://127.0.0.1:8080/v1/blueprints/", "http://127.0.0.1:8080/v1/blueprints/a/entities/org%2Frepo", "/v1/blueprints/a/entities/org/repo"},
		"space in the path":                  {"", "http://127.0.0.1:8080/v1/actions/a%20b", "/v1/actions/a b"},
		"path in front of /v1/":              {"", "https://proxy.example/base/v1/actions", "/v1/actions"},
		"not all of it in front":             {"", "https://proxy.example/v1/actions", ""},
		"expression for the whole URL":       {"?", "https://longshore.example/v1/actions", ""},
		"expression for the host":            {"https://", "https://longshore.example/v1/actions", ""},
		"expression in front of /v1/":        {"https://longshore.example", "https://longshore.example/v1/actions", ""},
		"expression in /v1/":                 {"https://longshore.example/v1", "https://longshore.example/v1/actions", ""},
		"user information":                   {"", "https://a@longshore.example/v1/actions", ""},
		"password":                           {"", "https://a:b@longshore.example/v1/actions", ""},
		"address as user information":        {"", "https://longshore.example@evil.example/v1/actions", ""},
		"address as user, /v1/ as its end":   {"", "https://longshore.example/v1/@evil.example/v1/actions", "/v1/@evil.example/v1/actions"},
		"other port":                         {"", "http://127.0.0.1:8081/v1/actions", ""},
		"longer port":                        {"", "http://127.0.0.1:80801/v1/actions", ""},
		"default port":                       {"", "https://longshore.example:443/v1/actions", ""},
		"no port":                            {"", "http://127.0.0.1/v1/actions", ""},
		"other scheme":                       {"", "http://longshore.example/v1/actions", ""},
		"upper-case scheme":                  {"", "HTTPS://longshore.example/v1/actions", ""},
		"upper-case host":                    {"", "https://Longshore.example/v1/actions", ""},
		"upper-case path":                    {"", "https://longshore.example/V1/actions", ""},
		"trailing dot of the host":           {"", "https://longshore.example./v1/actions", ""},
		"other name of the host":             {"", "http://localhost:8080/v1/actions", ""},
		"host with more":                     {"", "https://longshore.example.evil.example/v1/actions", ""},
		"space in front":                     {"", " https://longshore.example/v1/actions", ""},
		"backslash for a slash":              {"", `https:\\longshore.example/v1/actions`, ""},
		"beside /v1/":                        {"", "https://longshore.example/webhooks/github", ""},
		"only begins like /v1/":              {"", "https://longshore.example/v10/actions", ""},
		"dots":                               {"", "https://longshore.example/v1/../webhooks/github", ""},
		"dots from an expression":            {"https://longshore.example/v1/", "https://longshore.example/v1/actions/../../healthz", ""},
		"one dot":                            {"", "https://longshore.example/v1/./actions", ""},
		"dots at the end":                    {"", "https://longshore.example/v1/actions/..", ""},
		"encoded dots":                       {"", "https://longshore.example/v1/%2e%2e/webhooks/github", ""},
		"half-encoded dots":                  {"", "https://longshore.example/v1/.%2E/webhooks/github", ""},
		"encoded slash behind dots":          {"", "https://longshore.example/v1/..%2fwebhooks/github", ""},
		"backslash behind dots":              {"", `https://longshore.example/v1/..\webhooks/github`, ""},
		"encoded backslash behind dots":      {"", "https://longshore.example/v1/..%5cwebhooks/github", ""},
		"encoded twice":                      {"", "https://longshore.example/v1/%252e%252e/webhooks/github", ""},
		"slash encoded twice":                {"", "https://longshore.example/v1/actions/a%252Fruns", ""},
		"percent sign encoded":               {"", "https://longshore.example/v1/actions/a%25", ""},
		"empty segment":                      {"", "https://longshore.example/v1//organization/secrets", ""},
		"encoded empty segment":              {"", "https://longshore.example/v1/%2forganization/secrets", ""},
		"control character":                  {"", "https://longshore.example/v1/a%0ab", ""},
		"no UTF-8":                           {"", "https://longshore.example/v1/%ff", ""},
		"wrong escape":                       {"", "https://longshore.example/v1/%zz", ""},
		"rendered to another URL altogether": {"https://longshore.example/v1/", "https://evil.example/v1/", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &invocation.Webhook{URL: c.url, Literal: c.literal}
			switch c.literal {
			case "":
				w.Literal = c.url
			case "?":
				w.Literal = ""
			}
			got, own := w.OwnPath(addresses)
			if got != c.want || own != (c.want != "") {
				t.Errorf("got %q and %v, want %q", got, own, c.want)
			}
			w.Agent = true
			if _, own := w.OwnPath(addresses); own {
				t.Error("the call of an agent is our own")
			}
		})
	}
}

// What a Moderator may not save: the literal text alone decides, whatever expressions follow it.
func TestIsOwn(t *testing.T) {
	t.Parallel()
	addresses := []string{"", "https://longshore.example"}
	for literal, want := range map[string]bool{
		"https://longshore.example/v1/":         true,
		"https://longshore.example/v1/../x":     true,
		"https://longshore.example/v1":          false,
		"https://longshore.example/":            false,
		"https://other.example/v1/":             false,
		"":                                      false,
		"/v1/":                                  false,
		"https://longshore.example:443/v1/runs": false,
	} {
		if got := invocation.IsOwn(literal, addresses); got != want {
			t.Errorf("%q: got %v, want %v", literal, got, want)
		}
	}
}
