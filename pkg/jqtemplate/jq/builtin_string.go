package jq

import (
	"math"
	"strings"
	"unicode/utf8"

	"longshore/pkg/jqtemplate/value"
)

func stringBuiltins() []native {
	one := func(f func(x *exec, v any) (any, error)) func(*exec, any, []any) (any, error) {
		return func(x *exec, v any, _ []any) (any, error) { return f(x, v) }
	}
	two := func(f operation) func(*exec, any, []any) (any, error) {
		return func(x *exec, v any, args []any) (any, error) { return f(x, v, args[0]) }
	}
	return []native{
		{name: "length", call: one(length)},
		{name: "utf8bytelength", call: one(byteLength)},
		{name: "ascii_downcase", call: one(mapped('A', 'Z', 'a'-'A'))},
		{name: "ascii_upcase", call: one(mapped('a', 'z', 'A'-'a'))},
		{name: "explode", call: one(explode)},
		{name: "implode", call: one(implode)},
		{name: "trim", call: one(trimmed(true, true))},
		{name: "ltrim", call: one(trimmed(true, false))},
		{name: "rtrim", call: one(trimmed(false, true))},
		{name: "tostring", call: one(func(x *exec, v any) (any, error) { return x.tostring(v) })},
		{name: "tojson", call: one(func(x *exec, v any) (any, error) { return x.json(v) })},
		{name: "tonumber", call: one(toNumber)},
		{name: "toboolean", call: one(toBoolean)},
		{name: "fromjson", call: one(fromJSON)},
		{name: "startswith", args: 1, call: two(affixed("startswith", strings.HasPrefix))},
		{name: "endswith", args: 1, call: two(affixed("endswith", strings.HasSuffix))},
		{name: "ltrimstr", args: 1, call: two(stripped(strings.TrimPrefix))},
		{name: "rtrimstr", args: 1, call: two(stripped(strings.TrimSuffix))},
		{name: "trimstr", args: 1, call: two(stripped(func(s, affix string) string {
			return strings.TrimSuffix(strings.TrimPrefix(s, affix), affix)
		}))},
		{name: "split", args: 1, call: two(splitText)},
		{name: "join", args: 1, call: two(join)},
		{name: "_strindices", args: 1, call: two(textIndices)},
		{name: "indices", args: 1, call: two(allIndices)},
		{name: "index", args: 1, call: two(firstIndex)},
		{name: "rindex", args: 1, call: two(lastIndex)},
		{name: "format", args: 1, call: two(formatted)},
	}
}

func length(x *exec, v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return 0.0, nil
	case string:
		return float64(utf8.RuneCountInString(v)), x.work(len(v))
	case []any:
		return float64(len(v)), nil
	case *value.Object:
		return float64(v.Len()), nil
	case bool:
		return nil, wrongType(v, "has no length")
	}
	f, _ := value.Float(v)
	return value.Computed(math.Abs(f)), nil
}

func byteLength(_ *exec, v any) (any, error) {
	if s, ok := v.(string); ok {
		return float64(len(s)), nil
	}
	return nil, wrongType(v, "only strings have UTF-8 byte length")
}

// mapped moves the ASCII letters of a range by a distance. jq defines it with explode, whose error
// text it therefore has.
func mapped(from, to byte, by int) func(x *exec, v any) (any, error) {
	return func(x *exec, v any) (any, error) {
		s, ok := v.(string)
		if !ok {
			return nil, failf("explode input must be a string")
		}
		if err := x.charge(len(s)); err != nil {
			return nil, err
		}
		out := []byte(s)
		for i, c := range out {
			if from <= c && c <= to {
				out[i] = byte(int(c) + by)
			}
		}
		return string(out), nil
	}
}

func explode(x *exec, v any) (any, error) {
	s, ok := v.(string)
	if !ok {
		return nil, failf("explode input must be a string")
	}
	if err := x.charge(24 * len(s)); err != nil {
		return nil, err
	}
	out := make([]any, 0, len(s))
	for _, r := range s {
		out = append(out, float64(r))
	}
	return out, nil
}

func implode(x *exec, v any) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, failf("implode input must be an array")
	}
	if err := x.charge(4 * len(list)); err != nil {
		return nil, err
	}
	var out strings.Builder
	for _, item := range list {
		f, ok := value.Float(item)
		if !ok || math.IsNaN(f) {
			return nil, wrongType(item, "can't be imploded, unicode codepoint needs to be numeric")
		}
		r := rune(utf8.RuneError)
		if f > -1 && f <= utf8.MaxRune {
			r = rune(f)
		}
		out.WriteRune(r) // A surrogate becomes U+FFFD.
	}
	return out.String(), nil
}

// trimmed takes white space, as C's isspace and Unicode know it, from the ends of a text.
func trimmed(left, right bool) func(x *exec, v any) (any, error) {
	space := func(r rune) bool {
		switch {
		case r >= 9 && r <= 13, r == ' ', r == 0x85, r == 0xa0, r == 0x1680, r >= 0x2000 && r <= 0x200a,
			r == 0x2028, r == 0x2029, r == 0x202f, r == 0x205f, r == 0x3000:
			return true
		}
		return false
	}
	return func(x *exec, v any) (any, error) {
		s, ok := v.(string)
		if !ok {
			return nil, wrongType(v, "trim input must be a string")
		}
		if left {
			s = strings.TrimLeftFunc(s, space)
		}
		if right {
			s = strings.TrimRightFunc(s, space)
		}
		return s, x.work(len(s))
	}
}

func affixed(name string, has func(s, affix string) bool) operation {
	return func(x *exec, a, b any) (any, error) {
		s, ok := a.(string)
		affix, is := b.(string)
		if !ok || !is {
			return nil, failf("%s() requires string inputs", name)
		}
		return has(s, affix), nil
	}
}

// stripped takes an affix from a text; anything but texts stays as it is.
func stripped(strip func(s, affix string) string) operation {
	return func(x *exec, a, b any) (any, error) {
		s, ok := a.(string)
		affix, is := b.(string)
		if !ok || !is {
			return a, nil
		}
		return strip(s, affix), nil
	}
}

func splitText(x *exec, a, b any) (any, error) {
	s, ok := a.(string)
	separator, is := b.(string)
	if !ok || !is {
		return nil, failf("split input and separator must be strings")
	}
	return x.split(s, separator)
}

// join is jq's definition: the items added to one another with the separator between them, null as
// the empty text, numbers and booleans as their JSON text.
func join(x *exec, a, b any) (any, error) {
	var items []any
	switch v := a.(type) {
	case []any:
		items = v
	case *value.Object:
		if err := x.charge(16 * v.Len()); err != nil {
			return nil, err
		}
		for _, m := range v.Members() {
			items = append(items, m.Value)
		}
	default:
		return nil, failf("Cannot iterate over %s", describe(a))
	}
	var out strings.Builder
	separator, ok := b.(string)
	for i, item := range items {
		if i > 0 {
			if !ok && b != nil {
				return nil, unfit(out.String(), b, "cannot be added")
			}
			out.WriteString(separator)
		}
		text := ""
		switch v := item.(type) {
		case nil:
		case string:
			text = v
		case []any, *value.Object:
			return nil, unfit(out.String(), v, "cannot be added")
		default:
			var err error
			if text, err = x.json(v); err != nil {
				return nil, err
			}
		}
		if err := x.charge(2 * (len(separator) + len(text))); err != nil {
			return nil, err
		}
		out.WriteString(text)
	}
	return out.String(), nil
}

// textIndices are the bytes at which a text begins in another, overlapping ones too.
func textIndices(x *exec, a, b any) (any, error) {
	s, ok := a.(string)
	sub, is := b.(string)
	if !ok {
		return nil, wrongType(a, "cannot be searched, as it is not a string")
	}
	if !is {
		return nil, wrongType(b, "is not a string")
	}
	out := []any{}
	if sub == "" {
		return out, nil
	}
	if err := x.work(len(s)); err != nil {
		return nil, err
	}
	for at := 0; ; at++ {
		i := strings.Index(s[at:], sub)
		if i < 0 {
			return out, nil
		}
		if err := x.charge(24); err != nil {
			return nil, err
		}
		at += i
		out = append(out, float64(at))
	}
}

func allIndices(x *exec, a, b any) (any, error) {
	switch v := a.(type) {
	case []any:
		sub, ok := b.([]any)
		if !ok {
			sub = []any{b}
		}
		return x.itemIndices(v, sub)
	case string:
		if _, ok := b.(string); ok {
			return textIndices(x, a, b)
		}
	}
	return x.index(a, b)
}

func (x *exec) itemIndices(v, sub []any) (any, error) {
	if len(sub) == 0 {
		return nil, nil
	}
	out := []any{}
	for i := 0; i+len(sub) <= len(v); i++ {
		same := true
		for j := 0; same && j < len(sub); j++ {
			if err := x.step(); err != nil {
				return nil, err
			}
			same = x.compare(v[i+j], sub[j]) == 0
		}
		if same {
			if err := x.charge(24); err != nil {
				return nil, err
			}
			out = append(out, float64(i))
		}
	}
	return out, nil
}

// firstIndex is indices(b)|.[0], without collecting the others of a text.
func firstIndex(x *exec, a, b any) (any, error) {
	if s, ok := a.(string); ok {
		if sub, ok := b.(string); ok {
			if i := strings.Index(s, sub); i >= 0 && sub != "" {
				return float64(i), x.work(len(s))
			}
			return nil, x.work(len(s))
		}
	}
	all, err := allIndices(x, a, b)
	if err != nil {
		return nil, err
	}
	return x.index(all, 0.0)
}

// lastIndex is indices(b)|.[-1:][0].
func lastIndex(x *exec, a, b any) (any, error) {
	if s, ok := a.(string); ok {
		if sub, ok := b.(string); ok {
			if i := strings.LastIndex(s, sub); i >= 0 && sub != "" {
				return float64(i), x.work(len(s))
			}
			return nil, x.work(len(s))
		}
	}
	all, err := allIndices(x, a, b)
	if err != nil {
		return nil, err
	}
	switch v := all.(type) {
	case nil:
		return nil, nil
	case []any:
		return x.index(v, -1.0)
	case string:
		return nil, failf("Cannot index string with number")
	}
	return nil, failf("Cannot index %s with object", typeName(all))
}

func toNumber(x *exec, v any) (any, error) {
	if _, ok := value.Float(v); ok {
		return v, nil
	}
	if s, ok := v.(string); ok {
		// A NUL ends the text: jq hands it to its parser as a string of C.
		s, _, _ = strings.Cut(s, "\x00")
		n, err := x.parse(s)
		if err != nil {
			return nil, err
		}
		if _, ok := value.Float(n); ok {
			return n, nil
		}
	}
	return nil, wrongType(v, "cannot be parsed as a number")
}

func toBoolean(_ *exec, v any) (any, error) {
	switch v {
	case true, "true":
		return true, nil
	case false, "false":
		return false, nil
	}
	return nil, wrongType(v, "cannot be parsed as a boolean")
}

func fromJSON(x *exec, v any) (any, error) {
	s, ok := v.(string)
	if !ok {
		return nil, wrongType(v, "only strings can be parsed")
	}
	return x.parse(s)
}
