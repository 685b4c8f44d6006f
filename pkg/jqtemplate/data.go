package jqtemplate

import (
	"slices"
	"strings"
	"sync"

	"longshore/pkg/jqtemplate/value"
)

// Data is a JSON value that templates are rendered with; any number of goroutines may use it at once.
type Data struct {
	value any
	// ordered returns the value as expressions see it.
	ordered func() any
}

// NewData prepares a value. It must not be changed afterwards.
func NewData(v any) *Data {
	return &Data{v, sync.OnceValue(func() any {
		o, _ := inOrder(v)
		return o
	})}
}

// inOrder returns a value whose objects have their members in the order in which JavaScript hands them
// to jq, integer-like names first; same reports that it is v itself.
func inOrder(v any) (ordered any, same bool) {
	switch v := v.(type) {
	case []any:
		var items []any
		for i, item := range v {
			o, same := inOrder(item)
			if same {
				continue
			}
			if items == nil {
				items = slices.Clone(v)
			}
			items[i] = o
		}
		if items == nil {
			return v, true
		}
		return items, false
	case *Object:
		members := v.Ordered()
		same := len(members) == 0 || &members[0] == &v.Members()[0]
		for i, m := range members {
			o, kept := inOrder(m.Value)
			if kept {
				continue
			}
			if same {
				members, same = slices.Clone(members), false
			}
			members[i].Value = o
		}
		if same {
			return v, true
		}
		out := &Object{}
		out.Grow(len(members))
		for _, m := range members {
			out.Set(m.Key, m.Value)
		}
		return out, false
	}
	return v, true
}

// cutText is a text as it leaves an expression of the original engine: it ends at its first U+0000.
func cutText(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return strings.ToValidUTF8(s, "\uFFFD")
}

// plain applies cutText to every string and name of a value, which is not changed, and makes every
// number a double.
func plain(v any) any {
	switch v := v.(type) {
	case string:
		return cutText(v)
	case value.Number:
		return v.F
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = plain(item)
		}
		return items
	case *Object:
		o := &Object{}
		for _, m := range v.Members() {
			o.Set(cutText(m.Key), plain(m.Value))
		}
		return o
	default:
		return v
	}
}
