package run

import (
	"context"
	"errors"
	"slices"
	"time"

	"longshore/pkg/fault"
)

const (
	// ClaimFor is how long a claim of an agent holds that names no time, MaxClaimFor the longest.
	ClaimFor    = 60 * time.Second
	MaxClaimFor = 600 * time.Second
	// MaxClaims is the most runs of one claim, and of one acknowledgement.
	MaxClaims = 100
	// window is how many times what is claimed is looked at: no younger run is given out.
	window = 4
)

// Claimable is how far an agent or an integration has come with a run that it has to fetch itself.
type Claimable struct {
	// Installation is who may claim the run; empty for a run that a dispatcher delivers. It and Method,
	// the type of the invocation, never change.
	Installation, Method string
	// ClaimedUntil is until when a claim holds the run; zero when none ever did, and once it is
	// acknowledged.
	ClaimedUntil time.Time
	// Acknowledged says that the claimer has the run for good.
	Acknowledged bool
}

// PendingKey is under which installation a store finds a run that may be claimed, now or once a lease
// has lapsed; empty for any other run.
func (r *Run) PendingKey() string {
	if r.Status != InProgress || r.Pending.Acknowledged {
		return ""
	}
	return r.Pending.Installation
}

// Errors of claims and acknowledgements.
var (
	// ErrNotPending is a claim of a run that is another's, or that needs none any more.
	ErrNotPending = fault.New(fault.Conflict, "run_not_pending", "the run is not waiting to be claimed")
	// ErrAcknowledged is an acknowledgement of a run that was acknowledged before.
	ErrAcknowledged = fault.New(fault.Conflict, "run_already_acknowledged", "the run has already been acknowledged")
	// ErrNotClaimed is an acknowledgement of a run that no claim holds.
	ErrNotClaimed = fault.New(fault.Conflict, "run_not_claimed", "no claim holds the run: it was never claimed, its lease has lapsed, or it has ended")
)

// Hold leases the run to who claims it for an installation. Until then nobody else gets it; after that
// it is pending again. ErrNotPending.
func (r *Run) Hold(now time.Time, installation string, lease time.Duration) error {
	if key := r.PendingKey(); key == "" || key != installation || r.Pending.ClaimedUntil.After(now) {
		return ErrNotPending
	}
	r.Pending.ClaimedUntil = now.Add(lease)
	return nil
}

// LetGo gives back a run that was claimed and not given out; until is what Hold set.
func (r *Run) LetGo(until time.Time) error {
	if r.PendingKey() == "" || !r.Pending.ClaimedUntil.Equal(until) {
		return ErrNotPending
	}
	r.Pending.ClaimedUntil = time.Time{}
	return nil
}

// Acknowledge gives the run to its claimer for good: it counts as delivered. ErrAcknowledged,
// ErrNotClaimed.
func (r *Run) Acknowledge(now time.Time, by string) error {
	switch {
	case r.Pending.Acknowledged:
		return ErrAcknowledged
	case r.PendingKey() == "" || !r.Pending.ClaimedUntil.After(now):
		return ErrNotClaimed
	}
	r.Pending.Acknowledged = true
	r.Pending.ClaimedUntil = time.Time{}
	r.Delivery.State, r.Delivery.DeliveredAt, r.Delivery.Waiting = Delivered, now, ""
	r.UpdatedAt, r.UpdatedBy = now, by
	// Due stays: the sweeper, which knows the time-outs, moves it to that of the delivery.
	return nil
}

// Answer keeps the answer of a run's target, as an agent reports it. One that comes after the end is
// kept if there is none yet: run_already_ended, or run_not_in_progress for a run that waits for
// approval, both fault.Invalid.
func (r *Run) Answer(now time.Time, by string) error {
	switch {
	case r.Status == WaitingForApproval:
		return fault.New(fault.Invalid, "run_not_in_progress", "run %s has status %s: it has no response yet", r.ID, r.Status)
	case r.Status.Ended() && r.HasResponse, r.Status == Declined:
		return r.alreadyEnded()
	}
	r.HasResponse = true
	r.UpdatedAt, r.UpdatedBy = now, by
	return nil
}

// PendingFilter selects runs that may be claimed.
type PendingFilter struct {
	Installation string
	// Method is the type of the invocation; empty for all.
	Method string
	// Exclude are identifiers of actions whose runs are not wanted, as they were when the runs started.
	Exclude []string
	// Limit is how many are returned at most.
	Limit int
}

// Claimer is what ClaimPending needs of a Store.
type Claimer interface {
	Pending(ctx context.Context, now time.Time, f PendingFilter) ([]string, error)
	Update(ctx context.Context, id string, move func(*Run) (*Write, error)) (*Run, error)
}

// ClaimPending leases up to f.Limit runs to one claimer and returns them by age. It takes the oldest
// ones. Where another claimer was faster with one, that one is at work on what follows: this one goes on
// f.Limit runs further, within the oldest 4 × f.Limit, and comes back to what it left out. So claimers at
// once seldom stand in each other's way, and no run is passed over by many younger ones. An error comes
// with what was claimed before it.
func ClaimPending(ctx context.Context, s Claimer, now time.Time, f PendingFilter, lease time.Duration) ([]*Run, error) {
	wanted := f.Limit
	f.Limit *= window
	ids, err := s.Pending(ctx, now, f)
	if err != nil {
		return nil, err
	}
	var claimed []*Run
	for at := 0; len(ids) > 0 && len(claimed) < wanted; {
		r, err := s.Update(ctx, ids[at], func(r *Run) (*Write, error) {
			return &Write{}, r.Hold(now, f.Installation, lease)
		})
		ids = slices.Delete(ids, at, at+1)
		switch {
		case err == nil:
			claimed = append(claimed, r)
		case errors.Is(err, ErrNotPending), fault.KindOf(err) == fault.NotFound:
			at += wanted - 1
		default:
			return byAge(claimed), err
		}
		if at >= len(ids) {
			at = 0
		}
	}
	return byAge(claimed), nil
}

func byAge(runs []*Run) []*Run {
	slices.SortFunc(runs, func(a, b *Run) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return runs
}
