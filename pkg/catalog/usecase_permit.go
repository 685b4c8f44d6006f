package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// Permit says whether a change of an entity may be made: its error is what the caller is told.
type Permit func(ctx context.Context, c *Change) error

type permitKey struct{}

// WithPermit returns a context in which a permit is asked about every entity that is to be written or
// deleted, before anything is. It is not asked about what follows from such a change by itself: relations
// that are emptied, or that follow a new identifier.
func WithPermit(ctx context.Context, p Permit) context.Context {
	return context.WithValue(ctx, permitKey{}, p)
}

// Change is an entity that is about to be written or deleted.
type Change struct {
	// Blueprint is the entity's.
	Blueprint *Kept
	// Before is nil for a new entity, After for one that is deleted.
	Before, After *Entity

	s *Service
	n *snapshot
}

// limited reports whether a context has a permit.
func limited(ctx context.Context) bool {
	permit, _ := ctx.Value(permitKey{}).(Permit)
	return permit != nil
}

// permitted asks the context's permit, if it has one, about changes.
func (s *Service) permitted(ctx context.Context, changes func() []*Change) error {
	permit, _ := ctx.Value(permitKey{}).(Permit)
	if permit == nil {
		return nil
	}
	for _, c := range changes() {
		if err := permit(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// saving is a draft as changes: of the entity and of those that are made because it relates to them.
func (s *Service) saving(n *snapshot, k *Kept, old, e *Entity, missing []Target) []*Change {
	changes := []*Change{{Blueprint: k, Before: old, After: e, s: s, n: n}}
	for _, t := range missing {
		if k := n.identifier[t.Blueprint]; k != nil {
			e := &Entity{Key: Key{k.Record.ID, t.Identifier}, Content: json.RawMessage(`{}`)}
			changes = append(changes, &Change{Blueprint: k, After: e, s: s, n: n})
		}
	}
	return changes
}

// deletions are deletions as changes.
func (s *Service) deletions(n *snapshot, entities []*Entity) []*Change {
	var changes []*Change
	for _, e := range entities {
		if k := n.id[e.Blueprint]; k != nil {
			changes = append(changes, &Change{Blueprint: k, Before: e, s: s, n: n})
		}
	}
	return changes
}

// Entity is the entity as it was, of a new one as it will be.
func (c *Change) Entity() *Entity {
	if c.Before != nil {
		return c.Before
	}
	return c.After
}

// Touched returns the properties and relations whose value an update changes. Among the properties are
// $identifier, $title, $icon and $team.
func (c *Change) Touched() (properties, relations []string, err error) {
	before, err := parseContent(c.Before.Content)
	if err != nil {
		return nil, nil, err
	}
	after, err := parseContent(c.After.Content)
	if err != nil {
		return nil, nil, err
	}
	if c.Before.Identifier != c.After.Identifier {
		properties = append(properties, "$identifier")
	}
	for _, name := range []string{"title", "icon"} {
		if !bytes.Equal(or(before.top.Get(name)), or(after.top.Get(name))) {
			properties = append(properties, "$"+name)
		}
	}
	if !bytes.Equal(before.team(), after.team()) {
		properties = append(properties, "$team")
	}
	return append(properties, differing(before.properties, after.properties)...), differing(before.relations, after.relations), nil
}

// differing are the names of members that are not the same in both.
func differing(a, b *document.Members) (names []string) {
	for name, value := range a.All() {
		if !bytes.Equal(or(value), or(b.Get(name))) {
			names = append(names, name)
		}
	}
	for name, value := range b.All() {
		if a.Get(name) == nil && document.IsSet(value) {
			names = append(names, name)
		}
	}
	return names
}

// View returns the entity, whole, as GET returns it.
func (c *Change) View(ctx context.Context) (*jqtemplate.Object, error) {
	views, err := (&searching{s: c.s, n: c.n}).decodedViews(ctx, c.Blueprint, []*Entity{c.Entity()}, Selection{})
	if err != nil {
		return nil, err
	}
	return views[0], nil
}

// Matches reports whether the entity is among those that a search is for. Rules about relations among
// entities do not match one that is new.
func (c *Change) Matches(ctx context.Context, search *Search) (bool, error) {
	g := &searching{s: c.s, n: c.n}
	if err := g.bind(ctx, search); err != nil {
		return false, err
	}
	matching, err := g.matching(ctx, c.Blueprint, []*Entity{c.Entity()})
	return len(matching) > 0, err
}

// EntityBlocks say who may write a blueprint's entities. A block is nil where nothing is said.
type EntityBlocks struct {
	Register, Unregister, Update *Block
	// Properties and Relations are about single ones, by name; $title, $icon, $team and $identifier
	// are among the properties.
	Properties, Relations map[string]*Block
}

// Blocks returns the blueprint's permissions: those that were written, else the defaults.
func (c *Change) Blocks() (*EntityBlocks, error) {
	o, err := decodeObject(c.Blueprint.permissions(), "permissions")
	if err != nil {
		return nil, fmt.Errorf("read permissions of blueprint %s: %w", c.Blueprint.Record.Identifier, err)
	}
	var faults document.Faults
	block := func(v any) *Block { return parseBlock(&faults, v, "", ActionBlock(), true) }
	entities := document.Object(o, "entities")
	b := &EntityBlocks{
		Register: block(document.Member(entities, "register")), Unregister: block(document.Member(entities, "unregister")),
		Update: block(document.Member(entities, "update")), Properties: map[string]*Block{}, Relations: map[string]*Block{},
	}
	for name, v := range document.Object(entities, "updateProperties").All() {
		b.Properties[name] = block(v)
	}
	for name, v := range document.Object(entities, "updateRelations").All() {
		b.Relations[name] = block(v)
	}
	if err := faults.Err(); err != nil {
		return nil, fmt.Errorf("read permissions of blueprint %s: %w", c.Blueprint.Record.Identifier, err)
	}
	return b, nil
}
