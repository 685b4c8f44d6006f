package api

import (
	"encoding/json"
	"errors"
	"fmt"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// evaluation answers POST /v1/jq.
type evaluation struct {
	OK bool `json:"ok"`
	// Result is absent when nothing was evaluated, or when the result is undefined.
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
	// Position is where an expression does not compile, or where a template's braces are wrong.
	Position *int `json:"position,omitempty"`
	// FailedExpressions are the expressions of a template that yielded null because they failed.
	FailedExpressions []failedExpression `json:"failedExpressions,omitempty"`
	// Warnings are the expressions of a template that do not compile.
	Warnings []jqtemplate.Warning `json:"warnings,omitempty"`
}

// evaluate answers POST /v1/jq: one expression or template on the caller's own data. It reads no
// store and keeps nothing. A fault of the expression is an answer, not a fault of the request.
func (s *server) evaluate(r *request) (*answer, error) {
	b, err := members(r.body)
	if err != nil {
		return nil, err
	}
	expression, template := b.text("expression", 0), b.value("template")
	data := jqtemplate.NewData(b.value("data"))
	// A template may be null: only its presence counts.
	if b.has("template") == (expression != nil) && len(b.faults) == 0 {
		b.fault("", "the body must have either expression or template")
	}
	if err := b.done(); err != nil {
		return nil, err
	}
	e := evaluation{OK: true}
	if expression != nil {
		err = e.expression(r, *expression, data)
	} else {
		err = e.template(r, template, data)
	}
	if err != nil {
		return nil, err
	}
	return ok(e)
}

func (e *evaluation) expression(r *request, text string, data *jqtemplate.Data) error {
	compiled, err := jqtemplate.ParseExpression(text)
	if err != nil {
		return e.refuse(err)
	}
	value, defined, err := compiled.Eval(r.Context(), data)
	if err != nil {
		return e.fail(err)
	}
	if defined {
		e.Result = jqtemplate.Encode(value)
	}
	return nil
}

func (e *evaluation) template(r *request, template any, data *jqtemplate.Data) error {
	compiled, err := jqtemplate.Parse(template, "")
	if err != nil {
		return e.refuse(err)
	}
	e.Warnings = compiled.Warnings()
	result, err := compiled.Render(r.Context(), data, jqtemplate.Options{Report: true})
	if err != nil {
		return e.fail(err)
	}
	if !result.Undefined {
		e.Result = jqtemplate.Encode(result.Value)
	}
	e.FailedExpressions = failedExpressions(result.Failed)
	switch {
	case len(e.Warnings) > 0:
		e.Error, e.Position = e.Warnings[0].Message, &e.Warnings[0].Position
	case len(result.Failed) > 0:
		e.Error = result.Failed[0].Message
	}
	return nil
}

// refuse answers what does not compile.
func (e *evaluation) refuse(err error) error {
	f, isInvalid := invalid(err)
	if !isInvalid {
		return fmt.Errorf("compile: %w", err)
	}
	e.Error = f.Message
	if len(f.Details) > 0 {
		e.Position = f.Details[0].Position
	}
	return nil
}

// fail answers what failed when it was evaluated; a limit is a fault of the request.
func (e *evaluation) fail(err error) error {
	f, isInvalid := invalid(err)
	if !isInvalid || f.Word() == "template_limit" {
		return fmt.Errorf("evaluate: %w", err)
	}
	e.Result, e.Error = json.RawMessage("null"), f.Message
	return nil
}

func invalid(err error) (*fault.Error, bool) {
	var f *fault.Error
	return f, errors.As(err, &f) && f.Kind == fault.Invalid
}
