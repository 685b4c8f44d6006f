package sqlitestore_test

import (
	"testing"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/run"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
)

// Notices are kept for two weeks, however long runs are, and neither takes the other along.
func TestPurgeOfNotices(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		retention      time.Duration
		runs, notices  int
		after, deleted int64
	}{
		"runs kept longer": {365 * 24 * time.Hour, 1, 0, 15, 1},
		"runs kept less":   {time.Hour, 0, 1, 1, 1},
		"both kept":        {365 * 24 * time.Hour, 1, 1, 13, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := opentest.SQLite(t)
			later := now.Add(time.Duration(c.after) * 24 * time.Hour)
			s := openRuns(t, db, sqlitestore.RunsOptions{Retention: c.retention, Now: func() time.Time { return later }})
			r := record(t, s, now)
			n := record(t, s, now, func(n *run.Run) { n.ID, n.NoticeOf = run.NewNoticeID(now), r.ID })
			deleted, err := s.Purge(t.Context(), later)
			if err != nil || deleted != c.deleted {
				t.Errorf("deleted %d, %v; want %d", deleted, err, c.deleted)
			}
			if got := count(t, db, "runs WHERE id = '"+r.ID+"'"); got != c.runs {
				t.Errorf("%d runs left, want %d", got, c.runs)
			}
			if got := count(t, db, "bodies WHERE run = '"+n.ID+"'"); got != c.notices {
				t.Errorf("%d notices left, want %d", got, c.notices)
			}
			if _, err := s.Get(t.Context(), n.ID); (fault.KindOf(err) == fault.NotFound && err != nil) != (c.notices == 0) {
				t.Errorf("get the notice: %v", err)
			}
		})
	}
}

func TestTakeOverLeaseOfANotice(t *testing.T) {
	t.Parallel()
	s := openRuns(t, opentest.SQLite(t), sqlitestore.RunsOptions{})
	now := time.Now()
	n := record(t, s, now, func(n *run.Run) { n.ID, n.NoticeOf = run.NewNoticeID(now), run.NewID(now) })
	update(t, s, n.ID, func(r *run.Run) error {
		_, err := r.Claim(now, 1, "dead", 75*time.Second)
		return err
	})
	if taken, err := s.TakeOverLeases(t.Context(), now.Add(time.Second)); err != nil || taken != 1 {
		t.Errorf("took over %d leases, %v; want 1", taken, err)
	}
}
