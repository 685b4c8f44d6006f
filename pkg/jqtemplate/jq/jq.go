// Package jq evaluates jq expressions as jq 1.7.1 does. gojq parses them; the values, the evaluator
// and the builtins are ours.
//
// A Program is compiled once and run from any number of goroutines. It promises that an evaluation
// reaches no environment, file or network, and that it ends by its context's deadline, within its
// budget of memory and at a bounded depth: such a limit is an error that no expression can catch.
package jq

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/itchyny/gojq"

	"longshore/pkg/jqtemplate/value"
)

// The limits of an evaluation that an expression cannot catch; a context's end is its own error.
var (
	ErrMemory = errors.New("it took too much memory")
	ErrDepth  = errors.New("its calls nest too deep")
)

const (
	// budget bounds what one evaluation allocates, in bytes, about; what was dropped counts too.
	budget = 64 << 20
	// maxCalls bounds how deep calls, values and generators nest in one evaluation.
	maxCalls = 10000
	// stepsPerLook is how many steps are taken between two looks at the context.
	stepsPerLook = 256
)

// Error is an expression's own failure: the value that catch sees.
type Error struct{ Value any }

func (e *Error) Error() string {
	if s, ok := e.Value.(string); ok {
		return s
	}
	return text(e.Value)
}

func failf(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// CompileError says why an expression does not compile, and at which byte if that is known, else -1.
type CompileError struct {
	Message string
	At      int
}

func (e *CompileError) Error() string { return e.Message }

// Program is a compiled expression.
type Program struct {
	code *code
	// Query is the expression's tree as gojq parsed it; it must not be changed.
	Query *gojq.Query
}

// Parse compiles an expression. The error is a *CompileError.
func Parse(source string) (*Program, error) {
	q, err := gojq.Parse(source)
	if err != nil {
		at := -1
		var p *gojq.ParseError
		if errors.As(err, &p) {
			at = max(0, min(p.Offset-len(p.Token), len(source)))
		}
		return nil, &CompileError{err.Error(), at}
	}
	if len(q.FuncDefs) > 0 && q.Term == nil && q.Op == 0 {
		return nil, &CompileError{"syntax error, unexpected end of file", len(source)}
	}
	c := compiler{}
	body := c.query(q, nil, 0, false)
	if c.fault != "" {
		return nil, &CompileError{c.fault, strings.Index(source, c.faultName)}
	}
	return &Program{body, q}, nil
}

// Run evaluates the program on a value, which is not changed, to its first output; defined is false
// if there is none. The error is an *Error, a limit or the context's.
func (p *Program) Run(ctx context.Context, input any) (v any, defined bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	x := &exec{ctx: ctx}
	defer func() {
		if r := recover(); r != nil {
			s, ok := r.(stop)
			if !ok {
				panic(r)
			}
			v, defined, err = nil, false, s.err
		}
	}()
	if p.code.one != nil {
		v, err = p.code.one(x, nil, input)
		return v, err == nil, x.final(err)
	}
	err = p.code.gen(x, nil, pv{v: input}, func(out pv) error {
		v, defined = out.v, true
		return errStop
	})
	if err != nil {
		err = x.final(err)
	}
	return v, defined, err
}

// final sorts what ended an evaluation.
func (x *exec) final(err error) error {
	var b *breakError
	switch {
	case errors.Is(err, errStop), errors.Is(err, errHalt):
		return nil
	case errors.As(err, &b):
		return &Error{"break"}
	}
	return err
}

var (
	errStop = errors.New("enough outputs")
	errHalt = errors.New("halt")
	errTail = errors.New("tail call")
)

// breakError leaves the label of its number.
type breakError struct{ label int }

func (*breakError) Error() string { return "break" }

// exec is one evaluation.
type exec struct {
	ctx    context.Context
	steps  int
	spent  int
	depth  int
	labels int
	next   tailCall
}

type tailCall struct {
	body *code
	env  *env
	in   pv
	k    cont
}

// step counts a unit of work and looks at the context now and then.
func (x *exec) step() error {
	if x.steps++; x.steps%stepsPerLook == 0 {
		return x.ctx.Err()
	}
	return nil
}

// charge counts bytes that are about to be allocated.
func (x *exec) charge(bytes int) error {
	if x.spent += bytes; x.spent > budget || bytes < 0 {
		return ErrMemory
	}
	return x.work(bytes)
}

// work is a step that deals with so many bytes: much at once is worth a look at the context.
func (x *exec) work(bytes int) error {
	if bytes > 64<<10 {
		return x.ctx.Err()
	}
	return x.step()
}

func (x *exec) enter() error {
	if x.depth++; x.depth > maxCalls {
		return ErrDepth
	}
	return x.step()
}

func (x *exec) leave() { x.depth-- }

// stop is what a comparison panics with at a limit.
type stop struct{ err error }

// compare is value.Compare within the limits of the evaluation.
func (x *exec) compare(a, b any) int {
	if !isContainer(a) || !isContainer(b) {
		return value.Compare(a, b, nil)
	}
	return value.Compare(a, b, x.look)
}

// look ends a comparison at a limit.
func (x *exec) look(depth int) {
	if err := x.step(); err != nil {
		panic(stop{err})
	}
	if depth > maxCalls {
		panic(stop{ErrDepth})
	}
}

// pv is a value on its way. In a path expression p is the path that was followed and at the value
// that stands there: a value that is another has left the path.
type pv struct {
	v  any
	p  *path
	at any
}

// path is a path's last step; the root has no parent.
type path struct {
	parent *path
	key    any
}

func (p *path) list() []any {
	n := 0
	for q := p; q.parent != nil; q = q.parent {
		n++
	}
	keys := make([]any, n)
	for q := p; q.parent != nil; q = q.parent {
		n--
		keys[n] = q.key
	}
	return keys
}

type cont func(pv) error

// env is a chain of bindings: values, or closures with the environment they were written in.
type env struct {
	v      any
	body   *code
	closed *env
	parent *env
}

// up returns the environment n bindings up; a negative n is the empty one.
func (e *env) up(n int) *env {
	if n < 0 {
		return nil
	}
	for ; n > 0; n-- {
		e = e.parent
	}
	return e
}

// code is a compiled query: gen yields any number of outputs; one, if set, exactly one.
type code struct {
	one func(x *exec, e *env, v any) (any, error)
	gen func(x *exec, e *env, in pv, k cont) error
}

func single(one func(x *exec, e *env, v any) (any, error)) *code {
	return &code{one: one, gen: func(x *exec, e *env, in pv, k cont) error {
		v, err := one(x, e, in.v)
		if err != nil {
			return err
		}
		return k(pv{v, in.p, in.at})
	}}
}

func many(gen func(x *exec, e *env, in pv, k cont) error) *code { return &code{gen: gen} }

// values runs c outside of any path.
func (c *code) values(x *exec, e *env, v any, k func(any) error) error {
	if c.one != nil {
		out, err := c.one(x, e, v)
		if err != nil {
			return err
		}
		return k(out)
	}
	return c.gen(x, e, pv{v: v}, func(o pv) error { return k(o.v) })
}

func isError(err error) (*Error, bool) {
	e, ok := err.(*Error) //nolint:errorlint // These errors are never wrapped.
	return e, ok
}

func typeName(v any) string { return value.TypeName(v) }

func truthy(v any) bool { return v != nil && v != false }
