package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/signature"
)

// need skips the test where a program is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		_, err := exec.LookPath(name)
		switch {
		case err == nil:
		case os.Getenv("LONGSHORE_REQUIRE_SERVICES") == "1":
			t.Fatalf("%s cannot be had, and LONGSHORE_REQUIRE_SERVICES=1 asks for it: %v", name, err)
		default:
			t.Skipf("%s cannot be had: %v", name, err)
		}
	}
}

// script runs a page's block of sh against the server, with the program on the PATH, and returns
// what it printed.
func (w *world) script(text, run string) string {
	w.t.Helper()
	bin := w.t.TempDir()
	wrapper := fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", asMain, os.Args[0])
	if err := os.WriteFile(filepath.Join(bin, "longshore"), []byte(wrapper), 0o700); err != nil {
		w.t.Fatal(err)
	}
	// What it writes goes to a folder of its own, in which the examples are where they are here.
	dir, err := filepath.Abs(root)
	if err != nil {
		w.t.Fatal(err)
	}
	place := w.t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "testdata"), filepath.Join(place, "testdata")); err != nil {
		w.t.Fatal(err)
	}
	c := w.server.Credentials()
	cmd := exec.CommandContext(w.t.Context(), "bash", "-euo", "pipefail", "-c", text)
	cmd.Dir = place
	cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"URL="+w.url, "RUN="+run, "LONGSHORE_URL="+w.url,
		"LONGSHORE_CLIENT_ID="+c.ClientID, "LONGSHORE_CLIENT_SECRET="+c.ClientSecret)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Errorf("%v:\n%s\n%s", err, text, out)
	}
	return string(out)
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}

// The README's commands, one block after another on one server.
func TestReadme(t *testing.T) {
	t.Parallel()
	need(t, "bash", "curl", "sed")
	w := newWorld(t)
	scripts := blocks(t, "README.md", "sh")
	if len(scripts) != 3 {
		t.Fatalf("README.md has %d blocks of sh, want 3: test the new ones", len(scripts))
	}
	contains(t, w.script(scripts[0], ""),
		"action scaffold_service created\n", `"service":"checkout"`, `"language":"go"`, " scaffold_service IN_PROGRESS", "RUN ", "  scaffold_service  IN_PROGRESS  ")
	twice := w.script(scripts[1], "")
	contains(t, twice, "blueprint system created\nblueprint environment created\n", "blueprint system unchanged\nblueprint environment unchanged\n")
	if strings.Count(twice, " created\n") != 19 || strings.Count(twice, " unchanged\n") != 19 {
		t.Errorf("applied twice: %s", twice)
	}
	contains(t, w.script(scripts[2], ""), `{"ok":true,"run":{"id":"r_`, `"status":"IN_PROGRESS"`, `{"ok":true,"runs":[{"id":"r_`,
		`{"ok":true,"entity":{"identifier":"checkout"`, `"tier":"gold","slug":"go-checkout"`, `"dependsOn":["payments","catalog"]`)
	page, err := w.client.Runs(t.Context(), client.Filter{Action: "scaffold_service"})
	if err != nil || len(page.Runs) != 2 {
		t.Errorf("there are %d runs, want 2: %v", len(page.Runs), err)
	}
}

// What docs/receivers.md says about reporting and signing.
func TestReporting(t *testing.T) {
	t.Parallel()
	need(t, "bash", "curl", "sed", "tee")
	w := newWorld(t)
	r := newReceiver(t, accept)
	w.webhook("act", r.URL, "")
	run, _, err := w.client.StartRun(t.Context(), "act", client.Start{})
	if err != nil {
		t.Fatal(err)
	}
	r.next(t)
	scripts := blocks(t, "docs/receivers.md", "sh")
	if len(scripts) != 2 {
		t.Fatalf("docs/receivers.md has %d blocks of sh, want 2: test the new ones", len(scripts))
	}
	contains(t, w.script(scripts[0], run.ID), `"message":"cluster is up"`, `"status":"SUCCESS"`)
	run, err = w.client.Run(t.Context(), run.ID)
	if err != nil || run.Status != "SUCCESS" || string(run.Link) != `"https://ci.example.com/42"` {
		t.Errorf("the run is %+v: %v", run, err)
	}
	contains(t, w.script(scripts[1], ""), "X-Port-Timestamp: 1700000000\n", "the signature is valid\n")
}

// The receivers of docs/receivers.md take what is signed, refuse what is not, and go on.
func TestReceivers(t *testing.T) {
	t.Parallel()
	for language, c := range map[string]struct {
		file     string
		programs []string
		// build is what makes the program of the file, nil for nothing.
		build []string
		run   []string
	}{
		"go":     {"main.go", []string{"go"}, []string{"go", "build", "-o", "receiver", "main.go"}, []string{"./receiver"}},
		"js":     {"receiver.cjs", []string{"node"}, nil, []string{"node", "receiver.cjs"}},
		"python": {"receiver.py", []string{"python3"}, nil, []string{"python3", "receiver.py"}},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			need(t, c.programs...)
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(blocks(t, "docs/receivers.md", language)[0]), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.build != nil {
				build := exec.CommandContext(t.Context(), c.build[0], c.build[1:]...)
				build.Dir = dir
				build.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
				if out, err := build.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			w := newWorld(t)
			receive := startReceiver(t, dir, w.server.Credentials().ClientSecret, c.run)
			receive.signedAndForged(t, w.server.Credentials().ClientSecret)

			// A connection that breaks in the middle of a body leaves it alive.
			conn, err := net.Dial("tcp", strings.TrimPrefix(receive.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf"); err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()

			w.webhook("act", receive.url, "")
			run, _, err := w.client.StartRun(t.Context(), "act", client.Start{Properties: []byte(`{"name":"é {{ }}"}`)})
			if err != nil {
				t.Fatal(err)
			}
			receive.out.await(t, "run "+run.ID)
			w.delivered(run.ID)
		})
	}
}

// delivered waits until a run's first attempt is written, and checks that the answer was 202.
func (w *world) delivered(id string) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		attempts, err := w.client.Attempts(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(attempts) == 1 && attempts[0].StatusCode != nil {
			if got := *attempts[0].StatusCode; got != http.StatusAccepted {
				w.t.Errorf("the receiver answered %d", got)
			}
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("attempts %+v", attempts)
		}
	}
}

// receiving is a page's receiver in a process of its own.
type receiving struct {
	url string
	out *buffer
}

func startReceiver(t *testing.T, dir, secret string, command []string) *receiving {
	t.Helper()
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	r := &receiving{url: "http://" + address, out: newBuffer()}
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, r.out, r.out
	cmd.Env = append(os.Environ(), "PORT="+port, "LONGSHORE_CLIENT_SECRET="+secret)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not listen: %v\n%s", err, r.out)
		}
	}
}

// signedAndForged sends one request that is signed and many that are not, or not rightly.
func (r *receiving) signedAndForged(t *testing.T, secret string) {
	t.Helper()
	body := []byte(`{"service":"é","n":1}`)
	for name, c := range map[string]struct {
		secret string
		at     time.Time
		sent   []byte
		change func(http.Header)
		want   int
	}{
		"signed":                  {want: 202},
		"an empty body":           {sent: []byte{}, want: 401},
		"another secret":          {secret: strings.Repeat("x", 40), want: 401},
		"another body":            {sent: []byte(`{"service":"é","n":2}`), want: 401},
		"an hour old":             {at: time.Now().Add(-time.Hour), want: 401},
		"from the future":         {at: time.Now().Add(time.Hour), want: 401},
		"no signature":            {change: func(h http.Header) { h.Del(signature.PortSignature) }, want: 401},
		"an empty signature":      {change: func(h http.Header) { h.Set(signature.PortSignature, "v1,") }, want: 401},
		"beyond ASCII":            {change: func(h http.Header) { h.Set(signature.PortSignature, "v1,é") }, want: 401},
		"no time":                 {change: func(h http.Header) { h.Del(signature.PortTimestamp) }, want: 401},
		"another time":            {change: func(h http.Header) { h.Set(signature.PortTimestamp, fmt.Sprint(time.Now().Unix()-60)) }, want: 401},
		"a time that is none":     {change: func(h http.Header) { h.Set(signature.PortTimestamp, "²") }, want: 401},
		"a time with a sign":      {change: func(h http.Header) { h.Set(signature.PortTimestamp, "-1") }, want: 401},
		"Standard Webhooks' only": {change: func(h http.Header) { h.Set(signature.PortSignature, h.Get(signature.StandardSignature)) }, want: 401},
	} {
		header := http.Header{}
		if c.secret == "" {
			c.secret = secret
		}
		if c.at.IsZero() {
			c.at = time.Now()
		}
		if c.sent == nil {
			c.sent = body
		}
		if err := signature.Set(header, signature.Secrets{Current: c.secret}, "r_test", c.at, body); err != nil {
			t.Fatal(err)
		}
		if c.change != nil {
			c.change(header)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url, bytes.NewReader(c.sent))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = header
		request.Header.Set("Idempotency-Key", "r_"+strings.ReplaceAll(name, " ", "_"))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, r.out)
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode != c.want {
			t.Errorf("%s: status %d, want %d", name, response.StatusCode, c.want)
		}
	}
	r.out.await(t, "run r_signed")
	if strings.Count(r.out.String(), "run r_") != 1 {
		t.Errorf("more than the signed request was taken:\n%s", r.out)
	}
}

// freeAddress is where nobody listens: a port below those that the system gives out, which another
// test's server would be given at any moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("no port between 20000 and 29999 is free")
	return ""
}
