package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend"
	"longshore/pkg/dispatch"
	"longshore/pkg/fault"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// sliced answers for migrations by their ids.
type sliced map[string]error

// Continue implements what Slices needs.
func (s sliced) Continue(_ context.Context, id string, n int) (bool, error) {
	if id == "mig_panics" {
		panic("at the wrong moment")
	}
	return n == 3, s[id]
}

// A queue that runs and slices share: each message reaches whom it is for, and one that fails holds up
// none of the others.
func TestBoth(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.record(t)
	slice := func(name, id string, n int) queue.Received {
		return received(name, queue.Message{PK: id, Generation: n, Kind: queue.KindDelete})
	}
	handle := dispatch.Both(dispatch.New(b.config), dispatch.NewSlices(dispatch.SlicesConfig{
		Migrations: sliced{
			"mig_gone": fault.New(fault.NotFound, "", "none"), "mig_busy": fault.Busy(errors.New("x"), 0, "busy"),
		},
		Log: b.config.Log,
	}))
	again := handle(t.Context(), []queue.Received{
		slice("panics", "mig_panics", 3), message(r), slice("done", "mig_1", 3), slice("busy", "mig_busy", 3),
		slice("old", "mig_1", 2), slice("gone", "mig_gone", 3),
		received("later", queue.Message{PK: r.ID, Generation: 1, Kind: "later"}), {ID: "text", Body: "text", Count: 1},
	})
	slices.Sort(again)
	if diff := cmp.Diff([]string{"busy", "later", "panics", "text"}, again); diff != "" {
		t.Errorf("messages that come again (-want +got):\n%s", diff)
	}
	if got := b.get(t, r.ID); len(b.calls) != 1 || got.Delivery.State != run.Delivered {
		t.Errorf("%d calls, delivery %s", len(b.calls), got.Delivery.State)
	}
	slices.Sort(b.events)
	b.wantEvents(t, dispatch.Broken, dispatch.Broken, dispatch.Continued, dispatch.Delivered, dispatch.Dropped, dispatch.Dropped, dispatch.Undecodable, dispatch.Undecodable)
}

// What is wrong with what was sent is told line by line, once the run has ended.
func TestFaultsAreLinesOfTheLog(t *testing.T) {
	t.Parallel()
	many := make([]string, 25)
	for i := range many {
		many[i] = fmt.Sprintf("p%d: is required", i)
	}
	const first = "Delivery failed after 1 attempt: refused"
	for name, c := range map[string]struct {
		outcome backend.Outcome
		want    []string
	}{
		"several": {
			backend.Outcome{Verdict: run.Fail, Error: "refused", Faults: []string{"a: is required", "b: is no number"}},
			[]string{first, "a: is required", "b: is no number"},
		},
		"many":        {backend.Outcome{Verdict: run.Fail, Error: "refused", Faults: many}, append(append([]string{first}, many[:20]...), "and 5 faults more")},
		"tried again": {backend.Outcome{Verdict: run.Retry, Error: "refused", Faults: []string{"a: is required"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := b.record(t)
			b.answers(c.outcome)
			if again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{message(r)}); len(again) > 0 {
				t.Fatal("the message comes again")
			}
			if diff := cmp.Diff(c.want, b.lines(t, r.ID)); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
		})
	}
}

// A line is no longer than a log takes.
func TestLongFault(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.record(t)
	b.answers(backend.Outcome{Verdict: run.Fail, Error: "refused", Faults: []string{strings.Repeat("é", 64<<10)}})
	dispatch.New(b.config).Handle(t.Context(), []queue.Received{message(r)})
	if lines := b.lines(t, r.ID); len(lines) != 2 || len(lines[1]) != 64<<10 {
		t.Errorf("%d lines", len(lines))
	}
}
