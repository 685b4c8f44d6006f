// Package queuetest defines what a queue promises, by tests with names.
//
// Every implementation passes the same tests against the real thing: SQLite by a clock that the
// tests move, SQS's emulator by the wall clock, for which the tests wait in long polls.
package queuetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/invocation"
	"longshore/pkg/queue"
)

// Options are what a test needs of its queue.
type Options struct {
	// Visibility is the queue's visibility time-out: a few seconds, so that tests need not wait
	// for queue.Visibility.
	Visibility time.Duration
}

// Queue is an empty queue under test. It has the backend webhook and a dead-letter queue.
type Queue struct {
	queue.Queue
	// Pass moves the queue's clock on. Nil for a queue that lives by the wall clock.
	Pass func(time.Duration)
	// LateAckDeletes says that a receipt stays good after the message was received again, as SQS
	// allows.
	LateAckDeletes bool
}

// Run runs every test. Open returns an empty queue of its own at each call and closes it with
// t.Cleanup.
func Run(t *testing.T, open func(t *testing.T, o Options) Queue) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, q Queue)
	}{
		{"SendReceiveAck", sendReceiveAck},
		{"InvisibleWhileReceived", invisibleWhileReceived},
		{"VisibleAgainAfterTimeout", visibleAgainAfterTimeout},
		{"LateAckDoesNotDeleteNextReceipt", lateAckDoesNotDeleteNextReceipt},
		{"ReceiveCountGrows", receiveCountGrows},
		{"DeadLetterAfterMaxReceive", deadLetterAfterMaxReceive},
		{"DelayedNotBefore", delayedNotBefore},
		{"DelayedManyDoNotSlowReceive", delayedManyDoNotSlowReceive},
		{"BatchPartialFailure", batchPartialFailure},
		{"LongPollWakes", longPollWakes},
		{"LongPollEndsWithContext", longPollEndsWithContext},
		{"DuplicateIsHarmless", duplicateIsHarmless},
		{"GroupIsOptional", groupIsOptional},
		{"TraceGoesWithTheMessage", traceGoesWithTheMessage},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t, Options{Visibility: visibility}))
		})
	}
}

const (
	// backend is the queue that the tests use.
	backend = invocation.BackendWebhook
	// visibility leaves time enough to acknowledge a batch on a busy machine.
	visibility = 4 * time.Second
	// patience is how long a test waits for a message that must come.
	patience = time.Minute
)

// message returns a message that can be told from others by its number.
func message(number int) queue.Message {
	return queue.Message{
		PK: fmt.Sprintf("r_%016d", number), Generation: 1, Kind: queue.KindRun,
		Invocation: &invocation.Invocation{
			V: invocation.Version, Type: "WEBHOOK", Backend: backend,
			Payload: json.RawMessage(`{"type":"WEBHOOK","text":"\u2028 é \ud83d\ude00 'quoted' \u0000","n":1e400}`),
		},
	}
}

func send(t *testing.T, q Queue, number int, delay time.Duration, group string) {
	t.Helper()
	if err := q.Send(t.Context(), backend, message(number), delay, group); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// receive takes what is there now.
func receive(t *testing.T, q Queue, name string, limit int, wait time.Duration) []queue.Received {
	t.Helper()
	got, err := q.Receive(t.Context(), name, limit, wait)
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	if len(got) > limit {
		t.Fatalf("received %d messages, the limit is %d", len(got), limit)
	}
	return got
}

// collect receives until it has n messages, which must come.
func collect(t *testing.T, q Queue, name string, n int) []queue.Received {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []queue.Received
	for len(all) < n {
		got, err := q.Receive(ctx, name, min(10, n-len(all)), time.Second)
		if err != nil {
			t.Fatalf("receive: %d of %d messages came: %v", len(all), n, err)
		}
		all = append(all, got...)
	}
	return all
}

func ack(t *testing.T, q Queue, messages ...queue.Received) {
	t.Helper()
	if err := q.Ack(t.Context(), backend, receiptsOf(messages)...); err != nil {
		t.Fatalf("acknowledge: %v", err)
	}
}

// pass lets time pass; by the wall clock it passes in the long poll that comes next.
func pass(q Queue, d time.Duration) {
	if q.Pass != nil {
		q.Pass(d)
	}
}

// nothing fails the test if a message comes before all visibility time-outs are over.
func nothing(t *testing.T, q Queue, name string) {
	t.Helper()
	wait := visibility + time.Second
	if q.Pass != nil {
		q.Pass(wait)
		wait = 0
	}
	if got := receive(t, q, name, 10, wait); len(got) != 0 {
		t.Errorf("%d messages came, %v first; want none", len(got), numbers(t, got))
	}
}

// numbers returns the numbers of messages, in order, and checks that each text came whole.
func numbers(t *testing.T, messages []queue.Received) []int {
	t.Helper()
	var all []int
	for _, r := range messages {
		m, err := queue.Decode([]byte(r.Body))
		if err != nil {
			t.Fatalf("decode what was received: %v", err)
		}
		var number int
		if _, err := fmt.Sscanf(m.PK, "r_%d", &number); err != nil {
			t.Fatalf("read the number of %q: %v", m.PK, err)
		}
		want, err := queue.Encode(message(number))
		if err != nil {
			t.Fatalf("encode message: %v", err)
		}
		if diff := cmp.Diff(string(want), r.Body); diff != "" {
			t.Errorf("text (-want +got):\n%s", diff)
		}
		if r.ID == "" || r.Receipt == "" || r.Count < 1 {
			t.Errorf("message %d has id %q, receipt %q, count %d", number, r.ID, r.Receipt, r.Count)
		}
		all = append(all, number)
	}
	slices.Sort(all)
	return all
}

func wantNumbers(t *testing.T, got []queue.Received, want ...int) {
	t.Helper()
	if diff := cmp.Diff(want, numbers(t, got), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func sendReceiveAck(t *testing.T, q Queue) {
	if got := receive(t, q, backend, 10, 0); len(got) != 0 {
		t.Errorf("an empty queue gives %d messages", len(got))
	}
	for i := range 12 {
		send(t, q, i, 0, "")
	}
	got := collect(t, q, backend, 12)
	wantNumbers(t, got, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
	ack(t, q, got...)
	nothing(t, q, backend)
	// Again, and of nothing, is no error.
	ack(t, q, got...)
	ack(t, q)
}

func invisibleWhileReceived(t *testing.T, q Queue) {
	send(t, q, 1, 0, "")
	got := collect(t, q, backend, 1)
	pass(q, visibility/2)
	if again := receive(t, q, backend, 10, 0); len(again) != 0 {
		t.Errorf("a message was received twice within its visibility time-out")
	}
	ack(t, q, got...)
}

func visibleAgainAfterTimeout(t *testing.T, q Queue) {
	send(t, q, 1, 0, "")
	first := collect(t, q, backend, 1)
	pass(q, visibility)
	second := collect(t, q, backend, 1)
	wantNumbers(t, second, 1)
	if first[0].ID != second[0].ID {
		t.Errorf("id %q at the first receive, %q at the second", first[0].ID, second[0].ID)
	}
	ack(t, q, second...)
	nothing(t, q, backend)
}

// A receiver that is late must not take the message away from the one that has it now; where the
// queue allows it all the same, no other message goes with it.
func lateAckDoesNotDeleteNextReceipt(t *testing.T, q Queue) {
	send(t, q, 1, 0, "")
	first := collect(t, q, backend, 1)
	pass(q, visibility)
	second := collect(t, q, backend, 1)
	ack(t, q, first...)
	send(t, q, 2, 0, "")
	third := collect(t, q, backend, 1)
	wantNumbers(t, third, 2)
	ack(t, q, third...)
	if !q.LateAckDeletes {
		pass(q, visibility)
		second = collect(t, q, backend, 1)
		wantNumbers(t, second, 1)
	}
	ack(t, q, second...)
	nothing(t, q, backend)
}

func receiveCountGrows(t *testing.T, q Queue) {
	send(t, q, 1, 0, "")
	for want := 1; want <= 3; want++ {
		got := collect(t, q, backend, 1)
		if got[0].Count != want {
			t.Errorf("count is %d at receive %d", got[0].Count, want)
		}
		pass(q, visibility)
	}
}

func deadLetterAfterMaxReceive(t *testing.T, q Queue) {
	send(t, q, 1, 0, "")
	for range queue.MaxReceive {
		wantNumbers(t, collect(t, q, backend, 1), 1)
		if got := receive(t, q, queue.DeadLetter, 10, 0); len(got) != 0 {
			t.Fatalf("%d messages are dead before their last receive", len(got))
		}
		pass(q, visibility)
	}
	send(t, q, 2, 0, "")
	// The receive that finds the message used up gives the next one instead.
	other := collect(t, q, backend, 1)
	wantNumbers(t, other, 2)
	ack(t, q, other...)
	nothing(t, q, backend)
	dead := collect(t, q, queue.DeadLetter, 1)
	wantNumbers(t, dead, 1)
	if err := q.Ack(t.Context(), queue.DeadLetter, dead[0].Receipt); err != nil {
		t.Fatalf("acknowledge a dead letter: %v", err)
	}
	nothing(t, q, queue.DeadLetter)
}

func delayedNotBefore(t *testing.T, q Queue) {
	const delay = 1500 * time.Millisecond // rounded up to 2 s
	sent := time.Now()
	send(t, q, 1, delay, "")
	if got := receive(t, q, backend, 10, 0); len(got) != 0 {
		t.Errorf("a delayed message came at once")
	}
	pass(q, delay)
	if q.Pass != nil {
		if got := receive(t, q, backend, 10, 0); len(got) != 0 {
			t.Errorf("a delay of 1.5 s was not rounded up to whole seconds")
		}
		q.Pass(500 * time.Millisecond)
	}
	got := collect(t, q, backend, 1)
	wantNumbers(t, got, 1)
	if early := delay - time.Since(sent); q.Pass == nil && early > 0 {
		t.Errorf("a delayed message came %v too early", early)
	}
	ack(t, q, got...)
}

func delayedManyDoNotSlowReceive(t *testing.T, q Queue) {
	for i := range 300 {
		send(t, q, i, queue.MaxDelay, "")
	}
	send(t, q, 1000, 0, "")
	got := receive(t, q, backend, 10, patience)
	wantNumbers(t, got, 1000)
	ack(t, q, got...)
}

func batchPartialFailure(t *testing.T, q Queue) {
	for i := range 10 {
		send(t, q, i, 0, "")
	}
	got := collect(t, q, backend, 10)
	var done, failed []queue.Received
	for _, m := range got {
		if n := numbers(t, []queue.Received{m})[0]; n == 3 || n == 7 {
			failed = append(failed, m)
		} else {
			done = append(done, m)
		}
	}
	if len(failed) != 2 {
		t.Fatalf("messages %v came", numbers(t, got))
	}
	// A receipt that was never given out spoils nothing for the others.
	if err := q.Ack(t.Context(), backend, append([]string{failed[0].Receipt + "x"}, receiptsOf(done)...)...); err != nil {
		t.Fatalf("acknowledge: %v", err)
	}
	pass(q, visibility)
	again := collect(t, q, backend, 2)
	wantNumbers(t, again, 3, 7)
	ack(t, q, again...)
	nothing(t, q, backend)
}

func receiptsOf(messages []queue.Received) (receipts []string) {
	for _, m := range messages {
		receipts = append(receipts, m.Receipt)
	}
	return receipts
}

func longPollWakes(t *testing.T, q Queue) {
	type answer struct {
		messages []queue.Received
		err      error
	}
	answers := make(chan answer, 1)
	waiting := make(chan struct{})
	go func() {
		close(waiting)
		got, err := q.Receive(t.Context(), backend, 10, patience)
		answers <- answer{got, err}
	}()
	<-waiting
	send(t, q, 1, 0, "")
	got := <-answers
	if got.err != nil {
		t.Fatalf("receive: %v", got.err)
	}
	wantNumbers(t, got.messages, 1)
}

func longPollEndsWithContext(t *testing.T, q Queue) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := q.Receive(ctx, backend, 10, patience)
		done <- err
	}()
	cancel()
	if err := <-done; err == nil {
		t.Errorf("a receive whose context ended returned no error")
	}
	// The queue works on for others.
	send(t, q, 1, 0, "")
	wantNumbers(t, collect(t, q, backend, 1), 1)
}

func duplicateIsHarmless(t *testing.T, q Queue) {
	send(t, q, 1, 0, "")
	send(t, q, 1, 0, "")
	got := collect(t, q, backend, 2)
	wantNumbers(t, got, 1, 1)
	if got[0].Receipt == got[1].Receipt {
		t.Errorf("two messages have one receipt %q", got[0].Receipt)
	}
	// To acknowledge one leaves the other.
	ack(t, q, got[0])
	pass(q, visibility)
	again := collect(t, q, backend, 1)
	wantNumbers(t, again, 1)
	ack(t, q, again...)
	nothing(t, q, backend)
}

func groupIsOptional(t *testing.T, q Queue) {
	for i, group := range []string{"", "a", "b", "a", "", "scaffold-service"} {
		send(t, q, i, 0, group)
	}
	got := collect(t, q, backend, 6)
	wantNumbers(t, got, 0, 1, 2, 3, 4, 5)
	ack(t, q, got...)
	nothing(t, q, backend)
}
