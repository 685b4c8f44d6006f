package dispatch_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/dispatch"
	"longshore/pkg/dispatch/dispatchtest"
	"longshore/pkg/queue"
	"longshore/pkg/run"
)

// BenchmarkHandle measures what a dispatcher adds to a store and a backend that take no time: ten
// messages an operation.
func BenchmarkHandle(b *testing.B) {
	for name, outcome := range map[string]backend.Outcome{
		"delivered": {Verdict: run.Deliver, StatusCode: 202},
		"retried":   {Verdict: run.Retry, StatusCode: 503, Error: "HTTP 503"},
	} {
		b.Run(name, func(b *testing.B) {
			store := dispatchtest.NewStore()
			log := slog.New(slog.DiscardHandler)
			d := dispatch.New(dispatch.Config{
				Backend: instant{outcome}, Name: "webhook", Runs: store, Send: nowhere{}, Log: log,
				Settler: &dispatch.StoreAndSend{Runs: store, Send: nowhere{}, Log: log},
			})
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				batch := make([]queue.Received, 10)
				for i := range batch {
					r := &run.Run{ID: run.NewID(time.Now()), Backend: "webhook"}
					r.Start(time.Now(), "")
					if err := store.Create(b.Context(), r, &run.Body{}); err != nil {
						b.Fatal(err)
					}
					batch[i] = received(fmt.Sprint(i), queue.Message{PK: r.ID, Generation: 1, Kind: queue.KindRun, Invocation: call()})
				}
				b.StartTimer()
				if again := d.Handle(b.Context(), batch); again != nil {
					b.Fatalf("messages come again: %q", again)
				}
			}
		})
	}
}

type instant struct{ outcome backend.Outcome }

func (i instant) Call(context.Context, backend.Call) backend.Outcome { return i.outcome }

type nowhere struct{}

func (nowhere) Send(context.Context, string, queue.Message, time.Duration, string) error { return nil }
