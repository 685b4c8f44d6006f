package trigger_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/audit"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

// failed is a run of the action hello whose delivery failed.
func (w *world) failed(t *testing.T) string {
	t.Helper()
	w.actions.add(t, hello)
	id := w.start(t, request(t, "hello", `{"name":"x"}`)).Record.ID
	w.move(t, id, func(r *run.Run) error {
		if _, err := r.Claim(start, 1, "owner", time.Minute); err != nil {
			return err
		}
		return r.Settle(start, 1, "owner", time.Hour, run.Outcome{Verdict: run.Fail, StatusCode: 404, Error: "not found"})
	})
	w.queue.sent = nil
	return id
}

func (w *world) move(t *testing.T, id string, move func(*run.Run) error) {
	t.Helper()
	if _, err := w.store.Update(t.Context(), id, func(r *run.Run) (*run.Write, error) {
		return &run.Write{}, move(r)
	}); err != nil {
		t.Fatal(err)
	}
}

func TestRedeliver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.failed(t)
	before := w.read(t, id)
	w.later(time.Hour)
	got, err := w.Redeliver(t.Context(), identity.Caller{OrgID: "org_1", Machine: true, ID: "operator"}, id)
	if err != nil {
		t.Fatal(err)
	}
	now := start.Add(time.Hour)
	if got.Status != run.InProgress || got.Generation != 2 || got.UpdatedBy != "operator" || got.CreatedBy != "client" ||
		!got.StartedAt.Equal(now) || !got.Due.Equal(now.Add(run.Unsent)) || len(got.Attempts) != 0 {
		t.Errorf("run is %+v", got.Run)
	}
	if diff := cmp.Diff(before.Body, got.Body); diff != "" {
		t.Errorf("body (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(got.Run, w.read(t, id).Run); diff != "" {
		t.Errorf("answered and stored differ (-answered +stored):\n%s", diff)
	}
	want := []sent{{"webhook", "https://example.com:443", queue.Message{V: 1, PK: id, Generation: 2, Kind: queue.KindRun}}}
	if diff := cmp.Diff(want, w.queue.sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	closed, err := w.store.Attempts(t.Context(), id)
	if err != nil || len(closed) != 1 || closed[0].Generation != 1 || closed[0].StatusCode != 404 {
		t.Errorf("closed attempts %+v, error %v", closed, err)
	}

	// It is under way now: not again.
	_, err = w.Redeliver(t.Context(), identity.Caller{ID: "operator"}, id)
	wantFault(t, err, fault.Invalid, "run_not_redeliverable")
	if len(w.queue.sent) != 1 {
		t.Errorf("%d messages, want 1", len(w.queue.sent))
	}
}

// An automation that redelivers whatever fails is a loop: each time its run is one deeper.
func TestRedeliveryByARunIsCounted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		by   *identity.Call
		want int
	}{
		"a client":            {nil, 0},
		"an automation's run": {&identity.Call{Cause: audit.Cause{EventID: "event_1", RunID: "r_1", Depth: 3}}, 3},
		"an action's run":     {&identity.Call{Cause: audit.Cause{RunID: "r_1", Depth: 3}}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			id := w.failed(t)
			if _, err := w.Redeliver(t.Context(), identity.Caller{OrgID: "org_1", Machine: true, ID: "client", Call: c.by}, id); err != nil {
				t.Fatal(err)
			}
			if got := w.read(t, id).Causes(); got.Depth != c.want || got.RunID != id {
				t.Errorf("what the run changes follows from %+v, want depth %d", got, c.want)
			}
		})
	}
}

// TestRedeliverNotSent: once the run is reopened it goes on, whether its message was sent or not.
func TestRedeliverNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.failed(t)
	w.queue.err = errors.New("the queue is down")
	got, err := w.Redeliver(t.Context(), identity.Caller{ID: "operator"}, id)
	if err != nil || got.Generation != 2 {
		t.Fatalf("got %+v, error %v", got, err)
	}
	if stored := w.read(t, id); stored.Due.IsZero() || stored.Status != run.InProgress {
		t.Errorf("stored run is %+v", stored.Run)
	}
	if !strings.Contains(w.log.String(), "message not sent") {
		t.Errorf("our log is %s", w.log)
	}
}

func TestRedeliverWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.failed(t)
	w.restart(func(_ *world, c *trigger.Config) { c.Configured = func(string) bool { return false } })
	got, err := w.Redeliver(t.Context(), identity.Caller{ID: "operator"}, id)
	if err != nil {
		t.Fatal(err)
	}
	if got.Delivery.Waiting == "" || !got.Due.Equal(got.StartedAt.Add(run.Unsent)) || len(w.queue.sent) != 0 {
		t.Errorf("waiting %q, due %s, sent %+v", got.Delivery.Waiting, got.Due, w.queue.sent)
	}
	if lines := w.logs(t, id); len(lines) != 1 || !strings.Contains(lines[0], "backend "+invocation.BackendWebhook) {
		t.Errorf("log lines are %q", lines)
	}
}

func TestRedeliverRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		move func(*run.Run) error
		kind fault.Kind
		word string
	}{
		"in progress": {func(*run.Run) error { return nil }, fault.Invalid, "run_not_redeliverable"},
		"success":     {func(r *run.Run) error { return r.End(start, "x", run.Success, "") }, fault.Invalid, "run_not_redeliverable"},
		"failure that was reported": {
			func(r *run.Run) error { return r.End(start, "x", run.Failure, "") },
			fault.Invalid, "run_not_redeliverable",
		},
		"unknown": {nil, fault.NotFound, "not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.actions.add(t, hello)
			id := w.start(t, request(t, "hello", `{"name":"x"}`)).Record.ID
			if c.move != nil {
				w.move(t, id, c.move)
			} else {
				id = "r_9999999999999999"
			}
			w.queue.sent = nil
			_, err := w.Redeliver(t.Context(), identity.Caller{ID: "operator"}, id)
			wantFault(t, err, c.kind, c.word)
			if len(w.queue.sent) != 0 {
				t.Errorf("sent %+v, want nothing", w.queue.sent)
			}
		})
	}
}
