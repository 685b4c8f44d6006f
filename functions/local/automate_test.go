package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/emulator"
)

// Settings of the ledger of automations: how many changes, and what its randomness begins with. TestMain takes
// both out of the environment.
var automatedChanges, automatedSeed = os.Getenv("LONGSHORE_CHANGES"), os.Getenv("LONGSHORE_CHANGES_SEED")

// Clients change entities and start runs on the program itself, which is killed by SIGKILL at random moments and
// started again, while one automation always fails and the receiver of another one fails or hangs. At the end
// what was changed is compared with the runs that the server has: one of each automation for each change that
// it listens to, none else, and those of one entity begun in the order of its changes.
//
// LONGSHORE_CHANGES says how many changes and kills the program five times (500 and twice without),
// LONGSHORE_CHANGES_SEED repeats what was drawn.
func TestAutomatedChangesOnSQLite(t *testing.T) {
	t.Parallel()
	automated(t, &mortal{t: t, data: t.TempDir()}, 500, true)
}

// The same on DynamoDB and SQS. What a kill interrupts is delivered there once its lease has lapsed, after a
// minute: only that its run is there is asked.
func TestAutomatedChangesOnAWS(t *testing.T) {
	t.Parallel()
	name := strconv.FormatInt(time.Now().UnixNano(), 36)
	automated(t, &mortal{t: t, data: t.TempDir(), more: []string{"--aws", "--aws-create"}, env: []string{
		"AWS_ENDPOINT_URL_DYNAMODB=" + emulator.DynamoDB(t), "AWS_ENDPOINT_URL_SQS=" + emulator.SQS(t), "AWS_REGION=eu-west-1",
		"AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_CONFIG_FILE=/nowhere", "AWS_SHARED_CREDENTIALS_FILE=/nowhere",
		"LONGSHORE_RUNS_TABLE=runs-automated-" + name, "LONGSHORE_CATALOG_TABLE=catalog-automated-" + name,
	}}, 200, false)
}

// automated makes so many changes unless the environment says another number; settles says that the runs whose
// receiver is well have to end.
func automated(t *testing.T, m *mortal, n int, settles bool) {
	t.Helper()
	kills, seed := 2, uint64(time.Now().UnixNano())
	for _, setting := range []struct {
		text string
		read func(uint64)
	}{
		{automatedChanges, func(v uint64) { n, kills = int(v), 5 }},
		{automatedSeed, func(v uint64) { seed = v }},
	} {
		if v, err := strconv.ParseUint(setting.text, 10, 64); err == nil {
			setting.read(v)
		} else if setting.text != "" {
			t.Fatal(err)
		}
	}
	t.Logf("%d changes, LONGSHORE_CHANGES_SEED=%d", n, seed)
	// patience is for what should take a tenth of it.
	patience := 90*time.Second + time.Duration(n)*40*time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	random := rand.New(rand.NewPCG(seed, 0))
	m.http = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * writers}}
	m.risen = make(chan struct{})
	j := newJournal(t, m, n)
	m.rise()
	j.define(ctx)

	// All but one while changes are made, each a moment after so many are, and the last one behind them all.
	marks := make([]int, kills-1)
	for i := range marks {
		marks[i] = 1 + random.IntN(n*3/4)
	}
	slices.Sort(marks)
	began := time.Now()
	done := j.write(ctx, seed)
	for _, mark := range append(marks, n) {
		for made := 0; made < mark && ctx.Err() == nil; {
			select {
			case made = <-j.made:
			case <-done:
				made = n
			case <-ctx.Done():
			}
		}
		if mark == n {
			<-done
		}
		select {
		case <-time.After(time.Duration(random.IntN(20)) * time.Millisecond):
		case <-ctx.Done():
		}
		m.kill()
		m.rise()
	}
	written := time.Since(began)
	j.close(ctx)
	j.drained(ctx)
	found := j.read(ctx)
	drained := time.Since(began)
	if settles {
		j.settled(ctx)
	}
	if ctx.Err() != nil {
		t.Errorf("it takes longer than %s", 2*patience)
	}
	j.audit(found)
	j.failures(t.Context(), found)
	t.Logf("%-50s %8.1f", "seconds until all was changed, restarts included", written.Seconds())
	t.Logf("%-50s %8.1f", "seconds until all runs were there", drained.Seconds())
	t.Logf("%-50s %8d", "kills (SIGKILL), each followed by a restart", m.kills)
	m.kill()
}

// mortal is a server that is killed and started again on the same data, each time at another address.
type mortal struct {
	t    *testing.T
	data string
	http *http.Client
	// env and more are settings and arguments beside those that every server here has.
	env, more []string

	process *process
	kills   int

	mu sync.Mutex
	// client is nil while there is no server; risen is closed when there is one again.
	client *client.Client
	risen  chan struct{}
}

// rise starts the server.
func (m *mortal) rise() {
	m.t.Helper()
	m.process = start(m.t, m.env, append([]string{"serve", "--addr", "127.0.0.1:0", "--data", m.data, "--log-level", "error",
		"--client-id", "automated", "--client-secret", benchSecret, "--call-timeout", "1s"}, m.more...)...)
	c, err := client.New(client.Config{URL: m.process.url, ClientID: "automated", ClientSecret: benchSecret, HTTP: m.http})
	if err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.client = c
	close(m.risen)
}

// kill is kill -9. What the server said until then must be none of its own faults.
func (m *mortal) kill() {
	m.t.Helper()
	m.mu.Lock()
	m.client, m.risen = nil, make(chan struct{})
	m.mu.Unlock()
	if err := m.process.cmd.Process.Kill(); err != nil {
		m.t.Fatal(err)
	}
	_ = m.process.cmd.Wait()
	m.kills++
	for _, word := range []string{"DATA RACE", "panic", "set aside"} {
		if errs := m.process.errs.String(); strings.Contains(errs, word) {
			m.t.Errorf("the server said %q:\n%.5000s", word, errs)
		}
	}
}

// ask has something done once, by the present server or the next one. The error is the context's when it ends
// before.
func (m *mortal) ask(ctx context.Context, do func(*client.Client) error) error {
	for {
		m.mu.Lock()
		c, risen := m.client, m.risen
		m.mu.Unlock()
		if c != nil {
			return do(c)
		}
		select {
		case <-risen:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// must reads something, from the next server where this one dies meanwhile.
func (m *mortal) must(ctx context.Context, what string, do func(*client.Client) error) {
	for {
		err := m.ask(ctx, do)
		if err == nil || ctx.Err() != nil {
			return
		}
		if !unanswered(err) {
			m.t.Errorf("%s: %v", what, err)
			return
		}
		breathe(ctx)
	}
}

// unanswered says that something may have been done or not: the server gave no answer, or that it cannot now.
func unanswered(err error) bool {
	refused := (*client.Error)(nil)
	return !errors.As(err, &refused) || refused.Status == http.StatusServiceUnavailable || refused.Status == http.StatusTooManyRequests
}

// breathe waits a little: the test may not have been told of a kill yet, and no server tells when it is done.
func breathe(ctx context.Context) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
}

// change is one of an entity, by the sequence numbers before and after it, 0 where there was no entity.
type change struct {
	entity        string
	before, after int
}

func (c change) String() string { return fmt.Sprintf("%s from %d to %d", c.entity, c.before, c.after) }

// seq is the number that conditions look at.
func (c change) seq() int { return max(c.before, c.after) }
