package catalog

import (
	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// property returns the JSON Schema of a property, of its items or of a member of it. Whatever has the
// wrong type was found by the schema of blueprints and is left out; a member that is no keyword is for
// whoever shows the property.
func (p *blueprintParser) property(o *jqtemplate.Object, path string) map[string]any {
	s := map[string]any{}
	for name, v := range o.All() {
		if v == nil {
			continue
		}
		at := document.Below(path, name)
		switch name {
		case "enum":
			// An empty list would allow nothing: it is kept and not enforced.
			if list, ok := v.([]any); ok && len(list) > 0 {
				p.also(s, map[string]any{"format": p.draft.Enum(list)})
			}
		case "pattern":
			if text, ok := v.(string); ok {
				if err := p.draft.Pattern(text); err != nil {
					p.faults.Add(at, "must be a regular expression: %s", err.Error())
					continue
				}
				s[name] = text
			}
		case "required":
			s[name] = p.draft.Required(v)
		case "format":
			if format := checkedFormat(v); format != "" {
				s[name] = format
			}
		case "items", "additionalProperties":
			switch v := v.(type) {
			case *jqtemplate.Object:
				s[name] = p.property(v, at)
			case bool:
				s[name] = v
			}
		case "properties":
			s[name] = p.members(document.Object(o, name), at)
		case "allOf", "anyOf", "oneOf":
			list, _ := v.([]any)
			p.alternatives(s, name, list, at)
		default:
			if document.Keyword(name) {
				s[name] = document.Plain(v)
			}
		}
	}
	return s
}

// also lets a schema demand another one.
func (p *blueprintParser) also(s, other map[string]any) {
	list, _ := s["allOf"].([]any)
	s["allOf"] = append(list, other)
}

func (p *blueprintParser) members(o *jqtemplate.Object, path string) map[string]any {
	members := map[string]any{}
	for name, v := range o.All() {
		if o, ok := v.(*jqtemplate.Object); ok {
			members[name] = p.property(o, document.Below(path, name))
		}
	}
	p.draft.Weigh(len(members))
	return members
}

func (p *blueprintParser) alternatives(s map[string]any, name string, list []any, path string) {
	var schemas []any
	for i, v := range list {
		if o, ok := v.(*jqtemplate.Object); ok {
			schemas = append(schemas, p.property(o, indexed(path, i)))
		}
	}
	if len(schemas) == 0 {
		return
	}
	p.draft.Weigh(len(schemas))
	if name != "allOf" {
		s[name] = schemas
		return
	}
	for _, schema := range schemas {
		p.also(s, schema.(map[string]any))
	}
}

// checkedFormat returns the validator's name of a format; of those that are not checked, any string
// will do. A timer is the moment at which it ends.
func checkedFormat(v any) string {
	switch v {
	case "date-time", "timer":
		return "date-time"
	case "url", "email", "idn-email", "ipv4", "ipv6":
		return v.(string)
	}
	return ""
}
