package sweep_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/sweep"
)

// watched is a run that GitHub took at the start.
func (b *bench) watched(t *testing.T) *run.Run {
	t.Helper()
	return b.record(t, func(r *run.Run) {
		r.Backend = "github"
		if _, err := r.Claim(start, 1, "o", time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := r.Settle(start, 1, "o", time.Hour, run.Outcome{Verdict: run.Deliver, Watch: true}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLookUpIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		events bool
		// times are when messages were sent, in minutes after the delivery.
		times []int
	}{
		"with events":    {true, []int{2, 5, 15, 75, 135}},
		"without events": {false, []int{2, 5, 15, 25, 35, 45, 55, 65, 75, 85, 95, 105, 115, 125, 135}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench()
			b.config.Events = func(backend string) bool { return c.events && backend == "github" }
			r := b.watched(t)
			var times []int
			for minute := 1; minute <= 140; minute++ {
				b.now = start.Add(time.Duration(minute) * time.Minute)
				before := len(b.sent)
				b.sweep(t)
				if len(b.sent) > before {
					times = append(times, minute)
				}
			}
			if diff := cmp.Diff(c.times, times); diff != "" {
				t.Errorf("sent at (-want +got):\n%s", diff)
			}
			want := envelope{"github", queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindLookup}, 0, ""}
			for _, got := range b.sent {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("message (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestLookUpThatCannotBeSentIsAskedForAgain(t *testing.T) {
	t.Parallel()
	b := newBench()
	r := b.watched(t)
	b.now = start.Add(2 * time.Minute)
	b.before = func(context.Context, queue.Message) error { return errors.New("the queue is down") }
	if diff := cmp.Diff(sweep.Report{Due: 1, Failed: 1}, b.sweep(t)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	b.before = nil
	b.now = b.now.Add(time.Second)
	if diff := cmp.Diff(sweep.Report{Due: 1, LookedUp: 1}, b.sweep(t)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if len(b.sent) != 1 || b.sent[0].Message.PK != r.ID {
		t.Errorf("sent %+v", b.sent)
	}
}

func TestLookUpOfABackendThatIsNotConfiguredAnyMore(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.config.Configured = func(string) bool { return false }
	r := b.watched(t)
	b.now = start.Add(2 * time.Minute)
	b.sweep(t)
	if got := b.get(t, r.ID); len(b.sent) > 0 || !got.Due.After(b.now) || !strings.Contains(got.Delivery.Waiting, "not configured") {
		t.Errorf("sent %+v, due %s, waiting %q", b.sent, got.Due, got.Delivery.Waiting)
	}
}

func TestWatchedRunTimesOut(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.config.Timeout = func(string) time.Duration { return time.Hour }
	r := b.watched(t)
	b.now = start.Add(time.Hour)
	b.sweep(t)
	if got := b.get(t, r.ID); got.Status != run.Failure || len(b.sent) > 0 {
		t.Errorf("run is %s, sent %+v", got.Status, b.sent)
	}
}
