package jq

import (
	"errors"
	"math"
	"slices"
	"strings"

	"longshore/pkg/jqtemplate/value"
)

// setpath returns v with another value at a path.
func (x *exec) setpath(v any, keys []any, to any) (any, error) {
	if len(keys) == 0 {
		return to, nil
	}
	old, err := x.index(v, keys[0])
	if err != nil {
		return nil, err
	}
	if err := x.enter(); err != nil {
		return nil, err
	}
	defer x.leave()
	inner, err := x.setpath(old, keys[1:], to)
	if err != nil {
		return nil, err
	}
	return x.set(v, keys[0], inner)
}

func (x *exec) set(v, key, to any) (any, error) {
	switch k := key.(type) {
	case string:
		o, ok := v.(*value.Object)
		if v == nil {
			o, ok = &value.Object{}, true
		}
		if ok {
			out, n := o.With(x, k, to)
			return out, x.charge(64 + 40*n)
		}
	case float64, value.Number:
		f, _ := value.Float(k)
		list, ok := v.([]any)
		if ok || v == nil {
			i := math.Floor(f)
			if i < 0 {
				if i += float64(len(list)); i < 0 {
					return nil, failf("Out of bounds negative array index")
				}
			}
			if math.IsNaN(i) {
				i = 0
			}
			if i > 536870911 {
				return nil, failf("Array index too large")
			}
			if int(i) >= len(list) {
				return x.grow(list, int(i), to)
			}
			if err := x.charge(16 * len(list)); err != nil {
				return nil, err
			}
			out := slices.Clone(list)
			out[int(i)] = to
			return out, nil
		}
	case *value.Object:
		list, ok := v.([]any)
		if ok || v == nil {
			from, end, err := bounds(len(list), k)
			if err != nil {
				return nil, err
			}
			with, ok := to.([]any)
			if !ok {
				return nil, failf("A slice of an array can only be assigned another array")
			}
			if err := x.charge(16 * (len(list) + len(with))); err != nil {
				return nil, err
			}
			return slices.Concat(list[:from], with, list[end:]), nil
		}
		return nil, failf("Cannot update field at object index of %s", typeName(v))
	case []any:
		if _, ok := v.([]any); ok {
			return nil, failf("Cannot update field at array index of array")
		}
	}
	_, err := x.index(v, key)
	if err == nil {
		err = failf("Invalid path component")
	}
	return nil, err
}

// grow appends to a list, with nulls in between. The room behind a list that this evaluation made is
// marked with the evaluation itself, so that the first to need it may take it.
func (x *exec) grow(list []any, at int, items ...any) ([]any, error) {
	n := at + len(items)
	if cap(list) >= n && len(items) > 0 && at == len(list) {
		free := list[:n]
		if free[at] == any(x) && free[n-1] == any(x) {
			copy(free[at:], items)
			return free, x.charge(16 * len(items))
		}
	}
	room := n + n/2 + 2
	if err := x.charge(16 * room); err != nil {
		return nil, err
	}
	out := make([]any, room)
	copy(out, list)
	copy(out[at:], items)
	for i := n; i < room; i++ {
		out[i] = x
	}
	return out[:n], nil
}

func (x *exec) delpaths(v any, paths []any) (any, error) {
	paths = slices.Clone(paths)
	slices.SortFunc(paths, x.compare)
	for _, p := range slices.Backward(paths) {
		keys, ok := p.([]any)
		if !ok {
			return nil, failf("Path must be specified as an array")
		}
		var err error
		if v, err = x.delpath(v, keys); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (x *exec) delpath(v any, keys []any) (any, error) {
	if len(keys) == 0 || v == nil {
		return nil, nil
	}
	if len(keys) > 1 {
		old, err := x.index(v, keys[0])
		if err != nil || old == nil {
			return v, err
		}
		if err := x.enter(); err != nil {
			return nil, err
		}
		defer x.leave()
		inner, err := x.delpath(old, keys[1:])
		if err != nil {
			return nil, err
		}
		return x.set(v, keys[0], inner)
	}
	switch c := v.(type) {
	case *value.Object:
		name, ok := keys[0].(string)
		if !ok {
			return nil, failf("Cannot delete field at object index of %s", strings.Replace(typeName(keys[0]), "number", "array", 1))
		}
		return c.Without(func(key string) bool { return key == name }), x.charge(40 * c.Len())
	case []any:
		from, to := 0, 0
		switch key := keys[0].(type) {
		case *value.Object:
			var err error
			if from, to, err = bounds(len(c), key); err != nil {
				return nil, err
			}
		case float64, value.Number:
			f, _ := value.Float(key)
			if f = math.Floor(f); f < 0 {
				f += float64(len(c))
			}
			if !(f >= 0 && f < float64(len(c))) {
				return v, nil
			}
			from, to = int(f), int(f)+1
		default:
			return nil, failf("Cannot delete field at array index of array")
		}
		if err := x.charge(16 * len(c)); err != nil {
			return nil, err
		}
		return slices.Concat(c[:from], c[to:]), nil
	}
	return nil, failf("Cannot delete field at index of %s", typeName(v))
}

// paths runs f on v as a path expression.
func (x *exec) paths(f *code, e *env, v any, k func(*path, any) error) error {
	return f.gen(x, e, pv{v, &path{}, v}, func(o pv) error {
		if err := onPath(o); err != nil {
			return err
		}
		return k(o.p, o.v)
	})
}

func assign(l, r *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		return r.values(x, e, in.v, func(to any) error {
			out := in.v
			err := x.paths(l, e, in.v, func(p *path, _ any) (err error) {
				out, err = x.setpath(out, p.list(), to)
				return err
			})
			if err != nil {
				return err
			}
			return k(pv{out, in.p, in.at})
		})
	})
}

// modified updates every path of l by f; where f yields nothing the path is deleted at the end.
func (x *exec) modified(l *code, e *env, v any, f func(any, func(any) error) error) (any, error) {
	out, gone := v, []any{}
	err := x.paths(l, e, v, func(p *path, _ any) error {
		keys := p.list()
		old, err := x.getpath(out, keys)
		if err != nil {
			return err
		}
		found := false
		var to any
		err = f(old, func(v any) error { to, found = v, true; return errStop })
		if err != nil && !found || err != nil && !errors.Is(err, errStop) {
			return err
		}
		if !found {
			gone = append(gone, keys)
			return x.charge(64)
		}
		out, err = x.setpath(out, keys, to)
		return err
	})
	if err != nil || len(gone) == 0 {
		return out, err
	}
	return x.delpaths(out, gone)
}

func modify(l, r *code) *code {
	return single(func(x *exec, e *env, v any) (any, error) {
		return x.modified(l, e, v, func(old any, k func(any) error) error { return r.values(x, e, old, k) })
	})
}

func update(l, r *code, f func(*exec, any, any) (any, error)) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		return r.values(x, e, in.v, func(b any) error {
			out, err := x.modified(l, e, in.v, func(old any, k func(any) error) error {
				v, err := f(x, old, b)
				if err != nil {
					return err
				}
				return k(v)
			})
			if err != nil {
				return err
			}
			return k(pv{out, in.p, in.at})
		})
	})
}

func updateAlt(l, r *code) *code {
	return update(l, r, func(_ *exec, a, b any) (any, error) {
		if truthy(a) {
			return a, nil
		}
		return b, nil
	})
}
