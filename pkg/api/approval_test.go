package api_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/api"
	"longshore/pkg/approval"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/run"
)

// guarded is an action that needs approval, of one or of all.
func guarded(kind string) string {
	return strings.Replace(deploy, `"title"`, `"requiredApproval":{"type":"`+kind+`"},"approvalNotification":{"type":"webhook","url":"https://hooks.example.com/n"},"title"`, 1)
}

const approve, decline = `{"status":"APPROVE"}`, `{"status":"DECLINE"}`

// await starts a run of a guarded action, which it makes if it is not there, and returns its path.
func (f *fixture) await(kind string) string {
	f.t.Helper()
	f.call("POST", "/v1/actions", guarded(kind))
	g := f.call("POST", "/v1/actions/deploy/runs", startDeploy).want(202)
	if g.at("run", "status") != "WAITING_FOR_APPROVAL" || g.at("run", "approval") != nil {
		f.t.Errorf("got %s, want it to wait", g.text)
	}
	return "/v1/actions/runs/" + g.at("run", "id").(string)
}

// approvers are the ids of all who may decide about a run, and of those who have.
func (f *fixture) approvers(one string) []string {
	f.t.Helper()
	ids := []string{}
	for _, a := range f.call("GET", one+"/approvers?include_pending_approvers=true", "").want(200).list("approvers") {
		ids = append(ids, a.(map[string]any)["userId"].(string))
	}
	slices.Sort(ids)
	return ids
}

// idsOf are the ids of users of the tests, sorted.
func idsOf(names ...string) []string {
	ids := []string{}
	for _, name := range names {
		ids = append(ids, catalog.UserID(name+"@example.com"))
	}
	slices.Sort(ids)
	return ids
}

func TestApproval(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ada, bo := f.as("ada@example.com", `{"port_role":"Admin"}`), f.as("bo@example.com", `{"port_role":"Admin"}`)
	member := f.as("member@example.com", `{}`)
	one := f.await("ALL")
	id := strings.TrimPrefix(one, "/v1/actions/runs/")
	decide, list := one+"/approval", one+"/approvers"
	if f.sent.count() != 1 || !run.IsNotice(f.sent.messages[0].PK) {
		t.Errorf("sent %+v, want the notice alone", f.sent.messages)
	}
	f.call("GET", "/v1/actions/runs/"+f.sent.messages[0].PK, "").fault(404, "not_found")
	if got := f.call("GET", "/v1/actions/runs?active=true", "").want(200).list("runs"); len(got) != 1 {
		t.Errorf("%d active runs, want 1", len(got))
	}
	// Who becomes an Admin now was none when the run began to wait.
	late := f.as("late@example.com", `{"port_role":"Admin"}`)
	before := f.snapshot()
	for _, as := range []*fixture{member, late} {
		as.call("PATCH", decide, approve).fault(403, "forbidden")
		as.call("PATCH", decide, decline).fault(403, "forbidden")
	}
	f.unchanged(before)
	if got := f.call("GET", list, "").want(200).list("approvers"); len(got) != 0 {
		t.Errorf("approvers are %v, want none that decided", got)
	}
	for range 2 {
		g := bo.call("PATCH", decide+"?version=v2", `{"status":"APPROVE","description":"fine"}`).want(200)
		if g.at("run", "status") != "WAITING_FOR_APPROVAL" {
			t.Errorf("got %s, want one of two approvals not to do", g.text)
		}
	}
	fine := map[string]any{"userId": catalog.UserID("bo@example.com"), "state": "APPROVED", "description": "fine"}
	if diff := cmp.Diff([]any{fine}, f.call("GET", list, "").list("approvers")); diff != "" {
		t.Errorf("approvers (-want +got):\n%s", diff)
	}
	pending := map[string]any{"userId": catalog.UserID("ada@example.com"), "state": "PENDING", "description": nil}
	if diff := cmp.Diff([]any{fine, pending}, f.call("GET", list+"?include_pending_approvers=true", "").list("approvers")); diff != "" {
		t.Errorf("approvers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(any(fine), f.call("GET", one, "").at("run", "approval")); diff != "" {
		t.Errorf("approval (-want +got):\n%s", diff)
	}
	// An approver who has lost the role is still asked.
	f.as("ada@example.com", `{"port_role":"Member"}`)
	if g := ada.call("PATCH", decide, `{"status":"APPROVE","description":null}`).want(200); g.at("run", "status") != "IN_PROGRESS" {
		t.Errorf("got %s, want it started", g.text)
	}
	if f.sent.count() != 2 || f.sent.messages[1].PK != id || f.sent.messages[1].Invocation != nil {
		t.Errorf("sent %+v, want the run's message", f.sent.messages)
	}
	ada.call("PATCH", decide, decline).fault(422, "run_not_waiting_for_approval")
	f.call("PATCH", one, `{"status":"SUCCESS"}`).want(200)
	ada.call("PATCH", decide, approve).want(200)
	f.as("ada@example.com", `{"status":"Disabled"}`)
	ada.call("PATCH", decide, approve).fault(401, "unauthorized")

	// Each decision has its entry, by who made it, and says what it changed.
	var entries []string
	for _, e := range f.audits("?resources=run&action=UPDATE&run_id=" + id) {
		by := e["trigger"].(map[string]any)
		after := e["diff"].(map[string]any)["after"].(map[string]any)
		entries = append(entries, fmt.Sprint(by["by"].(map[string]any)["userId"], by["origin"], after["status"], after["decisions"]))
	}
	decided := func(names ...string) string {
		var said []string
		for _, name := range names {
			said = append(said, "map[state:APPROVED userId:"+catalog.UserID(name+"@example.com")+"]")
		}
		return "[" + strings.Join(said, " ") + "]"
	}
	want := []string{
		fmt.Sprint(clientID, "API", "SUCCESS", decided("bo", "ada")),
		fmt.Sprint(catalog.UserID("ada@example.com"), "UI", "IN_PROGRESS", decided("bo", "ada")),
		fmt.Sprint(catalog.UserID("bo@example.com"), "UI", "WAITING_FOR_APPROVAL", decided("bo")),
	}
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Errorf("audit entries (-want +got):\n%s", diff)
	}
}

func TestDeclineAndMachine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.as("ada@example.com", `{"port_role":"Admin"}`)
	one := f.await("ALL")
	g := f.call("PATCH", one+"/approval", `{"status":"DECLINE","description":"no"}`).want(200)
	if g.at("run", "status") != "DECLINED" || g.at("run", "endedAt") == nil || g.at("run", "approval", "userId") != clientID {
		t.Errorf("got %s, want it declined by %s", g.text, clientID)
	}
	f.call("POST", one+"/redeliver", "").fault(422, "run_not_redeliverable")

	one = f.await("ALL")
	if g := f.call("PATCH", one+"/approval", approve).want(200); g.at("run", "status") != "IN_PROGRESS" {
		t.Errorf("got %s, want the machine alone to decide", g.text)
	}

	one = f.await("ALL")
	f.call("PATCH", one, `{"status":"FAILURE"}`).want(200)
	f.call("PATCH", one+"/approval", approve).fault(422, "run_not_waiting_for_approval")
}

// Who may approve is found out by permissions when a run begins to wait.
func TestWhoMayApprove(t *testing.T) {
	t.Parallel()
	f := newUserFixture(t)
	f.as("owner@example.com", `{"port_role":"Admin","status":"Disabled"}`)
	f.define(guarded("ANY"))
	for name, test := range map[string]struct {
		permissions string
		want        []string
	}{
		"by default":           {`{}`, []string{"admin"}},
		"by role":              {`{"approve":{"roles":["Member"]}}`, []string{"ada", "bob", "mod"}},
		"by team":              {`{"approve":{"roles":[],"teams":["Operations"]}}`, []string{"ada"}},
		"by e-mail":            {`{"approve":{"roles":[],"teams":[],"users":["BOB@example.com","stranger@example.com"]}}`, []string{"bob"}},
		"by policy":            {`{"approve":{"policy":{"conditions":["[.user.email, \"BOB@example.com\", \"stranger@example.com\"]","[\"admin@example.com\"]"]}}}`, []string{"admin", "bob"}},
		"by a policy's query":  {`{"approve":{"policy":{"queries":{"u":{"combinator":"and","rules":[{"property":"$blueprint","operator":"=","value":"_user"},{"property":"$team","operator":"containsAny","value":["ops"]}]}},"conditions":["[.results.u.entities[].identifier]"]}}}`, []string{"ada"}},
		"by nobody who asked":  {`{"approve":{"policy":{"conditions":["[\"ada@example.com\", \"bob@example.com\"] - [.user.email]"]}}}`, []string{"ada", "bob"}},
		"nobody at the moment": {`{"approve":{"policy":{"conditions":["[]"]}}}`, []string{}},
	} {
		f.call("PATCH", permissionsOfDeploy, `{"approve":{"users":[],"roles":["Admin"],"teams":[],"policy":null}}`).want(200)
		f.call("PATCH", permissionsOfDeploy, test.permissions).want(200)
		one := "/v1/actions/runs/" + f.call("POST", "/v1/actions/deploy/runs", startDeploy).want(202).at("run", "id").(string)
		if diff := cmp.Diff(idsOf(test.want...), f.approvers(one)); diff != "" {
			t.Errorf("%s: approvers (-want +got):\n%s", name, diff)
		}
		for _, user := range []string{"admin", "ada", "bob", "mod"} {
			before := f.snapshot()
			if !slices.Contains(test.want, user) {
				f.by(user, "PATCH", one+"/approval", decline).fault(403, "forbidden")
				f.unchanged(before)
			}
		}
		if len(test.want) > 0 {
			f.by(test.want[0], "PATCH", one+"/approval", decline).want(200)
		}
	}
	f.call("PATCH", permissionsOfDeploy, `{"approve":{"policy":{"conditions":["[\"ada@example.com\", \"bob@example.com\"] - [.user.email]"]}}}`).want(200)
	adas := f.by("ada", "POST", "/v1/actions/deploy/runs", startDeploy).want(202).at("run", "id").(string)
	if diff := cmp.Diff(idsOf("bob"), f.approvers("/v1/actions/runs/"+adas)); diff != "" {
		t.Errorf("approvers of ada's run (-want +got):\n%s", diff)
	}
	f.call("PATCH", permissionsOfDeploy, `{"approve":{"users":[],"roles":[],"teams":[],"policy":null}}`).want(200)
	before := f.snapshot()
	f.call("POST", "/v1/actions/deploy/runs", startDeploy).fault(422, "no_approvers")
	f.call("POST", "/v1/actions/deploy/runs?dry_run=true", startDeploy).fault(422, "no_approvers")
	f.unchanged(before)
}

// Of a run that is for somebody else: the user whom it is for withdraws it, and so may the machine.
func TestApprovalOfARunForSomebody(t *testing.T) {
	t.Parallel()
	f := newUserFixture(t)
	f.define(strings.Replace(guarded("ANY"), `"title"`, `"allowAnyoneToViewRuns":false,"title"`, 1))
	f.call("PATCH", permissionsOfDeploy, `{"execute":{"roles":[],"users":["bob@example.com"]},"approve":{"roles":[],"policy":{"conditions":[".user | if .email == \"bob@example.com\" then [\"ada@example.com\"] else [] end"]}}}`).want(200)
	before := f.snapshot()
	f.call("POST", "/v1/actions/deploy/runs?run_as=ada@example.com", startDeploy).fault(403, "forbidden")
	f.unchanged(before)
	start := func() string {
		t.Helper()
		return "/v1/actions/runs/" + f.call("POST", "/v1/actions/deploy/runs?run_as=bob@example.com", startDeploy).want(202).at("run", "id").(string)
	}
	one := start()
	if diff := cmp.Diff(idsOf("ada"), f.approvers(one)); diff != "" {
		t.Errorf("approvers (-want +got):\n%s", diff)
	}
	// The approver sees the private run, and may not withdraw it; an Admin may, and not approve it; the
	// user whom it is for may withdraw it and not approve it; for others it is not there.
	f.by("ada", "GET", one, "").want(200)
	f.by("ada", "GET", one+"/logs", "").want(200)
	f.by("ada", "PATCH", one, `{"status":"FAILURE"}`).fault(403, "forbidden")
	f.by("admin", "PATCH", one+"/approval", approve).fault(403, "forbidden")
	f.by("bob", "PATCH", one+"/approval", approve).fault(403, "forbidden")
	f.by("mod", "PATCH", one+"/approval", approve).fault(404, "not_found")
	f.by("mod", "GET", one+"/approvers", "").fault(404, "not_found")
	f.by("bob", "PATCH", one, `{"status":"FAILURE"}`).want(200)
	f.by("ada", "PATCH", one+"/approval", approve).fault(422, "run_not_waiting_for_approval")
	one = start()
	f.by("admin", "PATCH", one, `{"status":"FAILURE"}`).want(200)
	one = start()
	f.by("ada", "PATCH", one+"/approval", approve).want(200)
	created := f.audits("?resources=run&action=CREATE")[0]
	holds(t, created["trigger"].(map[string]any)["by"], `{"userId":"`+catalog.UserID("bob@example.com")+`"}`)
	holds(t, created["diff"].(map[string]any)["after"], `{"impersonatedBy":"`+clientID+`","status":"WAITING_FOR_APPROVAL"}`)
}

// A machine that decides for a user decides as that user, and no more than the user may.
func TestDecisionForSomebody(t *testing.T) {
	t.Parallel()
	f := newUserFixture(t)
	f.define(guarded("ALL"))
	f.call("PATCH", permissionsOfDeploy, `{"approve":{"roles":[],"users":["ada@example.com","bob@example.com"]}}`).want(200)
	one := f.await("ALL")
	decide := one + "/approval"
	before := f.snapshot()
	f.call("PATCH", decide+"?run_as=admin@example.com", approve).fault(403, "forbidden")
	f.by("ada", "PATCH", decide+"?run_as=bob@example.com", approve).fault(403, "forbidden")
	for _, nobody := range []string{"nobody@example.com", "ada", "", "ada@example.com&run_as=bob@example.com"} {
		g := f.call("PATCH", decide+"?run_as="+nobody, approve)
		g.fault(422, "invalid_request")
		if path := g.list("details")[0].(map[string]any)["path"]; path != "run_as" {
			t.Errorf("%s: got %s", nobody, g.text)
		}
	}
	f.unchanged(before)

	g := f.call("PATCH", decide+"?run_as=ADA@example.com", approve).want(200)
	holds(t, g.at("run"), `{"status":"WAITING_FOR_APPROVAL"}`)
	holds(t, g.at("run", "approval"), `{"userId":"`+catalog.UserID("ada@example.com")+`","state":"APPROVED"}`)
	last := f.audits("?resources=run&action=UPDATE")[0]
	holds(t, last["trigger"], `{"origin":"API"}`)
	holds(t, last["trigger"].(map[string]any)["by"], `{"userId":"`+catalog.UserID("ada@example.com")+`"}`)
	f.by("bob", "PATCH", decide, approve).want(200)
	holds(t, f.call("GET", one, "").want(200).at("run"), `{"status":"IN_PROGRESS"}`)
}

// A run lives on when its action is gone: it is approved, delivered again and withdrawn as it was.
func TestApprovalWithoutTheAction(t *testing.T) {
	t.Parallel()
	f := newUserFixture(t)
	f.define(strings.Replace(guarded("ANY"), `"title"`, `"allowAnyoneToViewRuns":false,"title"`, 1))
	var runs []string
	for range 3 {
		runs = append(runs, "/v1/actions/runs/"+f.by("bob", "POST", "/v1/actions/deploy/runs", startDeploy).want(202).at("run", "id").(string))
	}
	f.call("DELETE", "/v1/actions/deploy", "").want(200)
	sent := f.sent.count()
	f.by("admin", "PATCH", runs[0]+"/approval", approve).want(200)
	if f.sent.count() != sent+1 {
		t.Errorf("the approved run was not sent")
	}
	f.by("admin", "PATCH", runs[1]+"/approval", decline).want(200)
	f.by("bob", "PATCH", runs[2], `{"status":"FAILURE"}`).want(200)
	f.by("mod", "PATCH", runs[2]+"/approval", approve).fault(404, "not_found")
	f.move(strings.TrimPrefix(runs[0], "/v1/actions/runs/"), func(r *run.Run) error {
		now := r.StartedAt.Add(time.Second)
		if _, err := r.Claim(now, r.Generation, "a", time.Minute); err != nil {
			return err
		}
		return r.Settle(now, r.Generation, "a", time.Hour, run.Outcome{Verdict: run.Fail, Error: "connection refused"})
	})
	f.by("mod", "POST", runs[0]+"/redeliver", "").fault(404, "not_found")
	if g := f.by("bob", "POST", runs[0]+"/redeliver", "").want(202); g.at("run", "generation") != 2.0 {
		t.Errorf("got %s, want the second generation", g.text)
	}
	last := f.audits("?resources=run&run_id=" + strings.TrimPrefix(runs[0], "/v1/actions/runs/"))[0]
	holds(t, last["trigger"], `{"origin":"UI"}`)
	holds(t, last["trigger"].(map[string]any)["by"], `{"userId":"`+catalog.UserID("bob@example.com")+`"}`)
}

// More approvers than may be needed at once are refused when a run is started, and nothing is stored.
func TestAllOfTooManyApprovers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range run.MaxApprovers + 1 {
		f.as(fmt.Sprintf("u%d@example.com", i), `{"port_role":"Admin"}`)
	}
	f.define(guarded("ALL"))
	before := f.snapshot()
	f.call("POST", "/v1/actions/deploy/runs", startDeploy, "Idempotency-Key", "k").fault(422, "too_many_approvers")
	f.call("POST", "/v1/actions/deploy/runs?dry_run=true", startDeploy).fault(422, "too_many_approvers")
	f.unchanged(before)
	f.as("u0@example.com", `{"status":"Disabled","port_role":"Admin"}`)
	f.call("POST", "/v1/actions/deploy/runs", startDeploy, "Idempotency-Key", "k").want(202)
	f.as("u0@example.com", `{"port_role":"Admin"}`)
	f.call("PUT", "/v1/actions/deploy", guarded("ANY")).want(200)
	f.call("POST", "/v1/actions/deploy/runs", startDeploy).want(202)
}

func TestNoDecider(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) { c.Decider = nil })
	one := f.await("ANY")
	f.call("PATCH", one+"/approval", approve).fault(404, "not_found")
	f.call("GET", one+"/approvers", "").want(200)
}

type undecided struct{}

func (undecided) Decide(context.Context, approval.Request) (*run.Record, error) {
	return nil, fault.Busy(context.DeadlineExceeded, 0, "the store refuses")
}

func TestNothingDecided(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *api.Config) { c.Decider = undecided{} })
	f.call("PATCH", f.await("ANY")+"/approval", approve).fault(503, "unavailable")
}
