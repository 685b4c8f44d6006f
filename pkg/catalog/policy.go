package catalog

import (
	"fmt"
	"slices"
	"strings"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// Block says who may do something: the users, by e-mail, those who hold one of the roles, those who are
// in one of the teams, and, with OwnedByTeam, those who are in a team of the entity that it is about.
// A policy decides alone.
type Block struct {
	Users, Roles, Teams []string
	OwnedByTeam         bool
	Policy              *Policy
}

// Policy decides by what the catalog has.
type Policy struct {
	// Queries are searches, whose values may be templates, in their order.
	Queries []PolicyQuery
	// Conditions see what the queries yield: one that holds suffices. Those that do not compile never
	// hold; they are nil.
	Conditions []*jqtemplate.Expression
	// Entity is the other form of policy, which permissions of blueprints may have: it holds for the
	// entities that the search is for.
	Entity *Search
	// Warnings are the expressions that do not compile.
	Warnings []jqtemplate.Warning
}

// PolicyQuery is a search and the name under which conditions see what it yields.
type PolicyQuery struct {
	Name   string
	Search *Search
}

// Members of blocks.
const (
	blockUsers       = "users"
	blockRoles       = "roles"
	blockTeams       = "teams"
	blockOwnedByTeam = "ownedByTeam"
	blockPolicy      = "policy"
)

// ActionBlock and ApprovalBlock return the members of a block of an action's permissions.
func ActionBlock() []string {
	return []string{blockUsers, blockRoles, blockTeams, blockOwnedByTeam, blockPolicy}
}

// ApprovalBlock returns those of a block about approval.
func ApprovalBlock() []string { return []string{blockUsers, blockRoles, blockTeams, blockPolicy} }

// ParseBlock reads a block that stands at path and adds its faults. Members that are null count as
// absent. What is no object yields nil.
func ParseBlock(f *document.Faults, v any, path string, members []string) *Block {
	return parseBlock(f, v, path, members, false)
}

func parseBlock(f *document.Faults, v any, path string, members []string, ofEntity bool) *Block {
	o, isObject := v.(*jqtemplate.Object)
	if !isObject {
		if v != nil {
			f.Add(path, "must be an object")
		}
		return nil
	}
	b := new(Block)
	for name, v := range o.All() {
		at := document.Below(path, name)
		if !slices.Contains(members, name) {
			f.Add(at, "is not known; there are %s", strings.Join(members, ", "))
			continue
		}
		if v == nil {
			continue
		}
		switch name {
		case blockUsers:
			b.Users = parseNames(f, v, at)
		case blockRoles:
			b.Roles = parseNames(f, v, at)
		case blockTeams:
			b.Teams = parseNames(f, v, at)
		case blockOwnedByTeam:
			var isBool bool
			if b.OwnedByTeam, isBool = v.(bool); !isBool {
				f.Add(at, "must be a boolean")
			}
		case blockPolicy:
			b.Policy = parsePolicy(f, v, at, ofEntity)
		}
	}
	return b
}

func parseNames(f *document.Faults, v any, path string) []string {
	list, isList := v.([]any)
	names := document.Texts(v)
	if !isList || len(names) != len(list) {
		f.Add(path, "must be an array of strings")
	}
	return names
}

func parsePolicy(f *document.Faults, v any, path string, ofEntity bool) *Policy {
	o, isObject := v.(*jqtemplate.Object)
	if !isObject {
		f.Add(path, "must be an object")
		return nil
	}
	p := new(Policy)
	search := func(v any, path string) *Search {
		s, err := ParseSearch(v, path, SearchOptions{AllowTemplates: true})
		if err != nil {
			f.AddErr(path, err)
			return nil
		}
		p.Warnings = append(p.Warnings, s.Warnings()...)
		return s
	}
	_, hasRules := o.Get("rules")
	_, hasCombinator := o.Get("combinator")
	if ofEntity && (hasRules || hasCombinator) {
		p.Entity = search(o, path)
		return p
	}
	for name, v := range o.All() {
		at := document.Below(path, name)
		switch name {
		case "queries":
			queries, isObject := v.(*jqtemplate.Object)
			if !isObject && v != nil {
				f.Add(at, "must be an object of searches")
			}
			for name, v := range queries.All() {
				if s := search(v, document.Below(at, name)); s != nil {
					p.Queries = append(p.Queries, PolicyQuery{name, s})
				}
			}
		case "conditions":
			p.conditions(f, v, at)
		default:
			f.Add(at, "is not known; a policy has queries and conditions")
		}
	}
	return p
}

func (p *Policy) conditions(f *document.Faults, v any, path string) {
	list, isList := v.([]any)
	switch {
	case v == nil:
		return
	case !isList:
		f.Add(path, "must be an array of jq expressions")
		return
	case len(list) == 0:
		f.Add(path, "must have at least one jq expression")
	}
	for i, v := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		text, isText := v.(string)
		if !isText || text == "" {
			f.Add(at, "must be a jq expression")
			continue
		}
		e, w := document.Expression(at, text)
		if w != nil {
			p.Warnings = append(p.Warnings, *w)
		}
		p.Conditions = append(p.Conditions, e)
	}
}
