package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"longshore/pkg/document"
	"longshore/pkg/fault"
)

const (
	// MaxBulk is how many entities one bulk write has.
	MaxBulk = 20
	// MaxBulkDelete is how many entities one bulk deletion names.
	MaxBulkDelete = 100
	// MaxDependents is how many entities are changed or deleted because they relate to those that are
	// deleted, before these are; where there are more, they follow in slices.
	MaxDependents = 200
	// maxLookup is how many entities a store reads at once.
	maxLookup = 1000
	// maxEdges is how many edges are read in one go.
	maxEdges = 500
)

// EntityWrite says how an entity is written.
type EntityWrite struct {
	// Upsert lets a POST change an entity that exists; Merge keeps what the body does not have.
	Upsert, Merge bool
	// ValidationOnly checks everything and writes nothing.
	ValidationOnly bool
	// CreateMissing makes the related entities that are not there.
	CreateMissing bool
	By            Author
}

// Saved is an entity that was written.
type Saved struct {
	Blueprint *Kept
	Entity    *Entity
	// Created is false when an entity that existed was changed.
	Created bool
}

// Entity returns one entity. fault.NotFound when it or its blueprint is not there.
func (s *Service) Entity(ctx context.Context, blueprint, identifier string) (*Kept, *Entity, error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	return s.entity(ctx, n, blueprint, identifier)
}

func (s *Service) entity(ctx context.Context, n *snapshot, blueprint, identifier string) (*Kept, *Entity, error) {
	k, err := n.usable(blueprint)
	if err != nil {
		return nil, nil, err
	}
	if utf8.RuneCountInString(identifier) > MaxEntityIdentifier {
		return nil, nil, fault.New(fault.NotFound, "", "there is no such entity")
	}
	e, err := s.store.Entity(ctx, Key{k.Record.ID, identifier})
	switch {
	case absent(err):
		return nil, nil, fault.New(fault.NotFound, "", "the blueprint %s has no entity %q", blueprint, identifier)
	case err != nil:
		return nil, nil, fmt.Errorf("read entity: %w", err)
	}
	if e, err = n.read(e); err != nil {
		return nil, nil, err
	}
	return k, e, nil
}

// View returns entities of a blueprint as EntityViews does.
func (s *Service) View(ctx context.Context, k *Kept, entities []*Entity, selection Selection) ([]json.RawMessage, error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return EntityViews(ctx, k.Definition, entities, selection, &lookup{s.store, n})
}

// CreateEntity carries out a POST. fault.Conflict, identifier_taken, when the entity exists and no upsert
// was asked for.
func (s *Service) CreateEntity(ctx context.Context, blueprint string, text json.RawMessage, w EntityWrite) (*Saved, error) {
	for try := 1; ; try++ {
		saved, err := s.tryCreate(ctx, blueprint, text, w)
		if err == nil || !again(ctx, err, try) {
			return saved, err
		}
	}
}

func (s *Service) tryCreate(ctx context.Context, blueprint string, text json.RawMessage, w EntityWrite) (*Saved, error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	k, err := n.usable(blueprint)
	if err != nil {
		return nil, err
	}
	b, err := s.body(ctx, n, k, text, Creating)
	if err != nil {
		return nil, err
	}
	var old *Entity
	if b.Identifier != "" && utf8.RuneCountInString(b.Identifier) <= MaxEntityIdentifier {
		if old, err = s.store.Entity(ctx, Key{k.Record.ID, b.Identifier}); err != nil && !absent(err) {
			return nil, fmt.Errorf("read entity: %w", err)
		}
		if old != nil {
			if old, err = n.read(old); err != nil {
				return nil, err
			}
		}
	}
	var d *Draft
	switch {
	case old == nil:
		d, err = Create(k.Definition, b)
	case w.Upsert && w.Merge:
		d, err = Merge(k.Definition, old, b)
	default:
		d, err = Replace(k.Definition, old.Identifier, b)
	}
	if err != nil {
		return nil, err
	}
	if old != nil && !w.Upsert {
		return nil, taken(blueprint, old.Identifier)
	}
	return s.save(ctx, n, k, old, d, w)
}

func taken(blueprint, identifier string) error {
	return fault.New(fault.Conflict, "identifier_taken", "the blueprint %s already has an entity %q", blueprint, identifier)
}

// ReplaceEntity carries out a PUT. The body may give the entity another identifier.
func (s *Service) ReplaceEntity(ctx context.Context, blueprint, identifier string, text json.RawMessage, w EntityWrite) (*Saved, error) {
	return s.changeEntity(ctx, blueprint, identifier, text, Replacing, w)
}

// PatchEntity carries out a PATCH: what the body does not have stays.
func (s *Service) PatchEntity(ctx context.Context, blueprint, identifier string, text json.RawMessage, w EntityWrite) (*Saved, error) {
	return s.changeEntity(ctx, blueprint, identifier, text, Merging, w)
}

func (s *Service) changeEntity(ctx context.Context, blueprint, identifier string, text json.RawMessage, how Write, w EntityWrite) (*Saved, error) {
	for try := 1; ; try++ {
		saved, err := s.tryChange(ctx, blueprint, identifier, text, how, w)
		if err == nil || !again(ctx, err, try) {
			return saved, err
		}
	}
}

func (s *Service) tryChange(ctx context.Context, blueprint, identifier string, text json.RawMessage, how Write, w EntityWrite) (*Saved, error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	k, old, err := s.entity(ctx, n, blueprint, identifier)
	if err != nil {
		return nil, err
	}
	b, err := s.body(ctx, n, k, text, how)
	if err != nil {
		return nil, err
	}
	var d *Draft
	if how == Merging {
		d, err = Merge(k.Definition, old, b)
	} else {
		d, err = Replace(k.Definition, old.Identifier, b)
	}
	if err != nil {
		return nil, err
	}
	return s.save(ctx, n, k, old, d, w)
}

// body reads a body and carries out the searches that stand in it.
func (s *Service) body(ctx context.Context, n *snapshot, k *Kept, text json.RawMessage, how Write) (*Body, error) {
	b, err := ParseBody(text, how)
	if err != nil {
		return nil, err
	}
	for _, q := range b.Queries {
		of := k.Record.Identifier
		switch {
		case q.Path == "team":
			of = TeamBlueprint
		case q.Relation != "":
			r, ok := k.Definition.Relation(q.Relation)
			if !ok {
				// The draft says so.
				b.Resolve(q, nil)
				continue
			}
			of = r.Target
		}
		search, err := ParseSearch(q.Raw, q.Path, SearchOptions{})
		if err != nil {
			b.refuse(q, err)
			continue
		}
		target, err := n.usable(of)
		if err != nil {
			return nil, err
		}
		found, err := s.search(ctx, n, Find{Search: search, Blueprint: of, Limit: maxLookup + 1, all: true}, []*Kept{target})
		if err != nil {
			return nil, err
		}
		if len(found.keys) > maxLookup {
			b.refuse(q, fault.New(fault.Invalid, "", "the search must yield at most %d entities", maxLookup))
			continue
		}
		identifiers := make([]string, len(found.keys))
		for i, key := range found.keys {
			identifiers[i] = key.Identifier
		}
		b.Resolve(q, identifiers)
	}
	return b, nil
}

// save writes a draft in the place of old, or as a new entity.
func (s *Service) save(ctx context.Context, n *snapshot, k *Kept, old *Entity, d *Draft, w EntityWrite) (*Saved, error) {
	e := &Entity{
		Key: Key{k.Record.ID, d.Identifier}, ID: NewEntityID(), Content: d.Content,
		CreatedAt: w.By.At, UpdatedAt: w.By.At, CreatedBy: w.By.ID, UpdatedBy: w.By.ID, Last: w.By,
	}
	if old != nil {
		e.ID, e.CreatedAt, e.CreatedBy, e.Rev = old.ID, old.CreatedAt, old.CreatedBy, old.Rev
	}
	saved := &Saved{Blueprint: k, Entity: e, Created: old == nil}
	renamed := old != nil && old.Identifier != e.Identifier
	if err := n.writable(old, e); err != nil {
		return nil, err
	}
	missing, err := s.missing(ctx, n, e.Key, d)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 && !w.CreateMissing {
		return nil, notThere(missing)
	}
	if err := s.permitted(ctx, func() []*Change { return s.saving(n, k, old, e, missing) }); err != nil {
		return nil, err
	}
	if renamed {
		switch _, err := s.store.Entity(ctx, e.Key); {
		case err == nil:
			return nil, taken(k.Record.Identifier, e.Identifier)
		case !absent(err):
			return nil, fmt.Errorf("read entity: %w", err)
		}
	}
	if w.ValidationOnly {
		return saved, nil
	}
	for _, t := range missing {
		if err := s.createMissing(ctx, n, t, w.By); err != nil {
			return nil, err
		}
	}
	edges, err := n.edges(k, e)
	if err != nil {
		return nil, err
	}
	switch {
	case old == nil:
		err = s.createEntity(ctx, n, e, edges)
	case renamed:
		err = s.rename(ctx, n, k, old, e, edges, w.By)
	default:
		var before []Edge
		if before, err = n.edges(k, old); err != nil {
			return nil, err
		}
		stale := slices.DeleteFunc(before, func(edge Edge) bool { return slices.Contains(edges, edge) })
		err = s.replaceEntity(ctx, n, old, e, edges, stale)
	}
	switch {
	case err == nil:
		return saved, nil
	case w.Upsert && (old == nil && fault.Is(err, "identifier_taken") || old != nil && absent(err)):
		// An upsert does not mind what it finds.
		return nil, fault.Wrap(fault.Conflict, err, "somebody else is writing the entity %q", d.Identifier)
	}
	return nil, fmt.Errorf("write entity: %w", err)
}

// missing returns the related entities of a draft that are not there. The entity itself counts as there.
func (s *Service) missing(ctx context.Context, n *snapshot, self Key, d *Draft) ([]Target, error) {
	keys, wanted := []Key{}, map[Key]bool{}
	keyOf := func(t Target) (Key, bool) {
		k := n.identifier[t.Blueprint]
		if k == nil {
			return Key{}, false
		}
		return Key{k.Record.ID, t.Identifier}, true
	}
	for _, t := range d.Targets {
		if key, ok := keyOf(t); ok && key != self && !wanted[key] {
			wanted[key] = true
			keys = append(keys, key)
		}
	}
	there := map[Key]bool{self: true}
	for part := range slices.Chunk(keys, maxLookup) {
		entities, err := s.store.Entities(ctx, part)
		if err != nil {
			return nil, fmt.Errorf("look for related entities: %w", err)
		}
		for _, e := range entities {
			there[e.Key] = true
		}
	}
	var missing []Target
	for _, t := range d.Targets {
		if key, ok := keyOf(t); !ok || !there[key] {
			missing = append(missing, t)
		}
	}
	return missing, nil
}

func notThere(missing []Target) error {
	details := make([]fault.Detail, len(missing))
	for i, t := range missing {
		details[i] = fault.Detail{Path: t.Path, Message: fmt.Sprintf("the blueprint %s has no entity %q", t.Blueprint, t.Identifier)}
	}
	return &fault.Error{Kind: fault.NotFound, Message: details[0].Path + ": " + details[0].Message, Details: details}
}

// createMissing makes an entity that has nothing but its identifier.
func (s *Service) createMissing(ctx context.Context, n *snapshot, t Target, by Author) error {
	k, err := n.get(t.Blueprint)
	if err != nil {
		return err
	}
	e := &Entity{
		Key: Key{k.Record.ID, t.Identifier}, ID: NewEntityID(), Content: json.RawMessage(`{}`),
		CreatedAt: by.At, UpdatedAt: by.At, CreatedBy: by.ID, UpdatedBy: by.ID, Last: by,
	}
	if err := s.createEntity(ctx, n, e, nil); err != nil && !fault.Is(err, "identifier_taken") {
		return fmt.Errorf("create related entity: %w", err)
	}
	return nil
}

// BulkItem is what became of one entity of a bulk write.
type BulkItem struct {
	// Identifier is the one that was sent, or given; empty when it is not known.
	Identifier string
	Created    bool
	Err        error
}

// WriteEntities creates or upserts several entities, one by one in their order.
func (s *Service) WriteEntities(ctx context.Context, blueprint string, texts []json.RawMessage, w EntityWrite) ([]BulkItem, error) {
	n, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := n.usable(blueprint); err != nil {
		return nil, err
	}
	items := make([]BulkItem, len(texts))
	for i, text := range texts {
		saved, err := s.CreateEntity(ctx, blueprint, text, w)
		if err != nil {
			switch fault.KindOf(err) {
			case fault.Internal, fault.Unavailable:
				return nil, err
			}
			items[i].Err = err
			if o, err := decodeObject(text, "an entity"); err == nil {
				items[i].Identifier = document.Text(o, "identifier")
			}
			continue
		}
		items[i] = BulkItem{Identifier: saved.Entity.Identifier, Created: saved.Created}
	}
	return items, nil
}
