package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// EntityViews returns entities of one blueprint as the API returns them: identifier, title, icon, team
// (always an array), blueprint, every property of the schema and every relation (null when unset, []
// for many), mirror and calculation properties as they are now, createdAt, updatedAt, createdBy,
// updatedBy; of these what the selection has. Values keep their own text.
//
// The lookup is asked only if mirror properties must be computed or titles attached; related entities are read in batches
// for all entities at once. The error is the lookup's, ctx's, or our own.
func EntityViews(ctx context.Context, d *Definition, entities []*Entity, s Selection, l Lookup) ([]json.RawMessage, error) {
	v := &viewer{d: d, s: s, m: newMirrors(l)}
	nodes := make([]*node, len(entities))
	for i, e := range entities {
		c, err := parseContent(e.Content)
		if err != nil {
			return nil, fmt.Errorf("show entity %s: %w", e.Identifier, err)
		}
		nodes[i] = &node{e, c}
	}
	mirrored, err := v.mirrors(ctx, nodes)
	if err != nil {
		return nil, err
	}
	attached, err := v.attach(ctx, nodes)
	if err != nil {
		return nil, err
	}
	views, size := make([]json.RawMessage, len(nodes)), 0
	for i, n := range nodes {
		own := each(mirrored, i)
		if err := v.calculate(ctx, n, own); err != nil {
			return nil, err
		}
		maps.Copy(own, each(attached, i))
		for name, value := range own {
			if size += len(value); size > maxComputed {
				own[name] = json.RawMessage(`null`)
			}
		}
		views[i] = v.view(n, own, v.s).Encode()
	}
	return views, nil
}

const (
	// maxComputed bounds the computed values of one answer, in bytes: a thousand entities may mirror one
	// large text. Those that come later are null.
	maxComputed = 32 << 20
	// maxCalculation bounds what one calculation may take for all entities of one answer, maxCalculating
	// what all of them may take. Those that come later have null.
	maxCalculation = time.Second
	maxCalculating = 3 * time.Second
)

// viewer makes the answers of one request, or calculates for a mirror property.
type viewer struct {
	d *Definition
	s Selection
	m *mirrors
}

// each returns the values of one of several entities by name.
func each(values map[string][]json.RawMessage, i int) map[string]json.RawMessage {
	own := map[string]json.RawMessage{}
	for name, list := range values {
		own[name] = list[i]
	}
	return own
}

// shown reports whether the answer has a computed property.
func (v *viewer) shown(name string) bool {
	return !v.s.ExcludeCalculated && v.s.member("properties", name)
}

func (v *viewer) calculating() bool {
	for _, c := range v.d.Calculations {
		if v.shown(c.Name) {
			return true
		}
	}
	return false
}

// mirrors returns the values of mirror properties by name, one for each node. A calculation may use
// any of them.
func (v *viewer) mirrors(ctx context.Context, nodes []*node) (map[string][]json.RawMessage, error) {
	values, all := map[string][]json.RawMessage{}, v.calculating()
	for _, mirror := range v.d.Mirrors {
		if !all && !v.shown(mirror.Name) {
			continue
		}
		computed, err := v.m.compute(ctx, v.d, mirror.Path, nodes)
		if err != nil {
			return nil, fmt.Errorf("mirror property %s: %w", mirror.Name, err)
		}
		values[mirror.Name] = computed
	}
	return values, nil
}

// calculate adds the calculation properties of an entity: null where they fail or have another type
// than was declared. They see the entity with its mirror properties, but not one another.
func (v *viewer) calculate(ctx context.Context, n *node, own map[string]json.RawMessage) error {
	if !v.calculating() {
		return nil
	}
	entity, err := jqtemplate.Decode(v.view(n, own, Selection{}).Encode())
	if err != nil {
		return fmt.Errorf("calculate properties of %s: %w", n.entity.Identifier, err)
	}
	data := jqtemplate.NewData(entity)
	for i := range v.d.Calculations {
		c := &v.d.Calculations[i]
		if !v.shown(c.Name) {
			continue
		}
		own[c.Name] = json.RawMessage(`null`)
		if c.Expression == nil || v.m.spent[c] > maxCalculation || v.m.calculating > maxCalculating {
			continue
		}
		start := time.Now()
		value, defined, err := c.Expression.Eval(ctx, data)
		took := time.Since(start)
		v.m.spent[c] += took
		v.m.calculating += took
		if ctx.Err() != nil {
			return fmt.Errorf("calculate properties of %s: %w", n.entity.Identifier, ctx.Err())
		}
		if fault.Is(err, "template_limit") {
			v.m.spent[c] += maxCalculation
		}
		if err != nil || !defined || !isType(value, c.Type) {
			continue
		}
		if text := jqtemplate.Encode(value); len(text) <= MaxEntity {
			own[c.Name] = text
		}
	}
	return nil
}

func isType(v any, name string) bool {
	switch v.(type) {
	case string:
		return name == "string"
	case float64, int:
		return name == "number"
	case bool:
		return name == "boolean"
	case []any:
		return name == "array"
	case *jqtemplate.Object:
		return name == "object"
	}
	return false
}

// view puts an answer together from what is stored and what was computed.
func (v *viewer) view(n *node, computed map[string]json.RawMessage, s Selection) *document.Members {
	out := new(document.Members)
	meta := func(names ...string) {
		for _, name := range names {
			if s.meta(name) {
				out.Set(name, n.content.meta(n.entity, v.d.Identifier, "$"+name))
			}
		}
	}
	meta("identifier", "title", "icon", "team", "blueprint")
	properties := new(document.Members)
	for _, p := range v.d.Properties {
		if s.member("properties", p.Name) {
			properties.Set(p.Name, or(n.content.properties.Get(p.Name)))
		}
	}
	compute := func(name string) {
		_, own := v.d.Property(name)
		if value, ok := computed[name]; ok && !own && s.member("properties", name) {
			properties.Set(name, value)
		}
	}
	for _, m := range v.d.Mirrors {
		compute(m.Name)
	}
	for _, c := range v.d.Calculations {
		compute(c.Name)
	}
	if properties.Len() > 0 || s.group("properties") {
		out.Set("properties", properties.Encode())
	}
	relations := new(document.Members)
	for _, r := range v.d.Relations {
		if s.member("relations", r.Name) {
			relations.Set(r.Name, v.relation(n, r, s.AttachTitles))
		}
	}
	if relations.Len() > 0 || s.group("relations") {
		out.Set("relations", relations.Encode())
	}
	meta("createdAt", "updatedAt", "createdBy", "updatedBy")
	return out
}
