package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/run"
)

func claimOneOfFifty(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	won := together(t, 50, func(i int) error {
		_, err := s.Update(t.Context(), r.ID, claim(now, 1, fmt.Sprintf("owner %d", i)))
		return err
	}, run.ErrNotDue)
	if won != 1 {
		t.Errorf("%d of 50 claims won, want 1", won)
	}
	if got := get(t, s, r.ID); len(got.Attempts) != 1 || !got.Attempts[0].Open {
		t.Errorf("attempts %+v, want one that is open", got.Attempts)
	}
}

func claimAfterLeaseLapsed(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	update(t, s, r.ID, claim(now, 1, "first"))
	refused(t, s, r.ID, claim(now.Add(lease-time.Millisecond), 1, "second"), run.ErrNotDue)
	got := update(t, s, r.ID, claim(now.Add(lease), 1, "second"))
	if got.Delivery.Owner != "second" || !got.Delivery.Lease.Equal(now.Add(2*lease)) {
		t.Errorf("owner %q until %v, want second until %v", got.Delivery.Owner, got.Delivery.Lease, now.Add(2*lease))
	}
}

func claimOldGenerationRefused(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	update(t, s, r.ID, claim(now, 1, "first"))
	update(t, s, r.ID, settle(now, 1, "first", run.Outcome{Verdict: run.Fail, StatusCode: 400}))
	redeliver(t, s, r.ID, now)
	refused(t, s, r.ID, claim(now, 1, "second"), run.ErrNotDue)
	refused(t, s, r.ID, claim(now, 3, "second"), run.ErrNotDue)
	update(t, s, r.ID, claim(now, 2, "second"))
}

func claimRecordsInterruptedAttempt(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	update(t, s, r.ID, claim(now, 1, "first"))
	update(t, s, r.ID, claim(now.Add(lease), 1, "second"))
	got := get(t, s, r.ID).Attempts
	want := []run.Attempt{
		{Generation: 1, Number: 1, StartedAt: now, Interrupted: true, Error: "interrupted: no outcome was recorded"},
		{Generation: 1, Number: 2, StartedAt: now.Add(lease), Open: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func claimAfterDeliveredRefused(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	update(t, s, r.ID, claim(now, 1, "first"))
	update(t, s, r.ID, settle(now, 1, "first", run.Outcome{Verdict: run.Deliver, StatusCode: 202}))
	refused(t, s, r.ID, claim(now.Add(lease), 1, "second"), run.ErrNotDue)
}

func outcomeAfterPatchKeepsAttemptOnly(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	update(t, s, r.ID, claim(now, 1, "first"))
	ended := update(t, s, r.ID, end(now, run.Success))
	got := update(t, s, r.ID, settle(now.Add(time.Second), 1, "first", run.Outcome{
		Verdict: run.Fail, StatusCode: 500, Error: "answered 500", Duration: time.Second, StatusLabel: "delivery failed",
	}))
	if got.Status != run.Success || got.StatusLabel != "" || !got.EndedAt.Equal(ended.EndedAt) || !got.Due.IsZero() {
		t.Errorf("the outcome changed the end: %+v", got)
	}
	want := []run.Attempt{{Generation: 1, Number: 1, StartedAt: now, DurationMs: 1000, StatusCode: 500, Error: "answered 500"}}
	if diff := cmp.Diff(want, got.Attempts); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func outcomeOfStaleOwnerDropped(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	update(t, s, r.ID, claim(now, 1, "first"))
	update(t, s, r.ID, claim(now.Add(lease), 1, "second"))
	refused(t, s, r.ID, settle(now.Add(lease), 1, "first", run.Outcome{Verdict: run.Fail}), run.ErrStale)
	got := update(t, s, r.ID, settle(now.Add(lease), 1, "second", run.Outcome{Verdict: run.Deliver, StatusCode: 200}))
	if got.Delivery.State != run.Delivered {
		t.Errorf("delivery is %s, want %s", got.Delivery.State, run.Delivered)
	}
	refused(t, s, r.ID, settle(now.Add(lease), 1, "second", run.Outcome{Verdict: run.Fail}), run.ErrStale)
}

func terminalOnce(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	update(t, s, r.ID, claim(now, 1, "a"))
	var mu sync.Mutex
	ended := 0
	for _, err := range gather(20, func(i int) error {
		move := end(now, run.Success)
		switch i % 3 {
		case 1:
			move = end(now, run.Failure)
		case 2:
			move = settle(now, 1, "a", run.Outcome{Verdict: run.Succeed, StatusCode: 200})
		}
		_, err := s.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) {
			if r.Status.Ended() {
				return nil, run.ErrStale
			}
			return move(r)
		})
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			ended++
		}
		return err
	}) {
		if err != nil && !errors.Is(err, run.ErrStale) {
			t.Errorf("end run: %v", err)
		}
	}
	if ended != 1 {
		t.Errorf("the run was ended %d times, want once", ended)
	}
}

func terminalLeavesNoDue(t *testing.T, s RunStore) {
	now := startOfTest()
	ended, open := create(t, s, now), create(t, s, now)
	far := now.Add(365 * 24 * time.Hour)
	eventually(t, func() string { return cmp.Diff(2, len(due(t, s, far, 10))) })
	update(t, s, ended.ID, end(now, run.Failure))
	if got := get(t, s, ended.ID); !got.Due.IsZero() {
		t.Errorf("due %v on a run that ended", got.Due)
	}
	eventually(t, func() string { return cmp.Diff([]string{open.ID}, due(t, s, far, 10)) })
}

// redeliver opens the next generation of a run.
func redeliver(t *testing.T, s RunStore, id string, now time.Time) *run.Run {
	t.Helper()
	return update(t, s, id, func(r *run.Run) (*run.Write, error) {
		generation := r.Generation
		closed, err := r.Redeliver(now, "client_1")
		if err != nil {
			return nil, err
		}
		return &run.Write{Closed: closed, ClosedGeneration: generation}, nil
	})
}

func redeliverOpensGeneration(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	if got, err := s.Attempts(t.Context(), r.ID); err != nil || len(got) != 0 {
		t.Errorf("closed attempts of a new run: %v, %v", got, err)
	}
	var want []run.Attempt
	for generation := 1; generation <= 11; generation++ {
		update(t, s, r.ID, claim(now, generation, "a"))
		next := now.Add(time.Minute)
		update(t, s, r.ID, settle(now, generation, "a", run.Outcome{Verdict: run.Retry, StatusCode: 503, NextTry: next}))
		update(t, s, r.ID, claim(next, generation, "a"))
		got := update(t, s, r.ID, settle(next, generation, "a", run.Outcome{Verdict: run.Fail, StatusCode: 400}))
		want = append(want, got.Attempts...)
		got = redeliver(t, s, r.ID, now)
		if got.Generation != generation+1 || got.Status != run.InProgress || len(got.Attempts) != 0 {
			t.Fatalf("generation %d, %s, %d attempts after redelivery of %d", got.Generation, got.Status, len(got.Attempts), generation)
		}
	}
	got, err := s.Attempts(t.Context(), r.ID)
	if err != nil {
		t.Fatalf("attempts: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("closed attempts (-want +got):\n%s", diff)
	}
	eventually(t, func() string { return cmp.Diff([]string{r.ID}, due(t, s, now.Add(run.Unsent), 10)) })
}

// gather calls do for 0 to n-1 at once and returns what the calls returned.
func gather(n int, do func(i int) error) []error {
	results := make([]error, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			results[i] = do(i)
		})
	}
	close(start)
	all.Wait()
	return results
}
