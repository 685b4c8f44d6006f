package jqtemplate

import (
	"cmp"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/itchyny/gojq"
)

// Data is a JSON value made ready for any number of renderings. Several goroutines may use it; those
// whose templates have more than plain paths take turns.
type Data struct {
	value any
	// mu guards all below, and what native holds: gojq writes to maps that it was given, if only what
	// is there already.
	mu sync.Mutex
	// native is the value in gojq's form, made when the first expression needs it.
	native any
	// origins tells the object that a map of native was made from. gojq never changes what a map that
	// it was given holds, so a map in a result that is found here is that object, in its own order.
	origins map[uintptr]*Object
}

// NewData prepares a value. It must not be changed afterwards.
func NewData(v any) *Data { return &Data{value: v} }

// toNative is called with mu held.
func (d *Data) toNative() any {
	if d.origins == nil {
		d.origins = map[uintptr]*Object{}
		d.native = d.convert(d.value)
	}
	return d.native
}

func (d *Data) convert(v any) any {
	switch v := v.(type) {
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = d.convert(item)
		}
		return items
	case *Object:
		members := make(map[string]any, v.Len())
		for key, value := range v.All() {
			members[key] = d.convert(value)
		}
		d.origins[mapAddress(members)] = v
		return members
	default:
		return v
	}
}

func mapAddress(m map[string]any) uintptr { return reflect.ValueOf(m).Pointer() }

// reader turns gojq's results into JSON values.
type reader struct {
	origins map[uintptr]*Object
	// budget is how many more values the result may hold.
	budget int
}

func (r *reader) value(v any, depth int) (any, error) {
	if r.budget--; r.budget < 0 {
		return nil, errTooLong
	}
	switch v := v.(type) {
	case nil, bool, float64:
		return v, nil
	case string:
		if len(v) > maxOutput {
			return nil, errTooLong
		}
		return strings.ToValidUTF8(v, "\uFFFD"), nil
	case int:
		return float64(v), nil
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		return f, nil
	case []any:
		if depth >= MaxDepth {
			return nil, errTooDeep
		}
		if len(v) > r.budget {
			return nil, errTooLong
		}
		items := make([]any, len(v))
		for i, item := range v {
			var err error
			if items[i], err = r.value(item, depth+1); err != nil {
				return nil, err
			}
		}
		return items, nil
	case map[string]any:
		if o := r.origins[mapAddress(v)]; o != nil {
			return o, nil
		}
		if depth >= MaxDepth {
			return nil, errTooDeep
		}
		if len(v) > r.budget {
			return nil, errTooLong
		}
		o := &Object{members: make([]member, 0, len(v))}
		for key, value := range v {
			value, err := r.value(value, depth+1)
			if err != nil {
				return nil, err
			}
			o.members = append(o.members, member{strings.ToValidUTF8(key, "\uFFFD"), value})
		}
		slices.SortFunc(o.members, func(a, b member) int { return cmp.Compare(a.key, b.key) })
		o.reindex()
		return o, nil
	default:
		return nil, jqError("a value of no JSON type: " + gojq.TypeOf(v))
	}
}

// cutText ends a text at its first U+0000, as all text that leaves an expression of the original
// engine does.
func cutText(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}

// cutAtNUL applies cutText to every string and name of a value, which is not changed.
func cutAtNUL(v any) any {
	switch v := v.(type) {
	case string:
		return cutText(v)
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = cutAtNUL(item)
		}
		return items
	case *Object:
		o := &Object{}
		for key, value := range v.All() {
			o.Set(cutText(key), cutAtNUL(value))
		}
		return o
	default:
		return v
	}
}
