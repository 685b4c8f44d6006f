package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// maxSearchFaults is how many faults of one search are listed; a search is at most a request's body,
// and each fault names a path that may be as long as a search is deep.
const maxSearchFaults = 100

// searchFaults collects the faults of a search.
type searchFaults struct {
	details []fault.Detail
	omitted int
}

func (f *searchFaults) add(path, format string, args ...any) {
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	f.addDetail(fault.Detail{Path: path, Message: message})
}

func (f *searchFaults) addDetail(d fault.Detail) {
	if len(f.details) == maxSearchFaults {
		f.omitted++
		return
	}
	f.details = append(f.details, d)
}

// addErr takes over the details of another package's fault, below a path where they have none.
func (f *searchFaults) addErr(path string, err error) {
	var e *fault.Error
	if !errors.As(err, &e) || len(e.Details) == 0 {
		f.add(path, "%s", err.Error())
		return
	}
	for _, d := range e.Details {
		if d.Path == "" {
			d.Path = path
		}
		f.addDetail(d)
	}
}

func (f *searchFaults) err() error {
	details := f.details
	if f.omitted > 0 {
		details = append(details, fault.Detail{Message: fmt.Sprintf("%d more faults are not listed", f.omitted)})
	}
	return fault.InvalidDetails(details)
}

// searchParser compiles a search and collects its faults.
type searchParser struct {
	SearchOptions
	faults   searchFaults
	warnings []jqtemplate.Warning
	// rules counts rules and groups; past the limit nothing more is read.
	rules int
	// values counts those of all lists.
	values int
}

// room counts the values of a list, and tells whether they are few enough.
func (p *searchParser) room(n int, path string) bool {
	if n > MaxSearchValues {
		p.faults.add(path, "may have at most %d values, has %d", MaxSearchValues, n)
		return false
	}
	before := p.values
	if p.values += n; p.values > MaxSearchValuesInAll {
		if before <= MaxSearchValuesInAll {
			p.faults.add(path, "the rules of a search may have at most %d values together", MaxSearchValuesInAll)
		}
		return false
	}
	return true
}

func (p *searchParser) group(v any, path string, depth int) *searchGroup {
	g := &searchGroup{}
	o, ok := v.(*jqtemplate.Object)
	if !ok {
		p.faults.add(path, "must be an object with combinator and rules")
		return g
	}
	if depth > MaxSearchDepth {
		p.faults.add(path, "groups may nest at most %d deep", MaxSearchDepth)
		return g
	}
	p.members(o, path, "combinator", "rules")
	switch combinator, ok := o.Get("combinator"); {
	case !ok:
		p.faults.add(member(path, "combinator"), "is required")
	case combinator == "or":
		g.or = true
	case combinator != "and":
		p.faults.add(member(path, "combinator"), `must be "and" or "or"`)
	}
	v, ok = o.Get("rules")
	rules, isList := v.([]any)
	switch {
	case !ok:
		p.faults.add(member(path, "rules"), "is required")
	case !isList:
		p.faults.add(member(path, "rules"), "must be an array")
	}
	for i, r := range rules {
		if p.rules++; p.rules > MaxSearchRules {
			if p.rules == MaxSearchRules+1 {
				p.faults.add(fmt.Sprintf("%s[%d]", member(path, "rules"), i), "a search may have at most %d rules", MaxSearchRules)
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
			p.faults.add(member(path, name), "unknown field")
		}
	}
}

// rule compiles a rule or a group; nil if it cannot be told what it is.
func (p *searchParser) rule(v any, path string, depth int) searchRule {
	o, ok := v.(*jqtemplate.Object)
	if !ok {
		p.faults.add(path, "must be an object: a rule, or a group with combinator and rules")
		return nil
	}
	has := func(name string) bool { _, ok := o.Get(name); return ok }
	if has("combinator") || has("rules") {
		return p.group(o, path, depth+1)
	}
	for _, name := range []string{"scorecard", "scorecardRule"} {
		if has(name) {
			p.faults.add(member(path, name), "rules about scorecards are not supported: this catalog has no scorecards")
			return nil
		}
	}
	v, ok = o.Get("operator")
	name, _ := v.(string)
	op := operators[name]
	switch {
	case !ok:
		p.faults.add(member(path, "operator"), "is required")
	case op == nil:
		p.faults.add(member(path, "operator"), "must be one of %s", operatorNames)
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
			p.faults.add(at, "beside propertySchema must be =, != or contains")
		}
	case has("relation"):
		allowed[1] = "relation"
		allowed = append(allowed, "targetProperty")
		p.relation(c, o, path)
		if op != nil && op.values != textValues && op.test != testEmpty {
			p.faults.add(at, "%s cannot stand beside relation", op.name)
		}
	case has("property"):
		p.property(c, o, path)
	default:
		p.faults.add(member(path, "property"), "is required")
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
			p.faults.add(member(path, "property"), "must be a string beside %s", op.name)
		}
		return c
	}
	p.members(o, path, allowed...)
	value, ok := o.Get("value")
	if !ok && c.schema == nil {
		p.faults.add(member(path, "value"), "is required")
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
			p.faults.add(path, "must not be empty")
		case v[0] == '$':
			p.faults.add(path, "there is no such built-in property; those are %s", fieldNames)
		default:
			c.property = v
		}
	case *jqtemplate.Object:
		c.caller = p.context(v, path)
	default:
		p.faults.add(path, "must be a string, or an object with property and context")
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
		p.faults.add(member(path, "context"), "is required")
	case c.Context != "user" && c.Context != "userTeams":
		p.faults.add(member(path, "context"), `must be "user" or "userTeams"`)
	}
	return c
}

// text reads a member that must be text and not empty.
func (p *searchParser) text(o *jqtemplate.Object, path, name string) string {
	v, ok := o.Get(name)
	s, isText := v.(string)
	switch {
	case !ok:
		p.faults.add(member(path, name), "is required")
	case !isText:
		p.faults.add(member(path, name), "must be a string")
	case s == "":
		p.faults.add(member(path, name), "must not be empty")
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
		p.faults.add(member(path, "targetProperty"), `must be "$title" or "$identifier"`)
	}
}

func (p *searchParser) schema(o *jqtemplate.Object, path string) *schemaPattern {
	path = member(path, "propertySchema")
	v, _ := o.Get("propertySchema")
	s, ok := v.(*jqtemplate.Object)
	if !ok {
		p.faults.add(path, "must be an object with type, and optionally format and items")
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
			p.faults.add(path, "must be an object with type, and optionally format")
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

func (p *searchParser) related(o *jqtemplate.Object, path string) searchRule {
	p.members(o, path, "operator", "blueprint", "value", "direction", "required")
	r := &related{rule: RelatedTo{Blueprint: p.text(o, path, "blueprint")}}
	if v, ok := o.Get("direction"); ok {
		r.rule.Direction, _ = v.(string)
		if r.rule.Direction != "upstream" && r.rule.Direction != "downstream" {
			p.faults.add(member(path, "direction"), `must be "upstream" or "downstream"`)
		}
	}
	if v, ok := o.Get("required"); ok {
		required, ok := v.(bool)
		if !ok {
			p.faults.add(member(path, "required"), "must be a boolean")
		}
		r.rule.Required = &required
	}
	p.targets(r, o, path)
	return r
}

// targets reads the identifiers of a rule about relations.
func (p *searchParser) targets(r *related, o *jqtemplate.Object, path string) {
	path = member(path, "value")
	v, ok := o.Get("value")
	if !ok {
		p.faults.add(path, "is required")
		return
	}
	if r.template = p.template(v, path); r.template == nil {
		r.rule.Values = p.identifiers(v, path)
	}
}

// identifiers reads one or several identifiers.
func (p *searchParser) identifiers(v any, path string) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		if !p.room(len(v), path) {
			return nil
		}
		values := make([]string, 0, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				if !p.AnyValue {
					p.faults.add(fmt.Sprintf("%s[%d]", path, i), "must be a string")
				}
				continue
			}
			values = append(values, s)
		}
		return values
	}
	if !p.AnyValue {
		p.faults.add(path, "must be a string or an array of strings")
	}
	return nil
}

// maxPathHops is the most that a path's step may be repeated, and the most steps of a path.
const maxPathHops = 15

// path compiles a rule whose property is a path along relations.
func (p *searchParser) path(o, property *jqtemplate.Object, op *operator, path string) searchRule {
	p.members(o, path, "operator", "property", "value")
	if op != nil && op.test != testMatchAny {
		p.faults.add(member(path, "operator"), "beside a path must be matchAny")
	}
	r := &related{}
	p.targets(r, o, path)
	path = member(path, "property")
	p.members(property, path, "path", "fromBlueprint")
	if _, ok := property.Get("fromBlueprint"); ok {
		r.rule.FromBlueprint = p.text(property, path, "fromBlueprint")
	}
	path = member(path, "path")
	v, _ := property.Get("path")
	steps, ok := v.([]any)
	if !ok {
		p.faults.add(path, "must be an array of relations")
		return r
	}
	if len(steps) == 0 || len(steps) > maxPathHops {
		p.faults.add(path, "must have 1 to %d steps", maxPathHops)
		return r
	}
	for i, step := range steps {
		at := fmt.Sprintf("%s[%d]", path, i)
		hop := Hop{MaxHops: 1}
		switch step := step.(type) {
		case string:
			if hop.Relation = step; step == "" {
				p.faults.add(at, "must not be empty")
			}
		case *jqtemplate.Object:
			p.members(step, at, "relation", "maxHops")
			hop.Relation = p.text(step, at, "relation")
			if v, ok := step.Get("maxHops"); ok {
				n, ok := v.(float64)
				if !ok || n != float64(int(n)) || n < 1 || n > maxPathHops {
					p.faults.add(member(at, "maxHops"), "must be a whole number from 1 to %d", maxPathHops)
				}
				hop.MaxHops = int(n)
			}
		default:
			p.faults.add(at, "must be a relation, or an object with relation and maxHops")
		}
		r.rule.Path = append(r.rule.Path, hop)
	}
	return r
}

// value compiles the value of a comparison.
func (p *searchParser) value(c *comparison, v any, path string) {
	if c.template = p.template(v, path); c.template != nil {
		return
	}
	if o, ok := v.(*jqtemplate.Object); ok && c.schema == nil && c.relation == "" {
		if _, ok := o.Get("context"); ok {
			c.value = p.context(o, path)
			return
		}
	}
	if c.schema != nil && !p.AnyValue {
		switch v.(type) {
		case nil, string, float64, bool:
		default:
			p.faults.add(path, "must be null, a string, a number or a boolean")
			return
		}
	}
	c.operands = p.operands(c.operator, v, path)
}

// template compiles a value that is to be rendered; nil if it is none.
func (p *searchParser) template(v any, path string) *valueTemplate {
	if !p.AllowTemplates {
		return nil
	}
	if o, ok := v.(*jqtemplate.Object); ok && o.Len() == 1 {
		if v, ok := o.Get("jqQuery"); ok {
			path := member(path, "jqQuery")
			text, ok := v.(string)
			if !ok {
				p.faults.add(path, "must be a string")
				return &valueTemplate{path: path}
			}
			expression, err := jqtemplate.ParseExpression(text)
			if err != nil {
				w := jqtemplate.Warning{Path: path, Expression: text, Message: err.Error()}
				var f *fault.Error
				if errors.As(err, &f) && len(f.Details) > 0 {
					w.Message = f.Details[0].Message
					if f.Details[0].Position != nil {
						w.Position = *f.Details[0].Position
					}
				}
				p.warnings = append(p.warnings, w)
			}
			return &valueTemplate{path: path, expression: expression, broken: err}
		}
	}
	if !holdsTemplate(v) {
		return nil
	}
	t, err := jqtemplate.Parse(v, path)
	if err != nil {
		p.faults.addErr(path, err)
		return &valueTemplate{path: path}
	}
	p.warnings = append(p.warnings, t.Warnings()...)
	return &valueTemplate{path: path, template: t}
}

func holdsTemplate(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "{{")
	case []any:
		return slices.ContainsFunc(v, holdsTemplate)
	case *jqtemplate.Object:
		for name, v := range v.All() {
			if strings.Contains(name, "{{") || holdsTemplate(v) {
				return true
			}
		}
	}
	return false
}

// maxNamePath is how much of a name a path shows, in bytes: names may be as long as a request.
const maxNamePath = 200

// member returns the path of a member. Names that are not made of letters, digits, _, $ and - stand in
// brackets as JSON strings, as in all faults.
func member(path, name string) string {
	if len(name) > maxNamePath {
		name = strings.ToValidUTF8(name[:maxNamePath], "") + "…"
	}
	switch {
	case name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '$' && r != '-'
	}):
		return path + "[" + string(jqtemplate.Encode(name)) + "]"
	case path == "":
		return name
	default:
		return path + "." + name
	}
}
