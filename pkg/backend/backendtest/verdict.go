package backendtest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/egress"
	"longshore/pkg/run"
)

// retried is what a final failure is not.
func retried(status int) bool {
	return status == 408 || status == 425 || status == 429 || status >= 500 && status <= 599
}

// retryTable calls a target that answers with each status in turn.
func (s suite) retryTable(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	b := s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(status.Load()))
		_, _ = io.WriteString(w, "{}")
	})
	for code := 200; code <= 999; code++ {
		if code > 600 && code < 999 {
			continue
		}
		status.Store(int64(code))
		o := b.call(t, patience, "unimportant")
		if o.StatusCode != code {
			t.Errorf("%d: status code %d", code, o.StatusCode)
		}
		var ok bool
		switch {
		case code <= 299:
			ok = o.Verdict == run.Deliver || o.Verdict == run.Succeed
		case retried(code):
			ok = o.Verdict == run.Retry
		default:
			ok = o.Verdict == run.Fail
		}
		if !ok {
			t.Errorf("%d: verdict %v", code, o.Verdict)
		}
		if code > 299 && !strings.Contains(o.Error, fmt.Sprint(code)) {
			t.Errorf("%d: error %q does not name the status", code, o.Error)
		}
	}
}

// retryAfter calls a target that says when to come again.
func (s suite) retryAfter(t *testing.T) {
	t.Parallel()
	date := func(after time.Duration) string { return clock.Add(after).Format(http.TimeFormat) }
	cases := []struct {
		name, value string
		want        time.Duration
	}{
		{"seconds", "7", 7 * time.Second},
		{"spaces around", " 7 ", 7 * time.Second},
		{"an hour", "3600", time.Hour},
		{"more than an hour", "86400", time.Hour},
		{"more than any number", "99999999999999999999999", time.Hour},
		{"none", "", 0},
		{"zero", "0", 0},
		{"negative", "-5", 0},
		{"a fraction", "1.5", 0},
		{"a word", "soon", 0},
		{"a date", date(10 * time.Minute), 10 * time.Minute},
		{"an old form of date", clock.Add(time.Minute).Format(time.ANSIC), time.Minute},
		{"a date in a day", date(24 * time.Hour), time.Hour},
		{"a date in a thousand years", clock.AddDate(1000, 0, 0).Format(http.TimeFormat), time.Hour},
		{"now", date(0), 0},
		{"a date long past", "Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"a date with another zone", clock.Add(time.Minute).Format(time.RFC1123Z), 0},
	}
	var status atomic.Int64
	var value atomic.Value
	b := s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if v, _ := value.Load().(string); v != "" {
			w.Header().Set("Retry-After", v)
		}
		w.WriteHeader(int(status.Load()))
	})
	for _, code := range []int64{400, 408, 425, 429, 500, 502, 503, 302} {
		status.Store(code)
		for _, c := range cases {
			value.Store(c.value)
			want := c.want
			if !retried(int(code)) {
				want = 0
			}
			if got := b.call(t, patience, "unimportant").RetryAfter; got != want {
				t.Errorf("%d, %s: %v, want %v", code, c.name, got, want)
			}
		}
	}
}

// faults calls targets that give no answer.
func (s suite) faults(t *testing.T) {
	t.Parallel()
	answer := func(text string, end func(*net.TCPConn)) string {
		return raw(t, func(c *net.TCPConn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, text)
			if end != nil {
				end(c)
			}
		})
	}
	cases := []struct {
		name, url string
		allow     egress.Allow
		want      run.Verdict
	}{
		{"connection refused", nobody, egress.Loopback(), run.Retry},
		{"closed at once", raw(t, func(*net.TCPConn) {}), egress.Loopback(), run.Retry},
		{"closed after the request", answer("", nil), egress.Loopback(), run.Retry},
		{"reset", answer("", func(c *net.TCPConn) { _ = c.SetLinger(0) }), egress.Loopback(), run.Retry},
		{"closed in the header", answer("HTTP/1.1 200 OK\r\nContent-", nil), egress.Loopback(), run.Retry},
		{"no HTTP", answer("SSH-2.0-OpenSSH_9.6\r\n", nil), egress.Loopback(), run.Retry},
		{"an endless header", answer("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n", nil), egress.Loopback(), run.Retry},
		{"a name that does not resolve", "http://nowhere.test", egress.Loopback(), run.Retry},
		{"no TLS", strings.Replace(answer("HTTP/1.1 400 Bad Request\r\n\r\n", nil), "http:", "https:", 1), egress.Loopback(), run.Retry},
		{"refused by the guard", answer("HTTP/1.1 200 OK\r\n\r\n", nil), egress.Allow{}, run.Fail},
		{"instance metadata", "http://169.254.169.254", egress.Loopback(), run.Fail},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := s.at(t, c.url, c.allow).call(t, patience, "unimportant")
			if diff := cmp.Diff(c.want, o.Verdict); diff != "" {
				t.Errorf("verdict of %q (-want +got):\n%s", o.Error, diff)
			}
			if o.StatusCode != 0 {
				t.Errorf("status code %d, want none", o.StatusCode)
			}
		})
	}
}

// deadline calls targets that never finish.
func (s suite) deadline(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	cases := map[string]func(net.Conn){
		"no answer":     func(net.Conn) {},
		"half a header": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX") },
		"no body":       func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n") },
		"half a body":   func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{") },
		"half a 500's":  func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n{") },
		"another protocol": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		},
		"a drop at a time": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
				if _, err := io.WriteString(c, " "); err != nil {
					tick.Stop()
					return
				}
			}
		},
	}
	for name, answer := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := raw(t, func(c *net.TCPConn) {
				_, _ = http.ReadRequest(bufio.NewReader(c))
				answer(c)
				<-ended
			})
			o := s.at(t, url, egress.Loopback()).call(t, 150*time.Millisecond, "unimportant")
			switch {
			case name == "another protocol" && o.Verdict == run.Fail:
			// The status has come; a backend may go by it.
			case strings.Contains(name, "body") || name == "a drop at a time":
				if o.Verdict == run.Fail {
					t.Errorf("verdict %v (%s), want any other", o.Verdict, o.Error)
				}
			case o.Verdict != run.Retry:
				t.Errorf("verdict %v (%s), want Retry", o.Verdict, o.Error)
			}
		})
	}
}

// noRedirect calls a target that points elsewhere.
func (s suite) noRedirect(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	other := raw(t, func(*net.TCPConn) { elsewhere.Add(1) })
	var status, requests atomic.Int64
	var location atomic.Value
	b := s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.Header().Set("Location", location.Load().(string))
		w.WriteHeader(int(status.Load()))
	})
	for _, code := range []int64{300, 301, 302, 303, 304, 305, 307, 308} {
		for to, want := range map[string]string{
			other + "/x": "127.0.0.1", "/relative": "127.0.0.1", "//other.example/x": "other.example",
			"https://user:word@other.example:8443/x?y#z": "other.example", "": "", "http://[::1": "", "javascript:x": "",
			"http://<b>/": "",
		} {
			status.Store(code)
			location.Store(to)
			before := requests.Load()
			o := b.call(t, patience, "unimportant")
			if o.Verdict != run.Fail {
				t.Errorf("%d to %q: verdict %v, want Fail", code, to, o.Verdict)
			}
			if n := requests.Load() - before; n != 1 {
				t.Errorf("%d to %q: %d requests, want 1", code, to, n)
			}
			if !strings.Contains(o.Error, want) || strings.Contains(o.Error, "points to") != (want != "") {
				t.Errorf("%d to %q: error %q, want the host %q", code, to, o.Error, want)
			}
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}
