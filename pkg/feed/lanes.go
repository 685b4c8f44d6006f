package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"longshore/pkg/fault"
)

const (
	// atOnce is how many changes Lanes has handled at the same time, and held how many it has taken and not
	// done with.
	atOnce, held = 16, 1000
	// handleFor is a handler's life for one change; what is in hand is finished when the process is to end.
	handleFor = 20 * time.Second
	// tries is how often a change is handled that fails for a reason which is none of a dependency's.
	tries = 5
	// firstPause and longestPause bound how long a change that was refused waits.
	firstPause, longestPause = 100 * time.Millisecond, 30 * time.Second
)

// Curable reports whether the same change may be handled later: a dependency could not be used, or the time
// was up. Of several errors one is enough.
func Curable(err error) bool {
	if fault.KindOf(err) == fault.Unavailable || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	var several interface{ Unwrap() []error }
	return errors.As(err, &several) && slices.ContainsFunc(several.Unwrap(), Curable)
}

// Handle has a change handled. A handler that panics is one that fails.
func Handle(ctx context.Context, h Handler, read func(context.Context) (*Change, error)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handle a change: panic: %v\n%s", p, debug.Stack())
		}
	}()
	c, err := read(ctx)
	if err != nil || c == nil {
		return err
	}
	return h.Handle(ctx, c)
}

// Task is a change that is yet to be read and handled.
type Task struct {
	// Item is the thing that changed: tasks of one are handled in the order in which they were put.
	Item string
	// Read makes the change whole; nil when it is none.
	Read func(context.Context) (*Change, error)
	// Done is called once the change was handled or set aside.
	Done func()
}

// Lanes hands changes to a handler, those of one item in their order, others side by side. A change that is
// refused waits and comes again, and what follows it on its item waits behind it, nothing else. One that
// fails time and again though no dependency does is logged and set aside.
type Lanes struct {
	handler Handler
	log     *slog.Logger
	// busy has a token for each change that is being handled, full one for each that was taken.
	busy, full chan struct{}

	mu sync.Mutex
	// behind are the tasks that wait, by item; an item that is at work has an entry.
	behind map[string][]Task
	lanes  sync.WaitGroup
}

// NewLanes returns lanes to a handler.
func NewLanes(h Handler, log *slog.Logger) *Lanes {
	return &Lanes{
		handler: h, log: log, behind: map[string][]Task{},
		busy: make(chan struct{}, atOnce), full: make(chan struct{}, held),
	}
}

// Put takes a task, after waiting while too many are taken. It returns false when the context ended before.
// The context is that of the lanes: once it has ended no further change is handled, and tasks are not done.
func (l *Lanes) Put(ctx context.Context, t Task) bool {
	select {
	case l.full <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if behind, working := l.behind[t.Item]; working {
		l.behind[t.Item] = append(behind, t)
		return true
	}
	l.behind[t.Item] = nil
	l.lanes.Go(func() { l.run(ctx, t) })
	return true
}

// Wait returns once what is in hand is finished; the context has ended, or nothing is put any more.
func (l *Lanes) Wait() { l.lanes.Wait() }

// run handles a task and those that are put behind it.
func (l *Lanes) run(ctx context.Context, t Task) {
	for l.handle(ctx, t) {
		<-l.full
		l.mu.Lock()
		behind := l.behind[t.Item]
		if len(behind) == 0 {
			delete(l.behind, t.Item)
			l.mu.Unlock()
			return
		}
		l.behind[t.Item] = behind[1:]
		t = behind[0]
		l.mu.Unlock()
	}
}

// handle has a task handled until it is done; false when the context ended before.
func (l *Lanes) handle(ctx context.Context, t Task) bool {
	pause := firstPause
	for try := 1; ; try++ {
		select {
		case l.busy <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		if ctx.Err() != nil {
			<-l.busy
			return false
		}
		err := l.once(ctx, t)
		<-l.busy
		switch {
		case err == nil:
			t.Done()
			return true
		case !Curable(err) && try >= tries:
			l.log.Error("change set aside: it cannot be handled", slog.String("item", t.Item), slog.Any("error", err))
			t.Done()
			return true
		}
		l.log.Warn("change not handled, it will be tried again", slog.String("item", t.Item), slog.Int("try", try), slog.Any("error", err))
		if Rest(ctx, pause/2+rand.N(pause/2)); ctx.Err() != nil {
			return false
		}
		pause = min(2*pause, longestPause)
	}
}

func (l *Lanes) once(ctx context.Context, t Task) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handleFor)
	defer cancel()
	return Handle(ctx, l.handler, t.Read)
}

// Rest waits, or until the context ends.
func Rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
