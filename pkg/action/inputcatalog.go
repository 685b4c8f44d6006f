package action

import (
	"errors"
	"fmt"

	"longshore/pkg/catalog"
	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// MaxNamed is how many entities, users and teams the inputs of one request may name together.
const MaxNamed = 1000

// Named is a value that names something in the catalog.
type Named struct {
	// Path is properties.<name>….
	Path string
	catalog.Reference
}

// naming leads to the parts of an input that name something in the catalog.
type naming struct {
	// format is that of the part itself: entity, user or team, empty for any other.
	format    string
	blueprint string
	dataset   *dataset
	items     *naming
	members   map[string]*naming
	// others is of the members that have no schema of their own.
	others *naming
}

// dataset is what an entity must satisfy.
type dataset struct {
	// search is nil when fault says why it cannot be used.
	search *catalog.Search
	fault  error
}

// dataset compiles a dataset. One that is no search is saved, since clients keep such definitions, with
// a warning; whatever is given for its input is refused.
func (c *inputCompiler) dataset(group *jqtemplate.Object, path string) {
	if c.evaluation != nil {
		return
	}
	if c.datasets == nil {
		c.datasets = map[string]*dataset{}
	}
	search, err := catalog.ParseSearch(group, path, catalog.SearchOptions{AllowTemplates: true, AnyValue: true})
	c.datasets[path] = &dataset{search, err}
	if err == nil {
		c.p.d.Warnings = append(c.p.d.Warnings, search.Warnings()...)
		return
	}
	var f *fault.Error
	if errors.As(err, &f) {
		for _, d := range f.Details {
			c.p.d.Warnings = append(c.p.d.Warnings, jqtemplate.Warning{
				Path: d.Path, Message: d.Message + "; until it is right, every value of this input is refused",
			})
		}
	}
}

// naming compiles what of an input, its items or a member names something; nil for nothing. Schema must
// have seen it before.
func (c *inputCompiler) naming(o *jqtemplate.Object, path string) *naming {
	n := &naming{}
	if document.Text(o, "type") == "string" {
		switch format := document.Text(o, "format"); format {
		case "entity", "user", "team":
			n.format, n.blueprint, n.dataset = format, document.Text(o, "blueprint"), c.datasets[path+".dataset"]
			return n
		}
	}
	found := false
	below := func(o *jqtemplate.Object, path string) *naming {
		inner := c.naming(o, path)
		found = found || inner != nil
		return inner
	}
	if items := document.Object(o, "items"); items != nil {
		n.items = below(items, path+".items")
	}
	if others := document.Object(o, "additionalProperties"); others != nil {
		n.others = below(others, path+".additionalProperties")
	}
	n.members = map[string]*naming{}
	for name := range document.Object(o, "properties").All() {
		if member := document.Object(document.Object(o, "properties"), name); member != nil {
			n.members[name] = below(member, document.Below(path+".properties", name))
		} else {
			n.members[name] = nil
		}
	}
	if !found {
		return nil
	}
	return n
}

// each calls f with the parts of a value that name something, whatever their type.
func (n *naming) each(v any, path string, f func(n *naming, v any, path string)) {
	switch {
	case n == nil || v == nil:
		return
	case n.format != "":
		f(n, v, path)
		return
	}
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			n.items.each(item, fmt.Sprintf("%s[%d]", path, i), f)
		}
	case *jqtemplate.Object:
		for name, item := range v.All() {
			inner, declared := n.members[name]
			if !declared {
				inner = n.others
			}
			inner.each(item, document.Below(path, name), f)
		}
	}
}

// identifier returns what a value of the right type names.
func (n *naming) identifier(v any) (string, bool) {
	if o, ok := v.(*jqtemplate.Object); ok && n.format == "entity" {
		v = document.Member(o, "identifier")
	}
	s, ok := v.(string)
	return s, ok
}

// named returns the parts of values that name something, and adds the faults of those that cannot be
// looked up. Values of a wrong type have theirs already.
func (e *evaluation) named(f *document.Faults, values *jqtemplate.Object) (list []Named, err error) {
	rendered := map[*dataset]*dataset{}
	for n := range e.inputs.declared {
		in := &e.inputs.declared[n]
		if in.names == nil {
			continue
		}
		in.names.each(document.Member(values, in.name), document.Below("properties", in.name), func(n *naming, v any, path string) {
			identifier, ok := n.identifier(v)
			if !ok || err != nil {
				return
			}
			if len(list) == MaxNamed {
				f.Add(document.Below("properties", in.name), "the inputs may name at most %d entities, users and teams", MaxNamed)
				return
			}
			named := Named{path, catalog.Reference{Format: n.format, Blueprint: n.blueprint, Identifier: identifier}}
			if n.dataset != nil && n.format == "entity" {
				d, done := rendered[n.dataset]
				if !done {
					if d, err = e.render(n.dataset); err != nil {
						return
					}
					rendered[n.dataset] = d
				}
				if d.fault != nil {
					f.Add(path, "cannot be checked against its dataset: %s", d.fault.Error())
					return
				}
				named.Dataset = d.search
			}
			list = append(list, named)
		})
	}
	return list, err
}

// render fills in what a dataset takes from the form. The error is ctx's or a limit.
func (e *evaluation) render(d *dataset) (*dataset, error) {
	if d.fault != nil {
		return d, nil
	}
	search, err := d.search.Render(e.ctx, e.view())
	if e.ctx.Err() != nil {
		return nil, e.over()
	}
	return &dataset{search, err}, nil
}

// Expand returns values as templates see them: where a list names entities, each is an object with at
// least identifier and title. Title returns the title of a named entity, by its path. Values is not
// changed.
func (i *Inputs) Expand(values *jqtemplate.Object, title func(path string) any) *jqtemplate.Object {
	result := values
	for n := range i.declared {
		in := &i.declared[n]
		v := document.Member(values, in.name)
		if in.names == nil || v == nil || in.encryption != nil {
			continue
		}
		expanded, changed := in.names.expand(v, document.Below("properties", in.name), title)
		if !changed {
			continue
		}
		if result == values {
			result = clone(values)
		}
		result.Set(in.name, expanded)
	}
	return result
}

// expand returns v, or a copy of what of it has changed.
func (n *naming) expand(v any, path string, title func(path string) any) (expanded any, changed bool) {
	if n == nil {
		return v, false
	}
	switch v := v.(type) {
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			at := fmt.Sprintf("%s[%d]", path, i)
			if n.items != nil && n.items.format == "entity" {
				if identifier, ok := n.items.identifier(item); ok {
					o, _ := item.(*jqtemplate.Object)
					o = clone(o)
					o.Set("identifier", identifier)
					o.Set("title", title(at))
					items[i], changed = o, true
					continue
				}
			}
			inner, other := n.items.expand(item, at, title)
			items[i], changed = inner, changed || other
		}
		if changed {
			return items, true
		}
	case *jqtemplate.Object:
		if n.format != "" {
			return v, false
		}
		o := v
		for name, item := range v.All() {
			inner, declared := n.members[name]
			if !declared {
				inner = n.others
			}
			if item, other := inner.expand(item, document.Below(path, name), title); other {
				if !changed {
					o, changed = clone(v), true
				}
				o.Set(name, item)
			}
		}
		return o, changed
	}
	return v, false
}

// clone returns an object with the same members; o may be nil.
func clone(o *jqtemplate.Object) *jqtemplate.Object {
	c := new(jqtemplate.Object)
	for name, v := range o.All() {
		c.Set(name, v)
	}
	return c
}
