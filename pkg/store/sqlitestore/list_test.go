package sqlitestore_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
)

// Every combination of filters has an index that SQLite can use for it, gives what a look at each
// run gives, and sorts nothing.
func TestEveryCombinationOfFilters(t *testing.T) {
	t.Parallel()
	db := opentest.SQLite(t)
	s := openRuns(t, db, sqlitestore.RunsOptions{})
	now := time.Now()
	var all []*run.Run
	for i := range 64 {
		pick := func(bit int, value string) string {
			if i>>bit&1 == 1 {
				return value
			}
			return ""
		}
		all = append(all, record(t, s, now.Add(time.Duration(i)*time.Millisecond), func(r *run.Run) {
			r.Action.Identifier = "action" + pick(0, "1")
			r.Blueprint = pick(1, "blueprint")
			r.Entity = pick(2, "entity")
			r.UserID, r.UserEmail = "user"+pick(3, "1"), pick(3, "Ada@example.com")
			r.ExternalRunID = pick(4, "external")
			r.Source = run.SourceAPI
			if i%3 == 0 {
				r.Source = run.SourceUI
			}
			if pick(5, "ended") != "" {
				r.Status, r.Due = run.Success, time.Time{}
			}
		}))
	}
	yes, no := true, false
	for combination := range 1 << 8 {
		on := func(bit int, value string) string {
			if combination>>bit&1 == 1 {
				return value
			}
			return ""
		}
		f := run.Filter{
			Action: on(0, "action1"), Blueprint: on(1, "blueprint"), Entity: on(2, "entity"), UserID: on(3, "user1"),
			UserEmail: on(4, "ada@example.com"), ExternalRunID: on(5, "external"), Limit: 100,
		}
		if on(6, "source") != "" {
			f.Sources = []string{run.SourceUI, run.SourceAutomation, run.SourceUI}
		}
		if on(7, "from") != "" {
			f.From = all[50].ID
		}
		for _, active := range []*bool{nil, &yes, &no} {
			f.Active = active
			var want, got []string
			for _, r := range slices.Backward(all) {
				if f.Action != "" && r.Action.Identifier != f.Action || f.Blueprint != "" && r.Blueprint != f.Blueprint ||
					f.Entity != "" && r.Entity != f.Entity || f.UserID != "" && r.UserID != f.UserID ||
					f.UserEmail != "" && !strings.EqualFold(r.UserEmail, f.UserEmail) ||
					f.ExternalRunID != "" && r.ExternalRunID != f.ExternalRunID ||
					f.Sources != nil && r.Source != run.SourceUI || f.From != "" && r.ID >= f.From ||
					active != nil && *active == r.Status.Ended() {
					continue
				}
				want = append(want, r.ID)
			}
			page, err := s.List(t.Context(), f)
			if err != nil {
				t.Fatalf("list %+v: %v", f, err)
			}
			for _, r := range page.Runs {
				got = append(got, r.ID)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("list %+v (-want +got):\n%s", f, diff)
			}
			for _, step := range sqlitestore.Plan(t, s, db, f) {
				if strings.Contains(step, "TEMP B-TREE") || strings.HasPrefix(step, "SCAN r") && !strings.Contains(step, "INDEX") {
					t.Errorf("list %+v: the plan has %q", f, step)
				}
			}
		}
	}
}

// With a lag, lists and the sweeper see a run late, and nothing else does.
func TestIndexLag(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := openRuns(t, opentest.SQLite(t), sqlitestore.RunsOptions{IndexLag: time.Second, Now: func() time.Time { return now }})
	r := record(t, s, now, func(r *run.Run) { r.Due = now })
	seen := func(want bool) {
		t.Helper()
		page, err := s.List(t.Context(), run.Filter{Limit: 10})
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		due, err := s.Due(t.Context(), now, 10)
		if err != nil {
			t.Fatalf("due: %v", err)
		}
		if got := len(page.Runs) == 1; got != want {
			t.Errorf("listed: %t, want %t", got, want)
		}
		if got := len(due) == 1; got != want {
			t.Errorf("due: %t, want %t", got, want)
		}
	}
	seen(false)
	if _, err := s.Get(t.Context(), r.ID); err != nil {
		t.Errorf("get run: %v", err)
	}
	now = now.Add(1100 * time.Millisecond)
	seen(true)
}

// BenchmarkList reads the newest 50 of 20,000 runs.
func BenchmarkList(b *testing.B) {
	db := opentest.SQLite(b)
	s := openRuns(b, db, sqlitestore.RunsOptions{})
	now := time.Now().Add(-time.Minute)
	if err := db.Write(b.Context(), func(tx *sqlite.Tx) error {
		for i := range 20_000 {
			r := &run.Run{
				ID:     run.NewID(now.Add(time.Duration(i) * time.Millisecond)),
				Action: run.Action{Identifier: fmt.Sprintf("action%d", i%100)}, Entity: fmt.Sprintf("entity%d", i%1000),
				UserID: "client_1", Source: run.SourceAPI,
			}
			r.Start(now, "")
			if i%50 != 0 {
				r.Status, r.Due = run.Success, time.Time{}
			}
			create, err := s.Creation(r, &run.Body{Properties: json.RawMessage(`{"a":"` + strings.Repeat("x", 4000) + `"}`)})
			if err != nil {
				return err
			}
			if err := create(tx); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatalf("record runs: %v", err)
	}
	active := true
	for _, c := range []struct {
		name   string
		filter run.Filter
	}{
		{"unfiltered", run.Filter{}},
		{"by action", run.Filter{Action: "action7"}},
		{"by entity", run.Filter{Entity: "entity7"}},
		{"active", run.Filter{Active: &active}},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.filter.Limit = 50
			for b.Loop() {
				if page, err := s.List(b.Context(), c.filter); err != nil || len(page.Runs) == 0 {
					b.Fatalf("list: %v", err)
				}
			}
		})
	}
}
