package catalog

import (
	"slices"
	"strings"
)

// Selection says what of an entity an answer has. The zero value has everything.
type Selection struct {
	include, exclude map[string]bool
	// ExcludeCalculated leaves out mirror and calculation properties.
	ExcludeCalculated bool
	// AttachTitles answers with {"identifier", "title"} in place of each identifier of a relation, and
	// AttachIdentifiers with the same in place of each title that a mirror property shows. Calculations
	// do not see it.
	AttachTitles, AttachIdentifiers bool
}

// NewSelection reads the parameters include and exclude: each is repeated, or separated by commas.
// Names are plain (title, a property's or a relation's), $title and the like, properties and relations
// for all of them, or dotted: properties.x, relations.x. What is both included and excluded is left
// out; the identifier is left out only when it is excluded.
func NewSelection(include, exclude []string) Selection {
	return Selection{include: names(include), exclude: names(exclude)}
}

func names(lists []string) map[string]bool {
	var m map[string]bool
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			if name == "" {
				continue
			}
			if m == nil {
				m = map[string]bool{}
			}
			m[name] = true
		}
	}
	return m
}

// meta reports whether the answer has a member that is neither properties nor relations.
func (s Selection) meta(name string) bool {
	at := []string{name, "$" + name}
	return !has(s.exclude, at) && (s.include == nil || name == "identifier" || has(s.include, at))
}

// member reports whether the answer has a member of a group, properties or relations.
func (s Selection) member(group, name string) bool {
	at := []string{name, group, group + "." + name}
	return !has(s.exclude, at) && (s.include == nil || has(s.include, at))
}

// group reports whether the answer has the group though it has none of its members.
func (s Selection) group(group string) bool {
	return !s.exclude[group] && (s.include == nil || s.include[group])
}

func has(m map[string]bool, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return m[n] })
}
