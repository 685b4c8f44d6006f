package dispatch_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"longshore/pkg/dispatch"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

func TestStoreAndSend(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for _, c := range []struct {
		name      string
		move      error
		send      error
		next      bool
		wantErr   error
		sent      int
		logged    bool
		asksAfter bool
	}{
		{name: "nothing to send", asksAfter: true},
		{name: "next try", next: true, sent: 1, asksAfter: true},
		{name: "queue refuses", next: true, send: refused, logged: true, asksAfter: true},
		{name: "move refuses", move: refused, next: true, wantErr: refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.refuse = c.send
			r := b.record(t)
			s := &dispatch.StoreAndSend{Runs: b.store, Send: b, Log: b.config.Log}
			asked := false
			got, err := s.Settle(t.Context(), queue.Received{}, r.ID,
				func(r *run.Run) (*run.Write, error) {
					r.StatusLabel = "moved"
					return &run.Write{}, c.move
				},
				func(r *run.Run) (*queue.Message, time.Duration) {
					// The message is made of what is stored.
					asked = r.StatusLabel == "moved" && r.Rev == 1
					if !c.next {
						return nil, 0
					}
					return &queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun}, time.Minute
				})
			if !errors.Is(err, c.wantErr) || (err == nil) != (got != nil) {
				t.Errorf("settle = %v, %v; want error %v", got, err, c.wantErr)
			}
			if len(b.sent) != c.sent || asked != c.asksAfter {
				t.Errorf("%d messages sent, asked for one after the move: %t", len(b.sent), asked)
			}
			if logged := strings.Contains(b.logs.String(), `"run_id":"`+r.ID); logged != c.logged {
				t.Errorf("log is %q, want a line: %t", b.logs.String(), c.logged)
			}
		})
	}
}

func TestDeadLettersComeAgainOnlyIfTheStoreFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.record(t)
	broken := message(r)
	undecodable := queue.Received{ID: "m2", Body: secret}
	b.store.Fail = func(string, string) error { return errors.New("broken") }
	d := dispatch.NewDeadLetter(dispatch.DeadLetterConfig{Runs: b.store, Log: b.config.Log, Count: b.config.Count, Now: b.config.Now})
	if again := d.Handle(t.Context(), []queue.Received{broken, undecodable}); len(again) != 1 || again[0] != "m1" {
		t.Errorf("letters that come again are %q, want m1", again)
	}
	if !strings.Contains(b.logs.String(), `"message_id":"m2"`) {
		t.Errorf("the log does not name the letter that cannot be decoded:\n%s", b.logs.String())
	}
	count := map[dispatch.Event]int{}
	for _, e := range b.events {
		count[e]++
	}
	if count[dispatch.Broken] != 1 || count[dispatch.Undecodable] != 1 {
		t.Errorf("counted %v", count)
	}
}
