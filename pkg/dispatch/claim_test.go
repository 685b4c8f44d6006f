package dispatch_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/dispatch"
	"longshore/pkg/fault"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// unprepared is a backend whose deployment lacks something.
type unprepared struct {
	backend.Backend
	err error
}

func (u unprepared) Prepare(context.Context) error { return u.err }

// What our own side lacks counts no attempt: the message comes again.
func TestUnpreparedBackend(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.Backend = unprepared{b, errors.New("the client secret cannot be read")}
	r := b.record(t)
	m := message(r)
	if again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{m}); len(again) != 1 || again[0] != m.ID {
		t.Errorf("messages come again: %q, want this one", again)
	}
	b.wantEvents(t, dispatch.Broken)
	got := b.get(t, r.ID)
	if len(got.Attempts) != 0 || len(b.calls) != 0 {
		t.Errorf("%d attempts, %d calls; want none", len(got.Attempts), len(b.calls))
	}
	const why = "the credentials or secrets of backend webhook cannot be read in this deployment: the run waits until they can"
	if got.Delivery.Waiting != why {
		t.Errorf("the run waits: %q, want %q", got.Delivery.Waiting, why)
	}
	b.config.Backend = unprepared{b, nil}
	if again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{m}); again != nil {
		t.Errorf("messages come again: %q", again)
	}
	b.wantEvents(t, dispatch.Broken, dispatch.Delivered)
	if got := b.get(t, r.ID); got.Delivery.Waiting != "" {
		t.Errorf("the delivered run waits: %q", got.Delivery.Waiting)
	}
}

// slow is a backend that is not prepared before it is too late for a call.
type slow struct{ backend.Backend }

func (slow) Prepare(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// A backend that takes too long to be prepared is not one that cannot be: the message is sent back.
func TestSlowlyPreparedBackend(t *testing.T) {
	inNoTime(func(t *testing.T) {
		b := newBench(t)
		b.config.Backend = slow{b}
		r := b.record(t)
		if again := dispatch.New(b.config).Handle(within(t, time.Minute), []queue.Received{message(r)}); again != nil {
			t.Errorf("messages come again: %q", again)
		}
		b.wantEvents(t, dispatch.Returned)
		if got := b.get(t, r.ID); got.Delivery.Waiting != "" || len(b.calls) != 0 {
			t.Errorf("%d calls, the run waits: %q", len(b.calls), got.Delivery.Waiting)
		}
	})(t)
}

// lossy is a store that writes, and whose first answer is lost.
type lossy struct {
	dispatch.Runs
	lost bool
}

func (l *lossy) Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	r, err := l.Runs.Update(ctx, id, move)
	if err == nil && !l.lost {
		l.lost = true
		return nil, fault.Busy(errors.New("connection reset"), 0, "the store cannot be reached")
	}
	return r, err
}

// A claim whose answer was lost is the dispatcher's own when it asks again: one attempt, one call.
func TestClaimIsWrittenButTheAnswerLost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.Runs = &lossy{Runs: b.store}
	r := b.record(t)
	if again := dispatch.New(b.config).Handle(t.Context(), []queue.Received{message(r)}); again != nil {
		t.Errorf("messages come again: %q", again)
	}
	b.wantEvents(t, dispatch.Delivered)
	if got := b.get(t, r.ID); len(got.Attempts) != 1 || got.Attempts[0].Open || len(b.calls) != 1 || b.calls[0].Attempt != 1 {
		t.Errorf("attempts %+v, calls %+v; want one of each, closed", got.Attempts, b.calls)
	}
}
