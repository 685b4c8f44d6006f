package dynamostore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/run"
)

// Index entries of a text that is too long for a key are found by its hash, and told apart.
func TestLongIdentifiersInIndexes(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	runs := s.store(s.client)
	long := strings.Repeat("é", 249) // 498 bytes
	var ids []string
	for _, end := range []string{"a", "b"} {
		r, b := newRun(time.Now())
		r.Entity, r.ExternalRunID = strings.Repeat(long, 3)+end, long+end
		r.UserID = "usr_" + long + end
		if err := runs.Create(t.Context(), r, b); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	for name, f := range map[string]run.Filter{
		"entity":   {Entity: strings.Repeat(long, 3) + "a"},
		"external": {ExternalRunID: long + "a"},
		"user":     {UserID: "usr_" + long + "a"},
	} {
		f.Limit = 10
		page, err := runs.List(t.Context(), f)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(page.Runs) != 1 || page.Runs[0].ID != ids[0] {
			t.Errorf("%s: %d runs, want the first", name, len(page.Runs))
		}
	}
}

// A filter that few entries of an index meet is followed through its pages.
func TestSparseFilter(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	runs := s.store(s.client)
	start := time.Now()
	var want []string
	for i := range 120 {
		r, b := newRun(start.Add(time.Duration(i) * time.Millisecond))
		if i%40 == 0 {
			r.Source = run.SourceUI
			want = append([]string{r.ID}, want...)
		}
		if err := runs.Create(t.Context(), r, b); err != nil {
			t.Fatal(err)
		}
	}
	active := true
	for name, f := range map[string]run.Filter{
		"by all":    {Sources: []string{run.SourceUI}},
		"by action": {Sources: []string{run.SourceUI}, Action: "scaffold"},
		"by due":    {Sources: []string{run.SourceUI}, Active: &active},
	} {
		f.Limit = 2
		var got []string
		for {
			page, err := runs.List(t.Context(), f)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, r := range page.Runs {
				got = append(got, r.ID)
			}
			if f.From = page.Next; f.From == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
