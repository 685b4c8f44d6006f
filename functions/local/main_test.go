package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/egress"
	"longshore/pkg/local"
)

// patience is how long a test waits for what must happen, on a machine that is busy with others.
const patience = 2 * time.Minute

// asMain makes this test binary the program itself.
const asMain = "LONGSHORE_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
	}
	// What a developer has set must not decide.
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "LONGSHORE_") && name != "LONGSHORE_REQUIRE_SERVICES" {
			_ = os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

// call runs a command line in this process.
func call(t *testing.T, in string, args ...string) result {
	t.Helper()
	return callContext(t.Context(), in, args...)
}

func callContext(ctx context.Context, in string, args ...string) result {
	var out, errs bytes.Buffer
	code := execute(ctx, args, &streams{strings.NewReader(in), &out, &errs})
	return result{code, out.String(), errs.String()}
}

// world is a server of the test's own.
type world struct {
	t         *testing.T
	url, data string
	server    *local.Server
	client    *client.Client
}

func newWorld(t *testing.T, edit ...func(*local.Config)) *world {
	t.Helper()
	w := &world{t: t, data: filepath.Join(t.TempDir(), "data")}
	config := local.Config{
		Addr: "127.0.0.1:0", Data: w.data, EgressAllow: egress.Loopback(), Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range edit {
		f(&config)
	}
	var err error
	w.server, err = local.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.server.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	if err := w.server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + w.server.Addr()
	c := w.server.Credentials()
	if w.client, err = client.New(client.Config{URL: w.url, ClientID: c.ClientID, ClientSecret: c.ClientSecret}); err != nil {
		t.Fatal(err)
	}
	return w
}

// call runs a command against the server, with the credentials of its data directory.
func (w *world) call(args ...string) result {
	w.t.Helper()
	return call(w.t, "", append(args, "--url", w.url, "--data", w.data)...)
}

// must is call for a command that has to succeed.
func (w *world) must(args ...string) result {
	w.t.Helper()
	r := w.call(args...)
	if r.code != 0 {
		w.t.Fatalf("%s: exit status %d: %s", strings.Join(args, " "), r.code, r.err)
	}
	return r
}

// webhook saves an action whose webhook is at a URL.
func (w *world) webhook(identifier, url, more string) {
	w.t.Helper()
	_, err := w.client.CreateAction(w.t.Context(), json.RawMessage(fmt.Sprintf(`{"identifier":%q,
		"trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{
			"name":{"type":"string"},"count":{"type":"number"},"tags":{"type":"array"},"on":{"type":"boolean"}}}},
		"invocationMethod":{"type":"WEBHOOK","url":%q,"body":{"inputs":"{{ .inputs }}"}%s}}`, identifier, url, more)))
	if err != nil {
		w.t.Fatal(err)
	}
}

// request is one delivery as a receiver saw it.
type request struct {
	key, body string
	header    http.Header
}

// receiver answers every delivery as it is told and hands it over.
type receiver struct {
	*httptest.Server
	requests chan request
}

func newReceiver(t *testing.T, answer func(w http.ResponseWriter, key string)) *receiver {
	t.Helper()
	r := &receiver{requests: make(chan request, 1000)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.requests <- request{q.Header.Get("Idempotency-Key"), string(body), q.Header}
		answer(w, q.Header.Get("Idempotency-Key"))
	}))
	t.Cleanup(r.Close)
	return r
}

// next returns the next delivery.
func (r *receiver) next(t *testing.T) request {
	t.Helper()
	select {
	case got := <-r.requests:
		return got
	case <-time.After(patience):
		t.Fatal("nothing was delivered")
		return request{}
	}
}

func accept(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusAccepted) }

// synchronized is a webhook's member that ends the run with the answer.
const synchronized = `,"synchronized":true`

// write makes a file of the test's own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// buffer is an output that may be read while a command writes to it; changed yields after each write.
type buffer struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newBuffer() *buffer { return &buffer{changed: make(chan struct{}, 1000)} }

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.text.Write(p)
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return n, err
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// await waits until the output has a text.
func (b *buffer) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(patience)
	for !strings.Contains(b.String(), text) {
		select {
		case <-b.changed:
		case <-deadline:
			t.Fatalf("no %q in the output:\n%s", text, b)
		}
	}
}
