package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	"longshore/pkg/fault"
	"longshore/pkg/local"
)

const (
	// patience is how long a test waits for what must happen, on a machine that is busy with others.
	patience = 3 * time.Minute
	// callTimeout is that of servers under test, as long as a worker's time for a message allows: a receiver on
	// a busy machine answers late.
	callTimeout = 40 * time.Second
)

// config is that of a server on a free port.
func config(data string) local.Config {
	return local.Config{
		Addr: "127.0.0.1:0", Data: data, EgressAllow: egress.Loopback(), CallTimeout: callTimeout, Log: slog.New(slog.DiscardHandler),
	}
}

// serve starts a server in this process and returns its client.
func serve(t *testing.T, c local.Config) (*client.Client, string) {
	t.Helper()
	s, err := local.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	url := "http://" + s.Addr()
	return connect(t, url, s.Credentials()), url
}

func connect(t *testing.T, url string, c local.Credentials) *client.Client {
	t.Helper()
	opened, err := client.New(client.Config{URL: url, ClientID: c.ClientID, ClientSecret: c.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// save keeps the action "act", whose webhook ends its runs with the answer.
func save(t *testing.T, c *client.Client, url string) {
	t.Helper()
	_, err := c.CreateAction(t.Context(), json.RawMessage(fmt.Sprintf(`{"identifier":"act",
		"trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"n":{"type":"string"}}}},
		"invocationMethod":{"type":"WEBHOOK","url":%q,"synchronized":true,"body":{"n":"{{ .inputs.n }}"}}}`, url)))
	if err != nil {
		t.Fatal(err)
	}
}

// trigger starts runs of "act", n at once by eight clients, and returns their ids.
func trigger(t *testing.T, c *client.Client, n int) []string {
	t.Helper()
	ids := make([]string, n)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := worker; i < n; i += 8 {
				r, _, err := c.StartRun(t.Context(), "act", client.Start{})
				if err != nil {
					t.Errorf("start run: %v", err)
					return
				}
				ids[i] = r.ID
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return ids
}

// succeed waits until runs have ended, and fails the test unless all have with SUCCESS.
func succeed(t *testing.T, c *client.Client, ids []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, id := range ids {
		r, err := c.Follow(ctx, id, 20*time.Millisecond, func(client.Log) {})
		if err != nil {
			t.Fatalf("follow run %s: %v", id, err)
		}
		if r.Status != "SUCCESS" {
			t.Errorf("run %s ended with %s", id, r.Status)
		}
	}
}

// receiver counts the deliveries of each run, by Idempotency-Key, and how many of one run there
// were at once.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	count   map[string]int
	inHand  map[string]int
	overlap []string
	// answer is told the run and how often it has come, this time included.
	answer func(w http.ResponseWriter, r *http.Request, key string, times int)
}

func newReceiver(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, key string, times int)) *receiver {
	t.Helper()
	rc := &receiver{count: map[string]int{}, inHand: map[string]int{}, answer: answer}
	rc.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		key := r.Header.Get("Idempotency-Key")
		rc.mu.Lock()
		rc.count[key]++
		rc.inHand[key]++
		times, answer := rc.count[key], rc.answer
		if rc.inHand[key] > 1 {
			rc.overlap = append(rc.overlap, key)
		}
		rc.mu.Unlock()
		answer(w, r, key, times)
		rc.mu.Lock()
		rc.inHand[key]--
		rc.mu.Unlock()
	}))
	t.Cleanup(rc.Close)
	return rc
}

// restart forgets what has come, and answers anew.
func (rc *receiver) restart(answer func(w http.ResponseWriter, r *http.Request, key string, times int)) (before map[string]int) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	before = rc.count
	rc.count, rc.inHand, rc.answer = map[string]int{}, map[string]int{}, answer
	return before
}

// counts returns how often each run has come.
func (rc *receiver) counts() map[string]int {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	counts := map[string]int{}
	for key, n := range rc.count {
		counts[key] = n
	}
	return counts
}

func ok(w http.ResponseWriter, _ *http.Request, _ string, _ int) { w.WriteHeader(http.StatusOK) }

func TestSecondOpenIsRefused(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	serve(t, config(data))
	_, err := local.Open(t.Context(), config(data))
	if !fault.Is(err, "data_in_use") || fault.KindOf(err) != fault.Conflict {
		t.Errorf("got %v", err)
	}
}

// A start that fails leaves the directory to the next one.
func TestFailedOpenLetsGo(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	c := config(data)
	c.TokenKey = "no key"
	if _, err := local.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "is no key,") {
		t.Fatalf("got %v", err)
	}
	serve(t, config(data))
}

func TestCredentialsAreKept(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "a", "b")
	if _, err := local.ReadCredentials(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the first start: %v", err)
	}
	var kept local.Credentials
	for i := range 2 {
		c := config(data)
		if i == 1 {
			c.ClientID = "client_given"
		}
		s, err := local.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		now, err := local.ReadCredentials(data)
		if err != nil {
			t.Fatal(err)
		}
		if made := i == 0; s.Made() != made {
			t.Errorf("start %d: made %v", i+1, s.Made())
		}
		if i == 0 {
			kept = now
		} else if now != kept || s.Credentials().ClientID != "client_given" || s.Credentials().ClientSecret != kept.ClientSecret {
			t.Errorf("start %d changed what is kept, or does not use what is given", i+1)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "credentials.json.") {
			t.Errorf("left behind: %s", entry.Name())
		}
	}
}

// With a queue that shuffles, duplicates and gives out what is in hand, every run is delivered once,
// those that fail once twice, and never two deliveries of a run at once.
func TestChaos(t *testing.T) {
	t.Parallel()
	var turn sync.Map
	rc := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, key string, times int) {
		if n := strings.Count(key, "a") + strings.Count(key, "b"); n > 1 && times == 1 {
			turn.Store(key, true)
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	c, _ := serve(t, local.WithChaos(config(t.TempDir())))
	save(t, c, rc.URL)
	ids := trigger(t, c, 300)
	succeed(t, c, ids)
	counts := rc.counts()
	if len(counts) != len(ids) {
		t.Errorf("%d runs were delivered, want %d", len(counts), len(ids))
	}
	for _, id := range ids {
		want := 1
		if _, failed := turn.Load(id); failed {
			want = 2
		}
		if counts[id] != want {
			t.Errorf("run %s was delivered %d times, want %d", id, counts[id], want)
		}
		if attempts, err := c.Attempts(t.Context(), id); err != nil || len(attempts) != want {
			t.Errorf("run %s has %d attempts, want %d: %v", id, len(attempts), want, err)
		}
	}
	if len(rc.overlap) > 0 {
		t.Errorf("delivered while in hand: %v", rc.overlap)
	}
}
