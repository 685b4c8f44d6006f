package jq

import (
	"fmt"
	"sync"

	"github.com/itchyny/gojq"
)

// native is a builtin written in Go: either a function of its input and the values of its arguments,
// called for each combination of them, or one that is given its arguments compiled.
type native struct {
	name string
	args int
	call func(x *exec, v any, args []any) (any, error)
	make func(args []*code) *code
}

// builtins are all builtins by name/arity: those in Go, and those defined in jq, which see one another.
type builtinTable struct {
	natives map[string]*native
	defined map[string]*gojq.FuncDef
}

// builtins is the table; it never changes once it was made.
var builtins = sync.OnceValue(func() *builtinTable {
	t := &builtinTable{map[string]*native{}, map[string]*gojq.FuncDef{}}
	for _, group := range [][]native{coreBuiltins(), pathBuiltins(), collectionBuiltins(), stringBuiltins(), regexBuiltins(), mathBuiltins(), dateBuiltins()} {
		for i := range group {
			n := &group[i]
			t.natives[key(n.name, n.args)] = n
		}
	}
	for _, source := range []string{coreDefinitions, pathDefinitions, collectionDefinitions, regexDefinitions, dateDefinitions} {
		q, err := gojq.Parse(source + ".")
		if err != nil {
			panic(fmt.Sprintf("jq: builtins: %v", err)) // A test of ours cannot pass then.
		}
		for _, d := range q.FuncDefs {
			t.defined[key(d.Name, len(d.Args))] = d
		}
	}
	t.natives[key("builtins", 0)] = &native{name: "builtins", call: func(x *exec, _ any, _ []any) (any, error) { return t.names(x) }}
	return t
})

func key(name string, args int) string { return fmt.Sprintf("%s/%d", name, args) }

// builtin compiles a call of a builtin.
func (c *compiler) builtin(f *gojq.Func, s *scope, level int, tail bool) *code {
	t, k := builtins(), key(f.Name, len(f.Args))
	args := make([]*code, len(f.Args))
	for i, a := range f.Args {
		args[i] = c.query(a, s, level, false)
	}
	if n := t.natives[k]; n != nil {
		if n.make != nil {
			return n.make(args)
		}
		return cartesian(n.call, args)
	}
	d := t.defined[k]
	if d == nil {
		return c.fail(f.Name, "%s/%d is not defined", f.Name, len(f.Args))
	}
	if c.compiled == nil {
		c.compiled = map[string]*function{}
	}
	def := c.compiled[k]
	if def == nil {
		def = &function{name: d.Name, params: d.Args}
		c.compiled[k] = def
		// A builtin sees nothing but its own parameters and other builtins.
		def.body = c.define(d, nil, 0).def.body
	}
	return invoke(def, args, -1, tail)
}

// cartesian calls f for each combination of its arguments' values; the last argument varies slowest.
func cartesian(f func(*exec, any, []any) (any, error), args []*code) *code {
	simple := true
	for _, a := range args {
		simple = simple && a.one != nil
	}
	if simple {
		return single(func(x *exec, e *env, v any) (any, error) {
			values := make([]any, len(args))
			for i, a := range args {
				var err error
				if values[i], err = a.one(x, e, v); err != nil {
					return nil, err
				}
			}
			if err := x.step(); err != nil {
				return nil, err
			}
			return f(x, v, values)
		})
	}
	return many(func(x *exec, e *env, in pv, k cont) error {
		values := make([]any, len(args))
		var from func(i int) error
		from = func(i int) error {
			if i < 0 {
				v, err := f(x, in.v, append([]any(nil), values...))
				if err != nil {
					return err
				}
				return k(pv{v, in.p, in.at})
			}
			return args[i].values(x, e, in.v, func(v any) error {
				values[i] = v
				return from(i - 1)
			})
		}
		return from(len(args) - 1)
	})
}
