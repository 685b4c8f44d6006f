package local

import (
	"context"
	"sync"

	"longshore/pkg/invocation"
	"longshore/pkg/run"
)

const (
	// maxRecent and maxRecentBytes bound what recent keeps.
	maxRecent      = 4096
	maxRecentBytes = 64 << 20
)

// recent keeps the invocations of runs that were just accepted, so that their first delivery reads
// nothing. Beyond its bounds it keeps none: the store has them all.
type recent struct {
	mu    sync.Mutex
	byRun map[string]*invocation.Invocation
	bytes int
}

func newRecent() *recent { return &recent{byRun: map[string]*invocation.Invocation{}} }

func (r *recent) keep(id string, i *invocation.Invocation) {
	size := sizeOf(i)
	r.mu.Lock()
	defer r.mu.Unlock()
	// An automation's run that is started a second time is the first one.
	if i == nil || r.byRun[id] != nil || len(r.byRun) >= maxRecent || r.bytes+size > maxRecentBytes {
		return
	}
	r.byRun[id] = i
	r.bytes += size
}

// take returns a run's invocation and forgets it; nil when it has none.
func (r *recent) take(id string) *invocation.Invocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.byRun[id]
	if i != nil {
		delete(r.byRun, id)
		r.bytes -= sizeOf(i)
	}
	return i
}

func sizeOf(i *invocation.Invocation) int {
	if i == nil || i.Webhook == nil || i.Webhook.Body == nil {
		return 0
	}
	return len(*i.Webhook.Body)
}

// deliveries are runs as a dispatcher reads them: of one that was just accepted only what is to be
// sent.
type deliveries struct {
	run.Store
	recent *recent
}

// Read implements dispatch.Runs.
func (d *deliveries) Read(ctx context.Context, id string) (*run.Record, error) {
	if i := d.recent.take(id); i != nil {
		return &run.Record{Run: &run.Run{ID: id}, Body: run.Body{Invocation: i}}, nil
	}
	return d.Store.Read(ctx, id)
}
