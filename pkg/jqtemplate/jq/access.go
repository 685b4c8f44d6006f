package jq

import (
	"math"
	"unicode/utf8"

	"github.com/itchyny/gojq"

	"longshore/pkg/jqtemplate/value"
)

// identical tells whether a value is still the one at its path, as jv_identical does.
func identical(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
	case *value.Object:
		b, ok := b.(*value.Object)
		return ok && a == b
	}
	return typeName(a) == typeName(b) && value.Compare(a, b, nil) == 0
}

// onPath refuses to go on from a value that is not the one at its path.
func onPath(in pv) error {
	if in.left() {
		return failf("Invalid path expression with result %s", shortTo(in.v, sizePath))
	}
	return nil
}

// left tells whether a value has left its path.
func (in pv) left() bool { return in.p != nil && !identical(in.v, in.at) }

// stepSize is what a step of a path takes, in bytes.
const stepSize = 64

// under is the value under a key of in, one step further on its path.
func (in pv) under(key, v any) pv {
	if in.p == nil {
		return pv{v: v}
	}
	return pv{v, &path{in.p, key}, v}
}

// access is l[key]: key is evaluated on the input, not on l's outputs.
func access(l, key *code) *code {
	out := &code{}
	if l.one != nil && key.one != nil {
		out.one = func(x *exec, e *env, v any) (any, error) {
			k, err := key.one(x, e, v)
			if err != nil {
				return nil, err
			}
			if v, err = l.one(x, e, v); err != nil {
				return nil, err
			}
			return x.index(v, k)
		}
	}
	out.gen = func(x *exec, e *env, in pv, k cont) error {
		return key.values(x, e, in.v, func(key any) error {
			return l.gen(x, e, in, func(o pv) error {
				if o.left() {
					return failf("Invalid path expression near attempt to access element %s of %s", short(key), shortTo(o.v, sizePath))
				}
				v, err := x.index(o.v, key)
				if err != nil {
					return err
				}
				if o.p != nil {
					if err := x.charge(stepSize); err != nil {
						return err
					}
				}
				return k(o.under(key, v))
			})
		})
	}
	return out
}

func (c *compiler) index(l *code, ix *gojq.Index, s *scope, level int) *code {
	switch {
	case ix.Name != "":
		return access(l, constant(ix.Name))
	case ix.Str != nil:
		return access(l, c.string(ix.Str, nil, s, level))
	case !ix.IsSlice:
		return access(l, c.query(ix.Start, s, level, false))
	}
	bound := func(q *gojq.Query) *code {
		if q == nil {
			return constant(nil)
		}
		return c.query(q, s, level, false)
	}
	return access(l, binary(func(_ *exec, from, to any) (any, error) {
		o := &value.Object{}
		o.Set("start", from)
		o.Set("end", to)
		return o, nil
	}, bound(ix.Start), bound(ix.End)))
}

func (x *exec) index(v, key any) (any, error) {
	switch v := v.(type) {
	case *value.Object:
		if name, ok := key.(string); ok {
			out, _ := v.Get(name)
			return out, nil
		}
	case []any:
		if f, ok := value.Float(key); ok {
			i := math.Floor(f)
			if i < 0 {
				i += float64(len(v))
			}
			if !(i >= 0 && i < float64(len(v))) {
				return nil, nil
			}
			return v[int(i)], nil
		}
		switch key := key.(type) {
		case *value.Object:
			from, to, err := bounds(len(v), key)
			if err != nil {
				return nil, err
			}
			return v[from:to:to], nil
		case []any:
			return x.itemIndices(v, key)
		}
	case string:
		if key, ok := key.(*value.Object); ok {
			from, to, err := bounds(utf8.RuneCountInString(v), key)
			if err != nil {
				return nil, err
			}
			at := cursor{text: v}
			start := at.offset(from)
			return v[start:at.offset(to)], x.work(len(v))
		}
	case nil:
		switch key := key.(type) {
		case string, float64, value.Number:
			return nil, nil
		case *value.Object:
			_, _, err := bounds(0, key)
			return nil, err
		case nil:
			return nil, nil
		}
	}
	if name, ok := key.(string); ok {
		return nil, failf("Cannot index %s with string \"%s\"", typeName(v), name)
	}
	return nil, failf("Cannot index %s with %s", typeName(v), typeName(key))
}

// bounds turns {start, end} into offsets, as parse_slice of jq's source does.
func bounds(n int, key *value.Object) (from, to int, err error) {
	start, _ := key.Get("start")
	end, _ := key.Get("end")
	f, isStart := value.Float(start)
	t, isEnd := value.Float(end)
	if !isStart && start != nil || !isEnd && end != nil {
		return 0, 0, failf("Start and end indices of an array slice must be numbers")
	}
	length := float64(n)
	if end == nil {
		t = length
	}
	clamp := func(f float64) float64 {
		if f < 0 {
			f += length
		}
		return max(0, min(f, length))
	}
	f, t = clamp(f), clamp(t)
	if math.IsNaN(f) {
		f = 0
	}
	if math.IsNaN(t) {
		t = length
	}
	if t < f {
		t = f
	}
	return int(f), int(math.Ceil(t)), nil
}

// iterate is .[]: members and items in their order.
var iterate = many(func(x *exec, _ *env, in pv, k cont) error {
	if in.left() {
		return failf("Invalid path expression near attempt to iterate through %s", short(in.v))
	}
	switch v := in.v.(type) {
	case []any:
		for i, item := range v {
			if err := x.step(); err != nil {
				return err
			}
			o := pv{v: item}
			if in.p != nil {
				o = in.under(float64(i), item)
			}
			if err := k(o); err != nil {
				return err
			}
		}
		return nil
	case *value.Object:
		for _, m := range v.Members() {
			if err := x.step(); err != nil {
				return err
			}
			if err := k(in.under(m.Key, m.Value)); err != nil {
				return err
			}
		}
		return nil
	}
	return failf("Cannot iterate over %s", describe(in.v))
})

var recurseAll = many(func(x *exec, _ *env, in pv, k cont) error { return x.descend(in, k) })

func (x *exec) descend(in pv, k cont) error {
	if err := x.enter(); err != nil {
		return err
	}
	defer x.leave()
	if err := k(in); err != nil {
		return err
	}
	switch in.v.(type) {
	case []any, *value.Object:
		return iterate.gen(x, nil, in, func(o pv) error { return x.descend(o, k) })
	}
	return nil
}

func (x *exec) getpath(v any, keys []any) (any, error) {
	for _, key := range keys {
		if v == nil {
			return nil, nil
		}
		var err error
		if v, err = x.index(v, key); err != nil {
			return nil, err
		}
	}
	return v, nil
}
