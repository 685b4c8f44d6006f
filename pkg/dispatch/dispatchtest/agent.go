package dispatchtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

// agentRun records a run that agents fetch.
func (w *world) agentRun(t *testing.T) *run.Run {
	t.Helper()
	called := call(`{"a":1}`)
	called.Backend, called.Webhook.Agent = invocation.BackendAgent, true
	r := &run.Run{
		ID: run.NewID(w.clock()), Action: run.Action{Identifier: "deploy"}, Backend: invocation.BackendAgent,
		Source: run.SourceAPI, UserID: "client", CreatedBy: "client",
		Pending: run.Claimable{Installation: called.Installation(), Method: called.Type},
	}
	r.Start(w.clock(), "waits")
	w.create(t, r, &run.Body{Properties: []byte(`{}`), Invocation: called})
	return r
}

// fetch claims what may be claimed once there is something, since an index may lag, or nothing if none.
func (w *world) fetch(t *testing.T, none bool) []*run.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		got, err := run.ClaimPending(ctx, w.store, w.clock(), run.PendingFilter{Installation: invocation.AgentInstallation, Limit: 10}, run.ClaimFor)
		if err != nil {
			t.Fatalf("claim: %v", err)
		}
		if none || len(got) > 0 {
			return got
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal("nothing can be claimed")
		}
	}
}

func (w *world) acknowledge(t *testing.T, id string) error {
	t.Helper()
	_, err := w.store.Update(t.Context(), id, func(r *run.Run) (*run.Write, error) {
		return &run.Write{}, r.Acknowledge(w.clock(), "client")
	})
	return err
}

// Whoever claimed never heard of it: the run is another's once the lease has lapsed.
func agentClaimLost(t *testing.T, w *world) {
	r := w.agentRun(t)
	w.fetch(t, false)
	if got := w.fetch(t, true); len(got) != 0 {
		t.Errorf("%d runs are claimed while the lease holds", len(got))
	}
	// No message is sent for it, whatever is due.
	w.until(r.Due)
	if report := w.sweep(t); report.Sent != 0 {
		t.Errorf("sweep: %+v, want none sent", report)
	}
	w.pass(run.ClaimFor)
	if got := w.fetch(t, false); len(got) != 1 || got[0].ID != r.ID {
		t.Errorf("claimed %v, want the run again", got)
	}
	if err := w.acknowledge(t, r.ID); err != nil {
		t.Errorf("acknowledge: %v", err)
	}
	w.out.wantSent(t, 0)
	w.want(t, r.ID, 0, run.InProgress, run.Delivered)
}

// An acknowledgement that did not arrive lets the lease lapse; one whose answer was lost is on the run.
func agentAckLost(t *testing.T, w *world) {
	r := w.agentRun(t)
	w.fetch(t, false)
	w.pass(run.ClaimFor)
	if err := w.acknowledge(t, r.ID); !errors.Is(err, run.ErrNotClaimed) {
		t.Errorf("an acknowledgement after the lease: %v", err)
	}
	w.fetch(t, false)
	for i, want := range []error{nil, run.ErrAcknowledged} {
		if err := w.acknowledge(t, r.ID); !errors.Is(err, want) {
			t.Errorf("acknowledgement %d: %v, want %v", i+1, err, want)
		}
	}
	w.pass(24 * time.Hour)
	if got := w.fetch(t, true); len(got) != 0 {
		t.Errorf("an acknowledged run is claimed again: %v", got)
	}
	// Nobody reports: the time-out of the delivery ends it.
	w.until(r.StartedAt.Add(run.Timeout))
	w.sweep(t)
	w.want(t, r.ID, 0, run.InProgress, run.Delivered)
	w.until(w.get(t, r.ID).Due)
	if report := w.sweep(t); report.TimedOut != 1 {
		t.Errorf("sweep: %+v, want it timed out", report)
	}
	w.want(t, r.ID, 0, run.Failure, run.Delivered)
}
