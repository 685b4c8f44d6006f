package backendtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"longshore/pkg/egress"
	"longshore/pkg/run"
)

// hostileAnswers calls targets whose answers are made to break a reader.
func (s suite) hostileAnswers(t *testing.T) {
	t.Parallel()
	bodies := map[string]string{
		"no JSON":             "<html>",
		"half a JSON":         `{"a":`,
		"two JSONs":           "{}{}",
		"no UTF-8":            "\xff\xfe\x00{",
		"no UTF-8 in JSON":    "{\"a\":\"\xc3\"}",
		"a lone surrogate":    `"\ud800"`,
		"a NUL":               "\x00",
		"control characters":  strings.Repeat("\x01", 300<<10),
		"deep JSON":           strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"too deep JSON":       strings.Repeat("[", 1<<20),
		"a large number":      "1e999999999",
		"spaces":              " \r\n\t",
		"a megabyte of JSON":  `"` + strings.Repeat("x", 1<<20) + `"`,
		"a megabyte of text":  strings.Repeat("é", 1<<19),
		"a wrong kind":        "null",
		"another wrong kind":  "[1]",
		"a member many times": "{" + strings.Repeat(`"a":1,`, 1000) + `"a":2}`,
	}
	var body atomic.Value
	var status atomic.Int64
	b := s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(status.Load()))
		_, _ = io.WriteString(w, body.Load().(string))
	})
	for name, text := range bodies {
		for _, code := range []int64{200, 400, 500} {
			body.Store(text)
			status.Store(code)
			o := b.call(t, patience, "unimportant")
			if o.StatusCode != int(code) {
				t.Errorf("%s, %d: status code %d", name, code, o.StatusCode)
			}
			if o.Response != nil && !json.Valid(o.Response) {
				t.Errorf("%s, %d: the response is no JSON", name, code)
			}
		}
	}
}

// secret has every character that an encoding changes; its core survives most of them.
const (
	core   = "s3cr3tC0re"
	secret = core + `/+"&=?%ü<'` + "`"
)

// spellings are the forms in which a secret could come to light.
func spellings() map[string]string {
	quoted, err := json.Marshal(secret)
	if err != nil {
		panic(err) // a constant string
	}
	forms := map[string]string{
		"core":          core,
		"plain":         secret,
		"query-escaped": url.QueryEscape(secret),
		"path-escaped":  url.PathEscape(secret),
		"JSON":          string(quoted[1 : len(quoted)-1]),
		"hexadecimal":   hex.EncodeToString([]byte(core)),
		"HEXADECIMAL":   strings.ToUpper(hex.EncodeToString([]byte(core))),
		"userinfo":      url.UserPassword("u", secret).String(),
	}
	// Base64 of a text that the core stands in, at each of three offsets; the outer characters
	// depend on the neighbours.
	for offset := range 3 {
		text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("-", offset) + core))
		forms["base64 at offset "+string(rune('0'+offset))] = text[offset+1 : len(text)-1]
	}
	return forms
}

// leaksNoSecret calls targets that throw back what they get, and looks for the secret in all that
// is stored of an attempt but the target's answer itself.
func (s suite) leaksNoSecret(t *testing.T) {
	t.Parallel()
	escaped := url.QueryEscape(secret)
	location := "http://" + url.UserPassword(secret, secret).String() + "@other.example/" + escaped + "?q=" + escaped + "#" + escaped
	answer := func(head string) string {
		return raw(t, func(c *net.TCPConn) {
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			var echo bytes.Buffer
			_ = req.Write(&echo)
			_, _ = io.WriteString(c, head)
			_, _ = echo.WriteTo(c)
			_, _ = io.WriteString(c, secret)
		})
	}
	head := func(status string) string {
		return "HTTP/1.1 " + status + " " + secret + "\r\nX-Echo: " + secret + "\r\nLocation: " + location +
			"\r\nRetry-After: " + secret + "\r\nConnection: close\r\n\r\n" + secret
	}
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	targets := map[string]struct {
		url      string
		allow    egress.Allow
		deadline time.Duration
	}{
		"connection refused":   {nobody, egress.Loopback(), patience},
		"refused by the guard": {nobody, egress.Allow{}, patience},
		"unresolved":           {"http://nowhere.test", egress.Loopback(), patience},
		"closed":               {raw(t, func(*net.TCPConn) {}), egress.Loopback(), patience},
		"hung":                 {raw(t, func(*net.TCPConn) { <-hold }), egress.Loopback(), 150 * time.Millisecond},
		"no HTTP":              {answer(secret + "\r\n\r\n"), egress.Loopback(), patience},
		"no status":            {answer("HTTP/1.1 " + secret + "\r\n\r\n"), egress.Loopback(), patience},
		"no header":            {answer("HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n"), egress.Loopback(), patience},
		"no length":            {answer("HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n"), egress.Loopback(), patience},
		"no encoding":          {answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret + "\r\n\r\n"), egress.Loopback(), patience},
		"no chunk":             {answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + secret), egress.Loopback(), patience},
		"no TLS":               {strings.Replace(answer(secret), "http:", "https:", 1), egress.Loopback(), patience},
	}
	for _, status := range []string{"200", "204", "302", "308", "400", "401", "404", "422", "429", "500", "503", "599", "999"} {
		targets["status "+status] = struct {
			url      string
			allow    egress.Allow
			deadline time.Duration
		}{answer(head(status)), egress.Loopback(), patience}
	}
	for name, target := range targets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := s.at(t, target.url, target.allow).call(t, target.deadline, secret)
			if o.Verdict == run.Deliver && o.Response != nil {
				t.Errorf("the answer of a delivery that does not end the run is kept")
			}
			for form, text := range spellings() {
				if strings.Contains(o.Error, text) {
					t.Errorf("error %q has the secret, %s", o.Error, form)
				}
				if strings.Contains(o.StatusLabel, text) {
					t.Errorf("status label %q has the secret, %s", o.StatusLabel, form)
				}
			}
		})
	}
}

// concurrent makes many calls at once.
func (s suite) concurrent(t *testing.T) {
	t.Parallel()
	b := s.serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			ctx := t.Context()
			if o := b.backend.Call(ctx, b.attempt("unimportant")); o.Verdict != run.Deliver && o.Verdict != run.Succeed {
				t.Errorf("verdict %v (%s)", o.Verdict, o.Error)
			}
		})
	}
	wg.Wait()
}

// givenUp gives up a call that waits for its answer: that says nothing of the target's host.
func (s suite) givenUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b := s.serve(t, func(_ http.ResponseWriter, r *http.Request) {
		// A server notices that its client is gone once it has read the request.
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	})
	o := b.backend.Call(ctx, b.attempt("unimportant"))
	check(t, o)
	if o.Verdict != run.Retry || o.NoAnswer {
		t.Errorf("verdict %v (%s), no answer %t; want another try, and nothing about the host", o.Verdict, o.Error, o.NoAnswer)
	}
}
