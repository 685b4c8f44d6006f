package awsschedule_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/schedule"
	"longshore/pkg/schedule/awsschedule"
	"longshore/pkg/schedule/schedulertest"
)

const (
	target = "arn:aws:lambda:eu-west-1:123456789012:function:trigger:live"
	role   = "arn:aws:iam::123456789012:role/scheduler"
)

var start = time.Date(2026, 11, 25, 17, 0, 0, 0, time.UTC)

type world struct {
	*schedulertest.Server
	schedules *awsschedule.Schedules
	now       time.Time
	log       bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: start}
	now := func() time.Time { return w.now }
	w.Server = schedulertest.New(t, now)
	w.schedules = awsschedule.New(awsschedule.Config{
		Client: w.Client(), Group: schedulertest.Group, Target: target, Role: role,
		Log: slog.New(slog.NewTextHandler(&w.log, nil)), Now: now,
	})
	return w
}

// definition is one of an automation with a schedule; rest has further members.
func definition(rev int64, identifier, expression, timezone, rest string) *action.Record {
	return &action.Record{
		Identifier: identifier, ID: "action_0123456789abcdef", Rev: rev, UpdatedAt: start,
		Definition: json.RawMessage(fmt.Sprintf(`{"identifier":%q,"trigger":{"type":"automation","event":{"type":"SCHEDULE","expression":%q,"timezone":%q}}%s}`, identifier, expression, timezone, rest)),
	}
}

// another is a definition without a schedule.
func another(rev int64) *action.Record {
	return &action.Record{Identifier: "a", ID: "action_0123456789abcdef", Rev: rev, Definition: json.RawMessage(`{"identifier":"a","trigger":{"type":"self-service"}}`)}
}

func (w *world) reconcile(t *testing.T, before, after *action.Record) {
	t.Helper()
	if err := w.schedules.Reconcile(t.Context(), before, after); err != nil {
		t.Fatalf("reconcile: %v", err)
	}
}

// kept is the expression, zone and rev of the one entry, empty for none.
func (w *world) kept(t *testing.T) string {
	t.Helper()
	entries := w.Entries()
	if len(entries) == 0 {
		return ""
	}
	e, ok := entries["action_0123456789abcdef"]
	if !ok || len(entries) > 1 {
		t.Fatalf("entries are %v", entries)
	}
	return strings.Join([]string{e.ScheduleExpression, e.ScheduleExpressionTimezone, strings.TrimPrefix(e.Description, "Longshore, ")}, ", ")
}

func TestEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reconcile(t, nil, definition(1, "a", "rate(1 minutes)", "Europe/Amsterdam", ""))
	got := w.Entries()["action_0123456789abcdef"]
	want := schedulertest.Entry{
		ActionAfterCompletion: "DELETE", Description: "Longshore, rev 1", GroupName: "longshore",
		ScheduleExpression: "rate(1 minute)", ScheduleExpressionTimezone: "Europe/Amsterdam", State: "ENABLED",
		Target: schedulertest.Target{
			Arn: target, RoleArn: role,
			Input: `{"schedule":{"actionId":"action_0123456789abcdef","expression":"rate(1 minutes)","timezone":"Europe/Amsterdam","scheduledTime":"<aws.scheduler.scheduled-time>"}}`,
		},
	}
	want.FlexibleTimeWindow.Mode = "OFF"
	want.Target.RetryPolicy.MaximumEventAgeInSeconds, want.Target.RetryPolicy.MaximumRetryAttempts = 3600, 100
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
}

// Each step is a change and what is kept after it.
func TestChanges(t *testing.T) {
	t.Parallel()
	type step struct {
		before, after *action.Record
		want          string
	}
	daily, hourly := "cron(0 9 * * ? *)", "rate(1 hour)"
	first := definition(1, "a", daily, "", "")
	for name, steps := range map[string][]step{
		"made, changed, deleted": {
			{nil, first, daily + ", UTC, rev 1"},
			{first, definition(2, "a", hourly, "", ""), hourly + ", UTC, rev 2"},
			{definition(2, "a", hourly, "", ""), definition(3, "a", hourly, "Asia/Tokyo", ""), hourly + ", Asia/Tokyo, rev 3"},
			{definition(3, "a", hourly, "Asia/Tokyo", ""), nil, ""},
		},
		"told twice": {
			{nil, first, daily + ", UTC, rev 1"},
			{nil, first, daily + ", UTC, rev 1"},
			{first, nil, ""},
			{first, nil, ""},
		},
		"switched off and on": {
			{nil, first, daily + ", UTC, rev 1"},
			{first, definition(2, "a", daily, "", `,"publish":false`), ""},
			{definition(2, "a", daily, "", `,"publish":false`), definition(3, "a", daily, "", `,"publish":true`), daily + ", UTC, rev 3"},
		},
		"made switched off": {{nil, definition(1, "a", daily, "", `,"publish":false`), ""}},
		"another kind and back": {
			{nil, another(1), ""},
			{another(1), definition(2, "a", daily, "", ""), daily + ", UTC, rev 2"},
			{definition(2, "a", daily, "", ""), another(3), ""},
		},
		"what is none of the schedule's leaves it alone": {
			{nil, first, daily + ", UTC, rev 1"},
			{first, definition(2, "a", daily, "", `,"title":"Daily"`), daily + ", UTC, rev 1"},
		},
		"renamed": {
			{nil, first, daily + ", UTC, rev 1"},
			{first, definition(2, "b", daily, "", ""), daily + ", UTC, rev 1"},
			{nil, definition(2, "b", daily, "", ""), daily + ", UTC, rev 1"},
			{definition(2, "b", daily, "", ""), nil, ""},
		},
		"renamed and changed": {
			{nil, first, daily + ", UTC, rev 1"},
			{first, definition(2, "b", hourly, "", ""), hourly + ", UTC, rev 2"},
			{nil, definition(2, "b", hourly, "", ""), hourly + ", UTC, rev 2"},
		},
		"renamed and changed, in the other order": {
			{nil, first, daily + ", UTC, rev 1"},
			{nil, definition(2, "b", hourly, "", ""), hourly + ", UTC, rev 2"},
			{first, definition(2, "b", hourly, "", ""), hourly + ", UTC, rev 2"},
		},
		"a change that comes late": {
			{nil, definition(3, "a", hourly, "", ""), hourly + ", UTC, rev 3"},
			{first, definition(2, "a", daily, "", ""), hourly + ", UTC, rev 3"},
			{nil, first, hourly + ", UTC, rev 3"},
			{first, definition(2, "a", daily, "", `,"publish":false`), hourly + ", UTC, rev 3"},
		},
		"changed and back, the last one first": {
			{nil, first, daily + ", UTC, rev 1"},
			{definition(2, "a", hourly, "", ""), definition(3, "a", daily, "", ""), daily + ", UTC, rev 3"},
			{first, definition(2, "a", hourly, "", ""), daily + ", UTC, rev 3"},
		},
		"an entry that was lost comes with the next change": {
			{first, definition(2, "a", daily, "", `,"title":"Daily"`), daily + ", UTC, rev 2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i, s := range steps {
				w.reconcile(t, s.before, s.after)
				if got := w.kept(t); got != s.want {
					t.Fatalf("step %d: kept %q, want %q\n%s", i, got, s.want, w.log.String())
				}
			}
		})
	}
}

func TestWithoutScheduleNothingIsAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reconcile(t, another(1), another(2))
	w.reconcile(t, nil, another(1))
	w.reconcile(t, another(1), nil)
	if calls := w.Calls(); len(calls) > 0 {
		t.Errorf("calls are %v, want none", calls)
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	const at = "at(2026-11-25T18:00:00)"
	w := newWorld(t)
	w.reconcile(t, nil, definition(1, "a", at, "", ""))
	if got := w.kept(t); got != at+", UTC, rev 1" {
		t.Errorf("ahead: kept %q", got)
	}
	// It has come, and the entry is gone. A later change of the title makes none.
	w.Remove("action_0123456789abcdef")
	w.now = start.Add(2 * time.Hour)
	retitled := definition(2, "a", at, "", `,"title":"Once"`)
	retitled.UpdatedAt = w.now
	w.reconcile(t, definition(1, "a", at, "", ""), retitled)
	if got := w.kept(t); got != "" {
		t.Errorf("passed: kept %q, want nothing", got)
	}
}

// An at(…) that passed while its change was on the way is started late, for the time that it had.
func TestOnceThatPassedOnTheWay(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]string{
		10 * time.Minute: "at(2026-11-25T17:11:00), UTC, rev 1",
		2 * time.Hour:    "",
	} {
		w := newWorld(t)
		w.now = start.Add(after)
		w.reconcile(t, nil, definition(1, "a", "at(2026-11-25T18:00:30)", "Europe/Amsterdam", ""))
		if got := w.kept(t); got != want {
			t.Errorf("%s later: kept %q, want %q", after, got, want)
		}
		if want == "" {
			continue
		}
		due, is, err := schedule.ParseDue(json.RawMessage(w.Entries()["action_0123456789abcdef"].Target.Input))
		if wantAt := start.Add(30 * time.Second); !is || err != nil || !due.At.Equal(wantAt) {
			t.Errorf("it says %v, %t, %v; want the time %s", due, is, err, wantAt)
		}
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, call, kind string
		code             int
		again            bool
	}{
		{"throttled", "GET", "ThrottlingException", http.StatusTooManyRequests, true},
		{"throttled when it creates", "POST", "ThrottlingException", http.StatusTooManyRequests, true},
		{"down", "POST", "InternalServerException", http.StatusInternalServerError, true},
		{"no gateway", "GET", "", http.StatusBadGateway, true},
		{"full", "POST", "ServiceQuotaExceededException", http.StatusPaymentRequired, false},
		{"refused", "POST", "ValidationException", http.StatusBadRequest, false},
		{"may not", "GET", "AccessDeniedException", http.StatusForbidden, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Before(func(call string) (int, string) {
				if strings.HasPrefix(call, c.call) {
					return c.code, c.kind
				}
				return 0, ""
			})
			d := definition(1, "a", "rate(1 hour)", "", "")
			err := w.schedules.Reconcile(t.Context(), nil, d)
			if again := fault.KindOf(err) == fault.Unavailable; err == nil || again != c.again {
				t.Errorf("got %v, want an error that is worth another try: %t", err, c.again)
			}
			w.Before(nil)
			w.reconcile(t, nil, d)
			if got := w.kept(t); got != "rate(1 hour), UTC, rev 1" {
				t.Errorf("afterwards: kept %q", got)
			}
		})
	}
}

// An entry that another process makes, or that goes, between two calls is looked at again.
func TestMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d, later := definition(1, "a", "rate(1 hour)", "", ""), definition(2, "a", "rate(2 hours)", "", "")
	once := true
	w.Before(func(call string) (int, string) {
		if once && strings.HasPrefix(call, "POST") {
			once = false
			w.reconcile(t, nil, later)
		}
		return 0, ""
	})
	w.reconcile(t, nil, d)
	if got := w.kept(t); got != "rate(2 hours), UTC, rev 2" {
		t.Errorf("made meanwhile: kept %q, want the later one", got)
	}
	w.Before(func(call string) (int, string) {
		if strings.HasPrefix(call, "PUT") {
			w.Remove("action_0123456789abcdef")
		}
		return 0, ""
	})
	w.reconcile(t, later, definition(3, "a", "rate(3 hours)", "", ""))
	if got := w.kept(t); got != "rate(3 hours), UTC, rev 3" {
		t.Errorf("gone meanwhile: kept %q, want it made again", got)
	}
}
