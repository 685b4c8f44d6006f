package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// Formats of values that name something in a catalog.
const (
	FormatEntity = "entity"
	FormatUser   = "user"
	FormatTeam   = "team"
)

// maxReferenced is how many entities may be looked for at once: one that names no blueprint is looked
// for in each.
const maxReferenced = 10_000

// Reference is a value that names something.
type Reference struct {
	// Format is one of the formats.
	Format string
	// Blueprint is that of an entity; empty for any.
	Blueprint string
	// Identifier is an entity's identifier, a user's e-mail, or a team's identifier or name.
	Identifier string
	// Dataset is what an entity must satisfy, rendered; nil for nothing.
	Dataset *Search
}

// Referent is what a reference leads to.
type Referent struct {
	// Found says that it is there, and so is its blueprint.
	Found, Blueprint bool
	// Satisfies says that it is among those that the dataset is for.
	Satisfies bool
	// Title is its title, nil for none.
	Title any
}

// Resolve looks for what references lead to, all at once; the result has one for each, in order. E-mails
// are compared without case. fault.Invalid, search_too_broad, when that is too much.
func (r *Reader) Resolve(ctx context.Context, references []Reference) ([]Referent, error) {
	n, err := r.s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	l := &resolving{searching: &searching{s: r.s, n: n}, references: references, found: make([]Referent, len(references))}
	if err := l.read(ctx); err != nil {
		return nil, err
	}
	if err := l.byName(ctx); err != nil {
		return nil, err
	}
	if err := l.satisfying(ctx); err != nil {
		return nil, err
	}
	return l.found, nil
}

// resolving is a look-up of references on its way.
type resolving struct {
	*searching
	references []Reference
	found      []Referent
	// entities are those that were found, by reference; nil for the rest.
	entities []*Entity
}

// among returns the blueprints that a reference may be of.
func (l *resolving) among(r Reference) ([]*Kept, error) {
	name := r.Blueprint
	switch {
	case r.Format == FormatUser:
		name = UserBlueprint
	case r.Format == FormatTeam:
		name = TeamBlueprint
	case name == "":
		return l.n.list, nil
	}
	k := l.n.identifier[name]
	if k == nil {
		return nil, nil
	}
	_, err := k.usable()
	return []*Kept{k}, err
}

// read looks for everything by its identifier.
func (l *resolving) read(ctx context.Context) error {
	wanted := make([][]Key, len(l.references))
	var keys []Key
	seen := map[Key]bool{}
	for i, r := range l.references {
		among, err := l.among(r)
		if err != nil {
			return err
		}
		l.found[i].Blueprint = len(among) > 0
		if r.Identifier == "" || utf8.RuneCountInString(r.Identifier) > MaxEntityIdentifier {
			continue
		}
		for _, k := range among {
			if k.Definition == nil {
				continue // One of all that cannot be read hides nothing of the others.
			}
			key := Key{k.Record.ID, r.Identifier}
			wanted[i] = append(wanted[i], key)
			if !seen[key] {
				seen[key] = true
				keys = append(keys, key)
			}
		}
		if len(keys) > maxReferenced {
			return fault.New(fault.Invalid, "search_too_broad", "too many entities are named without their blueprint")
		}
	}
	there := map[Key]*Entity{}
	for part := range slices.Chunk(keys, maxLookup) {
		entities, err := l.s.store.Entities(ctx, part)
		if err != nil {
			return fmt.Errorf("read named entities: %w", err)
		}
		for _, e := range entities {
			there[e.Key] = e
		}
	}
	l.entities = make([]*Entity, len(l.references))
	for i := range l.references {
		for _, key := range wanted[i] {
			if e := there[key]; e != nil {
				if err := l.set(i, e); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

func (l *resolving) set(i int, e *Entity) error {
	c, err := parseContent(e.Content)
	if err != nil {
		return err
	}
	title, err := jqtemplate.Decode(or(c.top.Get("title")))
	if err != nil {
		return fmt.Errorf("read a title: %w", err)
	}
	l.entities[i] = e
	l.found[i].Found, l.found[i].Satisfies, l.found[i].Title = true, true, title
	return nil
}

// byName looks for users whose e-mail is written otherwise, and for teams by name.
func (l *resolving) byName(ctx context.Context) error {
	users, teams := map[string][]int{}, map[string][]int{}
	for i, r := range l.references {
		switch {
		case l.found[i].Found || r.Identifier == "" || !l.found[i].Blueprint:
		case r.Format == FormatUser:
			email := strings.ToLower(r.Identifier)
			users[email] = append(users[email], i)
		case r.Format == FormatTeam:
			teams[r.Identifier] = append(teams[r.Identifier], i)
		}
	}
	setAll := func(at []int, e *Entity) error {
		for _, i := range at {
			if err := l.set(i, e); err != nil {
				return err
			}
		}
		return nil
	}
	if len(users) > 0 {
		if err := l.s.each(ctx, l.n, UserBlueprint, func(e *Entity) error {
			return setAll(users[strings.ToLower(e.Identifier)], e)
		}); err != nil {
			return err
		}
	}
	if len(teams) == 0 {
		return nil
	}
	return l.s.each(ctx, l.n, TeamBlueprint, func(e *Entity) error {
		t, err := TeamOf(e)
		if err != nil {
			return err
		}
		return setAll(teams[t.Name], e)
	})
}

// satisfying checks datasets, each once for all entities of a blueprint that it is asked of.
func (l *resolving) satisfying(ctx context.Context) error {
	type group struct {
		dataset   *Search
		blueprint string
	}
	groups := map[group][]int{}
	var order []group
	for i, r := range l.references {
		if r.Dataset == nil || l.entities[i] == nil {
			continue
		}
		g := group{r.Dataset, l.entities[i].Blueprint}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], i)
	}
	bound := map[*Search]*Search{}
	for _, g := range order {
		search := bound[g.dataset]
		if search == nil {
			var err error
			if search, err = l.s.bind(ctx, l.n, g.dataset); err != nil {
				return err
			}
			bound[g.dataset] = search
		}
		at := groups[g]
		entities := make([]*Entity, len(at))
		for j, i := range at {
			entities[j] = l.entities[i]
		}
		k := l.n.id[g.blueprint]
		views, err := l.decodedViews(ctx, k, entities)
		if err != nil {
			return err
		}
		subjects, err := l.subjects(ctx, k, entities, views)
		if err != nil {
			return err
		}
		now := l.s.now()
		for j, i := range at {
			l.found[i].Satisfies = search.Matches(subjects[j], now)
		}
	}
	return nil
}
