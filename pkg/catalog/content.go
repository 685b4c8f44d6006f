package catalog

import (
	"encoding/json"
	"fmt"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// content is an entity's content, read as far as an answer needs it: values stay text.
type content struct {
	top, properties, relations *document.Members
}

func parseContent(text json.RawMessage) (*content, error) {
	top, err := document.ParseMembers(text)
	if err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	c := &content{top: top}
	if c.properties, err = group(top.Get("properties")); err != nil {
		return nil, fmt.Errorf("read properties: %w", err)
	}
	if c.relations, err = group(top.Get("relations")); err != nil {
		return nil, fmt.Errorf("read relations: %w", err)
	}
	return c, nil
}

// or returns a text, null for none.
func or(text json.RawMessage) json.RawMessage {
	if len(text) == 0 {
		return json.RawMessage(`null`)
	}
	return text
}

func (c *content) team() json.RawMessage {
	if team := c.top.Get("team"); document.IsSet(team) {
		return team
	}
	return json.RawMessage(`[]`)
}

// related returns the identifiers that a relation names.
func (c *content) related(relation string) []string {
	v, err := jqtemplate.Decode(or(c.relations.Get(relation)))
	if err != nil {
		return nil
	}
	if one, ok := v.(string); ok {
		return []string{one}
	}
	return document.Texts(v)
}

// relation returns a relation as answers have it: an array if it leads to many, whatever was sent; an
// array that was sent before it led to one only is its first item.
func (c *content) relation(r Relation) json.RawMessage {
	text := or(c.relations.Get(r.Name))
	switch {
	case r.Many && !document.IsSet(text):
		return json.RawMessage(`[]`)
	case r.Many && text[0] != '[':
		return append(append(json.RawMessage{'['}, text...), ']')
	case !r.Many && text[0] == '[':
		if names := c.related(r.Name); len(names) > 0 {
			return jqtemplate.Encode(names[0])
		}
		return json.RawMessage(`null`)
	}
	return text
}

// meta returns what an entity has beside properties and relations, by its name in searches and paths;
// nil for any other name.
func (c *content) meta(e *Entity, blueprint, name string) json.RawMessage {
	switch name {
	case "$identifier":
		return jqtemplate.Encode(e.Identifier)
	case "$blueprint":
		return jqtemplate.Encode(blueprint)
	case "$title":
		return or(c.top.Get("title"))
	case "$icon":
		return or(c.top.Get("icon"))
	case "$team":
		return c.team()
	case "$createdAt":
		return jqtemplate.Encode(timeText(e.CreatedAt))
	case "$updatedAt":
		return jqtemplate.Encode(timeText(e.UpdatedAt))
	case "$createdBy":
		return jqtemplate.Encode(e.CreatedBy)
	case "$updatedBy":
		return jqtemplate.Encode(e.UpdatedBy)
	}
	return nil
}
