package run_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

func agentRun(at time.Time) *run.Run {
	r := &run.Run{ID: run.NewID(at), Backend: invocation.BackendAgent, Pending: run.Claimable{Installation: "agent", Method: "WEBHOOK"}}
	r.Start(at, "waits")
	return r
}

// An acknowledged run counts as delivered: its time-out begins anew, and nothing waits any more.
func TestAcknowledgedRunIsDelivered(t *testing.T) {
	t.Parallel()
	at := time.Now().UTC().Truncate(time.Millisecond)
	r := agentRun(at)
	const timeout = time.Hour
	if r.Sweep(at.Add(run.Unsent), timeout, "waits") != run.Rest || !r.Due.Equal(at.Add(timeout)) {
		t.Fatalf("due %v, want the deadline, %v", r.Due, at.Add(timeout))
	}
	late := at.Add(50 * time.Minute)
	if err := errors.Join(r.Hold(late, "agent", run.ClaimFor), r.Acknowledge(late, "client")); err != nil {
		t.Fatal(err)
	}
	if r.Sweep(at.Add(timeout), timeout, "waits") != run.Rest || !r.Due.Equal(late.Add(timeout)) || r.Delivery.Waiting != "" {
		t.Errorf("due %v, waiting %q; want the deadline of the delivery, %v", r.Due, r.Delivery.Waiting, late.Add(timeout))
	}
	if r.Sweep(late.Add(timeout), timeout, "waits") != run.TimedOut || r.Status != run.Failure {
		t.Errorf("run is %s, want it timed out", r.Status)
	}
}

// A run that nobody claims times out, with a lease that lapsed too, and leaves the index.
func TestUnclaimedRunTimesOut(t *testing.T) {
	t.Parallel()
	at := time.Now()
	r := agentRun(at)
	if err := r.Hold(at, "agent", run.ClaimFor); err != nil {
		t.Fatal(err)
	}
	r.Sweep(at.Add(run.Unsent), time.Hour, "waits")
	if r.Sweep(at.Add(time.Hour), time.Hour, "waits") != run.TimedOut || r.PendingKey() != "" {
		t.Errorf("run is %s, pending for %q", r.Status, r.PendingKey())
	}
}

// A response may come before the end, and once after it if there was none.
func TestResponseOfAnAgent(t *testing.T) {
	t.Parallel()
	at := time.Now()
	r := agentRun(at)
	if err := errors.Join(r.Answer(at, "client"), r.Answer(at, "client"), r.End(at, "client", run.Success, "")); err != nil {
		t.Fatal(err)
	}
	if err := r.Answer(at, "client"); !fault.Is(err, "run_already_ended") {
		t.Errorf("a second response after the end: %v", err)
	}
	r = agentRun(at)
	if err := errors.Join(r.End(at, "client", run.Failure, ""), r.Answer(at, "client")); err != nil || !r.HasResponse {
		t.Errorf("the first response after the end: %v", err)
	}
	r = agentRun(at)
	r.Await(at, time.Hour)
	if err := r.Answer(at, "client"); !fault.Is(err, "run_not_in_progress") {
		t.Errorf("a response of a run that waits: %v", err)
	}
}

// failing is a store that fails at one run.
type failing struct {
	runs map[string]*run.Run
	ids  []string
	at   string
}

func (f failing) Pending(context.Context, time.Time, run.PendingFilter) ([]string, error) {
	return slices.Clone(f.ids), nil
}

func (f failing) Update(_ context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	if id == f.at {
		return nil, fault.Busy(errors.New("throttled"), 0, "the store is busy")
	}
	_, err := move(f.runs[id])
	return f.runs[id], err
}

// What was claimed before the store failed is not lost to the claimer.
func TestClaimsBeforeAFaultAreGivenOut(t *testing.T) {
	t.Parallel()
	at := time.Now()
	f := failing{runs: map[string]*run.Run{}}
	for i := range 3 {
		r := agentRun(at.Add(time.Duration(i) * time.Millisecond))
		f.runs[r.ID] = r
		f.ids = append(f.ids, r.ID)
	}
	f.at = f.ids[2]
	claimed, err := run.ClaimPending(t.Context(), f, at, run.PendingFilter{Installation: "agent", Limit: 3}, run.ClaimFor)
	if fault.KindOf(err) != fault.Unavailable || len(claimed) != 2 || !slices.Equal([]string{claimed[0].ID, claimed[1].ID}, f.ids[:2]) {
		t.Errorf("claimed %d runs, error %v; want the two before the fault", len(claimed), err)
	}
}
