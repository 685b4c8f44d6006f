package action

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// Mask stands where a secret is not shown.
const Mask = "******"

// maxQueried bounds what the queries of one request, or one round of its defaults, yield together, in
// bytes of JSON.
const maxQueried = 4 << 20

// maxFailed is how many failed queries of one request are listed.
const maxFailed = 100

// query is a {"jqQuery": …}.
type query struct {
	path, text string
	// expression is nil when it does not compile; then warning says why.
	expression *jqtemplate.Expression
	warning    *jqtemplate.Warning
}

// setting is a value that may be given by a query. Its zero value is absent.
type setting struct {
	fixed any
	query *query
}

// jqQuery returns the expression of an object whose only member is a jqQuery.
func jqQuery(v any) (string, bool) {
	o, ok := v.(*jqtemplate.Object)
	if !ok || o.Len() != 1 {
		return "", false
	}
	s, ok := document.Member(o, "jqQuery").(string)
	return s, ok
}

// setting compiles a value that may be a query.
func (c *inputCompiler) setting(v any, path string) setting {
	text, ok := jqQuery(v)
	if !ok {
		return setting{fixed: v}
	}
	return setting{query: c.query(text, path)}
}

// query compiles a query that stands at path; one that does not compile becomes a warning.
func (c *inputCompiler) query(text, path string) *query {
	q := &query{path: path + ".jqQuery", text: text}
	if q.expression, q.warning = document.Expression(q.path, text); q.warning != nil {
		c.p.d.Warnings = append(c.p.d.Warnings, *q.warning)
	}
	return q
}

// evaluation evaluates the queries of one request.
type evaluation struct {
	ctx    context.Context
	inputs *Inputs
	scope  Scope
	// form are the inputs that queries see, and data all that they see; it is made when the first asks.
	form   *jqtemplate.Object
	data   *jqtemplate.Data
	failed []jqtemplate.Warning
	// size counts what queries have yielded.
	size int
	// err is why a schema could not be made.
	err error
}

// see sets the form that queries see from now on.
func (e *evaluation) see(values *jqtemplate.Object) { e.form, e.data = values, nil }

// view returns what queries see.
func (e *evaluation) view() *jqtemplate.Data {
	if e.data != nil {
		return e.data
	}
	form, data := new(jqtemplate.Object), new(jqtemplate.Object)
	for name, v := range e.form.All() {
		if at, declared := e.inputs.byName[name]; declared && v != nil && e.inputs.declared[at].encryption != nil {
			v = Mask
		}
		form.Set(name, v)
	}
	data.Set("form", form)
	data.Set("inputs", form)
	data.Set("entity", orEmpty(e.scope.Entity))
	data.Set("user", orEmpty(e.scope.User))
	e.data = jqtemplate.NewData(data)
	return e.data
}

func orEmpty(o *jqtemplate.Object) *jqtemplate.Object {
	if o == nil {
		return new(jqtemplate.Object)
	}
	return o
}

// want says what a query is to yield. It returns what that is called, "" if v is it.
type want func(v any) string

// setting returns a setting's value, nil when it is absent, failed, or is not what is wanted. The error
// is ctx's or a limit.
func (e *evaluation) setting(s setting, wanted want) (any, error) {
	if s.query == nil {
		return s.fixed, nil
	}
	if s.query.warning != nil {
		e.fail(*s.query.warning)
		return nil, nil
	}
	v, defined, err := s.query.expression.Eval(e.ctx, e.view())
	switch {
	case fault.Is(err, "template_limit"):
		return nil, limited(s.query.path, err)
	case e.ctx.Err() != nil: // A plain path does not look at it.
		return nil, limited(s.query.path, e.over())
	case err != nil:
		e.fail(s.query.failure(err))
		return nil, nil
	case !defined || v == nil:
		return nil, nil
	}
	if name := wanted(v); name != "" {
		e.fail(jqtemplate.Warning{Path: s.query.path, Expression: s.query.text, Message: "yields no " + name})
		return nil, nil
	}
	switch v.(type) {
	case bool, float64:
	default:
		if e.size += len(jqtemplate.Encode(v)); e.size > maxQueried {
			return nil, fault.New(fault.Invalid, "template_limit", "the queries of the inputs yield more than %d bytes", maxQueried)
		}
	}
	return v, nil
}

// limited returns a limit's fault with the path of the query that met it.
func limited(path string, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	return &fault.Error{
		Kind: f.Kind, Code: f.Code, Message: path + ": " + f.Message, Err: err,
		Details: []fault.Detail{{Path: path, Message: f.Message}},
	}
}

// over returns why the time of the request is over.
func (e *evaluation) over() error {
	if errors.Is(e.ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.Invalid, "template_limit", "the time for the request ran out at the inputs")
	}
	return e.ctx.Err()
}

// failure describes an expression's own failure.
func (q *query) failure(err error) jqtemplate.Warning {
	w := jqtemplate.Warning{Path: q.path, Expression: q.text, Message: err.Error()}
	var f *fault.Error
	if errors.As(err, &f) && len(f.Details) > 0 {
		w.Message = f.Details[0].Message
		if f.Details[0].Position != nil {
			w.Position = *f.Details[0].Position
		}
	}
	return w
}

// fail notes a query that counts as absent.
func (e *evaluation) fail(w jqtemplate.Warning) {
	if len(e.failed) < maxFailed {
		e.failed = append(e.failed, w)
	}
}

func wantFlag(v any) string {
	if _, ok := v.(bool); ok {
		return ""
	}
	return "boolean"
}

func wantNames(v any) string {
	list, ok := v.([]any)
	if ok && !slices.ContainsFunc(list, func(v any) bool { _, ok := v.(string); return !ok }) {
		return ""
	}
	return "list of names"
}

func wantList(v any) string {
	if _, ok := v.([]any); ok {
		return ""
	}
	return "list"
}

// maxPattern is how long a pattern by query may be, in bytes: it may be made of what a caller gave.
const maxPattern = 8 << 10

func wantPattern(v any) string {
	if text, ok := v.(string); ok && len(text) <= maxPattern && new(document.Draft).Pattern(text) == nil {
		return ""
	}
	return "regular expression"
}

func wantSize(v any) string {
	if n, ok := v.(float64); ok && n == math.Trunc(n) && n >= 0 && n <= math.MaxInt32 {
		return ""
	}
	return "whole number from 0"
}

// wantSettings are the members of an input's schema that a query may stand for, and what it must yield.
var wantSettings = map[string]want{
	"enum": wantList, "required": wantNames, "pattern": wantPattern, "minItems": wantSize, "maxItems": wantSize,
}

// wantDefault returns what a default of the input must be.
func (in *input) wantDefault(v any) string {
	kind := document.Text(in.source, "type")
	ok := true
	switch v := v.(type) {
	case string:
		ok = kind == "string" || in.encryption.byClient()
	case float64:
		ok = kind == "number"
	case bool:
		ok = kind == "boolean"
	case []any:
		ok = kind == "array"
	case *jqtemplate.Object:
		_, named := document.Member(v, "identifier").(string)
		ok = kind == "object" || kind == "string" && named && document.Text(in.source, "format") == "entity"
	}
	if ok {
		return ""
	}
	return kind
}

// defaults returns the inputs with what was not given, and sets what queries see.
func (e *evaluation) defaults(properties *jqtemplate.Object) (*jqtemplate.Object, error) {
	values := clone(properties)
	var queried []*input
	for n := range e.inputs.declared {
		in := &e.inputs.declared[n]
		if _, given := properties.Get(in.name); given {
			continue
		}
		if in.standard.query != nil {
			queried = append(queried, in)
		}
		if in.standard != (setting{}) {
			values.Set(in.name, in.standard.fixed) // One by query is null until it is known.
		}
	}
	byQuery := slices.Clone(queried)
	var unsettled []jqtemplate.Warning
	for {
		moving, err := e.settle(values, queried)
		if err != nil {
			return nil, err
		}
		if len(moving) == 0 {
			break
		}
		for _, in := range moving {
			values.Set(in.name, nil)
			unsettled = append(unsettled, jqtemplate.Warning{
				Path: in.standard.query.path, Expression: in.standard.query.text,
				Message: fmt.Sprintf("does not settle: it still changes after %d rounds", len(queried)+1),
			})
		}
		queried = slices.DeleteFunc(queried, func(in *input) bool { return slices.Contains(moving, in) })
		for _, in := range queried {
			values.Set(in.name, nil)
		}
	}
	e.failed = append(unsettled[:min(len(unsettled), maxFailed)], e.failed...)
	for _, in := range byQuery {
		if document.Member(values, in.name) == nil {
			values.Delete(in.name) // A query without a result is no value.
		}
	}
	e.see(values)
	e.size = 0
	return values, nil
}

// settle evaluates defaults in rounds until none of them changes. It returns those that still do after
// one round more than there are of them: a chain of all of them has settled by then.
func (e *evaluation) settle(values *jqtemplate.Object, queried []*input) (moving []*input, err error) {
	e.failed = nil
	if len(queried) == 0 {
		return nil, nil
	}
	for range len(queried) + 1 {
		e.see(values)
		e.failed, e.size, moving = nil, 0, nil
		next := make([]any, len(queried))
		for i, in := range queried {
			if next[i], err = e.setting(in.standard, in.wantDefault); err != nil {
				return nil, err
			}
		}
		for i, in := range queried {
			before, _ := values.Get(in.name)
			if string(jqtemplate.Encode(before)) != string(jqtemplate.Encode(next[i])) {
				moving = append(moving, in)
			}
			values.Set(in.name, next[i])
		}
		if len(moving) == 0 {
			return nil, nil
		}
	}
	return moving, nil
}
