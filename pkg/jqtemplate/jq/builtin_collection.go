package jq

import (
	"math"
	"slices"
	"strings"

	"longshore/pkg/jqtemplate/value"
)

func collectionBuiltins() []native {
	return []native{
		{name: "keys", call: func(x *exec, v any, _ []any) (any, error) { return keys(x, v, true) }},
		{name: "keys_unsorted", call: func(x *exec, v any, _ []any) (any, error) { return keys(x, v, false) }},
		{name: "has", args: 1, call: func(_ *exec, v any, args []any) (any, error) { return has(v, args[0]) }},
		{name: "contains", args: 1, call: func(x *exec, v any, args []any) (any, error) { return containment(x, v, args[0]) }},
		{name: "add", call: sum},
		{name: "flatten", call: func(x *exec, v any, _ []any) (any, error) { return flatten(x, v, 1e9) }},
		{name: "flatten", args: 1, call: func(x *exec, v any, args []any) (any, error) { return flatten(x, v, args[0]) }},
		{name: "sort", call: func(x *exec, v any, _ []any) (any, error) {
			list, ok := v.([]any)
			if !ok {
				return nil, wrongType(v, "cannot be sorted, as it is not an array")
			}
			return itemsOf(x.sorted(list, list))
		}},
		{name: "sort_by", args: 1, make: keyed("cannot be sorted, as they are not both arrays", func(x *exec, list, keys []any) (any, error) {
			return itemsOf(x.sorted(list, keys))
		})},
		{name: "group_by", args: 1, make: keyed("cannot be sorted, as they are not both arrays", groupBy)},
		{name: "unique_by", args: 1, make: keyed("cannot be sorted, as they are not both arrays", uniqueBy)},
		{name: "unique", make: func([]*code) *code {
			return keyed("cannot be sorted, as they are not both arrays", uniqueBy)([]*code{identity})
		}},
		{name: "min_by", args: 1, make: keyed("cannot be iterated over", least)},
		{name: "max_by", args: 1, make: keyed("cannot be iterated over", greatest)},
		{name: "min", call: func(x *exec, v any, _ []any) (any, error) { return extreme(x, v, least) }},
		{name: "max", call: func(x *exec, v any, _ []any) (any, error) { return extreme(x, v, greatest) }},
		{name: "reverse", call: reverse},
		{name: "bsearch", args: 1, call: func(x *exec, v any, args []any) (any, error) { return bsearch(x, v, args[0]) }},
	}
}

const collectionDefinitions = `
def transpose: if . == [] then [] else . as $in | (map(length) | max) as $max
  | [range(0; $max) as $j | [range(0; $in | length) as $i | $in[$i][$j]]] end;
`

func keys(x *exec, v any, sorted bool) (any, error) {
	switch c := v.(type) {
	case *value.Object:
		if err := x.charge(48 * c.Len()); err != nil {
			return nil, err
		}
		out := make([]any, 0, c.Len())
		if sorted {
			for _, key := range c.SortedKeys() {
				out = append(out, key)
			}
			return out, nil
		}
		for _, m := range c.Members() {
			out = append(out, m.Key)
		}
		return out, nil
	case []any:
		if err := x.charge(32 * len(c)); err != nil {
			return nil, err
		}
		out := make([]any, len(c))
		for i := range c {
			out[i] = float64(i)
		}
		return out, nil
	}
	return nil, wrongType(v, "has no keys")
}

func has(v, key any) (any, error) {
	switch c := v.(type) {
	case *value.Object:
		if name, ok := key.(string); ok {
			_, found := c.Get(name)
			return found, nil
		}
	case []any:
		if f, ok := value.Float(key); ok {
			return math.Trunc(f) >= 0 && math.Trunc(f) < float64(len(c)), nil
		}
	}
	return nil, failf("Cannot check whether %s has a %s key", typeName(v), typeName(key))
}

// containment tells whether b is part of a: a text of a text, every item in some item, every member in
// that of its name; any other value equals it.
func containment(x *exec, a, b any) (any, error) {
	// True and false are kinds of their own here.
	if l, ok := a.(bool); typeName(a) != typeName(b) || ok && l != b {
		return nil, unfit(a, b, "cannot have their containment checked")
	}
	return x.includes(a, b)
}

func (x *exec) includes(a, b any) (bool, error) {
	if err := x.enter(); err != nil {
		return false, err
	}
	defer x.leave()
	switch l := a.(type) {
	case *value.Object:
		r, ok := b.(*value.Object)
		if !ok {
			return false, nil
		}
		for _, m := range r.Members() {
			v, ok := l.Get(m.Key)
			if !ok {
				return false, nil
			}
			if found, err := x.includes(v, m.Value); err != nil || !found {
				return false, err
			}
		}
		return true, nil
	case []any:
		r, ok := b.([]any)
		if !ok {
			return false, nil
		}
		for _, wanted := range r {
			found := false
			for _, item := range l {
				var err error
				if found, err = x.includes(item, wanted); err != nil {
					return false, err
				}
				if found {
					break
				}
			}
			if !found {
				return false, nil
			}
		}
		return true, nil
	case string:
		if r, ok := b.(string); ok {
			return strings.Contains(l, r), x.charge(len(l) / 64)
		}
	}
	return x.compare(a, b) == 0, nil
}

func sum(x *exec, v any, _ []any) (any, error) {
	// Texts are put together at once: one by one takes the square of their length.
	if list, ok := v.([]any); ok && len(list) > 2 {
		n := 0
		for _, item := range list {
			s, ok := item.(string)
			if !ok {
				n = -1
				break
			}
			n += len(s)
		}
		if n >= 0 {
			if err := x.charge(n); err != nil {
				return nil, err
			}
			var out strings.Builder
			out.Grow(n)
			for _, item := range list {
				out.WriteString(item.(string))
			}
			return out.String(), nil
		}
	}
	var out any
	err := each(x, v, func(item any) (err error) {
		if err = x.step(); err != nil {
			return err
		}
		out, err = add(x, out, item)
		return err
	})
	return out, err
}

// flatten puts the items of inner arrays in their place, down to a depth.
func flatten(x *exec, v, depth any) (any, error) {
	if x.compare(depth, 0.0) < 0 {
		return nil, failf("flatten depth must not be negative")
	}
	out := []any{}
	var from func(v, depth any) error
	from = func(v, depth any) error {
		return each(x, v, func(item any) error {
			inner, ok := item.([]any)
			if !ok || x.compare(depth, 0.0) == 0 {
				out = append(out, item)
				return x.charge(32)
			}
			less, err := subtract(x, depth, 1.0)
			if err != nil {
				return err
			}
			return x.nested(func() error { return from(inner, less) })
		})
	}
	err := from(v, depth)
	return out, err
}

type keyedItem struct{ key, item any }

// sorted orders items by their keys; equal ones stay in their order.
func (x *exec) sorted(list, keys []any) ([]keyedItem, error) {
	if err := x.charge(64 * len(list)); err != nil {
		return nil, err
	}
	out := make([]keyedItem, len(list))
	for i := range list {
		out[i] = keyedItem{keys[i], list[i]}
	}
	var failure error
	slices.SortStableFunc(out, func(a, b keyedItem) int {
		if failure == nil {
			failure = x.step()
		}
		if failure != nil {
			return 0
		}
		return x.compare(a.key, b.key)
	})
	return out, failure
}

func itemsOf(sorted []keyedItem, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	out := make([]any, len(sorted))
	for i, s := range sorted {
		out[i] = s.item
	}
	return out, nil
}

// keyed makes a builtin of a function of the items and their keys: an array of f's outputs for each.
func keyed(message string, f func(x *exec, list, keys []any) (any, error)) func([]*code) *code {
	return func(args []*code) *code {
		by := args[0]
		return single(func(x *exec, e *env, v any) (any, error) {
			keys := []any{}
			err := each(x, v, func(item any) error {
				key := []any{}
				err := by.values(x, e, item, func(o any) error {
					key = append(key, o)
					return x.charge(16)
				})
				if err != nil {
					return err
				}
				keys = append(keys, key)
				return x.charge(64)
			})
			if err != nil {
				return nil, err
			}
			list, ok := v.([]any)
			if !ok {
				return nil, unfit(v, keys, message)
			}
			return f(x, list, keys)
		})
	}
}

func groupBy(x *exec, list, keys []any) (any, error) {
	sorted, err := x.sorted(list, keys)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for i := 0; i < len(sorted); {
		group := []any{}
		j := i
		for ; j < len(sorted) && (j == i || x.compare(sorted[i].key, sorted[j].key) == 0); j++ {
			group = append(group, sorted[j].item)
		}
		if err := x.charge(64 + 32*len(group)); err != nil {
			return nil, err
		}
		out = append(out, group)
		i = j
	}
	return out, nil
}

func uniqueBy(x *exec, list, keys []any) (any, error) {
	groups, err := groupBy(x, list, keys)
	if err != nil {
		return nil, err
	}
	out := groups.([]any)
	for i, group := range out {
		out[i] = group.([]any)[0]
	}
	return out, nil
}

// least is the first item with the smallest key.
func least(x *exec, list, keys []any) (any, error) {
	return pickBy(x, list, keys, func(c int) bool { return c < 0 })
}

// greatest is the last item with the largest key.
func greatest(x *exec, list, keys []any) (any, error) {
	return pickBy(x, list, keys, func(c int) bool { return c >= 0 })
}

func pickBy(x *exec, list, keys []any, better func(int) bool) (any, error) {
	if len(list) == 0 {
		return nil, nil
	}
	at := 0
	for i := 1; i < len(list); i++ {
		if err := x.step(); err != nil {
			return nil, err
		}
		if better(x.compare(keys[i], keys[at])) {
			at = i
		}
	}
	return list[at], nil
}

func extreme(x *exec, v any, f func(x *exec, list, keys []any) (any, error)) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, unfit(v, v, "cannot be iterated over")
	}
	return f(x, list, list)
}

// size is length, for those whose definition asks for it first.
func size(v any) (float64, error) {
	switch c := v.(type) {
	case nil:
		return 0, nil
	case string:
		return float64(len([]rune(c))), nil
	case []any:
		return float64(len(c)), nil
	case *value.Object:
		return float64(c.Len()), nil
	}
	if f, ok := value.Float(v); ok {
		return math.Abs(f), nil
	}
	return 0, wrongType(v, "has no length")
}

func reverse(x *exec, v any, _ []any) (any, error) {
	switch c := v.(type) {
	case []any:
		out := slices.Clone(c)
		slices.Reverse(out)
		if out == nil {
			out = []any{}
		}
		return out, x.charge(16 * len(c))
	}
	n, err := size(v)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		_, err := x.index(v, n-1)
		return nil, err
	}
	return []any{}, nil
}

// bsearch looks for a value in a sorted array: its index, or -1 minus that at which it would be put.
// The steps are those of jq's own definition: an array may be in any order.
func bsearch(x *exec, v, target any) (any, error) {
	n, err := size(v)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok && n > 0 {
		if _, err := x.index(v, 0.0); err != nil {
			return nil, err
		}
	}
	low, high := 0, len(list)-1
	for low <= high {
		middle := (low + high) / 2
		c := x.compare(list[middle], target)
		switch {
		case c == 0:
			return float64(middle), x.step()
		case low == high:
			if c < 0 {
				low++
			}
			return float64(-1 - low), x.step()
		case c < 0:
			low = middle + 1
		default:
			high = middle - 1
		}
	}
	if low < len(list) && x.compare(list[low], target) < 0 {
		low++
	}
	return float64(-1 - low), x.step()
}
