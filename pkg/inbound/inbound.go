// Package inbound takes the events that other systems send to /webhooks/…: verify, decode, and end the
// run whose work has ended. Each system has a file of its own and a Receiver.
//
// It promises:
//   - nothing of a request is looked at, stored or logged before its sender is known by its secret;
//   - an event ends the run that started the work and no other, once: what is repeated, comes too late
//     or is about unknown work changes nothing and is no error, since its sender can do nothing about it.
package inbound

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/secret"
)

// Receiver takes the events of one system.
type Receiver interface {
	// Receive verifies one event and does what it asks for. Errors: fault.Unauthorized for a sender that
	// does not have the secret, fault.Invalid for a body that is no event, fault.Unavailable when the
	// store or the secret cannot be read; the sender may then send it again.
	Receive(ctx context.Context, h http.Header, body []byte) error
}

// Runs is what a Receiver needs of run.Store.
type Runs interface {
	List(ctx context.Context, f run.Filter) (*run.Page, error)
	Sealed(ctx context.Context, id string) ([]byte, error)
	Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error)
}

// Ender ends runs by what events say. All but Now and Sealer is required.
type Ender struct {
	Runs Runs
	// Sealer opens what was asked for by runs with secrets, in whose names of a place a secret may be.
	Sealer *secret.Sealer
	Log    *slog.Logger
	// Now is time.Now if it is nil.
	Now func() time.Time
}

// End is the end of work outside.
type End struct {
	// Backend is the one that started the work; ExternalRunID is the work's id there.
	Backend, ExternalRunID string
	// About reports whether the work is of the kind and the place that an invocation asked for: ids are
	// unique only within a system.
	About func(*invocation.Invocation) bool
	// Finding says how it ended.
	Finding run.Finding
}

// End ends the run whose work has ended, if there is one that is watched.
func (e *Ender) End(ctx context.Context, end End) error {
	now := time.Now
	if e.Now != nil {
		now = e.Now
	}
	// An id that somebody reported for other runs hides nothing: 20 are looked at.
	page, err := e.Runs.List(ctx, run.Filter{ExternalRunID: end.ExternalRunID, Limit: 20})
	if err != nil {
		return fmt.Errorf("find the run of an event: %w", err)
	}
	for _, record := range page.Runs {
		if record.Backend != end.Backend || record.Invocation == nil || !end.About(record.Invocation) && !e.secretly(ctx, record, end.About) {
			continue
		}
		ended := false
		_, err := e.Runs.Update(ctx, record.ID, func(r *run.Run) (*run.Write, error) {
			ended = r.ExternalRunID == end.ExternalRunID && r.Found(now(), run.Own, 0, end.Finding)
			if !ended {
				return nil, nil
			}
			return &run.Write{Logs: []*run.Log{run.NewLog(now(), r.ID, run.Own, end.Finding.Line)}}, nil
		})
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return fmt.Errorf("end the run of an event: %w", err)
		}
		if ended {
			e.Log.InfoContext(ctx, "event ended a run", slog.String("run_id", record.ID), slog.String("backend", end.Backend))
		}
	}
	return nil
}

// secretly reports whether an event is about what a run with secrets asked for, whose invocation is masked
// where it is read. One that cannot be opened now is left to its look-ups.
func (e *Ender) secretly(ctx context.Context, record *run.Record, about func(*invocation.Invocation) bool) bool {
	if !record.Secrets || e.Sealer == nil {
		return false
	}
	var asked *invocation.Invocation
	sealed, err := e.Runs.Sealed(ctx, record.ID)
	if err == nil {
		asked, _, err = invocation.Open(ctx, e.Sealer, record.ID, sealed)
	}
	if err != nil {
		e.Log.WarnContext(ctx, "event that may be about a run with secrets", slog.String("run_id", record.ID), slog.Any("error", err))
		return false
	}
	return about(asked)
}
