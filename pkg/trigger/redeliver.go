package trigger

import (
	"context"
	"log/slog"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/identity"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// Redeliver sends a run whose delivery failed once more, in a new generation; what is sent is what
// was rendered when the run was triggered. What the new generation changes follows from whoever asked for
// it: an automation that redelivers what fails is cut off as any other loop. fault.NotFound; fault.Invalid
// run_not_redeliverable; fault.Unavailable when nothing was changed.
func (t *Trigger) Redeliver(ctx context.Context, by identity.Caller, id string) (*run.Record, error) {
	// The body never changes: read first, so that nothing can fail between the move and the answer.
	record, err := t.Runs.Read(ctx, id)
	if err != nil {
		return nil, err
	}
	now := t.now()
	waiting := run.Waiting(record.Backend, t.Configured)
	line := firstLine(id, waiting, now)
	moved, err := t.Runs.Update(ctx, id, func(r *run.Run) (*run.Write, error) {
		closed, err := r.Redeliver(now, by.ID)
		if err != nil {
			return nil, err
		}
		asked := author(by, now)
		r.Cause.Depth = max(r.Cause.Depth, asked.Cause.OfStarted().Depth)
		w := &run.Write{Closed: closed, ClosedGeneration: r.Generation - 1, By: &asked}
		if waiting != "" {
			r.Delivery.Waiting = waiting
			w.Logs = []*run.Log{line}
		}
		return w, nil
	})
	if err != nil {
		return nil, err
	}
	if waiting == "" {
		// Without the invocation: the dispatcher reads the stored one.
		m := queue.Message{V: queue.Version, PK: id, Generation: moved.Generation, Kind: queue.KindRun}
		send(ctx, t.Sender, t.Log, moved.Backend, m, record.Invocation.Group())
	}
	t.Log.LogAttrs(ctx, slog.LevelInfo, "run reopened for redelivery", slog.String("run_id", id),
		slog.Int("generation", moved.Generation), slog.String("waiting", waiting))
	return &run.Record{Run: moved, Body: record.Body}, nil
}

// author is a caller as the author of a change.
func author(by identity.Caller, now time.Time) audit.Author {
	a := audit.Author{ID: by.ID, Origin: run.SourceAPI, Cause: by.Cause(), At: now}
	if by.User != nil {
		a.Email, a.Origin = by.User.Email, run.SourceUI
	}
	return a
}
