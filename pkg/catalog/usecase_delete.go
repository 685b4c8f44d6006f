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

// remove deletes entities and whatever their deletion asks for: first it is found out what that is.
func (s *Service) remove(ctx context.Context, n *snapshot, entities []*Entity, dependents bool, by Author) error {
	going := map[Key]bool{}
	for _, e := range entities {
		going[e.Key] = true
	}
	asked := len(entities)
	type cut struct{ source, target Key }
	var cuts []cut
	for i := 0; i < len(entities); i++ {
		target := entities[i].Key
		found, err := s.related(ctx, n, target, func(Relation) bool { return true }, MaxDependents+MaxBulkDelete+1)
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
			return fault.New(fault.Conflict, "has_dependents", "required relations lead to %s: of %s", target.Identifier, named(holders))
		}
		if len(entities)-asked > MaxDependents || len(cuts) > MaxDependents {
			return fault.New(fault.Invalid, "too_many_dependents",
				"more than %d entities relate to what is to be deleted: delete them first", MaxDependents)
		}
	}
	if err := s.permitted(ctx, func() []*Change { return s.deleting(n, entities) }); err != nil {
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
