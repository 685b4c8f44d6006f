package main

import (
	"cmp"
	"context"
	"encoding/json"
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

// chaosRuns and chaosSeed are how many runs the chaos ledger starts, and what its randomness begins with;
// TestMain takes both out of the environment.
var chaosRuns, chaosSeed = os.Getenv("LONGSHORE_CHAOS"), os.Getenv("LONGSHORE_CHAOS_SEED")

const (
	// loadFor bounds how long the runs may take to be accepted.
	loadFor = 5 * time.Minute
	// starters are the clients that start runs, reporters those that report on them, auditors those that
	// read what was recorded.
	starters, reporters, auditors = 64, 8, 16
)

// phoenix is a server that is killed and started again on the same data, each time at another address.
type phoenix struct {
	t    *testing.T
	data string
	http *http.Client
	// env and more are settings and arguments beside those that every server here has.
	env, more []string

	process *process
	kills   int
	// least, warm and most are its memory in bytes: when the first one was ready, when that was killed, and
	// the most that was seen.
	least, warm, most int64

	mu sync.Mutex
	// client is nil while there is no server; risen is closed when there is one again.
	client *client.Client
	risen  chan struct{}
}

// rise starts the server.
func (p *phoenix) rise() {
	p.t.Helper()
	p.process = start(p.t, p.env, append([]string{"serve", "--addr", "127.0.0.1:0", "--data", p.data, "--log-level", "error",
		"--client-id", "chaos", "--client-secret", benchSecret, "--call-timeout", "5s"}, p.more...)...)
	c, err := client.New(client.Config{URL: p.process.url, ClientID: "chaos", ClientSecret: benchSecret, HTTP: p.http})
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client = c
	close(p.risen)
}

// kill is kill -9.
func (p *phoenix) kill() {
	p.t.Helper()
	if seen := p.weigh(); p.kills == 0 {
		p.warm = seen
	}
	p.mu.Lock()
	p.client, p.risen = nil, make(chan struct{})
	p.mu.Unlock()
	if err := p.process.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	_ = p.process.cmd.Wait()
	p.kills++
}

// weigh reads how much memory the server has (proc(5), status, VmRSS, in kB).
func (p *phoenix) weigh() int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.process.cmd.Process.Pid))
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	kB, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	n, _ := strconv.ParseInt(kB, 10, 64)
	p.most = max(p.most, n<<10)
	return n << 10
}

// ask calls do with the present server until it succeeds, or fails for good: with an answer of the
// server's that is no temporary one. Nil when the context has ended. It returns how often it had no answer.
func (p *phoenix) ask(ctx context.Context, do func(context.Context, *client.Client) error) (unanswered int, err error) {
	for ctx.Err() == nil {
		p.mu.Lock()
		c, risen := p.client, p.risen
		p.mu.Unlock()
		if c == nil {
			select {
			case <-risen:
			case <-ctx.Done():
			}
			continue
		}
		err := do(ctx, c)
		if err == nil || ctx.Err() != nil {
			return unanswered, nil
		}
		if refused := (*client.Error)(nil); errors.As(err, &refused) && !temporary(refused) {
			return unanswered, err
		}
		unanswered++
		p.mu.Lock()
		gone := p.client != c
		p.mu.Unlock()
		if !gone {
			// Its connections broke before the test was told of the kill, or it is busy.
			pause(ctx, 20*time.Millisecond)
		}
	}
	return unanswered, nil
}

// temporary says that the same request may succeed later.
func temporary(e *client.Error) bool {
	return e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests || e.Word == "request_in_progress"
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// Runs are started with an idempotency key each, on the program itself, which is killed by SIGKILL at
// random moments and started again, while the receivers fail, hang, cut, refuse and answer late at
// random. At the end the ledger of who asked for a run and who got one is compared with what the server
// has: nothing that was accepted is lost or there twice, all has ended, nothing was delivered again once
// its success was recorded, and every delivery is an attempt on its run.
//
// LONGSHORE_CHAOS says how many runs (2,000 without), LONGSHORE_CHAOS_SEED repeats what was drawn.
func TestChaosLedger(t *testing.T) {
	t.Parallel()
	runs := given(t, chaosRuns, 2_000)
	chaos(t, &phoenix{t: t}, int(runs), max(4, int(runs)/2000), 4*time.Minute)
}

// The same on DynamoDB and SQS, with so few runs as the emulators can, and not in every test run: what a
// kill interrupts there waits until its lease has lapsed, a minute and a half.
func TestChaosLedgerOnAWS(t *testing.T) {
	if chaosRuns == "" {
		t.Skip("LONGSHORE_CHAOS is not set")
	}
	tables, queues := emulator.DynamoDB(t), emulator.SQS(t)
	p := &phoenix{t: t, more: []string{"--aws", "--aws-create"}, env: []string{
		"AWS_ENDPOINT_URL_DYNAMODB=" + tables, "AWS_ENDPOINT_URL_SQS=" + queues, "AWS_REGION=eu-west-1",
		"AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_CONFIG_FILE=/nowhere", "AWS_SHARED_CREDENTIALS_FILE=/nowhere",
	}}
	chaos(t, p, max(100, int(given(t, chaosRuns, 0))/500), 3, 4*time.Minute)
}

// given reads a setting.
func given(t *testing.T, text string, absent uint64) uint64 {
	t.Helper()
	if text == "" {
		return absent
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// chaos starts n runs, kills the server so often meanwhile and twice afterwards, gives all runs so long
// to end, and compares.
func chaos(t *testing.T, p *phoenix, n, times int, endFor time.Duration) {
	t.Helper()
	seed := given(t, chaosSeed, uint64(time.Now().UnixNano()))
	t.Logf("%d runs, LONGSHORE_CHAOS_SEED=%d", n, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	p.data, p.risen = t.TempDir(), make(chan struct{})
	p.http = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * starters}}
	l := newLedger(t, p, n, seed)
	p.rise()
	l.define()
	p.least = p.weigh()

	// Each comes when so many runs have been accepted and a moment has passed.
	kills := make([]int, times)
	for i := range kills {
		kills[i] = 1 + random.IntN(n)
	}
	slices.Sort(kills)
	l.marks = slices.Compact(kills)
	planned := len(l.marks)
	began := time.Now()
	background, stop := context.WithCancel(t.Context())
	defer func() {
		stop()
		l.group.Wait()
	}()
	l.report(background)
	accepted := l.load(background)
	tooLong := time.After(loadFor)
	for killed, done := 0, false; !done; {
		select {
		case <-l.crossed:
			pause(background, time.Duration(random.IntN(50))*time.Millisecond)
			p.kill()
			p.rise()
			killed++
		case <-accepted:
			// The last mark may have been crossed with them.
			done = killed == planned
		case <-tooLong:
			t.Fatalf("after %s %d of %d runs are accepted", loadFor, l.count(), n)
		}
	}
	loaded := time.Since(began)
	// Two more while the last runs wait for their next try.
	for range 2 {
		pause(background, time.Duration(random.IntN(1500))*time.Millisecond)
		p.kill()
		p.rise()
	}
	l.ended(endFor)
	ended := time.Since(began)
	stop()
	l.group.Wait()

	last := p.weigh()
	l.audit()
	p.weigh()
	const mib = 1 << 20
	t.Logf("%-58s %10.0f", "runs accepted a second, with all restarts", float64(n)/loaded.Seconds())
	t.Logf("%-58s %10.1f", "seconds until all had ended", ended.Seconds())
	t.Logf("%-58s %10d", "kills (SIGKILL), each followed by a restart", p.kills)
	t.Logf("%-58s %10.1f", "memory at the start, MiB", float64(p.least)/mib)
	t.Logf("%-58s %10.1f", "memory before the first kill, MiB", float64(p.warm)/mib)
	t.Logf("%-58s %10.1f", "memory at the end, MiB", float64(last)/mib)
	t.Logf("%-58s %10.2f", "memory at the end over that before the first kill", float64(last)/float64(p.warm))
	t.Logf("%-58s %10.1f", "most memory seen, its reading included, MiB", float64(p.most)/mib)
}

// load starts all runs; the channel is closed when all are accepted.
func (l *ledger) load(ctx context.Context) chan struct{} {
	next, done := make(chan int), make(chan struct{})
	var all sync.WaitGroup
	for range starters {
		all.Go(func() {
			for i := range next {
				l.startRun(ctx, i)
			}
		})
	}
	l.group.Go(func() {
		defer close(done)
		defer all.Wait()
		defer close(next)
		for i := range l.lines {
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	})
	return done
}

// startRun asks for a run until it is accepted.
func (l *ledger) startRun(ctx context.Context, i int) {
	properties, _ := json.Marshal(map[string]string{"n": strconv.Itoa(i)})
	q := client.Start{Properties: properties, IdempotencyKey: "key-" + strconv.Itoa(i)}
	var id string
	unanswered, err := l.server.ask(ctx, func(ctx context.Context, c *client.Client) error {
		r, _, err := c.StartRun(ctx, actionOf(i), q)
		if err == nil {
			id = r.ID
		}
		return err
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unanswered += unanswered
	if err != nil {
		l.t.Errorf("run %d is refused: %v", i, err)
	}
	l.lines[i].run = cmp.Or(l.lines[i].run, id)
	l.accepted++
	for len(l.marks) > 0 && l.accepted >= l.marks[0] {
		l.marks = l.marks[1:]
		l.crossed <- struct{}{}
	}
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}
