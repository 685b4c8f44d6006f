package jqtemplate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"longshore/pkg/jqtemplate/jq"
)

// maxExpression bounds an expression's text, in bytes: the compiler descends as deep as the text
// nests.
const maxExpression = 64 << 10

// jqError is the text of an expression's own failure.
type jqError string

func (e jqError) Error() string { return string(e) }

// program is one compiled expression; any number of goroutines may run it.
type program struct {
	// steps is the expression if it is a plain path, else code.
	steps []step
	code  *jq.Program
	// fault says why the expression does not compile, at the offset of faultAt bytes.
	fault   error
	faultAt int
}

// compiler compiles the expressions of one template, equal ones once.
type compiler map[string]*program

func (c compiler) compile(text string) *program {
	if p := c[text]; p != nil {
		return p
	}
	p := &program{}
	if p.fault = p.parse(text); p.fault != nil {
		var at *jq.CompileError
		if errors.As(p.fault, &at) {
			p.faultAt = max(0, at.At)
		}
	}
	c[text] = p
	return p
}

// parse compiles text into p. A panic of the compiler is the expression's fault.
func (p *program) parse(text string) (err error) {
	defer recovered(&err)
	if len(text) > maxExpression {
		return fmt.Errorf("expression over %d bytes", maxExpression)
	}
	code, err := jq.Parse(rewriteQuotes(text))
	if err != nil {
		return err
	}
	if steps, ok := plainPath(code.Query); ok {
		p.steps = steps
		return nil
	}
	p.code = code
	return nil
}

// run evaluates the expression: its first output, or not defined. The error is a jqError when the
// expression failed, else the reason why it was stopped: ctx or one of jq's limits.
func (p *program) run(ctx context.Context, data *Data) (v any, defined bool, err error) {
	if p.code == nil {
		v, err = walk(data.value, p.steps)
		return v, err == nil, err
	}
	defer recovered(&err)
	v, defined, err = p.code.Run(ctx, data.ordered())
	var failure *jq.Error
	if !errors.As(err, &failure) {
		return v, defined, err
	}
	// An error whose value is no string is "undefined".
	text, ok := failure.Value.(string)
	if !ok {
		return nil, false, nil
	}
	return nil, false, jqError(text)
}

// recovered turns a panic of the engine into the expression's failure.
func recovered(err *error) {
	if r := recover(); r != nil {
		text, _, _ := strings.Cut(fmt.Sprint(r), "\n")
		*err = jqError("the expression broke the engine: " + text)
	}
}
