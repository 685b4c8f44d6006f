package backend

import (
	"context"
	"time"

	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

// Lookuper is a Backend that can be asked how the work goes on that it delivered.
type Lookuper interface {
	// LookUp asks once. Like Call it never panics on what a target answers, and returns before ctx's
	// deadline has passed by more than a second.
	LookUp(ctx context.Context, l LookUp) run.Finding
}

// LookUp asks for the work of one run.
type LookUp struct {
	RunID      string
	Invocation *invocation.Invocation
	// ExternalRunID is what the run has, empty when the work is still to be found.
	ExternalRunID string
	// Since is when the attempt began that delivered the run.
	Since time.Time
}

// Taken reports whether a run other than runID has an external id: work that belongs to another run is
// never adopted.
type Taken func(ctx context.Context, externalRunID, runID string) (bool, error)

// TakenIn asks a store of runs.
func TakenIn(runs interface {
	List(ctx context.Context, f run.Filter) (*run.Page, error)
}) Taken {
	return func(ctx context.Context, externalRunID, runID string) (bool, error) {
		page, err := runs.List(ctx, run.Filter{ExternalRunID: externalRunID, Limit: 2})
		if err != nil {
			return false, err
		}
		for _, r := range page.Runs {
			if r.ID != runID {
				return true, nil
			}
		}
		return false, nil
	}
}
