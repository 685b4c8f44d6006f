package action

import (
	"fmt"
	"strings"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// inputCompiler turns declared inputs into JSON Schema: once when a definition is compiled, and for each
// request those whose schema holds queries.
type inputCompiler struct {
	p     *parser
	draft document.Draft
	// input is the one at hand.
	input *input
	// evaluation is of the request; nil while a definition is compiled.
	evaluation *evaluation
	// datasets are those found, by path.
	datasets map[string]*dataset
}

// schema returns the JSON Schema of an input, of its items or of a member of it. Whatever has the
// wrong type was found by the parser's schema and is left out.
func (c *inputCompiler) schema(o *jqtemplate.Object, path string, top bool) map[string]any {
	s := map[string]any{}
	for name, v := range o.All() {
		at := document.Below(path, name)
		if v = c.resolve(name, v, at, top); v == nil {
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
			c.encryption(v, document.Member(o, "type"), at, top)
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
	}
}

// resolve returns a member of an input's schema, nil when it is absent. A query is compiled with the
// definition, and evaluated for a request. Defaults, visible and disabled count only of whole inputs,
// which are compiled apart.
func (c *inputCompiler) resolve(name string, v any, path string, top bool) any {
	wanted := wantSettings[name]
	text, ok := jqQuery(v)
	switch {
	case !ok:
		return v
	case wanted == nil:
		if !top && c.evaluation == nil && (name == "default" || name == "visible" || name == "disabled") {
			c.query(text, path)
		}
	case c.evaluation == nil:
		c.input.queries[path] = c.query(text, path)
	case c.evaluation.err == nil:
		v, c.evaluation.err = c.evaluation.setting(setting{query: c.input.queries[path]}, wanted)
		return v
	}
	return nil
}

// layout compiles the steps, and notes the queries of titles, which decide nothing here.
func (c *inputCompiler) layout(o *jqtemplate.Object, path string) (list []step) {
	steps, _ := document.Member(o, "steps").([]any)
	for i, v := range steps {
		if o, ok := v.(*jqtemplate.Object); ok {
			visible := c.setting(document.Member(o, "visible"), fmt.Sprintf("%s.steps[%d].visible", path, i))
			list = append(list, step{visible, document.Texts(document.Member(o, "order"))})
		}
	}
	for name, v := range document.Object(o, "titles").All() {
		c.name(path+".titles", name)
		if o, ok := v.(*jqtemplate.Object); ok {
			c.setting(document.Member(o, "visible"), document.Below(path+".titles", name)+".visible")
		}
	}
	return list
}

// name checks the name of an input or a title.
func (c *inputCompiler) name(path, name string) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune(nameCharacters, r) }) {
		c.p.faults.Add(document.Below(path, name), `a name must be made of letters A to Z, digits and @ _ = \ -`)
	}
}

const nameCharacters = `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@_=\-`
