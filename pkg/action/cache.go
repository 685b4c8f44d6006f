package action

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// CodeUnreadable is the word of a stored definition that this code cannot read.
const CodeUnreadable = "definition_unreadable"

// Entry is a stored definition and its compiled form. Both are shared: read only.
type Entry struct {
	Record *Record
	// Definition is nil when Err is set.
	Definition *Definition
	// Err says why the stored definition cannot be used by this code: a fault.Invalid with the word
	// CodeUnreadable. It can be replaced and deleted, and View shows it without its Definition.
	Err error

	value       func() any
	permissions func() (*Permissions, error)
}

func newEntry(r *Record, d *Definition, err error) *Entry {
	e := &Entry{Record: r, Definition: d, Err: err}
	e.value = sync.OnceValue(e.decode)
	e.permissions = sync.OnceValues(func() (*Permissions, error) { return compilePermissions(r) })
	return e
}

// Permissions returns the action's permissions. They are compiled once and shared: read only. Stored
// ones that this code cannot read are a fault.Invalid with the word CodeUnreadable.
func (e *Entry) Permissions() (*Permissions, error) {
	if e.permissions == nil {
		return compilePermissions(e.Record)
	}
	return e.permissions()
}

// Value returns the definition as trigger data has it: what View returns in its own generation, plus
// blueprint (null without one) and encryptedProperties. It is decoded once and shared: read only. It
// is nil for a definition that cannot be read.
func (e *Entry) Value() any {
	if e.value == nil {
		return e.decode()
	}
	return e.value()
}

func (e *Entry) decode() any {
	if e.Definition == nil {
		return nil
	}
	text, err := View(e.Record, e.Definition, "")
	if err != nil {
		return nil
	}
	v, err := jqtemplate.Decode(text)
	o, ok := v.(*jqtemplate.Object)
	if err != nil || !ok {
		return nil
	}
	var blueprint any
	if e.Definition.Blueprint != "" {
		blueprint = e.Definition.Blueprint
	}
	o.Set("blueprint", blueprint)
	encrypted := []any{}
	for _, name := range e.Definition.Inputs.Encrypted() {
		encrypted = append(encrypted, name)
	}
	o.Set("encryptedProperties", encrypted)
	return o
}

// maxCached bounds the definitions that a Cache keeps, in bytes of their text. Compiled they take
// some ten times as much.
const maxCached = 8 << 20

// Cache keeps compiled definitions until the store's stamp moves, and then those that did not change.
// It is safe for concurrent use; a version of a definition is compiled once however many ask for it.
type Cache struct {
	store Store

	mu   sync.Mutex
	kept map[string]*slot
	size int

	list listed
}

// slot holds one definition. Its mutex is held while the definition is read and compiled.
type slot struct {
	mu    sync.Mutex
	entry *Entry
	// stamp is the store's before the entry was read or found unchanged.
	stamp int64

	// size is guarded by the cache's mutex.
	size int
}

// listed is the answer of the last List.
type listed struct {
	mu      sync.Mutex
	entries []*Entry
	stamp   int64
	valid   bool
}

// NewCache returns a cache over a store.
func NewCache(s Store) *Cache { return &Cache{store: s, kept: map[string]*slot{}} }

// Stamp returns the store's: what List returns stays the same until it moves.
func (c *Cache) Stamp(ctx context.Context) (int64, error) { return c.store.Stamp(ctx) }

// Get returns a definition by identifier; it reads the stamp, and the definition only when that
// moved. fault.NotFound when there is none. For a stored definition that cannot be read it returns
// both the entry and its Err.
func (c *Cache) Get(ctx context.Context, identifier string) (*Entry, error) {
	// The stamp is read first: what is read after it is at least as new.
	stamp, err := c.store.Stamp(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the stamp of definitions: %w", err)
	}
	s := c.slot(identifier)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entry != nil && s.stamp == stamp {
		return s.entry, s.entry.Err
	}
	r, err := c.store.Get(ctx, identifier)
	if err != nil {
		if s.entry == nil || fault.KindOf(err) == fault.NotFound {
			c.drop(identifier, s)
		}
		return nil, fmt.Errorf("read action %s: %w", identifier, err)
	}
	c.fill(identifier, s, r, stamp)
	return s.entry, s.entry.Err
}

// List returns all definitions, by identifier. Those that cannot be read are among them, with their
// Err and without a Definition.
func (c *Cache) List(ctx context.Context) ([]*Entry, error) {
	stamp, err := c.store.Stamp(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the stamp of definitions: %w", err)
	}
	l := &c.list
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.valid && l.stamp == stamp {
		return slices.Clone(l.entries), nil
	}
	records, err := c.store.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list actions: %w", err)
	}
	entries, size := make([]*Entry, 0, len(records)), 0
	for _, r := range records {
		s := c.slot(r.Identifier)
		s.mu.Lock()
		c.fill(r.Identifier, s, r, stamp)
		entries = append(entries, s.entry)
		s.mu.Unlock()
		size += len(r.Definition) + len(r.Permissions)
	}
	l.entries, l.stamp, l.valid = entries, stamp, true
	if size > maxCached {
		l.entries, l.valid = nil, false
	}
	return slices.Clone(entries), nil
}

// slot returns the place of a definition, a new one if there is none.
func (c *Cache) slot(identifier string) *slot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.kept[identifier]
	if s == nil {
		s = new(slot)
		c.kept[identifier] = s
	}
	return s
}

// drop forgets a slot.
func (c *Cache) drop(identifier string, s *slot) {
	s.entry = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept[identifier] == s {
		delete(c.kept, identifier)
		c.size -= s.size
	}
}

// fill puts a record into its slot, whose mutex is held, compiled anew only if its text changed; and
// makes room by forgetting others, whichever come first.
func (c *Cache) fill(identifier string, s *slot, r *Record, stamp int64) {
	if old := s.entry; old != nil && bytes.Equal(old.Record.Definition, r.Definition) {
		if old.Record.ID != r.ID || old.Record.Rev != r.Rev {
			s.entry = newEntry(r, old.Definition, old.Err)
		}
	} else {
		s.entry = compileRecord(r)
	}
	s.stamp = stamp
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept[identifier] != s {
		return
	}
	size := len(r.Definition) + len(r.Permissions)
	c.size += size - s.size
	s.size = size
	for other, o := range c.kept {
		if c.size <= maxCached {
			return
		}
		if o != s {
			delete(c.kept, other)
			c.size -= o.size
		}
	}
}

func compileRecord(r *Record) *Entry {
	d, err := Parse(r.Definition)
	if err != nil {
		err = &fault.Error{
			Kind: fault.Invalid, Code: CodeUnreadable, Err: err,
			Message: fmt.Sprintf("the stored definition of action %s cannot be read by this version; save it anew or delete it", r.Identifier),
		}
		return newEntry(r, nil, err)
	}
	return newEntry(r, d, nil)
}
