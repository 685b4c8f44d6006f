package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"longshore/pkg/jqtemplate"
)

// edges returns the edges of an entity, each once.
func (n *snapshot) edges(k *Kept, e *Entity) ([]Edge, error) {
	targets, err := Targets(k.Definition, e.Content)
	if err != nil {
		return nil, err
	}
	var edges []Edge
	for _, t := range targets {
		if target := n.identifier[t.Blueprint]; target != nil {
			edges = append(edges, Edge{Source: e.Key, Relation: t.Relation, Target: Key{target.Record.ID, t.Identifier}})
		}
	}
	return edges, nil
}

// rename puts e in the place of old, which has another identifier, and lets relations follow: up to 200
// at once, the others in slices. Readers see the new identifier everywhere from the start.
func (s *Service) rename(ctx context.Context, n *snapshot, k *Kept, old, e *Entity, edges []Edge, by Author) error {
	// The new one names itself where the old one did.
	if slices.ContainsFunc(edges, func(edge Edge) bool { return edge.Target == old.Key }) {
		var err error
		if e.Content, err = repoint(k.Definition, n, e, old.Key, e.Identifier); err != nil {
			return err
		}
		if edges, err = n.edges(k, e); err != nil {
			return err
		}
	}
	before, err := n.edges(k, old)
	if err != nil {
		return err
	}
	m := &Migration{
		Kind: MigrateRename, Blueprint: k.Record.ID, Name: k.Record.Identifier, By: by,
		Targets: []MigrationTarget{{old.Identifier, old.ID}}, To: e.Identifier,
	}
	if err := s.beginAlone(ctx, m); err != nil {
		return err
	}
	e.Rev = 0
	if err := s.renameEntity(ctx, n, old, e, edges, before, by); err != nil {
		return errors.Join(err, s.cancel(ctx, m))
	}
	// It is recorded, and goes on even if its first slice fails.
	_ = s.first(ctx, m)
	return nil
}

// relating is an entity that relates to another one, and through what.
type relating struct {
	*Entity
	blueprint *Kept
	relations []Relation
}

// related returns up to limit entities that relate to one.
func (s *Service) related(ctx context.Context, n *snapshot, target Key, limit int) ([]*relating, error) {
	var found []*relating
	seen := map[Key]bool{}
	for from := ""; ; {
		edges, next, err := s.store.Sources(ctx, target, from, maxEdges)
		if err != nil {
			return nil, fmt.Errorf("look for relations: %w", err)
		}
		edges = slices.DeleteFunc(edges, func(edge Edge) bool { return seen[edge.Source] })
		for _, edge := range edges {
			seen[edge.Source] = true
		}
		some, err := s.relatingOf(ctx, n, target, edges)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
		if from = next; from == "" || len(found) >= limit {
			return found[:min(len(found), limit)], nil
		}
	}
}

// relating returns through which relations an entity relates to another one, nil for none.
func (n *snapshot) relating(e *Entity, target Key) (*relating, error) {
	k := n.id[e.Blueprint]
	if k == nil || k.Definition == nil {
		return nil, nil
	}
	edges, err := n.edges(k, e)
	if err != nil {
		return nil, err
	}
	r := &relating{Entity: e, blueprint: k}
	for _, edge := range edges {
		if relation, ok := k.Definition.Relation(edge.Relation); ok && edge.Target == target {
			r.relations = append(r.relations, relation)
		}
	}
	if r.relations == nil {
		return nil, nil
	}
	return r, nil
}

// detach takes a target out of the relations of a source, or puts another identifier in its place.
func (s *Service) detach(ctx context.Context, source, target Key, identifier string, by Author) error {
	for try := 1; ; try++ {
		err := s.tryDetach(ctx, source, target, identifier, by)
		if err == nil || absent(err) {
			return nil
		}
		if !again(ctx, err, try) {
			return fmt.Errorf("change a relation of %s: %w", source.Identifier, err)
		}
	}
}

func (s *Service) tryDetach(ctx context.Context, source, target Key, identifier string, by Author) error {
	n, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	old, err := s.store.Entity(ctx, source)
	if err != nil {
		return err
	}
	k := n.id[source.Blueprint]
	if k == nil || k.Definition == nil {
		return nil
	}
	before, err := n.edges(k, old)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(before, func(edge Edge) bool { return edge.Target == target }) {
		return nil
	}
	e := *old
	if e.Content, err = repoint(k.Definition, n, old, target, identifier); err != nil {
		return err
	}
	e.UpdatedAt, e.UpdatedBy, e.Last = by.At, by.ID, by
	edges, err := n.edges(k, &e)
	if err != nil {
		return err
	}
	stale := slices.DeleteFunc(before, func(edge Edge) bool { return slices.Contains(edges, edge) })
	return s.replaceEntity(ctx, n, old, &e, edges, stale)
}

// repoint returns an entity's content with another identifier wherever a relation names the target;
// without one the target is taken out: of one entity null is left, of many the others.
func repoint(d *Definition, n *snapshot, e *Entity, target Key, identifier string) (json.RawMessage, error) {
	c, err := parseContent(e.Content)
	if err != nil {
		return nil, err
	}
	for _, r := range d.Relations {
		k := n.identifier[r.Target]
		if k == nil || k.Record.ID != target.Blueprint {
			continue
		}
		names := c.related(r.Name)
		if !slices.Contains(names, target.Identifier) {
			continue
		}
		list := []any{}
		for _, name := range names {
			switch {
			case name != target.Identifier:
				list = append(list, name)
			case identifier != "":
				list = append(list, identifier)
			}
		}
		switch text := c.relations.Get(r.Name); {
		case text[0] == '[':
			c.relations.Set(r.Name, jqtemplate.Encode(list))
		case len(list) > 0:
			c.relations.Set(r.Name, jqtemplate.Encode(list[0]))
		default:
			c.relations.Set(r.Name, json.RawMessage(`null`))
		}
	}
	c.top.Set("relations", c.relations.Encode())
	return c.top.Encode(), nil
}
