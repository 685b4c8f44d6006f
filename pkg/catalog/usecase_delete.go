package catalog

import (
	"context"
	"fmt"
	"slices"
	"unicode/utf8"

	"longshore/pkg/fault"
)

// DeleteEntity removes an entity. Relations to it are emptied; fault.Conflict, has_dependents, when one
// of them is required. With dependents those that relate to it are deleted too, and those that relate
// to these.
func (s *Service) DeleteEntity(ctx context.Context, blueprint, identifier string, dependents bool, by Author) error {
	for try := 1; ; try++ {
		n, err := s.snapshot(ctx)
		if err != nil {
			return err
		}
		_, e, err := s.entity(ctx, n, blueprint, identifier)
		if err != nil {
			return err
		}
		err = s.remove(ctx, n, []*Entity{e}, dependents, by)
		if err == nil || !again(ctx, err, try) {
			return err
		}
	}
}

// DeleteEntities removes those of some entities of a blueprint that are there and returns which.
func (s *Service) DeleteEntities(ctx context.Context, blueprint string, identifiers []string, dependents bool, by Author) ([]string, error) {
	for try := 1; ; try++ {
		n, err := s.snapshot(ctx)
		if err != nil {
			return nil, err
		}
		k, err := n.usable(blueprint)
		if err != nil {
			return nil, err
		}
		keys, deleted := []Key{}, []string{}
		for _, identifier := range identifiers {
			key := Key{k.Record.ID, identifier}
			if !slices.Contains(keys, key) && utf8.RuneCountInString(identifier) <= MaxEntityIdentifier && identifier != "" {
				keys = append(keys, key)
			}
		}
		if len(keys) == 0 {
			return deleted, nil
		}
		entities, err := s.store.Entities(ctx, keys)
		if err != nil {
			return nil, fmt.Errorf("read entities: %w", err)
		}
		for _, key := range keys {
			if slices.ContainsFunc(entities, func(e *Entity) bool { return e.Key == key }) {
				deleted = append(deleted, key.Identifier)
			}
		}
		err = s.remove(ctx, n, entities, dependents, by)
		if err == nil || !again(ctx, err, try) {
			return deleted, err
		}
	}
}

// remove deletes entities and whatever their deletion asks for: first it is found out what that is. If
// it is more than is done before the answer, the entities go at once and the rest in slices; meanwhile
// readers see no relation to them.
func (s *Service) remove(ctx context.Context, n *snapshot, entities []*Entity, dependents bool, by Author) error {
	for _, e := range entities {
		if err := n.still(e.Key); err != nil {
			return err
		}
	}
	asked := slices.Clone(entities)
	going := map[Key]bool{}
	for _, e := range entities {
		going[e.Key] = true
	}
	type cut struct{ source, target Key }
	var cuts []cut
	for i := 0; i < len(entities); i++ {
		target := entities[i].Key
		found, err := s.related(ctx, n, target, s.sizes.dependents+MaxBulkDelete+1)
		if err != nil {
			return err
		}
		var holders []string
		for _, r := range found {
			switch {
			case going[r.Key]:
			case dependents:
				going[r.Key] = true
				entities = append(entities, r.Entity)
			case slices.ContainsFunc(r.relations, func(r Relation) bool { return r.Required }):
				holders = append(holders, r.blueprint.Record.Identifier+"/"+r.Identifier)
			default:
				cuts = append(cuts, cut{r.Key, target})
			}
		}
		if len(holders) > 0 {
			return held(target, holders)
		}
		if len(entities)-len(asked) > s.sizes.dependents || len(cuts) > s.sizes.dependents {
			return s.removeInSlices(ctx, n, asked, dependents, by)
		}
	}
	if err := s.permitted(ctx, func() []*Change { return s.deletions(n, entities) }); err != nil {
		return err
	}
	for _, c := range cuts {
		if err := s.detach(ctx, c.source, c.target, "", by); err != nil {
			return err
		}
	}
	// Whoever relates to an entity goes before it.
	for _, e := range slices.Backward(entities) {
		var edges []Edge
		if k := n.id[e.Blueprint]; k != nil && k.Definition != nil {
			var err error
			if edges, err = n.edges(k, e); err != nil {
				return err
			}
		}
		if err := s.deleteEntity(ctx, n, e, edges, by); err != nil && !absent(err) {
			return fmt.Errorf("delete entity: %w", err)
		}
	}
	return nil
}

func held(target Key, holders []string) error {
	return fault.New(fault.Conflict, "has_dependents", "required relations lead to %s: of %s", target.Identifier, named(holders))
}

// maxHints is how many edges are looked through for required relations before a deletion.
const maxHints = 20_000

// removeInSlices deletes entities of one blueprint to which more relates than is dealt with before the
// answer. Required relations are looked for among the first 20,000 edges of each; one behind those is
// emptied like any other.
func (s *Service) removeInSlices(ctx context.Context, n *snapshot, entities []*Entity, dependents bool, by Author) error {
	if dependents && limited(ctx) {
		// A slice has nobody whom it could ask about an entity.
		return fault.New(fault.Forbidden, "", "only a machine token may delete more than %d dependents at once", s.sizes.dependents)
	}
	if err := s.permitted(ctx, func() []*Change { return s.deletions(n, entities) }); err != nil {
		return err
	}
	kind := MigrateDependents
	if !dependents {
		kind = MigrateRelations
		for _, e := range entities {
			if err := s.unheldEntity(ctx, n, e.Key, entities); err != nil {
				return err
			}
		}
	}
	blueprint := n.id[entities[0].Blueprint]
	m := &Migration{Kind: kind, Blueprint: blueprint.Record.ID, Name: blueprint.Record.Identifier, By: by}
	for _, e := range entities {
		m.Targets = append(m.Targets, MigrationTarget{e.Identifier, e.ID})
	}
	if err := s.beginAlone(ctx, m); err != nil {
		return err
	}
	return s.first(ctx, m)
}

// unheldEntity refuses to delete an entity that a required relation leads to, but for those of entities
// that go with it.
func (s *Service) unheldEntity(ctx context.Context, n *snapshot, target Key, going []*Entity) error {
	from := ""
	for range maxHints / maxEdges {
		edges, next, err := s.store.Sources(ctx, target, from, maxEdges)
		if err != nil {
			return fmt.Errorf("look for relations: %w", err)
		}
		edges = slices.DeleteFunc(edges, func(edge Edge) bool {
			k := n.id[edge.Source.Blueprint]
			if k == nil || k.Definition == nil || slices.ContainsFunc(going, func(e *Entity) bool { return e.Key == edge.Source }) {
				return true
			}
			r, ok := k.Definition.Relation(edge.Relation)
			return !ok || !r.Required
		})
		found, err := s.relatingOf(ctx, n, target, edges)
		if err != nil {
			return err
		}
		var holders []string
		for _, r := range found {
			if slices.ContainsFunc(r.relations, func(r Relation) bool { return r.Required }) {
				holders = append(holders, r.blueprint.Record.Identifier+"/"+r.Identifier)
			}
		}
		if len(holders) > 0 {
			return held(target, holders)
		}
		if from = next; from == "" {
			return nil
		}
	}
	return nil
}
