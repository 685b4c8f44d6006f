package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/run"
	"longshore/pkg/sweep"
	"longshore/pkg/timer"
)

// ends is a store of entities with timers.
type ends struct {
	mu   sync.Mutex
	late []timer.Late
	err  error
	// fails is what firing an entity's timers yields, by its name.
	fails map[string]func() error
	fired []string
}

// LateTimers implements sweep.Timers.
func (e *ends) LateTimers(_ context.Context, now time.Time, limit int) (late []timer.Late, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.late {
		if len(late) < limit && !l.At.After(now) {
			late = append(late, l)
		}
	}
	return late, e.err
}

// FireTimers implements sweep.Timers.
func (e *ends) FireTimers(_ context.Context, late timer.Late, _ time.Time) (int, error) {
	if fails := e.fails[late.Name]; fails != nil {
		if err := fails(); err != nil {
			return 0, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fired = append(e.fired, late.Name)
	for i, l := range e.late {
		if l == late {
			e.late = append(e.late[:i:i], e.late[i+1:]...)
			return 1, nil
		}
	}
	return 0, nil
}

func endsEachSecond(n int) *ends {
	e := &ends{fails: map[string]func() error{}}
	for i := range n {
		e.late = append(e.late, timer.Late{Partition: "bp", Name: fmt.Sprint(i), At: start.Add(time.Duration(i) * time.Second)})
	}
	return e
}

func TestTimersAreFired(t *testing.T) {
	t.Parallel()
	b := newBench()
	e := endsEachSecond(10)
	b.config.Timers, b.config.Workers = e, 1
	b.record(t, func(r *run.Run) { r.Due = start })
	b.now = start.Add(6 * time.Second)
	if diff := cmp.Diff(sweep.Report{Due: 1, Sent: 1, Timers: 7, Fired: 7}, b.sweep(t)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"0", "1", "2", "3", "4", "5", "6"}, e.fired); diff != "" {
		t.Errorf("fired (-want +got):\n%s", diff)
	}
	b.now = start.Add(7 * time.Second)
	if diff := cmp.Diff(sweep.Report{Timers: 1, Fired: 1}, b.sweep(t)); diff != "" {
		t.Errorf("second report (-want +got):\n%s", diff)
	}
}

func TestOneFaultyTimer(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func() error{
		"refused": func() error { return errors.New("throttled") },
		"panic":   func() error { panic("a fault of ours") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench()
			e := endsEachSecond(5)
			e.fails["2"] = fails
			b.config.Timers = e
			b.now = start.Add(time.Minute)
			if diff := cmp.Diff(sweep.Report{Timers: 5, Fired: 4, Failed: 1, Lag: 58 * time.Second}, b.sweep(t)); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if !strings.Contains(b.logs.String(), "entity=2") {
				t.Errorf("the log does not name the entity:\n%s", b.logs.String())
			}
		})
	}
}

// More timers than one sweep takes are fired by the next ones, and the lag shows it.
func TestManyTimers(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.config.Timers = endsEachSecond(5)
	b.config.Limit = 3
	b.now = start.Add(time.Minute)
	if diff := cmp.Diff(sweep.Report{Timers: 3, Fired: 3, Lag: 58 * time.Second}, b.sweep(t)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sweep.Report{Timers: 2, Fired: 2}, b.sweep(t)); diff != "" {
		t.Errorf("second report (-want +got):\n%s", diff)
	}
}

func TestNoTimeForTimers(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.config.Timers = endsEachSecond(5)
	b.now = start.Add(time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), sweep.DefaultReserve)
	defer cancel()
	report, err := sweep.New(b.config).Sweep(ctx)
	if diff := cmp.Diff(sweep.Report{Timers: 5, Left: 5, Lag: time.Minute}, report); diff != "" || err != nil {
		t.Errorf("error %v, report (-want +got):\n%s", err, diff)
	}
}

// What cannot be listed fails the sweep, so that no lag is told, and does not hold up the rest.
func TestTimersCannotBeListed(t *testing.T) {
	t.Parallel()
	b := newBench()
	down := errors.New("the store is down")
	b.config.Timers = &ends{err: down}
	b.record(t, func(r *run.Run) { r.Due = start })
	b.now = start.Add(time.Second)
	report, err := sweep.New(b.config).Sweep(t.Context())
	if !errors.Is(err, down) || report.Sent != 1 {
		t.Errorf("sweep = %+v, %v; want one message sent, and the store's error", report, err)
	}
	b = newBench()
	e := endsEachSecond(1)
	b.config.Timers = e
	b.failOn("Due", "", down)
	if _, err := sweep.New(b.config).Sweep(t.Context()); !errors.Is(err, down) || len(e.fired) != 1 {
		t.Errorf("runs cannot be listed: %v, %d fired; want the store's error and one", err, len(e.fired))
	}
}
