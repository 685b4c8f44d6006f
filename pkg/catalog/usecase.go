package catalog

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// writeTries is how often a change starts over because somebody else wrote the same thing meanwhile.
const writeTries = 20

// Service carries out what is asked of a catalog. It keeps compiled blueprints until the store's stamp
// moves, and is safe for concurrent use.
//
// It promises that a refused change leaves nothing behind, that two changes of one entity at once are
// both in it afterwards, and that whoever wrote something finds it at once.
type Service struct {
	store Store
	now   func() time.Time
	// reads says that nothing is ever written, built-in blueprints included.
	reads bool
	sizes sizes
	// send asks for a slice of a migration; nil leaves that to the sweeper.
	send func(ctx context.Context, migration string, n int) error

	mu    sync.Mutex
	known *snapshot

	spellings spellings
}

// NewService returns a service over a store. Now nil means time.Now.
func NewService(s Store, now func() time.Time) *Service {
	if now == nil {
		now = time.Now
	}
	return &Service{store: s, now: now, sizes: sizes{firstSlice, laterSlice, MaxDependents}}
}

// Kept is a stored blueprint and its compiled form. Both are shared: read only.
type Kept struct {
	Record *Blueprint
	// Definition is nil when Err is set.
	Definition *Definition
	// Err says why the stored blueprint cannot be used by this code. It can be replaced and deleted.
	Err error

	// schema is the member properties of its schema.
	schema *jqtemplate.Object
}

// usable returns the compiled form, or why there is none.
func (k *Kept) usable() (*Definition, error) { return k.Definition, k.Err }

// snapshot is all blueprints, and the migrations that are running, at one moment. It is never changed.
type snapshot struct {
	stamp int64
	// list is by identifier.
	list       []*Kept
	identifier map[string]*Kept
	id         map[string]*Kept
	// running are the migrations, moving what they mean.
	running []*Migration
	moving
}

func (n *snapshot) get(identifier string) (*Kept, error) {
	if k := n.identifier[identifier]; k != nil {
		return k, nil
	}
	if utf8.RuneCountInString(identifier) > MaxBlueprintIdentifier {
		return nil, fault.New(fault.NotFound, "", "there is no such blueprint")
	}
	return nil, fault.New(fault.NotFound, "", "there is no blueprint %q", identifier)
}

// usable returns a blueprint whose definition can be read.
func (n *snapshot) usable(identifier string) (*Kept, error) {
	k, err := n.get(identifier)
	if err != nil {
		return nil, err
	}
	if _, err := k.usable(); err != nil {
		return nil, err
	}
	return k, nil
}

// snapshot returns all blueprints as they are now. The built-in ones are made if they are not there.
func (s *Service) snapshot(ctx context.Context) (*snapshot, error) {
	// The stamp is read first: what is read after it is at least as new.
	stamp, err := s.store.Stamp(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the stamp of blueprints: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known != nil && s.known.stamp == stamp {
		return s.known, nil
	}
	records, err := s.store.Blueprints(ctx)
	if err != nil {
		return nil, fmt.Errorf("read blueprints: %w", err)
	}
	made := false
	if !s.reads {
		if made, err = s.makeSystem(ctx, records); err != nil {
			return nil, err
		}
	}
	if made {
		if records, err = s.store.Blueprints(ctx); err != nil {
			return nil, fmt.Errorf("read blueprints: %w", err)
		}
	}
	running, err := s.store.Migrations(ctx)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	n := &snapshot{stamp: stamp, identifier: map[string]*Kept{}, id: map[string]*Kept{}, running: running, moving: newMoving(running)}
	for _, r := range records {
		k := s.kept(r)
		n.list = append(n.list, k)
		n.identifier[r.Identifier], n.id[r.ID] = k, k
	}
	if !made {
		s.known = n
	}
	return n, nil
}

// kept compiles a record, unless its text is the same as before.
func (s *Service) kept(r *Blueprint) *Kept {
	if s.known != nil {
		if old := s.known.id[r.ID]; old != nil && bytes.Equal(old.Record.Definition, r.Definition) {
			k := *old
			k.Record = r
			return &k
		}
	}
	return compileBlueprint(r)
}

func compileBlueprint(r *Blueprint) *Kept {
	k := &Kept{Record: r}
	d, err := ParseBlueprint(r.Definition)
	if err != nil {
		k.Err = &fault.Error{
			Kind: fault.Invalid, Code: "blueprint_unreadable", Err: err,
			Message: fmt.Sprintf("the stored blueprint %q cannot be read by this version; save it anew", r.Identifier),
		}
		return k
	}
	k.Definition = d
	if o, err := decodeObject(r.Definition, "a blueprint"); err == nil {
		k.schema = document.Object(document.Object(o, "schema"), "properties")
	}
	return k
}

// makeSystem makes the built-in blueprints that are not there.
func (s *Service) makeSystem(ctx context.Context, records []*Blueprint) (made bool, err error) {
	for _, identifier := range []string{TeamBlueprint, UserBlueprint} {
		if slices.ContainsFunc(records, func(b *Blueprint) bool { return b.Identifier == identifier }) {
			continue
		}
		text, err := SystemBlueprint(identifier)
		if err != nil {
			return false, err
		}
		now := s.moment()
		err = s.store.CreateBlueprint(ctx, &Blueprint{
			Identifier: identifier, ID: NewBlueprintID(), Definition: text,
			CreatedAt: now, UpdatedAt: now, CreatedBy: "longshore", UpdatedBy: "longshore",
		})
		if err != nil && !fault.Is(err, "identifier_taken") {
			return false, fmt.Errorf("make blueprint %s: %w", identifier, err)
		}
		made = true
	}
	return made, nil
}

// moment is the time as it is stored.
func (s *Service) moment() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// again reports whether a change is to start over, after a short pause that grows.
func again(ctx context.Context, err error, try int) bool {
	if !fault.Is(err, "conflict") || try >= writeTries {
		return false
	}
	pause := time.NewTimer(time.Duration(rand.Int64N(int64(min(try, 10)) * int64(5*time.Millisecond))))
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-pause.C:
		return true
	}
}

// absent reports whether an error only says that something is not there.
func absent(err error) bool { return fault.KindOf(err) == fault.NotFound }

// Count returns how many entities a blueprint has; it may lag behind by a moment.
func (s *Service) Count(ctx context.Context, blueprint string) (int, error) {
	k, err := s.Blueprint(ctx, blueprint)
	if err != nil {
		return 0, err
	}
	count, err := s.store.Count(ctx, k.Record.ID)
	if err != nil {
		return 0, fmt.Errorf("count entities: %w", err)
	}
	return count, nil
}

// lookup implements Lookup among the blueprints of a snapshot.
type lookup struct {
	store Store
	n     *snapshot
}

// Definition implements Lookup.
func (l *lookup) Definition(_ context.Context, blueprint string) (*Definition, error) {
	if k := l.n.identifier[blueprint]; k != nil {
		return k.Definition, nil
	}
	return nil, nil
}

// Related implements Lookup.
func (l *lookup) Related(ctx context.Context, blueprint string, identifiers []string) ([]*Entity, error) {
	k := l.n.identifier[blueprint]
	if k == nil {
		return nil, nil
	}
	keys := make([]Key, len(identifiers))
	for i, identifier := range identifiers {
		keys[i] = Key{k.Record.ID, identifier}
	}
	entities, err := l.store.Entities(ctx, keys)
	if err != nil {
		return nil, err
	}
	return l.n.readAll(entities)
}
