package local_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/local"
)

// serverDir makes TestServerProcess a server on that data directory, until it is killed.
const serverDir = "LONGSHORE_TEST_SERVER"

// TestServerProcess is a server where another test starts it in a process of its own; otherwise it
// shows that such a process serves and can be killed.
func TestServerProcess(t *testing.T) {
	if dir := os.Getenv(serverDir); dir != "" {
		s, err := local.Open(t.Context(), config(dir))
		if err == nil {
			err = s.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("http://" + s.Addr())
		// The test that started it is gone when its end of the pipe is.
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	t.Parallel()
	p := startProcess(t, t.TempDir())
	if _, err := p.client.Actions(t.Context()); err != nil {
		t.Error(err)
	}
	p.kill()
	if _, err := p.client.Actions(t.Context()); err == nil {
		t.Error("it answers after it was killed")
	}
}

// process is a server in a process of its own.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	client *client.Client
}

func startProcess(t *testing.T, dir string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0], "-test.run", "^TestServerProcess$")}
	p.cmd.Env = append(os.Environ(), serverDir+"="+dir)
	var errs strings.Builder
	p.cmd.Stderr = &errs
	if _, err := p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	url := strings.TrimSpace(line)
	if err != nil || !strings.HasPrefix(url, "http://") {
		p.kill()
		t.Fatalf("no server: %q, %v\n%s", line, err, &errs)
	}
	credentials, err := local.ReadCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	p.client = connect(t, url, credentials)
	return p
}

// kill is kill -9, and waits until the process is gone.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// all returns every run, newest first.
func all(t *testing.T, c *client.Client) []*client.Run {
	t.Helper()
	page, err := c.Runs(t.Context(), client.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if page.Next != nil {
		t.Fatal("there are more than 1,000 runs")
	}
	return page.Runs
}

// kill -9 while runs are being delivered to a receiver that is slow: every run that was accepted is
// delivered after the restart, under its own key, and none again whose success was recorded.
func TestKillWhileDelivering(t *testing.T) {
	t.Parallel()
	const accepted, stuck = 300, 100
	// Every second delivery stays in hand, until as many workers have one as one host gets: half of them.
	var mu sync.Mutex
	arrived := 0
	held := make(chan string, accepted)
	rc := newReceiver(t, func(w http.ResponseWriter, r *http.Request, key string, _ int) {
		mu.Lock()
		arrived++
		hold := arrived%2 == 0
		mu.Unlock()
		if hold {
			held <- key
			<-r.Context().Done()
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	dir := t.TempDir()
	p := startProcess(t, dir)
	save(t, p.client, rc.URL)
	ids := trigger(t, p.client, accepted)
	interrupted := map[string]bool{}
	for deadline := time.After(patience); len(interrupted) < stuck; {
		select {
		case key := <-held:
			interrupted[key] = true
		case <-deadline:
			t.Fatalf("%d deliveries are in hand, want %d", len(interrupted), stuck)
		}
	}
	recorded := map[string]bool{}
	for _, r := range all(t, p.client) {
		if r.Status == "SUCCESS" {
			recorded[r.ID] = true
		}
	}
	p.kill()
	before := rc.restart(ok)
	if len(recorded) == 0 || len(before) >= accepted {
		t.Fatalf("at the kill %d runs had succeeded and %d been delivered, of %d: the test shows nothing", len(recorded), len(before), accepted)
	}

	p = startProcess(t, dir)
	succeed(t, p.client, ids)
	after := rc.counts()
	known := map[string]bool{}
	for _, id := range ids {
		known[id] = true
		switch {
		case recorded[id] && (before[id] != 1 || after[id] != 0):
			t.Errorf("run %s had succeeded and was delivered %d times before, %d times after the kill", id, before[id], after[id])
		case interrupted[id] && (before[id] != 1 || after[id] != 1):
			t.Errorf("run %s was in hand and was delivered %d times before, %d times after the kill", id, before[id], after[id])
		case before[id]+after[id] == 0 || after[id] > 1:
			t.Errorf("run %s was delivered %d times before, %d times after the kill", id, before[id], after[id])
		}
		attempts, err := p.client.Attempts(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if len(attempts) != before[id]+after[id] {
			t.Errorf("run %s was delivered %d times and has %d attempts", id, before[id]+after[id], len(attempts))
		}
		for i, a := range attempts {
			if last := i == len(attempts)-1; a.Interrupted == last || a.Number != i+1 || last && (a.StatusCode == nil || *a.StatusCode != 200) {
				t.Errorf("run %s has the attempts %+v", id, attempts)
			}
		}
	}
	for _, counts := range []map[string]int{before, after} {
		for key := range counts {
			if !known[key] {
				t.Errorf("a delivery has the key %q, which is no accepted run", key)
			}
		}
	}
	if got := len(all(t, p.client)); got != accepted {
		t.Errorf("there are %d runs, want %d", got, accepted)
	}
}

// kill -9 while clients start runs: what was answered is delivered, and a client that got no answer
// asks again under its key never gets a second run.
func TestKillWhileAccepting(t *testing.T) {
	t.Parallel()
	const enough, clients = 200, 16
	rc := newReceiver(t, ok)
	dir := t.TempDir()
	p := startProcess(t, dir)
	save(t, p.client, rc.URL)

	start := func(key string) client.Start {
		properties, _ := json.Marshal(map[string]string{"n": key})
		return client.Start{Properties: properties, IdempotencyKey: key}
	}
	var mu sync.Mutex
	answered := map[string]string{}
	unanswered := []string{}
	reached := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	for worker := range clients {
		group.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%d", worker, i)
				r, _, err := p.client.StartRun(ctx, "act", start(key))
				mu.Lock()
				if err != nil {
					unanswered = append(unanswered, key)
					mu.Unlock()
					var refused *client.Error
					if errors.As(err, &refused) {
						t.Errorf("refused: %v", err)
					}
					return
				}
				answered[key] = r.ID
				if len(answered) == enough {
					close(reached)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-reached:
	case <-time.After(patience):
		t.Fatal("too few runs are accepted")
	}
	p.kill()
	cancel()
	group.Wait()

	p = startProcess(t, dir)
	for key, id := range answered {
		if r, err := p.client.Run(t.Context(), id); err != nil || r.ID != id {
			t.Errorf("run %s of key %s was answered and is lost: %v", id, key, err)
		}
	}
	for _, key := range unanswered {
		group.Go(func() {
			r, _, err := p.client.StartRun(t.Context(), "act", start(key))
			var refused *client.Error
			switch {
			case errors.As(err, &refused) && refused.Word == "request_in_progress":
				// The kill came between key and run: the key is kept for the request for half a minute.
			case err != nil:
				t.Errorf("start run again: %v", err)
			default:
				mu.Lock()
				defer mu.Unlock()
				answered[key] = r.ID
			}
		})
	}
	group.Wait()
	if len(unanswered) == 0 || len(answered) < enough {
		t.Errorf("%d requests were without an answer, %d with: the test shows nothing", len(unanswered), len(answered))
	}
	var ids []string
	for _, id := range answered {
		ids = append(ids, id)
	}
	succeed(t, p.client, ids)
	if got := len(all(t, p.client)); got != len(answered) {
		t.Errorf("there are %d runs for %d keys", got, len(answered))
	}
	counts := rc.counts()
	for key, id := range answered {
		if counts[id] == 0 {
			t.Errorf("run %s of key %s was never delivered", id, key)
		}
	}
}

// kill -9 while runs wait for their next try: the tries that were made still count, and the next
// ones are made.
func TestKillWithRetriesPending(t *testing.T) {
	t.Parallel()
	rc := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ string, _ int) {
		// The kill comes before the second try of any.
		w.Header().Set("Retry-After", "10")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	dir := t.TempDir()
	p := startProcess(t, dir)
	save(t, p.client, rc.URL)
	ids := trigger(t, p.client, 20)
	for _, id := range ids {
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			attempts, err := p.client.Attempts(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if len(attempts) > 0 && attempts[0].NextAttemptAt != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("run %s has the attempts %+v", id, attempts)
			}
		}
	}
	p.kill()
	before := rc.restart(ok)

	p = startProcess(t, dir)
	succeed(t, p.client, ids)
	after := rc.counts()
	for _, id := range ids {
		attempts, err := p.client.Attempts(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if before[id]+after[id] != len(attempts) || after[id] != 1 {
			t.Errorf("run %s was delivered %d times before, %d times after the kill, and has %d attempts", id, before[id], after[id], len(attempts))
		}
		for i, a := range attempts {
			want := http.StatusServiceUnavailable
			if i == len(attempts)-1 {
				want = http.StatusOK
			}
			if a.Interrupted || a.StatusCode == nil || *a.StatusCode != want {
				t.Errorf("run %s: attempt %+v, want status %d", id, a, want)
			}
		}
	}
}
