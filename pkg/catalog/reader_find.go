package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// Find returns the entities that f is for, whole and as they are answered, and whether those are all:
// it ends at f.Limit, at f.Bytes, or when it has taken long. A search must have been rendered, and bound
// to whom it is for; what was not bound matches nothing. fault.NotFound when f.Blueprint is not there.
func (r *Reader) Find(ctx context.Context, f Find) (entities []*jqtemplate.Object, all bool, err error) {
	found, err := r.s.Find(ctx, f)
	if err != nil {
		return nil, false, err
	}
	entities = make([]*jqtemplate.Object, len(found.Views))
	for i, text := range found.Views {
		if entities[i], err = decodeObject(text, "an entity"); err != nil {
			return nil, false, fmt.Errorf("read the view of an entity: %w", err)
		}
	}
	return entities, found.Next == "", nil
}

// Caller returns what Search.Bind asks about a user: properties of their entity, and of those of their
// teams. They are read when they are asked for. A user who is not there, or an empty e-mail, has none.
func (r *Reader) Caller(ctx context.Context, email string) func(ContextProperty) ([]any, error) {
	return func(p ContextProperty) ([]any, error) {
		teams, users, err := r.Teams(ctx)
		u := userNamed(users, email)
		if err != nil || u == nil || email == "" {
			return nil, err
		}
		blueprint, identifiers := UserBlueprint, []string{u.Email}
		if p.Context == "userTeams" {
			blueprint, identifiers = TeamBlueprint, nil
			for _, t := range teams {
				if t.Has(u) {
					identifiers = append(identifiers, t.Identifier)
				}
			}
		}
		var values []any
		for _, identifier := range identifiers {
			o, _, err := r.Lookup(ctx, blueprint, identifier, nil)
			if err != nil {
				return nil, err
			}
			own := document.Object(o, "properties")
			if strings.HasPrefix(p.Property, "$") {
				own = o
			}
			values = append(values, document.Member(own, strings.TrimPrefix(p.Property, "$")))
		}
		return slices.DeleteFunc(values, func(v any) bool { return v == nil }), nil
	}
}
