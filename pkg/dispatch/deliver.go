package dispatch

import (
	"cmp"
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/breaker"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
	"longshore/pkg/secret"
)

// handle deals with one message. It returns false if the message has to come again.
func (d *Dispatcher) handle(ctx context.Context, log *slog.Logger, received queue.Received) (Event, bool) {
	m, err := queue.Decode([]byte(received.Body))
	if err != nil {
		// The cause may quote the message.
		log.ErrorContext(ctx, "message cannot be decoded", slog.Int("receives", received.Count))
		return Undecodable, false
	}
	about(ctx, m)
	if m.Kind == queue.KindLookup {
		return d.lookUp(ctx, log, m)
	}
	if m.Kind != queue.KindRun {
		log.ErrorContext(ctx, "message of an unknown kind", slog.String("kind", m.Kind))
		return Undecodable, false
	}
	start, cancel := d.untilStart(ctx)
	defer cancel()
	call := m.Invocation
	group, shown := call.Group(), call
	var mask *secret.Mask
	if call == nil || run.IsNotice(m.PK) {
		record, err := d.c.Runs.Read(start, m.PK)
		if err == nil {
			// A group that queues may show is that of the masked invocation.
			call, group, shown = record.Invocation, record.Invocation.Group(), record.Invocation
			err = d.orphan(start, record)
		}
		if err != nil && start.Err() == nil {
			return d.refused(ctx, log, "read the run", err)
		}
		if err == nil && record.Secrets {
			if call, mask, err = d.open(start, m.PK); err != nil && start.Err() == nil {
				return d.hindered(ctx, log, m, "open the sealed invocation", sealedShut, err)
			}
		}
	}
	if call != nil && (call.V < 1 || call.V > invocation.Version || call.Backend != d.c.Name) {
		log.ErrorContext(ctx, "invocation is not for this code",
			slog.Int("version", call.V), slog.String("backend", call.Backend))
		return Undecodable, false
	}
	if start.Err() != nil {
		return d.sendBack(ctx, log, m, group)
	}
	if p, ok := d.c.Backend.(backend.Preparer); ok {
		err := p.Prepare(start)
		switch {
		case err != nil && start.Err() != nil:
			return d.sendBack(ctx, log, m, group)
		case err != nil:
			return d.hindered(ctx, log, m, "prepare the call", d.unprepared(), err)
		}
	}
	host := d.host(call, shown)
	leave, event, done, ok := d.admit(start, log, received, m, host, group)
	if done {
		return event, ok
	}
	result, reason := breaker.Nothing, ""
	defer func() { leave(result, reason) }()
	owner := cryptorand.Text()
	r, err := d.claim(start, m, owner, host)
	if fault.KindOf(err) == fault.Unavailable && start.Err() == nil {
		// The claim may have won and its answer been lost: asked again, it knows its own.
		r, err = d.claim(start, m, owner, host)
	}
	switch {
	case err != nil && start.Err() != nil:
		return d.sendBack(ctx, log, m, group)
	case err != nil:
		return d.refused(ctx, log, "claim the run", err)
	}
	if r.Delivery.Owner != owner {
		log.WarnContext(ctx, "attempts are used up; the run has ended", slog.Int("attempts", len(r.Attempts)))
		return Failed, true
	}
	began := d.c.Now()
	outcome := hide(d.call(ctx, r, call, mask), mask)
	result, reason = outcome.Result(), why(outcome)
	return d.settle(ctx, log, received, m, owner, outcome, d.c.Now().Sub(began))
}

// orphan ends a notice whose run does not know it, because the trigger that wrote it died before the
// run was recorded, and returns run.ErrNotDue then. It returns nil for anything else.
func (d *Dispatcher) orphan(ctx context.Context, n *run.Record) error {
	if n.NoticeOf == "" || n.IsChange() || n.Status.Ended() {
		return nil
	}
	of, err := d.c.Runs.Read(ctx, n.NoticeOf)
	switch {
	case err == nil && of.Approval != nil && slices.Contains(of.Approval.Notices, n.ID):
		return nil
	case err != nil && fault.KindOf(err) != fault.NotFound:
		return err
	}
	_, err = d.c.Runs.Update(ctx, n.ID, func(r *run.Run) (*run.Write, error) {
		if r.Status.Ended() {
			return nil, nil
		}
		r.Drop(d.c.Now())
		return &run.Write{}, nil
	})
	if err != nil {
		return err
	}
	return run.ErrNotDue
}

// untilStart returns a context that ends when a call may not begin any more: with less left than the
// call and the write of its outcome can take.
func (d *Dispatcher) untilStart(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, deadline.Add(-d.c.CallTimeout-d.c.Reserve))
	}
	return context.WithCancel(ctx)
}

// sendBack sends a message whose call may not begin again, before its claim: neither an attempt nor
// a receive is counted.
func (d *Dispatcher) sendBack(ctx context.Context, log *slog.Logger, m queue.Message, group string) (Event, bool) {
	if err := d.c.Send.Send(ctx, d.c.Name, m, 0, group); err != nil {
		log.WarnContext(ctx, "no time left for the call, and the message could not be sent back", slog.Any("error", err))
		return Broken, false
	}
	log.InfoContext(ctx, "no time left for the call; message sent back")
	return Returned, true
}

// refused decides about a message whose run could not be read or claimed.
func (d *Dispatcher) refused(ctx context.Context, log *slog.Logger, doing string, err error) (Event, bool) {
	switch {
	case errors.Is(err, run.ErrNotDue):
		log.DebugContext(ctx, "run is not due; message dropped")
		return Dropped, true
	case fault.KindOf(err) == fault.NotFound:
		log.InfoContext(ctx, "there is no such run any more; message dropped")
		return Dropped, true
	}
	log.WarnContext(ctx, "message comes again", slog.String("doing", doing), slog.Any("error", err))
	return Broken, false
}

// sealedShut is why a run waits whose sealed invocation cannot be opened.
const sealedShut = "what the run sends cannot be opened: it waits until the sealing key can be read"

// unprepared is why a run waits whose backend cannot be prepared.
func (d *Dispatcher) unprepared() string {
	return fmt.Sprintf("the credentials or secrets of backend %s cannot be read in this deployment: the run waits until they can", d.c.Name)
}

// hindered is refused for what only the operator may be able to mend: until then readers of the run see why
// nothing happens.
func (d *Dispatcher) hindered(ctx context.Context, log *slog.Logger, m queue.Message, doing, why string, err error) (Event, bool) {
	_, failed := d.c.Runs.Update(ctx, m.PK, func(r *run.Run) (*run.Write, error) {
		if !r.Hinder(d.c.Now(), m.Generation, why) {
			return nil, nil
		}
		return &run.Write{}, nil
	})
	if failed != nil && fault.KindOf(failed) != fault.NotFound {
		log.WarnContext(ctx, "why the run waits is not written", slog.Any("error", failed))
	}
	return d.refused(ctx, log, doing, err)
}

// claim takes the run's lease, or ends a run whose attempts are used up; then the run it returns has
// another owner. An owner that has the lease keeps it, with the attempt that it counted.
func (d *Dispatcher) claim(ctx context.Context, m queue.Message, owner, host string) (*run.Run, error) {
	return d.c.Runs.Update(ctx, m.PK, func(r *run.Run) (*run.Write, error) {
		if n := len(r.Attempts); r.Delivery.Owner == owner && r.Generation == m.Generation && n > 0 && r.Attempts[n-1].Open {
			return nil, nil
		}
		now := d.c.Now()
		ended, err := r.Claim(now, m.Generation, owner, d.c.Lease)
		if err != nil {
			return nil, err
		}
		r.Delivery.Host = cmp.Or(host, r.Delivery.Host)
		write := &run.Write{}
		if ended {
			write.Logs = usedUp(now, r)
		}
		return write, nil
	})
}

// call makes one attempt. Its deadline leaves the reserve even if the claim was slow.
func (d *Dispatcher) call(ctx context.Context, r *run.Run, call *invocation.Invocation, mask *secret.Mask) backend.Outcome {
	if call == nil {
		return backend.Outcome{Verdict: run.Fail, Error: "what was to be sent is not stored"}
	}
	timeout := d.c.CallTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline)-d.c.Reserve)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	since, until := r.Uncertain()
	return d.timed(ctx, mask != nil, backend.Call{
		RunID: r.ID, Action: r.Action.Identifier, Attempt: len(r.Attempts), Invocation: call, Uncertain: since, UncertainUntil: until,
		By: r.Author(d.c.Now()),
	})
}

// settle writes the outcome. Its context outlives the call's, and a store that refuses is asked again
// until the reserve is used up: an outcome that is not written is a second call.
func (d *Dispatcher) settle(ctx context.Context, log *slog.Logger, received queue.Received, m queue.Message,
	owner string, o backend.Outcome, took time.Duration,
) (Event, bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.c.Reserve)
	defer cancel()
	now := d.c.Now()
	jitter := d.c.Rand()
	event := Delivered
	tried := false
	move := func(r *run.Run) (*run.Write, error) {
		if tried && written(r, m.Generation, owner) {
			return nil, nil
		}
		tried = true
		inProgress := r.Status == run.InProgress
		err := r.Settle(now, m.Generation, owner, d.c.Timeout(r.Backend), run.Outcome{
			Verdict: o.Verdict, StatusCode: o.StatusCode, Error: o.Error, Duration: took,
			NextTry: now.Add(delay(len(r.Attempts), o.RetryAfter, jitter)), StatusLabel: o.StatusLabel, Response: o.Response,
			ExternalRunID: o.ExternalRunID, Link: o.Link, Watch: o.Watch, Unknown: o.Unknown, Limited: o.Limited,
		})
		if err != nil {
			return nil, err
		}
		write := &run.Write{}
		ended := inProgress && r.Status.Ended()
		if ended {
			write.Response = o.Response
		}
		switch {
		case r.Delivery.State == run.Delivered:
			event = Delivered
			if ended && r.NoticeOf != "" {
				write.Logs = r.Lines(now, what(r)+" was delivered.")
			}
		case ended:
			event = Failed
			write.Logs = failures(now, r, o)
		case inProgress && o.Limited:
			event = Waiting
		case inProgress:
			event = Retried
		default:
			// Somebody else ended the run while the call that failed was under way.
			event = Dropped
		}
		return write, nil
	}
	next := func(r *run.Run) (*queue.Message, time.Duration) {
		wait := r.Delivery.NextTry.Sub(now)
		if r.Status != run.InProgress || r.Delivery.State != run.Pending || wait > run.InlineDelay {
			return nil, 0
		}
		return &queue.Message{PK: r.ID, Generation: r.Generation, Kind: queue.KindRun}, wholeSeconds(wait) + time.Second
	}
	r, err := d.c.Settler.Settle(ctx, received, m.PK, move, next)
	for pause := 100 * time.Millisecond; fault.KindOf(err) == fault.Unavailable && sleep(ctx, pause); pause *= 2 {
		r, err = d.c.Settler.Settle(ctx, received, m.PK, move, next)
	}
	switch {
	case errors.Is(err, run.ErrStale):
		log.WarnContext(ctx, "outcome dropped: another claim, generation or time-out holds the run", slog.Int("status_code", o.StatusCode))
		return Stale, true
	case err != nil:
		return d.refused(ctx, log, "write the outcome", err)
	}
	if o.Cause != "" {
		log = log.With(slog.String("cause", o.Cause))
	}
	if r.IsChange() && event == Failed {
		log.WarnContext(ctx, "changelog message given up", slog.String("event_id", r.NoticeOf), slog.String("error", failure(r, why(o))))
	}
	log.InfoContext(ctx, "attempt made", slog.String("outcome", string(event)), slog.Int("status_code", o.StatusCode),
		slog.Int64("ms", took.Milliseconds()))
	return event, true
}

// written reports whether the outcome of owner's attempt is on the run: the write of an earlier try
// whose answer was lost. A run that waits for its next try has none of the attempt where it was taken back.
func written(r *run.Run, generation int, owner string) bool {
	if r.Generation != generation || r.Delivery.Owner != owner {
		return false
	}
	n := len(r.Attempts)
	return r.Status == run.InProgress && !r.Delivery.NextTry.IsZero() || n > 0 && !r.Attempts[n-1].Open && !r.Attempts[n-1].Interrupted
}

// sleep waits for a pause, false if ctx ends before.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// delay returns the time from a failed attempt to the next. What the target asked for replaces it as
// it is; a jitter in [0, 1) spreads the others over 0.8 to 1.2 of their length.
func delay(attempt int, asked time.Duration, jitter float64) time.Duration {
	if asked > 0 {
		return min(asked, time.Hour)
	}
	waits := [run.MaxAttempts - 1]time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute}
	wait := waits[max(0, min(attempt, len(waits))-1)]
	return time.Duration(float64(wait) * (0.8 + 0.4*jitter))
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// why is an attempt's error for the log.
func why(o backend.Outcome) string {
	switch {
	case o.Error != "":
		return o.Error
	case o.StatusCode != 0:
		return fmt.Sprintf("HTTP %d", o.StatusCode)
	}
	return "no reason was given"
}

// maxLog is how long a log line may be, in bytes.
const maxLog = 64 << 10

// what is called by its name in a log line.
func what(r *run.Run) string {
	switch {
	case r.IsChange():
		return "The changelog message"
	case r.NoticeOf != "":
		return "The notice to approvers"
	}
	return "Delivery"
}

// failure is the log line of a run or a notice whose delivery failed for good.
func failure(r *run.Run, why string) string {
	attempts := len(r.Attempts)
	line := fmt.Sprintf("%s failed after %d attempts; the last: %s", what(r), attempts, why)
	if attempts == 1 {
		line = what(r) + " failed after 1 attempt: " + why
	}
	return short(line)
}

// short cuts a line to what a log takes.
func short(line string) string {
	if len(line) > maxLog {
		line = strings.ToValidUTF8(line[:maxLog], "")
	}
	return line
}

// maxFaults is how many faults are told one by one: the lines are written with the outcome at once.
const maxFaults = 20

// failures are the log lines of a run or a notice that an outcome ended: why, and each of the faults.
func failures(now time.Time, r *run.Run, o backend.Outcome) []*run.Log {
	lines := []string{failure(r, why(o))}
	for i, f := range o.Faults {
		if i == maxFaults {
			lines = append(lines, fmt.Sprintf("and %d faults more", len(o.Faults)-maxFaults))
			break
		}
		lines = append(lines, short(f))
	}
	return r.Lines(now, lines...)
}

// usedUp is the log line of a run that a claim ended instead of starting one attempt more.
func usedUp(now time.Time, r *run.Run) []*run.Log {
	last := r.Attempts[len(r.Attempts)-1]
	return r.Lines(now, failure(r, why(backend.Outcome{Error: last.Error, StatusCode: last.StatusCode})))
}
