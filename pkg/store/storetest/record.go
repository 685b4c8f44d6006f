package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/audit"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

func runCreateOnce(t *testing.T, s RunStore) {
	now := startOfTest()
	first, body := newRun(now)
	if err := s.Create(t.Context(), first, body); err != nil {
		t.Fatalf("create run: %v", err)
	}
	second, _ := newRun(now, func(r *run.Run) { r.ID, r.CreatedBy = first.ID, "another" })
	wantKind(t, s.Create(t.Context(), second, newBody("another")), fault.Conflict)
	got := read(t, s, first.ID)
	if diff := sameRun(first, got.Run); diff != "" {
		t.Errorf("head after a second create (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(*body, got.Body); diff != "" {
		t.Errorf("body after a second create (-want +got):\n%s", diff)
	}

	id := run.NewID(now)
	won := 0
	for _, err := range gather(16, func(i int) error {
		r, b := newRun(now, func(r *run.Run) { r.ID, r.CreatedBy = id, fmt.Sprintf("caller %d", i) })
		return s.Create(t.Context(), r, b)
	}) {
		if err == nil {
			won++
		} else {
			wantKind(t, err, fault.Conflict)
		}
	}
	if won != 1 {
		t.Errorf("%d of 16 creates of one id won, want 1", won)
	}
	if _, err := s.Get(t.Context(), "r_0000000000000000"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("get of an unknown run: got error %v, want not found", err)
	}
	_, err := s.Update(t.Context(), run.NewID(now), func(*run.Run) (*run.Write, error) { return &run.Write{}, nil })
	wantKind(t, err, fault.NotFound)
}

// A reader that sees a head sees its body, at any moment of Create.
func runHeadNeedsBodyFirst(t *testing.T, s RunStore) {
	now := startOfTest()
	for range 10 {
		r, b := newRun(now)
		done := make(chan error, 1)
		go func() { done <- s.Create(t.Context(), r, b) }()
		for {
			got, err := s.Read(t.Context(), r.ID)
			if fault.KindOf(err) == fault.NotFound && err != nil {
				continue
			}
			if err != nil {
				t.Errorf("read run: %v", err)
			} else if diff := cmp.Diff(*b, got.Body); diff != "" {
				t.Errorf("body beside the first sight of the head (-want +got):\n%s", diff)
			}
			break
		}
		if err := <-done; err != nil {
			t.Fatalf("create run: %v", err)
		}
	}

	r := create(t, s, now)
	s.DropBody(t, r.ID)
	got := read(t, s, r.ID)
	if diff := cmp.Diff(run.Body{Properties: json.RawMessage("{}")}, got.Body); diff != "" {
		t.Errorf("a head without its body (-want +got):\n%s", diff)
	}
}

func runOrphanBodyInvisible(t *testing.T, s RunStore) {
	r, b := newRun(startOfTest())
	s.OrphanBody(t, r.ID, newBody("orphan"))
	_, err := s.Get(t.Context(), r.ID)
	wantKind(t, err, fault.NotFound)
	_, err = s.Read(t.Context(), r.ID)
	wantKind(t, err, fault.NotFound)
	if got := ids(t, s, run.Filter{}); len(got) != 0 {
		t.Errorf("list shows an orphan body: %v", got)
	}
	// The retry that takes the run id over brings its own body.
	if err := s.Create(t.Context(), r, b); err != nil {
		t.Fatalf("create over an orphan body: %v", err)
	}
	if diff := cmp.Diff(*b, read(t, s, r.ID).Body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func runIDsSortByTime(t *testing.T, s RunStore) {
	now := startOfTest()
	var want []string
	// Recorded in an order that is not that of their times.
	for _, i := range []int{3, 0, 4, 1, 2} {
		create(t, s, now.Add(time.Duration(i)*time.Millisecond), func(r *run.Run) { r.Action.Icon = fmt.Sprint(i) })
	}
	eventually(t, func() string {
		page, err := s.List(t.Context(), run.Filter{Limit: 10})
		if err != nil {
			t.Fatalf("list runs: %v", err)
		}
		want = want[:0]
		for _, r := range page.Runs {
			want = append(want, r.Action.Icon)
		}
		return cmp.Diff([]string{"4", "3", "2", "1", "0"}, want)
	})
}

func runUpdateRetriesOnConflict(t *testing.T, s RunStore) {
	const writers = 16
	r := create(t, s, startOfTest())
	before := get(t, s, r.ID).Rev
	won := together(t, writers, func(int) error {
		_, err := s.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) {
			r.Summary += "x"
			return &run.Write{}, nil
		})
		return err
	}, nil)
	got := get(t, s, r.ID)
	if won != writers || got.Summary != strings.Repeat("x", writers) {
		t.Errorf("%d of %d writers succeeded and left %q", won, writers, got.Summary)
	}
	if got.Rev != before+writers {
		t.Errorf("rev is %d after %d writes on %d", got.Rev, writers, before)
	}
}

func runUpdateWritesAllOrNothing(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	before := get(t, s, r.ID)
	failure := errors.New("no")
	if _, err := s.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) {
		r.Summary = "changed"
		return &run.Write{Logs: []*run.Log{line(r.ID, 1, now)}}, failure
	}); !errors.Is(err, failure) {
		t.Errorf("got error %v, want the move's own", err)
	}
	got, err := s.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) {
		r.Summary = "changed"
		return nil, nil
	})
	if err != nil || got == nil {
		t.Fatalf("update that writes nothing: %v, %v", got, err)
	}
	if diff := cmp.Diff(before, get(t, s, r.ID)); diff != "" {
		t.Errorf("a move that writes nothing wrote (-want +got):\n%s", diff)
	}
	if got := logs(t, s, r.ID, run.LogQuery{Limit: 50}); len(got) != 0 {
		t.Errorf("a move that failed wrote %d lines", len(got))
	}
	stored := update(t, s, r.ID, func(r *run.Run) (*run.Write, error) {
		r.Summary = "changed"
		return &run.Write{Logs: []*run.Log{line(r.ID, 1, now), line(r.ID, 2, now)}}, nil
	})
	if diff := cmp.Diff(stored, get(t, s, r.ID)); diff != "" {
		t.Errorf("update returned another run than was stored (-returned +stored):\n%s", diff)
	}
	if got := logs(t, s, r.ID, run.LogQuery{Limit: 50}); len(got) != 2 {
		t.Errorf("%d lines, want 2", len(got))
	}
}

// awkward is JSON whose text a decoder and an encoder would change.
const awkward = `{"b":1,"a":{"z":1e400,"y":-0.0,"x":12345678901234567890,"w":1.10},"":"` +
	"\u2028\u2029 <b>&amp;</b> \U0001F600 é" + `","k\u0000":"\u0000\ud800\u00e9\/","a ":[[],{},null,true,0.1E+2]}`

func runTextComesBackAsItWas(t *testing.T, s RunStore) {
	now := startOfTest()
	next := now.Add(time.Minute)
	text := "\u2028 line\r\n\t\x01 \"quoted\" <&> \U0001F600 %20 '; DROP TABLE runs; --"
	r, b := newRun(now, func(r *run.Run) {
		r.Generation = 3
		r.StatusLabel, r.Summary, r.ExternalRunID = text, strings.Repeat("é", 32<<10), text
		r.Link = json.RawMessage(`["https://example.com/<a>&b","https://example.com/` + "\u2028" + `"]`)
		r.Action = run.Action{Identifier: "größe@1", Title: text, Icon: text, ID: "action_0123456789abcdef"}
		r.Blueprint, r.Entity = `a/b\c`, strings.Repeat("e", 1000)
		r.RequiredApproval = json.RawMessage(`{"type":"ANY"}`)
		r.Private = true
		r.UserEmail, r.UpdatedBy, r.ImpersonatedBy = "ada@example.com", "client_2", "client_3"
		r.UpdatedAt, r.StartedAt = now.Add(time.Millisecond), now.Add(time.Second)
		r.Last = audit.Author{
			ID: "usr_2", Email: "bob@example.com", Origin: run.SourceUI, RunID: "r_1", At: now.Add(time.Millisecond),
			Cause: audit.Cause{EventID: "event_1", RunID: "r_1", Depth: 4},
		}
		r.Cause = audit.Cause{EventID: "event_0", RunID: "r_0", Depth: 3}
		r.Delivery = run.Delivery{
			State: run.Pending, Owner: "owner", Lease: now.Add(lease), DeliveredAt: now.Add(2 * time.Second),
			Sends: 4, NextTry: next, Waiting: text, Host: text,
			UncertainSince: now.Add(-time.Hour), UncertainUntil: now.Add(-time.Minute),
		}
		r.Attempts = []run.Attempt{
			{Generation: 3, Number: 1, StartedAt: now, DurationMs: 12, StatusCode: 503, Error: text, NextAttemptAt: &next},
			{Generation: 3, Number: 2, StartedAt: now, Interrupted: true, Error: "interrupted"},
			{Generation: 3, Number: 3, StartedAt: now, Unknown: true, Error: "closed"},
			{Generation: 3, Number: 4, StartedAt: now, Open: true},
		}
		r.Decisions = []run.Decision{
			{UserID: "client_1", State: run.Refused, Description: text, At: now}, {UserID: "usr_1", State: run.Approved, At: next},
		}
	})
	b.Properties = json.RawMessage(awkward)
	b.User = json.RawMessage(awkward)
	b.Invocation.Payload = json.RawMessage(awkward)
	b.Invocation.Webhook.Body = &text
	b.Invocation.Webhook.Headers[0].Value = "<é&>"
	want := *r
	if err := s.Create(t.Context(), r, b); err != nil {
		t.Fatalf("create run: %v", err)
	}
	got := read(t, s, r.ID)
	if diff := sameRun(&want, got.Run); diff != "" {
		t.Errorf("head (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(*b, got.Body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if diff := sameRun(&want, get(t, s, r.ID)); diff != "" {
		t.Errorf("head alone (-want +got):\n%s", diff)
	}
	eventually(t, func() string {
		page, err := s.List(t.Context(), run.Filter{Limit: 10})
		if err != nil {
			t.Fatalf("list runs: %v", err)
		}
		return cmp.Diff([]*run.Record{got}, page.Runs)
	})
	l := line(r.ID, 1, now)
	l.Message, l.CreatedBy = text, "ada@example.com"
	if err := s.AppendLog(t.Context(), l); err != nil {
		t.Fatalf("append log: %v", err)
	}
	if diff := cmp.Diff([]*run.Log{l}, logs(t, s, r.ID, run.LogQuery{Limit: 50})); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	// An update that touches one member leaves the rest as it was; Longshore signs what nobody asked for.
	update(t, s, r.ID, func(r *run.Run) (*run.Write, error) {
		r.Link = json.RawMessage(`"https://example.com/1"`)
		return &run.Write{}, nil
	})
	want.Link = json.RawMessage(`"https://example.com/1"`)
	want.Last = audit.Author{ID: run.Own, Origin: run.SourceAutomation, At: want.UpdatedAt}
	if diff := sameRun(&want, get(t, s, r.ID)); diff != "" {
		t.Errorf("head after an update (-want +got):\n%s", diff)
	}
}

// What a body does not have is not there when it is read, either.
func runBodyMayBeSparse(t *testing.T, s RunStore) {
	for _, body := range []*run.Body{
		{Properties: json.RawMessage(`{}`)},
		{Properties: json.RawMessage(`{"a":null}`), User: json.RawMessage(`null`)},
		{Properties: json.RawMessage(`{}`), Approval: &run.Approval{Approvers: []run.Approver{}, Notices: []string{"d_1"}}},
		{Properties: json.RawMessage(`{}`), Invocation: &invocation.Invocation{
			V: invocation.Version, Type: "WEBHOOK", Backend: invocation.BackendWebhook,
			Webhook: &invocation.Webhook{URL: "https://example.com", Method: "GET"},
		}},
	} {
		r, _ := newRun(startOfTest())
		if err := s.Create(t.Context(), r, body); err != nil {
			t.Fatalf("create run: %v", err)
		}
		if diff := cmp.Diff(*body, read(t, s, r.ID).Body); diff != "" {
			t.Errorf("body (-want +got):\n%s", diff)
		}
	}
}

func runResponseBelongsToItsEnd(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	if got := read(t, s, r.ID).Response; got != nil {
		t.Errorf("response of a new run: %s", got)
	}
	response := json.RawMessage(awkward[:len(awkward)-1] + `,"big":"` + strings.Repeat("x", 200<<10) + `"}`)
	update(t, s, r.ID, claim(now, 1, "a"))
	update(t, s, r.ID, settle(now, 1, "a", run.Outcome{Verdict: run.Fail, StatusCode: 500, Response: response}))
	got := read(t, s, r.ID)
	if !got.HasResponse || string(got.Response) != string(response) {
		t.Errorf("has response %t, %d bytes, want %d", got.HasResponse, len(got.Response), len(response))
	}
	// A generation that has not ended has no response, whatever the one before left.
	redeliver(t, s, r.ID, now)
	if got := read(t, s, r.ID); got.HasResponse || got.Response != nil {
		t.Errorf("has response %t, %d bytes after redelivery", got.HasResponse, len(got.Response))
	}
	update(t, s, r.ID, claim(now, 2, "b"))
	update(t, s, r.ID, settle(now, 2, "b", run.Outcome{Verdict: run.Succeed, StatusCode: 200, Response: json.RawMessage(`"ok"`)}))
	if got := read(t, s, r.ID); string(got.Response) != `"ok"` {
		t.Errorf("response of the second generation: %s", got.Response)
	}
}

// An item past its time is absent, though the database may still hold it.
func expiredItemAbsent(t *testing.T, s RunStore) {
	now := startOfTest()
	kept := create(t, s, now.Add(-364*24*time.Hour))
	old := create(t, s, now.Add(-366*24*time.Hour))
	_, err := s.Get(t.Context(), old.ID)
	wantKind(t, err, fault.NotFound)
	_, err = s.Read(t.Context(), old.ID)
	wantKind(t, err, fault.NotFound)
	_, err = s.Update(t.Context(), old.ID, end(now, run.Success))
	wantKind(t, err, fault.NotFound)
	eventually(t, func() string { return cmp.Diff([]string{kept.ID}, ids(t, s, run.Filter{})) })
	eventually(t, func() string {
		due, err := s.Due(t.Context(), now, 10)
		if err != nil {
			t.Fatalf("due: %v", err)
		}
		return cmp.Diff([]string{kept.ID}, due, cmpopts.EquateEmpty())
	})
}
