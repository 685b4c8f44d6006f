package local_test

import (
	"testing"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// The clock jumps while runs are in every stage: none is lost, none is delivered again once its success is
// on record, and a key goes on to stand for its run.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]opening{"one commit": sqliteParts(true), "SQLite": sqliteParts(false), "AWS": awsParts} {
		for jump, d := range map[string]time.Duration{"back an hour": -time.Hour, "forward a day": 24 * time.Hour} {
			t.Run(name+", "+jump, func(t *testing.T) {
				t.Parallel()
				w := newPointWorld(t, open)
				deliver := backend.Outcome{Verdict: run.Deliver, StatusCode: 202}
				work := func(o backend.Outcome) string {
					w.answers(o)
					id := w.must("plain")
					w.clean.work(w.receive(invocation.BackendWebhook))
					return id
				}
				delivered := work(deliver)
				failed := work(backend.Outcome{Verdict: run.Retry, StatusCode: 503, Error: "HTTP 503"})
				leased := w.must("plain")
				if err := w.clean.move(leased, func(r *run.Run) error {
					_, err := r.Claim(w.clock(), 1, "somebody", time.Minute)
					return err
				}); err != nil {
					t.Fatal(err)
				}
				keyed, err := w.clean.start("plain", "key")
				if err != nil {
					t.Fatal(err)
				}
				guarded, claimed := w.must("guarded"), w.must("agent")
				w.pass(2 * time.Second)
				if _, err := run.ClaimPending(t.Context(), w.clean.runs, w.clock(), run.PendingFilter{Installation: invocation.AgentInstallation, Limit: 5}, run.ClaimFor); err != nil {
					t.Fatal(err)
				}
				w.during = func() { w.pass(d) }
				inHand := work(deliver)
				if w.during != nil {
					t.Fatal("the clock did not jump")
				}
				if d < 0 {
					// A day later the key is free.
					if again, err := w.clean.start("plain", "key"); err != nil || again != keyed {
						t.Errorf("the key is answered with run %s, %v, want %s", again, err, keyed)
					}
				}
				unsent := w.must("plain")
				ids := []string{delivered, failed, leased, keyed, guarded, claimed, inHand, unsent}
				w.repair(ids...)
				for _, id := range ids {
					// What took a day took too long.
					if r, err := w.clean.runs.Get(t.Context(), id); err != nil || r.Status != run.Success && (d < 0 || r.StatusLabel == "") {
						t.Errorf("run %s has ended %s, %q: %v", id, r.Status, r.StatusLabel, err)
					}
				}
			})
		}
	}
}

// A message that no code can handle goes to the dead letters after five receives, and its neighbours are
// worked off meanwhile.
func TestPoisonMessage(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]opening{"SQLite": sqliteParts(false), "AWS": awsPartsFor(time.Second)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newPointWorld(t, open)
			poison := queue.Message{PK: run.NewID(w.clock()), Generation: 1, Kind: "of another age"}
			if err := w.clean.queue.Send(t.Context(), invocation.BackendWebhook, poison, 0, ""); err != nil {
				t.Fatal(err)
			}
			var ids []string
			for range 9 {
				ids = append(ids, w.must("plain"))
			}
			receive := func(name string, wait time.Duration) []queue.Received {
				t.Helper()
				got, err := w.clean.queue.Receive(t.Context(), name, 10, wait)
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			// The first look takes all, wherever the poison is among them.
			w.clean.work(receive(invocation.BackendWebhook, time.Second))
			most := 1
			var dead []queue.Received
			for round := 0; len(dead) == 0 && round < 60; round++ {
				w.pass(queue.Visibility + time.Second)
				got := receive(invocation.BackendWebhook, time.Second)
				for _, m := range got {
					most = max(most, m.Count)
				}
				w.clean.work(got)
				dead = receive(queue.DeadLetter, 0)
			}
			if len(dead) != 1 || most != queue.MaxReceive {
				t.Fatalf("%d dead letters after %d receives, want one after %d", len(dead), most, queue.MaxReceive)
			}
			if m, err := queue.Decode([]byte(dead[0].Body)); err != nil || m.PK != poison.PK {
				t.Errorf("the dead letter is %+v, %v", m, err)
			}
			if again := w.clean.deadletter.Handle(t.Context(), dead); len(again) > 0 {
				t.Error("the dead letter comes again")
			}
			for _, id := range ids {
				if r, err := w.clean.runs.Get(t.Context(), id); err != nil || r.Delivery.State != run.Delivered || w.calls[id] != 1 {
					t.Errorf("run %s, called %d times, is %+v: %v", id, w.calls[id], r, err)
				}
			}
		})
	}
}
