package trigger_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/run"
)

// openStore returns an empty store.
func openStore(t testing.TB) run.Store {
	t.Helper()
	return &memory{runs: map[string]*run.Record{}, keys: map[string]run.Reservation{}}
}

// memory is the part of a run.Store that triggers use.
type memory struct {
	run.Store
	mu       sync.Mutex
	runs     map[string]*run.Record
	keys     map[string]run.Reservation
	lines    []*run.Log
	attempts []run.Attempt
}

func (m *memory) Create(_ context.Context, r *run.Run, b *run.Body) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs[r.ID] != nil {
		return fault.New(fault.Conflict, "", "taken")
	}
	head := *r
	head.Rev = 1
	m.runs[r.ID] = &run.Record{Run: &head, Body: *b}
	return nil
}

func (m *memory) Read(_ context.Context, id string) (*run.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs[id] == nil {
		return nil, fault.New(fault.NotFound, "", "no run %s", id)
	}
	record := *m.runs[id]
	head := *record.Run
	head.Attempts = slices.Clone(head.Attempts)
	record.Run = &head
	return &record, nil
}

func (m *memory) Update(ctx context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	record, err := m.Read(ctx, id)
	if err != nil {
		return nil, err
	}
	w, err := move(record.Run)
	if err != nil || w == nil {
		return record.Run, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	record.Run.Rev++
	m.runs[id] = record
	m.lines = append(m.lines, w.Logs...)
	m.attempts = append(m.attempts, w.Closed...)
	return record.Run, nil
}

func (m *memory) AppendLog(_ context.Context, l *run.Log) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, l)
	return nil
}

func (m *memory) Logs(_ context.Context, id string, _ run.LogQuery) ([]*run.Log, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var of []*run.Log
	for _, l := range m.lines {
		if l.RunID == id {
			of = append(of, l)
		}
	}
	return of, nil
}

func (m *memory) Attempts(context.Context, string) ([]run.Attempt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.attempts, nil
}

func (m *memory) List(context.Context, run.Filter) (*run.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	page := &run.Page{}
	for _, record := range m.runs {
		page.Runs = append(page.Runs, record)
	}
	slices.SortFunc(page.Runs, func(a, b *run.Record) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return page, nil
}

func (m *memory) Reserve(_ context.Context, want run.Reservation, now time.Time) (run.Reservation, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	held, ok := m.keys[want.Key]
	switch {
	case !ok || held.Expires.Before(now):
	case held.Until.Before(now) && m.runs[held.RunID] == nil:
		want.RunID = held.RunID
	default:
		return held, false, nil
	}
	m.keys[want.Key] = want
	return want, true, nil
}
