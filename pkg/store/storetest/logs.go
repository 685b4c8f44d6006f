package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/run"
)

func logsInOrder(t *testing.T, s RunStore) {
	now := startOfTest()
	r, other := create(t, s, now), create(t, s, now)
	var want []*run.Log
	for i := range 12 {
		want = append(want, line(r.ID, i, now))
	}
	for _, i := range []int{11, 0, 5, 1, 10, 2, 9, 3, 8, 4, 7, 6} {
		if err := s.AppendLog(t.Context(), want[i]); err != nil {
			t.Fatalf("append log: %v", err)
		}
	}
	// Lines are accepted after the end, too.
	update(t, s, r.ID, end(now, run.Success))
	want = append(want, line(r.ID, 12, now))
	if err := s.AppendLog(t.Context(), want[12]); err != nil {
		t.Fatalf("append log after the end: %v", err)
	}
	if diff := cmp.Diff(want, logs(t, s, r.ID, run.LogQuery{Limit: 50})); diff != "" {
		t.Errorf("logs (-want +got):\n%s", diff)
	}
	if got := logs(t, s, other.ID, run.LogQuery{Limit: 50}); len(got) != 0 {
		t.Errorf("another run has %d lines", len(got))
	}
}

func logsOffsetLimit(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	const lines = 60
	for i := range lines {
		if err := s.AppendLog(t.Context(), line(r.ID, i, now)); err != nil {
			t.Fatalf("append log: %v", err)
		}
	}
	after := func(i int) string { return line(r.ID, i, now).ID }
	for _, c := range []struct {
		name        string
		query       run.LogQuery
		first, last int
	}{
		{"the first page", run.LogQuery{Limit: 50}, 0, 50},
		{"the second page", run.LogQuery{Limit: 50, Offset: 50}, 50, lines},
		{"one line", run.LogQuery{Limit: 1, Offset: 7}, 7, 8},
		{"past the end", run.LogQuery{Limit: 50, Offset: lines}, 0, 0},
		{"after a line", run.LogQuery{Limit: 5, After: after(9)}, 10, 15},
		{"after a line, with offset", run.LogQuery{Limit: 5, Offset: 2, After: after(9)}, 12, 17},
		{"after the last line", run.LogQuery{Limit: 5, After: after(lines - 1)}, 0, 0},
		{"more than the API takes", run.LogQuery{Limit: 1000}, 0, lines},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want, got []string
			for i := c.first; i < c.last; i++ {
				want = append(want, fmt.Sprintf("line %d", i))
			}
			for _, l := range logs(t, s, r.ID, c.query) {
				got = append(got, l.Message)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("logs (-want +got):\n%s", diff)
			}
		})
	}
}

// A line that ends the run is there if and only if its writer ended it.
func logWithTerminationIsAtomic(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	var winner string
	for i, err := range gather(10, func(i int) error {
		_, err := s.Update(t.Context(), r.ID, func(r *run.Run) (*run.Write, error) {
			if r.Status.Ended() {
				return nil, run.ErrStale
			}
			if err := r.End(now, "client_1", run.Success, fmt.Sprint(i)); err != nil {
				return nil, err
			}
			return &run.Write{Logs: []*run.Log{line(r.ID, i, now)}}, nil
		})
		return err
	}) {
		switch {
		case err == nil && winner != "":
			t.Errorf("writers %s and %d both ended the run", winner, i)
		case err == nil:
			winner = fmt.Sprint(i)
		case !errors.Is(err, run.ErrStale):
			t.Errorf("writer %d: %v", i, err)
		}
	}
	got := logs(t, s, r.ID, run.LogQuery{Limit: 50})
	if len(got) != 1 || got[0].Message != "line "+winner {
		t.Errorf("%d lines, want the one of writer %s", len(got), winner)
	}
	if stored := get(t, s, r.ID); stored.StatusLabel != winner {
		t.Errorf("the run was ended by %s, want %s", stored.StatusLabel, winner)
	}
}
