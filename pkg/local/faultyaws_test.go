package local_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/pkg/api/client"
	"longshore/pkg/emulator"
	"longshore/pkg/local"
)

// ill is what is wrong with a service.
type ill int

const (
	well ill = iota
	// throttled refuses, broken answers 500, cutOff cuts before anything is done, lost does what is asked and
	// cuts then, slow answers late.
	throttled
	broken
	cutOff
	lost
	slow
)

// between is a service that its clients reach through a proxy, which makes it ill.
type between struct {
	*httptest.Server
	mu sync.Mutex
	// state says how it is for the next request.
	state func(r *http.Request) ill
	seen  map[ill]int
}

// newBetween returns a proxy in front of a service, which throttles with this error.
func newBetween(t *testing.T, endpoint, throttling string) *between {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	b := &between{state: func(*http.Request) ill { return well }, seen: map[ill]int{}}
	type losing struct{}
	pass := httputil.NewSingleHostReverseProxy(target)
	// As it came: answers carry checksums.
	pass.Transport = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	pass.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	pass.ModifyResponse = func(r *http.Response) error {
		if r.Request.Context().Value(losing{}) != nil {
			return errors.New("lost")
		}
		return nil
	}
	pass.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { cutConnection(w) }
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		state := b.state(r)
		b.seen[state]++
		b.mu.Unlock()
		refuse := func(status int, word string) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			text := fmt.Sprintf(`{"__type":%q,"message":"not now"}`, word)
			w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(text))), 10))
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
		switch state {
		case throttled:
			refuse(http.StatusBadRequest, throttling)
		case broken:
			refuse(http.StatusInternalServerError, "InternalServerError")
		case cutOff:
			cutConnection(w)
		case lost:
			pass.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), losing{}, true)))
		case slow:
			time.Sleep(200 * time.Millisecond)
			pass.ServeHTTP(w, r)
		default:
			pass.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func cutConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// is makes the service so for every request from now on.
func (b *between) is(state ill) { b.becomes(func(*http.Request) ill { return state }) }

func (b *between) becomes(state func(*http.Request) ill) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = state
}

// sometimes draws for each request whether the service is ill; each illness has its turn.
func sometimes(random *rand.Rand) func(*http.Request) ill {
	next := lost
	return func(*http.Request) ill {
		if random.IntN(100) < 85 {
			return well
		}
		now := next
		if next++; next > slow {
			next = throttled
		}
		return now
	}
}

// had says how often the service was so.
func (b *between) had(state ill) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[state]
}

// faultyWorld is a server on DynamoDB and SQS, each behind a proxy.
type faultyWorld struct {
	t               *testing.T
	server          *local.Server
	client          *client.Client
	tables, queues  *between
	rc              *receiver
	url, authorized string
	// accepted are the ids of runs that were.
	accepted []string
}

// DynamoDB and SQS throttle, fail, cut their connections before and after they have done what was asked,
// and answer late: a run is refused with 503 and is not there, or it is accepted and delivered. None is
// delivered again whose success is on record, and each delivery is an attempt.
func TestFaultyAWS(t *testing.T) {
	w := newFaultyWorld(t)
	t.Run("no table", w.noTable)
	t.Run("no queue", w.noQueue)
	t.Run("outcome not written", w.outcomeNotWritten)
	t.Run("now and then", w.nowAndThen)
	w.audit()
}

func newFaultyWorld(t *testing.T) *faultyWorld {
	w := &faultyWorld{
		t:      t,
		tables: newBetween(t, emulator.DynamoDB(t), "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"),
		queues: newBetween(t, emulator.SQS(t), "com.amazonaws.sqs#RequestThrottled"),
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": w.tables.URL, "AWS_ENDPOINT_URL_SQS": w.queues.URL,
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
	} {
		t.Setenv(name, value)
	}
	w.rc = newReceiver(t, ok)
	c := config(t.TempDir())
	name := strconv.FormatInt(time.Now().UnixNano(), 36)
	c.AWS, c.AWSCreate, c.RunsTable, c.CatalogTable = true, true, "runs-"+name, "catalog-"+name
	var err error
	if w.server, err = local.Open(t.Context(), c); err != nil {
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
	w.client = connect(t, w.url, w.server.Credentials())
	w.authorized = bearer(t, w.url, w.server.Credentials())
	save(t, w.client, w.rc.URL)
	return w
}

// ended waits until the runs that were accepted have. It lets the times pass until which those wait that
// something got lost of.
func (w *faultyWorld) ended(t *testing.T) {
	t.Helper()
	for _, id := range w.accepted {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for round := 1; ; round++ {
			r, err := w.client.Run(ctx, id)
			if err != nil {
				t.Fatalf("run %s was accepted: %v", id, err)
			}
			if r.Status != "IN_PROGRESS" {
				if r.Status != "SUCCESS" {
					t.Errorf("run %s ended %s", id, r.Status)
				}
				break
			}
			// Nothing is in hand that long where receivers answer at once.
			if round%100 == 0 {
				if err := w.server.MakeDue(ctx, id); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// noTable lets every request to DynamoDB fail in one way after the other.
func (w *faultyWorld) noTable(t *testing.T) {
	for _, state := range []ill{throttled, broken, cutOff} {
		w.tables.is(state)
		status, header, id := post(t, w.url, w.authorized)
		w.tables.is(well)
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || id != "" {
			t.Errorf("state %d: a run is answered with %d, Retry-After %q", state, status, header.Get("Retry-After"))
		}
	}
	if got := len(all(t, w.client)); got != 0 {
		t.Errorf("there are %d runs, want none", got)
	}
	// Slow is no fault.
	w.tables.is(slow)
	w.accepted = append(w.accepted, trigger(t, w.client, 1)...)
	w.tables.is(well)
	w.ended(t)
}

// noQueue lets every request to SQS fail: runs are accepted and sent once the queue is back.
func (w *faultyWorld) noQueue(t *testing.T) {
	n := 0
	w.queues.becomes(func(*http.Request) ill {
		n++
		return throttled + ill(n%3)
	})
	w.accepted = append(w.accepted, trigger(t, w.client, 4)...)
	w.queues.is(well)
	w.ended(t)
}

// outcomeNotWritten throttles DynamoDB from the moment of a call on, until its dispatcher gives up.
func (w *faultyWorld) outcomeNotWritten(t *testing.T) {
	var once sync.Once
	before := len(w.rc.counts())
	answered := func(http.ResponseWriter, *http.Request, string, int) {
		once.Do(func() { w.tables.is(throttled) })
	}
	w.rc.mu.Lock()
	w.rc.answer = answered
	w.rc.mu.Unlock()
	id := trigger(t, w.client, 1)[0]
	w.accepted = append(w.accepted, id)
	for deadline := time.After(patience); !strings.Contains(w.metrics(t), `event="broken"`); {
		select {
		case <-deadline:
			t.Fatal("the dispatcher never gives up")
		case <-time.After(50 * time.Millisecond):
		}
	}
	w.tables.is(well)
	if len(w.rc.counts()) != before+1 {
		t.Error("the run was not called")
	}
	if err := w.server.MakeDue(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.ended(t)
	if n := w.rc.counts()[id]; n != 2 {
		t.Errorf("the run was called %d times under its key, want 2", n)
	}
}

func (w *faultyWorld) metrics(t *testing.T) string {
	t.Helper()
	response, err := http.Get(w.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

// nowAndThen lets one of seven requests to either service fail while runs are started.
func (w *faultyWorld) nowAndThen(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for i, b := range []*between{w.tables, w.queues} {
		b.becomes(sometimes(rand.New(rand.NewPCG(seed, uint64(i)))))
	}
	const n = 40
	ids := make([]string, n)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := worker; i < n; i += 8 {
				for {
					r, _, err := w.client.StartRun(t.Context(), "act", client.Start{IdempotencyKey: "key-" + strconv.Itoa(i)})
					var refused *client.Error
					if errors.As(err, &refused) && (refused.Status == http.StatusServiceUnavailable || refused.Word == "request_in_progress") {
						continue
					}
					if err != nil {
						t.Errorf("run %d: %v", i, err)
						return
					}
					ids[i] = r.ID
					break
				}
			}
		})
	}
	group.Wait()
	w.accepted = append(w.accepted, ids...)
	w.tables.is(well)
	w.queues.is(well)
	w.ended(t)
	for state := throttled; state <= slow; state++ {
		if w.tables.had(state) == 0 || w.queues.had(state) == 0 {
			t.Errorf("state %d was never drawn", state)
		}
	}
}

// audit compares what was accepted and received with what is there.
func (w *faultyWorld) audit() {
	t := w.t
	if got := len(all(t, w.client)); got != len(w.accepted) {
		t.Errorf("there are %d runs, want the %d that were accepted", got, len(w.accepted))
	}
	counts := w.rc.counts()
	for _, id := range w.accepted {
		attempts, err := w.client.Attempts(t.Context(), id)
		if err != nil || counts[id] == 0 || len(attempts) < counts[id] {
			t.Errorf("run %s was delivered %d times and has %d attempts: %v", id, counts[id], len(attempts), err)
		}
		for i, a := range attempts {
			if last := i == len(attempts)-1; a.Interrupted == last {
				t.Errorf("run %s has the attempts %+v", id, attempts)
			}
		}
	}
}
