package jqtemplate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/itchyny/gojq"
)

// This file is the one place that knows the jq dialect: what is put around gojq so that an
// expression means here what it means in jq 1.7.1.

// maxExpression bounds an expression's text, in bytes: the compiler descends as deep as the text
// nests.
const maxExpression = 64 << 10

// definitions are put in front of a query that has their names: builtins of jq 1.7.1 that gojq lacks or
// means otherwise. None uses another.
const definitions = `
def debug: .;
def debug(f): .;
def stderr: .;
def input_filename: null;
def input_line_number: error("Unknown input line number");
def get_search_list: [];
def keys_unsorted: keys;
def pow10: exp10;
def last(f): reduce f as $x (null; $x);
def ltrimstr($x): if type == "string" and ($x|type) == "string" and startswith($x) then .[$x|length:] else . end;
def rtrimstr($x): if type == "string" and ($x|type) == "string" and endswith($x) then .[:length - ($x|length)] else . end;
`

// jqError is the text of an expression's own failure.
type jqError string

func (e jqError) Error() string { return string(e) }

// program is one compiled expression; any number of goroutines may run it.
type program struct {
	// steps is the expression if it is a plain path, else query.
	steps []step
	query *gojq.Query
	// codes holds query compiled, each for one run at a time: deleting writes to every object that it
	// meets, also to constants of the code (gojq's deleteEmpty).
	codes sync.Pool
	// fault says why the expression does not compile, at the offset of faultAt bytes.
	fault   error
	faultAt int
}

// compiler compiles the expressions of one template, equal ones once.
type compiler struct {
	programs    map[string]*program
	definitions []*gojq.FuncDef
}

func newCompiler() (*compiler, error) {
	q, err := gojq.Parse(definitions + ".")
	if err != nil {
		return nil, fmt.Errorf("parse the definitions of builtins: %w", err)
	}
	return &compiler{programs: map[string]*program{}, definitions: q.FuncDefs}, nil
}

func (c *compiler) compile(text string) *program {
	if p := c.programs[text]; p != nil {
		return p
	}
	p := &program{}
	if err := c.into(p, text); err != nil {
		p.fault = err
		var at *gojq.ParseError
		if errors.As(err, &at) {
			p.faultAt = max(0, min(at.Offset-len(at.Token), len(text)))
		}
	}
	c.programs[text] = p
	return p
}

// into compiles text into p. A panic of the compiler is the expression's fault.
func (c *compiler) into(p *program, text string) (err error) {
	defer recovered(&err)
	if len(text) > maxExpression {
		return fmt.Errorf("expression over %d bytes", maxExpression)
	}
	q, err := gojq.Parse(rewriteQuotes(text))
	if err != nil {
		return err
	}
	if steps, ok := plainPath(q); ok {
		p.steps = steps
		return nil
	}
	var before []*gojq.FuncDef
	for _, d := range c.definitions {
		if strings.Contains(text, d.Name) {
			before = append(before, d)
		}
	}
	q.FuncDefs = append(before, q.FuncDefs...)
	code, err := link(q)
	if err != nil {
		return err
	}
	p.query = q
	p.codes.Put(code)
	return nil
}

// link compiles a query. Without a loader there are no modules and no files, and env and $ENV are {};
// input and inputs find nothing.
func link(q *gojq.Query) (*gojq.Code, error) {
	return gojq.Compile(q, gojq.WithInputIter(gojq.NewIter[any]()))
}

// run evaluates the expression: its first output, or not defined. The error is a jqError when the
// expression failed, else the reason why it was stopped: ctx, or output of more than budget nodes or
// MaxDepth levels. For a query data.mu is held.
func (p *program) run(ctx context.Context, data *Data, budget int) (v any, defined bool, err error) {
	if p.query == nil {
		v, err = walk(data.value, p.steps)
		return v, err == nil, err
	}
	defer recovered(&err)
	code, ok := p.codes.Get().(*gojq.Code)
	if !ok {
		if code, err = link(p.query); err != nil {
			return nil, false, jqError(err.Error())
		}
	}
	out, ok := code.RunWithContext(ctx, data.toNative()).Next()
	if ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	switch failure, failed := out.(error); {
	case !ok:
	case failed:
		err = jqFailure(failure)
	default:
		r := reader{origins: data.origins, budget: budget}
		v, err = r.value(out, 0)
		defined = err == nil
	}
	p.codes.Put(code)
	return v, defined, err
}

// jqFailure sorts an expression's error: nil is "undefined", which halt is, and every error whose
// value is no string.
func jqFailure(err error) error {
	var halt *gojq.HaltError
	if errors.As(err, &halt) {
		return nil
	}
	var raised gojq.ValueError
	if errors.As(err, &raised) {
		text, ok := raised.Value().(string)
		if !ok {
			return nil
		}
		return jqError(text)
	}
	return jqError(err.Error())
}

// recovered turns a panic of the engine into the expression's failure.
func recovered(err *error) {
	if r := recover(); r != nil {
		text, _, _ := strings.Cut(fmt.Sprint(r), "\n")
		*err = jqError("the expression broke the engine: " + text)
	}
}
