package sweep_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/dispatch/dispatchtest"
	"longshore/pkg/fault"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/sweep"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// bench is a sweeper over a store in memory, and what it sent.
type bench struct {
	store  *dispatchtest.Store
	config sweep.Config

	mu     sync.Mutex
	now    time.Time
	sent   []envelope
	before func(context.Context, queue.Message) error
	logs   bytes.Buffer
}

type envelope struct {
	Backend string
	Message queue.Message
	Delay   time.Duration
	Group   string
}

func newBench() *bench {
	b := &bench{store: dispatchtest.NewStore(), now: start}
	b.config = sweep.Config{
		Runs: b.store, Send: b, Log: slog.New(slog.NewTextHandler(&locked{b: b}, nil)),
		Now: func() time.Time {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.now
		},
	}
	return b
}

type locked struct{ b *bench }

func (l *locked) Write(p []byte) (int, error) {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	return l.b.logs.Write(p)
}

// Send implements queue.Sender.
func (b *bench) Send(ctx context.Context, name string, m queue.Message, delay time.Duration, group string) error {
	if b.before != nil {
		if err := b.before(ctx, m); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, envelope{name, m, delay, group})
	return nil
}

func (b *bench) record(t *testing.T, edits ...func(*run.Run)) *run.Run {
	t.Helper()
	r := &run.Run{ID: run.NewID(start), Backend: "webhook"}
	r.Start(start, "")
	for _, edit := range edits {
		edit(r)
	}
	if err := b.store.Create(t.Context(), r, &run.Body{}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (b *bench) sweep(t *testing.T) sweep.Report {
	t.Helper()
	report, err := sweep.New(b.config).Sweep(t.Context())
	if err != nil {
		t.Fatalf("sweep: %v", err)
	}
	return report
}

func (b *bench) get(t *testing.T, id string) *run.Run {
	t.Helper()
	r, err := b.store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (b *bench) lines(t *testing.T, id string) []string {
	t.Helper()
	logs, err := b.store.Logs(t.Context(), id, run.LogQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range logs {
		if l.CreatedBy != run.Own {
			t.Errorf("line %q is by %q", l.Message, l.CreatedBy)
		}
		lines = append(lines, l.Message)
	}
	return lines
}

func claimed(owner string, at time.Time) func(*run.Run) {
	return func(r *run.Run) {
		if _, err := r.Claim(at, r.Generation, owner, 75*time.Second); err != nil {
			panic(err)
		}
	}
}

func settled(owner string, at time.Time, o run.Outcome) func(*run.Run) {
	return func(r *run.Run) {
		if err := r.Settle(at, r.Generation, owner, run.Timeout, o); err != nil {
			panic(err)
		}
	}
}

func on(backend string) func(*run.Run) { return func(r *run.Run) { r.Backend = backend } }

func TestSteps(t *testing.T) {
	t.Parallel()
	const (
		kafka = "backend kafka is not configured in this deployment: the run waits until it is"
		agent = "the run waits until an agent or an integration claims it"
	)
	week := run.Timeout
	for _, c := range []struct {
		name  string
		edits []func(*run.Run)
		after time.Duration
		want  sweep.Report
		// due is when the run is due afterwards, 0 when it has ended.
		due     time.Duration
		waiting string
		lines   []string
		sent    bool
	}{
		{name: "nothing is due", after: 44 * time.Second, want: sweep.Report{}, due: 45 * time.Second},
		{name: "unsent", after: 45 * time.Second, want: sweep.Report{Due: 1, Sent: 1}, due: 90 * time.Second, sent: true},
		{name: "leased", edits: []func(*run.Run){claimed("a", start)}, after: 45 * time.Second, want: sweep.Report{Due: 1, Rested: 1}, due: 90 * time.Second},
		{
			name: "delivered, over", edits: []func(*run.Run){claimed("a", start), settled("a", start, run.Outcome{Verdict: run.Deliver})},
			after: week, want: sweep.Report{Due: 1, TimedOut: 1}, lines: []string{"Timed out: no end was reported within 168h0m0s of the delivery."},
		},
		{name: "undelivered, over", after: week, want: sweep.Report{Due: 1, TimedOut: 1}, lines: []string{"Timed out: not delivered within 168h0m0s of the start."}},
		{
			name: "not configured", edits: []func(*run.Run){on("kafka")}, after: time.Minute, want: sweep.Report{Due: 1, Rested: 1},
			due: 61 * time.Minute, waiting: kafka, lines: []string{kafka},
		},
		{
			name: "still not configured", edits: []func(*run.Run){on("kafka"), func(r *run.Run) { r.Delivery.Waiting = kafka }},
			after: time.Minute, want: sweep.Report{Due: 1, Rested: 1}, due: 61 * time.Minute, waiting: kafka,
		},
		{
			name: "configured at last", edits: []func(*run.Run){func(r *run.Run) { r.Delivery.Waiting = kafka }},
			after: time.Minute, want: sweep.Report{Due: 1, Sent: 1}, due: 105 * time.Second, sent: true,
		},
		{
			name: "not configured, over", edits: []func(*run.Run){on("kafka"), func(r *run.Run) { r.Delivery.Waiting = kafka }},
			after: week, want: sweep.Report{Due: 1, TimedOut: 1}, lines: []string{"Timed out: not delivered within 168h0m0s of the start; " + kafka + "."},
		},
		{
			name: "agent", edits: []func(*run.Run){on("agent"), func(r *run.Run) { r.Delivery.Waiting = agent }},
			after: time.Minute, want: sweep.Report{Due: 1, Rested: 1}, due: week, waiting: agent,
		},
		{name: "GitHub has longer", edits: []func(*run.Run){on("github")}, after: week, want: sweep.Report{Due: 1, Sent: 1}, due: week + 45*time.Second, sent: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench()
			b.config.Configured = func(backend string) bool { return backend != "kafka" }
			r := b.record(t, c.edits...)
			b.now = start.Add(c.after)
			if diff := cmp.Diff(c.want, b.sweep(t)); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			got := b.get(t, r.ID)
			due := start.Add(c.due)
			if c.due == 0 {
				due = time.Time{}
				if got.Status != run.Failure || got.StatusLabel != "timed out" {
					t.Errorf("run is %s %q", got.Status, got.StatusLabel)
				}
			}
			if !got.Due.Equal(due) || got.Delivery.Waiting != c.waiting {
				t.Errorf("due at %s, waiting %q; want %s, %q", got.Due, got.Delivery.Waiting, due, c.waiting)
			}
			if diff := cmp.Diff(c.lines, b.lines(t, r.ID)); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			var want []envelope
			if c.sent {
				want = []envelope{{Backend: r.Backend, Message: queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun}}}
			}
			if diff := cmp.Diff(want, b.sent); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestShortTimeout(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.config.Configured = func(string) bool { return false }
	b.config.Timeout = run.Timeouts(10 * time.Minute)
	r := b.record(t)
	b.now = start.Add(time.Minute)
	b.sweep(t)
	b.now = b.get(t, r.ID).Due
	if want := start.Add(10 * time.Minute); !b.now.Equal(want) {
		t.Errorf("due at %s, want the deadline %s", b.now, want)
	}
	if got := b.sweep(t); got.TimedOut != 1 {
		t.Errorf("report %+v, want one timed out", got)
	}
}

// A run that cannot be dealt with does not hold up the others.
func TestOneFaultyRun(t *testing.T) {
	t.Parallel()
	busy := fault.Busy(errors.New("throttled"), 0, "the store refuses")
	for _, c := range []struct {
		name  string
		spoil func(b *bench, id string)
		want  sweep.Report
		// sent says that the faulty run's message was sent.
		sent bool
	}{
		{"head unreadable", func(b *bench, id string) { b.failOn("Get", id, busy) }, sweep.Report{Due: 5, Sent: 4, Failed: 1}, false},
		{"head gone", func(b *bench, id string) { b.failOn("Get", id, fault.New(fault.NotFound, "", "no run")) }, sweep.Report{Due: 5, Sent: 4, Skipped: 1}, false},
		{"gone before it is moved", func(b *bench, id string) { b.failOn("Update", id, fault.New(fault.NotFound, "", "no run")) }, sweep.Report{Due: 5, Sent: 4, Skipped: 1}, true},
		{"not sent", func(b *bench, id string) {
			b.before = func(_ context.Context, m queue.Message) error {
				if m.PK == id {
					return busy
				}
				return nil
			}
		}, sweep.Report{Due: 5, Sent: 4, Failed: 1, Lag: time.Minute}, false},
		{"not moved", func(b *bench, id string) { b.failOn("Update", id, busy) }, sweep.Report{Due: 5, Sent: 4, Failed: 1, Lag: time.Minute}, true},
		{"panic", func(b *bench, id string) {
			b.store.Fail = func(_, which string) error {
				if which == id {
					panic("a fault of ours")
				}
				return nil
			}
		}, sweep.Report{Due: 5, Sent: 4, Failed: 1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench()
			b.config.Workers = 1
			var ids []string
			for i := range 5 {
				r := b.record(t, func(r *run.Run) { r.Due = start.Add(time.Duration(i) * time.Second) })
				ids = append(ids, r.ID)
			}
			b.now = start.Add(time.Minute + 2*time.Second)
			c.spoil(b, ids[2])
			if diff := cmp.Diff(c.want, b.sweep(t)); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			var sent []string
			for _, e := range b.sent {
				sent = append(sent, e.Message.PK)
			}
			want := slices.Clone(ids)
			if !c.sent {
				want = slices.Delete(want, 2, 3)
			}
			if diff := cmp.Diff(want, sent); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			if c.want.Failed > 0 && !strings.Contains(b.logs.String(), ids[2]) {
				t.Errorf("the log does not name the run:\n%s", b.logs.String())
			}
			b.store.Fail = nil
			if faulty := b.get(t, ids[2]); !faulty.Due.Equal(start.Add(2 * time.Second)) {
				t.Errorf("the faulty run is due at %s: it would not be swept again", faulty.Due)
			}
		})
	}
}

func (b *bench) failOn(method, id string, err error) {
	b.store.Fail = func(m, which string) error {
		if m == method && which == id {
			return err
		}
		return nil
	}
}

func TestListFails(t *testing.T) {
	t.Parallel()
	b := newBench()
	busy := fault.Busy(errors.New("throttled"), 0, "the store refuses")
	b.failOn("Due", "", busy)
	if _, err := sweep.New(b.config).Sweep(t.Context()); !errors.Is(err, busy) {
		t.Errorf("sweep = %v, want the store's error", err)
	}
}

// What somebody else wrote after the head was read is left alone.
func TestMovedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, move := range map[string]func(*run.Run){
		"claimed":  claimed("a", start.Add(time.Minute)),
		"reported": func(r *run.Run) { _ = r.End(start.Add(time.Minute), "client", run.Success, "") },
		"moved":    func(r *run.Run) { r.Sweep(start.Add(time.Minute), run.Timeout, "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench()
			r := b.record(t)
			b.now = start.Add(time.Minute)
			var theirs *run.Run
			b.before = func(ctx context.Context, m queue.Message) (err error) {
				theirs, err = b.store.Update(ctx, m.PK, func(r *run.Run) (*run.Write, error) {
					move(r)
					return &run.Write{}, nil
				})
				return err
			}
			if diff := cmp.Diff(sweep.Report{Due: 1, Skipped: 1}, b.sweep(t)); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(theirs, b.get(t, r.ID)); diff != "" {
				t.Errorf("their run was changed (-theirs +got):\n%s", diff)
			}
		})
	}
}

// An index that lags lists what has been moved or has ended.
func TestListedButNotDue(t *testing.T) {
	t.Parallel()
	b := newBench()
	ended := b.record(t, func(r *run.Run) { _ = r.End(start, "client", run.Success, "") })
	moved := b.record(t, func(r *run.Run) { r.Due = start.Add(time.Hour) })
	b.config.Runs = stale{b.store, []string{ended.ID, moved.ID, "r_0000000000000000"}}
	b.now = start.Add(time.Minute)
	if diff := cmp.Diff(sweep.Report{Due: 3, Skipped: 3}, b.sweep(t)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if len(b.sent) != 0 || b.get(t, ended.ID).Rev != 0 || b.get(t, moved.ID).Rev != 0 {
		t.Errorf("%d messages, or a run was written", len(b.sent))
	}
}

type stale struct {
	*dispatchtest.Store
	ids []string
}

func (s stale) Due(context.Context, time.Time, int) ([]string, error) { return s.ids, nil }

func TestLimit(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.config.Limit = 3
	for i := range 5 {
		b.record(t, func(r *run.Run) { r.Due = start.Add(time.Duration(i) * time.Second) })
	}
	b.now = start.Add(time.Minute)
	// At least as old as the last that was looked at: what is left may be due at the same time.
	if diff := cmp.Diff(sweep.Report{Due: 3, Sent: 3, Lag: 58 * time.Second}, b.sweep(t)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sweep.Report{Due: 2, Sent: 2}, b.sweep(t)); diff != "" {
		t.Errorf("second report (-want +got):\n%s", diff)
	}
}

// A sweep takes up no more runs once its reserve begins, finishes what it has, and says what is left.
func TestEndsBeforeItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, endsBeforeItsContext)
}

func endsBeforeItsContext(t *testing.T) {
	b := newBench()
	b.config.Workers = 2
	b.config.Reserve = 29 * time.Second
	for i := range 10 {
		b.record(t, func(r *run.Run) { r.Due = start.Add(time.Duration(i) * time.Second) })
	}
	b.now = start.Add(time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	end, _ := ctx.Deadline()
	b.before = func(ctx context.Context, _ queue.Message) error {
		// A moment more, for two timers at the same time fire in either order.
		slow, cancel := context.WithDeadline(context.Background(), end.Add(-b.config.Reserve+200*time.Millisecond))
		defer cancel()
		<-slow.Done()
		return ctx.Err()
	}
	report, err := sweep.New(b.config).Sweep(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if report.Due != 10 || report.Failed != 0 || report.Sent+report.Left != 10 || report.Sent > 4 {
		t.Errorf("report %+v, want 10 due and all but what was in hand left", report)
	}
	if want := time.Minute - time.Duration(report.Sent)*time.Second; report.Lag != want {
		t.Errorf("lag is %s, want that of the first that is left, %s", report.Lag, want)
	}
}

func TestNoTimeAtAll(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.record(t)
	b.now = start.Add(time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), sweep.DefaultReserve)
	defer cancel()
	report, err := sweep.New(b.config).Sweep(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sweep.Report{Due: 1, Left: 1, Lag: 15 * time.Second}, report); diff != "" || len(b.sent) != 0 {
		t.Errorf("%d messages, report (-want +got):\n%s", len(b.sent), diff)
	}
}

// No more than the workers are at it at once, and all of them are.
func TestWorkers(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.config.Workers = 4
	for range 12 {
		b.record(t)
	}
	b.now = start.Add(time.Minute)
	var mu sync.Mutex
	at, most := 0, 0
	full := make(chan struct{})
	b.before = func(context.Context, queue.Message) error {
		mu.Lock()
		if at++; at > most {
			if most = at; most == b.config.Workers {
				close(full)
			}
		}
		mu.Unlock()
		<-full
		mu.Lock()
		defer mu.Unlock()
		at--
		return nil
	}
	if report := b.sweep(t); report.Sent != 12 {
		t.Errorf("report %+v, want 12 sent", report)
	}
	if most != 4 {
		t.Errorf("%d were at it at once, want 4", most)
	}
}

// TestLinks keeps what starts each minute small: neither jq nor what uses it, nor AWS.
func TestLinks(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "longshore/pkg/sweep").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, pkg := range strings.Fields(string(out)) {
		for _, no := range []string{"itchyny/gojq", "aws-sdk-go-v2", "longshore/pkg/jqtemplate", "longshore/pkg/trigger", "longshore/pkg/dispatch", "modernc.org/sqlite", "net/http"} {
			if strings.Contains(pkg, no) {
				t.Errorf("sweep links %s", pkg)
			}
		}
	}
}

// A re-send is in the group of the run's host.
func TestResendHasTheGroup(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.record(t, func(r *run.Run) { r.Delivery.Host = "https://example.com:443" })
	b.now = start.Add(run.Unsent)
	b.sweep(t)
	if len(b.sent) != 1 || b.sent[0].Group != "https://example.com:443" {
		t.Errorf("sent %+v, want one in the group of its host", b.sent)
	}
}
