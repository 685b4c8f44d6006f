// Package document is a JSON document that a client declares things with: kept as the text that was
// sent, and checked against a JSON Schema.
//
// It promises that all faults of a document come at once, with paths and in sentences that never quote
// a value, and that no pattern and no list that a client sends takes more than a bounded time.
package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// Compact returns a document's text as it is stored: without white space between its tokens, and
// otherwise as it was sent, with every member in its place and every number in its own text. The
// error is a fault.Invalid.
func Compact(text []byte) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Message: "the body is not valid JSON: " + err.Error()}
	}
	return b.Bytes(), nil
}

// Member returns a member of an object, nil when there is no object or no member.
func Member(o *jqtemplate.Object, name string) any {
	v, _ := o.Get(name)
	return v
}

// Text returns a member that is a string, "" for any other.
func Text(o *jqtemplate.Object, name string) string {
	s, _ := Member(o, name).(string)
	return s
}

// Object returns a member that is an object, nil for any other.
func Object(o *jqtemplate.Object, name string) *jqtemplate.Object {
	v, _ := Member(o, name).(*jqtemplate.Object)
	return v
}

// Texts returns the strings of a list.
func Texts(v any) (names []string) {
	list, _ := v.([]any)
	for _, e := range list {
		if s, ok := e.(string); ok {
			names = append(names, s)
		}
	}
	return names
}

// Expression compiles an expression that stands at path. One that does not compile is no fault of a
// document but a warning, and nil.
func Expression(path, expression string) (*jqtemplate.Expression, *jqtemplate.Warning) {
	e, err := jqtemplate.ParseExpression(expression)
	if err == nil {
		return e, nil
	}
	w := &jqtemplate.Warning{Path: path, Expression: expression, Message: err.Error()}
	var f *fault.Error
	if errors.As(err, &f) && len(f.Details) > 0 {
		w.Message = f.Details[0].Message
		if f.Details[0].Position != nil {
			w.Position = *f.Details[0].Position
		}
	}
	return nil, w
}

// Plain returns a value as the validator takes it: objects as maps. Numbers beyond the doubles become
// the greatest one.
func Plain(v any) any {
	switch v := v.(type) {
	case *jqtemplate.Object:
		m := make(map[string]any, v.Len())
		for k, e := range v.All() {
			m[k] = Plain(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = Plain(e)
		}
		return l
	case float64:
		return max(-math.MaxFloat64, min(v, math.MaxFloat64))
	default:
		return v
	}
}

// Finite refuses numbers beyond the doubles in a value, which would be returned as they were sent and
// which no client can read.
func (f *Faults) Finite(v any, path string) {
	switch v := v.(type) {
	case *jqtemplate.Object:
		for name, e := range v.All() {
			f.Finite(e, Below(path, name))
		}
	case []any:
		for i, e := range v {
			f.Finite(e, fmt.Sprintf("%s[%d]", path, i))
		}
	case float64:
		if math.IsInf(v, 0) {
			f.Add(path, "must be a number between -1.8e308 and 1.8e308")
		}
	}
}

// countValues counts a plain value and all below it.
func countValues(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			n += countValues(e)
		}
	case []any:
		for _, e := range v {
			n += countValues(e)
		}
	}
	return n
}
