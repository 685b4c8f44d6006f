package dispatchtest

import (
	"encoding/json"
	"testing"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/dispatch"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// approver may decide about all runs here.
var approver = run.Approver{UserID: "usr_1", Email: "ada@example.com"}

// await returns a run that waits for approval, with notices, and its body. It is not recorded.
func (w *world) await(notices ...string) (*run.Run, *run.Body) {
	r := &run.Run{
		ID: run.NewID(w.clock()), Action: run.Action{Identifier: "deploy"}, Backend: name,
		Source: run.SourceAPI, UserID: "client", CreatedBy: "client", RequiredApproval: json.RawMessage("true"),
	}
	r.Start(w.clock(), "")
	r.Await(w.clock(), time.Hour)
	return r, &run.Body{
		Properties: []byte(`{}`), Invocation: call(`{"a":1}`),
		Approval: &run.Approval{Approvers: []run.Approver{approver}, Notices: notices},
	}
}

// notice records a notice of a run.
func (w *world) notice(t *testing.T, of string) *run.Run {
	t.Helper()
	n := &run.Run{
		ID: run.NewNoticeID(w.clock()), NoticeOf: of, Action: run.Action{Identifier: "deploy"}, Backend: name, CreatedBy: run.Own,
	}
	n.Start(w.clock(), "")
	w.create(t, n, &run.Body{Properties: []byte(`{}`), Invocation: call(`{"n":1}`)})
	return n
}

func (w *world) create(t *testing.T, r *run.Run, b *run.Body) {
	t.Helper()
	if err := w.store.Create(t.Context(), r, b); err != nil {
		t.Fatalf("create %s: %v", r.ID, err)
	}
}

// noticed records a run that waits, and its notice first.
func (w *world) noticed(t *testing.T) (r, n *run.Run) {
	t.Helper()
	r, b := w.await()
	n = w.notice(t, r.ID)
	b.Approval.Notices = []string{n.ID}
	w.create(t, r, b)
	return r, n
}

func approvalNotSent(t *testing.T, w *world) {
	r, b := w.await()
	w.create(t, r, b)
	// A message that should not be there starts nothing.
	if err := w.queue.Send(t.Context(), name, queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun}, 0, ""); err != nil {
		t.Fatal(err)
	}
	w.handle(t, w.dispatcher(), []queue.Received{w.receive(t, r.ID)})
	w.want(t, r.ID, 0, run.WaitingForApproval, run.Pending)
	w.pass(10 * time.Minute)
	if _, err := w.store.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) {
		_, started, err := r.Decide(run.Decision{UserID: approver.UserID, State: run.Approved, At: w.clock()}, false, b.Approval.Approvers, "")
		if !started {
			t.Error("the approval started nothing")
		}
		return &run.Write{}, err
	}); err != nil {
		t.Fatalf("approve: %v", err)
	}
	left := w.get(t, r.ID)
	if want := w.clock().Add(run.Unsent); !left.Due.Equal(want) {
		t.Errorf("due at %s, want %s", left.Due, want)
	}
	w.until(left.Due)
	if report := w.sweep(t); report.Sent != 1 {
		t.Errorf("sweep: %+v, want one sent", report)
	}
	w.handle(t, w.dispatcher(), []queue.Received{w.receive(t, r.ID)})
	w.want(t, r.ID, 1, run.InProgress, run.Delivered, "202")
}

func approvalTimedOut(t *testing.T, w *world) {
	r, b := w.await()
	w.create(t, r, b)
	w.until(r.Due)
	if report := w.sweep(t); report.TimedOut != 1 {
		t.Errorf("sweep: %+v, want one timed out", report)
	}
	w.want(t, r.ID, 0, run.Failure, run.Pending)
	w.wantLog(t, r.ID, "Timed out: not approved within 1h0m0s.")
}

// A trigger that dies before its run is recorded leaves a notice that nobody may get.
func noticeOfNoRun(t *testing.T, w *world) {
	r, b := w.await()
	n := w.notice(t, r.ID)
	w.until(n.Due)
	if report := w.sweep(t); report.Sent != 1 {
		t.Fatalf("sweep: %+v, want one sent", report)
	}
	w.handle(t, w.dispatcher(), []queue.Received{w.receive(t, n.ID)})
	w.want(t, n.ID, 0, run.Failure, run.Pending)

	// A retry that takes the run over has a notice of its own: an earlier one is not sent either.
	n, own := w.notice(t, r.ID), w.notice(t, r.ID)
	b.Approval.Notices = []string{own.ID}
	w.create(t, r, b)
	for _, id := range []string{n.ID, own.ID} {
		if err := w.queue.Send(t.Context(), name, queue.Message{PK: id, Generation: 1, Kind: queue.KindRun, Invocation: call(`{"n":1}`)}, 0, ""); err != nil {
			t.Fatal(err)
		}
		w.handle(t, w.dispatcher(), []queue.Received{w.receive(t, id)})
	}
	w.want(t, n.ID, 0, run.Failure, run.Pending)
	w.want(t, own.ID, 1, run.Success, run.Delivered, "202")
	w.wantLog(t, r.ID, "The notice to approvers was delivered.")
}

func noticeNotSent(t *testing.T, w *world) {
	r, n := w.noticed(t)
	w.until(n.Due)
	if report := w.sweep(t); report.Sent != 1 {
		t.Fatalf("sweep: %+v, want one sent", report)
	}
	m := w.receive(t, n.ID)
	w.handle(t, w.dispatcher(), []queue.Received{m})
	w.want(t, n.ID, 1, run.Success, run.Delivered, "202")
	w.want(t, r.ID, 0, run.WaitingForApproval, run.Pending)
	// A duplicate is dropped.
	w.handle(t, w.dispatcher(), []queue.Received{m})
	w.want(t, n.ID, 1, run.Success, run.Delivered, "202")
	w.wantLog(t, r.ID, "The notice to approvers was delivered.")
}

// A notice that cannot be delivered holds no run back.
func noticeGivenUp(t *testing.T, w *world) {
	r, n := w.noticed(t)
	if err := w.queue.Send(t.Context(), name, queue.Message{PK: n.ID, Generation: 1, Kind: queue.KindRun, Invocation: call(`{"n":1}`)}, 0, ""); err != nil {
		t.Fatal(err)
	}
	m := w.receive(t, n.ID)
	w.target.answers(backend.Outcome{Verdict: run.Retry, StatusCode: 503, Error: "the target answered 503"})
	for range run.MaxAttempts {
		w.handle(t, w.dispatcher(), []queue.Received{m})
		w.pass(time.Hour)
	}
	w.want(t, n.ID, run.MaxAttempts, run.Failure, run.Undeliverable, "503", "503", "503", "503", "503", "503")
	w.want(t, r.ID, 0, run.WaitingForApproval, run.Pending)
	w.wantLog(t, r.ID, "The notice to approvers failed after 6 attempts; the last: the target answered 503")
}

func noticeDeadLetter(t *testing.T, w *world) {
	r, n := w.noticed(t)
	if err := w.queue.Send(t.Context(), name, queue.Message{PK: n.ID, Generation: 1, Kind: queue.KindRun}, 0, ""); err != nil {
		t.Fatal(err)
	}
	m := w.receive(t, n.ID)
	for range run.MaxAttempts {
		w.handle(t, w.dieAfterClaim(), []queue.Received{m}, m)
		w.pass(dispatch.DefaultLease)
	}
	if again := w.deadLetters().Handle(t.Context(), []queue.Received{m}); len(again) != 0 {
		t.Errorf("%q come again", again)
	}
	i := "interrupted"
	w.want(t, n.ID, 0, run.Failure, run.Undeliverable, i, i, i, i, i, i)
	w.wantLog(t, r.ID, "The notice to approvers failed after 6 attempts; the last: interrupted: no outcome was recorded")
}
