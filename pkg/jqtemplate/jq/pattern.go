package jq

import (
	"slices"
	"strings"

	"github.com/itchyny/gojq"
)

// binder destructures a value and runs what follows in the environment of its variables.
type binder func(x *exec, e *env, v any, run func(*env) error) error

func (c *compiler) bind(source *gojq.Query, patterns []*gojq.Pattern, s *scope, level int, body func(*scope, int) *code) *code {
	from := c.query(source, s, level, false)
	if len(patterns) == 1 && patterns[0].Name != "" && from.one != nil {
		inner := body(&scope{name: patterns[0].Name, level: level + 1, parent: s}, level+1)
		out := many(func(x *exec, e *env, in pv, k cont) error {
			v, err := from.one(x, e, in.v)
			if err != nil {
				return err
			}
			return inner.gen(x, &env{v: v, parent: e}, in, k)
		})
		if inner.one != nil {
			out.one = func(x *exec, e *env, in any) (any, error) {
				v, err := from.one(x, e, in)
				if err != nil {
					return nil, err
				}
				return inner.one(x, &env{v: v, parent: e}, in)
			}
		}
		return out
	}
	bound, inner := c.patterns(patterns, s, level, body)
	return many(func(x *exec, e *env, in pv, k cont) error {
		return from.values(x, e, in.v, func(v any) error {
			return bound(x, e, v, func(e *env) error { return x.drive(inner.gen(x, e, in, k)) })
		})
	})
}

// patterns compiles alternatives of destructuring, and the body behind them: all variables of all of them
// are null where another one binds them. The body is compiled once, for alternatives nest: it sees one
// frame for each variable, whichever alternative has bound it.
func (c *compiler) patterns(patterns []*gojq.Pattern, s *scope, level int, body func(*scope, int) *code) (binder, *code) {
	if len(patterns) == 1 {
		match := c.pattern(patterns[0], &s, &level)
		return func(x *exec, e *env, v any, run func(*env) error) error { return match(x, e, e, v, run) }, body(s, level)
	}
	var variables []string
	for _, p := range patterns {
		for _, name := range names(p) {
			if !slices.Contains(variables, name) {
				variables = append(variables, name)
				level++
				s = &scope{name: name, level: level, parent: s}
			}
		}
	}
	type alternativeCode struct {
		match matcher
		// hops lead from the frame that the alternative ends with to each variable.
		hops []int
	}
	all := make([]alternativeCode, len(patterns))
	for i, p := range patterns {
		inner, at := s, level
		a := &all[i]
		a.match = c.pattern(p, &inner, &at)
		for _, name := range variables {
			a.hops = append(a.hops, at-inner.find(name, 0, false).level)
		}
	}
	return func(x *exec, outer *env, v any, run func(*env) error) error {
		nulls := outer
		for range variables {
			nulls = &env{parent: nulls}
		}
		for i, a := range all {
			if err := x.step(); err != nil {
				return err
			}
			err := a.match(x, nulls, nulls, v, func(bound *env) error {
				e := outer
				for _, hops := range a.hops {
					e = &env{v: bound.up(hops).v, parent: e}
				}
				return run(e)
			})
			if _, failed := isError(err); failed && i < len(all)-1 {
				continue
			}
			return err
		}
		return nil
	}, body(s, level)
}

func names(p *gojq.Pattern) (out []string) {
	if p.Name != "" {
		return []string{p.Name}
	}
	for _, q := range p.Array {
		out = append(out, names(q)...)
	}
	for _, o := range p.Object {
		if strings.HasPrefix(o.Key, "$") {
			out = append(out, o.Key)
		}
		if o.Val != nil {
			out = append(out, names(o.Val)...)
		}
	}
	return out
}

type matcher = func(x *exec, outer, e *env, v any, k func(*env) error) error

func (c *compiler) pattern(p *gojq.Pattern, s **scope, level *int) matcher {
	push := func(name string) {
		*level++
		*s = &scope{name: name, level: *level, parent: *s}
	}
	if p.Name != "" {
		push(p.Name)
		return func(_ *exec, _, e *env, v any, k func(*env) error) error { return k(&env{v: v, parent: e}) }
	}
	all := func(_ *exec, _, e *env, _ any, k func(*env) error) error { return k(e) }
	for i, q := range p.Array {
		before, m := all, c.pattern(q, s, level)
		all = func(x *exec, outer, e *env, v any, k func(*env) error) error {
			if _, ok := v.([]any); !ok && v != nil {
				return failf("Cannot index %s with number", typeName(v))
			}
			return before(x, outer, e, v, func(e *env) error {
				item, err := x.index(v, float64(i))
				if err != nil {
					return err
				}
				return m(x, outer, e, item, k)
			})
		}
	}
	for _, o := range p.Object {
		before := all
		var key *code
		variable := strings.HasPrefix(o.Key, "$")
		switch {
		case variable:
			key = constant(o.Key[1:])
		case o.KeyString != nil:
			key = c.string(o.KeyString, nil, *s, *level)
		case o.KeyQuery != nil:
			key = c.query(o.KeyQuery, *s, *level, false)
		default:
			key = constant(o.Key)
		}
		if variable {
			push(o.Key)
		}
		var m matcher
		if o.Val != nil {
			m = c.pattern(o.Val, s, level)
		}
		all = func(x *exec, outer, e *env, v any, k func(*env) error) error {
			return before(x, outer, e, v, func(e *env) error {
				return key.values(x, e, v, func(name any) error {
					if _, ok := name.(string); !ok {
						return failf("Cannot index %s with %s", typeName(v), typeName(name))
					}
					item, err := x.index(v, name)
					if err != nil {
						return err
					}
					if variable {
						e = &env{v: item, parent: e}
					}
					if m == nil {
						return k(e)
					}
					return m(x, outer, e, item, k)
				})
			})
		}
	}
	return all
}
