package run

import (
	"context"

	"longshore/pkg/metric"
)

// Metered is a store of runs that counts what becomes of them, after it is written: wherever a run is
// accepted, delivered, retried or ended, it is a write of its head. Notices are no runs and not counted.
type Metered struct {
	Store
	Metrics *metric.Registry
}

// Create implements Store.
func (m *Metered) Create(ctx context.Context, r *Run, b *Body) error {
	err := m.Store.Create(ctx, r, b)
	if err == nil {
		CountAccepted(m.Metrics, r)
	}
	return err
}

// Update implements Store.
func (m *Metered) Update(ctx context.Context, id string, move func(*Run) (*Write, error)) (*Run, error) {
	move, count := Meter(m.Metrics, move)
	r, err := m.Store.Update(ctx, id, move)
	if err == nil {
		count(r)
	}
	return r, err
}

// delivered counts a run whose delivery is over.
func delivered(m *metric.Registry, r *Run) {
	switch r.Delivery.State {
	case Delivered:
		m.Count(metric.RunsDelivered, "backend", r.Backend)
		if r.Generation == 1 {
			m.Observe(metric.DeliveryAge, r.Delivery.DeliveredAt.Sub(r.StartedAt), "backend", r.Backend)
		}
	case Undeliverable:
		m.Count(metric.RunsFailed, "backend", r.Backend)
	}
}

// CountAccepted counts a run that was recorded.
func CountAccepted(m *metric.Registry, r *Run) {
	if r.NoticeOf == "" {
		m.Count(metric.RunsAccepted, "backend", r.Backend)
	}
}

// Meter returns a move to use instead of another, and what counts the difference that it made to the run
// as it was written.
func Meter(m *metric.Registry, move func(*Run) (*Write, error)) (metered func(*Run) (*Write, error), count func(*Run)) {
	if m == nil {
		return move, func(*Run) {}
	}
	var wrote, ended, trying bool
	var state DeliveryState
	var n int
	metered = func(r *Run) (*Write, error) {
		n = len(r.Attempts)
		ended, state, trying = r.Status.Ended(), r.Delivery.State, n > 0 && r.Attempts[n-1].Open
		w, err := move(r)
		wrote = w != nil && err == nil
		return w, err
	}
	return metered, func(r *Run) {
		if !wrote || r.NoticeOf != "" {
			return
		}
		if r.Delivery.State == state {
			// An attempt that was under way is over, and the run still has to be delivered. One that was taken
			// back is none.
			if state == Pending && trying && len(r.Attempts) >= n && !r.Attempts[n-1].Open && r.Status == InProgress {
				m.Count(metric.RunsRetried, "backend", r.Backend)
			}
		} else {
			delivered(m, r)
		}
		if !ended && r.Status.Ended() {
			m.Count(metric.RunsEnded, "backend", r.Backend, "status", string(r.Status))
		}
	}
}
