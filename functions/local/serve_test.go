package main

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/local"
)

// connect returns a client with the credentials of a data directory.
func connect(t *testing.T, url, data string) *client.Client {
	t.Helper()
	kept, err := local.ReadCredentials(data)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{URL: url, ClientID: kept.ClientID, ClientSecret: kept.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func get(t *testing.T, url string) int {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func TestServe(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	p := start(t, nil, "--addr", "127.0.0.1:0", "--data", data)
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json", "/metrics"} {
		if got := get(t, p.url+path); got != http.StatusOK {
			t.Errorf("%s answers %d", path, got)
		}
	}
	if got := get(t, p.url+"/v1/actions"); got != http.StatusUnauthorized {
		t.Errorf("/v1/actions answers %d without a token", got)
	}
	kept, err := local.ReadCredentials(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"client id      " + kept.ClientID + "\n", "client secret  " + kept.ClientSecret + "\n", "127.0.0.0/8,::1/128"} {
		p.errs.await(t, want)
	}
	if len(kept.ClientSecret) < 32 || !strings.HasPrefix(kept.OrgID, "org_") || len(kept.OrgID) != 20 {
		t.Errorf("made a secret of %d characters and the organization %s", len(kept.ClientSecret), kept.OrgID)
	}
	err = filepath.WalkDir(data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	// A second process on the same data says so and leaves the first alone.
	second := ran(t, nil, nil, "serve", "--addr", "127.0.0.1:0", "--data", data)
	if want := "longshore: another process uses the data directory " + data + "\n"; second.code != 1 || second.out != "" || second.err != want {
		t.Errorf("exit status %d, output %q, error %q; want 1, none, %q", second.code, second.out, second.err, want)
	}
	if got := get(t, p.url+"/healthz"); got != http.StatusOK {
		t.Errorf("the first process answers %d", got)
	}
	// So does one that finds its address taken.
	taken := ran(t, nil, nil, "serve", "--addr", strings.TrimPrefix(p.url, "http://"), "--data", t.TempDir())
	if taken.code != 1 || taken.out != "" || !strings.Contains(taken.err, "longshore: listen: ") || !strings.Contains(taken.err, "address already in use\n") {
		t.Errorf("exit status %d, output %q, error %q", taken.code, taken.out, taken.err)
	}

	p.signal(syscall.SIGTERM)
	if code, rest := p.wait(); code != 0 || rest != "" {
		t.Errorf("exit status %d, and more on standard output: %q", code, rest)
	}

	// The credentials are kept, and shown no more.
	again := start(t, nil, "serve", "--addr", "127.0.0.1:0", "--data", data)
	if _, err := connect(t, again.url, data).Actions(t.Context()); err != nil {
		t.Errorf("with the credentials of the first start: %v", err)
	}
	if now, err := local.ReadCredentials(data); err != nil || now != kept {
		t.Errorf("the credentials have changed: %v", err)
	}
	again.signal(syscall.SIGINT)
	if code, _ := again.wait(); code != 0 {
		t.Errorf("exit status %d after SIGINT", code)
	}
	if strings.Contains(again.errs.String(), kept.ClientSecret) {
		t.Error("the second start shows the secret")
	}
}

// A secret that is given, by flag or variable, is printed nowhere, not even where logs tell all.
func TestGivenSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	current, previous := strings.Repeat("current", 6), strings.Repeat("previous", 6)
	const key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	data := t.TempDir()
	r := newReceiver(t, accept)
	p := start(t, []string{"LONGSHORE_CLIENT_SECRET=" + current, "LONGSHORE_LOG_LEVEL=debug", "LONGSHORE_CLIENT_ID="},
		"--addr", "127.0.0.1:0", "--data", data, "--client-secret-previous", previous, "--token-key", key)
	kept, err := local.ReadCredentials(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{current, previous} {
		c, err := client.New(client.Config{URL: p.url, ClientID: kept.ClientID, ClientSecret: secret})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, client: c}
		w.webhook("act_"+secret[:4], r.URL, "")
		if _, _, err := c.StartRun(t.Context(), "act_"+secret[:4], client.Start{}); err != nil {
			t.Errorf("with the %s secret: %v", secret[:8], err)
		}
		r.next(t)
	}
	c, err := client.New(client.Config{URL: p.url, ClientID: kept.ClientID, ClientSecret: kept.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Actions(t.Context()); err == nil {
		t.Error("the secret of the data directory works although another was given")
	}
	p.signal(syscall.SIGTERM)
	if code, rest := p.wait(); code != 0 || rest != "" {
		t.Errorf("exit status %d, printed %q", code, rest)
	}
	// The id that was made is shown: nobody could log in without it.
	if want := "client id      " + kept.ClientID + "\n"; !strings.Contains(p.errs.String(), want) {
		t.Errorf("no %q in\n%s", want, p.errs)
	}
	for _, secret := range []string{current, previous, key, kept.ClientSecret} {
		if strings.Contains(p.errs.String(), secret) {
			t.Errorf("a secret is printed:\n%s", p.errs)
		}
	}
}

// Where only the id is given, the secret that was made is shown with it.
func TestGivenIDShowsTheMadeSecret(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := start(t, nil, "--addr", "127.0.0.1:0", "--data", data, "--client-id", "client_mine")
	kept, err := local.ReadCredentials(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"client id      client_mine\n", "client secret  " + kept.ClientSecret + "\n"} {
		p.errs.await(t, want)
	}
}

// An empty list of allowed addresses allows none; an empty variable is the default.
func TestEgressAllow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"default":           {nil, nil, "SUCCESS"},
		"an empty flag":     {nil, []string{"--egress-allow", ""}, "FAILURE"},
		"an empty variable": {[]string{"LONGSHORE_EGRESS_ALLOW="}, nil, "SUCCESS"},
		"another address":   {[]string{"LONGSHORE_EGRESS_ALLOW=10.0.0.0/8"}, nil, "FAILURE"},
		"a flag wins":       {[]string{"LONGSHORE_EGRESS_ALLOW=10.0.0.0/8"}, []string{"--egress-allow", "127.0.0.1"}, "SUCCESS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, accept)
			data := t.TempDir()
			p := start(t, c.env, append([]string{"--addr", "127.0.0.1:0", "--data", data}, c.args...)...)
			w := &world{t: t, client: connect(t, p.url, data), url: p.url, data: data}
			w.webhook("act", r.URL, synchronized)
			if got := w.call("run", "act", "--wait"); !strings.Contains(got.out, "act "+c.want) {
				t.Errorf("printed %q", got.out)
			}
			if called := len(r.requests) > 0; called != (c.want == "SUCCESS") {
				t.Errorf("the receiver was called: %v", called)
			}
		})
	}
}

// SIGTERM ends neither the delivery nor the request that is in hand, and what waits is delivered
// by the next process.
func TestStopFinishesWhatIsInHand(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	release := make(chan struct{})
	r := newReceiver(t, func(w http.ResponseWriter, _ string) {
		<-release
		w.WriteHeader(http.StatusOK)
	})
	p := start(t, nil, "--addr", "127.0.0.1:0", "--data", data)
	c := connect(t, p.url, data)
	w := &world{t: t, client: c}
	w.webhook("act", r.URL, synchronized)
	run, _, err := c.StartRun(t.Context(), "act", client.Start{})
	if err != nil {
		t.Fatal(err)
	}
	r.next(t)

	// A request of which one half is sent, on a connection that the server has begun to read.
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	kept, err := local.ReadCredentials(data)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]string{"clientId": kept.ClientID, "clientSecret": kept.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	head := "POST /v1/auth/access_token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: "
	if _, err := io.WriteString(conn, head+strconv.Itoa(len(body))+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// The server asks for the body: the handler is at work.
	continued := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
	if _, err := io.ReadFull(conn, continued); err != nil {
		t.Fatal(err)
	}

	p.signal(syscall.SIGTERM)
	awaitRefused(t, p.url)
	if _, err := conn.Write(body); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK") || !strings.Contains(string(answer), `"accessToken"`) {
		t.Errorf("the request in hand got %q: %v", answer, err)
	}
	close(release)
	if code, _ := p.wait(); code != 0 {
		t.Errorf("exit status %d\n%s", code, p.errs)
	}

	again := start(t, nil, "--addr", "127.0.0.1:0", "--data", data)
	c = connect(t, again.url, data)
	got, err := c.Run(t.Context(), run.ID)
	if err != nil || got.Status != "SUCCESS" {
		t.Errorf("the delivery in hand was not finished: %+v, %v", got, err)
	}
	if attempts, err := c.Attempts(t.Context(), run.ID); err != nil || len(attempts) != 1 || attempts[0].Interrupted {
		t.Errorf("attempts %+v: %v", attempts, err)
	}
	if len(r.requests) != 0 {
		t.Errorf("it was delivered again")
	}
}

// awaitRefused waits until nobody listens any more.
func awaitRefused(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			return
		}
		_ = conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("it goes on listening")
		}
	}
}

// A second signal ends the process at once.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	release := make(chan struct{})
	r := newReceiver(t, func(http.ResponseWriter, string) { <-release })
	defer close(release)
	p := start(t, nil, "--addr", "127.0.0.1:0", "--data", data)
	c := connect(t, p.url, data)
	(&world{t: t, client: c}).webhook("act", r.URL, "")
	if _, _, err := c.StartRun(t.Context(), "act", client.Start{}); err != nil {
		t.Fatal(err)
	}
	r.next(t)
	p.signal(syscall.SIGTERM)
	awaitRefused(t, p.url)
	p.signal(syscall.SIGTERM)
	if code, _ := p.wait(); code != -1 {
		t.Errorf("exit status %d, want death by the signal", code)
	}
}

// What the data directory holds and is not ours ends with a sentence, and is left as it is.
func TestForeignDataDirectory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, text, want string
		code             int
	}{
		"credentials":           {"credentials.json", "{", "longshore: read credentials that this program did not write: parse ", 2},
		"credentials of nobody": {"credentials.json", `{"orgId":"o","clientId":"c","clientSecret":"","tokenKey":"k"}`, "longshore: read credentials that this program did not write: parse ", 2},
		"database":              {"longshore.db", strings.Repeat("no database ", 1000), "longshore: open database: ", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			if err := os.WriteFile(filepath.Join(data, c.file), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got := callContext(ctx, "", "serve", "--addr", "127.0.0.1:0", "--data", data)
			if got.code != c.code || got.out != "" || !strings.HasPrefix(got.err, c.want) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("exit status %d, output %q, error %q", got.code, got.out, got.err)
			}
			if c.code == 2 && !strings.Contains(got.err, filepath.Join(data, c.file)) {
				t.Errorf("the file is not named: %q", got.err)
			}
			if text, err := os.ReadFile(filepath.Join(data, c.file)); err != nil || string(text) != c.text {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}
