package jq

import (
	"errors"
	"strings"

	"github.com/itchyny/gojq"

	"longshore/pkg/jqtemplate/value"
)

func logic(l, r *code, stopAt bool) *code {
	out := &code{}
	if l.one != nil && r.one != nil {
		out = single(func(x *exec, e *env, v any) (any, error) {
			a, err := l.one(x, e, v)
			if err != nil || truthy(a) == stopAt {
				return stopAt, err
			}
			b, err := r.one(x, e, v)
			return truthy(b), err
		})
		return out
	}
	out.gen = func(x *exec, e *env, in pv, k cont) error {
		return l.values(x, e, in.v, func(a any) error {
			if truthy(a) == stopAt {
				return k(pv{stopAt, in.p, in.at})
			}
			return r.values(x, e, in.v, func(b any) error { return k(pv{truthy(b), in.p, in.at}) })
		})
	}
	return out
}

// alternative is //: every output of l that is neither false nor null; if there is none, r. What
// fails in l fails.
func alternative(l, r *code) *code {
	out := &code{}
	if l.one != nil && r.one != nil {
		out.one = func(x *exec, e *env, v any) (any, error) {
			a, err := l.one(x, e, v)
			if err != nil || truthy(a) {
				return a, err
			}
			return r.one(x, e, v)
		}
	}
	out.gen = func(x *exec, e *env, in pv, k cont) error {
		found := false
		err := l.gen(x, e, in, func(o pv) error {
			if !truthy(o.v) {
				return nil
			}
			found = true
			return k(o)
		})
		if err != nil || found {
			return err
		}
		return r.gen(x, e, in, k)
	}
	return out
}

// try catches the failures of body, not those of what comes behind it.
func try(body, handler *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		downstream, depth := false, x.depth
		err := body.gen(x, e, in, func(o pv) error {
			err := k(o)
			downstream = downstream || err != nil
			return err
		})
		f, failed := isError(err)
		if downstream || !failed {
			return err
		}
		x.depth = depth
		if o, ok := f.Value.(*value.Object); ok {
			if b, ok := o.Get("__jq"); ok && b != nil {
				return nil
			}
		}
		if handler == nil {
			return nil
		}
		return handler.gen(x, e, pv{f.Value, in.p, in.at}, k)
	})
}

func label(body *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		x.labels++
		id := x.labels
		err := body.gen(x, &env{v: id, parent: e}, in, k)
		var b *breakError
		if errors.As(err, &b) && b.label == id {
			return nil
		}
		return err
	})
}

func collect(body *code) *code {
	return single(func(x *exec, e *env, v any) (any, error) {
		out := []any{}
		err := body.values(x, e, v, func(o any) error {
			out = append(out, o)
			return x.charge(32)
		})
		return out, err
	})
}

func binary(f func(x *exec, a, b any) (any, error), l, r *code) *code {
	if l.one != nil && r.one != nil {
		return single(func(x *exec, e *env, v any) (any, error) {
			b, err := r.one(x, e, v)
			if err != nil {
				return nil, err
			}
			a, err := l.one(x, e, v)
			if err != nil {
				return nil, err
			}
			return f(x, a, b)
		})
	}
	return many(func(x *exec, e *env, in pv, k cont) error {
		return r.values(x, e, in.v, func(b any) error {
			return l.values(x, e, in.v, func(a any) error {
				v, err := f(x, a, b)
				if err != nil {
					return err
				}
				return k(pv{v, in.p, in.at})
			})
		})
	})
}

type keyVal struct{ key, val *code }

func isScalar(t gojq.TermType) bool {
	switch t {
	case gojq.TermTypeNull, gojq.TermTypeTrue, gojq.TermTypeFalse, gojq.TermTypeNumber:
		return true
	}
	return false
}

func (c *compiler) object(o *gojq.Object, s *scope, level int) *code {
	pairs := make([]keyVal, len(o.KeyVals))
	simple := true
	for i, kv := range o.KeyVals {
		p := &pairs[i]
		switch {
		case strings.HasPrefix(kv.Key, "$"):
			p.key = constant(kv.Key[1:])
		case kv.KeyString != nil:
			p.key = c.string(kv.KeyString, nil, s, level)
		case kv.KeyQuery != nil:
			if t := kv.KeyQuery.Term; t != nil && len(t.SuffixList) == 0 && isScalar(t.Type) {
				return c.fail("", "an object's key cannot be %s", t)
			}
			p.key = c.query(kv.KeyQuery, s, level, false)
		default:
			p.key = constant(kv.Key)
		}
		switch {
		case kv.Val != nil:
			if !memberValue(kv.Val) {
				return c.fail("", "syntax error, a member's value needs parentheses")
			}
			p.val = c.query(kv.Val, s, level, false)
		case strings.HasPrefix(kv.Key, "$"):
			p.val = c.variable(kv.Key, s, level)
		default:
			p.val = access(identity, p.key)
		}
		simple = simple && p.key.one != nil && p.val.one != nil
	}
	if simple {
		return single(func(x *exec, e *env, v any) (any, error) {
			out := &value.Object{}
			if err := x.charge(64 + 64*len(pairs)); err != nil {
				return nil, err
			}
			out.Grow(len(pairs))
			for _, p := range pairs {
				key, err := p.key.one(x, e, v)
				if err != nil {
					return nil, err
				}
				name, ok := key.(string)
				if !ok {
					return nil, failf("Object keys must be strings")
				}
				val, err := p.val.one(x, e, v)
				if err != nil {
					return nil, err
				}
				out.Set(name, val)
			}
			return out, nil
		})
	}
	return many(func(x *exec, e *env, in pv, k cont) error {
		return pairsFrom(x, e, in, pairs, &value.Object{}, k)
	})
}

// memberValue tells whether jq's grammar takes a query as a member's value: terms and pipes of them.
func memberValue(q *gojq.Query) bool {
	if q.Op == gojq.OpPipe && len(q.Patterns) == 0 && len(q.FuncDefs) == 0 {
		return memberValue(q.Left) && memberValue(q.Right)
	}
	return q.Term != nil && len(q.FuncDefs) == 0
}

func pairsFrom(x *exec, e *env, in pv, pairs []keyVal, o *value.Object, k cont) error {
	if len(pairs) == 0 {
		return k(pv{o, in.p, in.at})
	}
	return pairs[0].key.values(x, e, in.v, func(key any) error {
		name, ok := key.(string)
		if !ok {
			return failf("Object keys must be strings")
		}
		return pairs[0].val.values(x, e, in.v, func(v any) error {
			next, n := o.With(x, name, v)
			if err := x.charge(64 + 40*n); err != nil {
				return err
			}
			return pairsFrom(x, e, in, pairs[1:], next, k)
		})
	})
}

// string is a string with interpolations, each put through format.
func (c *compiler) string(str *gojq.String, format func(*exec, any) (string, error), s *scope, level int) *code {
	if str.Queries == nil {
		return constant(strings.ToValidUTF8(str.Str, "\uFFFD"))
	}
	if format == nil {
		format = func(x *exec, v any) (string, error) { return x.tostring(v) }
	}
	out := constant("")
	for _, q := range str.Queries {
		var piece *code
		if q.Term != nil && q.Term.Type == gojq.TermTypeString && len(q.Term.SuffixList) == 0 && q.Term.Str.Queries == nil {
			piece = constant(q.Term.Str.Str)
		} else {
			piece = pipe(c.query(q, s, level, false), single(func(x *exec, _ *env, v any) (any, error) { return format(x, v) }))
		}
		out = binary(add, out, piece)
	}
	return out
}

func (c *compiler) reduce(r *gojq.Reduce, s *scope, level int) *code {
	source, start := c.query(r.Query, s, level, false), c.query(r.Start, s, level, false)
	bound, update := c.patterns(r.Patterns, s, level, func(s *scope, level int) *code { return c.query(r.Update, s, level, false) })
	body := func(x *exec, e *env, in, init any) (any, error) {
		acc := init
		err := source.values(x, e, in, func(v any) error {
			if err := x.step(); err != nil {
				return err
			}
			return bound(x, e, v, func(e *env) error {
				if update.one != nil {
					var err error
					acc, err = update.one(x, e, acc)
					return err
				}
				var last any
				err := update.values(x, e, acc, func(v any) error { last = v; return nil })
				acc = last
				return err
			})
		})
		return acc, err
	}
	out := &code{}
	if start.one != nil {
		out.one = func(x *exec, e *env, v any) (any, error) {
			init, err := start.one(x, e, v)
			if err != nil {
				return nil, err
			}
			return body(x, e, v, init)
		}
	}
	out.gen = func(x *exec, e *env, in pv, k cont) error {
		if in.p != nil {
			return start.gen(x, e, in, func(acc pv) error {
				err := source.values(x, e, in.v, func(v any) error {
					return bound(x, e, v, func(e *env) error {
						last := pv{nil, in.p, in.at}
						err := update.gen(x, e, acc, func(o pv) error { last = o; return x.step() })
						acc = last
						return err
					})
				})
				if err != nil {
					return err
				}
				return k(acc)
			})
		}
		return start.values(x, e, in.v, func(init any) error {
			v, err := body(x, e, in.v, init)
			if err != nil {
				return err
			}
			return k(pv{v, in.p, in.at})
		})
	}
	return out
}

func (c *compiler) foreach(f *gojq.Foreach, s *scope, level int) *code {
	source, start := c.query(f.Query, s, level, false), c.query(f.Start, s, level, false)
	var extract *code
	bound, update := c.patterns(f.Patterns, s, level, func(s *scope, level int) *code {
		update := c.query(f.Update, s, level, false)
		if f.Extract != nil {
			extract = c.query(f.Extract, s, level, false)
		}
		return update
	})
	return many(func(x *exec, e *env, in pv, k cont) error {
		return start.gen(x, e, in, func(acc pv) error {
			return source.values(x, e, in.v, func(v any) error {
				if err := x.step(); err != nil {
					return err
				}
				return bound(x, e, v, func(e *env) error {
					return update.gen(x, e, acc, func(o pv) error {
						acc = o
						if extract != nil {
							return extract.gen(x, e, o, k)
						}
						return k(o)
					})
				})
			})
		})
	})
}
