package storetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/fault"
	"longshore/pkg/run"
)

// await is an edit of a new run that needs approval and waits for it.
func await(at time.Time, required string) func(*run.Run) {
	return func(r *run.Run) {
		r.RequiredApproval = json.RawMessage(required)
		r.Await(at, 30*24*time.Hour)
	}
}

// decide makes the decision of an approver; started says that it started the run.
func decide(t *testing.T, s RunStore, id string, d run.Decision, approvers []run.Approver) (started bool, err error) {
	t.Helper()
	_, err = s.Update(t.Context(), id, func(r *run.Run) (*run.Write, error) {
		var changed bool
		if changed, started, err = r.Decide(d, false, approvers, ""); err != nil || !changed {
			return nil, err
		}
		return &run.Write{}, nil
	})
	return started, err
}

func approvers(n int) []run.Approver {
	list := make([]run.Approver, n)
	for i := range list {
		list[i] = run.Approver{UserID: fmt.Sprintf("usr_%016d", i), Email: fmt.Sprintf("u%d@example.com", i)}
	}
	return list
}

// Whatever is decided at once about a run that waits, one thing becomes of it.
func approveDeclineWithdrawOneWins(t *testing.T, s RunStore) {
	now := startOfTest()
	who := approvers(20)
	for round := range 5 {
		r := create(t, s, now, await(now, `{"type":"ANY"}`))
		started := make([]bool, len(who)+1)
		for i, err := range gather(len(who)+1, func(i int) (err error) {
			d := run.Decision{State: run.Approved, At: now}
			switch {
			case i == len(who):
				_, err = s.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) {
					return &run.Write{}, r.Apply(now, "client", run.Patch{Status: new(run.Failure)})
				})
				// On a run that was approved in time it is a plain report of failure.
				return err
			case (i+round)%3 == 0:
				d.State = run.Refused
			}
			d.UserID = who[i].UserID
			started[i], err = decide(t, s, r.ID, d, who)
			return err
		}) {
			if err != nil && !fault.Is(err, "run_not_waiting_for_approval") && !fault.Is(err, "run_already_ended") {
				t.Errorf("caller %d: %v", i, err)
			}
		}
		starts := 0
		for _, did := range started {
			if did {
				starts++
			}
		}
		got := get(t, s, r.ID)
		approved := len(got.Decisions) == 1 && got.Decisions[0].State == run.Approved
		switch {
		case len(got.Decisions) > 1:
			t.Errorf("%d decisions count, want one at most: %+v", len(got.Decisions), got.Decisions)
		case starts > 1 || (starts == 1) != approved:
			t.Errorf("started %d times with the decisions %+v", starts, got.Decisions)
		case len(got.Decisions) == 1 && !approved && got.Status != run.Declined:
			t.Errorf("declined run is %s", got.Status)
		case len(got.Decisions) == 0 && got.Status != run.Failure:
			t.Errorf("withdrawn run is %s", got.Status)
		}
		if got.Status.Ended() != got.Due.IsZero() {
			t.Errorf("run is %s, due %s", got.Status, got.Due)
		}
	}
}

func approveAllConcurrently(t *testing.T, s RunStore) {
	now := startOfTest()
	who := approvers(20)
	r := create(t, s, now, await(now, `{"type":"ALL"}`))
	started := make([]bool, 2*len(who))
	// Each says it twice.
	for i, err := range gather(len(started), func(i int) (err error) {
		started[i], err = decide(t, s, r.ID, run.Decision{
			UserID: who[i/2].UserID, State: run.Approved, Description: fmt.Sprintf("because %d", i/2), At: now,
		}, who)
		return err
	}) {
		if err != nil {
			t.Errorf("caller %d: %v", i, err)
		}
	}
	starts := 0
	for _, did := range started {
		if did {
			starts++
		}
	}
	got := get(t, s, r.ID)
	if starts != 1 || got.Status != run.InProgress || len(got.Decisions) != len(who) {
		t.Errorf("started %d times, run is %s with %d decisions; want 1, IN_PROGRESS, %d", starts, got.Status, len(got.Decisions), len(who))
	}
	for _, d := range got.Decisions {
		var n int
		if _, err := fmt.Sscanf(d.UserID, "usr_%d", &n); err != nil || d.Description != fmt.Sprintf("because %d", n) {
			t.Errorf("%s approved %q", d.UserID, d.Description)
		}
	}
}

func approvalComesBackAsItWas(t *testing.T, s RunStore) {
	now := startOfTest()
	who := approvers(run.MaxApprovers)
	r, b := newRun(now, await(now, `{"type":"ALL"}`))
	b.Approval = &run.Approval{Approvers: who, Notices: []string{run.NewNoticeID(now)}}
	if err := s.Create(t.Context(), r, b); err != nil {
		t.Fatalf("create run: %v", err)
	}
	var want []run.Decision
	for i, a := range who {
		d := run.Decision{UserID: a.UserID, State: run.Approved, At: now.Add(time.Duration(i) * time.Millisecond)}
		if i%2 == 0 {
			d.Description = strings.Repeat("é", run.MaxDecisionText/2)
		}
		want = append(want, d)
		if started, err := decide(t, s, r.ID, d, who); err != nil || started != (i == len(who)-1) {
			t.Fatalf("decision %d: started %t, %v", i, started, err)
		}
	}
	got := read(t, s, r.ID)
	if diff := cmp.Diff(want, got.Decisions); diff != "" {
		t.Errorf("decisions (-want +got):\n%.2000s", diff)
	}
	if diff := cmp.Diff(*b, got.Body); diff != "" {
		t.Errorf("body (-want +got):\n%.2000s", diff)
	}
	eventually(t, func() string {
		page, err := s.List(t.Context(), run.Filter{Limit: 10})
		if err != nil {
			t.Fatalf("list runs: %v", err)
		}
		return cmp.Diff([]*run.Record{got}, page.Runs)
	})
	// What has nothing to do with them leaves them as they are.
	update(t, s, r.ID, claim(now.Add(time.Second), 1, "owner"))
	if diff := cmp.Diff(want, get(t, s, r.ID).Decisions); diff != "" {
		t.Errorf("decisions after a claim (-want +got):\n%.2000s", diff)
	}
}

// A notice is kept, claimed and due as a run is, and is in no list of runs. Its lines are its run's.
func noticeIsNoRun(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now, await(now, "true"))
	notice := func(at time.Time) *run.Run {
		return create(t, s, at, func(n *run.Run) {
			n.ID, n.NoticeOf = run.NewNoticeID(at), r.ID
			n.UserID, n.UserEmail, n.Entity, n.Blueprint = "usr_1", "ada@example.com", "e", "b"
		})
	}
	n := notice(now)
	old := notice(now.Add(-run.NoticeRetention - time.Hour))
	if diff := sameRun(n, get(t, s, n.ID)); diff != "" {
		t.Errorf("notice (-want +got):\n%s", diff)
	}
	_, err := s.Read(t.Context(), old.ID)
	wantKind(t, err, fault.NotFound)
	eventually(t, func() string {
		due, err := s.Due(t.Context(), now.Add(time.Hour), 10)
		if err != nil {
			t.Fatalf("due: %v", err)
		}
		return cmp.Diff([]string{n.ID}, due, cmpopts.EquateEmpty())
	})
	active, ended := true, false
	for name, f := range map[string]run.Filter{
		"all": {}, "active": {Active: &active}, "ended": {Active: &ended}, "by action": {Action: n.Action.Identifier},
		"by user": {UserID: "usr_1"}, "by e-mail": {UserEmail: "ada@example.com"}, "by entity": {Entity: "e"}, "by blueprint": {Blueprint: "b"},
		"active, by action": {Active: &active, Action: n.Action.Identifier},
	} {
		for _, id := range ids(t, s, f) {
			if id != r.ID {
				t.Errorf("%s lists %s", name, id)
			}
		}
	}
	update(t, s, n.ID, claim(now, 1, "owner"))
	update(t, s, n.ID, func(n *run.Run) (*run.Write, error) {
		err := n.Settle(now, 1, "owner", timeout, run.Outcome{Verdict: run.Deliver, StatusCode: 200})
		return &run.Write{Logs: []*run.Log{line(n.LogID(), 1, now)}}, err
	})
	if got := get(t, s, n.ID); got.Status != run.Success || !got.Due.IsZero() {
		t.Errorf("notice is %s, due %s", got.Status, got.Due)
	}
	if diff := cmp.Diff([]*run.Log{line(r.ID, 1, now)}, logs(t, s, r.ID, run.LogQuery{Limit: 50})); diff != "" {
		t.Errorf("log of the run (-want +got):\n%s", diff)
	}
	// A notice outlives a run that was never recorded.
	orphan := create(t, s, now, func(n *run.Run) { n.ID, n.NoticeOf = run.NewNoticeID(now), run.NewID(now) })
	update(t, s, orphan.ID, func(n *run.Run) (*run.Write, error) {
		n.Drop(now)
		return &run.Write{Logs: []*run.Log{line(n.LogID(), 2, now)}}, nil
	})
	if got := get(t, s, orphan.ID); got.Status != run.Failure || !got.Due.IsZero() {
		t.Errorf("notice of no run is %s, due %s", got.Status, got.Due)
	}
	if got := logs(t, s, n.ID, run.LogQuery{Limit: 50}); len(got) != 0 {
		t.Errorf("the notice has %d lines of its own", len(got))
	}
}
