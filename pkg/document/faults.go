package document

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// maxFaults bounds the text of all faults of one request, in bytes, so that no answer outgrows what
// caused it by much.
const maxFaults = 256 << 10

// maxPath bounds the text of one path, in bytes: names may be as long as a definition.
const maxPath = 1000

// Faults collects the faults of a request. The zero value has none.
type Faults struct {
	details []fault.Detail
	size    int
	// omitted counts those that found no room.
	omitted int
	// spent holds the patterns that ran out of time, if the validation had a budget.
	spent map[string]bool
}

// Add adds a fault; the format makes its sentence.
func (f *Faults) Add(path, format string, args ...any) {
	f.AddDetail(fault.Detail{Path: path, Message: fmt.Sprintf(format, args...)})
}

// AddDetail adds a fault that is already made.
func (f *Faults) AddDetail(d fault.Detail) {
	f.size += len(d.Path) + len(d.Message)
	if f.size > maxFaults {
		f.omitted++
		return
	}
	f.details = append(f.details, d)
}

// AddErr takes over the details of another package's fault; what has no path of its own gets this one.
func (f *Faults) AddErr(path string, err error) {
	var e *fault.Error
	if !errors.As(err, &e) || len(e.Details) == 0 {
		f.Add(path, "%s", err.Error())
		return
	}
	for _, d := range e.Details {
		if d.Path == "" {
			d.Path = path
		}
		f.AddDetail(d)
	}
}

// Clone returns the same faults, to which more can be added without touching these.
func (f *Faults) Clone() Faults {
	c := *f
	c.details = slices.Clone(f.details)
	return c
}

// Any reports whether there is a fault.
func (f *Faults) Any() bool { return len(f.details) > 0 }

// Err returns one fault.Invalid for all faults, sorted by path, or nil.
func (f *Faults) Err() error {
	slices.SortFunc(f.details, func(a, b fault.Detail) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(position(a), position(b)), cmp.Compare(a.Message, b.Message))
	})
	f.details = slices.CompactFunc(f.details, func(a, b fault.Detail) bool {
		return a.Path == b.Path && a.Message == b.Message && position(a) == position(b)
	})
	if f.omitted > 0 {
		f.details = append(f.details, fault.Detail{Message: fmt.Sprintf("at least %d more faults are not listed", f.omitted)})
	}
	return fault.InvalidDetails(f.details)
}

func position(d fault.Detail) int {
	if d.Position == nil {
		return -1
	}
	return *d.Position
}

// Validate checks a value and adds its faults under a base path.
func (f *Faults) Validate(s *jsonschema.Schema, v any, base string) {
	var e *jsonschema.ValidationError
	if errors.As(s.Validate(v), &e) {
		f.translate(e, v, base)
	}
}

// translate adds the leaves of a validation error. They never quote the value, which may be a secret.
func (f *Faults) translate(e *jsonschema.ValidationError, root any, base string) {
	if f.size > maxFaults {
		f.omitted++
		return
	}
	at := func(name ...string) string {
		return pathOf(root, base, append(slices.Clip(e.InstanceLocation), name...))
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			f.Add(at(name), "is required")
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			f.Add(at(name), "unknown field")
		}
	default:
		if len(e.Causes) == 0 {
			f.Add(at(), "%s", f.sentence(e.ErrorKind))
			return
		}
		for _, c := range e.Causes {
			f.translate(c, root, base)
		}
	}
}

// pathOf writes a location below base, whose value is root, as a.b[0].c.
func pathOf(root any, base string, location []string) string {
	path := base
	for _, step := range location {
		switch v := root.(type) {
		case []any:
			path += "[" + step + "]"
			root = nil
			if i, err := strconv.Atoi(step); err == nil && i < len(v) {
				root = v[i]
			}
		case map[string]any:
			path, root = Below(path, step), v[step]
		default:
			path, root = Below(path, step), nil
		}
		if len(path) > maxPath {
			return strings.ToValidUTF8(path[:maxPath], "") + "…"
		}
	}
	return path
}

// Below returns the path of a member. Names that are not made of letters, digits, _, $ and - stand in
// brackets as JSON strings, as jqtemplate writes them.
func Below(path, name string) string {
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

// rules say in words what the patterns of the embedded schemas mean.
var rules = map[string]string{
	`^(?!(\.|\.\.|runs|bulk)$)[\p{L}0-9@_.+:=-]+$`: `must be made of letters, digits and @ _ . + : = -, and be none of ".", "..", "runs", "bulk"`,
	`^(?!\.{1,2}$)[\p{L}0-9@_.+:\\/-]+$`:           `must be made of letters, digits and @ _ . + : \ / -, and be neither "." nor ".."`,
	`^(?!\.{1,2}$)[\p{L}0-9@_.+:\\/=-]+$`:          `must be made of letters, digits and @ _ . + : \ / = -, and be neither "." nor ".."`,
	`^([A-Za-z0-9@_=\\$-]+\.)+[^.]+$`:              "must be a relation's name, a dot and a property of what it leads to",
	`^[^;#/\?\s][^;#/\?]*[^;#/\?\s]$`:              "must have at least 2 characters, none of ; # / ? and no white space at its ends",
	`^[^\s].*[^\s]$`:                               `must be one line of at least 2 characters without white space at its ends`,
	`^(rate|cron|at)\(.+\)$`:                       `must be rate(…), cron(…) or at(…)`,
}

// sentence says what a keyword wants.
func (f *Faults) sentence(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		if slices.Equal(k.Want, []string{"null"}) {
			return "cannot stand here"
		}
		return "must be " + typeNames(k.Want) + ", got " + typeName(k.Got)
	case *kind.Enum:
		return "must be " + oneOf(k.Want)
	case *kind.Const:
		return "must be " + oneOf([]any{k.Want})
	case *kind.Format:
		if rule, ok := formatRules[k.Want]; ok {
			return rule
		}
		return k.Err.Error() // Of an enum: see Draft.Enum.
	case *kind.Pattern:
		if f.spent[k.Want] {
			return fmt.Sprintf("matching the pattern %s takes too long", k.Want)
		}
		if rule, ok := rules[k.Want]; ok {
			return rule
		}
		return fmt.Sprintf("must match the pattern %s", k.Want)
	case *kind.MinLength:
		return "must have at least " + plural(k.Want, "character")
	case *kind.MaxLength:
		return "must have at most " + plural(k.Want, "character")
	case *kind.MinItems:
		return "must have at least " + plural(k.Want, "item")
	case *kind.MaxItems:
		return "must have at most " + plural(k.Want, "item")
	case *kind.UniqueItems:
		return fmt.Sprintf("must have no equal items, %d and %d are", k.Duplicates[0], k.Duplicates[1])
	case *kind.MinProperties:
		return "must have at least " + plural(k.Want, "member")
	case *kind.MaxProperties:
		return "must have at most " + plural(k.Want, "member")
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + number(k.Want)
	default:
		return "is not valid"
	}
}

// formatRules are the sentences of the formats that are checked.
var formatRules = map[string]string{
	"date-time": "must be a date-time of RFC 3339, such as 2026-01-31T09:30:00Z",
	"url":       "must be an absolute URL with scheme and host",
	"email":     "must be an e-mail address",
	"idn-email": "must be an e-mail address",
	"ipv4":      "must be an IPv4 address",
	"ipv6":      "must be an IPv6 address",
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func number(r *big.Rat) string {
	f, _ := r.Float64()
	return string(jqtemplate.Encode(f))
}

func typeName(t string) string {
	switch t {
	case "null":
		return t
	case "object", "array", "integer":
		return "an " + t
	default:
		return "a " + t
	}
}

// typeNames joins types with "or". Null is left out beside others: it only means that the member is
// optional.
func typeNames(types []string) string {
	var names []string
	for _, t := range types {
		if t != "null" {
			names = append(names, typeName(t))
		}
	}
	return join(names)
}

// oneOf lists plain values, at most 30 of them. Null is left out, as in typeNames.
func oneOf(values []any) string {
	var names []string
	for _, v := range values {
		if len(names) == 30 {
			names = append(names, "…")
			break
		}
		if v == nil && len(values) > 1 {
			continue
		}
		var text strings.Builder
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil || text.Len() > 200 {
			names = append(names, "…")
			continue
		}
		names = append(names, strings.TrimSpace(text.String()))
	}
	if len(names) == 1 {
		return names[0]
	}
	return "one of " + strings.Join(names, ", ")
}

func join(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
