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
	l := &resolving{searching: &searching{s: r.s, n: n}, references: references, found: make([]Referent, len(references)), bound: map[*Search]*searching{}}
	if err := l.read(ctx); err != nil {
		return nil, err
	}
	if err := l.byName(ctx); err != nil {
		return nil, err
	}
	return l.found, nil
}

// resolving is a look-up of references on its way.
type resolving struct {
	*searching
	references []Reference
	found      []Referent
	// bound are searches by the datasets.
	bound map[*Search]*searching
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

// read looks for everything by its identifier, a part at a time: entities may be large.
func (l *resolving) read(ctx context.Context) error {
	// wanted are the references to each key.
	wanted := map[Key][]int{}
	var keys []Key
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
			if wanted[key] == nil {
				keys = append(keys, key)
			}
			wanted[key] = append(wanted[key], i)
		}
		if len(keys) > maxReferenced {
			return fault.New(fault.Invalid, "search_too_broad", "too many entities are named without their blueprint")
		}
	}
	for part := range slices.Chunk(keys, readAtOnce) {
		entities, err := l.s.store.Entities(ctx, part)
		if err != nil {
			return fmt.Errorf("read named entities: %w", err)
		}
		for _, e := range entities {
			for _, i := range wanted[e.Key] {
				if err := l.set(i, e); err != nil {
					return err
				}
			}
		}
		if err := l.satisfying(ctx, entities, wanted); err != nil {
			return err
		}
	}
	return nil
}

// set notes that a reference leads to an entity. One that names no blueprint may lead to several: what
// satisfies the dataset counts.
func (l *resolving) set(i int, e *Entity) error {
	c, err := parseContent(e.Content)
	if err != nil {
		return err
	}
	title, err := jqtemplate.Decode(or(c.top.Get("title")))
	if err != nil {
		return fmt.Errorf("read a title: %w", err)
	}
	if found := &l.found[i]; !found.Found {
		found.Found, found.Satisfies, found.Title = true, l.references[i].Dataset == nil, title
	}
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

// satisfying checks the datasets that are asked of some entities, each at once for all entities of a
// blueprint.
func (l *resolving) satisfying(ctx context.Context, entities []*Entity, wanted map[Key][]int) error {
	type group struct {
		dataset   *Search
		blueprint string
	}
	groups := map[group][]*Entity{}
	for _, e := range entities {
		for _, i := range wanted[e.Key] {
			g := group{l.references[i].Dataset, e.Blueprint}
			if of := groups[g]; g.dataset != nil && (len(of) == 0 || of[len(of)-1] != e) {
				groups[g] = append(of, e)
			}
		}
	}
	for g, of := range groups {
		r := l.bound[g.dataset]
		if r == nil {
			r = &searching{s: l.s, n: l.n}
			if err := r.bind(ctx, g.dataset); err != nil {
				return err
			}
			l.bound[g.dataset] = r
		}
		matching, err := r.matching(ctx, l.n.id[g.blueprint], of)
		if err != nil {
			return err
		}
		for _, e := range matching {
			for _, i := range wanted[e.Key] {
				if l.references[i].Dataset == g.dataset {
					l.found[i].Satisfies = true
				}
			}
		}
	}
	return nil
}
