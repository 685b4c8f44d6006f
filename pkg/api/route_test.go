package api_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"longshore/pkg/api"
)

func TestRouting(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.start()
	tests := map[string]struct {
		method, target string
		status         int
		// holds is in the answer's message.
		holds string
	}{
		"an action":                             {"GET", "/v1/actions/deploy", 200, ""},
		"a query":                               {"GET", "/v1/actions/deploy?x=%2F..&run_id=", 200, ""},
		"an escaped letter":                     {"GET", "/v1/actions/d%65ploy", 200, ""},
		"HEAD":                                  {"HEAD", "/v1/actions/deploy", 200, ""},
		"HEAD of nothing":                       {"HEAD", "/v1/actions/none", 404, ""},
		"runs is no action":                     {"GET", "/v1/actions/runs", 200, ""},
		"runs cannot be deleted":                {"DELETE", "/v1/actions/runs", 405, "GET, HEAD"},
		"an unknown action":                     {"GET", "/v1/actions/none", 404, "none"},
		"an escaped slash in an identifier":     {"GET", "/v1/actions/org%2Frepo", 404, "org/repo"},
		"a decoded slash in an identifier":      {"GET", "/v1/actions/org/repo", 404, "org/repo"},
		"a slash in an identifier before /runs": {"POST", "/v1/actions/org/repo/runs", 404, "org/repo"},
		"an escaped one before /runs":           {"POST", "/v1/actions/org%2Frepo/runs", 404, "org/repo"},
		"an escaped slash before runs":          {"GET", "/v1/actions%2Fruns", 404, "no such route"},
		"escaped /runs belongs to the name":     {"GET", "/v1/actions/deploy%2Fruns", 404, "deploy/runs"},
		"GET of an action's runs":               {"GET", "/v1/actions/deploy/runs", 405, "POST"},
		"a run":                                 {"GET", "/v1/actions/runs/" + id, 200, ""},
		"a run's logs":                          {"GET", "/v1/actions/runs/" + id + "/logs", 200, ""},
		"an unknown run":                        {"GET", "/v1/actions/runs/r_0000000000000000", 404, "r_0000000000000000"},
		"no run id":                             {"GET", "/v1/actions/runs/nothing", 404, "no such run"},
		"a run called runs":                     {"GET", "/v1/actions/runs/runs", 404, "no such run"},
		"a run id with a slash":                 {"GET", "/v1/actions/runs/" + id + "%2Flogs", 404, "no such run"},
		"a run id of 400 bytes":                 {"GET", "/v1/actions/runs/" + strings.Repeat("r", 400), 404, "no such run"},
		"logs of a run id of 5,000 bytes":       {"GET", "/v1/actions/runs/" + strings.Repeat("r", 5000) + "/logs", 404, "no such run"},
		"an identifier of 400 bytes":            {"GET", "/v1/actions/" + strings.Repeat("a", 400), 404, "no such action"},
		"an identifier of 100 characters":       {"GET", "/v1/actions/" + strings.Repeat("%C3%A9", 100), 404, "é"},
		"an entity that reads like an action":   {"GET", "/v1/blueprints/b/entities/actions/checkout", 404, `no blueprint "b"`},
		"one that reads like an action's run":   {"GET", "/v1/blueprints/b/entities/a/actions/c/runs", 404, `no blueprint "b"`},
		"an action of a blueprint with a slash": {"GET", "/v1/blueprints/a%2Fb/actions/c", 404, `no action "c"`},
		"a path of very many segments":          {"POST", "/v1/blueprints" + strings.Repeat("/entities", 100_000) + "/runs", 404, "no such route"},
		"two dots":                              {"GET", "/v1/actions/..", 404, "no such route"},
		"escaped dots":                          {"GET", "/v1/actions/%2e%2E", 404, "no such route"},
		"one dot":                               {"GET", "/v1/actions/.", 404, "no such route"},
		"dots in the middle":                    {"GET", "/v1/actions/../actions/deploy", 404, "no such route"},
		"dots behind an escaped slash":          {"GET", "/v1/actions/x%2F..%2Fdeploy", 404, "x/../deploy"},
		"an empty segment":                      {"GET", "/v1//actions", 404, "no such route"},
		"a trailing slash":                      {"GET", "/v1/actions/", 404, "no such route"},
		"a trailing slash behind a name":        {"GET", "/v1/actions/deploy/", 404, "no such route"},
		"the root":                              {"GET", "/", 404, "no such route"},
		"an unknown route":                      {"GET", "/v1/nothing", 404, "no such route"},
		"another case":                          {"GET", "/V1/actions", 404, "no such route"},
		"invalid UTF-8":                         {"GET", "/v1/actions/%ff", 404, "no such route"},
		"an unknown method":                     {"BREW", "/v1/actions", 405, "GET, HEAD, POST"},
		"OPTIONS":                               {"OPTIONS", "/v1/actions/deploy", 405, "DELETE, GET, HEAD, PUT"},
		"GET of the token route":                {"GET", "/v1/auth/access_token", 405, "POST"},
		"healthz":                               {"GET", "/healthz", 200, ""},
		"readyz":                                {"GET", "/readyz", 200, ""},
		"metrics that nobody counts":            {"GET", "/metrics", 404, "no such route"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := *f
			f.t = t
			body := ""
			if test.method == "POST" {
				body = `{"properties":{}}`
			}
			g := f.call(test.method, test.target, body).want(test.status)
			if test.method == "HEAD" {
				return
			}
			switch test.status {
			case 404:
				g.fault(404, "not_found")
			case 405:
				g.fault(405, "method_not_allowed")
				if got := g.header.Get("Allow"); got != test.holds {
					t.Errorf("got Allow %q, want %q", got, test.holds)
				}
			}
			if message, _ := g.body["message"].(string); !strings.Contains(message, test.holds) {
				t.Errorf("got message %q, want it to hold %q", message, test.holds)
			}
			if g.header.Get("Location") != "" {
				t.Error("got a redirect")
			}
		})
	}
}

// A gateway that hands the path over decoded builds a request without RawPath.
func TestRoutingOfADecodedPath(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := httptest.NewRequest("GET", "/", nil)
	r.URL = &url.URL{Path: "/v1/actions/a%2Fb c/d"}
	r.Header.Set("Authorization", "Bearer "+f.token)
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "a%2Fb c/d") {
		t.Errorf("got %d %s, want the action to be looked for under its whole name", w.Code, w.Body)
	}
}

func TestUnknownRoutesNeedAToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call("GET", "/v1/nothing", "", "Authorization", "").fault(http.StatusUnauthorized, "unauthorized")
	f.call("GET", "/v1/actions/..", "", "Authorization", "").fault(http.StatusUnauthorized, "unauthorized")
	f.call("DELETE", "/v1/actions", "", "Authorization", "").fault(http.StatusUnauthorized, "unauthorized")
	f.call("DELETE", "/healthz", "", "Authorization", "").fault(http.StatusMethodNotAllowed, "method_not_allowed")
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) {
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = w.Write([]byte("runs 1\n"))
		})
	})
	f.as("ada@example.com", `{}`)
	tests := map[string]struct {
		local  net.Addr
		token  string
		status int
	}{
		"loopback":                        {&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, "", 200},
		"loopback, IPv6":                  {&net.TCPAddr{IP: net.IPv6loopback}, "", 200},
		"another address":                 {&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, "", 401},
		"another address with a token":    {&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, "Bearer " + f.token, 200},
		"another address with a member's": {&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, "Bearer user.ada@example.com", 403},
		"no address that is known":        {nil, "", 401},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("GET", "/metrics", nil)
			// What the caller says about itself does not count.
			r.Header.Set("X-Forwarded-For", "127.0.0.1")
			r.Host = "localhost"
			if test.local != nil {
				r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, test.local))
			}
			if test.token != "" {
				r.Header.Set("Authorization", test.token)
			}
			f := *f
			f.t = t
			g := f.do(r, nil).want(test.status)
			if test.status == 200 && string(g.text) != "runs 1\n" {
				t.Errorf("got %q", g.text)
			}
		})
	}
}

func TestAFunctionThatStartsNoRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.start()
	c := newFixture(t, func(c *api.Config) { c.Starter, c.Runs, c.Actions = nil, f.runs, f.actions })
	c.call("POST", "/v1/actions/deploy/runs", `{"properties":{"service":"a"}}`).fault(404, "not_found")
	c.call("POST", "/v1/actions/runs/"+id+"/redeliver", "").fault(404, "not_found")
	c.call("GET", "/v1/actions/runs/"+id, "").want(200)
}
