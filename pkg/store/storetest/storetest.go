// Package storetest defines what a store promises: run.Store, action.Store, catalog.Store,
// audit.Store and organization.Store, by tests with names.
//
// Every implementation passes the same tests against its real database. Tests of lists and of due
// runs wait for a store whose indexes lag; all else is expected to be read as it was written.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

// RunStore is an empty run.Store and what only its implementation can do to it.
type RunStore struct {
	run.Store
	// OrphanBody writes a body whose head was never written, as a crash in Create leaves it.
	OrphanBody func(t *testing.T, id string, b *run.Body)
	// DropBody removes the body of a run whose head stays.
	DropBody func(t *testing.T, id string)
}

// Runs runs every test of run.Store. Open returns an empty store of its own at each call and closes
// it with t.Cleanup. The store keeps runs for 365 days.
func Runs(t *testing.T, open func(t *testing.T) RunStore) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s RunStore)
	}{
		{"RunCreateOnce", runCreateOnce},
		{"Sentences", runSentences},
		{"RunHeadNeedsBodyFirst", runHeadNeedsBodyFirst},
		{"RunOrphanBodyInvisible", runOrphanBodyInvisible},
		{"RunIDsSortByTime", runIDsSortByTime},
		{"RunUpdateRetriesOnConflict", runUpdateRetriesOnConflict},
		{"RunUpdateWritesAllOrNothing", runUpdateWritesAllOrNothing},
		{"RunTextComesBackAsItWas", runTextComesBackAsItWas},
		{"RunBodyMayBeSparse", runBodyMayBeSparse},
		{"RunResponseBelongsToItsEnd", runResponseBelongsToItsEnd},
		{"ClaimOneOfFifty", claimOneOfFifty},
		{"ClaimAfterLeaseLapsed", claimAfterLeaseLapsed},
		{"ClaimOldGenerationRefused", claimOldGenerationRefused},
		{"ClaimRecordsInterruptedAttempt", claimRecordsInterruptedAttempt},
		{"ClaimAfterDeliveredRefused", claimAfterDeliveredRefused},
		{"OutcomeAfterPatchKeepsAttemptOnly", outcomeAfterPatchKeepsAttemptOnly},
		{"OutcomeOfStaleOwnerDropped", outcomeOfStaleOwnerDropped},
		{"TerminalOnce", terminalOnce},
		{"TerminalLeavesNoDue", terminalLeavesNoDue},
		{"ApproveDeclineWithdrawOneWins", approveDeclineWithdrawOneWins},
		{"ApproveAllConcurrently", approveAllConcurrently},
		{"ApprovalComesBackAsItWas", approvalComesBackAsItWas},
		{"NoticeIsNoRun", noticeIsNoRun},
		{"RedeliverOpensGeneration", redeliverOpensGeneration},
		{"IdempotencyReplay", idempotencyReplay},
		{"IdempotencyOtherBody", idempotencyOtherBody},
		{"IdempotencyTakeoverKeepsRunID", idempotencyTakeoverKeepsRunID},
		{"IdempotencyExpiredIsFree", idempotencyExpiredIsFree},
		{"ListMergesShards", listMergesShards},
		{"ListEachFilterAlone", listEachFilterAlone},
		{"ListFiltersTogether", listFiltersTogether},
		{"ListActiveOnlyUnended", listActiveOnlyUnended},
		{"ListEventuallySeesNewRun", listEventuallySeesNewRun},
		{"ListStopsAtMaxPage", listStopsAtMaxPage},
		{"LogsInOrder", logsInOrder},
		{"LogsOffsetLimit", logsOffsetLimit},
		{"LogWithTerminationIsAtomic", logWithTerminationIsAtomic},
		{"PendingOldestWithinWindow", pendingOldestWithinWindow},
		{"PendingNeverTwice", pendingNeverTwice},
		{"PendingLeaseLapses", pendingLeaseLapses},
		{"PendingExclude", pendingExclude},
		{"PendingOnceApproved", pendingOnceApproved},
		{"AckOnlyLeased", ackOnlyLeased},
		{"DueOrder", dueOrder},
		{"DueMovesWithBackoff", dueMovesWithBackoff},
		{"ExpiredItemAbsent", expiredItemAbsent},
		{"SealedInvocationIsApart", sealedInvocationIsApart},
		{"SealedInvocationOfTheWinner", sealedInvocationOfTheWinner},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

// lease is how long claims hold.
const lease = 75 * time.Second

// timeout is how long runs may stay in progress.
const timeout = 7 * 24 * time.Hour

// startOfTest is now in the precision that every store keeps.
func startOfTest() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// newRun returns a run that started at a time, and its body. Edits come before the start.
func newRun(at time.Time, edits ...func(*run.Run)) (*run.Run, *run.Body) {
	r := &run.Run{
		ID:        run.NewID(at),
		Action:    run.Action{Identifier: "scaffold", Title: "Scaffold", Icon: "Git", ID: "action_0123456789abcdef"},
		Backend:   invocation.BackendWebhook,
		Source:    run.SourceAPI,
		UserID:    "client_1",
		CreatedBy: "client_1",
	}
	r.Start(at, "")
	for _, edit := range edits {
		edit(r)
	}
	return r, newBody("one")
}

// newBody returns a body that can be told from others.
func newBody(name string) *run.Body {
	text := `{"name":"` + name + `"}`
	return &run.Body{
		Properties: json.RawMessage(text),
		User:       json.RawMessage(`{"id":"client_1","email":null}`),
		Invocation: &invocation.Invocation{
			V: invocation.Version, Type: "WEBHOOK", Backend: invocation.BackendWebhook,
			Payload: json.RawMessage(`{"type":"WEBHOOK","url":"https://example.com/hook","body":` + text + `}`),
			Webhook: &invocation.Webhook{
				URL: "https://example.com/hook", Literal: "https://example.com/hook", Method: "POST",
				Headers: []invocation.Header{{Name: "X-B", Value: "2"}, {Name: "X-A", Value: "1"}},
				Body:    &text,
			},
		},
	}
}

// create records a new run and returns it.
func create(t *testing.T, s RunStore, at time.Time, edits ...func(*run.Run)) *run.Run {
	t.Helper()
	r, b := newRun(at, edits...)
	if err := s.Create(t.Context(), r, b); err != nil {
		t.Fatalf("create run: %v", err)
	}
	return r
}

func get(t *testing.T, s RunStore, id string) *run.Run {
	t.Helper()
	r, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("get run: %v", err)
	}
	return r
}

func read(t *testing.T, s RunStore, id string) *run.Record {
	t.Helper()
	r, err := s.Read(t.Context(), id)
	if err != nil {
		t.Fatalf("read run: %v", err)
	}
	return r
}

// update applies a move that must succeed.
func update(t *testing.T, s RunStore, id string, move func(*run.Run) (*run.Write, error)) *run.Run {
	t.Helper()
	r, err := s.Update(t.Context(), id, move)
	if err != nil {
		t.Fatalf("update run: %v", err)
	}
	return r
}

// claim is the move of a dispatcher that takes a run.
func claim(now time.Time, generation int, owner string) func(*run.Run) (*run.Write, error) {
	return func(r *run.Run) (*run.Write, error) {
		if _, err := r.Claim(now, generation, owner, lease); err != nil {
			return nil, err
		}
		return &run.Write{}, nil
	}
}

// settle is the move of a dispatcher that has an outcome.
func settle(now time.Time, generation int, owner string, o run.Outcome) func(*run.Run) (*run.Write, error) {
	return func(r *run.Run) (*run.Write, error) {
		if err := r.Settle(now, generation, owner, timeout, o); err != nil {
			return nil, err
		}
		if r.HasResponse {
			return &run.Write{Response: o.Response}, nil
		}
		return &run.Write{}, nil
	}
}

// end is the move of a backend that reports the end.
func end(now time.Time, status run.Status) func(*run.Run) (*run.Write, error) {
	return func(r *run.Run) (*run.Write, error) {
		if err := r.End(now, "client_1", status, ""); err != nil {
			return nil, err
		}
		return &run.Write{}, nil
	}
}

// refused fails the test unless the store refuses the move with that very error and changes nothing.
func refused(t *testing.T, s RunStore, id string, move func(*run.Run) (*run.Write, error), want error) {
	t.Helper()
	before := get(t, s, id)
	if _, err := s.Update(t.Context(), id, move); !errors.Is(err, want) {
		t.Errorf("update: got error %v, want %v", err, want)
	}
	if diff := cmp.Diff(before, get(t, s, id)); diff != "" {
		t.Errorf("the refused move changed the run (-want +got):\n%s", diff)
	}
}

// wantKind fails the test unless err is a fault of that kind.
func wantKind(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	if err == nil || fault.KindOf(err) != want {
		t.Errorf("got error %v, want one of kind %d", err, want)
	}
}

// sameRun compares two heads; the Rev is the store's own.
func sameRun(want, got *run.Run) string {
	return cmp.Diff(want, got, cmpopts.IgnoreFields(run.Run{}, "Rev"), cmpopts.EquateEmpty())
}

// together calls do for 0 to n-1 at once and returns how many calls returned nil. Any error that is
// not allowed fails the test.
func together(t *testing.T, n int, do func(i int) error, allowed error) (won int) {
	t.Helper()
	for i, err := range gather(n, do) {
		switch {
		case err == nil:
			won++
		case allowed == nil || !errors.Is(err, allowed):
			t.Errorf("caller %d: %v", i, err)
		}
	}
	return won
}

// patience is how long an index may lag on a machine that is busy with others.
const patience = time.Minute

// eventually repeats a check until it returns no difference, for indexes that lag.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		diff := check()
		if diff == "" {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("still different after %s:\n%s", patience, diff)
		}
	}
}

// ids follows a list to its last page and returns the ids in order.
func ids(t *testing.T, s RunStore, f run.Filter) []string {
	t.Helper()
	var all []string
	if f.Limit == 0 {
		f.Limit = 100
	}
	for range 1_000 {
		page, err := s.List(t.Context(), f)
		if err != nil {
			t.Fatalf("list runs: %v", err)
		}
		if len(page.Runs) > f.Limit {
			t.Fatalf("a page of %d runs, the limit is %d", len(page.Runs), f.Limit)
		}
		for _, r := range page.Runs {
			all = append(all, r.ID)
		}
		if page.Next == "" {
			return all
		}
		f.From = page.Next
	}
	t.Fatalf("the list does not end: %d runs", len(all))
	return nil
}

// line returns a log line whose id sorts by its number.
func line(id string, number int, at time.Time) *run.Log {
	return &run.Log{
		ID: fmt.Sprintf("01JD%022d", number), RunID: id, Message: fmt.Sprintf("line %d", number),
		CreatedAt: at, CreatedBy: run.Own,
	}
}

func logs(t *testing.T, s RunStore, id string, q run.LogQuery) []*run.Log {
	t.Helper()
	lines, err := s.Logs(t.Context(), id, q)
	if err != nil {
		t.Fatalf("logs: %v", err)
	}
	return lines
}
