package dispatchtest

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/run"
)

// Store keeps runs in memory for tests of what moves them. It has what dispatchers and sweepers use;
// the rest of run.Store is not there and panics. Fail makes it fail.
type Store struct {
	run.Store
	// Fail, where it is set, is asked before each Get, Read, Sealed, Due and Update, by that name; its error
	// is returned instead.
	Fail func(method, id string) error

	mu   sync.Mutex
	runs map[string]*kept
}

type kept struct {
	head run.Run
	body run.Body
	logs []*run.Log
	// response is that of the last write that had one.
	response json.RawMessage
}

// NewStore returns an empty store.
func NewStore() *Store { return &Store{runs: map[string]*kept{}} }

func (s *Store) fail(method, id string) error {
	if s.Fail == nil {
		return nil
	}
	return s.Fail(method, id)
}

func copied(r run.Run) *run.Run {
	r.Attempts = slices.Clone(r.Attempts)
	return &r
}

// Create implements run.Store.
func (s *Store) Create(_ context.Context, r *run.Run, b *run.Body) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs[r.ID] != nil {
		return fault.New(fault.Conflict, "", "run %s exists", r.ID)
	}
	s.runs[r.ID] = &kept{head: *copied(*r), body: *b}
	return nil
}

func (s *Store) get(method, id string) (*kept, error) {
	if err := s.fail(method, id); err != nil {
		return nil, err
	}
	k := s.runs[id]
	if k == nil {
		return nil, fault.New(fault.NotFound, "", "there is no run %s", id)
	}
	return k, nil
}

// Get implements run.Store.
func (s *Store) Get(_ context.Context, id string) (*run.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.get("Get", id)
	if err != nil {
		return nil, err
	}
	return copied(k.head), nil
}

// Read implements run.Store.
func (s *Store) Read(_ context.Context, id string) (*run.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.get("Read", id)
	if err != nil {
		return nil, err
	}
	body := k.body
	body.Sealed = nil
	return &run.Record{Run: copied(k.head), Body: body, Response: k.response}, nil
}

// Sealed implements run.Store.
func (s *Store) Sealed(_ context.Context, id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.get("Sealed", id)
	if err == nil && k.body.Sealed == nil {
		err = fault.New(fault.NotFound, "", "run %s has nothing sealed", id)
	}
	if err != nil {
		return nil, err
	}
	return k.body.Sealed, nil
}

// Update implements run.Store.
func (s *Store) Update(_ context.Context, id string, move func(*run.Run) (*run.Write, error)) (*run.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.get("Update", id)
	if err != nil {
		return nil, err
	}
	r := copied(k.head)
	write, err := move(r)
	switch {
	case err != nil:
		return nil, err
	case write == nil:
		return copied(k.head), nil
	}
	r.Rev++
	k.head = *copied(*r)
	for _, l := range write.Logs {
		// A notice writes to the log of its run.
		if of := s.runs[l.RunID]; of != nil {
			of.logs = append(of.logs, l)
		}
	}
	if write.Response != nil {
		k.response = write.Response
	}
	return r, nil
}

// Due implements run.Store.
func (s *Store) Due(_ context.Context, now time.Time, limit int) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fail("Due", ""); err != nil {
		return nil, err
	}
	var due []*run.Run
	for _, k := range s.runs {
		if !k.head.Due.IsZero() && !k.head.Due.After(now) {
			due = append(due, &k.head)
		}
	}
	slices.SortFunc(due, func(a, b *run.Run) int { return a.Due.Compare(b.Due) })
	var ids []string
	for _, r := range due[:min(len(due), limit)] {
		ids = append(ids, r.ID)
	}
	return ids, nil
}

// Logs implements run.Store; it returns all lines.
func (s *Store) Logs(_ context.Context, id string, _ run.LogQuery) ([]*run.Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.get("Logs", id)
	if err != nil {
		return nil, err
	}
	return slices.Clone(k.logs), nil
}
