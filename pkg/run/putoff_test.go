package run_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/run"
)

// A run that is put off waits without an attempt, no longer than it may.
func TestPutOff(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for name, c := range map[string]struct {
		until, timeout, due time.Duration
	}{
		"until it is worth asking": {30 * time.Second, 24 * time.Hour, 30 * time.Second},
		"at most an hour":          {2 * time.Hour, 24 * time.Hour, time.Hour},
		"until its deadline":       {30 * time.Second, 10 * time.Second, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &run.Run{ID: "r_1"}
			r.Start(now, "")
			r.Delivery.Sends = 3
			if err := r.PutOff(now, 1, c.timeout, "it is failing "+strings.Repeat("é", 300), now.Add(c.until)); err != nil {
				t.Fatal(err)
			}
			if !r.Due.Equal(now.Add(c.due)) || len(r.Attempts) != 0 || r.Delivery.Sends != 0 || len(r.Delivery.Waiting) > run.MaxStatusLabel {
				t.Errorf("put off: %+v", r)
			}
			if _, err := r.Claim(now.Add(c.due), 1, "me", time.Minute); err != nil || r.Delivery.Waiting != "" {
				t.Errorf("claimed: %v, waiting %q", err, r.Delivery.Waiting)
			}
		})
	}
}

// What a claim refuses is not put off.
func TestPutOffOfRunsThatAreNotDue(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for name, edit := range map[string]func(*run.Run){
		"ended":                   func(r *run.Run) { _ = r.End(now, "ada", run.Success, "") },
		"delivered":               func(r *run.Run) { r.Delivery.State = run.Delivered },
		"leased":                  func(r *run.Run) { r.Delivery.Lease = now.Add(time.Second) },
		"not before its next try": func(r *run.Run) { r.Delivery.NextTry = now.Add(time.Minute) },
		"of a newer generation":   func(r *run.Run) { r.Generation = 2 },
		"waiting for approval":    func(r *run.Run) { r.Status = run.WaitingForApproval },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &run.Run{ID: "r_1"}
			r.Start(now, "")
			edit(r)
			before := *r
			if err := r.PutOff(now, 1, time.Hour, "it is failing", now.Add(time.Minute)); !errors.Is(err, run.ErrNotDue) {
				t.Errorf("got %v, want that it is not due", err)
			}
			if diff := cmp.Diff(&before, r); diff != "" {
				t.Errorf("changed (-before +after):\n%s", diff)
			}
		})
	}
}
