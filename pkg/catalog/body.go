package catalog

import (
	"encoding/json"
	"fmt"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// Write is what a body is sent for.
type Write uint8

const (
	// Creating is a POST. Its identifier may be a search; members beside an entity's own are ignored,
	// as Port's API allows: clients send back what they read.
	Creating Write = iota
	// Replacing is a PUT, which ignores the same.
	Replacing
	// Merging is a PATCH. Other members are refused.
	Merging
)

// Body is an entity as a client sends it. It belongs to one request.
type Body struct {
	// Identifier is empty when it is absent, null, or a search that is not resolved.
	Identifier string
	// Queries are the searches that stand for values. Each must be resolved before the body is used.
	Queries []Query

	faults document.Faults
	// The members that were sent, as text and as values.
	text *document.Members
	root *jqtemplate.Object
	// resolved holds what the searches yield, by path.
	resolved map[string][]string
}

// Query is a search whose entities' identifiers stand for a value.
type Query struct {
	// Path is where it stands: identifier, team or relations.<name>.
	Path string
	// Relation is the name of the relation, empty for the identifier and the team.
	Relation string
	// Raw is the search as it was sent, not checked yet.
	Raw *jqtemplate.Object
}

// ParseBody decodes a body. The error is a fault.Invalid for text that is no JSON object; faults of its
// members are kept and come together with those of its values.
func ParseBody(text json.RawMessage, write Write) (*Body, error) {
	o, err := decodeObject(text, "an entity")
	if err != nil {
		return nil, err
	}
	s, err := bodySchemas()
	if err != nil {
		return nil, err
	}
	if text, err = document.Compact(text); err != nil {
		return nil, err
	}
	b := &Body{root: o, Identifier: document.Text(o, "identifier"), resolved: map[string][]string{}}
	if b.text, err = document.ParseMembers(text); err != nil {
		return nil, fmt.Errorf("read entity: %w", err)
	}
	known := new(jqtemplate.Object)
	for _, name := range []string{"identifier", "title", "icon", "team", "properties", "relations"} {
		if v, ok := o.Get(name); ok {
			known.Set(name, v)
		}
	}
	b.faults.Finite(known, "")
	b.faults.Validate(s.body[write], document.Plain(o), "")
	for _, name := range []string{"identifier", "team"} {
		if raw := document.Object(o, name); raw != nil && (name == "team" || write == Creating) {
			b.Queries = append(b.Queries, Query{Path: name, Raw: raw})
		}
	}
	for name, v := range document.Object(o, "relations").All() {
		if raw, ok := v.(*jqtemplate.Object); ok {
			b.Queries = append(b.Queries, Query{Path: document.Below("relations", name), Relation: name, Raw: raw})
		}
	}
	return b, nil
}

// Resolve tells what a search yields. An identifier needs exactly one entity; a relation to one entity
// at most one.
func (b *Body) Resolve(q Query, identifiers []string) {
	b.resolved[q.Path] = identifiers
	if q.Path != "identifier" {
		return
	}
	if len(identifiers) != 1 {
		b.faults.Add(q.Path, "the search must yield exactly one entity, it yields %d", len(identifiers))
		return
	}
	b.Identifier = identifiers[0]
}

// refuse keeps what is wrong with a search: the draft says so, with all other faults.
func (b *Body) refuse(q Query, err error) {
	b.resolved[q.Path] = nil
	b.faults.AddErr(q.Path, err)
}

// unresolved returns our own error for a search that nobody carried out.
func (b *Body) unresolved() error {
	for _, q := range b.Queries {
		if _, ok := b.resolved[q.Path]; !ok {
			return fmt.Errorf("the search at %s was not carried out", q.Path)
		}
	}
	return nil
}

// team returns the teams that were sent, and whether any were: null and "" are an empty list.
func (b *Body) team() (names []string, given bool) {
	v, given := b.root.Get("team")
	switch v := v.(type) {
	case string:
		if v != "" {
			names = []string{v}
		}
	case []any:
		names = document.Texts(v)
	case *jqtemplate.Object:
		names = b.resolved["team"]
	}
	return names, given
}

// members returns the members of properties or relations as they were sent, nil when there are none.
func (b *Body) members(name string) (*document.Members, error) {
	if document.Object(b.root, name) == nil {
		return nil, nil
	}
	m, err := document.ParseMembers(b.text.Get(name))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return m, nil
}
