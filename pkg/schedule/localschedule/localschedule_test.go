package localschedule_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/schedule"
	"longshore/pkg/schedule/localschedule"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
)

var start = time.Date(2026, 11, 25, 17, 0, 0, 0, time.UTC)

// world is a process that can be ended and started again, with a clock that is moved by hand.
type world struct {
	t       *testing.T
	now     time.Time
	entries map[string]*action.Entry
	stamp   int64
	memory  *sqlitestore.Clock
	clock   *localschedule.Clock
	log     bytes.Buffer
	// down is what reading and starting yield.
	unread, unstarted error
	started           []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: start, entries: map[string]*action.Entry{}}
	var err error
	if w.memory, err = sqlitestore.NewClock(t.Context(), opentest.SQLite(t)); err != nil {
		t.Fatal(err)
	}
	w.restart()
	return w
}

func (w *world) restart() {
	w.clock = localschedule.New(localschedule.Config{
		Actions: w, Start: w.start, Memory: w.memory, Log: slog.New(slog.NewTextHandler(&w.log, nil)), Now: func() time.Time { return w.now },
	})
}

// Stamp implements localschedule.Actions.
func (w *world) Stamp(context.Context) (int64, error) { return w.stamp, w.unread }

// List implements localschedule.Actions.
func (w *world) List(context.Context) ([]*action.Entry, error) {
	return slices.Collect(maps.Values(w.entries)), w.unread
}

func (w *world) start(_ context.Context, due schedule.Due) error {
	if w.unstarted != nil {
		return w.unstarted
	}
	w.started = append(w.started, due.ActionID+" "+due.At.Format("01-02T15:04:05"))
	return nil
}

// save writes an automation with a schedule; rest has further members.
func (w *world) save(id, expression, timezone, rest string) {
	r := &action.Record{Identifier: id, ID: id, CreatedAt: w.now, UpdatedAt: w.now}
	if old := w.entries[id]; old != nil {
		r.CreatedAt = old.Record.CreatedAt
	}
	r.Definition = json.RawMessage(fmt.Sprintf(`{"identifier":%q,"trigger":{"type":"automation","event":{"type":"SCHEDULE","expression":%q,"timezone":%q}}%s}`, id, expression, timezone, rest))
	w.entries[id] = &action.Entry{Record: r}
	w.stamp++
}

func (w *world) remove(id string) {
	delete(w.entries, id)
	w.stamp++
}

// until ticks each half minute until a time, the last one then.
func (w *world) until(at time.Time) {
	for w.now.Before(at) {
		w.now = w.now.Add(min(30*time.Second, at.Sub(w.now)))
		w.clock.Tick(w.t.Context())
	}
}

// want compares what was started since the last time.
func (w *world) want(step string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.started); diff != "" {
		w.t.Errorf("%s: started (-want +got):\n%s\n%s", step, diff, w.log.String())
	}
	w.started = nil
}

func TestEachTimeIsStartedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock.Tick(t.Context())
	w.save("a", "rate(20 minutes)", "", "")
	w.save("b", "cron(0/30 * * * ? *)", "", "")
	w.save("off", "rate(1 minute)", "", `,"publish":false`)
	w.until(start.Add(time.Hour))
	w.want("an hour", "a 11-25T17:20:00", "b 11-25T17:30:00", "a 11-25T17:40:00", "a 11-25T18:00:00", "b 11-25T18:00:00")
}

func TestChangedAutomations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.save("a", "cron(0 18 * * ? *)", "", "")
	w.clock.Tick(t.Context())
	w.until(start.Add(50 * time.Minute))
	w.save("a", "cron(55 17 * * ? *)", "", "")
	w.until(start.Add(70 * time.Minute))
	w.want("another expression", "a 11-25T17:55:00")
	// 18:00 had passed before it became the schedule.
	w.save("a", "cron(0 18 * * ? *)", "", `,"title":"A"`)
	w.until(start.Add(80 * time.Minute))
	w.want("a time that has passed")
	w.save("a", "at(2026-11-25T18:30:00)", "", "")
	w.until(start.Add(85 * time.Minute))
	w.save("a", "at(2026-11-25T18:30:00)", "", `,"publish":false`)
	w.until(start.Add(95 * time.Minute))
	w.want("switched off")
	w.save("a", "at(2026-11-25T18:30:00)", "", "")
	w.until(start.Add(100 * time.Minute))
	w.want("switched on after its time")
	w.save("b", "rate(1 minute)", "", "")
	w.until(start.Add(101 * time.Minute))
	w.remove("b")
	w.until(start.Add(110 * time.Minute))
	w.want("removed", "b 11-25T18:41:00")
}

// A title, or a new name, does not shift a rate; nor does a restart.
func TestRateIsNotShifted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.save("a", "rate(20 minutes)", "", "")
	w.clock.Tick(t.Context())
	w.until(start.Add(15 * time.Minute))
	w.save("a", "rate(20 minutes)", "", `,"title":"A"`)
	w.until(start.Add(25 * time.Minute))
	w.restart()
	w.until(start.Add(45 * time.Minute))
	w.want("started", "a 11-25T17:20:00", "a 11-25T17:40:00")
}

func TestMissedWhileDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, expression string
		down             time.Duration
		want             []string
	}{
		{"one", "cron(30 17 * * ? *)", 40 * time.Minute, []string{"a 11-25T17:30:00"}},
		{"the last of many", "rate(1 minute)", 40 * time.Minute, []string{"a 11-25T17:50:00"}},
		{"none", "cron(0 16 * * ? *)", 40 * time.Minute, nil},
		{"an hour ago", "cron(15 17 * * ? *)", 65*time.Minute - time.Second, []string{"a 11-25T17:15:00"}},
		{"more than an hour ago", "cron(15 17 * * ? *)", 66 * time.Minute, nil},
		{"at", "at(2026-11-25T17:30:00)", 40 * time.Minute, []string{"a 11-25T17:30:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, how := range []string{"ended", "slept"} {
				w := newWorld(t)
				w.save("a", c.expression, "", "")
				w.clock.Tick(t.Context())
				w.until(start.Add(10 * time.Minute))
				w.started = nil
				w.now = w.now.Add(c.down)
				if how == "ended" {
					w.restart()
				}
				w.clock.Tick(t.Context())
				w.clock.Tick(t.Context())
				w.want(how, c.want...)
			}
		})
	}
}

func TestFirstStartMissesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.save("a", "cron(30 17 * * ? *)", "", "")
	w.now = start.Add(40 * time.Minute)
	// No clock has run before: the time came before there was anybody to start it.
	w.clock.Tick(t.Context())
	w.want("first start")
}

// What cannot be started is tried again; other automations go on.
func TestStoreIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.save("a", "cron(1 17 * * ? *)", "", "")
	w.clock.Tick(t.Context())
	w.unstarted = errors.New("the store is down")
	w.until(start.Add(90 * time.Second))
	w.want("down")
	w.unstarted = nil
	w.until(start.Add(3 * time.Minute))
	w.want("up again", "a 11-25T17:01:00")

	w.save("b", "cron(5 17 * * ? *)", "", "")
	w.clock.Tick(t.Context())
	w.unread = errors.New("the store is down")
	w.until(start.Add(6 * time.Minute))
	w.want("unreadable", "b 11-25T17:05:00")
	w.unread = nil
	w.restart()
	w.unread = errors.New("the store is down")
	w.clock.Tick(t.Context())
	w.want("unreadable at the start")
	if !strings.Contains(w.log.String(), "schedules not read") {
		t.Errorf("log:\n%s", w.log.String())
	}
}

// A schedule that this machine cannot read holds up no other.
func TestUnknownTimezone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.save("a", "rate(1 minute)", "Europe/Atlantis", "")
	w.save("b", "rate(1 minute)", "", "")
	w.until(start.Add(time.Minute))
	w.want("started", "b 11-25T17:01:00")
	if !strings.Contains(w.log.String(), "schedule cannot be read") {
		t.Errorf("log:\n%s", w.log.String())
	}
}

func TestDaylightSaving(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, from string
		want       []string
	}{
		{"forward", "2026-03-28T22:00:00Z", []string{"rate 03-29T00:00:00", "at-1 03-29T00:30:00", "rate 03-29T02:00:00"}},
		{"back", "2026-10-24T22:00:00Z", []string{"at-1 10-24T23:30:00", "rate 10-25T00:00:00", "at-2 10-25T00:30:00", "rate 10-25T02:00:00"}},
		{"29 February", "2028-02-28T22:00:00Z", []string{"rate 02-29T00:00:00", "leap 02-29T00:15:00", "at-1 02-29T00:30:00", "at-2 02-29T01:30:00", "rate 02-29T02:00:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			from, err := time.Parse(time.RFC3339, c.from)
			if err != nil {
				t.Fatal(err)
			}
			w.now = from
			w.save("at-1", "cron(30 1 * * ? *)", "Europe/Amsterdam", "")
			w.save("at-2", "cron(30 2 * * ? *)", "Europe/Amsterdam", "")
			w.save("leap", "cron(15 1 29 2 ? *)", "Europe/Amsterdam", "")
			w.save("rate", "rate(2 hours)", "Europe/Amsterdam", "")
			w.clock.Tick(t.Context())
			w.until(from.Add(4 * time.Hour))
			w.want(c.name, c.want...)
		})
	}
}

// A clock that was wrong for a while does not stop schedules until it is that late again.
func TestClockIsPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.save("a", "rate(10 minutes)", "", "")
	w.clock.Tick(t.Context())
	w.now = start.Add(1000 * time.Hour)
	w.clock.Tick(t.Context())
	w.started = nil
	w.now = start.Add(5 * time.Minute)
	w.clock.Tick(t.Context())
	w.until(start.Add(10 * time.Minute))
	w.want("back", "a 11-25T17:10:00")
}
