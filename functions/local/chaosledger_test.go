package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"longshore/pkg/api/client"
)

// ledger is what clients and receivers know of each run.
type ledger struct {
	t      *testing.T
	server *phoenix
	seed   uint64
	// receivers are several, as hosts are; each runs the odd and the even actions' deliveries.
	receivers [4]*httptest.Server
	// work are runs that a receiver took on and reports on; taken are those that it took at all.
	work, taken chan int
	// crossed yields for each mark that the number of accepted runs has come to.
	crossed chan struct{}
	group   sync.WaitGroup

	mu                   sync.Mutex
	lines                []line
	marks                []int
	accepted, unanswered int
	// foreign are deliveries that no client asked for.
	foreign int
}

// line is one run.
type line struct {
	// run is the id that the client was told.
	run string
	// key is the Idempotency-Key of the first delivery; otherKeys says that another one had another.
	key       string
	otherKeys bool
	// deliveries are all that arrived, successes those that were answered so.
	deliveries, successes int
	// refused says that a receiver refused it for good, at work that its end is being reported.
	refused, atWork bool
	// recorded says that the server was seen to have its success; again are deliveries after that.
	recorded bool
	again    int
}

func newLedger(t *testing.T, p *phoenix, n int, seed uint64) *ledger {
	l := &ledger{
		t: t, server: p, seed: seed, lines: make([]line, n), work: make(chan int, n), taken: make(chan int, n),
		crossed: make(chan struct{}, n),
	}
	for i := range l.receivers {
		l.receivers[i] = httptest.NewServer(http.HandlerFunc(l.deliver))
		t.Cleanup(l.receivers[i].Close)
	}
	return l
}

// actions is how many there are: each receiver has one whose answer ends the run and one that reports
// the end later.
const actions = 8

func actionOf(i int) string { return fmt.Sprintf("act-%d", i%actions) }

// reports says that the end of a run is reported; otherwise the answer ends it.
func reports(i int) bool { return i%actions >= actions/2 }

// define saves the actions.
func (l *ledger) define() {
	l.t.Helper()
	for i := range actions {
		if _, err := l.server.client.CreateAction(l.t.Context(), json.RawMessage(fmt.Sprintf(`{"identifier":%q,
			"trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"n":{"type":"string"}},"required":["n"]}},
			"invocationMethod":{"type":"WEBHOOK","url":%q,"synchronized":%t,"body":{"n":"{{ .inputs.n }}","run":"{{ .run.id }}"}}}`,
			actionOf(i), l.receivers[i%len(l.receivers)].URL, !reports(i)))); err != nil {
			l.t.Fatal(err)
		}
	}
}

// deliver is a receiver: it notes the delivery and answers as the run's lot has it.
func (l *ledger) deliver(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	text, _ := io.ReadAll(r.Body)
	var body struct{ N, Run string }
	err := json.Unmarshal(text, &body)
	i, bad := strconv.Atoi(body.N)
	l.mu.Lock()
	if err != nil || bad != nil || i < 0 || i >= len(l.lines) || body.Run == "" {
		l.foreign++
		l.mu.Unlock()
		return
	}
	line := &l.lines[i]
	if line.key == "" {
		line.key = key
	}
	line.otherKeys = line.otherKeys || key != line.key || key != body.Run
	line.deliveries++
	if line.recorded {
		line.again++
	}
	times := line.deliveries
	l.mu.Unlock()
	l.answer(w, r, i, times)
}

// answer answers the delivery of a run that has come so often.
func (l *ledger) answer(w http.ResponseWriter, r *http.Request, i, times int) {
	lot := rand.New(rand.NewPCG(l.seed, uint64(i)+1))
	draw, fails := lot.IntN(1000), 1+lot.IntN(2)
	fail := func(status int, after string) {
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(status)
	}
	switch {
	case draw < 50:
		pause(r.Context(), time.Duration(lot.IntN(300))*time.Millisecond)
	case draw < 150 && times <= fails:
		fail(http.StatusServiceUnavailable, "1")
		return
	case draw < 200 && times <= fails:
		fail(http.StatusTooManyRequests, "1")
		return
	case draw >= 200 && draw < 230 && times == 1 && l.triedBefore(r.Context(), i):
		// The next try would be half a minute away.
		fail(http.StatusServiceUnavailable, "1")
		return
	case draw >= 200 && draw < 210 && times == 1:
		fail(http.StatusInternalServerError, "")
		return
	case draw >= 210 && draw < 220 && times == 1:
		// Until the caller gives up.
		<-r.Context().Done()
		return
	case draw >= 220 && draw < 230 && times == 1:
		cut(w)
		return
	case draw >= 230 && draw < 250:
		l.mu.Lock()
		l.lines[i].refused = true
		l.mu.Unlock()
		fail(http.StatusBadRequest, "")
		return
	}
	l.mu.Lock()
	line := &l.lines[i]
	line.successes++
	// A receiver that does as it should takes a key once, however often it comes.
	begin := reports(i) && !line.atWork
	line.atWork = line.atWork || begin
	l.mu.Unlock()
	if begin {
		l.work <- i
	}
	select {
	case l.taken <- i:
	default:
	}
	w.WriteHeader(http.StatusAccepted)
}

// cut resets the connection.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// report works off what receivers took on: a line of the log and then the end, by PATCH or by the line.
// Beside it what the server has recorded of successes is noted while it runs.
func (l *ledger) report(ctx context.Context) {
	for range reporters {
		l.group.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case i := <-l.work:
					l.reportOn(ctx, i)
				}
			}
		})
	}
	l.group.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case i := <-l.taken:
				l.look(ctx, i)
			}
		}
	})
}

func (l *ledger) reportOn(ctx context.Context, i int) {
	l.mu.Lock()
	id := l.lines[i].key
	l.mu.Unlock()
	for _, do := range []func(context.Context, *client.Client) error{
		func(ctx context.Context, c *client.Client) error {
			line := client.Line{Message: "worked"}
			if i%2 == 0 {
				line.TerminationStatus = "SUCCESS"
			}
			_, err := c.AppendLog(ctx, id, line)
			return err
		},
		func(ctx context.Context, c *client.Client) error {
			if i%2 == 0 {
				return nil
			}
			_, err := c.Report(ctx, id, client.Report{Status: "SUCCESS"})
			return err
		},
	} {
		// A report that was written and whose answer was lost is refused the second time.
		unanswered, err := l.server.ask(ctx, do)
		if err != nil && (unanswered == 0 || !isWord(err, "run_already_ended")) {
			l.t.Errorf("report on run %d: %v", i, err)
		}
	}
}

// look notes a run whose success the server has recorded.
func (l *ledger) look(ctx context.Context, i int) {
	if attempts := l.attempts(ctx, i); len(attempts) > 0 && succeeded(attempts[len(attempts)-1]) {
		l.mu.Lock()
		l.lines[i].recorded = true
		l.mu.Unlock()
	}
}

// triedBefore says that the attempt under way is not the first: a kill came between an earlier one's
// claim and its call.
func (l *ledger) triedBefore(ctx context.Context, i int) bool { return len(l.attempts(ctx, i)) > 1 }

// attempts are those of a run now.
func (l *ledger) attempts(ctx context.Context, i int) (attempts []client.Attempt) {
	l.mu.Lock()
	id := l.lines[i].key
	l.mu.Unlock()
	_, err := l.server.ask(ctx, func(ctx context.Context, c *client.Client) (err error) {
		attempts, err = c.Attempts(ctx, id)
		return err
	})
	if err != nil {
		l.t.Errorf("attempts of run %d: %v", i, err)
	}
	return attempts
}

func succeeded(a client.Attempt) bool {
	return !a.Interrupted && a.StatusCode != nil && *a.StatusCode/100 == 2
}
