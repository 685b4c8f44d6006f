package catalog

import (
	"context"
	"time"

	"longshore/pkg/jqtemplate"
)

// Reader looks entities up. It never writes, so that whoever starts runs needs no right to: where the
// built-in blueprints were not made yet they have no entities either. It is safe for concurrent use.
type Reader struct{ s *Service }

// NewReader returns a reader over a store. Now nil means time.Now.
func NewReader(s Store, now func() time.Time) *Reader {
	service := NewService(s, now)
	service.reads = true
	return &Reader{service}
}

// Lookup returns an entity, whole and as it is answered, and whether it is among those that a search
// is for; nil is for all. fault.NotFound when it or its blueprint is not there.
func (r *Reader) Lookup(ctx context.Context, blueprint, identifier string, search *Search) (entity *jqtemplate.Object, matches bool, err error) {
	n, err := r.s.snapshot(ctx)
	if err != nil {
		return nil, false, err
	}
	k, e, err := r.s.entity(ctx, n, blueprint, identifier)
	if err != nil {
		return nil, false, err
	}
	g := &searching{s: r.s, n: n}
	entities := []*Entity{e}
	views, err := g.decodedViews(ctx, k, entities, Selection{})
	if err != nil {
		return nil, false, err
	}
	if search == nil {
		return views[0], true, nil
	}
	if err := g.bind(ctx, search); err != nil {
		return nil, false, err
	}
	subjects, err := g.subjects(ctx, k, entities, views)
	if err != nil {
		return nil, false, err
	}
	return views[0], g.search.Matches(subjects[0], r.s.now()), nil
}
