package catalog

import (
	"fmt"
	"slices"
	"strings"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// searchParser compiles a search and collects its faults.
type searchParser struct {
	SearchOptions
	faults   document.Faults
	warnings []jqtemplate.Warning
	// rules counts rules and groups; past the limit nothing more is read.
	rules int
	// values counts those of all lists.
	values int
}

// room counts the values of a list, and tells whether they are few enough.
func (p *searchParser) room(n int, path string) bool {
	if n > MaxSearchValues {
		p.faults.Add(path, "may have at most %d values, has %d", MaxSearchValues, n)
		return false
	}
	before := p.values
	if p.values += n; p.values > MaxSearchValuesInAll {
		if before <= MaxSearchValuesInAll {
			p.faults.Add(path, "the rules of a search may have at most %d values together", MaxSearchValuesInAll)
		}
		return false
	}
	return true
}

func (p *searchParser) group(v any, path string, depth int) *searchGroup {
	g := &searchGroup{}
	o, ok := v.(*jqtemplate.Object)
	if !ok {
		p.faults.Add(path, "must be an object with combinator and rules")
		return g
	}
	if depth > MaxSearchDepth {
		p.faults.Add(path, "groups may nest at most %d deep", MaxSearchDepth)
		return g
	}
	p.members(o, path, "combinator", "rules")
	switch combinator, ok := o.Get("combinator"); {
	case !ok:
		p.faults.Add(member(path, "combinator"), "is required")
	case combinator == "or":
		g.or = true
	case combinator != "and":
		p.faults.Add(member(path, "combinator"), `must be "and" or "or"`)
	}
	v, ok = o.Get("rules")
	rules, isList := v.([]any)
	switch {
	case !ok:
		p.faults.Add(member(path, "rules"), "is required")
	case !isList:
		p.faults.Add(member(path, "rules"), "must be an array")
	}
	for i, r := range rules {
		if p.rules++; p.rules > MaxSearchRules {
			if p.rules == MaxSearchRules+1 {
				p.faults.Add(fmt.Sprintf("%s[%d]", member(path, "rules"), i), "a search may have at most %d rules", MaxSearchRules)
			}
			return g
		}
		if r := p.rule(r, fmt.Sprintf("%s[%d]", member(path, "rules"), i), depth); r != nil {
			g.rules = append(g.rules, r)
		}
	}
	return g
}

// members refuses members that are none of names.
func (p *searchParser) members(o *jqtemplate.Object, path string, names ...string) {
	for name := range o.All() {
		if !slices.Contains(names, name) {
			p.faults.Add(member(path, name), "unknown field")
		}
	}
}

// rule compiles a rule or a group; nil if it cannot be told what it is.
func (p *searchParser) rule(v any, path string, depth int) searchRule {
	o, ok := v.(*jqtemplate.Object)
	if !ok {
		p.faults.Add(path, "must be an object: a rule, or a group with combinator and rules")
		return nil
	}
	has := func(name string) bool { _, ok := o.Get(name); return ok }
	if has("combinator") || has("rules") {
		return p.group(o, path, depth+1)
	}
	for _, name := range []string{"scorecard", "scorecardRule"} {
		if has(name) {
			p.faults.Add(member(path, name), "rules about scorecards are not supported: this catalog has no scorecards")
			return nil
		}
	}
	v, ok = o.Get("operator")
	name, _ := v.(string)
	op := operators[name]
	switch {
	case !ok:
		p.faults.Add(member(path, "operator"), "is required")
	case op == nil:
		p.faults.Add(member(path, "operator"), "must be one of %s", operatorNames)
	}
	if op == relatedToOperator {
		return p.related(o, path)
	}
	if property, ok := o.Get("property"); ok {
		if property, ok := property.(*jqtemplate.Object); ok {
			if _, ok := property.Get("path"); ok {
				return p.path(o, property, op, path)
			}
		}
	}
	c := &comparison{operator: op}
	at := member(path, "operator")
	allowed := []string{"operator", "property", "value"}
	switch {
	case has("propertySchema"):
		allowed[1] = "propertySchema"
		c.schema = p.schema(o, path)
		if op != nil && op.name != "=" && op.name != "!=" && op.name != "contains" {
			p.faults.Add(at, "beside propertySchema must be =, != or contains")
		}
	case has("relation"):
		allowed[1] = "relation"
		allowed = append(allowed, "targetProperty")
		p.relation(c, o, path)
		if op != nil && op.values != textValues && op.test != testEmpty {
			p.faults.Add(at, "%s cannot stand beside relation", op.name)
		}
	case has("property"):
		p.property(c, o, path)
	default:
		p.faults.Add(member(path, "property"), "is required")
	}
	if op == nil {
		p.members(o, path, allowed...)
		return nil
	}
	if op.values == noValue {
		if !p.AnyValue {
			allowed = slices.DeleteFunc(allowed, func(name string) bool { return name == "value" })
		}
		p.members(o, path, allowed...)
		c.operands = []operand{{}}
		if c.caller != nil {
			p.faults.Add(member(path, "property"), "must be a string beside %s", op.name)
		}
		return c
	}
	p.members(o, path, allowed...)
	value, ok := o.Get("value")
	if !ok && c.schema == nil {
		p.faults.Add(member(path, "value"), "is required")
		return nil
	}
	p.value(c, value, member(path, "value"))
	return c
}

// property sets what a rule compares to a property of the entity or of the caller.
func (p *searchParser) property(c *comparison, o *jqtemplate.Object, path string) {
	path = member(path, "property")
	v, _ := o.Get("property")
	switch v := v.(type) {
	case string:
		switch f, ok := fields[v]; {
		case ok:
			c.field = f
		case v == "":
			p.faults.Add(path, "must not be empty")
		case v[0] == '$':
			p.faults.Add(path, "there is no such built-in property; those are %s", fieldNames)
		default:
			c.property = v
		}
	case *jqtemplate.Object:
		c.caller = p.context(v, path)
	default:
		p.faults.Add(path, "must be a string, or an object with property and context")
	}
}

// context reads a property of the caller.
func (p *searchParser) context(o *jqtemplate.Object, path string) *ContextProperty {
	p.members(o, path, "property", "context")
	c := &ContextProperty{Property: p.text(o, path, "property")}
	v, ok := o.Get("context")
	c.Context, _ = v.(string)
	switch {
	case !ok:
		p.faults.Add(member(path, "context"), "is required")
	case c.Context != "user" && c.Context != "userTeams":
		p.faults.Add(member(path, "context"), `must be "user" or "userTeams"`)
	}
	return c
}

// text reads a member that must be text and not empty.
func (p *searchParser) text(o *jqtemplate.Object, path, name string) string {
	v, ok := o.Get(name)
	s, isText := v.(string)
	switch {
	case !ok:
		p.faults.Add(member(path, name), "is required")
	case !isText:
		p.faults.Add(member(path, name), "must be a string")
	case s == "":
		p.faults.Add(member(path, name), "must not be empty")
	}
	return s
}

func (p *searchParser) relation(c *comparison, o *jqtemplate.Object, path string) {
	c.relation = p.text(o, path, "relation")
	switch target, ok := o.Get("targetProperty"); {
	case !ok || target == "$identifier":
	case target == "$title":
		c.title = true
	default:
		p.faults.Add(member(path, "targetProperty"), `must be "$title" or "$identifier"`)
	}
}

func (p *searchParser) schema(o *jqtemplate.Object, path string) *schemaPattern {
	path = member(path, "propertySchema")
	v, _ := o.Get("propertySchema")
	s, ok := v.(*jqtemplate.Object)
	if !ok {
		p.faults.Add(path, "must be an object with type, and optionally format and items")
		return &schemaPattern{}
	}
	p.members(s, path, "type", "format", "items")
	pattern := &schemaPattern{typ: p.text(s, path, "type")}
	if _, ok := s.Get("format"); ok {
		pattern.format = p.text(s, path, "format")
	}
	if v, ok := s.Get("items"); ok {
		path = member(path, "items")
		items, ok := v.(*jqtemplate.Object)
		if !ok {
			p.faults.Add(path, "must be an object with type, and optionally format")
			return pattern
		}
		p.members(items, path, "type", "format")
		pattern.items = &schemaPattern{typ: p.text(items, path, "type")}
		if _, ok := items.Get("format"); ok {
			pattern.items.format = p.text(items, path, "format")
		}
	}
	return pattern
}

// maxNamePath is how much of a name a path shows, in bytes: names may be as long as a request.
const maxNamePath = 200

// member returns the path of a member.
func member(path, name string) string {
	if len(name) > maxNamePath {
		name = strings.ToValidUTF8(name[:maxNamePath], "") + "…"
	}
	return document.Below(path, name)
}
