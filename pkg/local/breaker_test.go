package local_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/breaker"
	"longshore/pkg/local"
)

// ahead is a clock that a test moves.
type ahead struct{ by atomic.Int64 }

func (a *ahead) Now() time.Time       { return time.Now().Add(time.Duration(a.by.Load())) }
func (a *ahead) pass(d time.Duration) { a.by.Add(int64(d)) }

// saveAnywhere keeps the action "act", whose webhook goes to the URL of its input.
func saveAnywhere(t *testing.T, c *client.Client) {
	t.Helper()
	_, err := c.CreateAction(t.Context(), json.RawMessage(`{"identifier":"act",
		"trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"n":{"type":"string"}}}},
		"invocationMethod":{"type":"WEBHOOK","url":"{{ .inputs.n }}","synchronized":true,"body":{}}}`))
	if err != nil {
		t.Fatal(err)
	}
}

func startAt(t *testing.T, c *client.Client, url string) string {
	t.Helper()
	r, _, err := c.StartRun(t.Context(), "act", client.Start{Properties: json.RawMessage(fmt.Sprintf(`{"n":%q}`, url))})
	if err != nil {
		t.Fatalf("start run: %v", err)
	}
	return r.ID
}

// follow moves the clock on until runs have ended, and fails the test unless all have with SUCCESS. It does so
// slowly: the lease of what is in hand, 75 s, must not lapse by it.
func follow(t *testing.T, c *client.Client, clock *ahead, ids []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		for ticks := time.NewTicker(time.Second); ; {
			select {
			case <-ctx.Done():
				ticks.Stop()
				return
			case <-ticks.C:
				clock.pass(5 * time.Second)
			}
		}
	})
	succeed(t, c, ids)
	cancel()
	all.Wait()
}

// Of 50 receivers one hangs, and has more runs than there are workers: the runs of the others end
// meanwhile, and once it answers again so do its own.
func TestOneOfFiftyHangs(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var hanging atomic.Int64
	hung := newReceiver(t, func(w http.ResponseWriter, r *http.Request, _ string, _ int) {
		hanging.Add(1)
		select {
		case <-release:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusOK)
	})
	var clock ahead
	config := config(t.TempDir())
	config.Workers, config.CallTimeout = 10, 45*time.Second
	c, _ := serve(t, local.WithTime(config, clock.Now))
	saveAnywhere(t, c)
	var waiting, others []string
	for range 30 {
		waiting = append(waiting, startAt(t, c, hung.URL))
	}
	for range 49 {
		rc := newReceiver(t, ok)
		others = append(others, startAt(t, c, rc.URL))
	}
	succeed(t, c, others)
	if n := hanging.Load(); n < 1 || n > 5 {
		t.Errorf("%d calls hang, want at most half of the workers", n)
	}
	for _, id := range waiting {
		if r, err := c.Run(t.Context(), id); err != nil || r.Status != "IN_PROGRESS" {
			t.Errorf("run %s of the receiver that hangs: %+v, %v", id, r, err)
		}
	}
	close(release)
	follow(t, c, &clock, waiting)
	for _, id := range waiting {
		if attempts, err := c.Attempts(t.Context(), id); err != nil || len(attempts) != 1 {
			t.Errorf("run %s has %d attempts, %v, want 1", id, len(attempts), err)
		}
	}
}

// A receiver fails until its runs wait, and is found well again by one of them.
func TestRunsWaitUntilTheirHostIsWell(t *testing.T) {
	t.Parallel()
	var well atomic.Bool
	rc := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ string, _ int) {
		if !well.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	var clock ahead
	config := config(t.TempDir())
	config.Breaker = breaker.Rules{Failures: 3, Window: time.Hour}
	c, url := serve(t, local.WithTime(config, clock.Now))
	saveAnywhere(t, c)
	var failed, waiting []string
	for range 3 {
		failed = append(failed, startAt(t, c, rc.URL))
	}
	opened := fmt.Sprintf("longshore_breaker_changes_total{backend=%q,to=%q} 1\n", "webhook", "open")
	await(t, func() bool { return strings.Contains(scrape(t, url), opened) })
	for range 5 {
		waiting = append(waiting, startAt(t, c, rc.URL))
	}
	host := rc.URL
	for _, id := range waiting {
		await(t, func() bool {
			r, err := c.Run(t.Context(), id)
			return err == nil && r.Waiting != nil && strings.HasPrefix(*r.Waiting, host+" is failing since ")
		})
		if attempts, err := c.Attempts(t.Context(), id); err != nil || len(attempts) != 0 {
			t.Errorf("run %s waits with %d attempts, %v", id, len(attempts), err)
		}
	}
	if text := scrape(t, url); !strings.Contains(text, "longshore_failing_hosts{backend=\"webhook\"} 1\n") ||
		!strings.Contains(text, "longshore_messages_total{backend=\"webhook\",event=\"waiting\"} ") {
		t.Errorf("metrics:\n%s", text)
	}
	well.Store(true)
	follow(t, c, &clock, append(failed, waiting...))
	for _, id := range waiting {
		if attempts, err := c.Attempts(t.Context(), id); err != nil || len(attempts) != 1 {
			t.Errorf("run %s has %d attempts, %v, want 1", id, len(attempts), err)
		}
		if r, err := c.Run(t.Context(), id); err != nil || r.Waiting != nil {
			t.Errorf("run %s still waits: %+v, %v", id, r, err)
		}
	}
	if text := scrape(t, url); !strings.Contains(text, "longshore_failing_hosts{backend=\"webhook\"} 0\n") || !strings.Contains(text, opened) {
		t.Errorf("metrics:\n%s", text)
	}
}

// await waits until something is so.
func await(t *testing.T, so func() bool) {
	t.Helper()
	ticks, end := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer ticks.Stop()
	for !so() {
		select {
		case <-ticks.C:
		case <-end:
			t.Fatal("it did not happen")
		}
	}
}

// scrape returns what GET /metrics answers.
func scrape(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
