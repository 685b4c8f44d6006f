package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// through looks up the entities that the search can only be for, or else goes through all of the blueprints. It
// returns where it stopped, nil at the end.
func (r *searching) through(ctx context.Context, among []*Kept, at place) (stopped *place, err error) {
	if keys, ok := r.keys(among); ok {
		return r.lookUp(ctx, keys, at)
	}
	for _, k := range among {
		from := place{Blueprint: k.Record.ID}
		if k.Record.ID == at.Blueprint {
			from = at
		}
		if stopped, err = r.list(ctx, k, from); stopped != nil || err != nil {
			return stopped, err
		}
	}
	return nil, nil
}

// keys returns the only entities that the search can be for, in their order; ok is false when it may be for any.
func (r *searching) keys(among []*Kept) (keys []Key, ok bool) {
	if r.search == nil {
		return nil, false
	}
	identifiers, named := r.search.Identifiers()
	related, byRelation := r.search.Keys()
	if !named && !byRelation {
		return nil, false
	}
	if byRelation {
		for key := range related {
			_, wanted := slices.BinarySearch(identifiers, key.Identifier)
			if (wanted || !named) && slices.ContainsFunc(among, func(k *Kept) bool { return k.Record.ID == key.Blueprint }) {
				keys = append(keys, key)
			}
		}
	} else {
		for _, k := range among {
			for _, identifier := range identifiers {
				keys = append(keys, Key{k.Record.ID, identifier})
			}
		}
	}
	slices.SortFunc(keys, byKey)
	return keys, true
}

func byKey(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Blueprint, b.Blueprint), cmp.Compare(a.Identifier, b.Identifier))
}

// lookUp reads entities by their keys.
func (r *searching) lookUp(ctx context.Context, keys []Key, at place) (*place, error) {
	behind := Key{at.Blueprint, at.Behind}
	keys = slices.DeleteFunc(keys, func(key Key) bool { return key.Identifier == "" || byKey(key, behind) <= 0 })
	for len(keys) > 0 {
		if at.Blueprint != "" && r.full() {
			return &at, nil
		}
		part := keys[:min(len(keys), readAtOnce)]
		keys = keys[len(part):]
		entities, err := r.s.store.Entities(ctx, part)
		if err != nil {
			return nil, fmt.Errorf("read entities: %w", err)
		}
		if entities, err = r.n.readAll(entities); err != nil {
			return nil, err
		}
		slices.SortFunc(entities, func(a, b *Entity) int { return byKey(a.Key, b.Key) })
		for len(entities) > 0 {
			k := r.n.id[entities[0].Blueprint]
			end := slices.IndexFunc(entities, func(e *Entity) bool { return e.Blueprint != k.Record.ID })
			if end < 0 {
				end = len(entities)
			}
			through, err := r.take(ctx, k, entities[:end], &at)
			if err != nil || !through {
				return &at, err
			}
			entities = entities[end:]
		}
		last := part[len(part)-1]
		at = place{Blueprint: last.Blueprint, Behind: last.Identifier}
	}
	return nil, nil
}

// take adds those of some entities of a blueprint that match, as many as fit, and moves at behind them; through
// is false when some are left.
func (r *searching) take(ctx context.Context, k *Kept, entities []*Entity, at *place) (through bool, err error) {
	entities, err = r.matching(ctx, k, entities)
	if err != nil {
		return false, err
	}
	for size := len(entities); len(entities) > 0; {
		size = min(size, len(entities), r.f.Limit-len(r.found.keys))
		if size == 0 {
			return false, nil
		}
		some := entities[:size]
		views, bytes, err := r.views(ctx, k, some)
		if err != nil {
			return false, err
		}
		if r.f.Bytes > 0 && r.found.bytes+bytes > r.f.Bytes && (size > 1 || len(r.found.keys) > 0) {
			size /= 2
			continue
		}
		r.add(k, some, views, bytes)
		*at = place{Blueprint: k.Record.ID, Behind: some[size-1].Identifier}
		entities = entities[size:]
	}
	return true, nil
}
