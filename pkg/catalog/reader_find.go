package catalog

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// MaxAmong is how many identifiers one call of Among looks up.
const MaxAmong = maxLookup

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

// Among looks up to MaxAmong entities of a blueprint up. Matches has each identifier of which there is an
// entity, and whether it is among those that a search is for; nil is for all. Of the search holds what
// Find says. fault.NotFound when the blueprint is not there, fault.Invalid for too many identifiers.
func (r *Reader) Among(ctx context.Context, blueprint string, identifiers []string, search *Search) (matches map[string]bool, err error) {
	if len(identifiers) > MaxAmong {
		return nil, fault.New(fault.Invalid, "", "at most %d entities can be looked up at once, not %d", MaxAmong, len(identifiers))
	}
	n, err := r.s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	k, err := n.usable(blueprint)
	if err != nil {
		return nil, err
	}
	g := &searching{s: r.s, n: n}
	if err := g.bind(ctx, search); err != nil {
		return nil, err
	}
	matches = map[string]bool{}
	var keys []Key
	for _, identifier := range identifiers {
		if _, twice := matches[identifier]; twice || identifier == "" || utf8.RuneCountInString(identifier) > MaxEntityIdentifier {
			continue
		}
		matches[identifier] = false
		keys = append(keys, Key{k.Record.ID, identifier})
	}
	clear(matches)
	// A part at a time: entities may be large.
	for len(keys) > 0 {
		part := keys[:min(len(keys), readAtOnce)]
		keys = keys[len(part):]
		there, err := r.s.store.Entities(ctx, part)
		if err != nil {
			return nil, fmt.Errorf("read entities: %w", err)
		}
		for _, e := range there {
			matches[e.Identifier] = false
		}
		matching, err := g.matching(ctx, k, there)
		if err != nil {
			return nil, err
		}
		for _, e := range matching {
			matches[e.Identifier] = true
		}
	}
	return matches, nil
}

// Caller returns what Search.Bind asks about a user: properties of their entity, and of those of their
// teams. They are read when they are asked for. A user who is not there, or an empty e-mail, has none.
func (r *Reader) Caller(ctx context.Context, email string) func(ContextProperty) ([]any, error) {
	c := &caller{s: r.s, email: email}
	return func(p ContextProperty) ([]any, error) {
		if email == "" {
			return nil, nil
		}
		if !c.read {
			if err := c.load(ctx); err != nil {
				return nil, err
			}
		}
		from := c.user
		if p.Context == "userTeams" {
			from = c.teams
		}
		var values []any
		for _, o := range from {
			values = append(values, ownValue(o, p.Property))
		}
		return values, nil
	}
}

// caller is a user as searches know them. It belongs to one goroutine.
type caller struct {
	s     *Service
	email string
	read  bool
	// user has at most one view.
	user, teams []*jqtemplate.Object
}

func (c *caller) load(ctx context.Context) error {
	n, err := c.s.snapshot(ctx)
	if err != nil {
		return err
	}
	e, err := c.s.userEntity(ctx, n, c.email)
	if err != nil && !absent(err) {
		return fmt.Errorf("read user: %w", err)
	}
	if err == nil {
		u, err := UserOf(e)
		if err != nil {
			return err
		}
		teams, err := c.s.teamEntities(ctx, n, u)
		if err != nil {
			return err
		}
		g := &searching{s: c.s, n: n}
		if c.user, err = g.decodedViews(ctx, n.identifier[UserBlueprint], []*Entity{e}, Selection{}); err != nil {
			return err
		}
		if k := n.identifier[TeamBlueprint]; len(teams) > 0 && k.Definition != nil {
			if c.teams, err = g.decodedViews(ctx, k, teams, Selection{}); err != nil {
				return err
			}
		}
	}
	c.read = true
	return nil
}

// ownValue returns a property of an entity as it is answered: $identifier and the like, a property or a
// relation; nil for none.
func ownValue(o *jqtemplate.Object, name string) any {
	if meta, ok := strings.CutPrefix(name, "$"); ok {
		if fields[name] == noField {
			return nil
		}
		v, _ := o.Get(meta)
		return v
	}
	for _, group := range []string{"properties", "relations"} {
		members, _ := o.Get(group)
		if members, ok := members.(*jqtemplate.Object); ok {
			if v, ok := members.Get(name); ok {
				return v
			}
		}
	}
	return nil
}
