package sqlitequeue_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/queue/sqlitequeue"
	"longshore/pkg/sqlite"
)

const backend = invocation.BackendWebhook

func message(number int) queue.Message {
	return queue.Message{PK: fmt.Sprintf("r_%016d", number), Generation: 1, Kind: queue.KindRun}
}

func send(t testing.TB, q *sqlitequeue.Queue, to string, number int, delay time.Duration) {
	t.Helper()
	if err := q.Send(t.Context(), to, message(number), delay, ""); err != nil {
		t.Fatalf("send: %v", err)
	}
}

func receive(t testing.TB, q *sqlitequeue.Queue, from string, limit int, wait time.Duration) []queue.Received {
	t.Helper()
	got, err := q.Receive(t.Context(), from, limit, wait)
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	return got
}

func ack(t testing.TB, q *sqlitequeue.Queue, messages ...queue.Received) {
	t.Helper()
	for _, m := range messages {
		if err := q.Ack(t.Context(), backend, m.Receipt); err != nil {
			t.Fatalf("acknowledge: %v", err)
		}
	}
}

// run returns the run id of a received message.
func run(t testing.TB, m queue.Received) string {
	t.Helper()
	sent, err := queue.Decode([]byte(m.Body))
	if err != nil {
		t.Fatalf("decode message: %v", err)
	}
	return sent.PK
}

func TestBackendsAreApart(t *testing.T) {
	t.Parallel()
	q := open(t, openDB(t, t.TempDir()), sqlitequeue.Options{})
	send(t, q, "webhook", 1, 0)
	send(t, q, "github", 2, 0)
	for _, c := range []struct {
		backend string
		want    int
	}{{"github", 2}, {"webhook", 1}} {
		got := receive(t, q, c.backend, 10, 0)
		if len(got) != 1 || run(t, got[0]) != message(c.want).PK {
			t.Errorf("%s has %d messages, want number %d alone", c.backend, len(got), c.want)
		}
	}
}

// The wall clock alone brings what was delayed or not acknowledged: nothing is sent meanwhile.
func TestWakesByTheClock(t *testing.T) {
	t.Parallel()
	q := open(t, openDB(t, t.TempDir()), sqlitequeue.Options{Visibility: 50 * time.Millisecond})
	send(t, q, backend, 1, time.Second)
	for count := 1; count <= 3; count++ {
		got := receive(t, q, backend, 10, 30*time.Second)
		if len(got) != 1 || got[0].Count != count {
			t.Fatalf("receive %d: %+v", count, got)
		}
	}
	if got := receive(t, q, queue.DeadLetter, 1, time.Millisecond); len(got) != 0 {
		t.Errorf("%d dead letters", len(got))
	}
}

// A receiver that waits for dead letters is told of them.
func TestDeadLetterWakes(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := open(t, openDB(t, t.TempDir()), sqlitequeue.Options{MaxReceive: 1, Visibility: time.Second, Now: c.Now})
	dead := make(chan []queue.Received, 1)
	go func() {
		got, _ := q.Receive(t.Context(), queue.DeadLetter, 1, 30*time.Second)
		dead <- got
	}()
	send(t, q, backend, 1, 0)
	old := receive(t, q, backend, 1, 0)
	c.Pass(time.Second)
	if got := receive(t, q, backend, 1, 0); len(got) != 0 {
		t.Errorf("a message that was used up came again")
	}
	got := <-dead
	if len(got) != 1 || run(t, got[0]) != message(1).PK {
		t.Fatalf("dead letters: %+v", got)
	}
	// A receipt from before does not take the dead letter away.
	ack(t, q, old...)
	c.Pass(time.Second)
	again := receive(t, q, queue.DeadLetter, 1, 0)
	if len(again) != 1 {
		t.Fatalf("%d dead letters after a late acknowledgement, want 1", len(again))
	}
	ack(t, q, again...)
	c.Pass(time.Second)
	if got := receive(t, q, queue.DeadLetter, 1, 0); len(got) != 0 {
		t.Errorf("an acknowledged dead letter came again")
	}
}

func TestDelayIsBounded(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := open(t, openDB(t, t.TempDir()), sqlitequeue.Options{Now: c.Now})
	if err := q.Send(t.Context(), backend, message(1), queue.MaxDelay+time.Second, ""); err == nil {
		t.Errorf("a delay over the longest was taken")
	}
	send(t, q, backend, 2, -time.Second)
	send(t, q, backend, 3, queue.MaxDelay)
	if got := receive(t, q, backend, 10, 0); len(got) != 1 || run(t, got[0]) != message(2).PK {
		t.Errorf("received %d messages, want number 2 alone", len(got))
	}
	c.Pass(queue.MaxDelay)
	if got := receive(t, q, backend, 1, 0); len(got) != 1 {
		t.Errorf("the message with the longest delay did not come")
	}
}

func TestStrangeReceipts(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := open(t, openDB(t, t.TempDir()), sqlitequeue.Options{Now: c.Now})
	send(t, q, backend, 1, 0)
	got := receive(t, q, backend, 1, 0)[0]
	for _, receipt := range []string{"", "-", "1", "1-", "-1", "x-1", got.ID, got.ID + "-0", got.ID + "-2", got.ID + "-01x", "99999999999999999999-1"} {
		if err := q.Ack(t.Context(), backend, receipt); err != nil {
			t.Errorf("receipt %q: %v", receipt, err)
		}
	}
	c.Pass(queue.Visibility)
	if got := receive(t, q, backend, 1, 0); len(got) != 1 {
		t.Errorf("a receipt that was never given out removed the message")
	}
}

// Chaos must not lose anything, and must be seen.
func TestChaos(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := open(t, openDB(t, t.TempDir()), sqlitequeue.Options{Chaos: true, Now: c.Now, MaxReceive: 1000})
	const messages = 400
	for i := range messages {
		c.Pass(time.Millisecond)
		send(t, q, backend, i, 0)
	}
	seen := map[string]int{}
	inOrder, inHand := true, false
	last := ""
	var hand [3][]queue.Received
	for i := 0; ; i++ {
		// Each batch is acknowledged three receives later, as by a dispatcher that is at work.
		got := receive(t, q, backend, 10, 0)
		for _, m := range got {
			id := run(t, m)
			seen[id]++
			inOrder = inOrder && last <= id
			inHand = inHand || m.Count > 1
			last = id
		}
		ack(t, q, hand[i%3]...)
		if hand[i%3] = got; len(hand[0])+len(hand[1])+len(hand[2]) == 0 {
			break
		}
	}
	twice := 0
	for _, n := range seen {
		if n > 1 {
			twice++
		}
	}
	if len(seen) != messages || inOrder || twice == 0 || !inHand {
		t.Errorf("%d of %d messages came, in order: %t, %d more than once, received again in hand: %t",
			len(seen), messages, inOrder, twice, inHand)
	}
	c.Pass(queue.Visibility)
	if got := receive(t, q, backend, 10, 0); len(got) != 0 {
		t.Errorf("%d messages came after all were acknowledged", len(got))
	}
}

// childDir makes TestSurvivesKill a process that sends and receives until it is killed.
const childDir = "LONGSHORE_TEST_QUEUE"

func sendUntilKilled(t *testing.T, dir string) {
	q := open(t, openDB(t, dir), sqlitequeue.Options{})
	for i := range 1_000_000 {
		send(t, q, backend, i, 0)
		fmt.Println("sent", message(i).PK)
		if i%3 == 0 {
			for _, m := range receive(t, q, backend, 1, 0) {
				fmt.Println("received", run(t, m))
				if i%2 == 0 {
					fmt.Println("acknowledging", run(t, m))
					ack(t, q, m)
					fmt.Println("acknowledged", run(t, m))
				}
			}
		}
	}
}

// After a kill -9, what was sent and not acknowledged comes, what was in hand at once, and what was
// acknowledged does not.
func TestSurvivesKill(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		sendUntilKilled(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSurvivesKill$", "-test.v")
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatalf("start child: %v", err)
	}
	if err := child.Start(); err != nil {
		t.Fatalf("start child: %v", err)
	}
	sent, gone := map[string]bool{}, map[string]bool{}
	asked := ""
	received := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		what, id, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "sent":
			sent[id] = true
		case "received":
			received++
		case "acknowledging":
			asked = id
		case "acknowledged":
			gone[id] = true
		}
		if len(sent) == 120 {
			if err := child.Process.Kill(); err != nil {
				t.Fatalf("kill child: %v", err)
			}
		}
	}
	_ = child.Wait()
	if len(sent) < 120 || len(gone) == 0 || received == len(gone) {
		t.Fatalf("the child sent %d, received %d, acknowledged %d messages", len(sent), received, len(gone))
	}
	q := open(t, openDB(t, dir), sqlitequeue.Options{})
	came := map[string]bool{}
	again := 0
	for {
		got := receive(t, q, backend, 10, 0)
		if len(got) == 0 {
			break
		}
		for _, m := range got {
			came[run(t, m)] = true
			if m.Count > 1 {
				again++
			}
		}
	}
	for id := range sent {
		// The last acknowledgement may have been written and not answered.
		if came[id] == gone[id] && (gone[id] || id != asked) {
			t.Errorf("%s: came %t, acknowledged %t", id, came[id], gone[id])
		}
	}
	if again == 0 {
		t.Errorf("nothing of what was in hand came again")
	}
}

// A receipt of a process that died takes nothing from the one after it.
func TestReceiptsDoNotOutliveTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openDB(t, dir)
	c := newClock()
	q := open(t, db, sqlitequeue.Options{Now: c.Now})
	send(t, q, backend, 1, 0)
	send(t, q, backend, 2, 10*time.Minute)
	old := receive(t, q, backend, 1, 0)
	ack(t, q, old...)
	send(t, q, backend, 3, 0)
	held := receive(t, q, backend, 1, 0)

	c.Pass(time.Second)
	q = open(t, db, sqlitequeue.Options{Now: c.Now})
	send(t, q, backend, 4, 0)
	got := receive(t, q, backend, 10, 0)
	var ids []string
	for _, m := range got {
		ids = append(ids, run(t, m))
	}
	if diff := cmp.Diff([]string{message(3).PK, message(4).PK}, ids); diff != "" {
		t.Errorf("after the restart (-want +got):\n%s", diff)
	}
	if got[0].Count != 2 {
		t.Errorf("count is %d for a message that a dead process had, want 2", got[0].Count)
	}
	ack(t, q, old...)
	ack(t, q, held...)
	c.Pass(queue.Visibility)
	if got := receive(t, q, backend, 10, 0); len(got) != 2 {
		t.Errorf("%d messages are left, want 2", len(got))
	}
}

// BenchmarkReceive shows that messages which are not due cost nothing.
func BenchmarkReceive(b *testing.B) {
	for _, delayed := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("%d delayed", delayed), func(b *testing.B) {
			db := openDB(b, b.TempDir())
			q := open(b, db, sqlitequeue.Options{})
			work := make(chan struct{}, delayed)
			for i := range delayed {
				go func() {
					send(b, q, backend, i, queue.MaxDelay)
					work <- struct{}{}
				}()
			}
			for range delayed {
				<-work
			}
			for b.Loop() {
				send(b, q, backend, 0, 0)
				got := receive(b, q, backend, 10, 0)
				if len(got) != 1 {
					b.Fatalf("received %d messages", len(got))
				}
				ack(b, q, got...)
			}
		})
	}
}

// A receive that is done again, since another operation of its commit failed, claims what it handed out and
// nothing else: what has become due meanwhile would be in nobody's hand.
func TestReceiveThatIsDoneAgainClaimsTheSame(t *testing.T) {
	t.Parallel()
	db, c := openDB(t, t.TempDir()), newClock()
	q := open(t, db, sqlitequeue.Options{Now: c.Now})
	send(t, q, backend, 1, 0)
	send(t, q, backend, 2, 5*time.Second)

	// The writer is held up until both operations wait behind it.
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
	var first []queue.Received
	all.Go(func() { first, _ = q.Receive(t.Context(), backend, 10, 0) })
	waits(db, 1)
	failure := errors.New("it fails, having written")
	all.Go(func() {
		if err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
			if _, err := tx.Exec("UPDATE messages SET held = held"); err != nil {
				return err
			}
			c.Pass(10 * time.Second)
			return failure
		}); !errors.Is(err, failure) {
			t.Errorf("the other operation: %v", err)
		}
	})
	waits(db, 2)
	close(release)
	all.Wait()

	if len(first) != 1 || run(t, first[0]) != message(1).PK {
		t.Fatalf("received %+v, want number 1 alone", first)
	}
	if got := receive(t, q, backend, 10, 0); len(got) != 1 || run(t, got[0]) != message(2).PK || got[0].Count != 1 {
		t.Errorf("then received %+v, want number 2 for the first time", got)
	}
}

// waits returns once so many operations wait for the writer.
func waits(db *sqlite.DB, operations int) {
	for db.Stats().Waiting < operations {
		runtime.Gosched()
	}
}
