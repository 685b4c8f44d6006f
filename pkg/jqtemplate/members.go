package jqtemplate

import (
	"maps"
	"slices"

	"github.com/itchyny/gojq"
)

// Members are those members of one member of the data that a template may read.
type Members struct {
	// Names are what it names, sorted.
	Names []string
	// All says that it may read any: the member as a whole, the data as a whole, or a member whose name
	// only a rendering tells.
	All bool
}

// None reports whether the template reads no such member.
func (m Members) None() bool { return !m.All && len(m.Names) == 0 }

// Members returns which members of the data's member called of the template may read, whatever the
// data. It names too many rather than too few.
func (t *Template) Members(of string) Members {
	r := &reading{of: of, names: map[string]bool{}, left: maxReading}
	for _, p := range t.programs {
		switch {
		case p.fault != nil:
		case p.code == nil:
			r.path(p.steps)
		default:
			r.whole(r.query(p.code.Query, fromRoot, nil))
		}
	}
	m := Members{All: r.all}
	if !m.All {
		m.Names = slices.Sorted(maps.Keys(r.names))
	}
	return m
}

// flow says what a value may be, or hold as a whole.
type flow uint8

const (
	// fromRoot is the data itself, fromMember the member of it.
	fromRoot flow = 1 << iota
	fromMember
)

// maxReading is how many queries are looked at for one template. Those in loops are looked at more than
// once, and loops nest.
const maxReading = 1 << 18

// reading follows the data through an expression.
type reading struct {
	of    string
	names map[string]bool
	all   bool
	// left is how many queries may still be looked at: without an end to it anything may be read.
	left int
}

// whole notes that a value is used in a way that is not followed further.
func (r *reading) whole(f flow) {
	if f != 0 {
		r.all = true
	}
}

// path follows a plain path.
func (r *reading) path(steps []step) {
	f := fromRoot
	for _, s := range steps {
		if s.numeric {
			return // What is no array has no such element.
		}
		f = r.named(s.key, f)
	}
	r.whole(f)
}

// named is the member of a name.
func (r *reading) named(name string, of flow) (f flow) {
	if of&fromMember != 0 {
		r.names[name] = true
	}
	if of&fromRoot != 0 && name == r.of {
		f = fromMember
	}
	return f
}

// variable is what a variable in sight may be, and those behind it; nil for none.
type variable struct {
	name string
	flow flow
	// any is what this one or any behind it may be.
	any    flow
	behind *variable
}

// with binds the variables of patterns to a value.
func (v *variable) with(r *reading, patterns []*gojq.Pattern, f flow) *variable {
	if len(patterns) != 1 || patterns[0].Name == "" {
		r.whole(f) // It is taken apart.
		return v
	}
	bound := &variable{patterns[0].Name, f, f, v}
	if v != nil {
		bound.any |= v.any
	}
	return bound
}

// find returns what the variable of a name may be.
func (v *variable) find(name string) flow {
	for ; v != nil; v = v.behind {
		if v.name == name {
			return v.flow
		}
	}
	return 0
}

// blind reports whether neither the input nor a variable leads to the data.
func (v *variable) blind(in flow) bool { return in == 0 && (v == nil || v.any == 0) }

func (r *reading) query(q *gojq.Query, in flow, vars *variable) flow {
	if r.left--; r.left < 0 {
		r.all = true
	}
	switch {
	case q == nil || r.all || vars.blind(in):
		return 0
	case len(q.FuncDefs) > 0 || len(q.Imports) > 0:
		r.all = true
		return 0
	case q.Term != nil:
		return r.term(q.Term, in, vars)
	}
	switch q.Op {
	case gojq.OpPipe:
		left := r.query(q.Left, in, vars)
		if q.Patterns != nil {
			return r.query(q.Right, in, vars.with(r, q.Patterns, left))
		}
		return r.query(q.Right, left, vars)
	case gojq.OpComma, gojq.OpAlt:
		return r.query(q.Left, in, vars) | r.query(q.Right, in, vars)
	case gojq.OpAnd, gojq.OpOr:
		r.query(q.Left, in, vars)
		r.query(q.Right, in, vars)
		return 0
	case gojq.OpAdd, gojq.OpSub, gojq.OpMul, gojq.OpDiv, gojq.OpMod,
		gojq.OpEq, gojq.OpNe, gojq.OpGt, gojq.OpLt, gojq.OpGe, gojq.OpLe:
		r.whole(r.query(q.Left, in, vars) | r.query(q.Right, in, vars))
		return 0
	}
	// An assignment yields its input changed.
	r.whole(in | r.query(q.Left, in, vars) | r.query(q.Right, in, vars))
	return 0
}

func (r *reading) term(t *gojq.Term, in flow, vars *variable) (f flow) {
	switch t.Type {
	case gojq.TermTypeIdentity:
		f = in
	case gojq.TermTypeRecurse:
		r.whole(in)
	case gojq.TermTypeIndex:
		f = r.index(t.Index, in, in, vars)
	case gojq.TermTypeFunc:
		f = r.call(t.Func, in, vars)
	case gojq.TermTypeObject:
		r.object(t.Object, in, vars)
	case gojq.TermTypeArray:
		r.whole(r.query(t.Array.Query, in, vars))
	case gojq.TermTypeUnary:
		r.whole(r.term(t.Unary.Term, in, vars))
	case gojq.TermTypeFormat:
		if t.Str == nil {
			r.whole(in)
		}
		r.text(t.Str, in, vars)
	case gojq.TermTypeString:
		r.text(t.Str, in, vars)
	case gojq.TermTypeIf:
		f = r.condition(t.If, in, vars)
	case gojq.TermTypeTry:
		// What catch sees is a message, or a value that error was given, which counts as used whole.
		f = r.query(t.Try.Body, in, vars) | r.query(t.Try.Catch, 0, vars)
	case gojq.TermTypeReduce:
		f = r.loop(t.Reduce.Query, t.Reduce.Patterns, t.Reduce.Start, t.Reduce.Update, nil, in, vars)
	case gojq.TermTypeForeach:
		x := t.Foreach
		f = r.loop(x.Query, x.Patterns, x.Start, x.Update, x.Extract, in, vars)
	case gojq.TermTypeLabel:
		f = r.query(t.Label.Body, in, vars)
	case gojq.TermTypeQuery:
		f = r.query(t.Query, in, vars)
	}
	for _, s := range t.SuffixList {
		switch {
		case s.Index != nil:
			f = r.index(s.Index, f, in, vars)
		case s.Iter:
			r.whole(f)
			f = 0
		}
	}
	return f
}

// index is a part of a value; what stands in brackets is evaluated on the input.
func (r *reading) index(x *gojq.Index, of, in flow, vars *variable) flow {
	if s, ok := plainStep(x); ok {
		if s.numeric {
			return 0
		}
		return r.named(s.key, of)
	}
	r.whole(of)
	r.text(x.Str, in, vars)
	r.whole(r.query(x.Start, in, vars) | r.query(x.End, in, vars))
	return 0
}

func (r *reading) text(s *gojq.String, in flow, vars *variable) {
	if s == nil {
		return
	}
	for _, q := range s.Queries {
		r.whole(r.query(q, in, vars))
	}
}

func (r *reading) object(o *gojq.Object, in flow, vars *variable) {
	for _, m := range o.KeyVals {
		r.text(m.KeyString, in, vars)
		r.whole(r.query(m.KeyQuery, in, vars))
		switch {
		case m.Val != nil:
			r.whole(r.query(m.Val, in, vars))
		case m.Key != "" && m.Key[0] == '$':
			r.whole(vars.find(m.Key))
		case m.Key != "":
			r.whole(r.named(m.Key, in))
		case m.KeyString != nil && m.KeyString.Queries == nil:
			r.whole(r.named(m.KeyString.Str, in))
		default:
			r.whole(in)
		}
	}
}

func (r *reading) condition(c *gojq.If, in flow, vars *variable) flow {
	r.query(c.Cond, in, vars)
	f := r.query(c.Then, in, vars)
	for _, e := range c.Elif {
		r.query(e.Cond, in, vars)
		f |= r.query(e.Then, in, vars)
	}
	if c.Else == nil {
		return f | in
	}
	return f | r.query(c.Else, in, vars)
}

// loop is reduce or foreach. Its state may be whatever its start or an update yields.
func (r *reading) loop(source *gojq.Query, patterns []*gojq.Pattern, start, update, extract *gojq.Query, in flow, vars *variable) flow {
	inner := vars.with(r, patterns, r.query(source, in, vars))
	state := r.query(start, in, vars)
	for more := true; more; {
		next := state | r.query(update, state, inner)
		more, state = next != state, next
	}
	if extract != nil {
		return r.query(extract, state, inner)
	}
	return state
}

// call is a variable or a function. Those that are not known may do anything with their input.
func (r *reading) call(c *gojq.Func, in flow, vars *variable) flow {
	if c.Name[0] == '$' {
		return vars.find(c.Name)
	}
	arg := func(n int, in flow) flow { return r.query(c.Args[n], in, vars) }
	switch c.Name {
	case "empty", "now", "nan", "infinite", "env", "not", "builtins":
		if len(c.Args) == 0 {
			return 0
		}
	case "select":
		if len(c.Args) == 1 {
			arg(0, in)
			return in
		}
	case "any", "all":
		if len(c.Args) == 2 {
			arg(1, arg(0, in))
			return 0
		}
	case "isempty":
		if len(c.Args) == 1 {
			arg(0, in)
			return 0
		}
	case "first", "last":
		if len(c.Args) == 1 {
			return arg(0, in)
		}
	case "limit":
		if len(c.Args) == 2 {
			r.whole(arg(0, in))
			return arg(1, in)
		}
	case "range", "error":
		if len(c.Args) > 0 {
			for n := range c.Args {
				r.whole(arg(n, in))
			}
			return 0
		}
	}
	r.whole(in)
	for n := range c.Args {
		r.whole(arg(n, in))
	}
	return 0
}
