package jq

import (
	"errors"
	"fmt"
	"strings"

	"github.com/itchyny/gojq"

	"longshore/pkg/jqtemplate/value"
)

// scope is a chain of the names that a query may use.
type scope struct {
	name   string
	params int
	// level is the length of the environment in which the binding's frame is the last, or of that in
	// which a function was defined.
	level  int
	def    *function
	isFunc bool
	parent *scope
}

type function struct {
	name   string
	params []string
	body   *code
}

func (s *scope) find(name string, params int, isFunc bool) *scope {
	for ; s != nil; s = s.parent {
		if s.isFunc == isFunc && s.name == name && s.params == params {
			return s
		}
	}
	return nil
}

// maxNesting bounds how deep an expression's tree is.
const maxNesting = 2000

type compiler struct {
	fault, faultName string
	// nesting is how deep the query is that is being compiled.
	nesting int
	// compiled are the builtins defined in jq that were used.
	compiled map[string]*function
}

func (c *compiler) fail(name, format string, args ...any) *code {
	if c.fault == "" {
		c.fault, c.faultName = fmt.Sprintf(format, args...), name
	}
	return constant(nil)
}

func constant(v any) *code {
	return single(func(*exec, *env, any) (any, error) { return v, nil })
}

var identity = single(func(_ *exec, _ *env, v any) (any, error) { return v, nil })

func (c *compiler) query(q *gojq.Query, s *scope, level int, tail bool) *code {
	if c.fault != "" {
		return constant(nil)
	}
	if c.nesting++; c.nesting > maxNesting {
		c.nesting--
		return c.fail("", "the expression nests too deep")
	}
	defer func() { c.nesting-- }()
	if q.Meta != nil || len(q.Imports) > 0 {
		return c.fail("", "modules are out of reach")
	}
	for _, d := range q.FuncDefs {
		s = c.define(d, s, level)
	}
	switch {
	case len(q.Patterns) > 0:
		return c.bind(q.Left, q.Patterns, s, level, func(s *scope, level int) *code { return c.query(q.Right, s, level, tail && len(q.Patterns) == 1) })
	case q.Term != nil:
		return c.term(q.Term, s, level, tail)
	case q.Op == 0:
		return c.fail("", "unexpected end of the expression")
	}
	switch q.Op {
	case gojq.OpPipe:
		return pipe(c.query(q.Left, s, level, false), c.query(q.Right, s, level, tail))
	case gojq.OpComma:
		l, r := c.query(q.Left, s, level, false), c.query(q.Right, s, level, tail)
		return many(func(x *exec, e *env, in pv, k cont) error {
			// Commas behind one another multiply what is done.
			if err := x.step(); err != nil {
				return err
			}
			if err := l.gen(x, e, in, k); err != nil {
				return err
			}
			return r.gen(x, e, in, k)
		})
	}
	l, r := c.query(q.Left, s, level, false), c.query(q.Right, s, level, false)
	switch q.Op {
	case gojq.OpAnd, gojq.OpOr:
		return logic(l, r, q.Op == gojq.OpOr)
	case gojq.OpAlt:
		return alternative(l, r)
	case gojq.OpAssign:
		return assign(l, r)
	case gojq.OpModify:
		return modify(l, r)
	case gojq.OpUpdateAlt:
		return updateAlt(l, r)
	}
	if f := arithmetic(q.Op); f != nil {
		return binary(f, l, r)
	}
	if f := arithmetic(q.Op - gojq.OpUpdateAdd + gojq.OpAdd); f != nil {
		return update(l, r, f)
	}
	return c.fail("", "unknown operator")
}

func (c *compiler) define(d *gojq.FuncDef, s *scope, level int) *scope {
	f := &function{name: d.Name, params: d.Args}
	s = &scope{name: d.Name, params: len(d.Args), level: level, def: f, isFunc: true, parent: s}
	inner, at := s, level
	for _, p := range d.Args {
		at++
		inner = &scope{name: strings.TrimPrefix(p, "$"), level: at, isFunc: true, parent: inner}
	}
	for i, p := range d.Args {
		if strings.HasPrefix(p, "$") {
			inner = &scope{name: p, level: level + i + 1, parent: inner}
		}
	}
	f.body = c.query(d.Body, inner, at, true)
	return s
}

func pipe(l, r *code) *code {
	if l.one != nil && r.one != nil {
		out := single(func(x *exec, e *env, v any) (any, error) {
			v, err := l.one(x, e, v)
			if err != nil {
				return nil, err
			}
			return r.one(x, e, v)
		})
		out.gen = func(x *exec, e *env, in pv, k cont) error {
			if in.p == nil {
				v, err := out.one(x, e, in.v)
				if err != nil {
					return err
				}
				return k(pv{v: v})
			}
			return l.gen(x, e, in, func(m pv) error { return r.gen(x, e, m, k) })
		}
		return out
	}
	if l.one != nil {
		return many(func(x *exec, e *env, in pv, k cont) error {
			if in.p == nil {
				v, err := l.one(x, e, in.v)
				if err != nil {
					return err
				}
				return r.gen(x, e, pv{v: v}, k)
			}
			// There is one output: going on behind l, not inside it, keeps the stack flat.
			var middle pv
			if err := l.gen(x, e, in, func(m pv) error { middle = m; return nil }); err != nil {
				return err
			}
			return r.gen(x, e, middle, k)
		})
	}
	return many(func(x *exec, e *env, in pv, k cont) error {
		return l.gen(x, e, in, func(m pv) error { return x.drive(r.gen(x, e, m, k)) })
	})
}

// drive runs the tail calls that a body asked for. Drives nest where a call stands behind a generator.
func (x *exec) drive(err error) error {
	if !errors.Is(err, errTail) {
		return err
	}
	if err := x.enter(); err != nil {
		return err
	}
	for errors.Is(err, errTail) {
		t := x.next
		x.next = tailCall{}
		if err := x.step(); err != nil {
			return err
		}
		err = t.body.gen(x, t.env, t.in, t.k)
	}
	x.leave()
	return err
}

func (c *compiler) term(t *gojq.Term, s *scope, level int, tail bool) *code {
	out := c.bare(t, s, level, tail && len(t.SuffixList) == 0)
	for i, suffix := range t.SuffixList {
		switch {
		case suffix.Iter:
			out = pipe(out, iterate)
		case suffix.Optional:
			out = try(out, nil)
		case suffix.Index != nil:
			out = c.index(out, suffix.Index, s, level)
		default:
			return c.fail("", "unknown suffix %d", i)
		}
	}
	return out
}

func (c *compiler) bare(t *gojq.Term, s *scope, level int, tail bool) *code {
	switch t.Type {
	case gojq.TermTypeIdentity:
		return identity
	case gojq.TermTypeRecurse:
		return recurseAll
	case gojq.TermTypeNull:
		return constant(nil)
	case gojq.TermTypeTrue:
		return constant(true)
	case gojq.TermTypeFalse:
		return constant(false)
	case gojq.TermTypeIndex:
		return c.index(identity, t.Index, s, level)
	case gojq.TermTypeFunc:
		return c.call(t.Func, s, level, tail)
	case gojq.TermTypeObject:
		return c.object(t.Object, s, level)
	case gojq.TermTypeArray:
		if t.Array.Query == nil {
			return single(func(*exec, *env, any) (any, error) { return []any{}, nil })
		}
		return collect(c.query(t.Array.Query, s, level, false))
	case gojq.TermTypeNumber:
		return constant(value.Literal(t.Number))
	case gojq.TermTypeUnary:
		body := c.term(t.Unary.Term, s, level, false)
		if t.Unary.Op != gojq.OpSub {
			return c.fail("+", "syntax error, unexpected '+'")
		}
		return pipe(body, single(func(_ *exec, _ *env, v any) (any, error) {
			f, ok := value.Float(v)
			if !ok {
				return nil, failf("%s cannot be negated", describe(v))
			}
			return value.Computed(-f), nil
		}))
	case gojq.TermTypeFormat:
		return c.format(t.Format, t.Str, s, level)
	case gojq.TermTypeString:
		return c.string(t.Str, nil, s, level)
	case gojq.TermTypeIf:
		return c.conditional(t.If.Cond, t.If.Then, t.If.Elif, t.If.Else, s, level, tail)
	case gojq.TermTypeTry:
		body := c.query(t.Try.Body, s, level, false)
		var handler *code
		if t.Try.Catch != nil {
			handler = c.query(t.Try.Catch, s, level, false)
		}
		return try(body, handler)
	case gojq.TermTypeReduce:
		return c.reduce(t.Reduce, s, level)
	case gojq.TermTypeForeach:
		return c.foreach(t.Foreach, s, level)
	case gojq.TermTypeLabel:
		inner := &scope{name: "*" + t.Label.Ident, level: level + 1, parent: s}
		return label(c.query(t.Label.Body, inner, level+1, false))
	case gojq.TermTypeBreak:
		b := s.find("*"+t.Break, 0, false)
		if b == nil {
			return c.fail(t.Break, "$*label-%s is not defined", strings.TrimPrefix(t.Break, "$"))
		}
		hops := level - b.level
		return many(func(_ *exec, e *env, _ pv, _ cont) error { return &breakError{e.up(hops).v.(int)} })
	case gojq.TermTypeQuery:
		return c.query(t.Query, s, level, tail)
	}
	return c.fail("", "unknown term")
}

func (c *compiler) conditional(cond, then *gojq.Query, elif []*gojq.IfElif, otherwise *gojq.Query, s *scope, level int, tail bool) *code {
	test, yes, no := c.query(cond, s, level, false), c.query(then, s, level, tail), identity
	switch {
	case len(elif) > 0:
		no = c.conditional(elif[0].Cond, elif[0].Then, elif[1:], otherwise, s, level, tail)
	case otherwise != nil:
		no = c.query(otherwise, s, level, tail)
	}
	out := &code{}
	if test.one != nil && yes.one != nil && no.one != nil {
		out.one = func(x *exec, e *env, v any) (any, error) {
			t, err := test.one(x, e, v)
			switch {
			case err != nil:
				return nil, err
			case truthy(t):
				return yes.one(x, e, v)
			}
			return no.one(x, e, v)
		}
	}
	out.gen = func(x *exec, e *env, in pv, k cont) error {
		choose := func(t any) error {
			if truthy(t) {
				return yes.gen(x, e, in, k)
			}
			return no.gen(x, e, in, k)
		}
		if test.one != nil {
			t, err := test.one(x, e, in.v)
			if err != nil {
				return err
			}
			return choose(t)
		}
		return test.values(x, e, in.v, func(t any) error { return x.drive(choose(t)) })
	}
	return out
}

func (c *compiler) call(f *gojq.Func, s *scope, level int, tail bool) *code {
	if strings.HasPrefix(f.Name, "$") {
		return c.variable(f.Name, s, level)
	}
	d := s.find(f.Name, len(f.Args), true)
	if d == nil {
		return c.builtin(f, s, level, tail)
	}
	hops := level - d.level
	if d.def == nil { // A closure parameter.
		return many(func(x *exec, e *env, in pv, k cont) error {
			frame := e.up(hops)
			if err := x.enter(); err != nil {
				return err
			}
			err := frame.body.gen(x, frame.closed, in, k)
			x.leave()
			return err
		})
	}
	args := make([]*code, len(f.Args))
	for i, a := range f.Args {
		args[i] = c.query(a, s, level, false)
	}
	return invoke(d.def, args, hops, tail)
}

// invoke calls a function that was defined in the environment hops up.
func invoke(def *function, args []*code, hops int, tail bool) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		return bindParams(x, e, in, def, args, 0, e.up(hops), func(inner *env, direct bool) error {
			if tail && direct {
				x.next = tailCall{def.body, inner, in, k}
				return errTail
			}
			if err := x.enter(); err != nil {
				return err
			}
			err := x.drive(def.body.gen(x, inner, in, k))
			x.leave()
			return err
		}, true)
	})
}

// closureSize is what a closure with its frame takes, in bytes.
const closureSize = 128

// bindParams pushes the arguments: closures as they are, value parameters once for each value.
func bindParams(x *exec, e *env, in pv, def *function, args []*code, i int, inner *env, run func(*env, bool) error, direct bool) error {
	for ; i < len(args); i++ {
		if !strings.HasPrefix(def.params[i], "$") {
			// A closure holds the frame that it was written in, which may hold another: a chain that lives.
			if err := x.charge(closureSize); err != nil {
				return err
			}
			inner = &env{body: args[i], closed: e, parent: inner}
			continue
		}
		if args[i].one != nil {
			v, err := args[i].one(x, e, in.v)
			if err != nil {
				return err
			}
			inner = &env{v: v, body: constant(v), parent: inner}
			continue
		}
		parent := inner
		return args[i].values(x, e, in.v, func(v any) error {
			return bindParams(x, e, in, def, args, i+1, &env{v: v, body: constant(v), parent: parent}, run, false)
		})
	}
	return run(inner, direct)
}

func (c *compiler) variable(name string, s *scope, level int) *code {
	if d := s.find(name, 0, false); d != nil {
		hops := level - d.level
		return single(func(_ *exec, e *env, _ any) (any, error) { return e.up(hops).v, nil })
	}
	switch name {
	case "$ENV":
		return single(func(*exec, *env, any) (any, error) { return &value.Object{}, nil })
	case "$__loc__":
		return single(func(x *exec, _ *env, _ any) (any, error) {
			o := &value.Object{}
			o.Set("file", "<top-level>")
			o.Set("line", 1.0)
			return o, nil
		})
	}
	return c.fail(name, "%s is not defined", name)
}
