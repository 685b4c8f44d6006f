package egress_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/egress"
	"longshore/pkg/egress/egresstest"
)

// raw is a TCP server on this machine; each connection gets its own call of serve and is closed
// after it.
func raw(t *testing.T, serve func(n int64, conn *net.TCPConn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for n := int64(1); ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(n, conn.(*net.TCPConn))
			}()
		}
	}()
	return listener.Addr().String()
}

func loopback(t *testing.T, change func(*egress.Config)) *egress.Client {
	t.Helper()
	c := egress.Config{Allow: egress.Loopback()}
	if change != nil {
		change(&c)
	}
	client := egress.New(c)
	t.Cleanup(client.Close)
	return client
}

func request(t *testing.T, method, target, body string) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// A server that breaks a used connection after it has read a request has perhaps carried it out: the
// request must not go out again without the run's knowing.
func TestDoSendsOnce(t *testing.T) {
	t.Parallel()
	cuts := map[string]func(*net.TCPConn){
		"closed": func(*net.TCPConn) {},
		"reset":  func(c *net.TCPConn) { _ = c.SetLinger(0) },
	}
	cases := []struct {
		method, header, body string
		// connections is how many the two requests take.
		connections int64
	}{
		{http.MethodPost, "Idempotency-Key", "{}", 1},
		{http.MethodPost, "X-Idempotency-Key", "{}", 1},
		{http.MethodPost, "idempotency-key", "{}", 1},
		{http.MethodPost, "Idempotency-Key", "", 1},
		{http.MethodPut, "Idempotency-Key", "{}", 1},
		{http.MethodDelete, "Idempotency-Key", "", 1},
		{http.MethodPatch, "Idempotency-Key", "{}", 1},
		{http.MethodGet, "Idempotency-Key", "", 2},
		{http.MethodGet, "X-Other", "", 2},
		{"", "Idempotency-Key", "", 2},
		{http.MethodHead, "Idempotency-Key", "", 2},
		{http.MethodOptions, "Idempotency-Key", "", 2},
	}
	for how, cut := range cuts {
		for _, c := range cases {
			t.Run(how+" "+c.method+" "+c.header+" "+c.body, func(t *testing.T) {
				t.Parallel()
				var requests, connections atomic.Int64
				keys := make(chan string, 10)
				address := raw(t, func(n int64, conn *net.TCPConn) {
					connections.Store(n)
					r := bufio.NewReader(conn)
					for {
						req, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						_, _ = io.Copy(io.Discard, req.Body)
						keys <- req.Header.Get(c.header)
						if requests.Add(1) > 1 {
							cut(conn)
							return
						}
						_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
					}
				})
				client := loopback(t, nil)
				send := func() error {
					req := request(t, c.method, "http://"+address+"/", c.body)
					req.Method = c.method
					req.Header.Set(c.header, "r_1")
					resp, err := client.Do(req)
					if err != nil {
						return err
					}
					return resp.Body.Close()
				}
				if err := send(); err != nil {
					t.Fatalf("first request: %v", err)
				}
				var e *egress.Error
				if err := send(); !errors.As(err, &e) || e.Refused {
					t.Errorf("second request: error = %v, want a connection fault", err)
				}
				if got, want := requests.Load(), int64(2); got != want {
					t.Errorf("the server read %d requests, want %d", got, want)
				}
				if got, want := connections.Load(), c.connections; got != want {
					t.Errorf("%d connections, want %d", got, want)
				}
				if got := <-keys; got != "r_1" {
					t.Errorf("%s = %q, want r_1", c.header, got)
				}
			})
		}
	}
}

func TestDoFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	for _, location := range []string{"/elsewhere", "http://127.0.0.1:1/", "http://[::1", "%zz", "", "file:///etc/passwd"} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			var requests atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.Header().Set("Location", location)
				w.WriteHeader(status)
			}))
			resp, err := loopback(t, nil).Do(request(t, http.MethodPost, server.URL, "{}"))
			if err != nil {
				t.Errorf("%d to %q: %v", status, location, err)
			} else {
				_ = resp.Body.Close()
				if resp.StatusCode != status || resp.Header.Get("Location") != location {
					t.Errorf("%d to %q came back as %d to %q", status, location, resp.StatusCode, resp.Header.Get("Location"))
				}
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d to %q: %d requests, want 1", status, location, n)
			}
			server.Close()
		}
	}
}

// TestMain names a proxy, which net/http would use for any name but localhost's.
func TestDoIgnoresProxies(t *testing.T) {
	t.Parallel()
	port, requests := counter(t)
	client := loopback(t, func(c *egress.Config) { c.Resolver = names().Resolver(t) })
	if _, err := call(t, client, http.MethodPost, "http://target.test:"+port+"/"); err != nil {
		t.Fatal(err)
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests reached the server, want 1", n)
	}
}

func TestDoCredentialsOfTheURL(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
	}))
	t.Cleanup(server.Close)
	client := loopback(t, nil)
	for name, c := range map[string]struct {
		user   *url.Userinfo
		header http.Header
		want   string
	}{
		"user and password": {url.UserPassword("a@b", "c:d"), http.Header{}, "Basic YUBiOmM6ZA=="},
		"user alone":        {url.User("a"), http.Header{}, "Basic YTo="},
		"a header wins":     {url.UserPassword("a", "b"), http.Header{"Authorization": {"Bearer x"}}, "Bearer x"},
		"none":              {nil, nil, ""},
	} {
		req := request(t, http.MethodPost, server.URL, "{}")
		req.URL.User, req.Header = c.user, c.header
		before := req.Header.Clone()
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = resp.Body.Close()
		if got := <-got; got != c.want {
			t.Errorf("%s: Authorization = %q, want %q", name, got, c.want)
		}
		if diff := cmp.Diff(before, req.Header); diff != "" {
			t.Errorf("%s: the request was changed (-before +after):\n%s", name, diff)
		}
	}
}

// soon ends a call that is to end in time: a busy machine connects and sends well within it.
const soon = 2 * time.Second

func TestDoErrors(t *testing.T) {
	t.Parallel()
	const hostile = "S3cret\x1b[31m"
	closed := raw(t, func(int64, *net.TCPConn) {})
	hung := raw(t, func(_ int64, c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	answers := func(text string) string {
		return raw(t, func(_ int64, c *net.TCPConn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, text)
		})
	}
	garbage := answers(hostile + " is no HTTP\r\n\r\n")
	header := answers("HTTP/1.1 200 OK\r\n" + hostile + "\r\n\r\n")
	endless := answers("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("S3cret ", 20000) + "\r\n\r\n")
	continues := answers("HTTP/1.1 100 Continue\r\n\r\n" + strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: S3cret\r\n\r\n", 10000))
	status := answers("HTTP/1.1 2OO OK\r\n\r\n")
	reset := raw(t, func(_ int64, c *net.TCPConn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_ = c.SetLinger(0)
	})
	// Port 1 is none that the system gives out, as it does with one that was just closed.
	const refusing = "127.0.0.1:1"

	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.StartTLS()
	t.Cleanup(old.Close)
	trusting := func(c *egress.Config) {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AddCert(secure.Certificate())
	}
	_, securePort, err := net.SplitHostPort(secure.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	silent := &egresstest.Names{Silent: true}

	cases := []struct {
		name, url string
		config    func(*egress.Config)
		deadline  time.Duration
		want      string
		refused   bool
	}{
		{name: "refused", url: "http://" + refusing, want: "connection refused by " + refusing},
		{name: "closed", url: "http://" + closed, want: "CLOSED"},
		{name: "reset", url: "http://" + reset, want: "connection reset by " + reset},
		{name: "no HTTP", url: "http://" + garbage, want: "no valid HTTP answer from " + garbage},
		{name: "no header", url: "http://" + header, want: "no valid HTTP answer from " + header},
		{name: "no status", url: "http://" + status, want: "no valid HTTP answer from " + status},
		{name: "too long a header", url: "http://" + endless, want: "no valid HTTP answer from " + endless},
		{name: "endless preliminary answers", url: "http://" + continues, want: "no valid HTTP answer from " + continues},
		{name: "no answer", url: "http://" + hung, deadline: soon, want: hung + " did not answer in time"},
		{name: "no handshake", url: "https://" + hung, config: func(c *egress.Config) { c.ConnectTimeout = soon }, want: hung + " did not answer in time"},
		{name: "TLS to a plain server", url: strings.Replace(plain.URL, "http:", "https:", 1), want: "TLS with " + plain.Listener.Addr().String() + " failed"},
		{name: "an old version of TLS", url: old.URL, want: "TLS with " + old.Listener.Addr().String() + " failed"},
		{name: "an unknown authority", url: secure.URL, want: "the certificate of " + secure.Listener.Addr().String() + " is signed by an unknown authority"},
		{name: "another name", url: "https://target.test:" + securePort, config: func(c *egress.Config) { trusting(c); c.Resolver = names().Resolver(t) }, want: "the certificate of target.test:" + securePort + " is made out to another name"},
		{name: "no such name", url: "http://nowhere.test", config: func(c *egress.Config) { c.Resolver = names().Resolver(t) }, want: "nowhere.test does not resolve"},
		{name: "a name without an address", url: "http://empty.test", config: func(c *egress.Config) { c.Resolver = names().Resolver(t) }, want: "empty.test does not resolve"},
		{name: "no name server", url: "http://target.test", config: func(c *egress.Config) {
			c.ConnectTimeout, c.Resolver = soon, silent.Resolver(t)
		}, want: "the name server gave no answer about target.test"},
		{name: "another scheme", url: "ftp://127.0.0.1/", want: "refused by the egress guard: the URL is not absolute, with http or https", refused: true},
		{name: "no host", url: "http:///x", want: "refused by the egress guard: the URL is not absolute, with http or https", refused: true},
		{name: "no such port", url: "http://127.0.0.1:65536/", want: "refused by the egress guard: the URL's port is not a number between 0 and 65535", refused: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			req := request(t, http.MethodPost, c.url, "{}")
			if c.deadline > 0 {
				ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
				defer cancel()
				req = req.WithContext(ctx)
			}
			resp, err := loopback(t, c.config).Do(req)
			if err == nil {
				_ = resp.Body.Close()
				t.Fatalf("answer %d, want an error", resp.StatusCode)
			}
			var e *egress.Error
			if !errors.As(err, &e) {
				t.Fatalf("error of type %T, want *egress.Error", err)
			}
			if e.Refused != c.refused {
				t.Errorf("refused = %v, want %v", e.Refused, c.refused)
			}
			want := c.want
			if want == "CLOSED" {
				// The kernel resets the connection if the request arrives after the end of the server.
				want = closed + " closed the connection without an answer"
				if got := "connection reset by " + closed; e.Error() == got {
					want = got
				}
			}
			if got := e.Error(); got != want {
				t.Errorf("error = %q (%v), want %q", got, errors.Unwrap(err), want)
			}
		})
	}
}

func TestDoInterrupted(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	address := raw(t, func(_ int64, c *net.TCPConn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		close(arrived)
		_, _ = io.Copy(io.Discard, c)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := loopback(t, nil).Do(request(t, http.MethodPost, "http://"+address+"/", "{}").WithContext(ctx)) //nolint:bodyclose // it must fail
	if err == nil || err.Error() != "the call to "+address+" was interrupted" {
		t.Errorf("error = %v", err)
	}
}

func TestDoOverTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	client := loopback(t, func(c *egress.Config) {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AddCert(server.Certificate())
	})
	resp, err := client.Do(request(t, http.MethodPost, server.URL, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, _, err := egress.ReadUpTo(resp.Body, 100)
	if err != nil || string(got) != "HTTP/1.1" {
		t.Errorf("answer over %q, %v; want HTTP/1.1", got, err)
	}
}

func TestHostPort(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://example.com/x?y":       "example.com:80",
		"https://u:p@example.com":      "example.com:443",
		"https://example.com:8443/":    "example.com:8443",
		"http://[::1]:8080/":           "[::1]:8080",
		"https://[2001:db8::1]/":       "[2001:db8::1]:443",
		"http://example.com:80/#frag":  "example.com:80",
		"https://EXAMPLE.com./a%2Fb?q": "EXAMPLE.com.:443",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := egress.HostPort(u); got != want {
			t.Errorf("HostPort(%s) = %q, want %q", text, got, want)
		}
	}
}
