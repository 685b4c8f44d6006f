package local_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/approval"
	"longshore/pkg/backend"
	"longshore/pkg/catalog"
	"longshore/pkg/dispatch"
	"longshore/pkg/identity"
	"longshore/pkg/identity/directory"
	"longshore/pkg/invocation"
	"longshore/pkg/permission"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/sweep"
	triggers "longshore/pkg/trigger"
)

// pointWorld is one store and one queue, a clock, a target, and the processes that come and go.
type pointWorld struct {
	t    *testing.T
	open func(*fuse) *parts
	// clean are the parts of a process that lives.
	clean *hands

	mu  sync.Mutex
	now time.Time
	// known are the runs of earlier deaths.
	known map[string]bool
	// outcome is what the target answers from now on, once during has been called, which is nil for nothing;
	// calls are those of each run.
	outcome backend.Outcome
	during  func()
	calls   map[string]int
}

// hands are the handlers of one process.
type hands struct {
	w    *pointWorld
	fuse *fuse
	*parts
	starter    *triggers.Trigger
	decider    *approval.Approval
	dispatcher *dispatch.Dispatcher
	sweeper    *sweep.Sweeper
	deadletter *dispatch.DeadLetter
}

// client is who asks for everything here.
var machine = identity.Caller{OrgID: "org_1", Machine: true, ID: "client"}

// one approves every run.
type one struct{}

func (one) Approvers(context.Context, permission.Question) ([]permission.Approver, error) {
	return []permission.Approver{{UserID: "usr_1", Email: "ada@example.com"}}, nil
}

func newPointWorld(t *testing.T, open opening) *pointWorld {
	t.Helper()
	w := &pointWorld{
		t: t, now: time.Now().UTC().Truncate(time.Millisecond), known: map[string]bool{}, calls: map[string]int{},
		outcome: backend.Outcome{Verdict: run.Deliver, StatusCode: 202},
	}
	w.open = open(t, w.clock)
	w.clean = w.process(nil)
	for identifier, method := range map[string]string{
		"plain":   `{"type":"WEBHOOK","url":"https://example.com/"}`,
		"agent":   `{"type":"WEBHOOK","url":"https://example.com/","agent":true}`,
		"guarded": `{"type":"WEBHOOK","url":"https://example.com/"},"requiredApproval":true,"approvalNotification":{"type":"webhook","url":"https://example.com/n"}`,
	} {
		text := `{"identifier":"` + identifier + `","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":` + method + `}`
		r := &action.Record{
			Identifier: identifier, ID: "action_" + identifier, Definition: json.RawMessage(text), CreatedAt: w.now, UpdatedAt: w.now,
		}
		if err := w.clean.actions.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *pointWorld) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *pointWorld) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// process starts a process.
func (w *pointWorld) process(f *fuse) *hands {
	p := w.open(f)
	log := slog.New(slog.DiscardHandler)
	entities := catalog.NewReader(p.catalog, w.clock)
	every := func(string) bool { return true }
	h := &hands{w: w, fuse: f, parts: p}
	h.starter = triggers.New(triggers.Config{
		Actions: action.NewCache(p.actions), Entities: entities, Permissions: permission.New(permission.Config{Catalog: entities}),
		Approvers: one{}, Users: directory.New(entities, "org_1"), Runs: p.runs, Accepter: p.accepter, Sender: p.queue,
		OrgID: "org_1", Configured: every, Key: []byte("a key of hashes"), Log: log, Now: w.clock,
	})
	h.decider = approval.New(approval.Config{Runs: p.runs, Send: p.queue, Configured: every, Log: log, Now: w.clock})
	h.dispatcher = dispatch.New(dispatch.Config{
		Backend: h, Name: invocation.BackendWebhook, Runs: p.runs, Send: p.queue, Settler: p.settler, Log: log, Now: w.clock,
	})
	h.sweeper = sweep.New(sweep.Config{Runs: p.runs, Send: p.queue, Log: log, Now: w.clock})
	h.deadletter = dispatch.NewDeadLetter(dispatch.DeadLetterConfig{Runs: p.runs, Log: log, Now: w.clock})
	return h
}

// Call implements backend.Backend: the call is one at which the process may die, too.
func (h *hands) Call(_ context.Context, c backend.Call) backend.Outcome {
	outcome, err := fused(h.fuse, func() (backend.Outcome, error) { return h.w.called(c), nil })
	if err != nil {
		return backend.Outcome{Verdict: run.Retry, Error: "nobody sees this"}
	}
	return outcome
}

// LookUp implements backend.Lookuper: the work has been done.
func (h *hands) LookUp(context.Context, backend.LookUp) run.Finding {
	found, _ := fused(h.fuse, func() (run.Finding, error) { return run.Finding{Status: run.Success, Line: "done"}, nil })
	return found
}

// called is the target: whatever is called has no success on record.
func (w *pointWorld) called(c backend.Call) backend.Outcome {
	r, err := w.clean.runs.Get(w.t.Context(), c.RunID)
	if err != nil {
		w.t.Errorf("called for run %s: %v", c.RunID, err)
	} else if r.Delivery.State != run.Pending || r.Status != run.InProgress {
		w.t.Errorf("run %s is delivered although it is %s, %s", r.ID, r.Status, r.Delivery.State)
	}
	w.mu.Lock()
	w.calls[c.RunID]++
	outcome, during := w.outcome, w.during
	w.during = nil
	w.mu.Unlock()
	if during != nil {
		during()
	}
	return outcome
}

// answers makes the target answer so from now on.
func (w *pointWorld) answers(o backend.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outcome = o
}

// start asks for a run of an action.
func (h *hands) start(identifier, key string) (string, error) {
	s, err := h.starter.Start(h.w.t.Context(), triggers.Request{Caller: machine, Action: identifier, IdempotencyKey: key})
	if err != nil {
		return "", err
	}
	return s.Record.ID, nil
}

// must is start in a process that lives.
func (w *pointWorld) must(identifier string) string {
	w.t.Helper()
	id, err := w.clean.start(identifier, "")
	if err != nil {
		w.t.Fatalf("start a run of %s: %v", identifier, err)
	}
	return id
}

// receive takes what is on a queue.
func (w *pointWorld) receive(name string) []queue.Received {
	w.t.Helper()
	got, err := w.clean.queue.Receive(w.t.Context(), name, 10, 0)
	if err != nil {
		w.t.Fatalf("receive: %v", err)
	}
	return got
}

// work has a process handle messages and acknowledge those that need not come again.
func (h *hands) work(messages []queue.Received) {
	again := h.dispatcher.Handle(h.w.t.Context(), messages)
	for _, m := range messages {
		if !slices.Contains(again, m.ID) {
			// A process that died acknowledges nothing.
			_ = h.queue.Ack(h.w.t.Context(), invocation.BackendWebhook, m.Receipt)
		}
	}
}

// move writes a run in a process as the API does.
func (h *hands) move(id string, move func(*run.Run) error) error {
	_, err := h.runs.Update(h.w.t.Context(), id, func(r *run.Run) (*run.Write, error) { return &run.Write{}, move(r) })
	return err
}

// succeed reports the end of a run.
func (h *hands) succeed(id string) error {
	status := run.Success
	return h.move(id, func(r *run.Run) error { return r.Apply(h.w.clock(), "client", run.Patch{Status: &status}) })
}

// appeared returns the ids of runs that are there since it was last asked.
func (w *pointWorld) appeared() (ids []string) {
	w.t.Helper()
	page, err := w.clean.runs.List(w.t.Context(), run.Filter{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range page.Runs {
		if !w.known[r.ID] {
			w.known[r.ID] = true
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// repair lets the world go on without deaths until nothing is due any more, runs and notices: what is due
// is swept, messages are worked off, approvers approve, agents fetch, receivers report, and time goes by.
// These runs have to be among what has ended then, and all that was called to be on the run.
func (w *pointWorld) repair(ids ...string) {
	w.t.Helper()
	for range 60 {
		if _, err := w.clean.sweeper.Sweep(w.t.Context()); err != nil {
			w.t.Fatalf("sweep: %v", err)
		}
		for got := w.receive(invocation.BackendWebhook); len(got) > 0; got = w.receive(invocation.BackendWebhook) {
			w.clean.work(got)
		}
		left, err := w.clean.runs.Due(w.t.Context(), w.clock().Add(365*24*time.Hour), 1000)
		if err != nil {
			w.t.Fatal(err)
		}
		next := w.clock().Add(time.Hour)
		ended := 0
		for _, id := range slices.Compact(slices.Sorted(slices.Values(append(left, ids...)))) {
			r, err := w.clean.runs.Get(w.t.Context(), id)
			if err != nil {
				w.t.Errorf("run %s is lost: %v", id, err)
				continue
			}
			switch {
			case r.Status.Ended():
				ended += count(slices.Contains(ids, id))
			case r.Status == run.WaitingForApproval:
				err = w.clean.decide(id)
			case r.Delivery.State == run.Delivered:
				err = w.clean.succeed(id)
			case r.Backend == invocation.BackendAgent:
				_, err = w.clean.fetch()
			}
			if err != nil {
				w.t.Errorf("run %s, %s: %v", id, r.Status, err)
			}
			if !r.Due.IsZero() && r.Due.Before(next) {
				next = r.Due
			}
		}
		if len(left) == 0 && ended == len(ids) {
			for _, id := range ids {
				w.check(id)
			}
			return
		}
		w.pass(max(next.Sub(w.clock()), 2*time.Second))
	}
	w.t.Errorf("runs %v, or what is due with them, never end", ids)
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// check compares a run that has ended with what its target saw.
func (w *pointWorld) check(id string) {
	w.t.Helper()
	r, err := w.clean.runs.Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	closed, err := w.clean.runs.Attempts(w.t.Context(), r.ID)
	if err != nil {
		w.t.Error(err)
	}
	attempts := append(closed, r.Attempts...)
	w.mu.Lock()
	calls := w.calls[r.ID]
	w.mu.Unlock()
	if calls > len(attempts) || calls == 0 && r.Status == run.Success && r.Backend == invocation.BackendWebhook {
		w.t.Errorf("run %s ended %s; it was delivered %d times and has %d attempts", r.ID, r.Status, calls, len(attempts))
	}
	for _, a := range attempts {
		if a.Open {
			w.t.Errorf("run %s has ended and its attempt %d is open", r.ID, a.Number)
		}
	}
	if !r.Due.IsZero() {
		w.t.Errorf("run %s has ended and is due at %s", r.ID, r.Due)
	}
}

// decide approves a run.
func (h *hands) decide(id string) error {
	_, err := h.decider.Decide(h.w.t.Context(), approval.Request{Caller: machine, RunID: id, State: run.Approved})
	return err
}

// fetch is an agent: it claims what it may and acknowledges it.
func (h *hands) fetch() (ids []string, err error) {
	claimed, err := run.ClaimPending(h.w.t.Context(), h.runs, h.w.clock(), run.PendingFilter{Installation: invocation.AgentInstallation, Limit: 5}, run.ClaimFor)
	for _, r := range claimed {
		if err == nil {
			err = h.move(r.ID, func(r *run.Run) error { return r.Acknowledge(h.w.clock(), "client") })
		}
		ids = append(ids, r.ID)
	}
	return ids, err
}
