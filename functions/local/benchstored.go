package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/queue/sqlitequeue"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/sqlitestore"
)

const (
	// fillFor bounds how long runs are stored for measures 10 and 11.
	fillFor = 3 * time.Minute
	// fillSlice is how many of them are written at once.
	fillSlice = 1_000
	// fewStored is what many stored runs are compared with.
	fewStored = 1_000
	// listedAtOnce is how many runs measure 11 lists, listings how often.
	listedAtOnce, listings = 50, 41
)

// stored makes measures 10 and 11: what many stored runs cost.
func (b *bench) stored(ctx context.Context) error {
	if b.Stored <= 0 {
		return nil
	}
	dir, err := os.MkdirTemp("", "longshore-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	few, many := filepath.Join(dir, "few"), filepath.Join(dir, "many")
	if _, err := fill(ctx, few, fewStored); err != nil {
		return err
	}
	begun := time.Now()
	_ = bind(os.Getpid(), "0-1")
	n, err := fill(ctx, many, b.Stored)
	_ = pin(os.Getpid(), 1)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.s.err, "stored %d of %d runs in %s\n", n, b.Stored, time.Since(begun).Round(time.Second))
	var rates, accepts []float64
	for range b.Rounds {
		var with [2]round
		for i, data := range []string{few, many} {
			if with[i], err = b.round(ctx, subject{data: data}); err != nil {
				return err
			}
		}
		rates = append(rates, with[1].burst.arrived/with[0].burst.arrived)
		accepts = append(accepts, float64(percentile(with[1].steady.accept, 0.5))/float64(percentile(with[0].steady.accept, 0.5)))
	}
	name := fmt.Sprintf("%d stored runs ÷ %d: ", n, fewStored)
	b.add(10, name+"burst runs/s", "≥ 0.6", "≥ 0.75", rates...)
	b.add(10, name+"accept p50", "≤ 2", "≤ 1.4", accepts...)
	return b.list(ctx, many, n)
}

// openRuns opens the runs of a data directory without a server.
func openRuns(ctx context.Context, data string) (*sqlite.DB, *sqlitestore.Runs, error) {
	db, err := sqlite.Open(ctx, filepath.Join(data, "longshore.db"))
	if err != nil {
		return nil, nil, err
	}
	runs, err := sqlitestore.NewRuns(ctx, db, sqlitestore.RunsOptions{})
	if err != nil {
		_ = db.Close()
		return nil, nil, err
	}
	return db, runs, nil
}

// fill stores runs of the last 30 days in a fresh data directory, and returns how many there are: fewer than n
// when the time for it is over. Of a thousand one is active; they are of 100 actions and 1,000 entities.
func fill(ctx context.Context, data string, n int) (stored int, err error) {
	db, runs, err := openRuns(ctx, data)
	if err != nil {
		return 0, err
	}
	defer func() {
		if failed := db.Close(); err == nil {
			err = failed
		}
	}()
	until := time.Now().Add(fillFor)
	now := time.Now().UTC().Truncate(time.Millisecond)
	step := 30 * 24 * time.Hour / time.Duration(n)
	for i := 0; i < n && time.Now().Before(until); i = stored {
		var creations []func(*sqlite.Tx) error
		for ; i < n && len(creations) < fillSlice; i++ {
			create, err := runs.Creation(storedRun(i, now.Add(-step*time.Duration(n-i))))
			if err != nil {
				return stored, err
			}
			creations = append(creations, create)
		}
		if err := db.Write(ctx, func(tx *sqlite.Tx) error {
			for _, create := range creations {
				if err := create(tx); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return stored, err
		}
		stored += len(creations)
	}
	return stored, nil
}

// storedRun is the run of that number.
func storedRun(i int, at time.Time) (*run.Run, *run.Body) {
	r := &run.Run{
		ID: run.NewID(at), Generation: 1, Status: run.Success, Backend: invocation.BackendWebhook, Source: run.SourceAPI,
		Action:    run.Action{Identifier: fmt.Sprintf("action-%d", i%100), Title: "Deploy a service", ID: fmt.Sprintf("action_%d", i%100)},
		Blueprint: "service", Entity: fmt.Sprintf("entity-%d", i/100%1_000), UserID: fmt.Sprintf("user_%d", i%50), CreatedBy: fmt.Sprintf("user_%d", i%50),
		CreatedAt: at, UpdatedAt: at, StartedAt: at, EndedAt: at, Delivery: run.Delivery{State: run.Delivered, DeliveredAt: at},
	}
	if i%1_000 == 0 {
		r.Status, r.EndedAt, r.Due = run.InProgress, time.Time{}, time.Now().Add(30*24*time.Hour)
	}
	text := fmt.Sprintf(`{"service":"service-%d"}`, i)
	return r, &run.Body{Properties: []byte(text), Invocation: &invocation.Invocation{
		V: invocation.Version, Type: "WEBHOOK", Backend: invocation.BackendWebhook,
		Webhook: &invocation.Webhook{URL: "https://example.com/deploy", Method: "POST", Body: &text},
	}}
}

// list makes measure 11: the newest runs, in the store.
func (b *bench) list(ctx context.Context, data string, n int) error {
	db, runs, err := openRuns(ctx, data)
	if err != nil {
		return err
	}
	defer db.Close()
	active := true
	for _, l := range []struct {
		name   string
		filter run.Filter
	}{
		{"by action", run.Filter{Action: "action-7"}},
		{"by entity", run.Filter{Entity: "entity-7"}},
		{"active", run.Filter{Active: &active}},
		{"unfiltered", run.Filter{}},
	} {
		l.filter.Limit = listedAtOnce
		var took []float64
		for range listings {
			begun := time.Now()
			page, err := runs.List(ctx, l.filter)
			if err != nil {
				return err
			}
			took = append(took, time.Since(begun).Seconds()*1000)
			if n == b.Stored && n >= 1_000_000 && len(page.Runs) != listedAtOnce {
				return fmt.Errorf("listed %d runs %s, want %d", len(page.Runs), l.name, listedAtOnce)
			}
		}
		b.add(11, fmt.Sprintf("newest %d of %d in the store, %s, ms", listedAtOnce, n, l.name), "≤ 20", "≤ 3", took...)
	}
	return nil
}

// delayed makes measure 12: what delayed messages cost a receive.
func (b *bench) delayed(ctx context.Context) error {
	const many, times = 10_000, 200
	dir, err := os.MkdirTemp("", "longshore-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var queues [2]*sqlitequeue.Queue
	for i := range queues {
		db, err := sqlite.Open(ctx, filepath.Join(dir, fmt.Sprint(i), "longshore.db"))
		if err != nil {
			return err
		}
		defer db.Close()
		if queues[i], err = sqlitequeue.New(ctx, db, sqlitequeue.Options{}); err != nil {
			return err
		}
	}
	const name = invocation.BackendWebhook
	message := func(i int) queue.Message {
		return queue.Message{PK: fmt.Sprintf("r_%016d", i), Generation: 1, Kind: queue.KindRun}
	}
	var sends sync.WaitGroup
	failed := make(chan error, many)
	for i := range many {
		sends.Go(func() { failed <- queues[1].Send(ctx, name, message(i), queue.MaxDelay, "") })
	}
	sends.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			return err
		}
	}
	var values []float64
	for range b.Rounds {
		var took [2][]float64
		for range times {
			for i, q := range queues {
				if err := q.Send(ctx, name, message(many), 0, ""); err != nil {
					return err
				}
				begun := time.Now()
				got, err := q.Receive(ctx, name, 10, 0)
				took[i] = append(took[i], time.Since(begun).Seconds())
				if err != nil || len(got) != 1 {
					return fmt.Errorf("received %d messages: %w", len(got), err)
				}
				if err := q.Ack(ctx, name, got[0].Receipt); err != nil {
					return err
				}
			}
		}
		values = append(values, median(took[1])/median(took[0]))
	}
	b.add(12, "receive with 10,000 delayed messages ÷ with none", "≤ 4", "≤ 2", values...)
	return nil
}
