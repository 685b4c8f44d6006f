package catalog

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// Draft is an entity that may be written once its targets are known to exist. Its
// teams need not: one that is not there, or not any more, owns nothing.
type Draft struct {
	// Identifier is the one that was sent, that of the stored entity, or a new one.
	Identifier string
	// Content is an Entity's.
	Content json.RawMessage
	// Targets are the entities that the body names in relations.
	Targets []Target
}

// Target is an entity that a relation names.
type Target struct {
	Relation string
	// Blueprint is the identifier of the target's blueprint.
	Blueprint, Identifier string
	// Path is where it stands in the body: relations.<name>, or an item of it.
	Path string
}

// Create makes a new entity of a body; without an identifier it gets one of 26 random characters. All
// faults come in one fault.Invalid with paths properties.x and relations.y; if the only fault is a
// relation that the blueprint does not have, it is a fault.NotFound.
func Create(d *Definition, b *Body) (*Draft, error) {
	identifier := b.Identifier
	if identifier == "" {
		identifier = strings.ToLower(rand.Text())
	}
	return draft(d, b, identifier, new(document.Members))
}

// Replace makes what stands in the place of an entity afterwards: nothing of it stays. The body may
// give it another identifier. Its faults are Create's.
func Replace(d *Definition, identifier string, b *Body) (*Draft, error) {
	if b.Identifier != "" {
		identifier = b.Identifier
	}
	return draft(d, b, identifier, new(document.Members))
}

// Merge makes what an entity becomes when the body's members are put into it: those that it does not
// have stay, of properties and relations one by one. An explicit null is kept. Only the values of the
// body are checked, for the blueprint may have changed since the others were; what is required must
// be there afterwards. Its faults are Create's.
func Merge(d *Definition, old *Entity, b *Body) (*Draft, error) {
	stored, err := document.ParseMembers(old.Content)
	if err != nil {
		return nil, fmt.Errorf("merge entity %s: %w", old.Identifier, err)
	}
	identifier := old.Identifier
	if b.Identifier != "" {
		identifier = b.Identifier
	}
	return draft(d, b, identifier, stored)
}

// drafter collects the faults of an entity. Those of the body are copied, so that it can be used again.
type drafter struct {
	d      *Definition
	b      *Body
	draft  *Draft
	faults document.Faults
	// unknown are relations that the blueprint does not have.
	unknown []fault.Detail
}

func draft(d *Definition, b *Body, identifier string, stored *document.Members) (*Draft, error) {
	if err := b.unresolved(); err != nil {
		return nil, err
	}
	c := &drafter{d: d, b: b, draft: &Draft{Identifier: identifier}, faults: b.faults.Clone()}
	content := new(document.Members)
	for _, name := range []string{"title", "icon"} {
		if v := b.text.Get(name); v != nil {
			content.Set(name, v)
		} else if v := stored.Get(name); v != nil {
			content.Set(name, v)
		}
	}
	if team, ok := c.team(); ok {
		content.Set("team", team)
	} else if v := stored.Get("team"); v != nil {
		content.Set("team", v)
	}
	properties, err := c.properties(stored.Get("properties"))
	if err != nil {
		return nil, err
	}
	relations, err := c.relations(stored.Get("relations"))
	if err != nil {
		return nil, err
	}
	if properties != nil {
		content.Set("properties", properties.Encode())
	}
	if relations != nil {
		content.Set("relations", relations.Encode())
	}
	c.draft.Content = content.Encode()
	if size := len(c.draft.Content) + len(identifier); size > MaxEntity {
		c.faults.Add("", "an entity may have at most %d bytes, this one has %d", MaxEntity, size)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return c.draft, nil
}

func (c *drafter) err() error {
	if len(c.unknown) == 0 {
		return c.faults.Err()
	}
	if !c.faults.Any() {
		return &fault.Error{Kind: fault.NotFound, Message: c.unknown[0].Path + ": " + c.unknown[0].Message, Details: c.unknown}
	}
	for _, d := range c.unknown {
		c.faults.AddDetail(d)
	}
	return c.faults.Err()
}

// team returns the text of the team's array, if the body has any.
func (c *drafter) team() (json.RawMessage, bool) {
	names, given := c.b.team()
	if !given {
		return nil, false
	}
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = name
	}
	return jqtemplate.Encode(list), true
}

// group returns the members of a stored group, none when it is absent.
func group(stored json.RawMessage) (*document.Members, error) {
	if !document.IsSet(stored) {
		return new(document.Members), nil
	}
	return document.ParseMembers(stored)
}

// properties checks the values of the body and returns them with those that are stored, nil when there
// never were any.
func (c *drafter) properties(stored json.RawMessage) (*document.Members, error) {
	all, err := group(stored)
	if err != nil {
		return nil, fmt.Errorf("stored properties: %w", err)
	}
	given, err := c.b.members("properties")
	if err != nil {
		return nil, err
	}
	if given != nil {
		values := document.Object(c.b.root, "properties")
		check := make(map[string]any, given.Len())
		for name, text := range given.All() {
			if _, ok := c.d.Property(name); !ok {
				c.faults.Add(document.Below("properties", name), "%s", c.noProperty(name))
				continue
			}
			all.Set(name, text)
			if v := document.Member(values, name); v != nil {
				check[name] = c.d.canonical(name, document.Plain(v))
			}
		}
		if len(check) > 0 {
			if err := c.d.checker.Check(&c.faults, check, "properties"); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range c.d.required {
		if _, ok := c.d.Property(name); ok && !document.IsSet(all.Get(name)) {
			c.faults.Add(document.Below("properties", name), "is required")
		}
	}
	if given == nil && stored == nil {
		return nil, nil
	}
	return all, nil
}

func (c *drafter) noProperty(name string) string {
	if c.d.computes(name) || slices.Contains(c.d.Aggregations, name) {
		return "is computed and cannot be set"
	}
	return "the blueprint has no such property"
}

// relations does the same with relations.
func (c *drafter) relations(stored json.RawMessage) (*document.Members, error) {
	all, err := group(stored)
	if err != nil {
		return nil, fmt.Errorf("stored relations: %w", err)
	}
	given, err := c.b.members("relations")
	if err != nil {
		return nil, err
	}
	if given != nil {
		values := document.Object(c.b.root, "relations")
		for name, text := range given.All() {
			r, ok := c.d.Relation(name)
			if !ok {
				c.unknown = append(c.unknown, fault.Detail{Path: document.Below("relations", name), Message: "the blueprint has no such relation"})
				continue
			}
			all.Set(name, c.relation(r, document.Member(values, name), text))
		}
	}
	for _, r := range c.d.Relations {
		if !r.Required {
			continue
		}
		if text := all.Get(r.Name); !document.IsSet(text) || string(text) == "[]" {
			c.faults.Add(document.Below("relations", r.Name), "is required")
		}
	}
	if given == nil && stored == nil {
		return nil, nil
	}
	return all, nil
}

// relation checks a relation's value, notes its targets and returns the text to be stored.
func (c *drafter) relation(r Relation, v any, text json.RawMessage) json.RawMessage {
	path := document.Below("relations", r.Name)
	switch v := v.(type) {
	case string:
		c.target(r, v, path)
	case []any:
		if !r.Many {
			c.faults.Add(path, "must be a string: the relation leads to one entity")
			break
		}
		for i, name := range v {
			if name, ok := name.(string); ok {
				c.target(r, name, indexed(path, i))
			}
		}
	case *jqtemplate.Object:
		found := c.b.resolved[path]
		list := make([]any, len(found))
		for i, name := range found {
			list[i] = name
		}
		switch {
		case r.Many:
			return jqtemplate.Encode(list)
		case len(found) > 1:
			c.faults.Add(path, "the search must yield at most one entity, it yields %d", len(found))
		case len(found) == 1:
			return jqtemplate.Encode(found[0])
		}
		return json.RawMessage(`null`)
	}
	return text
}

func (c *drafter) target(r Relation, identifier, path string) {
	c.draft.Targets = append(c.draft.Targets, Target{Relation: r.Name, Blueprint: r.Target, Identifier: identifier, Path: path})
}

// Targets returns the entities that stored content names in the relations that the blueprint has, each
// once per relation.
func Targets(d *Definition, content json.RawMessage) ([]Target, error) {
	c, err := parseContent(content)
	if err != nil {
		return nil, err
	}
	var targets []Target
	for _, r := range d.Relations {
		seen := map[string]bool{}
		for _, identifier := range c.related(r.Name) {
			if !seen[identifier] {
				seen[identifier] = true
				targets = append(targets, Target{Relation: r.Name, Blueprint: r.Target, Identifier: identifier, Path: document.Below("relations", r.Name)})
			}
		}
	}
	return targets, nil
}
