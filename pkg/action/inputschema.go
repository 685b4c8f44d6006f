package action

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"longshore/pkg/jqtemplate"
)

// inputCompiler turns declared inputs into JSON Schema and notes what they use.
type inputCompiler struct {
	p      *parser
	inputs *Inputs
	// patterns tells whether a pattern must be matched.
	patterns bool
}

// keywords are the members of an input that mean the same in JSON Schema. Any other one is for the
// form of a client, or has a case of its own in schema.
var keywords = map[string]bool{
	"type": true, "const": true, "minLength": true, "maxLength": true, "minimum": true, "maximum": true,
	"exclusiveMinimum": true, "exclusiveMaximum": true, "multipleOf": true, "uniqueItems": true,
	"minProperties": true, "maxProperties": true,
}

// schema returns the JSON Schema of an input, of its items or of a member of it. Whatever has the
// wrong type was found by the parser's schema and is left out.
func (c *inputCompiler) schema(o *jqtemplate.Object, path string, top bool) map[string]any {
	s := map[string]any{}
	for name, v := range o.All() {
		at := below(path, name)
		if v == nil || c.query(queryable(name, v), at) {
			continue
		}
		switch name {
		case "enum":
			// An empty list would allow nothing: it is kept and not enforced.
			if list, ok := v.([]any); ok && len(list) > 0 {
				s["allOf"] = []any{map[string]any{"format": c.enum(list)}}
			}
		case "minItems", "maxItems":
			s[name] = v
		case "pattern":
			if text, ok := v.(string); ok {
				if _, err := compilePattern(text); err != nil {
					c.p.faults.add(at, "must be a regular expression: %s", err.Error())
					continue
				}
				c.patterns = true
				s[name] = text
			}
		case "required":
			names := []any{} // JSON Schema wants each once.
			for _, n := range slices.Compact(slices.Sorted(slices.Values(texts(v)))) {
				names = append(names, n)
			}
			s[name] = names
			c.inputs.weight = max(c.inputs.weight, len(names))
		case "format":
			c.format(s, v)
		case "encryption":
			c.encryption(member(o, "type"), at, top)
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
			for name, v := range object(o, "properties").All() {
				if o, ok := v.(*jqtemplate.Object); ok {
					members[name] = c.schema(o, below(at, name), false)
				}
			}
			s[name] = members
		default:
			if keywords[name] {
				s[name] = plain(v)
			}
		}
	}
	if member(o, "format") == "entity" && s["type"] == "string" {
		s["type"] = []any{"string", "object"}
		s["required"] = []any{"identifier"}
		s["properties"] = map[string]any{"identifier": map[string]any{"type": "string"}}
	}
	return s
}

// format keeps the formats that are checked; of the others any string will do.
func (c *inputCompiler) format(s map[string]any, v any) {
	name, _ := v.(string)
	if _, checked := formatRules[name]; checked {
		s["format"] = name
	}
	switch name {
	case "entity", "user", "team":
		c.p.d.Uses.CatalogInput = true
	}
}

// enum returns the name of a format that has just these values. The validator's own enum compares
// with one after the other: a long list of inputs against a long enum would take it hours.
func (c *inputCompiler) enum(values []any) string {
	allowed, list := make(map[any]bool, len(values)), make([]any, len(values))
	for i, v := range values {
		list[i] = plain(v)
		allowed[comparableForm(list[i])] = true
	}
	refused := errors.New("must be " + oneOf(list))
	name := fmt.Sprintf("enum-%d", len(c.inputs.enums))
	c.inputs.enums = append(c.inputs.enums, &jsonschema.Format{Name: name, Validate: func(v any) error {
		if allowed[comparableForm(v)] {
			return nil
		}
		return refused
	}})
	return name
}

// comparableForm returns a plain value, or its text if it is an object or an array.
func comparableForm(v any) any {
	switch v.(type) {
	case map[string]any, []any:
		text, _ := json.Marshal(v) // Members are sorted. What was JSON can be JSON again.
		return [1]string{string(text)}
	default:
		return v
	}
}

func (c *inputCompiler) encryption(kind any, path string, top bool) {
	c.p.d.Uses.Encryption = true
	switch {
	case !top:
		c.p.faults.add(path, "only a whole input can be encrypted, no part of one")
	case kind != "string" && kind != "object":
		c.p.faults.add(path, "only inputs of type string or object can be encrypted")
	}
}

// dataset notes the queries that stand for values of rules.
func (c *inputCompiler) dataset(group *jqtemplate.Object, path string) {
	rules, _ := member(group, "rules").([]any)
	for i, rule := range rules {
		o, ok := rule.(*jqtemplate.Object)
		if !ok {
			continue
		}
		at := fmt.Sprintf("%s.rules[%d]", path, i)
		c.query(member(o, "value"), at+".value")
		c.dataset(o, at)
	}
}

// layout notes the queries of steps and titles, and returns the inputs that cannot be filled in
// because they stand in steps that are not visible and in no other.
func (c *inputCompiler) layout(o *jqtemplate.Object, path string) (hidden map[string]bool) {
	hidden = map[string]bool{}
	shown := map[string]bool{}
	steps, _ := member(o, "steps").([]any)
	for i, step := range steps {
		o, ok := step.(*jqtemplate.Object)
		if !ok {
			continue
		}
		visible := member(o, "visible")
		c.query(visible, fmt.Sprintf("%s.steps[%d].visible", path, i))
		for _, name := range texts(member(o, "order")) {
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
	for name, v := range object(o, "titles").All() {
		c.name(path+".titles", name)
		if o, ok := v.(*jqtemplate.Object); ok {
			c.query(member(o, "visible"), below(path+".titles", name)+".visible")
		}
	}
	return hidden
}

// name checks the name of an input or a title.
func (c *inputCompiler) name(path, name string) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune(nameCharacters, r) }) {
		c.p.faults.add(below(path, name), `a name must be made of letters A to Z, digits and @ _ = \ -`)
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
	s, ok := member(o, "jqQuery").(string)
	return s, ok
}

// fixed returns a default unless it is a query.
func fixed(v any) any {
	if _, ok := jqQuery(v); ok {
		return nil
	}
	return v
}

// texts returns the strings of a list.
func texts(v any) (names []string) {
	list, _ := v.([]any)
	for _, e := range list {
		if s, ok := e.(string); ok {
			names = append(names, s)
		}
	}
	return names
}
