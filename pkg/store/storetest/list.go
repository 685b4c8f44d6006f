package storetest

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
)

func listMergesShards(t *testing.T, s RunStore) {
	now := startOfTest()
	var want []string
	for i := range 40 {
		want = append(want, create(t, s, now.Add(time.Duration(i)*time.Millisecond)).ID)
	}
	slices.Reverse(want)
	for _, limit := range []int{1, 7, 40, 1000} {
		eventually(t, func() string { return cmp.Diff(want, ids(t, s, run.Filter{Limit: limit})) })
	}
	got := ids(t, s, run.Filter{Limit: 7, From: want[10]})
	if diff := cmp.Diff(want[11:], got); diff != "" {
		t.Errorf("from the eleventh run (-want +got):\n%s", diff)
	}
}

// spread records six runs that differ in everything a filter looks at and returns their ids.
func spread(t *testing.T, s RunStore) []string {
	now := startOfTest()
	edits := []func(*run.Run){
		func(r *run.Run) {},
		func(r *run.Run) { r.Action.Identifier = "deploy" },
		func(r *run.Run) { r.Blueprint, r.Entity = "service", "cart" },
		func(r *run.Run) { r.Blueprint, r.Entity = "service", "Cart"; r.Action.Identifier = "deploy" },
		func(r *run.Run) { r.UserID, r.UserEmail, r.Source = "usr_ada", "Ada@example.com", run.SourceUI },
		func(r *run.Run) { r.ExternalRunID, r.Source = "ext 1", run.SourceAutomation },
	}
	var all []string
	for i, edit := range edits {
		all = append(all, create(t, s, now.Add(time.Duration(i)*time.Millisecond), edit).ID)
	}
	return all
}

// listed compares a list with the runs of the given numbers, which stand newest first.
func listed(t *testing.T, s RunStore, all []string, f run.Filter, numbers ...int) {
	t.Helper()
	var want []string
	for _, n := range numbers {
		want = append(want, all[n])
	}
	eventually(t, func() string {
		f.Limit = 2
		return cmp.Diff(want, ids(t, s, f), cmpopts.EquateEmpty())
	})
}

func listEachFilterAlone(t *testing.T, s RunStore) {
	all := spread(t, s)
	listed(t, s, all, run.Filter{}, 5, 4, 3, 2, 1, 0)
	listed(t, s, all, run.Filter{Action: "deploy"}, 3, 1)
	listed(t, s, all, run.Filter{Action: "unknown"})
	listed(t, s, all, run.Filter{Blueprint: "service"}, 3, 2)
	listed(t, s, all, run.Filter{Entity: "cart"}, 2)
	listed(t, s, all, run.Filter{UserID: "usr_ada"}, 4)
	listed(t, s, all, run.Filter{UserID: "client_1"}, 5, 3, 2, 1, 0)
	// E-mails are compared without case.
	listed(t, s, all, run.Filter{UserEmail: "aDA@example.com"}, 4)
	listed(t, s, all, run.Filter{UserEmail: "bob@example.com"})
	listed(t, s, all, run.Filter{ExternalRunID: "ext 1"}, 5)
	listed(t, s, all, run.Filter{ExternalRunID: "ext"})
	listed(t, s, all, run.Filter{Sources: []string{run.SourceUI}}, 4)
	listed(t, s, all, run.Filter{Sources: []string{run.SourceUI, run.SourceAutomation}}, 5, 4)

	// The external id is the one filter whose value changes.
	update(t, s, all[0], func(r *run.Run) (*run.Write, error) {
		r.ExternalRunID = "ext 0"
		return &run.Write{}, nil
	})
	update(t, s, all[5], func(r *run.Run) (*run.Write, error) {
		r.ExternalRunID = ""
		return &run.Write{}, nil
	})
	listed(t, s, all, run.Filter{ExternalRunID: "ext 0"}, 0)
	listed(t, s, all, run.Filter{ExternalRunID: "ext 1"})
}

func listFiltersTogether(t *testing.T, s RunStore) {
	all := spread(t, s)
	active := true
	listed(t, s, all, run.Filter{Action: "deploy", Blueprint: "service"}, 3)
	listed(t, s, all, run.Filter{Action: "deploy", Entity: "cart"})
	listed(t, s, all, run.Filter{Action: "scaffold", Blueprint: "service", Entity: "cart"}, 2)
	listed(t, s, all, run.Filter{UserID: "usr_ada", UserEmail: "ada@example.com", Sources: []string{run.SourceUI}}, 4)
	listed(t, s, all, run.Filter{UserID: "client_1", UserEmail: "ada@example.com"})
	listed(t, s, all, run.Filter{ExternalRunID: "ext 1", Sources: []string{run.SourceUI}})
	listed(t, s, all, run.Filter{
		Action: "scaffold", ExternalRunID: "ext 1", UserID: "client_1",
		Sources: []string{run.SourceAutomation}, Active: &active,
	}, 5)
	listed(t, s, all, run.Filter{UserID: "client_1", Active: &active, From: all[3]}, 2, 1, 0)
}

func listActiveOnlyUnended(t *testing.T, s RunStore) {
	all := spread(t, s)
	now := startOfTest()
	update(t, s, all[1], end(now, run.Success))
	update(t, s, all[4], end(now, run.Failure))
	active, ended := true, false
	listed(t, s, all, run.Filter{Active: &active}, 5, 3, 2, 0)
	listed(t, s, all, run.Filter{Active: &ended}, 4, 1)
	listed(t, s, all, run.Filter{Active: &active, Action: "deploy"}, 3)
	listed(t, s, all, run.Filter{Active: &ended, Action: "deploy"}, 1)
	// What a page shows of a run is its state, not the index's memory of it.
	page, err := s.List(t.Context(), run.Filter{Active: &active, Limit: 10})
	if err != nil {
		t.Fatalf("list runs: %v", err)
	}
	for _, r := range page.Runs {
		if r.Status.Ended() {
			t.Errorf("run %s is listed as active and has status %s", r.ID, r.Status)
		}
	}
}

func listEventuallySeesNewRun(t *testing.T, s RunStore) {
	r, b := newRun(startOfTest())
	if got := ids(t, s, run.Filter{}); len(got) != 0 {
		t.Errorf("an empty store lists %v", got)
	}
	if err := s.Create(t.Context(), r, b); err != nil {
		t.Fatalf("create run: %v", err)
	}
	eventually(t, func() string {
		page, err := s.List(t.Context(), run.Filter{Limit: 10})
		if err != nil {
			t.Fatalf("list runs: %v", err)
		}
		return cmp.Diff([]*run.Record{read(t, s, r.ID)}, page.Runs, cmpopts.EquateEmpty())
	})
}

// A page ends early when its bodies grow too large for one answer, and the next one goes on.
func listStopsAtMaxPage(t *testing.T, s RunStore) {
	now := startOfTest()
	var want []string
	for i := range 8 {
		r, b := newRun(now.Add(time.Duration(i) * time.Millisecond))
		// No two kilobytes are alike, so that compression does not shrink the page.
		var text strings.Builder
		for n := 0; text.Len() < 1_000_000; n++ {
			fmt.Fprintf(&text, "%x", uint64(i*1_000_000+n)*0x9E3779B97F4A7C15)
		}
		b.Properties = json.RawMessage(`{"text":"` + text.String() + `"}`)
		b.Invocation = nil
		if err := s.Create(t.Context(), r, b); err != nil {
			t.Fatalf("create run: %v", err)
		}
		want = append(want, r.ID)
	}
	slices.Reverse(want)
	eventually(t, func() string { return cmp.Diff(want, ids(t, s, run.Filter{Limit: 1000})) })
	page, err := s.List(t.Context(), run.Filter{Limit: 1000})
	if err != nil {
		t.Fatalf("list runs: %v", err)
	}
	if n := len(page.Runs); n < 1 || n > 5 || page.Next == "" {
		t.Errorf("a page of %d runs of 1 MB each, next %q; a page holds about %d bytes", n, page.Next, run.MaxPage)
	}
}

// due asks for due runs.
func due(t *testing.T, s RunStore, now time.Time, limit int) []string {
	t.Helper()
	got, err := s.Due(t.Context(), now, limit)
	if err != nil {
		t.Fatalf("due: %v", err)
	}
	return got
}

func dueOrder(t *testing.T, s RunStore) {
	now := startOfTest()
	byDue := map[int]string{}
	for _, i := range []int{5, 1, 9, 3, 7, 2, 8, 4, 6, 0} {
		byDue[i] = create(t, s, now, func(r *run.Run) { r.Due = now.Add(time.Duration(i) * time.Second) }).ID
	}
	var want []string
	for i := range 10 {
		want = append(want, byDue[i])
	}
	for _, c := range []struct {
		name  string
		at    time.Time
		limit int
		want  []string
	}{
		{"nothing is due", now.Add(-time.Millisecond), 10, nil},
		{"due at this moment", now, 10, want[:1]},
		{"some", now.Add(4500 * time.Millisecond), 10, want[:5]},
		{"up to the limit", now.Add(time.Minute), 3, want[:3]},
		{"all", now.Add(time.Minute), 100, want},
	} {
		t.Run(c.name, func(t *testing.T) {
			eventually(t, func() string { return cmp.Diff(c.want, due(t, s, c.at, c.limit), cmpopts.EquateEmpty()) })
		})
	}
}

func dueMovesWithBackoff(t *testing.T, s RunStore) {
	now := startOfTest()
	r := create(t, s, now)
	at := now.Add(run.Unsent)
	for _, rest := range []time.Duration{
		45 * time.Second, 90 * time.Second, 3 * time.Minute, 6 * time.Minute, 12 * time.Minute,
		24 * time.Minute, 48 * time.Minute, time.Hour, time.Hour,
	} {
		eventually(t, func() string { return cmp.Diff([]string{r.ID}, due(t, s, at, 10)) })
		got := update(t, s, r.ID, func(r *run.Run) (*run.Write, error) {
			if step := r.Sweep(at, timeout, ""); step != run.Send {
				return nil, fmt.Errorf("the sweep says %d", step)
			}
			return &run.Write{}, nil
		})
		if !got.Due.Equal(at.Add(rest)) {
			t.Fatalf("due %v after %v, want %v", got.Due.Sub(at), at.Sub(now), rest)
		}
		at = got.Due
		eventually(t, func() string {
			return cmp.Diff([]string{}, due(t, s, at.Add(-time.Millisecond), 10), cmpopts.EquateEmpty())
		})
	}
}
