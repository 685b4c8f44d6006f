package local

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"longshore/pkg/metric"
	"longshore/pkg/queue"
)

// work takes messages of a queue off and hands each to a handler of its own, as many at once as
// there are workers, so that a slow one holds up nobody.
func (s *Server) work(name string, workers int, handle func(context.Context, []queue.Received) []string) {
	free := make(chan struct{}, workers)
	for range workers {
		free <- struct{}{}
	}
	for {
		slots := 1
		select {
		case <-s.background.Done():
			return
		case <-free:
		}
	more:
		for slots < workers {
			select {
			case <-free:
				slots++
			default:
				break more
			}
		}
		messages, err := s.stores.queue.Receive(s.background, name, slots, pollFor)
		for range slots - len(messages) {
			free <- struct{}{}
		}
		for _, m := range messages {
			s.hands.Go(func() {
				defer func() { free <- struct{}{} }()
				s.hand(name, m, handle)
			})
		}
		if err != nil && s.background.Err() == nil {
			s.c.Log.Error("receive messages", slog.String("queue", name), slog.Any("error", err))
			pause(s.background, time.Second)
		}
	}
}

// hand has one message handled, and acknowledges it if it need not come again and nobody has done
// so yet. It outlives the loops: what is in hand is finished.
func (s *Server) hand(name string, m queue.Received, handle func(context.Context, []queue.Received) []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.background), handFor)
	defer cancel()
	again := handle(ctx, []queue.Received{m})
	if acked := s.stores.acked(m.Receipt); acked || len(again) > 0 {
		return
	}
	if err := s.stores.queue.Ack(ctx, name, m.Receipt); err != nil {
		s.c.Log.Error("acknowledge message", slog.String("queue", name), slog.String("message_id", m.ID), slog.Any("error", err))
	}
}

// each calls do at once and then at every beat, until the server stops.
func (s *Server) each(beat time.Duration, do func(context.Context)) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		do(s.background)
		select {
		case <-s.background.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Server) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handFor)
	defer cancel()
	began := time.Now()
	report, err := s.sweeper.Sweep(ctx)
	if err != nil {
		if s.background.Err() == nil {
			s.c.Log.Error("sweep", slog.Any("error", err))
		}
		return
	}
	s.metrics.Observe(metric.SweepTime, time.Since(began))
	s.metrics.Set(metric.SweepLag, report.Lag.Seconds())
}

func (s *Server) purge(ctx context.Context) {
	if err := s.stores.purge(ctx, time.Now()); err != nil && s.background.Err() == nil {
		s.c.Log.Error("delete what has expired", slog.Any("error", err))
	}
}

// metricsHandler answers GET /metrics.
func (s *Server) metricsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.look(r.Context())
		w.Header().Set("Content-Type", metric.ContentType)
		_, _ = w.Write(s.metrics.Text())
	})
}

// look sets the ages of the queues, which nobody needs between two looks.
func (s *Server) look(ctx context.Context) {
	if s.stores.oldest == nil {
		return
	}
	for name := range s.handles {
		age, err := s.stores.oldest(ctx, name)
		if err != nil {
			s.c.Log.WarnContext(ctx, "look up the age of a queue", slog.String("queue", name), slog.Any("error", err))
			continue
		}
		s.metrics.Set(metric.QueueAge, age.Seconds(), "backend", name)
	}
}

// pause waits, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
