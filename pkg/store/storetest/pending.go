package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

const agentID = "_PORT_EXEC_AGENT"

// forAgent is an edit of a new run that agents fetch.
func forAgent(r *run.Run) {
	r.Backend = invocation.BackendAgent
	r.Pending = run.Claimable{Installation: agentID, Method: "WEBHOOK"}
}

// createPending records n runs for agents, a millisecond apart, and waits until all can be found.
func createPending(t *testing.T, s RunStore, at time.Time, n int) []string {
	t.Helper()
	created := make([]string, n)
	for i := range created {
		created[i] = create(t, s, at.Add(time.Duration(i)*time.Millisecond), forAgent).ID
	}
	wantPending(t, s, at, run.PendingFilter{Installation: agentID, Limit: n + 1}, created)
	return created
}

// wantPending waits until those ids are pending, in order.
func wantPending(t *testing.T, s RunStore, now time.Time, f run.PendingFilter, want []string) {
	t.Helper()
	eventually(t, func() string {
		got, err := s.Pending(t.Context(), now, f)
		if err != nil {
			t.Fatalf("pending: %v", err)
		}
		return cmp.Diff(want, got, cmpopts.EquateEmpty())
	})
}

// claimPending claims and returns the ids.
func claimPending(t *testing.T, s run.Claimer, now time.Time, limit int) []string {
	claimed, err := run.ClaimPending(t.Context(), s, now, run.PendingFilter{Installation: agentID, Method: "WEBHOOK", Limit: limit}, run.ClaimFor)
	if err != nil {
		t.Errorf("claim: %v", err)
	}
	ids := make([]string, len(claimed))
	for i, r := range claimed {
		ids[i] = r.ID
		if !r.Pending.ClaimedUntil.Equal(now.Add(run.ClaimFor)) {
			t.Errorf("claimed until %v, want %v", r.Pending.ClaimedUntil, now.Add(run.ClaimFor))
		}
	}
	return ids
}

// ordered notes which runs were claimed, in the order of the claims.
type ordered struct {
	run.Claimer
	mu    sync.Mutex
	order []string
}

func (o *ordered) Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, err := o.Claimer.Update(ctx, id, move)
	if err == nil {
		o.order = append(o.order, id)
	}
	return r, err
}

func acknowledge(now time.Time) func(*run.Run) (*run.Write, error) {
	return func(r *run.Run) (*run.Write, error) { return &run.Write{}, r.Acknowledge(now, "client_1") }
}

// Each answer ascends by age, and no run is passed over by more than 4 × limit younger ones, alone and
// with others at once.
func pendingOldestWithinWindow(t *testing.T, s RunStore) {
	const n, limit = 60, 5
	now := startOfTest()
	for _, claimers := range []int{1, 3} {
		created := createPending(t, s, now.Add(time.Duration(claimers)*time.Minute), n)
		at := now.Add(time.Hour)
		claims := &ordered{Claimer: s}
		gather(claimers, func(int) error {
			for {
				got := claimPending(t, claims, at, limit)
				if !slices.IsSorted(got) || len(got) > limit {
					t.Errorf("claimed %v, want at most %d by age", got, limit)
				}
				if len(got) == 0 {
					return nil
				}
			}
		})
		if len(claims.order) != n {
			t.Errorf("%d claimers: %d claims, want %d", claimers, len(claims.order), n)
		}
		for i, id := range claims.order {
			younger := 0
			for _, before := range claims.order[:i] {
				if before > id {
					younger++
				}
			}
			if younger > 4*limit {
				t.Errorf("%d claimers: %d younger runs were given out before run %d", claimers, younger, slices.Index(created, id))
			}
		}
	}
}

func pendingNeverTwice(t *testing.T, s RunStore) {
	const n, claimers = 100, 8
	now := startOfTest()
	created := createPending(t, s, now, n)
	var mu sync.Mutex
	times := map[string]int{}
	gather(claimers, func(int) error {
		for {
			got := claimPending(t, s, now.Add(time.Second), 5)
			mu.Lock()
			for _, id := range got {
				times[id]++
			}
			done := len(times) == n
			mu.Unlock()
			if done || t.Failed() {
				return nil
			}
		}
	})
	for _, id := range created {
		if times[id] != 1 {
			t.Errorf("run %s was claimed %d times", id, times[id])
		}
	}
}

func pendingLeaseLapses(t *testing.T, s RunStore) {
	now := startOfTest()
	created := createPending(t, s, now, 2)
	f := run.PendingFilter{Installation: agentID, Limit: 10}
	if got := claimPending(t, s, now, 1); !slices.Equal(got, created[:1]) {
		t.Fatalf("claimed %v, want the oldest, %s", got, created[0])
	}
	hold := func(at time.Time) func(*run.Run) (*run.Write, error) {
		return func(r *run.Run) (*run.Write, error) { return &run.Write{}, r.Hold(at, agentID, run.ClaimFor) }
	}
	refused(t, s, created[0], hold(now.Add(run.ClaimFor-time.Millisecond)), run.ErrNotPending)
	refused(t, s, created[1], func(r *run.Run) (*run.Write, error) {
		return &run.Write{}, r.Hold(now, "another", run.ClaimFor)
	}, run.ErrNotPending)
	wantPending(t, s, now.Add(run.ClaimFor-time.Millisecond), f, created[1:])
	wantPending(t, s, now.Add(run.ClaimFor), f, created)
	if got := claimPending(t, s, now.Add(run.ClaimFor), 10); !slices.Equal(got, created) {
		t.Errorf("claimed %v, want both", got)
	}
	// What is given back is pending at once.
	update(t, s, created[0], func(r *run.Run) (*run.Write, error) { return &run.Write{}, r.LetGo(r.Pending.ClaimedUntil) })
	wantPending(t, s, now.Add(run.ClaimFor), f, created[:1])
	// Neither an ended nor an acknowledged run comes back.
	update(t, s, created[1], acknowledge(now.Add(run.ClaimFor)))
	update(t, s, created[0], end(now, run.Failure))
	wantPending(t, s, now.Add(24*time.Hour), f, nil)
	for _, id := range created {
		refused(t, s, id, hold(now.Add(24*time.Hour)), run.ErrNotPending)
	}
}

func pendingExclude(t *testing.T, s RunStore) {
	now := startOfTest()
	names := []string{"a", "b", "a", "c"}
	created := make([]string, len(names))
	for i, name := range names {
		created[i] = create(t, s, now.Add(time.Duration(i)*time.Millisecond), forAgent, func(r *run.Run) { r.Action.Identifier = name }).ID
	}
	other := create(t, s, now.Add(time.Second), forAgent, func(r *run.Run) {
		r.Pending = run.Claimable{Installation: "7", Method: "INTEGRATION_ACTION"}
	}).ID
	create(t, s, now.Add(time.Second)) // which a dispatcher delivers
	expired := now.Add(-366 * 24 * time.Hour)
	create(t, s, expired, forAgent)
	for name, c := range map[string]struct {
		f    run.PendingFilter
		want []string
	}{
		"all":            {run.PendingFilter{Installation: agentID, Limit: 10}, created},
		"limit":          {run.PendingFilter{Installation: agentID, Limit: 2}, created[:2]},
		"without a":      {run.PendingFilter{Installation: agentID, Exclude: []string{"a"}, Limit: 10}, []string{created[1], created[3]}},
		"without a, c":   {run.PendingFilter{Installation: agentID, Exclude: []string{"c", "a"}, Method: "WEBHOOK", Limit: 1}, created[1:2]},
		"another method": {run.PendingFilter{Installation: agentID, Method: "INTEGRATION_ACTION", Limit: 10}, nil},
		"integration":    {run.PendingFilter{Installation: "7", Method: "INTEGRATION_ACTION", Limit: 10}, []string{other}},
		"unknown":        {run.PendingFilter{Installation: "8", Limit: 10}, nil},
		"none":           {run.PendingFilter{Limit: 10}, nil},
	} {
		t.Run(name, func(t *testing.T) { wantPending(t, s, now, c.f, c.want) })
	}
}

// A run that waits for approval may be claimed once it is approved, and never if it is declined.
func pendingOnceApproved(t *testing.T, s RunStore) {
	now := startOfTest()
	who := approvers(1)
	f := run.PendingFilter{Installation: agentID, Limit: 10}
	approved := create(t, s, now, forAgent, await(now, "true")).ID
	declined := create(t, s, now, forAgent, await(now, "true")).ID
	later := create(t, s, now.Add(time.Second), forAgent).ID
	wantPending(t, s, now, f, []string{later})
	for id, state := range map[string]run.DecisionState{approved: run.Approved, declined: run.Refused} {
		if _, err := decide(t, s, id, run.Decision{UserID: who[0].UserID, State: state, At: now}, who); err != nil {
			t.Fatal(err)
		}
	}
	wantPending(t, s, now, f, []string{approved, later})
}

func ackOnlyLeased(t *testing.T, s RunStore) {
	now := startOfTest()
	id := createPending(t, s, now, 1)[0]
	refused(t, s, id, acknowledge(now), run.ErrNotClaimed)
	claimPending(t, s, now, 1)
	refused(t, s, id, acknowledge(now.Add(run.ClaimFor)), run.ErrNotClaimed)
	won := together(t, 10, func(int) error {
		_, err := s.Update(t.Context(), id, acknowledge(now.Add(time.Second)))
		return err
	}, run.ErrAcknowledged)
	if won != 1 {
		t.Errorf("%d of 10 acknowledgements count, want 1", won)
	}
	refused(t, s, id, acknowledge(now.Add(time.Second)), run.ErrAcknowledged)
	got := get(t, s, id)
	want := run.Claimable{Installation: agentID, Method: "WEBHOOK", Acknowledged: true}
	if diff := cmp.Diff(want, got.Pending); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
	if got.Delivery.State != run.Delivered || !got.Delivery.DeliveredAt.Equal(now.Add(time.Second)) || got.Due.IsZero() {
		t.Errorf("delivery is %+v, due %v", got.Delivery, got.Due)
	}
	ended := createPending(t, s, now.Add(time.Minute), 1)[0]
	claimPending(t, s, now, 1)
	update(t, s, ended, end(now, run.Success))
	if _, err := s.Update(t.Context(), ended, acknowledge(now)); !errors.Is(err, run.ErrNotClaimed) {
		t.Errorf("acknowledgement of an ended run: %v", fmt.Sprint(err))
	}
}
