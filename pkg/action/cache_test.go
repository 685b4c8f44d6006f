package action_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/fault"
)

// store is an action.Store in memory that counts what is read; a cache uses no other method.
type store struct {
	action.Store

	mu      sync.Mutex
	records map[string]*action.Record
	stamp   int64
	fail    error
	calls   map[string]int
	// entered, if set, is told of each Get, which then waits for gate.
	entered chan string
	gate    chan struct{}
}

func newStore(t *testing.T, texts ...string) *store {
	t.Helper()
	s := &store{records: map[string]*action.Record{}, calls: map[string]int{}}
	for _, text := range texts {
		s.put(t, text)
	}
	return s
}

// put keeps a definition under its identifier and moves the stamp.
func (s *store) put(t *testing.T, text string) {
	t.Helper()
	r := record(t, text)
	if d, err := action.Parse(r.Definition); err == nil {
		r.Identifier = d.Identifier
	} else {
		r.Identifier = "broken"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stamp++
	r.Rev = s.stamp
	s.records[r.Identifier] = r
}

func (s *store) remove(identifier string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stamp++
	delete(s.records, identifier)
}

func (s *store) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *store) Stamp(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls["stamp"]++
	return s.stamp, s.fail
}

func (s *store) Get(ctx context.Context, identifier string) (*action.Record, error) {
	if s.entered != nil {
		s.entered <- identifier
		select {
		case <-s.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls["get"]++
	if r, ok := s.records[identifier]; ok {
		c := *r
		return &c, nil
	}
	return nil, fault.New(fault.NotFound, "", "no action %s", identifier)
}

func (s *store) List(context.Context) ([]*action.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls["list"]++
	var all []*action.Record
	for _, r := range s.records {
		c := *r
		all = append(all, &c)
	}
	slices.SortFunc(all, func(a, b *action.Record) int { return strings.Compare(a.Identifier, b.Identifier) })
	return all, nil
}

func (s *store) counted(call string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[call]
}

func get(t *testing.T, c *action.Cache, identifier string) *action.Entry {
	t.Helper()
	e, err := c.Get(t.Context(), identifier)
	if err != nil {
		t.Fatalf("Get(%s): %v", identifier, err)
	}
	return e
}

func list(t *testing.T, c *action.Cache) []*action.Entry {
	t.Helper()
	entries, err := c.List(t.Context())
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return entries
}

func named(identifier string) string { return with("top", `"identifier":"`+identifier+`"`) }

func TestCacheReadsOnceUntilTheStampMoves(t *testing.T) {
	t.Parallel()
	s := newStore(t, named("a"), named("b"))
	c := action.NewCache(s)
	first := get(t, c, "a")
	if again := get(t, c, "a"); again != first {
		t.Error("the second Get made another entry")
	}
	if got := s.counted("get"); got != 1 {
		t.Errorf("%d reads of a definition, want 1", got)
	}
	if got := s.counted("list"); got != 0 {
		t.Errorf("%d reads of all definitions for one, want 0", got)
	}

	s.put(t, named("b"))
	if again := get(t, c, "a"); again != first {
		t.Error("a change of another definition made another entry")
	}
	s.put(t, with("top", `"identifier":"a","title":"new"`))
	changed := get(t, c, "a")
	if changed.Definition.Title != "new" || first.Definition.Title != "" {
		t.Errorf("titles are %q and before %q", changed.Definition.Title, first.Definition.Title)
	}

	// The same text written again is another record with the same compiled form.
	s.put(t, with("top", `"identifier":"a","title":"new"`))
	rewritten := get(t, c, "a")
	if rewritten.Record.Rev == changed.Record.Rev || rewritten.Definition != changed.Definition {
		t.Errorf("rev %d after %d, same definition %t", rewritten.Record.Rev, changed.Record.Rev, rewritten.Definition == changed.Definition)
	}
}

func TestCacheSharesBetweenListAndGet(t *testing.T) {
	t.Parallel()
	s := newStore(t, named("b"), named("a"))
	c := action.NewCache(s)
	before := get(t, c, "b")
	all := list(t, c)
	var identifiers []string
	for _, e := range all {
		identifiers = append(identifiers, e.Record.Identifier)
	}
	if diff := cmp.Diff([]string{"a", "b"}, identifiers); diff != "" {
		t.Fatalf("list (-want +got):\n%s", diff)
	}
	if all[1] != before {
		t.Error("List made another entry than Get")
	}
	if get(t, c, "a") != all[0] || s.counted("get") != 1 {
		t.Errorf("Get after List read the definition again")
	}
	all[0] = nil
	if list(t, c)[0] == nil {
		t.Error("a caller's change of the list is seen by the next")
	}
	if got := s.counted("list"); got != 1 {
		t.Errorf("%d reads of all definitions, want 1", got)
	}
	s.remove("a")
	if got := list(t, c); len(got) != 1 || got[0] != before {
		t.Errorf("after a delete %d definitions are listed, want the other one", len(got))
	}
	if _, err := c.Get(t.Context(), "a"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("Get of the deleted one: %v, want not found", err)
	}
	s.put(t, named("a"))
	get(t, c, "a")
}

func TestCacheOfAnUnreadableDefinition(t *testing.T) {
	t.Parallel()
	s := newStore(t, named("a"), `{"identifier":"broken","what":"was once good"}`)
	c := action.NewCache(s)
	all := list(t, c)
	if len(all) != 2 || all[0].Err != nil || all[1].Err == nil || all[1].Definition != nil {
		t.Fatalf("list = %v", all)
	}
	e, err := c.Get(t.Context(), "broken")
	if !fault.Is(err, action.CodeUnreadable) || fault.KindOf(err) != fault.Invalid || e == nil {
		t.Fatalf("Get = %v, %v, want both an entry and %s", e, err, action.CodeUnreadable)
	}
	if view, err := action.View(e.Record, e.Definition, ""); err != nil || !strings.HasPrefix(string(view), `{"identifier":"broken","what":"was once good","id":`) {
		t.Errorf("View = %s, %v", view, err)
	}
	if v := e.Value(); v != nil {
		t.Errorf("Value = %v, want nil", v)
	}
	s.put(t, with("top", `"identifier":"broken"`))
	get(t, c, "broken")
}

func TestCacheKeepsNoFailure(t *testing.T) {
	t.Parallel()
	s := newStore(t, named("a"))
	c := action.NewCache(s)
	busy := fault.Busy(errors.New("throttled"), 0, "the store is busy")
	s.setFail(busy)
	if _, err := c.Get(t.Context(), "a"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Get: %v, want unavailable", err)
	}
	if _, err := c.List(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("List: %v, want unavailable", err)
	}
	s.setFail(nil)
	get(t, c, "a")
	list(t, c)
	if _, err := c.Get(t.Context(), "none"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("Get: %v, want not found", err)
	}
	// Without a change of the stamp a cache may not know better, but it must ask.
	s.mu.Lock()
	s.records["none"] = record(t, named("none"))
	s.mu.Unlock()
	get(t, c, "none")
}

func TestCacheCompilesOnceForMany(t *testing.T) {
	t.Parallel()
	s := newStore(t, named("a"))
	s.entered, s.gate = make(chan string, 100), make(chan struct{})
	c := action.NewCache(s)
	entries := make([]*action.Entry, 50)
	var wg sync.WaitGroup
	for i := range entries {
		wg.Go(func() { entries[i], _ = c.Get(t.Context(), "a") })
	}
	<-s.entered
	close(s.gate)
	wg.Wait()
	for _, e := range entries {
		if e == nil || e != entries[0] {
			t.Fatalf("callers at once got %p and %p", e, entries[0])
		}
	}
	if got := s.counted("get"); got != 1 {
		t.Errorf("%d reads for 50 callers, want 1", got)
	}
}

// TestCacheAfterACallerThatGaveUp lets the first of two callers give up while it reads for both.
func TestCacheAfterACallerThatGaveUp(t *testing.T) {
	t.Parallel()
	s := newStore(t, named("a"))
	s.entered, s.gate = make(chan string, 2), make(chan struct{})
	c := action.NewCache(s)
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := c.Get(ctx, "a"); first <- err }()
	<-s.entered
	go func() { _, err := c.Get(t.Context(), "a"); second <- err }()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first got %v, want its own end", err)
	}
	<-s.entered
	close(s.gate)
	if err := <-second; err != nil {
		t.Errorf("the second got %v", err)
	}
}

// TestCacheIsBounded reads half as much again as is kept, then everything at once.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const n = 40
	filler := strings.Repeat("x", 300<<10)
	for i := range n {
		s.put(t, with("top", fmt.Sprintf(`"identifier":"a%d","description":"%s"`, i, filler)))
	}
	c := action.NewCache(s)
	for i := range n {
		get(t, c, fmt.Sprintf("a%d", i))
	}
	if got := len(list(t, c)); got != n {
		t.Errorf("%d definitions are listed, want %d", got, n)
	}
	before := s.counted("get")
	for i := range n {
		get(t, c, fmt.Sprintf("a%d", i))
	}
	if read := s.counted("get") - before; read < n/4 {
		t.Errorf("%d of %d definitions of 300 KiB were read again: the cache keeps too much", read, n)
	}
	list(t, c)
	if got := s.counted("list"); got != 2 {
		t.Errorf("%d reads of a list too large to keep, want 2", got)
	}
}

func TestCacheUnderChange(t *testing.T) {
	t.Parallel()
	s := newStore(t, with("top", `"identifier":"a","title":"0"`))
	c := action.NewCache(s)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				// Whatever was written before the call must be seen by it.
				s.mu.Lock()
				least := s.records["a"].Rev
				s.mu.Unlock()
				e, err := c.Get(t.Context(), "a")
				if err != nil || e.Record.Rev < least {
					t.Errorf("Get = rev %v, %v, want at least %d", e, err, least)
					return
				}
				all, err := c.List(t.Context())
				if err != nil || len(all) != 1 || all[0].Record.Rev < least {
					t.Errorf("List = %v, %v, want rev %d", all, err, least)
					return
				}
			}
		})
	}
	for i := range 100 {
		s.put(t, with("top", fmt.Sprintf(`"identifier":"a","title":"%d"`, i%3)))
	}
	wg.Wait()
}

func TestNewID(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id := action.NewID()
		digits, ok := strings.CutPrefix(id, "action_")
		if !ok || len(digits) != 16 || strings.Trim(digits, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			t.Fatalf("NewID = %q", id)
		}
		if seen[id] {
			t.Fatalf("NewID gave %q twice", id)
		}
		seen[id] = true
	}
}
