// Package approval decides about runs that wait for approval: who may, what a decision means, and what
// is sent then.
//
// It promises:
//   - only an approver of a run decides about it: whoever was one when it started to wait, and the
//     organization's client;
//   - however many decide at once, a run is started once, or declined, or withdrawn, and never two of
//     these;
//   - a run that was started is recorded first and sent second: what got lost in between the sweeper
//     sends.
package approval

import (
	"context"
	"log/slog"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// sendFor bounds the send that follows a decision: its caller is answered in any case.
const sendFor = 5 * time.Second

// Runs is what decisions need of a run.Store, whose comments say what the methods promise.
type Runs interface {
	Read(ctx context.Context, id string) (*run.Record, error)
	Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error)
}

// Config is what decisions are made with. All but Now is required.
type Config struct {
	Runs Runs
	// Users are those whom run_as may name.
	Users identity.Users
	// Send carries the messages of runs that were approved.
	Send queue.Sender
	// Configured says whether this deployment has a backend; runs for any other wait.
	Configured func(backend string) bool
	Log        *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Approval decides. It is safe for concurrent use.
type Approval struct{ c Config }

// New returns what decides.
func New(c Config) *Approval {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Approval{c}
}

// Request is one decision.
type Request struct {
	Caller identity.Caller
	// RunAs is the e-mail of the user whose decision it is; empty for the caller's own.
	RunAs string
	RunID string
	// State is run.Approved or run.Refused.
	State run.DecisionState
	// Description is at most run.MaxDecisionText bytes; empty for none.
	Description string
}

// author is who decides, for the audit log.
func (q Request) author(by identity.Caller, at time.Time) audit.Author {
	a := audit.Author{ID: by.ID, Origin: run.SourceAPI, Cause: q.Caller.Cause(), At: at}
	if by.User != nil {
		a.Email = by.User.Email
	}
	if q.Caller.User != nil {
		a.Origin = run.SourceUI
	}
	return a
}

// Decide makes a decision and returns the run as it is then. The same decision of the same approver
// again changes nothing, whatever the run's state. Errors: fault.NotFound; fault.Forbidden for who is no
// approver, and for a RunAs of a user; fault.Invalid run_not_waiting_for_approval, and for a RunAs that names
// nobody; fault.Unavailable when nothing was decided.
func (a *Approval) Decide(ctx context.Context, q Request) (*run.Record, error) {
	by, err := identity.As(ctx, a.c.Users, q.Caller, q.RunAs)
	if err != nil {
		return nil, err
	}
	// The body never changes: read first, so that nothing can fail between the move and the answer.
	record, err := a.c.Runs.Read(ctx, q.RunID)
	if err != nil {
		return nil, err
	}
	if !by.Machine && !record.Approval.May(by.ID) {
		return nil, fault.New(fault.Forbidden, "", "only an approver of run %s may decide about it", q.RunID)
	}
	var approvers []run.Approver
	if record.Approval != nil {
		approvers = record.Approval.Approvers
	}
	d := run.Decision{
		UserID: by.ID, State: q.State, Description: q.Description,
		At: a.c.Now().UTC().Truncate(time.Millisecond),
	}
	waiting := run.Waiting(record.Backend, a.c.Configured)
	var changed, started bool
	moved, err := a.c.Runs.Update(ctx, q.RunID, func(r *run.Run) (*run.Write, error) {
		var err error
		if changed, started, err = r.Decide(d, by.Machine, approvers, waiting); err != nil || !changed {
			return nil, err
		}
		author := q.author(by, d.At)
		w := &run.Write{By: &author}
		if started && waiting != "" {
			w.Logs = []*run.Log{run.NewLog(d.At, q.RunID, run.Own, waiting)}
		}
		return w, nil
	})
	if err != nil {
		return nil, err
	}
	record.Run = moved
	if changed {
		a.decided(ctx, record, d, started)
	}
	return record, nil
}

// decided does what follows a decision that was written.
func (a *Approval) decided(ctx context.Context, r *run.Record, d run.Decision, started bool) {
	a.c.Log.LogAttrs(ctx, slog.LevelInfo, "approval decided", slog.String("run_id", r.ID),
		slog.String("decision", string(d.State)), slog.Bool("started", started))
	if !started || r.Delivery.Waiting != "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendFor)
	defer cancel()
	// Without the invocation: the dispatcher reads the stored one.
	m := queue.Message{V: queue.Version, PK: r.ID, Generation: r.Generation, Kind: queue.KindRun}
	if err := a.c.Send.Send(ctx, r.Backend, m, 0, r.Invocation.Group()); err != nil {
		a.c.Log.LogAttrs(ctx, slog.LevelWarn, "message not sent; the sweeper sends it",
			slog.String("run_id", r.ID), slog.String("backend", r.Backend), slog.Any("error", err))
	}
}

// List returns the decisions on a run, the latest last, and behind them, if asked for, the approvers
// who have made none.
func List(r *run.Record, pending bool) []run.Decision {
	list := append([]run.Decision{}, r.Decisions...)
	if !pending || r.Approval == nil {
		return list
	}
	decided := map[string]bool{}
	for _, d := range list {
		decided[d.UserID] = true
	}
	for _, a := range r.Approval.Approvers {
		if !decided[a.UserID] {
			list = append(list, run.Decision{UserID: a.UserID, State: run.Undecided})
		}
	}
	return list
}
