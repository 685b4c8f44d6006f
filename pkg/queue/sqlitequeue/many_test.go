package sqlitequeue_test

import (
	"strings"
	"testing"
	"time"

	"longshore/pkg/queue"
	"longshore/pkg/queue/sqlitequeue"
	"longshore/pkg/sqlite"
)

// With 100,000 messages waiting a receive looks at those alone that it returns, and the oldest come first.
func TestManyWaiting(t *testing.T) {
	t.Parallel()
	const waiting, limit = 100_000, 100
	db := openDB(t, t.TempDir())
	c := newClock()
	q := open(t, db, sqlitequeue.Options{Now: c.Now})
	send(t, q, backend, 0, 0)
	if err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO messages (queue, due, receives, held, text)
			SELECT m.queue, m.due + n.i / 10, 0, 0, CAST(replace(CAST(m.text AS TEXT), 'r_0000000000000000', printf('r_%016d', n.i)) AS BLOB) FROM messages m, n`, waiting)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	// A queue numbers its messages by itself.
	q = open(t, db, sqlitequeue.Options{Now: c.Now})
	c.Pass(time.Hour)
	for name, read := range map[string]struct {
		text string
		args []any
	}{
		"due":  {sqlitequeue.DueText, []any{backend, c.Now().UnixMilli(), limit}},
		"next": {sqlitequeue.NextText, []any{backend}},
	} {
		if plan := explain(t, db, read.text, read.args...); !strings.Contains(plan, "SEARCH messages USING") || !strings.Contains(plan, "messages_due") ||
			strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "SCAN") {
			t.Errorf("%s is read by: %s", name, plan)
		}
	}
	// The newest, behind all others.
	send(t, q, backend, waiting+1, 0)
	seen := map[string]bool{}
	for round := range 3 {
		got := receive(t, q, backend, limit, 0)
		if len(got) != limit {
			t.Fatalf("round %d: %d messages, want %d", round, len(got), limit)
		}
		for _, m := range got {
			id := run(t, m)
			if seen[id] || id > message((round+1)*limit+10).PK {
				t.Errorf("round %d has message %s", round, id)
			}
			seen[id] = true
		}
		ack(t, q, got...)
	}
	var left int
	if err := db.Scan(t.Context(), "SELECT count(*) FROM messages WHERE queue <> ?", []any{queue.DeadLetter}, &left); err != nil || left != waiting+2-len(seen) {
		t.Errorf("%d messages are left, want %d: %v", left, waiting+2-len(seen), err)
	}
}

// explain returns how a statement is carried out.
func explain(t *testing.T, db *sqlite.DB, text string, args ...any) string {
	t.Helper()
	rows, err := db.Rows(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "; ")
}
