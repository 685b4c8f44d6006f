package sqlitestore_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/opentest"
	"longshore/pkg/store/sqlitestore"
)

// record creates a run.
func record(t testing.TB, s *sqlitestore.Runs, at time.Time, edits ...func(*run.Run)) *run.Run {
	t.Helper()
	r := &run.Run{
		ID: run.NewID(at), Action: run.Action{Identifier: "deploy"}, Backend: invocation.BackendWebhook,
		Source: run.SourceAPI, UserID: "client_1", CreatedBy: "client_1",
	}
	r.Start(at, "")
	for _, edit := range edits {
		edit(r)
	}
	if err := s.Create(t.Context(), r, &run.Body{Properties: json.RawMessage(`{"a":1}`)}); err != nil {
		t.Fatalf("create run: %v", err)
	}
	return r
}

func update(t testing.TB, s *sqlitestore.Runs, id string, move func(*run.Run) error) {
	t.Helper()
	if _, err := s.Update(t.Context(), id, func(r *run.Run) (*run.Write, error) {
		return &run.Write{}, move(r)
	}); err != nil {
		t.Fatalf("update run: %v", err)
	}
}

func count(t testing.TB, db *sqlite.DB, from string) (n int) {
	t.Helper()
	if err := db.Scan(t.Context(), "SELECT count(*) FROM "+from, nil, &n); err != nil {
		t.Fatalf("count: %v", err)
	}
	return n
}

func TestPurge(t *testing.T) {
	t.Parallel()
	db := opentest.SQLite(t)
	now := time.Now()
	s := openRuns(t, db, sqlitestore.RunsOptions{Retention: time.Hour, Now: func() time.Time { return now }})
	old := now
	var kept *run.Run
	for i := range 250 {
		r := record(t, s, old.Add(time.Duration(i)*time.Millisecond))
		if err := s.AppendLog(t.Context(), run.NewLog(old, r.ID, run.Own, "line")); err != nil {
			t.Fatalf("append log: %v", err)
		}
		if _, err := s.Update(t.Context(), r.ID, func(*run.Run) (*run.Write, error) {
			return &run.Write{Response: json.RawMessage(`1`), Closed: []run.Attempt{{Number: 1}}, ClosedGeneration: 1}, nil
		}); err != nil {
			t.Fatalf("update run: %v", err)
		}
	}
	exec(t, db, "INSERT INTO bodies (run) VALUES (?)", run.NewID(old))
	exec(t, db, "INSERT INTO sealed (run, invocation) SELECT id, x'01' FROM runs")
	now = now.Add(time.Hour + 10*time.Second)
	kept = record(t, s, now)
	for _, key := range []run.Reservation{
		{Key: "expired", RunID: run.NewID(old), Until: old, Expires: now},
		{Key: "kept", RunID: kept.ID, Until: old, Expires: now.Add(time.Second)},
	} {
		if _, won, err := s.Reserve(t.Context(), key, old); err != nil || !won {
			t.Fatalf("reserve: won %t, %v", won, err)
		}
	}
	deleted, err := s.Purge(t.Context(), now)
	if err != nil || deleted != 250 {
		t.Errorf("%d runs deleted, want 250: %v", deleted, err)
	}
	got := map[string]int{}
	for _, table := range []string{"runs", "bodies", "sealed", "responses", "logs", "attempts", "reservations"} {
		got[table] = count(t, db, table)
	}
	want := map[string]int{"runs": 1, "bodies": 1, "sealed": 0, "responses": 0, "logs": 0, "attempts": 0, "reservations": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows left (-want +got):\n%s", diff)
	}
	if _, err := s.Get(t.Context(), kept.ID); err != nil {
		t.Errorf("the run that has not expired: %v", err)
	}
	if deleted, err := s.Purge(t.Context(), now); err != nil || deleted != 0 {
		t.Errorf("the second purge deleted %d runs: %v", deleted, err)
	}
}

// What has expired is absent though Purge has not come yet, whatever is asked for.
func TestExpiredRunHasNothing(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := openRuns(t, opentest.SQLite(t), sqlitestore.RunsOptions{Retention: time.Hour, Now: func() time.Time { return now }})
	r := record(t, s, now)
	line := run.NewLog(now, r.ID, run.Own, "line")
	if err := s.AppendLog(t.Context(), line); err != nil {
		t.Fatalf("append log: %v", err)
	}
	now = now.Add(time.Hour + time.Second)
	if err := s.AppendLog(t.Context(), line); fault.KindOf(err) != fault.NotFound {
		t.Errorf("append log: got error %v, want not found", err)
	}
	if lines, err := s.Logs(t.Context(), r.ID, run.LogQuery{}); err != nil || len(lines) != 0 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	if attempts, err := s.Attempts(t.Context(), r.ID); err != nil || len(attempts) != 0 {
		t.Errorf("%d attempts, %v", len(attempts), err)
	}
}

func TestAppendLogNeedsARun(t *testing.T) {
	t.Parallel()
	s := openRuns(t, opentest.SQLite(t), sqlitestore.RunsOptions{})
	now := time.Now()
	err := s.AppendLog(t.Context(), run.NewLog(now, run.NewID(now), run.Own, "line"))
	if err == nil || fault.KindOf(err) != fault.NotFound {
		t.Errorf("got error %v, want not found", err)
	}
}

func TestTakeOverLeases(t *testing.T) {
	t.Parallel()
	s := openRuns(t, opentest.SQLite(t), sqlitestore.RunsOptions{})
	now := time.Now()
	claim := func(r *run.Run) error {
		_, err := r.Claim(now, 1, "dead", 75*time.Second)
		return err
	}
	held, ended, untouched := record(t, s, now), record(t, s, now), record(t, s, now)
	delivered, lapsed := record(t, s, now), record(t, s, now)
	for _, r := range []*run.Run{held, ended, delivered} {
		update(t, s, r.ID, claim)
	}
	update(t, s, ended.ID, func(r *run.Run) error { return r.End(now, "client_1", run.Success, "") })
	update(t, s, delivered.ID, func(r *run.Run) error {
		return r.Settle(now, 1, "dead", run.Timeout, run.Outcome{Verdict: run.Deliver})
	})
	update(t, s, lapsed.ID, func(r *run.Run) error {
		_, err := r.Claim(now.Add(-time.Hour), 1, "dead", 75*time.Second)
		return err
	})
	want := map[string]*run.Run{}
	for _, r := range []*run.Run{ended, untouched, delivered, lapsed} {
		want[r.ID], _ = s.Get(t.Context(), r.ID)
	}

	restart := now.Add(10 * time.Second)
	n, err := s.TakeOverLeases(t.Context(), restart)
	if err != nil || n != 1 {
		t.Fatalf("took over %d leases, want 1: %v", n, err)
	}
	due, err := s.Due(t.Context(), restart, 10)
	if err != nil {
		t.Fatalf("due: %v", err)
	}
	if diff := cmp.Diff([]string{held.ID}, due); diff != "" {
		t.Errorf("due after the restart (-want +got):\n%s", diff)
	}
	for id, before := range want {
		after, err := s.Get(t.Context(), id)
		if err != nil {
			t.Fatalf("get run: %v", err)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("a run without a lease changed (-want +got):\n%s", diff)
		}
	}
	update(t, s, held.ID, func(r *run.Run) error {
		if step := r.Sweep(restart, run.Timeout, ""); step != run.Send {
			t.Errorf("the sweeper's step is %d, want %d: send", step, run.Send)
		}
		_, err := r.Claim(restart, 1, "alive", 75*time.Second)
		return err
	})
	got, err := s.Get(t.Context(), held.ID)
	if err != nil {
		t.Fatalf("get run: %v", err)
	}
	if len(got.Attempts) != 2 || !got.Attempts[0].Interrupted || got.Delivery.Owner != "alive" {
		t.Errorf("owner %q, attempts %+v", got.Delivery.Owner, got.Attempts)
	}
}

// A head that is cut off or changed on the disk is an error, or a run with members missing; never a
// panic, and never one that brings the process down.
func TestDamagedHead(t *testing.T) {
	t.Parallel()
	db := opentest.SQLite(t)
	s := openRuns(t, db, sqlitestore.RunsOptions{})
	r := record(t, s, time.Now(), func(r *run.Run) {
		r.StatusLabel, r.Due = "label", time.Time{}
		r.Attempts = []run.Attempt{{Generation: 1, Number: 1, Error: "error"}}
	})
	var whole []byte
	if err := db.Scan(t.Context(), "SELECT head FROM runs", nil, &whole); err != nil {
		t.Fatalf("read head: %v", err)
	}
	try := func(name string, head []byte) (failed bool) {
		exec(t, db, "UPDATE runs SET head = ?", head)
		got, err := s.Get(t.Context(), r.ID)
		if err != nil && !strings.Contains(err.Error(), r.ID) {
			t.Errorf("%s: error %v names no run", name, err)
		}
		if err == nil && got.ID != r.ID {
			t.Errorf("%s: got run %q", name, got.ID)
		}
		return err != nil
	}
	failures := 0
	for n := range whole {
		if try(fmt.Sprintf("cut at %d", n), whole[:n]) {
			failures++
		}
		for _, bit := range []byte{1, 0x80, 0xff} {
			damaged := slices.Clone(whole)
			damaged[n] ^= bit
			try(fmt.Sprintf("byte %d xor %x", n, bit), damaged)
		}
	}
	if failures == 0 {
		t.Errorf("no head that was cut off is an error")
	}
	if !try("written by a newer program", append([]byte{whole[0] + 1}, whole[1:]...)) {
		t.Errorf("a head of another version was read")
	}
	// One damaged run says so in a list, too.
	if _, err := s.List(t.Context(), run.Filter{Limit: 10}); err == nil || !strings.Contains(err.Error(), r.ID) {
		t.Errorf("list: got error %v, want one that names the run", err)
	}
	if try("whole", whole) {
		t.Errorf("the head as it was cannot be read")
	}
	// The last member, Due, is one byte of zero here.
	if try("without the last member, as a program that did not know it wrote it", whole[:len(whole)-1]) {
		t.Errorf("a head without its last member cannot be read")
	}
}

// A move that fails in the store's hands fails its caller alone.
func TestMoveThatPanics(t *testing.T) {
	t.Parallel()
	s := openRuns(t, opentest.SQLite(t), sqlitestore.RunsOptions{})
	r := record(t, s, time.Now())
	_, err := s.Update(t.Context(), r.ID, func(*run.Run) (*run.Write, error) { panic("out of order") })
	if err == nil || fault.KindOf(err) != fault.Internal {
		t.Errorf("got error %v, want an internal one", err)
	}
	update(t, s, r.ID, func(r *run.Run) error { return nil })
}

func TestDeletedDefinitionNamesItsAuthor(t *testing.T) {
	t.Parallel()
	db := opentest.SQLite(t)
	s, err := sqlitestore.NewActions(t.Context(), db)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	now := time.Now()
	if err := s.Create(t.Context(), &action.Record{Identifier: "deploy", ID: "action_1", Definition: json.RawMessage(`{}`)}); err != nil {
		t.Fatalf("create: %v", err)
	}
	if err := s.Delete(t.Context(), "deploy", "ada", now); err != nil {
		t.Fatalf("delete: %v", err)
	}
	var by string
	if err := db.Scan(t.Context(), "SELECT deleted_by FROM actions WHERE identifier = 'deploy'", nil, &by); err != nil || by != "ada" {
		t.Errorf("deleted by %q, %v", by, err)
	}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{time.Hour - time.Second, 1}, {time.Hour + time.Second, 0}} {
		if err := s.Purge(t.Context(), now.Add(c.after)); err != nil {
			t.Fatalf("purge: %v", err)
		}
		if got := count(t, db, "actions"); got != c.want {
			t.Errorf("%d deleted definitions are left after %v, want %d", got, c.after, c.want)
		}
	}
}

// Store and queue are opened again and again: nothing is made twice and nothing is lost.
func TestReopen(t *testing.T) {
	t.Parallel()
	db := opentest.SQLite(t)
	r := record(t, openRuns(t, db, sqlitestore.RunsOptions{}), time.Now())
	if _, err := openRuns(t, db, sqlitestore.RunsOptions{}).Get(t.Context(), r.ID); err != nil {
		t.Errorf("get run: %v", err)
	}
}

// A key whose run was never recorded is free for the process that comes after; any other is kept.
func TestFreeKeys(t *testing.T) {
	t.Parallel()
	s := openRuns(t, opentest.SQLite(t), sqlitestore.RunsOptions{})
	now := time.Now()
	recorded := record(t, s, now)
	reserve := func(key, id string) {
		if _, won, err := s.Reserve(t.Context(), run.Reservation{
			Key: key, RunID: id, Until: now.Add(run.ReserveFor), Expires: now.Add(run.KeyLifetime),
		}, now); err != nil || !won {
			t.Fatalf("reserve %s: %t, %v", key, won, err)
		}
	}
	reserve("kept", recorded.ID)
	reserve("freed", run.NewID(now))
	if err := s.FreeKeys(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"kept": true, "freed": false} {
		if _, found, err := s.Reserved(t.Context(), key, now); err != nil || found != want {
			t.Errorf("key %s: held %t, %v; want %t", key, found, err, want)
		}
	}
}
