package run_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/run"
)

var both = []run.Approver{{UserID: "usr_1"}, {UserID: "usr_2"}}

// vote is one decision of a test, and what it changes.
type vote struct {
	by      string
	state   run.DecisionState
	alone   bool
	changed bool
	started bool
	refused bool
}

func TestDecide(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		required string
		// withdrawn ends the run before the last vote.
		withdrawn bool
		waiting   string
		votes     []vote
		want      run.Status
	}{
		"any, approved":          {`true`, false, "", []vote{{by: "usr_1", state: run.Approved, changed: true, started: true}}, run.InProgress},
		"any, written out":       {`{"type":"ANY"}`, false, "", []vote{{by: "usr_2", state: run.Approved, changed: true, started: true}}, run.InProgress},
		"any, backend not there": {`true`, false, "no backend", []vote{{by: "usr_1", state: run.Approved, changed: true, started: true}}, run.InProgress},
		"any, declined":          {`true`, false, "", []vote{{by: "usr_1", state: run.Refused, changed: true}}, run.Declined},
		"any, approved twice": {`true`, false, "", []vote{
			{by: "usr_1", state: run.Approved, changed: true, started: true}, {by: "usr_1", state: run.Approved},
		}, run.InProgress},
		"any, approved by a second": {`true`, false, "", []vote{
			{by: "usr_1", state: run.Approved, changed: true, started: true}, {by: "usr_2", state: run.Approved, refused: true},
		}, run.InProgress},
		"any, declined after": {`true`, false, "", []vote{
			{by: "usr_1", state: run.Approved, changed: true, started: true}, {by: "usr_1", state: run.Refused, refused: true},
		}, run.InProgress},
		"declined twice": {`true`, false, "", []vote{
			{by: "usr_1", state: run.Refused, changed: true}, {by: "usr_1", state: run.Refused}, {by: "usr_1", state: run.Approved, refused: true},
		}, run.Declined},
		"all, one of two": {`{"type":"ALL"}`, false, "", []vote{{by: "usr_1", state: run.Approved, changed: true}}, run.WaitingForApproval},
		"all, one of two twice": {`{"type":"ALL"}`, false, "", []vote{
			{by: "usr_1", state: run.Approved, changed: true}, {by: "usr_1", state: run.Approved},
		}, run.WaitingForApproval},
		"all": {`{"type":"ALL"}`, false, "", []vote{
			{by: "usr_1", state: run.Approved, changed: true}, {by: "usr_2", state: run.Approved, changed: true, started: true},
		}, run.InProgress},
		"all, one declines": {`{"type":"ALL"}`, false, "", []vote{
			{by: "usr_1", state: run.Approved, changed: true}, {by: "usr_2", state: run.Refused, changed: true},
		}, run.Declined},
		"all, one changes their mind": {`{"type":"ALL"}`, false, "", []vote{
			{by: "usr_1", state: run.Approved, changed: true}, {by: "usr_1", state: run.Refused, changed: true},
		}, run.Declined},
		"all, the machine alone": {`{"type":"ALL"}`, false, "", []vote{{by: "client", state: run.Approved, alone: true, changed: true, started: true}}, run.InProgress},
		"all, the machine after one": {`{"type":"ALL"}`, false, "", []vote{
			{by: "usr_1", state: run.Approved, changed: true}, {by: "client", state: run.Refused, alone: true, changed: true},
		}, run.Declined},
		"approved after it was withdrawn": {`true`, true, "", []vote{{by: "usr_1", state: run.Approved, refused: true}}, run.Failure},
		"approved again after it was withdrawn": {`{"type":"ALL"}`, true, "", []vote{
			{by: "usr_1", state: run.Approved, changed: true}, {by: "usr_1", state: run.Approved},
		}, run.Failure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &run.Run{ID: run.NewID(began), RequiredApproval: json.RawMessage(c.required)}
			r.Start(began, "")
			r.Await(began, time.Hour)
			at := began
			for i, v := range c.votes {
				if c.withdrawn && i == len(c.votes)-1 {
					if err := r.Apply(at, "client", run.Patch{Status: new(run.Failure)}); err != nil {
						t.Fatal(err)
					}
				}
				at = at.Add(time.Minute)
				changed, started, err := r.Decide(run.Decision{UserID: v.by, State: v.state, At: at}, v.alone, both, c.waiting)
				if changed != v.changed || started != v.started || fault.Is(err, "run_not_waiting_for_approval") != v.refused {
					t.Errorf("vote %d: changed %t, started %t, error %v; want %+v", i, changed, started, err, v)
				}
				if started && (!r.StartedAt.Equal(at) || !r.Due.Equal(at.Add(run.Unsent)) || r.Delivery.Waiting != c.waiting) {
					t.Errorf("started run is %+v", r)
				}
				if changed && (!r.UpdatedAt.Equal(at) || r.UpdatedBy != v.by) {
					t.Errorf("updated at %s by %s", r.UpdatedAt, r.UpdatedBy)
				}
			}
			if r.Status != c.want || r.Status.Ended() != r.Due.IsZero() {
				t.Errorf("run is %s, due %s, want %s", r.Status, r.Due, c.want)
			}
			if r.Status == run.WaitingForApproval && !r.Due.Equal(began.Add(time.Hour)) {
				t.Errorf("due at %s, want when it has waited for an hour", r.Due)
			}
		})
	}
}

func TestWaitingForTooLong(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	r := &run.Run{ID: run.NewID(now), RequiredApproval: json.RawMessage("true")}
	r.Start(now, "not there")
	r.Await(now, 24*time.Hour)
	if r.Delivery.Waiting != "" {
		t.Errorf("waits because %q", r.Delivery.Waiting)
	}
	// Neither a message nor a run's own time-out moves it.
	if _, err := r.Claim(now, 1, "owner", time.Minute); err == nil {
		t.Error("a run that waits for approval was claimed")
	}
	if step := r.Sweep(now.Add(23*time.Hour), time.Hour, ""); step != run.Rest || r.Status != run.WaitingForApproval {
		t.Errorf("step %d, run is %s", step, r.Status)
	}
	if step := r.Sweep(now.Add(24*time.Hour), 7*24*time.Hour, "not there"); step != run.TimedOut {
		t.Errorf("step %d, want it timed out", step)
	}
	if r.Status != run.Failure || r.StatusLabel != "approval timed out" || !r.Due.IsZero() {
		t.Errorf("run is %s %q, due %s", r.Status, r.StatusLabel, r.Due)
	}
	if _, err := r.Redeliver(now, "client"); !fault.Is(err, "run_not_redeliverable") {
		t.Errorf("redeliver: %v", err)
	}
}

func TestApprovedRunTimesOutAfterItsStart(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	r := &run.Run{ID: run.NewID(now), RequiredApproval: json.RawMessage("true")}
	r.Start(now, "")
	r.Await(now, 30*24*time.Hour)
	now = now.Add(29 * 24 * time.Hour)
	if _, started, err := r.Decide(run.Decision{UserID: "usr_1", State: run.Approved, At: now}, false, both, ""); !started || err != nil {
		t.Fatalf("started %t, %v", started, err)
	}
	if step := r.Sweep(now.Add(time.Minute), time.Hour, ""); step != run.Send {
		t.Errorf("step %d, want its message sent", step)
	}
	if step := r.Sweep(now.Add(time.Hour), time.Hour, ""); step != run.TimedOut {
		t.Errorf("step %d, want it timed out an hour after it was approved", step)
	}
}

func TestNoticeEnds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	began := func() *run.Run {
		r := &run.Run{ID: run.NewNoticeID(now), NoticeOf: "r_1"}
		r.Start(now, "")
		if _, err := r.Claim(now, 1, "owner", time.Minute); err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := began()
	if err := r.Settle(now, 1, "owner", time.Hour, run.Outcome{Verdict: run.Deliver, StatusCode: 204}); err != nil {
		t.Fatal(err)
	}
	if r.Status != run.Success || r.Delivery.State != run.Delivered || !r.Due.IsZero() || r.LogID() != "r_1" {
		t.Errorf("delivered notice is %+v", r)
	}
	r = began()
	if err := r.Settle(now, 1, "owner", 365*24*time.Hour, run.Outcome{Verdict: run.Retry, StatusCode: 503, NextTry: now.Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	// It never outlives the time that it is kept.
	if step := r.Sweep(now.Add(run.NoticeTimeout), 365*24*time.Hour, "not configured"); step != run.TimedOut || run.NoticeTimeout >= run.NoticeRetention {
		t.Errorf("step %d, want it given up", step)
	}
}

func TestIDsOfNotices(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_770_000_000_000).UTC()
	id, notice := run.NewID(now), run.NewNoticeID(now)
	if _, isRun := run.IDTime(notice); isRun || run.IsNotice(id) || !run.IsNotice(notice) {
		t.Errorf("%s and %s are taken for one another", id, notice)
	}
	type expiry struct {
		At time.Time
		OK bool
	}
	for text, want := range map[string]expiry{
		id: {now.Add(time.Hour), true}, notice: {now.Add(14 * 24 * time.Hour), true}, "d_": {}, "x_0000000000000000": {}, "": {},
	} {
		at, ok := run.Expires(text, time.Hour)
		if !ok {
			at = time.Time{}
		}
		if diff := cmp.Diff(want, expiry{at, ok}); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}
