package jq

import (
	"errors"
	"slices"
	"time"

	"longshore/pkg/jqtemplate/value"
)

func coreBuiltins() []native {
	all := []native{
		{name: "empty", make: func([]*code) *code { return nothing }},
		{name: "error", call: func(_ *exec, v any, _ []any) (any, error) { return nil, &Error{v} }},
		{name: "error", args: 1, call: func(_ *exec, _ any, args []any) (any, error) { return nil, &Error{args[0]} }},
		{name: "not", call: func(_ *exec, v any, _ []any) (any, error) { return !truthy(v), nil }},
		{name: "select", args: 1, make: func(a []*code) *code { return selected(a[0]) }},
		{name: "halt", call: halt},
		{name: "halt_error", call: halt},
		{name: "halt_error", args: 1, call: haltWith},
		{name: "env", call: newObject},
		// There is one input, and it has been read.
		{name: "input", call: func(*exec, any, []any) (any, error) { return nil, failf("break") }},
		{name: "inputs", make: func([]*code) *code { return nothing }},
		{name: "input_filename", call: func(*exec, any, []any) (any, error) { return nil, nil }},
		{name: "input_line_number", call: func(*exec, any, []any) (any, error) { return nil, failf("Unknown input line number") }},
		{name: "get_jq_origin", make: func([]*code) *code { return nothing }},
		{name: "get_prog_origin", make: func([]*code) *code { return nothing }},
		{name: "get_search_list", call: func(*exec, any, []any) (any, error) { return []any{}, nil }},
		{name: "modulemeta", call: moduleMeta},
		{name: "debug", make: func([]*code) *code { return identity }},
		{name: "debug", args: 1, make: func(a []*code) *code { return debug(a[0]) }},
		{name: "stderr", make: func([]*code) *code { return identity }},
		{name: "now", call: func(*exec, any, []any) (any, error) {
			return value.Computed(float64(time.Now().UnixMicro()) / 1e6), nil
		}},
		{name: "type", call: func(_ *exec, v any, _ []any) (any, error) { return typeName(v), nil }},
		{name: "isempty", args: 1, make: func(a []*code) *code { return isEmpty(a[0]) }},
		{name: "first", args: 1, make: func(a []*code) *code { return first(a[0]) }},
		{name: "last", args: 1, make: func(a []*code) *code { return last(a[0]) }},
		{name: "limit", args: 2, make: func(a []*code) *code { return limit(a[0], a[1]) }},
		{name: "nth", args: 2, make: func(a []*code) *code { return nth(a[0], a[1]) }},
		{name: "any", args: 2, make: func(a []*code) *code { return quantified(a[0], a[1], true) }},
		{name: "all", args: 2, make: func(a []*code) *code { return quantified(a[0], a[1], false) }},
		{name: "any", args: 1, make: func(a []*code) *code { return quantified(iterate, a[0], true) }},
		{name: "all", args: 1, make: func(a []*code) *code { return quantified(iterate, a[0], false) }},
		{name: "any", make: func([]*code) *code { return quantified(iterate, identity, true) }},
		{name: "all", make: func([]*code) *code { return quantified(iterate, identity, false) }},
		{name: "recurse", make: func([]*code) *code { return recurseAll }},
		{name: "recurse", args: 1, make: func(a []*code) *code { return recurse(a[0]) }},
		{name: "recurse", args: 2, make: func(a []*code) *code { return recurse(pipe(a[0], selected(a[1]))) }},
		{name: "repeat", args: 1, make: func(a []*code) *code { return repeated(a[0]) }},
		{name: "while", args: 2, make: func(a []*code) *code { return loop(a[0], a[1], true) }},
		{name: "until", args: 2, make: func(a []*code) *code { return loop(a[0], a[1], false) }},
		{name: "range", args: 1, make: func(a []*code) *code { return numberRange(constant(0.0), a[0]) }},
		{name: "range", args: 2, make: func(a []*code) *code { return numberRange(a[0], a[1]) }},
		{name: "range", args: 3, make: func(a []*code) *code { return stepRange(a[0], a[1], a[2]) }},
	}
	for name, holds := range kinds {
		all = append(all, native{name: name, make: func([]*code) *code { return kept(holds) }})
	}
	return all
}

var nothing = many(func(*exec, *env, pv, cont) error { return nil })

// kinds are the filters by type.
var kinds = map[string]func(v any) bool{
	"values":    func(v any) bool { return v != nil },
	"nulls":     func(v any) bool { return v == nil },
	"booleans":  func(v any) bool { return typeName(v) == "boolean" },
	"numbers":   func(v any) bool { return typeName(v) == "number" },
	"strings":   func(v any) bool { return typeName(v) == "string" },
	"arrays":    func(v any) bool { return typeName(v) == "array" },
	"objects":   func(v any) bool { return typeName(v) == "object" },
	"iterables": isContainer,
	"scalars":   func(v any) bool { return !isContainer(v) },
	"finites": func(v any) bool {
		f, ok := value.Float(v)
		return ok && !isInfinite(f) && f == f
	},
	"normals": func(v any) bool {
		f, ok := value.Float(v)
		return ok && isNormal(f)
	},
}

const coreDefinitions = `
def first: .[0];
def last: .[-1];
def nth($n): .[$n];
def in(xs): . as $x | xs | has($x);
def inside(xs): . as $x | xs | contains($x);
def abs: if . < 0 then -. else . end;
def IN(s): any(s == .; .);
def IN(src; s): any(src == s; .);
def INDEX(stream; f): reduce stream as $row ({}; .[$row | f | tostring] |= $row);
def INDEX(f): INDEX(.[]; f);
def JOIN($idx; f): [.[] | [., $idx[f]]];
def JOIN($idx; stream; f): stream | [., $idx[f]];
def JOIN($idx; stream; f; join): stream | [., $idx[f]] | join;
def combinations: if length == 0 then [] else .[0][] as $x | (.[1:] | combinations) as $w | [$x] + $w end;
def combinations(n): . as $dot | [range(n)] | map($dot) | combinations;
`

func isContainer(v any) bool {
	switch v.(type) {
	case []any, *value.Object:
		return true
	}
	return false
}

func newObject(*exec, any, []any) (any, error) { return &value.Object{}, nil }

func halt(*exec, any, []any) (any, error) { return nil, errHalt }

func haltWith(_ *exec, _ any, args []any) (any, error) {
	if _, ok := value.Float(args[0]); !ok {
		return nil, failf("halt_error/1: number required")
	}
	return nil, errHalt
}

func moduleMeta(_ *exec, v any, _ []any) (any, error) {
	if _, ok := v.(string); !ok {
		return nil, failf("modulemeta input module name must be a string")
	}
	return nil, failf("modules are out of reach")
}

// names lists the builtins as name/arity.
func (t *builtinTable) names(x *exec) (any, error) {
	names := make([]string, 0, len(t.natives)+len(t.defined))
	for name := range t.natives {
		names = append(names, name)
	}
	for name := range t.defined {
		if name[0] != '_' {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	out := make([]any, len(names))
	for i, name := range names {
		out[i] = name
	}
	return out, x.charge(32 * len(out))
}

// kept passes on the values that are of a kind.
func kept(holds func(any) bool) *code {
	return many(func(_ *exec, _ *env, in pv, k cont) error {
		if !holds(in.v) {
			return nil
		}
		return k(in)
	})
}

// selected passes its input on once for each output of f that is true.
func selected(f *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		return f.values(x, e, in.v, func(t any) error {
			if !truthy(t) {
				return nil
			}
			return k(in)
		})
	})
}

// debug evaluates a message for what fails in it; nobody reads it.
func debug(message *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		if err := message.values(x, e, in.v, func(any) error { return nil }); err != nil {
			return err
		}
		return k(in)
	})
}

// upTo yields outputs of f for as long as more says so.
func upTo(x *exec, f *code, e *env, in pv, k cont, more func() bool) error {
	done := &breakError{-1}
	err := f.gen(x, e, in, func(o pv) error {
		again := more()
		if err := k(o); err != nil {
			return err
		}
		if !again {
			return done
		}
		return nil
	})
	if errors.Is(err, done) {
		return nil
	}
	return err
}

func first(f *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		return upTo(x, f, e, in, k, func() bool { return false })
	})
}

// last is the last output of f, null if there is none.
func last(f *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		out := pv{nil, in.p, in.at}
		if err := f.gen(x, e, in, func(o pv) error { out = o; return x.step() }); err != nil {
			return err
		}
		return k(out)
	})
}

// limit is the first n outputs of f, all of them if n is below 0.
func limit(n, f *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		return n.values(x, e, in.v, func(n any) error {
			left, ok := value.Float(n)
			switch {
			case ok && left == 0:
				return nil
			case !ok || !(left > 0):
				return f.gen(x, e, in, k)
			}
			return upTo(x, f, e, in, k, func() bool { left--; return left > 0 })
		})
	})
}

// nth is f's output number n, counted from 0.
func nth(n, f *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		return n.values(x, e, in.v, func(n any) error {
			if x.compare(n, 0.0) < 0 {
				return failf("nth doesn't support negative indices")
			}
			left, ok := value.Float(n)
			found, out := false, pv{}
			err := upTo(x, f, e, in, func(o pv) error {
				out, found = o, ok && left < 0
				return x.step()
			}, func() bool { left--; return left >= 0 || !ok })
			if err != nil || !found {
				return err
			}
			return k(out)
		})
	})
}

func isEmpty(f *code) *code {
	return single(func(x *exec, e *env, v any) (any, error) {
		done := &breakError{-1}
		err := f.values(x, e, v, func(any) error { return done })
		if errors.Is(err, done) {
			return false, nil
		}
		return err == nil, err
	})
}

// quantified tells whether cond has an output whose truth is wanted, for an output of source: any with
// true; all is the contrary with false.
func quantified(source, cond *code, wanted bool) *code {
	return single(func(x *exec, e *env, v any) (any, error) {
		done := &breakError{-1}
		err := source.values(x, e, v, func(v any) error {
			if err := x.step(); err != nil {
				return err
			}
			return cond.values(x, e, v, func(t any) error {
				if truthy(t) == wanted {
					return done
				}
				return nil
			})
		})
		if errors.Is(err, done) {
			return wanted, nil
		}
		return !wanted, err
	})
}

// lastOf runs f and hands all outputs but the last to each; the last is returned, so that loops can go
// on with it without nesting. What fails in f fails behind its last output.
func lastOf(x *exec, f *code, e *env, in pv, each func(pv) error) (out pv, found bool, err error) {
	if f.one != nil && in.p == nil {
		v, err := f.one(x, e, in.v)
		return pv{v: v}, err == nil, err
	}
	downstream := false
	err = f.gen(x, e, in, func(o pv) error {
		if found {
			if err := x.nested(func() error { return each(out) }); err != nil {
				downstream = true
				return err
			}
		}
		out, found = o, true
		return nil
	})
	if err != nil && found && !downstream {
		if err := x.nested(func() error { return each(out) }); err != nil {
			return out, false, err
		}
	}
	return out, found, err
}

// nested runs f one call deeper.
func (x *exec) nested(f func() error) error {
	if err := x.enter(); err != nil {
		return err
	}
	err := f()
	x.leave()
	return err
}

// recurse yields its input and what f makes of it, over and over.
func recurse(f *code) *code {
	var from func(x *exec, e *env, in pv, k cont) error
	from = func(x *exec, e *env, in pv, k cont) error {
		for {
			if err := x.step(); err != nil {
				return err
			}
			if err := k(in); err != nil {
				return err
			}
			out, found, err := lastOf(x, f, e, in, func(o pv) error { return from(x, e, o, k) })
			if err != nil || !found {
				return err
			}
			in = out
		}
	}
	return many(from)
}

// repeated yields what f makes of its input, for ever.
func repeated(f *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		for {
			if err := x.step(); err != nil {
				return err
			}
			if err := f.gen(x, e, in, k); err != nil {
				return err
			}
		}
	})
}

// loop updates its input: while yields all values as long as cond holds, until the first for which it
// does.
func loop(cond, update *code, while bool) *code {
	var from func(x *exec, e *env, in pv, k cont) error
	from = func(x *exec, e *env, in pv, k cont) error {
		again := func(o pv) error { return x.nested(func() error { return from(x, e, o, k) }) }
		for {
			if err := x.step(); err != nil {
				return err
			}
			if cond.one == nil {
				return cond.values(x, e, in.v, func(t any) error {
					if truthy(t) != while {
						if while {
							return nil
						}
						return k(in)
					}
					if while {
						if err := k(in); err != nil {
							return err
						}
					}
					return update.gen(x, e, in, again)
				})
			}
			t, err := cond.one(x, e, in.v)
			if err != nil {
				return err
			}
			if truthy(t) != while {
				if while {
					return nil
				}
				return k(in)
			}
			if while {
				if err := k(in); err != nil {
					return err
				}
			}
			out, found, err := lastOf(x, update, e, in, func(o pv) error { return from(x, e, o, k) })
			if err != nil || !found {
				return err
			}
			in = out
		}
	}
	return many(from)
}

func numberRange(from, to *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		return from.values(x, e, in.v, func(from any) error {
			return to.values(x, e, in.v, func(to any) error {
				f, end, ok := floats(from, to)
				if !ok {
					return failf("Range bounds must be numeric")
				}
				for ; f < end; f++ {
					if err := x.step(); err != nil {
						return err
					}
					if err := k(pv{value.Computed(f), in.p, in.at}); err != nil {
						return err
					}
				}
				return nil
			})
		})
	})
}

func stepRange(from, to, by *code) *code {
	return many(func(x *exec, e *env, in pv, k cont) error {
		return from.values(x, e, in.v, func(from any) error {
			return to.values(x, e, in.v, func(to any) error {
				return by.values(x, e, in.v, func(by any) error {
					way := -x.compare(by, 0.0)
					if way == 0 {
						return nil
					}
					v := from
					for x.comparesAs(v, to, way) {
						if err := x.step(); err != nil {
							return err
						}
						if err := k(pv{v, in.p, in.at}); err != nil {
							return err
						}
						var err error
						if v, err = add(x, v, by); err != nil {
							return err
						}
					}
					return nil
				})
			})
		})
	})
}

// comparesAs tells whether a is below b, or with a way above 0 above it.
func (x *exec) comparesAs(a, b any, way int) bool {
	c := x.compare(a, b)
	return way < 0 && c < 0 || way > 0 && c > 0
}
