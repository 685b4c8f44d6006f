package feed_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/feed"
)

// batch are tasks whose items are the first letters of their names, and a log of what was handled.
type batch struct {
	mu      sync.Mutex
	handled []string
	done    []string
	parked  []string
	fail    map[string]error
}

func (b *batch) note(list *[]string, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*list = append(*list, name)
}

func (b *batch) run(ctx context.Context, park error, names ...string) int {
	var tasks []feed.Task
	for _, name := range names {
		tasks = append(tasks, feed.Task{
			Item: name[:1],
			Read: func(context.Context) (*feed.Change, error) {
				if name[1:] == "none" {
					return nil, nil
				}
				return &feed.Change{Timer: &feed.Timer{Key: catalog.Key{Identifier: name}}}, nil
			},
			Done: func() { b.note(&b.done, name) },
		})
	}
	h := feed.HandlerFunc(func(_ context.Context, c *feed.Change) error {
		name := c.Timer.Identifier
		if name == "panic" {
			panic("a fault of the handler")
		}
		if err := b.fail[name]; err != nil {
			return err
		}
		b.note(&b.handled, name)
		return nil
	})
	again := feed.Batch(ctx, h, tasks, func(_ context.Context, n int, _ error) error {
		if park == nil {
			b.note(&b.parked, names[n])
		}
		return park
	})
	for _, list := range [][]string{b.handled, b.done, b.parked} {
		slices.Sort(list)
	}
	return again
}

func TestBatch(t *testing.T) {
	t.Parallel()
	busy := fault.Busy(nil, 0, "not now")
	for name, c := range map[string]struct {
		names                 []string
		fail                  map[string]error
		park                  error
		again                 int
		handled, done, parked []string
	}{
		"all are handled": {names: []string{"a1", "b1", "a2"}, again: -1, handled: []string{"a1", "a2", "b1"}, done: []string{"a1", "a2", "b1"}},
		"none":            {again: -1},
		"what is no change is done": {
			names: []string{"anone", "b1"}, again: -1, handled: []string{"b1"}, done: []string{"anone", "b1"},
		},
		"what follows a refused one on its item waits, others go on": {
			names: []string{"b1", "a1", "a2", "b2"}, fail: map[string]error{"a1": busy}, again: 1,
			handled: []string{"b1", "b2"}, done: []string{"b1", "b2"},
		},
		"the first of two refused ones counts": {
			names: []string{"a1", "b1", "c1"}, fail: map[string]error{"b1": busy, "c1": context.DeadlineExceeded}, again: 1,
			handled: []string{"a1"}, done: []string{"a1"},
		},
		"what no try cures is parked, and what follows on its item goes on": {
			names: []string{"a1", "a2", "panic", "p2"}, fail: map[string]error{"a1": errors.New("bad")}, again: -1,
			handled: []string{"a2", "p2"}, done: []string{"a1", "a2", "p2", "panic"}, parked: []string{"a1", "panic"},
		},
		"what another try cures in part comes again": {
			names: []string{"a1", "b1"}, fail: map[string]error{"a1": fmt.Errorf("handle: %w", errors.Join(fault.New(fault.Invalid, "", "bad"), busy))}, again: 0,
			handled: []string{"b1"}, done: []string{"b1"},
		},
		"what cannot be parked comes again": {
			names: []string{"a1", "a2", "b1"}, fail: map[string]error{"a1": errors.New("bad")}, park: busy, again: 0,
			handled: []string{"b1"}, done: []string{"b1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &batch{fail: c.fail}
			if again := b.run(t.Context(), c.park, c.names...); again != c.again {
				t.Errorf("%d comes again, want %d", again, c.again)
			}
			for what, lists := range map[string][2][]string{
				"handled": {c.handled, b.handled}, "done": {c.done, b.done}, "parked": {c.parked, b.parked},
			} {
				if diff := cmp.Diff(lists[0], lists[1]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
			}
		})
	}
}

// No change is begun that could be cut off.
func TestBatchLeavesWhatItHasNoTimeFor(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	b := &batch{}
	if again := b.run(ctx, nil, "a1", "b1"); again != 0 || len(b.handled) > 0 || len(b.parked) > 0 {
		t.Errorf("%d comes again, handled %v, parked %v; want the first, and nothing begun", again, b.handled, b.parked)
	}
}
