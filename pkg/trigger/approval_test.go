package trigger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/permission"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

// approvers approve every run.
type approvers []permission.Approver

func (a approvers) Approvers(context.Context, permission.Question) ([]permission.Approver, error) {
	return a, nil
}

// nobody is an answer of permissions that name nobody, or that cannot be read.
type nobody struct{ err error }

func (n nobody) Approvers(context.Context, permission.Question) ([]permission.Approver, error) {
	return nil, n.err
}

func some(n int) approvers {
	var list approvers
	for i := range n {
		list = append(list, permission.Approver{UserID: fmt.Sprintf("usr_%d", i), Email: fmt.Sprintf("u%d@example.com", i)})
	}
	return list
}

// guarded is an action that needs approval, with more members.
func guarded(required, more string) string {
	return `{"identifier":"guarded","title":"Drop <it>","trigger":{"type":"self-service","operation":"CREATE",
		"userInputs":{"properties":{"name":{"type":"string"}}}},
		"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/{{ .inputs.name }}"},"requiredApproval":` + required + more + `}`
}

const (
	slackNotice = `,"approvalNotification":{"type":"webhook","format":"slack","url":"https://hooks.example.com/{{ .x }}"}`
	jsonNotice  = `,"approvalNotification":{"type":"webhook","url":"https://hooks.example.com/n"}`
)

// due are the ids of what is due at some time, notices among them.
func (w *world) due(t *testing.T) []string {
	t.Helper()
	ids, err := w.store.Due(t.Context(), start.Add(365*24*time.Hour), 100)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestApprovalWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *trigger.Config) {
		c.Approvers, c.ApprovalTimeout = append(some(2), some(1)...), time.Hour
	})
	w.actions.add(t, guarded("true", ""))
	got := w.start(t, request(t, "guarded", `{"name":"x"}`)).Record
	if got.Status != run.WaitingForApproval || !got.Due.Equal(start.Add(time.Hour)) || got.Delivery.State != run.Pending {
		t.Errorf("run is %+v", got.Run)
	}
	// Rendered once, when it was triggered.
	if url := got.Invocation.Webhook.URL; url != "https://example.com/x" {
		t.Errorf("calls %s", url)
	}
	want := &run.Approval{Approvers: []run.Approver{{UserID: "usr_0", Email: "u0@example.com"}, {UserID: "usr_1", Email: "u1@example.com"}}}
	if diff := cmp.Diff(want, w.read(t, got.ID).Approval); diff != "" {
		t.Errorf("approval (-want +got):\n%s", diff)
	}
	if len(w.queue.sent) != 0 {
		t.Errorf("sent %+v, want nothing before it is approved", w.queue.sent)
	}
	// Without a sender of e-mails, the log says that nobody was told.
	if lines := w.logs(t, got.ID); len(lines) != 1 || !strings.Contains(lines[0], "no e-mail sender") {
		t.Errorf("log is %q", lines)
	}
}

func TestApprovalNotNeeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *trigger.Config) { c.Approvers = nil })
	w.actions.add(t, guarded("false", jsonNotice))
	if got := w.start(t, request(t, "guarded", `{"name":"x"}`)).Record; got.Status != run.InProgress || got.Approval != nil {
		t.Errorf("run is %+v", got)
	}
}

func TestApprovalRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		approvers trigger.Approvers
		required  string
		kind      fault.Kind
		word      string
		sentence  string
	}{
		"nobody may":    {nobody{fault.New(fault.Invalid, "", "nobody may approve")}, "true", fault.Invalid, "invalid_request", "nobody may approve"},
		"all of 51":     {some(51), `{"type":"ALL"}`, fault.Invalid, "too_many_approvers", "all of 51"},
		"store is down": {nobody{fault.Busy(errors.New("throttled"), 0, "no answer")}, "true", fault.Unavailable, "unavailable", "nothing was accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world, tc *trigger.Config) { tc.Approvers, tc.Runs = c.approvers, noReserve{tc.Runs, t} })
			w.actions.add(t, guarded(c.required, jsonNotice))
			q := request(t, "guarded", `{"name":"x"}`)
			q.IdempotencyKey = "k"
			_, err := w.Start(t.Context(), q)
			wantFault(t, err, c.kind, c.word, c.sentence)
			w.wantNothing(t)
			if due := w.due(t); len(due) != 0 {
				t.Errorf("%q is due, want nothing stored", due)
			}
		})
	}
	w := newWorld(t, func(_ *world, c *trigger.Config) { c.Approvers = some(51) })
	w.actions.add(t, guarded(`{"type":"ANY"}`, jsonNotice))
	if got := w.start(t, request(t, "guarded", `{"name":"x"}`)).Record; len(got.Approval.Approvers) != 51 {
		t.Errorf("%d approvers, want any of 51", len(got.Approval.Approvers))
	}
}

// notice returns the only notice of a run and what it would send.
func (w *world) notice(t *testing.T, r *run.Record) *run.Record {
	t.Helper()
	if r.Approval == nil || len(r.Approval.Notices) != 1 || len(w.queue.sent) != 1 {
		t.Fatalf("approval is %+v, sent %+v; want one notice", r.Approval, w.queue.sent)
	}
	n := w.read(t, r.Approval.Notices[0])
	if n.NoticeOf != r.ID || n.Status != run.InProgress || !n.Due.Equal(start.Add(run.Unsent)) {
		t.Errorf("notice is %+v", n.Run)
	}
	want := sent{"webhook", n.Invocation.Group(), queue.Message{V: 1, PK: n.ID, Generation: 1, Kind: queue.KindRun, Invocation: n.Invocation}}
	if diff := cmp.Diff(want, w.queue.sent[0]); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	// It is in no list of runs.
	w.wantRuns(t, 1)
	for _, active := range []bool{true, false} {
		page, err := w.store.List(t.Context(), run.Filter{Active: &active, Limit: 10})
		if err != nil || active != (len(page.Runs) == 1) {
			t.Errorf("active %t: %d runs, %v", active, len(page.Runs), err)
		}
	}
	return n
}

func TestJSONNotice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *trigger.Config) { c.BaseURL = "https://portal.example.com/" })
	w.actions.add(t, guarded("true", jsonNotice))
	r := w.start(t, request(t, "guarded", `{"name":"x"}`)).Record
	call := w.notice(t, w.read(t, r.ID)).Invocation.Webhook
	if call.URL != "https://hooks.example.com/n" || call.Method != "POST" || call.Literal != "" {
		t.Errorf("calls %s %s, literal %q", call.Method, call.URL, call.Literal)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(*call.Body), &got); err != nil {
		t.Fatal(err)
	}
	payload, _ := got["payload"].(map[string]any)
	definition, _ := payload["action"].(map[string]any)
	delete(got, "payload")
	if diff := cmp.Diff(map[string]any{
		"action": "guarded", "resourceType": "run", "status": "WAITING_FOR_APPROVAL",
		"link":    "https://portal.example.com/v1/actions/runs/" + r.ID,
		"context": map[string]any{"entity": nil, "blueprint": nil, "runId": r.ID},
		"trigger": map[string]any{"origin": "API", "at": at, "by": map[string]any{"orgId": "org_1", "userId": "client"}},
	}, got, cmpopts.IgnoreMapEntries(func(k string, _ any) bool { return k == "user" })); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"name": "x"}, payload["properties"]); diff != "" || definition["identifier"] != "guarded" {
		t.Errorf("payload is %v", payload)
	}
}

func TestSlackNotice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, guarded("true", slackNotice))
	q := request(t, "guarded", `{"name":"x"}`)
	q.Address = "https://abc.execute-api.example.com"
	r := w.start(t, q).Record
	call := w.notice(t, w.read(t, r.ID)).Invocation.Webhook
	// The URL is no template.
	if call.URL != "https://hooks.example.com/{{ .x }}" {
		t.Errorf("calls %s", call.URL)
	}
	want := `{"text":"Run <https://abc.execute-api.example.com/v1/actions/runs/` + r.ID + `|` + r.ID +
		`> of action Drop &lt;it&gt;, started by client, waits for approval."}`
	if *call.Body != want {
		t.Errorf("sends %s, want %s", *call.Body, want)
	}
}

func TestEmailNotice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *trigger.Config) {
		c.Approvers, c.Mails, c.BaseURL = some(2), true, "https://x.example.com"
	})
	w.actions.add(t, strings.Replace(guarded("true", ""), "Drop <it>", `Drop\r\nit`, 1))
	r := w.start(t, request(t, "guarded", `{"name":"x"}`)).Record
	got := w.notice(t, w.read(t, r.ID)).Invocation
	want := &invocation.Invocation{V: 1, Type: "EMAIL", Backend: "webhook", Email: &invocation.Email{
		To: []string{"u0@example.com", "u1@example.com"}, Subject: "Approval needed: Drop  it",
		Text: "Run " + r.ID + " of action Drop  it, started by client, waits for approval.\n\nhttps://x.example.com/v1/actions/runs/" + r.ID + "\n",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("e-mail (-want +got):\n%s", diff)
	}
	if lines := w.logs(t, r.ID); len(lines) != 0 {
		t.Errorf("log is %q", lines)
	}

	// One e-mail takes 50 recipients.
	w = newWorld(t, func(_ *world, c *trigger.Config) { c.Approvers, c.Mails = some(120), true })
	w.actions.add(t, guarded("true", ""))
	w.start(t, request(t, "guarded", `{"name":"x"}`))
	told := map[string]bool{}
	for _, s := range w.queue.sent {
		for _, to := range s.Message.Invocation.Email.To {
			told[to] = true
		}
	}
	if len(w.queue.sent) != 3 || len(told) != 120 {
		t.Errorf("%d e-mails to %d approvers, want 3 to 120", len(w.queue.sent), len(told))
	}

	w = newWorld(t, func(_ *world, c *trigger.Config) {
		c.Approvers, c.Mails = approvers{{UserID: "usr_1", Email: "ada"}}, true
	})
	w.actions.add(t, guarded("true", ""))
	r = w.start(t, request(t, "guarded", `{"name":"x"}`)).Record
	if lines := w.logs(t, r.ID); len(lines) != 1 || !strings.Contains(lines[0], "nobody with an e-mail address") {
		t.Errorf("log is %q", lines)
	}
}

func TestNoticeWaitsForItsBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *trigger.Config) { c.Configured = func(string) bool { return false } })
	w.actions.add(t, guarded("true", jsonNotice))
	r := w.start(t, request(t, "guarded", `{"name":"x"}`)).Record
	if lines := w.logs(t, r.ID); len(lines) != 1 || !strings.Contains(lines[0], "notice is not sent yet: backend webhook is not configured") {
		t.Errorf("log is %q", lines)
	}
	if n := w.read(t, r.Approval.Notices[0]); n.Delivery.Waiting == "" || len(w.queue.sent) != 0 {
		t.Errorf("notice is %+v, sent %+v", n.Run, w.queue.sent)
	}
	if r.Delivery.Waiting != "" {
		t.Errorf("the run waits because %q, want for its approval only", r.Delivery.Waiting)
	}
}

// creates fails the creation of runs or of notices.
type creates struct {
	trigger.Runs
	err error
}

func (c creates) Create(context.Context, *run.Run, *run.Body) error { return c.err }

// A notice that cannot be recorded: nothing was accepted. A run that cannot be: its notice is left, and
// the run does not know it.
func TestNoticeBeforeItsRun(t *testing.T) {
	t.Parallel()
	down := fault.Busy(errors.New("throttled"), 0, "the store refuses")
	w := newWorld(t, func(_ *world, c *trigger.Config) { c.Runs = creates{c.Runs, down} })
	w.actions.add(t, guarded("true", jsonNotice))
	_, err := w.Start(t.Context(), request(t, "guarded", `{"name":"x"}`))
	wantFault(t, err, fault.Unavailable, "unavailable", "nothing was accepted")
	w.wantNothing(t)

	w.restart(func(_ *world, c *trigger.Config) {
		c.Accepter = &trigger.StoreAndSend{Store: noRuns{w.store, down}, Sender: w.queue, Log: c.Log}
	})
	_, err = w.Start(t.Context(), request(t, "guarded", `{"name":"x"}`))
	wantFault(t, err, fault.Unavailable, "unavailable", "nothing was accepted")
	w.wantNothing(t)
	due := w.due(t)
	if len(due) != 1 || !run.IsNotice(due[0]) {
		t.Errorf("%q is due, want the notice", due)
	}
}

type noRuns struct {
	run.Store
	err error
}

func (n noRuns) Create(context.Context, *run.Run, *run.Body) error { return n.err }
