package sqlitequeue_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"longshore/pkg/queue/queuetest"
	"longshore/pkg/queue/sqlitequeue"
	"longshore/pkg/sqlite"
)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func openDB(t testing.TB, dir string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "longshore.db"))
	if err != nil {
		t.Fatalf("open database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	return db
}

func open(t testing.TB, db *sqlite.DB, o sqlitequeue.Options) *sqlitequeue.Queue {
	t.Helper()
	q, err := sqlitequeue.New(t.Context(), db, o)
	if err != nil {
		t.Fatalf("open queue: %v", err)
	}
	return q
}

func TestQueue(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T, o queuetest.Options) queuetest.Queue {
		c := newClock()
		q := open(t, openDB(t, t.TempDir()), sqlitequeue.Options{Visibility: o.Visibility, Now: c.Now})
		return queuetest.Queue{Queue: q, Pass: c.Pass}
	})
}
