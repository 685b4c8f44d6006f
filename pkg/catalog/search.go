package catalog

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"longshore/pkg/jqtemplate"
)

const (
	// MaxSearchDepth is how deep the groups of a search nest, the outermost one included.
	MaxSearchDepth = 20
	// MaxSearchRules is how many rules and groups a search has.
	MaxSearchRules = 1000
	// MaxSearchValues is how many values one rule lists.
	MaxSearchValues = 1000
	// MaxSearchValuesInAll is how many values all rules of a search list together.
	MaxSearchValuesInAll = 10_000
)

// Search is a compiled search among entities:
//
//	{"combinator": "and"|"or", "rules": [rule or group, …]}
//
// A rule compares a property, a built-in property ($identifier, $title, …), a relation's targets, all
// properties of a schema, or a property of the caller, with a value. A group without rules restricts
// nothing, whatever its combinator.
//
// What each operator makes of a value that is not there: null and missing are the same.
//
//	operator                          matches                                             null, missing
//	= value                           the same JSON value                                 = null only
//	= list                            an array with the same elements, as a set           no
//	= range                           as between                                          no
//	> >= < <=                         two numbers, or two date-times                      no
//	between                           a date-time within the range, both ends included    no
//	notBetween                        a date-time outside the range                       no
//	contains                          text within text; an element of an array;           no
//	                                  of a list of values, all of them
//	containsAny                       the same, of at least one of the values             no
//	beginsWith endsWith               text that does so, by at least one of the values    no
//	in matchAny                       a value that is one of the values, or an array      no
//	                                  that has such an element
//	isEmpty                           null, "", [] and {}                                 yes
//	isExpired                         a date-time that has passed                         no
//	isNotExpired                      a date-time that has not passed yet                 no
//	!= notIn                          where = and in do not match                         yes, but != null
//	isNotEmpty                        where isEmpty does not match                        no
//	doesNotContains                   where contains does not match                       yes
//	doesNotBeginsWith doesNotEndsWith where beginsWith, endsWith do not match             yes
//
// Nothing is converted: 5 is not "5", "a" is not ["a"], and a value of a type that an operator is not
// about does not match it, so that it matches the operator's negation. Text is compared exactly, case
// included. Text that is a date-time of RFC 3339 is compared as an instant with text or a time that
// is one too, whatever its zone and precision; identifiers, titles, authors and teams are always
// compared as text. Where a Service or a Reader searches, a team's name means its identifier in $team
// and $owned_by_team, on both sides. Days are UTC days. "lastDay" is the 24 hours before now, "lastWeek" the 7 days
// before now, and so on; "today", "yesterday" and "tomorrow" are whole days.
//
// A property of the caller is one value (context user) or several (userTeams: one of each team).
// Where there are several, a rule matches if it does for one of them, and a negated rule if it does
// for none. A property that the caller does not have matches nothing, not even null.
//
// A Search is never changed and serves any number of goroutines.
type Search struct {
	root     *searchGroup
	anyValue bool
	warnings []jqtemplate.Warning
}

// SearchOptions say what a search may hold.
type SearchOptions struct {
	// AllowTemplates lets the value of a rule be a template, {{ … }} in any string of it, or
	// {"jqQuery": "…"}. Such a search is rendered before it is used. Without it such text is text.
	AllowTemplates bool
	// AnyValue accepts every value beside every operator, as datasets do, also after rendering. A value
	// that an operator cannot use matches nothing, and everything where the operator is a negation.
	AnyValue bool
}

// Subject is an entity as a search sees it.
type Subject struct {
	// Key is what RelatedTo rules are resolved to.
	Key Key
	// Blueprint is the identifier of the entity's blueprint.
	Blueprint string
	// Title and Icon are text, or nil for none.
	Title, Icon any
	// Team names the entity's own teams.
	Team []string
	// OwnedByTeam names the teams that own it, by its own or by its blueprint's ownership.
	OwnedByTeam          []string
	CreatedAt, UpdatedAt time.Time
	// CreatedBy and UpdatedBy are empty for nobody.
	CreatedBy, UpdatedBy string
	// Properties has the values, computed ones included.
	Properties *jqtemplate.Object
	// Schema is the member "properties" of the blueprint's schema; only rules with a propertySchema read it.
	Schema *jqtemplate.Object
	// Relations has identifiers: text, an array of it, or nil.
	Relations *jqtemplate.Object
	// RelatedTitle returns the title of a relation's target; only rules with the targetProperty
	// "$title" call it. Nil means that no target has a title.
	RelatedTitle func(relation, identifier string) string
}

// ContextProperty is a property of who searches.
type ContextProperty struct {
	// Property is a property of a _user or _team entity, or a built-in one such as $identifier.
	Property string
	// Context is "user" or "userTeams".
	Context string
}

// ParseSearch compiles a search, a value as jqtemplate.Decode returns it. The error is one
// fault.Invalid with all faults; their paths begin with path.
func ParseSearch(value any, path string, o SearchOptions) (*Search, error) {
	p := searchParser{SearchOptions: o}
	root := p.group(value, path, 1)
	if err := p.faults.Err(); err != nil {
		return nil, err
	}
	return &Search{root: root, anyValue: o.AnyValue, warnings: p.warnings}, nil
}

// Warnings returns the expressions of the search that do not compile. Rendering it fails.
func (s *Search) Warnings() []jqtemplate.Warning { return s.warnings }

// Matches tells whether an entity is among those that the search is for. Rules that still wait for
// Render, Bind or Resolve do not match.
func (s *Search) Matches(subject *Subject, now time.Time) bool {
	return s.root.matches(subject, now)
}

// Render returns the search with the values of its templates. The error is a fault.Invalid: an
// expression that failed or took too long, or a value that its operator cannot use; of a cancelled
// ctx it is ctx's. A search that cannot be rendered is not to be used in part: without the rule that
// failed it would match more than it should. An expression without a result is null. A value that was rendered is taken as it is, never as a template or a context again.
func (s *Search) Render(ctx context.Context, data *jqtemplate.Data) (*Search, error) {
	p := searchParser{SearchOptions: SearchOptions{AnyValue: s.anyValue}}
	// Once the time is over each template would only say so again.
	render := func(t *valueTemplate) (v any, ok bool) {
		if t == nil || ctx.Err() != nil && p.faults.Any() {
			return nil, false
		}
		v, err := t.render(ctx, data)
		if err != nil {
			p.faults.AddErr(t.path, err)
		}
		return v, err == nil
	}
	root := s.root.rewrite(func(r searchRule) searchRule {
		switch r := r.(type) {
		case *comparison:
			if v, ok := render(r.template); ok {
				c := *r
				c.operands, c.template = p.operands(c.operator, v, r.template.path), nil
				return &c
			}
		case *related:
			if v, ok := render(r.template); ok {
				c := *r
				c.rule.Values, c.template = p.identifiers(v, r.template.path), nil
				return &c
			}
		}
		return r
	})
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return nil, err
	}
	if err := p.faults.Err(); err != nil {
		return nil, err
	}
	return &Search{root: root, anyValue: s.anyValue}, nil
}

// Bind returns the search with the properties of who searches. Get returns the values of one: at most
// one of a user, one for each team of userTeams; nil for none. It is asked once for each property. What
// is bound already stays.
func (s *Search) Bind(get func(ContextProperty) ([]any, error)) (*Search, error) {
	var failed error
	known := map[ContextProperty][]any{}
	values := func(c *ContextProperty) []any {
		if c == nil || failed != nil {
			return nil
		}
		v, ok := known[*c]
		if !ok {
			if v, failed = get(*c); failed != nil {
				return nil
			}
			v = slices.DeleteFunc(slices.Clone(v), func(v any) bool { return v == nil })
			known[*c] = v
		}
		return v
	}
	root := s.root.rewrite(func(r searchRule) searchRule {
		c, ok := r.(*comparison)
		if !ok || c.bound || c.caller == nil && c.value == nil {
			return r
		}
		bound := *c
		if c.caller != nil {
			bound.callerValues = values(c.caller)
		}
		if c.value != nil {
			bound.operands = boundOperands(c.operator, values(c.value))
		}
		bound.value, bound.bound = nil, true
		return &bound
	})
	if failed != nil {
		return nil, failed
	}
	return &Search{root: root, anyValue: s.anyValue, warnings: s.warnings}, nil
}

// RelatedTo returns the rules about relations among entities, in their order.
func (s *Search) RelatedTo() []RelatedTo {
	var rules []RelatedTo
	s.root.rewrite(func(r searchRule) searchRule {
		if r, ok := r.(*related); ok {
			rules = append(rules, r.rule)
		}
		return r
	})
	return rules
}

// Resolve returns the search with the sets of entities that its RelatedTo rules are for. Those with
// templates must have been rendered.
func (s *Search) Resolve(find func(RelatedTo) (map[Key]bool, error)) (*Search, error) {
	var failed error
	root := s.root.rewrite(func(r searchRule) searchRule {
		rule, ok := r.(*related)
		if !ok || failed != nil {
			return r
		}
		resolved := *rule
		if resolved.keys, failed = find(rule.rule); failed != nil {
			return r
		}
		return &resolved
	})
	if failed != nil {
		return nil, failed
	}
	return &Search{root: root, anyValue: s.anyValue, warnings: s.warnings}, nil
}

// Blueprints returns the blueprints that all matching entities are of, sorted; ok is false when the
// search does not restrict them. There may be none.
func (s *Search) Blueprints() (identifiers []string, ok bool) {
	return s.restriction(fieldBlueprint)
}

// Identifiers returns the identifiers that matching entities may have, sorted; ok is false when the
// search does not restrict them. There may be none.
func (s *Search) Identifiers() (identifiers []string, ok bool) {
	return s.restriction(fieldIdentifier)
}

// Keys returns the entities that may match, by the RelatedTo rules that were resolved; ok is false when
// those restrict nothing. There may be none.
func (s *Search) Keys() (keys map[Key]bool, ok bool) {
	return restriction(s.root, func(r searchRule) (map[Key]bool, bool) {
		if r, ok := r.(*related); ok {
			// One that was not resolved matches nothing.
			keys := make(map[Key]bool, len(r.keys))
			for k, in := range r.keys {
				if in {
					keys[k] = true
				}
			}
			return keys, true
		}
		return nil, false
	})
}

// Needs says what of a Subject a search reads beyond what an entity itself holds, so that a caller
// computes no more than that.
type Needs struct {
	// Properties are the properties that rules name.
	Properties map[string]bool
	// Schema says that rules are about all properties of a schema.
	Schema bool
	// OwnedByTeam says that the owning teams are asked for.
	OwnedByTeam bool
	// RelatedTitles are the relations whose targets' titles are asked for.
	RelatedTitles map[string]bool
}

// Needs returns what the search reads.
func (s *Search) Needs() Needs {
	n := Needs{Properties: map[string]bool{}, RelatedTitles: map[string]bool{}}
	s.root.rewrite(func(r searchRule) searchRule {
		if c, ok := r.(*comparison); ok {
			n.Schema = n.Schema || c.schema != nil
			n.OwnedByTeam = n.OwnedByTeam || c.field == fieldOwnedByTeam
			if c.property != "" {
				n.Properties[c.property] = true
			}
			if c.title {
				n.RelatedTitles[c.relation] = true
			}
		}
		return r
	})
	return n
}

func (s *Search) restriction(f field) ([]string, bool) {
	set, ok := restriction(s.root, func(r searchRule) (map[string]bool, bool) {
		if c, ok := r.(*comparison); ok {
			return c.restricts(f)
		}
		return nil, false
	})
	if !ok {
		return nil, false
	}
	list := slices.AppendSeq(make([]string, 0, len(set)), maps.Keys(set))
	slices.Sort(list)
	return list, true
}

// restriction returns the only values that an entity which matches can have, as far as rules say; of
// makes a set of its own for a rule, or says that the rule restricts nothing.
func restriction[K comparable](r searchRule, of func(searchRule) (map[K]bool, bool)) (map[K]bool, bool) {
	g, ok := r.(*searchGroup)
	if !ok {
		return of(r)
	}
	var set map[K]bool
	restricted := false
	for _, r := range g.rules {
		values, ok := restriction(r, of)
		switch {
		case !ok && g.or:
			return nil, false
		case !ok:
		case !restricted:
			set, restricted = values, true
		case g.or:
			maps.Copy(set, values)
		default:
			maps.DeleteFunc(set, func(v K, _ bool) bool { return !values[v] })
		}
	}
	return set, restricted
}

// searchRule is a rule or a group.
type searchRule interface {
	matches(s *Subject, now time.Time) bool
}

type searchGroup struct {
	or    bool
	rules []searchRule
}

func (g *searchGroup) matches(s *Subject, now time.Time) bool {
	for _, r := range g.rules {
		if r.matches(s, now) == g.or {
			return g.or
		}
	}
	return !g.or || len(g.rules) == 0
}

// rewrite returns the group with each rule, in order, replaced by what f makes of it.
func (g *searchGroup) rewrite(f func(searchRule) searchRule) *searchGroup {
	copied := &searchGroup{or: g.or, rules: make([]searchRule, len(g.rules))}
	for i, r := range g.rules {
		if inner, ok := r.(*searchGroup); ok {
			copied.rules[i] = inner.rewrite(f)
		} else {
			copied.rules[i] = f(r)
		}
	}
	return copied
}
