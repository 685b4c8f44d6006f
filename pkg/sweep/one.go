package sweep

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"longshore/pkg/breaker"
	"longshore/pkg/fault"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// result is what became of one run.
type result uint8

const (
	failed result = iota
	skipped
	rested
	sent
	timedOut
	lookedUp
)

// one looks at a run: decide on a copy of its head, send, then move it, unless somebody else wrote it
// meanwhile. It returns when the run was due, zero if it could not be read.
func (s *Sweeper) one(ctx context.Context, id string) (due time.Time, did result) {
	log := s.c.Log.With(slog.String("run_id", id))
	defer func() {
		if p := recover(); p != nil {
			did = failed
			log.ErrorContext(ctx, "sweeping a run panicked", slog.String("stack", string(debug.Stack())))
		}
	}()
	head, err := s.c.Runs.Get(ctx, id)
	if fault.KindOf(err) == fault.NotFound {
		return due, skipped
	}
	if err != nil {
		log.WarnContext(ctx, "run not swept: its head cannot be read", slog.Any("error", err))
		return due, failed
	}
	due = head.Due
	now := s.c.Now()
	timeout := s.c.Timeout(head.Backend)
	waiting := run.Waiting(head.Backend, s.c.Configured)
	plan := *head
	plan.Attempts = slices.Clone(head.Attempts)
	lookUp := plan.LookUp(now, timeout, s.c.Events(head.Backend))
	step := run.Rest
	var failing *breaker.Wait
	if !lookUp {
		step = plan.Sweep(now, timeout, waiting)
		if step == run.Send {
			failing = s.c.Breaker.Ask(ctx, head.Backend, head.Delivery.Host)
			step = putOff(&plan, step, now, timeout, failing)
		}
	}
	if step == run.Rest && plan.Due.Equal(head.Due) {
		return due, skipped
	}
	if step == run.Send || lookUp && waiting == "" {
		m := queue.Message{PK: id, Generation: head.Generation, Kind: queue.KindRun}
		if lookUp {
			m.Kind = queue.KindLookup
		}
		if err := s.c.Send.Send(ctx, head.Backend, m, 0, head.Delivery.Host); err != nil {
			log.WarnContext(ctx, "run not swept: its message cannot be sent", slog.Any("error", err))
			return due, failed
		}
	}
	moved := false
	_, err = s.c.Runs.Update(ctx, id, func(r *run.Run) (*run.Write, error) {
		if moved = r.Rev == head.Rev; !moved {
			return nil, nil
		}
		waited := r.Delivery.Waiting
		if r.LookUp(now, timeout, s.c.Events(r.Backend)) {
			if waiting != "" {
				r.Delivery.Waiting = waiting
			}
			return &run.Write{}, nil
		}
		putOff(r, r.Sweep(now, timeout, waiting), now, timeout, failing)
		write := &run.Write{}
		switch {
		case step == run.TimedOut:
			write.Logs = head.Lines(now, overdue(head, timeout))
		case waited == "" && waiting != "" && r.Delivery.Waiting != "" && r.NoticeOf == "":
			write.Logs = []*run.Log{run.NewLog(now, id, run.Own, waiting)}
		}
		return write, nil
	})
	switch {
	case err == nil && !moved, fault.KindOf(err) == fault.NotFound:
		return due, skipped
	case err != nil:
		log.WarnContext(ctx, "run not swept: it cannot be moved", slog.Any("error", err))
		return due, failed
	case lookUp:
		log.DebugContext(ctx, "look-up asked for", slog.Int("look_ups", plan.Delivery.Sends))
		return due, lookedUp
	case step == run.Send:
		log.InfoContext(ctx, "message sent for a run that was due", slog.Int("sends", plan.Delivery.Sends))
		return due, sent
	case step == run.TimedOut:
		log.WarnContext(ctx, "run timed out", slog.String("timeout", timeout.String()))
		return due, timedOut
	}
	return due, rested
}

// putOff lets a run that was to be sent wait while its host fails, and says what is left to do.
func putOff(r *run.Run, step run.Step, now time.Time, timeout time.Duration, failing *breaker.Wait) run.Step {
	if step == run.Send && failing != nil && r.PutOff(now, r.Generation, timeout, failing.Why, failing.Until) == nil {
		return run.Rest
	}
	return step
}

// overdue is the log line of a run whose time is over.
func overdue(head *run.Run, timeout time.Duration) string {
	switch {
	case head.Status == run.WaitingForApproval:
		return fmt.Sprintf("Timed out: not approved within %s.", head.Due.Sub(head.StartedAt).Round(time.Second))
	case head.NoticeOf != "":
		return fmt.Sprintf("The notice to approvers was not delivered within %s; it is given up.", min(timeout, run.NoticeTimeout))
	case head.Delivery.State == run.Delivered:
		return fmt.Sprintf("Timed out: no end was reported within %s of the delivery.", timeout)
	case head.Delivery.Waiting != "":
		return fmt.Sprintf("Timed out: not delivered within %s of the start; %s.", timeout, head.Delivery.Waiting)
	}
	return fmt.Sprintf("Timed out: not delivered within %s of the start.", timeout)
}
