package approval_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/approval"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/sqlitestore"
)

var start = time.Date(2026, 3, 1, 10, 20, 30, 0, time.UTC)

// world is decisions over a store and a queue.
type world struct {
	*approval.Approval
	store *sqlitestore.Runs

	mu   sync.Mutex
	sent []queue.Message
	err  error
}

func (w *world) Send(ctx context.Context, backend string, m queue.Message, _ time.Duration, group string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := errors.Join(w.err, ctx.Err()); err != nil {
		return err
	}
	if backend != invocation.BackendWebhook || group != "https://example.com:443" {
		return fmt.Errorf("sent to %s, group %s", backend, group)
	}
	w.sent = append(w.sent, m)
	return nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "longshore.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w := &world{}
	if w.store, err = sqlitestore.NewRuns(t.Context(), db, sqlitestore.RunsOptions{}); err != nil {
		t.Fatal(err)
	}
	w.Approval = approval.New(approval.Config{
		Runs: w.store, Send: w, Configured: func(backend string) bool { return backend == invocation.BackendWebhook },
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return start.Add(time.Hour) },
	})
	return w
}

// await records a run that waits for approval of usr_0 to usr_19.
func (w *world) await(t *testing.T, required, backend string) string {
	t.Helper()
	r := &run.Run{ID: run.NewID(time.Now()), RequiredApproval: json.RawMessage(required), Backend: backend, Action: run.Action{Identifier: "a"}}
	r.Start(start, "")
	r.Await(start, 24*time.Hour)
	b := &run.Body{Properties: json.RawMessage(`{}`), Approval: &run.Approval{}, Invocation: &invocation.Invocation{
		V: 1, Type: "WEBHOOK", Backend: backend, Webhook: &invocation.Webhook{URL: "https://example.com/x", Method: "POST"},
	}}
	for i := range 20 {
		b.Approval.Approvers = append(b.Approval.Approvers, run.Approver{UserID: fmt.Sprintf("usr_%d", i)})
	}
	if err := w.store.Create(t.Context(), r, b); err != nil {
		t.Fatal(err)
	}
	return r.ID
}

func user(n int) identity.Caller {
	return identity.Caller{ID: fmt.Sprintf("usr_%d", n), User: &identity.User{Email: fmt.Sprintf("u%d@example.com", n)}}
}

var machine = identity.Caller{ID: "client", Machine: true}

func TestOnlyApproversDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.await(t, "true", invocation.BackendWebhook)
	// An Admin who was none when the run started to wait is none now.
	admin := user(99)
	admin.User.Role = identity.Admin
	for _, state := range []run.DecisionState{run.Approved, run.Refused} {
		if _, err := w.Decide(t.Context(), approval.Request{Caller: admin, RunID: id, State: state}); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s: %v, want forbidden", state, err)
		}
	}
	if r, err := w.store.Get(t.Context(), id); err != nil || r.Status != run.WaitingForApproval || len(r.Decisions) != 0 {
		t.Errorf("run is %+v, %v", r, err)
	}
	if _, err := w.Decide(t.Context(), approval.Request{Caller: machine, RunID: run.NewID(start), State: run.Approved}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("unknown run: %v, want not found", err)
	}
	// A run that needs no approval has no approvers, and the machine has nothing to decide.
	plain := &run.Run{ID: run.NewID(time.Now()), Backend: invocation.BackendWebhook}
	plain.Start(start, "")
	if err := w.store.Create(t.Context(), plain, &run.Body{Properties: json.RawMessage(`{}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Decide(t.Context(), approval.Request{Caller: user(0), RunID: plain.ID, State: run.Approved}); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("a run that needs none: %v, want forbidden", err)
	}
	if _, err := w.Decide(t.Context(), approval.Request{Caller: machine, RunID: plain.ID, State: run.Refused}); !fault.Is(err, "run_not_waiting_for_approval") {
		t.Errorf("a run that needs none: %v", err)
	}
}

func TestApproveSendsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.await(t, "true", invocation.BackendWebhook)
	q := approval.Request{Caller: user(3), RunID: id, State: run.Approved, Description: "go"}
	for range 2 {
		got, err := w.Decide(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		now := start.Add(time.Hour)
		want := []run.Decision{{UserID: "usr_3", State: run.Approved, Description: "go", At: now}}
		if diff := cmp.Diff(want, got.Decisions); diff != "" || got.Status != run.InProgress || !got.Due.Equal(now.Add(run.Unsent)) {
			t.Errorf("run is %+v", got.Run)
		}
	}
	// Without the invocation: the dispatcher reads the stored one.
	if diff := cmp.Diff([]queue.Message{{V: 1, PK: id, Generation: 1, Kind: queue.KindRun}}, w.sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	q.State = run.Refused
	if _, err := w.Decide(t.Context(), q); !fault.Is(err, "run_not_waiting_for_approval") {
		t.Errorf("a decline afterwards: %v", err)
	}
}

func TestApprovedRunIsNotLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.err = fault.Busy(errors.New("throttled"), 0, "the queue refuses")
	id := w.await(t, "true", invocation.BackendWebhook)
	got, err := w.Decide(t.Context(), approval.Request{Caller: user(0), RunID: id, State: run.Approved})
	if err != nil || got.Status != run.InProgress || got.Due.IsZero() {
		t.Errorf("run is %+v, %v; want it in progress and due", got, err)
	}

	id = w.await(t, "true", invocation.BackendKafka)
	got, err = w.Decide(t.Context(), approval.Request{Caller: machine, RunID: id, State: run.Approved})
	if err != nil || got.Status != run.InProgress || !strings.Contains(got.Delivery.Waiting, "kafka is not configured") {
		t.Errorf("run is %+v, %v; want it to wait for its backend", got, err)
	}
	if lines, err := w.store.Logs(t.Context(), id, run.LogQuery{Limit: 50}); err != nil || len(lines) != 1 || lines[0].Message != got.Delivery.Waiting {
		t.Errorf("log is %+v, %v", lines, err)
	}
}

// Twenty approvers at once make one start, whether one of them or all are needed.
func TestTwentyAtOnce(t *testing.T) {
	t.Parallel()
	for name, required := range map[string]string{"any": `{"type":"ANY"}`, "all": `{"type":"ALL"}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.await(t, required, invocation.BackendWebhook)
			var all sync.WaitGroup
			failed := make([]error, 20)
			for i := range failed {
				all.Go(func() {
					_, failed[i] = w.Decide(t.Context(), approval.Request{Caller: user(i), RunID: id, State: run.Approved})
				})
			}
			all.Wait()
			refused := 0
			for _, err := range failed {
				switch {
				case fault.Is(err, "run_not_waiting_for_approval"):
					refused++
				case err != nil:
					t.Error(err)
				}
			}
			want := map[string]int{"any": 19, "all": 0}[name]
			if refused != want || len(w.sent) != 1 {
				t.Errorf("%d refused, %d messages; want %d and 1", refused, len(w.sent), want)
			}
		})
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	r := &run.Record{
		Run:  &run.Run{Decisions: []run.Decision{{UserID: "usr_2", State: run.Approved}, {UserID: "client", State: run.Refused}}},
		Body: run.Body{Approval: &run.Approval{Approvers: []run.Approver{{UserID: "usr_1"}, {UserID: "usr_2"}}}},
	}
	if diff := cmp.Diff(r.Decisions, approval.List(r, false)); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(append(r.Decisions, run.Decision{UserID: "usr_1", State: run.Undecided}), approval.List(r, true)); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if got := approval.List(&run.Record{Run: &run.Run{}}, true); got == nil || len(got) != 0 {
		t.Errorf("a run that needs none lists %v", got)
	}
}
