package dispatch

import (
	"context"
	"log/slog"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/breaker"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// host returns the host of a call: the backend's only one, or that of the invocation. A host that the
// masked invocation does not show is secret and has no breaker: its name would be kept, and shown.
func (d *Dispatcher) host(call, shown *invocation.Invocation) string {
	if d.only != "" {
		return d.only
	}
	host := call.Host()
	if host != shown.Host() {
		return ""
	}
	return host
}

// admit asks whether a host may be called for a message: is its breaker closed, and is there a slot? If
// not, done says that the message has been dealt with. Otherwise leave gives the slot back and tells the
// breaker what became of the call.
func (d *Dispatcher) admit(ctx context.Context, log *slog.Logger, received queue.Received, m queue.Message, host, group string,
) (leave func(breaker.Result, string), event Event, done, ok bool) {
	if w := d.c.Breaker.Ask(ctx, d.c.Name, host); w != nil {
		event, ok = d.rest(ctx, log, received, m, host, w)
		return nil, event, true, ok
	}
	free, after := d.slots.take(ctx, host, m.PK)
	if free == nil {
		if after == 0 {
			log.DebugContext(ctx, "another message of the run is put off; message dropped")
			return nil, Dropped, true, true
		}
		event, ok = d.sendBackIn(ctx, log, m, after, group)
		return nil, event, true, ok
	}
	call, w := d.c.Breaker.Enter(ctx, d.c.Name, host, d.c.Lease)
	if w != nil {
		free()
		event, ok = d.rest(ctx, log, received, m, host, w)
		return nil, event, true, ok
	}
	return func(result breaker.Result, reason string) {
		free()
		call.Leave(ctx, result, reason)
	}, "", false, true
}

// rest lets a run wait whose host fails. No attempt is made or counted.
func (d *Dispatcher) rest(ctx context.Context, log *slog.Logger, received queue.Received, m queue.Message, host string, w *breaker.Wait) (Event, bool) {
	event := Waiting
	_, err := d.c.Settler.Settle(ctx, received, m.PK, func(r *run.Run) (*run.Write, error) {
		now := d.c.Now()
		event = Waiting
		if len(r.Attempts) >= run.MaxAttempts {
			// With no attempt left a claim takes no lease but ends the run.
			if _, err := r.Claim(now, m.Generation, "", 0); err != nil {
				return nil, err
			}
			event = Failed
			return &run.Write{Logs: usedUp(now, r)}, nil
		}
		r.Delivery.Host = host
		return &run.Write{}, r.PutOff(now, m.Generation, d.c.Timeout(r.Backend), w.Why, w.Until)
	}, func(*run.Run) (*queue.Message, time.Duration) { return nil, 0 })
	if err != nil {
		return d.refused(ctx, log, "let the run wait", err)
	}
	if event == Failed {
		log.WarnContext(ctx, "attempts are used up; the run has ended")
		return event, true
	}
	log.InfoContext(ctx, "host fails; the run waits", slog.String("host", host), slog.Time("until", w.Until))
	return event, true
}

// restLookUp lets a look-up wait whose host fails.
func (d *Dispatcher) restLookUp(ctx context.Context, log *slog.Logger, m queue.Message, w *breaker.Wait) (Event, bool) {
	_, err := d.c.Runs.Update(ctx, m.PK, func(r *run.Run) (*run.Write, error) {
		now := d.c.Now()
		if r.Generation != m.Generation || !r.Found(now, run.Own, d.c.Timeout(r.Backend), run.Finding{Waiting: w.Why, After: w.Until.Sub(now)}) {
			return nil, nil
		}
		return &run.Write{}, nil
	})
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return d.refused(ctx, log, "let the look-up wait", err)
	}
	return Waiting, true
}

// sendBackIn sends a message again after a while, because its host has as many calls as it may, and
// before its claim: neither an attempt nor a receive is counted.
func (d *Dispatcher) sendBackIn(ctx context.Context, log *slog.Logger, m queue.Message, after time.Duration, group string) (Event, bool) {
	if err := d.c.Send.Send(ctx, d.c.Name, m, after, group); err != nil {
		log.WarnContext(ctx, "the host has as many calls as it may, and the message could not be put off", slog.Any("error", err))
		return Broken, false
	}
	log.DebugContext(ctx, "the host has as many calls as it may; message put off", slog.Duration("after", after))
	return PutOff, true
}

// only returns the host of a backend that has one alone.
func only(b backend.Backend) string {
	if h, ok := b.(backend.Hoster); ok {
		return h.Host()
	}
	return ""
}
