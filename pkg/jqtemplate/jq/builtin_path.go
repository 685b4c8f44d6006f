package jq

import (
	"errors"

	"longshore/pkg/jqtemplate/value"
)

func pathBuiltins() []native {
	return []native{
		{name: "path", args: 1, make: func(a []*code) *code { return pathsOf(a[0]) }},
		{name: "paths", make: func([]*code) *code { return pathsBelow(nil) }},
		{name: "paths", args: 1, make: func(a []*code) *code { return pathsBelow(a[0]) }},
		{name: "getpath", args: 1, make: func(a []*code) *code { return getPath(a[0]) }},
		{name: "setpath", args: 2, call: func(x *exec, v any, args []any) (any, error) {
			keys, ok := args[0].([]any)
			if !ok {
				return nil, failf("Path must be specified as an array")
			}
			return x.setpath(v, keys, args[1])
		}},
		{name: "delpaths", args: 1, call: func(x *exec, v any, args []any) (any, error) {
			paths, ok := args[0].([]any)
			if !ok {
				return nil, failf("Paths must be specified as an array")
			}
			return x.delpaths(v, paths)
		}},
		{name: "del", args: 1, make: func(a []*code) *code { return del(a[0]) }},
		{name: "pick", args: 1, make: func(a []*code) *code { return pick(a[0]) }},
		{name: "map", args: 1, make: func(a []*code) *code { return collect(pipe(iterate, a[0])) }},
		{name: "map_values", args: 1, make: func(a []*code) *code { return modify(iterate, a[0]) }},
		{name: "walk", args: 1, make: func(a []*code) *code { return walk(a[0]) }},
		{name: "to_entries", call: toEntries},
		{name: "from_entries", call: fromEntries},
		{name: "with_entries", args: 1, make: func(a []*code) *code {
			to, from := cartesian(toEntries, nil), cartesian(fromEntries, nil)
			return pipe(to, pipe(collect(pipe(iterate, a[0])), from))
		}},
		{name: "tostream", make: func([]*code) *code {
			return many(func(x *exec, _ *env, in pv, k cont) error {
				return events(x, in.v, nil, func(v any) error { return k(pv{v, in.p, in.at}) })
			})
		}},
	}
}

const pathDefinitions = `
def fromstream(f): {x: null, e: false} as $init | foreach f as $i ($init;
  if .e then $init else . end
  | if $i | length == 2
    then setpath(["e"]; $i[0] | length == 0) | setpath(["x"] + $i[0]; $i[1])
    else setpath(["e"]; $i[0] | length == 1) end;
  if .e then .x else empty end);
def truncate_stream(stream): . as $n | null | stream | . as $input
  | if (.[0] | length) > $n then setpath([0]; .[0][$n:]) else empty end;
`

func pathsOf(f *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		return x.paths(f, e, in.v, func(p *path, _ any) error {
			keys := p.list()
			if err := x.charge(32 + 16*len(keys)); err != nil {
				return err
			}
			return k(pv{keys, in.p, in.at})
		})
	})
}

// pathsBelow yields the paths of all values inside the input for which node holds.
func pathsBelow(node *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		return x.paths(recurseAll, e, in.v, func(p *path, v any) error {
			if p.parent == nil {
				return nil
			}
			keys := p.list()
			if err := x.charge(32 + 16*len(keys)); err != nil {
				return err
			}
			if node == nil {
				return k(pv{keys, in.p, in.at})
			}
			return node.values(x, e, v, func(t any) error {
				if !truthy(t) {
					return nil
				}
				return k(pv{keys, in.p, in.at})
			})
		})
	})
}

func getPath(f *code) *code {
	out := &code{}
	if f.one != nil {
		out.one = func(x *exec, e *env, v any) (any, error) {
			p, err := f.one(x, e, v)
			if err != nil {
				return nil, err
			}
			keys, ok := p.([]any)
			if !ok {
				return nil, failf("Path must be specified as an array")
			}
			return x.getpath(v, keys)
		}
	}
	out.gen = func(x *exec, e *env, in pv, k cont) error {
		return f.values(x, e, in.v, func(p any) error {
			keys, ok := p.([]any)
			if !ok {
				return failf("Path must be specified as an array")
			}
			if err := onPath(in); err != nil {
				return err
			}
			v, err := x.getpath(in.v, keys)
			if err != nil {
				return err
			}
			o := pv{v: v}
			if in.p != nil {
				o.p, o.at = in.p, v
				for _, key := range keys {
					if err := x.charge(48); err != nil {
						return err
					}
					o.p = &path{o.p, key}
				}
			}
			return k(o)
		})
	}
	return out
}

func del(f *code) *code {
	return single(func(x *exec, e *env, v any) (any, error) {
		paths := []any{}
		err := x.paths(f, e, v, func(p *path, _ any) error {
			keys := p.list()
			paths = append(paths, keys)
			return x.charge(48 + 16*len(keys))
		})
		if err != nil {
			return nil, err
		}
		return x.delpaths(v, paths)
	})
}

func pick(f *code) *code {
	return single(func(x *exec, e *env, v any) (out any, err error) {
		err = x.paths(f, e, v, func(p *path, _ any) error {
			keys := p.list()
			at, err := x.getpath(v, keys)
			if err != nil {
				return err
			}
			out, err = x.setpath(out, keys, at)
			return err
		})
		return out, err
	})
}

// walk applies f to every value, to the inner ones first. In an array all its outputs take the item's
// place, in an object the first; without one the member goes.
func walk(f *code) *code {
	var from func(x *exec, e *env, v any, k func(any) error) error
	from = func(x *exec, e *env, v any, k func(any) error) error {
		if err := x.enter(); err != nil {
			return err
		}
		defer x.leave()
		switch c := v.(type) {
		case []any:
			out := make([]any, 0, len(c))
			for _, item := range c {
				err := from(x, e, item, func(v any) error {
					out = append(out, v)
					return x.charge(32)
				})
				if err != nil {
					return err
				}
			}
			v = out
		case *value.Object:
			out := &value.Object{}
			out.Grow(c.Len())
			for _, m := range c.Members() {
				if err := x.charge(64); err != nil {
					return err
				}
				done := &breakError{-1}
				err := from(x, e, m.Value, func(v any) error {
					out.Set(m.Key, v)
					return done
				})
				if err != nil && !errors.Is(err, done) {
					return err
				}
			}
			v = out
		}
		return f.values(x, e, v, k)
	}
	return many(func(x *exec, e *env, in pv, k cont) error {
		return from(x, e, in.v, func(v any) error { return k(pv{v, in.p, in.at}) })
	})
}

func toEntries(x *exec, v any, _ []any) (any, error) {
	entry := func(key, v any) any {
		o := &value.Object{}
		o.Grow(2)
		o.Set("key", key)
		o.Set("value", v)
		return o
	}
	switch c := v.(type) {
	case *value.Object:
		if err := x.charge(160 * c.Len()); err != nil {
			return nil, err
		}
		out := make([]any, 0, c.Len())
		for _, m := range c.Members() {
			out = append(out, entry(m.Key, m.Value))
		}
		return out, nil
	case []any:
		if err := x.charge(160 * len(c)); err != nil {
			return nil, err
		}
		out := make([]any, 0, len(c))
		for i, item := range c {
			out = append(out, entry(float64(i), item))
		}
		return out, nil
	}
	return nil, wrongType(v, "has no keys")
}

func fromEntries(x *exec, v any, _ []any) (any, error) {
	out := &value.Object{}
	err := each(x, v, func(entry any) error {
		var key any
		for _, name := range []string{"key", "name", "Name", "Key"} {
			k, err := x.index(entry, name)
			if err != nil {
				return err
			}
			if truthy(k) || key == nil {
				key = k
			}
			if truthy(k) {
				break
			}
		}
		name, ok := key.(string)
		if !ok {
			return failf("Cannot use %s as object key", describe(key))
		}
		o := entry.(*value.Object)
		val, ok := o.Get("value")
		if !ok {
			val, _ = o.Get("Value")
		}
		out.Set(name, val)
		return x.charge(64)
	})
	return out, err
}

// each calls f for every member or item.
func each(x *exec, v any, f func(any) error) error {
	return iterate.gen(x, nil, pv{v: v}, func(o pv) error { return f(o.v) })
}

// events yields the parts of tostream.
func events(x *exec, v any, at []any, k func(any) error) error {
	if err := x.enter(); err != nil {
		return err
	}
	defer x.leave()
	key := func(key any) []any { return append(at[:len(at):len(at)], key) }
	charge := func() error { return x.charge(96 + 16*len(at)) }
	var end any
	child := func(name, v any) error {
		if err := charge(); err != nil {
			return err
		}
		end = name
		return events(x, v, key(name), k)
	}
	switch c := v.(type) {
	case []any:
		for i, item := range c {
			if err := child(float64(i), item); err != nil {
				return err
			}
		}
	case *value.Object:
		for _, m := range c.Members() {
			if err := child(m.Key, m.Value); err != nil {
				return err
			}
		}
	}
	if err := charge(); err != nil {
		return err
	}
	if end == nil {
		return k([]any{append([]any{}, at...), v})
	}
	return k([]any{key(end)})
}
