package catalog

import (
	"fmt"
	"time"

	"longshore/pkg/jqtemplate"
)

// RelatedTo is a rule that is about the relations among entities: those that are related to an
// entity, or those from which, or to which, a path leads.
type RelatedTo struct {
	// Blueprint is that of the related entities, by identifier; empty if there is a Path.
	Blueprint string
	// Values are their identifiers: one of them suffices.
	Values []string
	// Direction is "upstream", "downstream", or empty when it was not said.
	Direction string
	// Required restricts to relations that are required (true) or are not (false); nil to none.
	Required *bool
	// Path is followed from the entity, or, with FromBlueprint, from the entities of that blueprint to
	// it. It ends, or begins, at an entity of Values.
	Path          []Hop
	FromBlueprint string
}

// Hop is a step of a path: a relation, followed once and then up to MaxHops - 1 times more.
type Hop struct {
	Relation string
	// MaxHops is 1 to 15.
	MaxHops int
}

// related is a RelatedTo rule and, once they are known, the entities that it is for.
type related struct {
	rule     RelatedTo
	template *valueTemplate
	keys     map[Key]bool
}

func (r *related) matches(s *Subject, _ time.Time) bool { return r.keys[s.Key] }

func (p *searchParser) related(o *jqtemplate.Object, path string) searchRule {
	p.members(o, path, "operator", "blueprint", "value", "direction", "required")
	r := &related{rule: RelatedTo{Blueprint: p.text(o, path, "blueprint")}}
	if v, ok := o.Get("direction"); ok {
		r.rule.Direction, _ = v.(string)
		if r.rule.Direction != "upstream" && r.rule.Direction != "downstream" {
			p.faults.Add(member(path, "direction"), `must be "upstream" or "downstream"`)
		}
	}
	if v, ok := o.Get("required"); ok {
		required, ok := v.(bool)
		if !ok {
			p.faults.Add(member(path, "required"), "must be a boolean")
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
		p.faults.Add(path, "is required")
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
					p.faults.Add(fmt.Sprintf("%s[%d]", path, i), "must be a string")
				}
				continue
			}
			values = append(values, s)
		}
		return values
	}
	if !p.AnyValue {
		p.faults.Add(path, "must be a string or an array of strings")
	}
	return nil
}

// maxPathHops is the most that a path's step may be repeated, and the most steps of a path.
const maxPathHops = 15

// path compiles a rule whose property is a path along relations.
func (p *searchParser) path(o, property *jqtemplate.Object, op *operator, path string) searchRule {
	p.members(o, path, "operator", "property", "value")
	if op != nil && op.test != testMatchAny {
		p.faults.Add(member(path, "operator"), "beside a path must be matchAny")
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
		p.faults.Add(path, "must be an array of relations")
		return r
	}
	if len(steps) == 0 || len(steps) > maxPathHops {
		p.faults.Add(path, "must have 1 to %d steps", maxPathHops)
		return r
	}
	for i, step := range steps {
		at := fmt.Sprintf("%s[%d]", path, i)
		hop := Hop{MaxHops: 1}
		switch step := step.(type) {
		case string:
			if hop.Relation = step; step == "" {
				p.faults.Add(at, "must not be empty")
			}
		case *jqtemplate.Object:
			p.members(step, at, "relation", "maxHops")
			hop.Relation = p.text(step, at, "relation")
			if v, ok := step.Get("maxHops"); ok {
				n, ok := v.(float64)
				if !ok || n != float64(int(n)) || n < 1 || n > maxPathHops {
					p.faults.Add(member(at, "maxHops"), "must be a whole number from 1 to %d", maxPathHops)
				}
				hop.MaxHops = int(n)
			}
		default:
			p.faults.Add(at, "must be a relation, or an object with relation and maxHops")
		}
		r.rule.Path = append(r.rule.Path, hop)
	}
	return r
}
