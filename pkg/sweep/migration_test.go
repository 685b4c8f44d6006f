package sweep_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/sweep"
)

// rests is a store of migrations that are due, and until when each was put off.
type rests struct {
	due   []queue.Late
	err   error
	until map[string]time.Duration
}

// DueMigrations implements sweep.Migrations.
func (r *rests) DueMigrations(context.Context, time.Time, int) ([]queue.Late, error) {
	return r.due, r.err
}

// RestMigration implements sweep.Migrations.
func (r *rests) RestMigration(_ context.Context, m queue.Late, until time.Time) error {
	r.until[m.PK] = until.Sub(start)
	return nil
}

// A message is sent for each migration that is due, which then rests twice as long as before.
func TestMigrationsAreSentAgain(t *testing.T) {
	t.Parallel()
	b := newBench()
	m := &rests{until: map[string]time.Duration{}, due: []queue.Late{
		{PK: "mig_new", Generation: 2}, {PK: "mig_refused", Generation: 1}, {PK: "mig_old", Generation: 7, Sends: 3}, {PK: "mig_oldest", Generation: 1, Sends: 70},
	}}
	b.config.Migrations = m
	b.before = func(_ context.Context, message queue.Message) error {
		if message.PK == "mig_refused" {
			return errors.New("refused")
		}
		return nil
	}
	s := sweep.New(b.config)
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want []envelope
	for _, late := range []queue.Late{m.due[0], m.due[2], m.due[3]} {
		want = append(want, envelope{Backend: invocation.BackendUpsertEntity, Message: queue.Message{PK: late.PK, Generation: late.Generation, Kind: queue.KindDelete}})
	}
	if diff := cmp.Diff(want, b.sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	rested := map[string]time.Duration{"mig_new": 45 * time.Second, "mig_old": 6 * time.Minute, "mig_oldest": time.Hour}
	if diff := cmp.Diff(rested, m.until); diff != "" {
		t.Errorf("rest (-want +got):\n%s", diff)
	}
	// Migrations that cannot be listed do not hold up the runs.
	m.err = errors.New("no index")
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Errorf("sweep: %v", err)
	}
}
