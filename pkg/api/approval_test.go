package api_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api"
	"longshore/pkg/approval"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/permission"
	"longshore/pkg/run"
)

// approvers may approve every run.
type approvers []permission.Approver

func (a approvers) Approvers(context.Context, permission.Question) ([]permission.Approver, error) {
	return a, nil
}

// guarded is an action that needs approval.
var guarded = strings.Replace(deploy, `"title"`, `"requiredApproval":{"type":"ALL"},"approvalNotification":{"type":"webhook","url":"https://hooks.example.com/n"},"title"`, 1)

// asUser makes decisions those of a user, until users have tokens.
type asUser struct {
	api.Decider
	mu sync.Mutex
	id string
}

func (a *asUser) Decide(ctx context.Context, q approval.Request) (*run.Record, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.id != "" {
		q.Caller = identity.Caller{ID: a.id, User: &identity.User{Email: a.id + "@example.com"}}
	}
	return a.Decider.Decide(ctx, q)
}

// await starts a run that waits for approval by usr_1 and usr_2.
func (f *fixture) await() string {
	f.t.Helper()
	f.call("POST", "/v1/actions", guarded)
	g := f.call("POST", "/v1/actions/deploy/runs", `{"properties":{"service":"a"}}`).want(202)
	if g.at("run", "status") != "WAITING_FOR_APPROVAL" || g.at("run", "approval") != nil {
		f.t.Errorf("got %s, want it to wait", g.text)
	}
	return g.at("run", "id").(string)
}

func TestApproval(t *testing.T) {
	t.Parallel()
	who := &asUser{}
	f := newFixture(t, func(c *api.Config) { who.Decider, c.Decider = c.Decider, who })
	id := f.await()
	decide, list := "/v1/actions/runs/"+id+"/approval", "/v1/actions/runs/"+id+"/approvers"
	if f.sent.count() != 1 || !run.IsNotice(f.sent.messages[0].PK) {
		t.Errorf("sent %+v, want the notice alone", f.sent.messages)
	}
	f.call("GET", "/v1/actions/runs/"+f.sent.messages[0].PK, "").fault(404, "not_found")
	if got := f.call("GET", "/v1/actions/runs?active=true", "").want(200).list("runs"); len(got) != 1 {
		t.Errorf("%d active runs, want 1", len(got))
	}

	who.id = "usr_3"
	f.call("PATCH", decide, `{"status":"APPROVE"}`).fault(403, "forbidden")
	if got := f.call("GET", list, "").want(200).list("approvers"); len(got) != 0 {
		t.Errorf("approvers are %v, want none that decided", got)
	}
	who.id = "usr_2"
	for range 2 {
		g := f.call("PATCH", decide+"?version=v2", `{"status":"APPROVE","description":"fine"}`).want(200)
		if g.at("run", "status") != "WAITING_FOR_APPROVAL" {
			t.Errorf("got %s, want one of two approvals not to do", g.text)
		}
	}
	fine := map[string]any{"userId": "usr_2", "state": "APPROVED", "description": "fine"}
	if diff := cmp.Diff([]any{fine}, f.call("GET", list, "").list("approvers")); diff != "" {
		t.Errorf("approvers (-want +got):\n%s", diff)
	}
	pending := map[string]any{"userId": "usr_1", "state": "PENDING", "description": nil}
	if diff := cmp.Diff([]any{fine, pending}, f.call("GET", list+"?include_pending_approvers=true", "").list("approvers")); diff != "" {
		t.Errorf("approvers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(any(fine), f.call("GET", "/v1/actions/runs/"+id, "").at("run", "approval")); diff != "" {
		t.Errorf("approval (-want +got):\n%s", diff)
	}
	who.id = "usr_1"
	if g := f.call("PATCH", decide, `{"status":"APPROVE","description":null}`).want(200); g.at("run", "status") != "IN_PROGRESS" {
		t.Errorf("got %s, want it started", g.text)
	}
	if f.sent.count() != 2 || f.sent.messages[1].PK != id || f.sent.messages[1].Invocation != nil {
		t.Errorf("sent %+v, want the run's message", f.sent.messages)
	}
	f.call("PATCH", decide, `{"status":"DECLINE"}`).fault(422, "run_not_waiting_for_approval")
	f.call("PATCH", "/v1/actions/runs/"+id, `{"status":"SUCCESS"}`).want(200)
	f.call("PATCH", decide, `{"status":"APPROVE"}`).want(200)
}

func TestDeclineAndMachine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.await()
	g := f.call("PATCH", "/v1/actions/runs/"+id+"/approval", `{"status":"DECLINE","description":"no"}`).want(200)
	if g.at("run", "status") != "DECLINED" || g.at("run", "endedAt") == nil || g.at("run", "approval", "userId") != clientID {
		t.Errorf("got %s, want it declined by %s", g.text, clientID)
	}
	f.call("POST", "/v1/actions/runs/"+id+"/redeliver", "").fault(422, "run_not_redeliverable")

	id = f.await()
	if g := f.call("PATCH", "/v1/actions/runs/"+id+"/approval", `{"status":"APPROVE"}`).want(200); g.at("run", "status") != "IN_PROGRESS" {
		t.Errorf("got %s, want the machine alone to decide", g.text)
	}

	id = f.await()
	f.call("PATCH", "/v1/actions/runs/"+id, `{"status":"FAILURE"}`).want(200)
	f.call("PATCH", "/v1/actions/runs/"+id+"/approval", `{"status":"APPROVE"}`).fault(422, "run_not_waiting_for_approval")
}

func TestNoDecider(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) { c.Decider = nil })
	id := f.await()
	f.call("PATCH", "/v1/actions/runs/"+id+"/approval", `{"status":"APPROVE"}`).fault(404, "not_found")
	f.call("GET", "/v1/actions/runs/"+id+"/approvers", "").want(200)
}

type undecided struct{}

func (undecided) Decide(context.Context, approval.Request) (*run.Record, error) {
	return nil, fault.Busy(context.DeadlineExceeded, 0, "the store refuses")
}

func TestNothingDecided(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) { c.Decider = undecided{} })
	f.call("PATCH", "/v1/actions/runs/"+f.await()+"/approval", `{"status":"APPROVE"}`).fault(503, "unavailable")
}
