package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/local"
	"longshore/pkg/queue"
	"longshore/pkg/queue/sqlitequeue"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/sqlitestore"
)

// openCommits opens store and queue over a database of the test's own.
func openCommits(t testing.TB) *local.Commits {
	t.Helper()
	return openCommitsIn(t, t.TempDir())
}

func openCommitsIn(t testing.TB, dir string) *local.Commits {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "longshore.db"))
	if err != nil {
		t.Fatalf("open database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	runs, err := sqlitestore.NewRuns(t.Context(), db, sqlitestore.RunsOptions{})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	messages, err := sqlitequeue.New(t.Context(), db, sqlitequeue.Options{})
	if err != nil {
		t.Fatalf("open queue: %v", err)
	}
	return &local.Commits{DB: db, Runs: runs, Queue: messages}
}

// newRun returns a run with a body of 4 KiB and its message.
func newRun(now time.Time) (*run.Run, *run.Body, *queue.Message) {
	r := &run.Run{
		ID: run.NewID(now), Action: run.Action{Identifier: "deploy", ID: "action_0123456789abcdef"},
		Backend: invocation.BackendWebhook, Source: run.SourceAPI, UserID: "client_1", CreatedBy: "client_1",
	}
	r.Start(now, "")
	text := `{"service":"` + strings.Repeat("x", 2000) + `"}`
	called := &invocation.Invocation{
		V: invocation.Version, Type: "WEBHOOK", Backend: invocation.BackendWebhook,
		Payload: json.RawMessage(`{"type":"WEBHOOK","url":"https://example.com","body":` + text + `}`),
		Webhook: &invocation.Webhook{URL: "https://example.com", Method: "POST", Body: &text},
	}
	body := &run.Body{Properties: json.RawMessage(`{"service":"cart"}`), User: json.RawMessage(`{"id":"client_1"}`), Invocation: called}
	return r, body, &queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun, Invocation: called}
}

// take receives one message that must be there.
func take(t *testing.T, c *local.Commits) queue.Received {
	t.Helper()
	got, err := c.Queue.Receive(t.Context(), invocation.BackendWebhook, 1, 0)
	if err != nil || len(got) != 1 {
		t.Fatalf("received %d messages, want 1: %v", len(got), err)
	}
	return got[0]
}

// none fails the test if a message is there.
func none(t *testing.T, c *local.Commits) {
	t.Helper()
	got, err := c.Queue.Receive(t.Context(), invocation.BackendWebhook, 10, 0)
	if err != nil || len(got) != 0 {
		t.Errorf("received %d messages, want none: %v", len(got), err)
	}
}

func claim(now time.Time) func(*run.Run) (*run.Write, error) {
	return func(r *run.Run) (*run.Write, error) {
		if _, err := r.Claim(now, 1, "owner", 75*time.Second); err != nil {
			return nil, err
		}
		return &run.Write{}, nil
	}
}

func outcome(now time.Time, o run.Outcome) func(*run.Run) (*run.Write, error) {
	return func(r *run.Run) (*run.Write, error) {
		return &run.Write{}, r.Settle(now, 1, "owner", run.Timeout, o)
	}
}

func noNext(*run.Run) (*queue.Message, time.Duration) { return nil, 0 }

func TestAcceptIsOneCommit(t *testing.T) {
	t.Parallel()
	c := openCommits(t)
	now := time.Now()
	r, b, m := newRun(now)
	before := c.DB.Stats().Commits
	if err := c.Accept(t.Context(), r, b, m, run.NewLog(now, r.ID, run.Own, "accepted")); err != nil {
		t.Fatalf("accept: %v", err)
	}
	if got := c.DB.Stats().Commits - before; got != 1 {
		t.Errorf("%d commits, want 1", got)
	}
	lines, err := c.Runs.Logs(t.Context(), r.ID, run.LogQuery{})
	if err != nil || len(lines) != 1 || lines[0].Message != "accepted" {
		t.Errorf("logs %v, %v; want the first line", lines, err)
	}
	record, err := c.Runs.Read(t.Context(), r.ID)
	if err != nil {
		t.Fatalf("read run: %v", err)
	}
	if diff := cmp.Diff(*b, record.Body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	sent, err := queue.Decode([]byte(take(t, c).Body))
	if err != nil {
		t.Fatalf("decode message: %v", err)
	}
	want := queue.Message{V: queue.Version, PK: r.ID, Generation: 1, Kind: queue.KindRun}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}

	// The same id again: no second message, no second line.
	err = c.Accept(t.Context(), r, b, m, run.NewLog(now, r.ID, run.Own, "accepted again"))
	if fault.KindOf(err) != fault.Conflict {
		t.Errorf("second accept: got error %v, want a conflict", err)
	}
	none(t, c)
	if lines, err := c.Runs.Logs(t.Context(), r.ID, run.LogQuery{}); err != nil || len(lines) != 1 {
		t.Errorf("%d lines after a refused accept: %v", len(lines), err)
	}
}

func TestAcceptWithoutMessage(t *testing.T) {
	t.Parallel()
	c := openCommits(t)
	r, b, _ := newRun(time.Now())
	if err := c.Accept(t.Context(), r, b, nil, nil); err != nil {
		t.Fatalf("accept: %v", err)
	}
	none(t, c)
	if _, err := c.Runs.Get(t.Context(), r.ID); err != nil {
		t.Errorf("get run: %v", err)
	}
}

func TestAcceptNothingOnAFullDisk(t *testing.T) {
	t.Parallel()
	c := openCommits(t)
	limit := func(pages int) {
		if err := c.DB.Write(t.Context(), func(tx *sqlite.Tx) error {
			if pages == 1 { // SQLite takes the present size for a limit below it.
				_, err := tx.Exec("PRAGMA max_page_count = 1")
				return err
			}
			_, err := tx.Exec("PRAGMA max_page_count = 1000000")
			return err
		}); err != nil {
			t.Fatalf("set the size limit: %v", err)
		}
	}
	limit(1)
	refused := map[string]bool{}
	for range 200 {
		now := time.Now()
		r, b, m := newRun(now)
		if err := c.Accept(t.Context(), r, b, m, run.NewLog(now, r.ID, run.Own, "accepted")); err != nil {
			if fault.KindOf(err) != fault.Unavailable {
				t.Fatalf("accept on a full disk: got error %v, want unavailable", err)
			}
			refused[r.ID] = true
		}
	}
	if len(refused) == 0 {
		t.Fatal("200 runs fit into no space")
	}
	limit(1_000_000)
	for id := range refused {
		if _, err := c.Runs.Get(t.Context(), id); fault.KindOf(err) != fault.NotFound {
			t.Errorf("run %s was refused and exists: %v", id, err)
		}
	}
	r, b, m := newRun(time.Now())
	if err := c.Accept(t.Context(), r, b, m, nil); err != nil {
		t.Errorf("accept once there is room: %v", err)
	}
	got, err := c.Queue.Receive(t.Context(), invocation.BackendWebhook, 1000, 0)
	if err != nil || len(got) != 201-len(refused) {
		t.Errorf("%d messages for %d accepted runs: %v", len(got), 201-len(refused), err)
	}
	for _, m := range got {
		if sent, err := queue.Decode([]byte(m.Body)); err != nil || refused[sent.PK] {
			t.Errorf("message of a refused run %s: %v", sent.PK, err)
		}
	}
}

func TestSettleIsOneCommit(t *testing.T) {
	t.Parallel()
	c := openCommits(t)
	now := time.Now()
	r, b, m := newRun(now)
	if err := c.Accept(t.Context(), r, b, m, nil); err != nil {
		t.Fatalf("accept: %v", err)
	}
	received := take(t, c)
	if _, err := c.Runs.Update(t.Context(), r.ID, claim(now)); err != nil {
		t.Fatalf("claim: %v", err)
	}
	before := c.DB.Stats().Commits
	got, err := c.Settle(t.Context(), received, r.ID,
		outcome(now, run.Outcome{Verdict: run.Retry, StatusCode: 503, NextTry: now}),
		func(r *run.Run) (*queue.Message, time.Duration) {
			if r.Delivery.NextTry.IsZero() {
				t.Errorf("next saw the run before its outcome")
			}
			return &queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun}, 0
		})
	if err != nil {
		t.Fatalf("settle: %v", err)
	}
	if commits := c.DB.Stats().Commits - before; commits != 1 {
		t.Errorf("%d commits, want 1", commits)
	}
	if len(got.Attempts) != 1 || got.Attempts[0].StatusCode != 503 {
		t.Errorf("attempts %+v", got.Attempts)
	}
	// The settled message is gone, the next one is there, and a second acknowledgement takes nothing.
	if err := c.Queue.Ack(t.Context(), invocation.BackendWebhook, received.Receipt); err != nil {
		t.Errorf("acknowledge again: %v", err)
	}
	next := take(t, c)
	if next.ID == received.ID {
		t.Errorf("the settled message came again")
	}
	none(t, c)
}

func TestSettleRefusedKeepsTheMessage(t *testing.T) {
	t.Parallel()
	failure := errors.New("no")
	for _, c := range []struct {
		name string
		move func(*run.Run) (*run.Write, error)
		next func(*run.Run) (*queue.Message, time.Duration)
		want func(error) bool
	}{
		{
			"the move refuses",
			func(*run.Run) (*run.Write, error) { return nil, failure }, noNext,
			func(err error) bool { return errors.Is(err, failure) },
		},
		{
			"the next message cannot be sent",
			outcome(time.Now(), run.Outcome{Verdict: run.Deliver}),
			func(r *run.Run) (*queue.Message, time.Duration) { return &queue.Message{PK: r.ID}, time.Hour },
			func(err error) bool { return err != nil },
		},
		{
			"the move panics",
			func(*run.Run) (*run.Write, error) { panic("out of order") }, noNext,
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "out of order") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			commits := openCommits(t)
			now := time.Now()
			r, b, m := newRun(now)
			if err := commits.Accept(t.Context(), r, b, m, nil); err != nil {
				t.Fatalf("accept: %v", err)
			}
			received := take(t, commits)
			if _, err := commits.Runs.Update(t.Context(), r.ID, claim(now)); err != nil {
				t.Fatalf("claim: %v", err)
			}
			before, err := commits.Runs.Get(t.Context(), r.ID)
			if err != nil {
				t.Fatalf("get run: %v", err)
			}
			if _, err := commits.Settle(t.Context(), received, r.ID, c.move, c.next); !c.want(err) {
				t.Errorf("settle: got error %v", err)
			}
			after, err := commits.Runs.Get(t.Context(), r.ID)
			if err != nil {
				t.Fatalf("get run: %v", err)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("a refused outcome changed the run (-want +got):\n%s", diff)
			}
			// What is still in hand can still be settled.
			if _, err := commits.Settle(t.Context(), received, r.ID,
				outcome(now, run.Outcome{Verdict: run.Deliver, StatusCode: 200}), noNext); err != nil {
				t.Errorf("settle again: %v", err)
			}
		})
	}
}

// BenchmarkRun measures the way of a run through store and queue, 64 at once.
func BenchmarkRun(b *testing.B) {
	const callers = 64
	type step struct {
		name string
		do   func(ctx context.Context, c *local.Commits, now time.Time, r *run.Run, body *run.Body, m *queue.Message) error
	}
	accept := step{"accept", func(ctx context.Context, c *local.Commits, now time.Time, r *run.Run, body *run.Body, m *queue.Message) error {
		return c.Accept(ctx, r, body, m, nil)
	}}
	whole := step{"accept, receive, claim, read, settle", func(ctx context.Context, c *local.Commits, now time.Time, r *run.Run, body *run.Body, m *queue.Message) error {
		if err := c.Accept(ctx, r, body, m, nil); err != nil {
			return err
		}
		got, err := c.Queue.Receive(ctx, invocation.BackendWebhook, 1, 10*time.Second)
		if err != nil {
			return err
		}
		sent, err := queue.Decode([]byte(got[0].Body))
		if err != nil {
			return err
		}
		if _, err := c.Runs.Update(ctx, sent.PK, claim(now)); err != nil {
			return err
		}
		if _, err := c.Runs.Read(ctx, sent.PK); err != nil {
			return err
		}
		_, err = c.Settle(ctx, got[0], sent.PK, outcome(now, run.Outcome{Verdict: run.Deliver, StatusCode: 200}), noNext)
		return err
	}}
	for _, s := range []step{accept, whole} {
		b.Run(s.name, func(b *testing.B) {
			c := openCommits(b)
			before := c.DB.Stats()
			work := make(chan struct{})
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for range work {
						now := time.Now()
						r, body, m := newRun(now)
						if err := s.do(b.Context(), c, now, r, body, m); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			all.Wait()
			after := c.DB.Stats()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
			b.ReportMetric(float64(after.Commits-before.Commits)/float64(b.N), "fsyncs/run")
		})
	}
}
