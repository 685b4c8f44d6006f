package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"longshore/pkg/fault"
)

// bind puts into a search what it needs to know besides the entity, and searches by it; nil is none.
// Properties of the caller that are not bound yet are a machine's, which has none.
func (r *searching) bind(ctx context.Context, search *Search) error {
	if search == nil {
		return nil
	}
	search, err := search.Bind(func(ContextProperty) ([]any, error) { return nil, nil })
	if err != nil {
		return err
	}
	if search.namesTeams() {
		if r.teams, err = r.s.teamNames(ctx, r.n); err != nil {
			return err
		}
		search = search.withTeams(r.teams)
	}
	if len(search.RelatedTo()) > 0 {
		search, err = search.Resolve(func(rule RelatedTo) (map[Key]bool, error) { return r.s.relatedTo(ctx, r.n, rule) })
		if err != nil {
			return err
		}
	}
	r.search, r.needs = search, search.Needs()
	return nil
}

// relatedTo returns the entities that a rule about relations is for. A rule without a path is for all
// that the named entities relate to (downstream), for all that relate to them (upstream), or for both,
// however many relations lie between.
func (s *Service) relatedTo(ctx context.Context, n *snapshot, r RelatedTo) (map[Key]bool, error) {
	w := &walk{s: s, n: n}
	if len(r.Path) > 0 {
		return w.path(ctx, r)
	}
	k := n.identifier[r.Blueprint]
	if k == nil {
		return map[Key]bool{}, nil
	}
	counts := func(relation Relation) bool { return r.Required == nil || relation.Required == *r.Required }
	start := map[Key]bool{}
	for _, v := range r.Values {
		start[Key{k.Record.ID, v}] = true
	}
	found := map[Key]bool{}
	for _, step := range []struct {
		against string
		step    stepper
	}{{"downstream", w.backward}, {"upstream", w.forward}} {
		if r.Direction == step.against {
			continue
		}
		reached, err := w.reach(ctx, start, counts, maxRelatedHops, step.step)
		if err != nil {
			return nil, err
		}
		for key := range reached {
			found[key] = true
		}
	}
	return found, nil
}

// walk follows relations and counts what it comes by.
type walk struct {
	s    *Service
	n    *snapshot
	seen int
}

// stepper returns what is one relation away from some entities.
type stepper func(ctx context.Context, from []Key, counts func(Relation) bool) ([]Key, error)

func (w *walk) count(more int) error {
	if w.seen += more; w.seen > maxRelated {
		return tooBroad()
	}
	return nil
}

func tooBroad() error {
	return fault.New(fault.Invalid, "search_too_broad", "more than %d entities are related: search for less", maxRelated)
}

// reach returns what 1 to hops relations lead to.
func (w *walk) reach(ctx context.Context, start map[Key]bool, counts func(Relation) bool, hops int, step stepper) (map[Key]bool, error) {
	found := map[Key]bool{}
	at := make([]Key, 0, len(start))
	for key := range start {
		at = append(at, key)
	}
	for ; hops > 0 && len(at) > 0; hops-- {
		next, err := step(ctx, at, counts)
		if err != nil {
			return nil, err
		}
		at = nil
		for _, key := range next {
			if !found[key] {
				found[key] = true
				at = append(at, key)
			}
		}
		if err := w.count(len(at)); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// forward implements stepper along the relations.
func (w *walk) forward(ctx context.Context, from []Key, counts func(Relation) bool) ([]Key, error) {
	var next []Key
	for part := range slices.Chunk(from, readAtOnce) {
		entities, err := w.s.store.Entities(ctx, part)
		if err != nil {
			return nil, fmt.Errorf("read related entities: %w", err)
		}
		if entities, err = w.n.readAll(entities); err != nil {
			return nil, err
		}
		for _, e := range entities {
			k := w.n.id[e.Blueprint]
			if k == nil || k.Definition == nil {
				continue
			}
			edges, err := w.n.edges(k, e)
			if err != nil {
				return nil, err
			}
			for _, edge := range edges {
				if r, ok := k.Definition.Relation(edge.Relation); ok && counts(r) {
					next = append(next, edge.Target)
				}
			}
		}
	}
	return next, nil
}

// backward implements stepper against the relations.
func (w *walk) backward(ctx context.Context, from []Key, counts func(Relation) bool) ([]Key, error) {
	var keys []Key
	for _, key := range from {
		if _, gone := w.n.gone[key]; !gone {
			keys = append(append(keys, w.n.formerly(key)...), key)
		}
	}
	var mu sync.Mutex
	next := map[Key]bool{}
	add := func(found []*relating) error {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range found {
			if slices.ContainsFunc(r.relations, counts) {
				next[r.Key] = true
			}
		}
		if len(next) > maxRelated {
			return tooBroad()
		}
		return nil
	}
	err := inParallel(keys, func(key Key) error {
		for from := ""; ; {
			edges, behind, err := w.s.store.Sources(ctx, key, from, maxBatch)
			if err != nil {
				return fmt.Errorf("look for relations: %w", err)
			}
			found, err := w.s.relatingOf(ctx, w.n, key, edges)
			if err != nil {
				return err
			}
			if err := add(found); err != nil {
				return err
			}
			if from = behind; from == "" {
				return nil
			}
		}
	})
	return slices.Collect(maps.Keys(next)), err
}

// path returns the entities from which a path leads to one of the values, or those to which it leads
// from one of them.
func (w *walk) path(ctx context.Context, r RelatedTo) (map[Key]bool, error) {
	at := map[Key]bool{}
	step, hops := stepper(w.forward), slices.Clone(r.Path)
	if r.FromBlueprint != "" {
		if k := w.n.identifier[r.FromBlueprint]; k != nil {
			for _, v := range r.Values {
				at[Key{k.Record.ID, v}] = true
			}
		}
	} else {
		step = w.backward
		slices.Reverse(hops)
		for _, k := range w.n.list {
			if k.Definition == nil {
				continue
			}
			relation, ok := k.Definition.Relation(hops[0].Relation)
			target := w.n.identifier[relation.Target]
			if !ok || target == nil {
				continue
			}
			for _, v := range r.Values {
				at[Key{target.Record.ID, v}] = true
			}
		}
	}
	for _, hop := range hops {
		var err error
		at, err = w.reach(ctx, at, func(r Relation) bool { return r.Name == hop.Relation }, hop.MaxHops, step)
		if err != nil {
			return nil, err
		}
	}
	return at, nil
}
