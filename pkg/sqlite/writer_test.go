package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/sqlite"
)

// together has the writer run operations in one commit: the first holds it up until all others wait.
func together(t *testing.T, db *sqlite.DB, operations ...func(*sqlite.Tx) error) []error {
	t.Helper()
	started, release := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		// It writes nothing; its answer is that of the group. It may run again.
		start := sync.OnceFunc(func() { close(started) })
		_ = db.Write(t.Context(), func(*sqlite.Tx) error {
			start()
			<-release
			return nil
		})
	})
	<-started
	results := make([]error, len(operations))
	for i, do := range operations {
		before := db.Stats().Waiting
		all.Go(func() { results[i] = db.Write(t.Context(), do) })
		for db.Stats().Waiting == before {
			runtime.Gosched()
		}
	}
	close(release)
	all.Wait()
	return results
}

func TestWritesShareACommit(t *testing.T) {
	t.Parallel()
	db := newItems(t)
	before := db.Stats()
	var operations []func(*sqlite.Tx) error
	for i := range 50 {
		operations = append(operations, insert(fmt.Sprintf("item %02d", i)))
	}
	for i, err := range together(t, db, operations...) {
		if err != nil {
			t.Errorf("write %d: %v", i, err)
		}
	}
	after := db.Stats()
	if after.Commits-before.Commits != 1 || after.Operations-before.Operations != 50 {
		t.Errorf("%d commits of %d operations, want 1 of 50", after.Commits-before.Commits, after.Operations-before.Operations)
	}
	if got := names(t, db); len(got) != 50 {
		t.Errorf("%d items, want 50", len(got))
	}
}

// One that fails leaves nothing, and its neighbours in the same commit stay.
func TestFailedWriteIsAlone(t *testing.T) {
	t.Parallel()
	failure := errors.New("no")
	var woken atomic.Int32
	for _, c := range []struct {
		name string
		bad  func(*sqlite.Tx) error
		want func(error) bool
	}{
		{
			"an error after a write",
			func(tx *sqlite.Tx) error {
				tx.AfterCommit(func() { woken.Add(1) })
				return errors.Join(insert("bad")(tx), failure)
			},
			func(err error) bool { return errors.Is(err, failure) },
		},
		{
			"a panic after a write",
			func(tx *sqlite.Tx) error {
				if err := insert("bad")(tx); err != nil {
					return err
				}
				panic("out of order")
			},
			func(err error) bool {
				return err != nil && strings.Contains(err.Error(), "out of order") && fault.KindOf(err) == fault.Internal
			},
		},
		{
			"a panic in the middle of a SELECT",
			func(tx *sqlite.Tx) error {
				if err := insert("bad")(tx); err != nil {
					return err
				}
				return tx.Each("SELECT name FROM items", nil, func(func(...any) error) error { panic("out of order") })
			},
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "out of order") },
		},
		{
			"a constraint",
			func(tx *sqlite.Tx) error { return errors.Join(insert("bad")(tx), insert("first")(tx)) },
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "UNIQUE") },
		},
		{
			"a statement that is none",
			func(tx *sqlite.Tx) error {
				_, err := tx.Exec("INSERT INTO nothing VALUES (1)")
				return errors.Join(insert("bad")(tx), err)
			},
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "nothing") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := newItems(t)
			before := db.Stats().Commits
			results := together(t, db, insert("first"), c.bad, func(tx *sqlite.Tx) error {
				tx.AfterCommit(func() { woken.Add(100) })
				return insert("last")(tx)
			})
			if results[0] != nil || results[2] != nil {
				t.Errorf("neighbours: %v, %v", results[0], results[2])
			}
			if !c.want(results[1]) {
				t.Errorf("got error %v", results[1])
			}
			if got := db.Stats().Commits - before; got != 1 {
				t.Errorf("%d commits, want 1", got)
			}
			wantNames(t, db, "first", "last")
			if got := woken.Swap(0); got != 100 {
				t.Errorf("after the commit: %d, want 100 from the write that was kept", got)
			}
		})
	}
}

// Many that fail in one commit undo nothing of each other, and none sees what another failed to write.
func TestFailedWritesAmongMany(t *testing.T) {
	t.Parallel()
	failure := errors.New("no")
	db := newItems(t)
	seen := make([]int, 30)
	var operations []func(*sqlite.Tx) error
	for i := range seen {
		operations = append(operations, func(tx *sqlite.Tx) error {
			if err := tx.Scan("SELECT count(*) FROM items", nil, &seen[i]); err != nil {
				return err
			}
			err := insert(fmt.Sprintf("%02d", i))(tx)
			if i%3 == 1 {
				err = errors.Join(err, failure)
			}
			return err
		})
	}
	before := db.Stats().Operations
	var want []string
	for i, err := range together(t, db, operations...) {
		if bad := i%3 == 1; bad != errors.Is(err, failure) || !bad && err != nil {
			t.Errorf("write %d: got error %v", i, err)
		}
		if seen[i] != len(want) {
			t.Errorf("write %d saw %d items, want %d", i, seen[i], len(want))
		}
		if i%3 != 1 {
			want = append(want, fmt.Sprintf("%02d", i))
		}
	}
	wantNames(t, db, want...)
	if got := db.Stats().Operations - before; got != uint64(len(want)) {
		t.Errorf("%d operations counted, want %d", got, len(want))
	}
}

// An early answer comes before the commit, which it shares with what it sets off; and it stays, though a
// write that fails has it done again.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	db := newItems(t)
	before := db.Stats().Commits
	failure := errors.New("no")
	returned := make(chan error, 1)
	started, release := make(chan struct{}), make(chan struct{})
	start := sync.OnceFunc(func() { close(started) })
	var all sync.WaitGroup
	all.Go(func() {
		_ = db.Write(t.Context(), func(*sqlite.Tx) error {
			start()
			<-release
			return nil
		})
	})
	<-started
	runs := 0
	wait := func(write func()) {
		waiting := db.Stats().Waiting
		all.Go(write)
		for db.Stats().Waiting == waiting {
			runtime.Gosched()
		}
	}
	wait(func() {
		returned <- db.WriteEarly(t.Context(), func(tx *sqlite.Tx) error {
			runs++
			return insert("early")(tx)
		})
	})
	wait(func() {
		err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
			// It would wait for ever if the answer waited for the commit.
			if err := <-returned; err != nil {
				t.Errorf("early write: %v", err)
			}
			return errors.Join(insert("bad")(tx), failure)
		})
		if !errors.Is(err, failure) {
			t.Errorf("bad write: got error %v", err)
		}
	})
	wait(func() {
		if err := db.Write(t.Context(), insert("late")); err != nil {
			t.Errorf("late write: %v", err)
		}
	})
	close(release)
	all.Wait()
	wantNames(t, db, "early", "late")
	if got := db.Stats().Commits - before; got != 1 || runs != 2 {
		t.Errorf("%d commits, the early write ran %d times; want 1 and 2", got, runs)
	}
}

// While commits fail an early answer waits for them, so that whoever asks for one after the other rests.
func TestEarlyAnswerWaitsWhileCommitsFail(t *testing.T) {
	t.Parallel()
	db := newItems(t)
	full := func(tx *sqlite.Tx) error {
		if _, err := tx.Exec("PRAGMA max_page_count = 1"); err != nil {
			return err
		}
		_, err := tx.Exec("INSERT INTO items (name, size) VALUES ('big', zeroblob(1000000))")
		return err
	}
	if err := db.Write(t.Context(), full); fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("write on a full disk: got error %v, want unavailable", err)
	}
	before := db.Stats().Commits
	if err := db.WriteEarly(t.Context(), insert("small")); err != nil {
		t.Errorf("early write: %v", err)
	}
	if got := db.Stats().Commits - before; got != 1 {
		t.Errorf("%d commits when the answer came, want 1", got)
	}
	wantNames(t, db, "small")
}

func TestReadOnlyOperationCostsNoCommit(t *testing.T) {
	t.Parallel()
	db := newItems(t)
	before := db.Stats().Commits
	var n int
	write(t, db, func(tx *sqlite.Tx) error { return tx.Scan("SELECT count(*) FROM items", nil, &n) })
	if got := db.Stats().Commits - before; got != 0 {
		t.Errorf("%d commits for a read", got)
	}
}

func TestContextEndsBeforeTheTurn(t *testing.T) {
	t.Parallel()
	db := newItems(t)
	started, release := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		first <- db.Write(ctx, func(tx *sqlite.Tx) error {
			close(started)
			<-release
			return insert("first")(tx)
		})
	}()
	<-started
	second := make(chan error, 1)
	go func() { second <- db.Write(ctx, insert("second")) }()
	for db.Stats().Waiting == 0 {
		runtime.Gosched()
	}
	cancel()
	if err := <-second; fault.KindOf(err) != fault.Unavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("write whose turn had not come: got error %v", err)
	}
	close(release)
	// One that has begun is waited for, so that its caller knows.
	if err := <-first; err != nil {
		t.Errorf("write that had begun: %v", err)
	}
	write(t, db, insert("third"))
	wantNames(t, db, "first", "third")
	if err := db.Write(ctx, insert("fourth")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("write after its context ended: got error %v", err)
	}
	wantNames(t, db, "first", "third")
}

func TestCloseFinishesWhatWasAsked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db := openItems(t, path)
	const writers = 100
	kept := make([]bool, writers)
	var all sync.WaitGroup
	begun := make(chan struct{}, writers)
	for i := range writers {
		all.Go(func() {
			begun <- struct{}{}
			err := db.Write(t.Context(), insert(fmt.Sprintf("%03d", i)))
			if err != nil && fault.KindOf(err) != fault.Unavailable {
				t.Errorf("write while closing: %v", err)
			}
			kept[i] = err == nil
		})
	}
	for range writers / 2 {
		<-begun
	}
	if err := db.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	all.Wait()
	if err := db.Write(t.Context(), insert("late")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("write after close: got error %v", err)
	}
	if err := sqlite.Explain(db.Scan(t.Context(), "SELECT 1", nil, new(int)), "read"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("read after close: got error %v", err)
	}
	var want []string
	for i, ok := range kept {
		if ok {
			want = append(want, fmt.Sprintf("%03d", i))
		}
	}
	if diff := cmp.Diff(want, names(t, openItems(t, path))); diff != "" {
		t.Errorf("names after close (-answered +kept):\n%s", diff)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	db := newItems(t)
	write(t, db, insert("before"))
	limit := func(pages int) {
		t.Helper()
		// A limit below the present size is the present size.
		write(t, db, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages))
			return err
		})
	}
	limit(1)
	big := func(tx *sqlite.Tx) error {
		if err := insert("big")(tx); err != nil {
			return err
		}
		_, err := tx.Exec("UPDATE items SET size = zeroblob(1000000) WHERE name = 'big'")
		// An operation may hide the error; what it shares a commit with must not be lost by that.
		_ = err
		return nil
	}
	for i, err := range together(t, db, insert("neighbour"), big) {
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("write %d on a full disk: got error %v, want unavailable", i, err)
		}
	}
	wantNames(t, db, "before")
	var retry *fault.Error
	if err := db.Write(t.Context(), big); !errors.As(err, &retry) || !retry.Retryable || retry.RetryAfter <= 0 {
		t.Errorf("got error %v, want one that says when to try again", err)
	}
	limit(1_000_000)
	write(t, db, big)
	wantNames(t, db, "before", "big")
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
}

// A foreign program, a sqlite3 shell for one, may hold the database's own lock.
func TestForeignLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db := openItems(t, path)
	foreign, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatalf("open beside: %v", err)
	}
	defer foreign.Close()
	conn, err := foreign.Conn(t.Context())
	if err != nil {
		t.Fatalf("open beside: %v", err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatalf("lock: %v", err)
	}
	if err := db.Ping(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("ping: got error %v, want unavailable", err)
	}
	wantNames(t, db)
	if _, err := conn.ExecContext(t.Context(), "COMMIT"); err != nil {
		t.Fatalf("unlock: %v", err)
	}
	write(t, db, insert("a"))
	wantNames(t, db, "a")
}

// BenchmarkWrite shows how many writers share an fsync.
func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("%d writers", writers), func(b *testing.B) {
			db := newItems(b)
			before := db.Stats()
			work := make(chan string)
			var all sync.WaitGroup
			for range writers {
				all.Go(func() {
					for name := range work {
						if err := db.Write(b.Context(), insert(name)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := 0; b.Loop(); i++ {
				work <- fmt.Sprintf("%09d", i)
			}
			close(work)
			all.Wait()
			after := db.Stats()
			b.ReportMetric(float64(after.Commits-before.Commits)/float64(b.N), "commits/op")
		})
	}
}
