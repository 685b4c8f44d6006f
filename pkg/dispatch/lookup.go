package dispatch

import (
	"context"
	"log/slog"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/secret"
)

// lookUp asks the backend how the work of a delivered run goes on, and writes what has changed. The
// sweeper has moved the run to its next look-up already, so that a message that gets lost here costs
// only time; two look-ups at once do no harm.
func (d *Dispatcher) lookUp(ctx context.Context, log *slog.Logger, m queue.Message) (Event, bool) {
	asker, ok := d.c.Backend.(backend.Lookuper)
	if !ok {
		log.ErrorContext(ctx, "the backend cannot be looked up")
		return Undecodable, false
	}
	start, cancel := d.untilStart(ctx)
	defer cancel()
	record, err := d.c.Runs.Read(start, m.PK)
	switch {
	case err != nil && start.Err() != nil:
		return d.sendBack(ctx, log, m, "")
	case err != nil:
		return d.refused(ctx, log, "read the run", err)
	}
	call := record.Invocation
	var mask *secret.Mask
	if record.Secrets && record.Generation == m.Generation && record.Watched() {
		// What is shown of it has its place masked as well.
		call, mask, err = d.open(start, m.PK)
		switch {
		case err != nil && start.Err() != nil:
			return d.sendBack(ctx, log, m, record.Invocation.Group())
		case err != nil:
			return d.hindered(ctx, log, m, "open the sealed invocation", sealedShut, err)
		}
	}
	switch {
	case record.Generation != m.Generation || !record.Watched() || call == nil:
		log.DebugContext(ctx, "run is not watched; message dropped")
		return Dropped, true
	case call.V < 1 || call.V > invocation.Version || call.Backend != d.c.Name:
		log.ErrorContext(ctx, "invocation is not for this code",
			slog.Int("version", call.V), slog.String("backend", call.Backend))
		return Undecodable, false
	}
	if p, ok := asker.(backend.Preparer); ok {
		// One that takes too long fails for that.
		if err := p.Prepare(start); err != nil && start.Err() == nil {
			return d.hindered(ctx, log, m, "prepare the look-up", d.unprepared(), err)
		}
	}
	if start.Err() != nil {
		return d.sendBack(ctx, log, m, record.Invocation.Group())
	}
	visit, wait := d.c.Breaker.Enter(start, d.c.Name, d.only, d.c.Lease)
	if wait != nil {
		return d.restLookUp(ctx, log, m, wait)
	}
	found := hideFound(d.ask(ctx, asker, record, call), mask)
	visit.Leave(ctx, backend.Found(found), found.Waiting)
	now := d.c.Now()
	changed := false
	_, err = d.c.Runs.Update(ctx, m.PK, func(r *run.Run) (*run.Write, error) {
		changed = r.Generation == m.Generation && r.Found(now, run.Own, d.c.Timeout(r.Backend), found)
		if !changed {
			return nil, nil
		}
		write := &run.Write{}
		if found.Status.Ended() {
			write.Logs = []*run.Log{run.NewLog(now, r.ID, run.Own, found.Line)}
		}
		return write, nil
	})
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return d.refused(ctx, log, "write what was found", err)
	}
	log.InfoContext(ctx, "run looked up", slog.String("status", string(found.Status)), slog.Bool("changed", changed))
	return LookedUp, true
}

// ask makes one look-up, within the time of a call.
func (d *Dispatcher) ask(ctx context.Context, asker backend.Lookuper, r *run.Record, call *invocation.Invocation) run.Finding {
	timeout := d.c.CallTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline)-d.c.Reserve)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	since := r.StartedAt
	if n := len(r.Attempts); n > 0 {
		since = r.Attempts[n-1].StartedAt
	}
	return asker.LookUp(ctx, backend.LookUp{RunID: r.ID, Invocation: call, ExternalRunID: r.ExternalRunID, Since: since})
}
