package action

import (
	"fmt"
	"strings"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// inputCompiler turns declared inputs into JSON Schema and notes what they use.
type inputCompiler struct {
	p      *parser
	inputs *Inputs
	draft  document.Draft
}

// schema returns the JSON Schema of an input, of its items or of a member of it. Whatever has the
// wrong type was found by the parser's schema and is left out.
func (c *inputCompiler) schema(o *jqtemplate.Object, path string, top bool) map[string]any {
	s := map[string]any{}
	for name, v := range o.All() {
		at := document.Below(path, name)
		if v == nil || c.query(queryable(name, v), at) {
			continue
		}
		switch name {
		case "enum":
			// An empty list would allow nothing: it is kept and not enforced.
			if list, ok := v.([]any); ok && len(list) > 0 {
				s["allOf"] = []any{map[string]any{"format": c.draft.Enum(list)}}
			}
		case "pattern":
			if text, ok := v.(string); ok {
				if err := c.draft.Pattern(text); err != nil {
					c.p.faults.Add(at, "must be a regular expression: %s", err.Error())
					continue
				}
				s[name] = text
			}
		case "required":
			s[name] = c.draft.Required(v)
		case "format":
			c.format(s, v)
		case "encryption":
			c.encryption(document.Member(o, "type"), at, top)
		case "dataset":
			if group, ok := v.(*jqtemplate.Object); ok {
				c.dataset(group, at)
			}
		case "items":
			if items, ok := v.(*jqtemplate.Object); ok {
				s[name] = c.schema(items, at, false)
			}
		case "additionalProperties":
			if allowed, ok := v.(bool); ok {
				s[name] = allowed
			} else if o, ok := v.(*jqtemplate.Object); ok {
				s[name] = c.schema(o, at, false)
			}
		case "properties":
			members := map[string]any{}
			for name, v := range document.Object(o, "properties").All() {
				if o, ok := v.(*jqtemplate.Object); ok {
					members[name] = c.schema(o, document.Below(at, name), false)
				}
			}
			s[name] = members
		default:
			if document.Keyword(name) {
				s[name] = document.Plain(v)
			}
		}
	}
	if document.Member(o, "format") == "entity" && s["type"] == "string" {
		s["type"] = []any{"string", "object"}
		s["required"] = []any{"identifier"}
		s["properties"] = map[string]any{"identifier": map[string]any{"type": "string"}}
	}
	return s
}

// format keeps the formats that are checked; of the others any string will do.
func (c *inputCompiler) format(s map[string]any, v any) {
	switch name, _ := v.(string); name {
	case "date-time", "url", "email", "ipv4", "ipv6":
		s["format"] = name
	case "entity", "user", "team":
		c.p.d.Uses.CatalogInput = true
	}
}

func (c *inputCompiler) encryption(kind any, path string, top bool) {
	c.p.d.Uses.Encryption = true
	switch {
	case !top:
		c.p.faults.Add(path, "only a whole input can be encrypted, no part of one")
	case kind != "string" && kind != "object":
		c.p.faults.Add(path, "only inputs of type string or object can be encrypted")
	}
}

// dataset notes the queries that stand for values of rules.
func (c *inputCompiler) dataset(group *jqtemplate.Object, path string) {
	rules, _ := document.Member(group, "rules").([]any)
	for i, rule := range rules {
		o, ok := rule.(*jqtemplate.Object)
		if !ok {
			continue
		}
		at := fmt.Sprintf("%s.rules[%d]", path, i)
		c.query(document.Member(o, "value"), at+".value")
		c.dataset(o, at)
	}
}

// layout notes the queries of steps and titles, and returns the inputs that cannot be filled in
// because they stand in steps that are not visible and in no other.
func (c *inputCompiler) layout(o *jqtemplate.Object, path string) (hidden map[string]bool) {
	hidden = map[string]bool{}
	shown := map[string]bool{}
	steps, _ := document.Member(o, "steps").([]any)
	for i, step := range steps {
		o, ok := step.(*jqtemplate.Object)
		if !ok {
			continue
		}
		visible := document.Member(o, "visible")
		c.query(visible, fmt.Sprintf("%s.steps[%d].visible", path, i))
		for _, name := range document.Texts(document.Member(o, "order")) {
			if visible == false {
				hidden[name] = true
			} else {
				shown[name] = true
			}
		}
	}
	for name := range shown {
		delete(hidden, name)
	}
	for name, v := range document.Object(o, "titles").All() {
		c.name(path+".titles", name)
		if o, ok := v.(*jqtemplate.Object); ok {
			c.query(document.Member(o, "visible"), document.Below(path+".titles", name)+".visible")
		}
	}
	return hidden
}

// name checks the name of an input or a title.
func (c *inputCompiler) name(path, name string) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune(nameCharacters, r) }) {
		c.p.faults.Add(document.Below(path, name), `a name must be made of letters A to Z, digits and @ _ = \ -`)
	}
}

const nameCharacters = `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@_=\-`

// query reports whether v is a {"jqQuery": …}. If so, it notes that and compiles the expression.
func (c *inputCompiler) query(v any, path string) bool {
	expression, ok := jqQuery(v)
	if ok {
		c.p.d.Uses.JQQuery = true
		c.p.expression(path+".jqQuery", expression)
	}
	return ok
}

// queryable returns v if a query may stand for the value of that member of an input.
func queryable(name string, v any) any {
	switch name {
	case "default", "enum", "required", "pattern", "minItems", "maxItems", "visible", "disabled":
		return v
	}
	return nil
}

// jqQuery returns the expression of an object whose only member is a jqQuery.
func jqQuery(v any) (string, bool) {
	o, ok := v.(*jqtemplate.Object)
	if !ok || o.Len() != 1 {
		return "", false
	}
	s, ok := document.Member(o, "jqQuery").(string)
	return s, ok
}

// fixed returns a default unless it is a query.
func fixed(v any) any {
	if _, ok := jqQuery(v); ok {
		return nil
	}
	return v
}
