package local

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"longshore/pkg/dispatch"
	"longshore/pkg/feed"
	"longshore/pkg/queue"
	"longshore/pkg/queue/sqlitequeue"
	"longshore/pkg/run"
	"longshore/pkg/sqlite"
	"longshore/pkg/store/sqlitestore"
)

// openSQLite keeps everything in one file of the data directory.
func openSQLite(ctx context.Context, c Config) (*stores, error) {
	db, err := sqlite.Open(ctx, filepath.Join(c.Data, "longshore.db"))
	if err != nil {
		return nil, err
	}
	st, err := overSQLite(ctx, c, db)
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open stores: %w", err)
	}
	return st, nil
}

func overSQLite(ctx context.Context, c Config, db *sqlite.DB) (*stores, error) {
	changes, err := sqlitestore.NewFeed(ctx, db)
	if err != nil {
		return nil, err
	}
	runs, err := sqlitestore.NewRuns(ctx, db, sqlitestore.RunsOptions{Retention: c.Retention, Feed: changes})
	if err != nil {
		return nil, err
	}
	actions, err := sqlitestore.NewActions(ctx, db)
	if err != nil {
		return nil, err
	}
	entities, err := sqlitestore.NewCatalog(ctx, db)
	if err != nil {
		return nil, err
	}
	actions.Feed, entities.Feed = changes, changes
	settings, err := sqlitestore.NewOrganization(ctx, db)
	if err != nil {
		return nil, err
	}
	entries, err := sqlitestore.NewAudit(ctx, db, c.AuditRetention, time.Now)
	if err != nil {
		return nil, err
	}
	memory, err := sqlitestore.NewClock(ctx, db)
	if err != nil {
		return nil, err
	}
	clock := c.clock
	if clock == nil {
		clock = time.Now
	}
	hosts, err := sqlitestore.NewHosts(ctx, db, clock)
	if err != nil {
		return nil, err
	}
	messages, err := sqlitequeue.New(ctx, db, sqlitequeue.Options{Chaos: c.chaos, Now: clock})
	if err != nil {
		return nil, err
	}
	commits := &Commits{DB: db, Runs: runs, Queue: messages, Metrics: c.metrics, recent: newRecent()}
	metered := &run.Metered{Store: runs, Metrics: c.metrics}
	settled := &settledReceipts{Settler: commits}
	return &stores{
		runs: metered, deliveries: &deliveries{metered, commits.recent}, actions: actions, catalog: entities, migrations: entities, timers: entities, memory: memory,
		audit: entries, organization: settings, queue: messages, hosts: hosts,
		accepter: commits, settler: settled, acked: settled.acked, drains: true,
		oldest: messages.Oldest, ready: db.Ping,
		follow: func(ctx context.Context, h feed.Handler) { changes.Follow(ctx, h, c.Log) },
		start: func(ctx context.Context) error {
			now := time.Now()
			if err := runs.FreeKeys(ctx, now); err != nil {
				return err
			}
			_, err := runs.TakeOverLeases(ctx, now)
			return err
		},
		purge: func(ctx context.Context, now time.Time) error {
			if _, err := runs.Purge(ctx, now); err != nil {
				return err
			}
			if err := actions.Purge(ctx, now); err != nil {
				return err
			}
			if err := entities.Purge(ctx, now); err != nil {
				return err
			}
			if err := hosts.Purge(ctx, now); err != nil {
				return err
			}
			return entries.Purge(ctx, now)
		},
		close: db.Close,
	}, nil
}

// settledReceipts remembers which messages were acknowledged by the commit that settled their run,
// so that they are not acknowledged again.
type settledReceipts struct {
	dispatch.Settler
	receipts sync.Map
}

// Settle implements dispatch.Settler.
func (s *settledReceipts) Settle(ctx context.Context, m queue.Received, id string,
	move func(*run.Run) (*run.Write, error), next func(*run.Run) (*queue.Message, time.Duration),
) (*run.Run, error) {
	r, err := s.Settler.Settle(ctx, m, id, move, next)
	if err == nil {
		s.receipts.Store(m.Receipt, true)
	}
	return r, err
}

// acked reports, once, whether a receipt was acknowledged.
func (s *settledReceipts) acked(receipt string) bool {
	_, found := s.receipts.LoadAndDelete(receipt)
	return found
}
