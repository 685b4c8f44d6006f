package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"longshore/pkg/document"
)

// Lookup finds what relations lead to.
type Lookup interface {
	// Definition returns a blueprint's definition; nil when there is none or it cannot be read.
	Definition(ctx context.Context, blueprint string) (*Definition, error)
	// Related returns those of up to 100 entities of a blueprint that are there, in no order.
	Related(ctx context.Context, blueprint string, identifiers []string) ([]*Entity, error)
}

const (
	// maxBatch is how many entities are looked up at once.
	maxBatch = 100
	// maxLoaded bounds what mirrors of one answer read, in bytes. What lies beyond is null.
	maxLoaded = 32 << 20
	// maxMirrors is how many mirror properties may show one another.
	maxMirrors = 4
	// maxVisited bounds the steps from one entity to another in one answer, maxNested those of mirrors
	// that others show, so that they end. What lies beyond is null.
	maxVisited = 1_000_000
	maxNested  = 50_000
	// maxMirrored is how many entities a mirror property looks at for one entity: the first ones.
	maxMirrored = 1000
)

// node is an entity on the way of a mirror property.
type node struct {
	entity  *Entity
	content *content
}

// shown is a computed property of an entity that so many mirrors show, one through the other.
type shown struct {
	node  *node
	name  string
	depth int
}

// mirrors computes mirror properties. It keeps what it read for one answer, and what that cost.
type mirrors struct {
	lookup Lookup
	// kept holds entities by blueprint and identifier, nil for one that is not there.
	kept        map[[2]string]*node
	definitions map[string]*Definition
	// shown holds what mirrors show of other computed properties.
	shown map[shown]json.RawMessage
	// depth is how many mirrors show, one through the other, what is being computed.
	depth int
	// loaded counts bytes, visited and nested steps.
	loaded, visited, nested int
	// spent is what each calculation took so far, calculating all of them together.
	spent       map[*Calculation]time.Duration
	calculating time.Duration
}

func newMirrors(l Lookup) *mirrors {
	return &mirrors{
		lookup: l, kept: map[[2]string]*node{}, definitions: map[string]*Definition{},
		shown: map[shown]json.RawMessage{}, spent: map[*Calculation]time.Duration{},
	}
}

// end is where a path leads from each of some entities.
type end struct {
	at [][]*node
	// d is the blueprint of the entities there; nil when it cannot be read.
	d *Definition
	// path is what is left of the path, many says that it may lead to several.
	path []string
	many bool
}

// walk follows the relations of a path.
func (m *mirrors) walk(ctx context.Context, d *Definition, path []string, from []*node) (end, error) {
	e := end{at: make([][]*node, len(from)), d: d, path: path}
	for i, n := range from {
		e.at[i] = []*node{n}
	}
	for len(e.path) > 1 {
		r, ok := e.d.Relation(e.path[0])
		if !ok {
			break
		}
		e.many = e.many || r.Many
		var err error
		visited := m.visited
		if e.at, err = m.follow(ctx, r, e.at); err != nil {
			return end{}, err
		}
		if m.depth > 0 {
			m.nested += m.visited - visited
		}
		if e.d, err = m.definition(ctx, r.Target); err != nil {
			return end{}, err
		}
		e.path = e.path[1:]
		if e.d == nil {
			e.at = make([][]*node, len(from))
			break
		}
	}
	return e, nil
}

// compute returns a mirror property's value for each of the entities: null where the path leads
// nowhere. A path through a relation to many yields a flat list.
func (m *mirrors) compute(ctx context.Context, d *Definition, path []string, from []*node) ([]json.RawMessage, error) {
	if m.depth > 0 {
		if m.nested += len(from); m.nested > maxNested {
			return nulls(len(from)), nil
		}
	}
	e, err := m.walk(ctx, d, path, from)
	if err != nil {
		return nil, err
	}
	computed, err := m.computed(ctx, e.d, e.path, e.at)
	if err != nil {
		return nil, err
	}
	values := make([]json.RawMessage, len(from))
	for i, nodes := range e.at {
		var list []json.RawMessage
		for _, n := range nodes {
			v, ok := computed[n]
			if !ok {
				v = valueAt(e.d, n, e.path)
			}
			if document.IsSet(v) {
				list = append(list, v)
			}
		}
		values[i] = joined(list, e.many)
	}
	return values, nil
}

// computed returns the values at a path's end where they are not stored but computed themselves: a
// mirror property's or a calculation's. It is empty for any other path.
func (m *mirrors) computed(ctx context.Context, d *Definition, path []string, at [][]*node) (map[*node]json.RawMessage, error) {
	values := map[*node]json.RawMessage{}
	if d == nil || len(path) != 1 || m.depth >= maxMirrors || !d.computes(path[0]) {
		return values, nil
	}
	var nodes []*node
	for _, list := range at {
		for _, n := range list {
			if _, ok := values[n]; ok {
				continue
			}
			v, ok := m.shown[shown{n, path[0], m.depth}]
			if values[n] = v; !ok {
				nodes = append(nodes, n)
			}
		}
	}
	list, err := m.computedOf(ctx, d, path[0], nodes)
	if err != nil {
		return nil, err
	}
	for i, n := range nodes {
		values[n] = list[i]
		m.shown[shown{n, path[0], m.depth}] = list[i]
	}
	return values, nil
}

// computes reports whether a name is that of a mirror or calculation property. A property that is
// stored goes before both.
func (d *Definition) computes(name string) bool {
	_, stored := d.Property(name)
	return !stored && (slices.ContainsFunc(d.Mirrors, func(p Mirror) bool { return p.Name == name }) ||
		slices.ContainsFunc(d.Calculations, func(p Calculation) bool { return p.Name == name }))
}

// computedOf returns a mirror or calculation property of each of the entities.
func (m *mirrors) computedOf(ctx context.Context, d *Definition, name string, nodes []*node) ([]json.RawMessage, error) {
	m.depth++
	defer func() { m.depth-- }()
	if i := slices.IndexFunc(d.Mirrors, func(p Mirror) bool { return p.Name == name }); i >= 0 {
		return m.compute(ctx, d, d.Mirrors[i].Path, nodes)
	}
	values := nulls(len(nodes))
	if len(nodes) == 0 || m.nested > maxNested {
		return values, nil
	}
	v := &viewer{d: d, s: Selection{include: map[string]bool{"properties." + name: true}}, m: m}
	mirrored, err := v.mirrors(ctx, nodes)
	if err != nil {
		return nil, err
	}
	for i, n := range nodes {
		own := each(mirrored, i)
		if err := v.calculate(ctx, n, own); err != nil {
			return nil, err
		}
		values[i] = own[name]
	}
	return values, nil
}

func nulls(n int) []json.RawMessage {
	return slices.Repeat([]json.RawMessage{json.RawMessage(`null`)}, n)
}

// follow goes along a relation from all nodes at once.
func (m *mirrors) follow(ctx context.Context, r Relation, at [][]*node) ([][]*node, error) {
	names, wanted := make([][]string, len(at)), []string{}
	for i, nodes := range at {
		for _, n := range nodes {
			if m.visited >= maxVisited {
				break
			}
			related := n.content.related(r.Name)
			if !r.Many && len(related) > 1 {
				related = related[:1]
			}
			names[i] = append(names[i], related...)
			m.visited += 1 + len(related)
			if len(names[i]) > maxMirrored {
				names[i] = names[i][:maxMirrored]
				break
			}
		}
		wanted = append(wanted, names[i]...)
	}
	if err := m.load(ctx, r.Target, wanted); err != nil {
		return nil, err
	}
	next := make([][]*node, len(at))
	for i := range at {
		for _, name := range names[i] {
			if n := m.kept[[2]string{r.Target, name}]; n != nil {
				next[i] = append(next[i], n)
			}
		}
	}
	return next, nil
}

// load reads those of the entities that were not read yet.
func (m *mirrors) load(ctx context.Context, blueprint string, identifiers []string) error {
	var missing []string
	for _, name := range identifiers {
		key := [2]string{blueprint, name}
		if _, ok := m.kept[key]; !ok {
			m.kept[key] = nil
			missing = append(missing, name)
		}
	}
	for len(missing) > 0 && m.loaded < maxLoaded {
		batch := missing[:min(len(missing), maxBatch)]
		missing = missing[len(batch):]
		entities, err := m.lookup.Related(ctx, blueprint, batch)
		if err != nil {
			return fmt.Errorf("look up related entities: %w", err)
		}
		for _, e := range entities {
			c, err := parseContent(e.Content)
			if err != nil {
				return fmt.Errorf("entity %s: %w", e.Identifier, err)
			}
			m.loaded += len(e.Content)
			m.kept[[2]string{blueprint, e.Identifier}] = &node{e, c}
		}
	}
	return nil
}

func (m *mirrors) definition(ctx context.Context, blueprint string) (*Definition, error) {
	d, ok := m.definitions[blueprint]
	if !ok {
		var err error
		if d, err = m.lookup.Definition(ctx, blueprint); err != nil {
			return nil, fmt.Errorf("look up blueprint %s: %w", blueprint, err)
		}
		m.definitions[blueprint] = d
	}
	return d, nil
}

// valueAt returns what the rest of a path means for an entity: one of its own members, a relation, or a
// property and what is inside it; nil for anything else.
func valueAt(d *Definition, n *node, path []string) json.RawMessage {
	if d == nil {
		return nil
	}
	name, rest := path[0], path[1:]
	if len(rest) == 0 {
		if v := n.content.meta(n.entity, d.Identifier, name); v != nil {
			return v
		}
		if r, ok := d.Relation(name); ok {
			return n.content.relation(r)
		}
	}
	if _, ok := d.Property(name); !ok {
		return nil
	}
	v := n.content.properties.Get(name)
	for _, name := range rest {
		m, err := document.ParseMembers(v)
		if err != nil {
			return nil
		}
		v = m.Get(name)
	}
	return v
}

// joined returns the one value, or all in one list if there may be many; lists among them are
// flattened. Null for none, and for what would be larger than an entity.
func joined(values []json.RawMessage, many bool) json.RawMessage {
	if !many {
		if len(values) == 0 {
			return json.RawMessage(`null`)
		}
		return values[0]
	}
	var b bytes.Buffer
	for _, v := range values {
		if v[0] == '[' {
			v = v[1 : len(v)-1]
		}
		if len(v) == 0 {
			continue
		}
		if b.Len() == 0 {
			b.WriteByte('[')
		} else {
			b.WriteByte(',')
		}
		b.Write(v)
		if b.Len() > MaxEntity {
			return json.RawMessage(`null`)
		}
	}
	if b.Len() == 0 {
		return json.RawMessage(`[]`)
	}
	b.WriteByte(']')
	return b.Bytes()
}
