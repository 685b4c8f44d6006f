// Package backendtest is the definition of an HTTP backend: which answers and faults are tried
// again, what is asked of a target that says when, and that no secret and no text of a target's
// reaches what is stored about an attempt. Every backend that speaks HTTP passes it.
package backendtest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/egress"
	"longshore/pkg/egress/egresstest"
	"longshore/pkg/run"
)

// Target is what a backend is pointed at.
type Target struct {
	// URL is the target's base, such as http://127.0.0.1:1234, without a path.
	URL string
	// Client is the guarded client to call it with.
	Client *egress.Client
	// Now is the backend's clock; it stands still.
	Now func() time.Time
}

// Open returns a backend that calls the target, and a function that makes an attempt of it. The
// attempt carries the secret wherever something secret may stand in it: in the credentials, path
// and query of a URL, in headers, in the body, in the backend's own credentials.
type Open func(t *testing.T, target Target) (b backend.Backend, attempt func(secret string) backend.Call)

// patience is after how long a call that has not come back is given up.
const patience = 30 * time.Second

var clock = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

// Run runs all tests of the package against the backend.
func Run(t *testing.T, open Open) {
	t.Helper()
	s := suite{open: open}
	t.Run("RetryTable", s.retryTable)
	t.Run("RetryAfter", s.retryAfter)
	t.Run("Faults", s.faults)
	t.Run("Deadline", s.deadline)
	t.Run("NoRedirect", s.noRedirect)
	t.Run("HostileAnswers", s.hostileAnswers)
	t.Run("LeaksNoSecret", s.leaksNoSecret)
	t.Run("Concurrent", s.concurrent)
	t.Run("GivenUp", s.givenUp)
}

type suite struct {
	open Open
}

// subject is an opened backend with a target.
type subject struct {
	backend backend.Backend
	attempt func(string) backend.Call
}

func (s suite) at(t *testing.T, url string, allow egress.Allow) subject {
	t.Helper()
	var names egresstest.Names
	client := egress.New(egress.Config{Allow: allow, Resolver: names.Resolver(t)})
	t.Cleanup(client.Close)
	b, attempt := s.open(t, Target{URL: url, Client: client, Now: func() time.Time { return clock }})
	return subject{b, attempt}
}

func (s suite) serve(t *testing.T, h http.HandlerFunc) subject {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return s.at(t, server.URL, egress.Loopback())
}

// call makes one attempt and fails the test if it outlives all patience.
func (s subject) call(t *testing.T, deadline time.Duration, secret string) backend.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	done := make(chan backend.Outcome, 1)
	go func() { done <- s.backend.Call(ctx, s.attempt(secret)) }()
	select {
	case o := <-done:
		check(t, o)
		return o
	case <-time.After(patience + 10*time.Second):
		t.Fatal("the call did not come back after its deadline")
		return backend.Outcome{}
	}
}

// check is what holds for every outcome.
func check(t *testing.T, o backend.Outcome) {
	t.Helper()
	failed := o.Verdict == run.Retry || o.Verdict == run.Fail
	if failed != (o.Error != "") {
		t.Errorf("verdict %v with error %q", o.Verdict, o.Error)
	}
	if failed != (o.StatusLabel != "") {
		t.Errorf("verdict %v with status label %q", o.Verdict, o.StatusLabel)
	}
	if o.RetryAfter < 0 || o.RetryAfter > time.Hour || o.RetryAfter > 0 && o.Verdict != run.Retry {
		t.Errorf("verdict %v with a wait of %v", o.Verdict, o.RetryAfter)
	}
	for _, text := range []string{o.Error, o.StatusLabel} {
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
			t.Errorf("%q has characters that are no text", text)
		}
	}
}

// raw serves each connection of a TCP server on this machine with a function of its own.
func raw(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// nobody is where nobody listens: port 1 is none that the system gives out, as it does with one that
// was just closed.
const nobody = "http://127.0.0.1:1"
