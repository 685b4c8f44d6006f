package action

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// Compact returns a definition's text as it is stored: without white space between its tokens, and
// otherwise as it was sent, with every member in its place and every number in its own text. The
// error is a fault.Invalid.
func Compact(text []byte) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Message: "the body is not valid JSON: " + err.Error()}
	}
	return b.Bytes(), nil
}

// Parse decodes a definition of either generation strictly and compiles it: v1 when its trigger is a
// string, v2 otherwise. All faults come in one fault.Invalid with their paths and positions; text
// that is no JSON object is one without a path. JQ that does not compile is no fault but a warning.
//
// An optional member may be null, which means the same as its absence.
func Parse(text json.RawMessage) (*Definition, error) {
	v, err := jqtemplate.Decode(text)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*jqtemplate.Object)
	if !ok {
		return nil, fault.New(fault.Invalid, "", "a definition must be an object")
	}
	if len(text) > MaxSize {
		if text, err = Compact(text); err != nil {
			return nil, err
		}
		if len(text) > MaxSize {
			return nil, fault.New(fault.Invalid, "", "a definition may have at most %d bytes, this one has %d", MaxSize, len(text))
		}
	}
	p, err := newParser(o)
	if err != nil {
		return nil, err
	}
	return p.parse()
}

// parser collects the faults of one definition on the way to its compiled form. Each of its steps
// bears members of any type, so that a fault in one place does not hide those of another.
type parser struct {
	schemas *schemas
	// root is the definition, plain the same for the validator.
	root   *jqtemplate.Object
	plain  map[string]any
	d      *Definition
	faults faults
}

func newParser(o *jqtemplate.Object) (*parser, error) {
	s, err := definitionSchemas()
	if err != nil {
		return nil, err
	}
	return &parser{
		schemas: s,
		root:    o,
		plain:   plain(o).(map[string]any),
		d: &Definition{
			Generation: V2,
			Identifier: text(o, "identifier"),
			Title:      text(o, "title"),
			Icon:       text(o, "icon"),
			Publish:    true,
		},
	}, nil
}

func (p *parser) parse() (*Definition, error) {
	d := p.d
	p.finite(p.root, "")
	if publish, ok := member(p.root, "publish").(bool); ok {
		d.Publish = publish
	}
	if v := member(p.root, "requiredApproval"); v != nil {
		d.RequiredApproval = jqtemplate.Encode(v)
		d.ApprovalRequired = v != false
	}
	var inputs *jqtemplate.Object
	inputsPath := "userInputs"
	if operation, ok := member(p.root, "trigger").(string); ok {
		d.Generation, d.Kind, d.Operation = V1, SelfService, operation
		d.Blueprint = text(p.root, "blueprint")
		inputs = object(p.root, "userInputs")
		p.faults.validate(p.schemas.v1, p.plain, "")
	} else {
		inputs, inputsPath = object(object(p.root, "trigger"), "userInputs"), "trigger.userInputs"
		p.faults.validate(p.schemas.v2, p.plain, "")
		p.trigger(object(p.root, "trigger"))
	}
	p.method(object(p.root, "invocationMethod"))
	compiled, err := p.inputs(inputs, inputsPath)
	if err != nil {
		return nil, err
	}
	d.Inputs = compiled
	if err := p.faults.err(); err != nil {
		return nil, err
	}
	return d, nil
}

// finite refuses numbers beyond the doubles, which would be returned as they were sent and which no
// client can read.
func (p *parser) finite(v any, path string) {
	switch v := v.(type) {
	case *jqtemplate.Object:
		for name, e := range v.All() {
			p.finite(e, below(path, name))
		}
	case []any:
		for i, e := range v {
			p.finite(e, fmt.Sprintf("%s[%d]", path, i))
		}
	case float64:
		if math.IsInf(v, 0) {
			p.faults.add(path, "must be a number between -1.8e308 and 1.8e308")
		}
	}
}

// trigger checks a v2 trigger by its type.
func (p *parser) trigger(o *jqtemplate.Object) {
	d := p.d
	d.Kind = text(o, "type")
	switch d.Kind {
	case SelfService:
		p.faults.validate(p.schemas.selfService, p.plain["trigger"], "trigger")
		d.Operation, d.Blueprint = text(o, "operation"), text(o, "blueprintIdentifier")
		if member(o, "condition") == nil {
			return
		}
		switch {
		case d.Operation == Create:
			p.faults.add("trigger.condition", "only a DAY-2 or DELETE action has a condition")
		case d.Blueprint == "":
			p.faults.add("trigger.condition", "needs blueprintIdentifier beside it")
		}
	case Automation:
		p.faults.validate(p.schemas.automation, p.plain["trigger"], "trigger")
		expressions, _ := member(object(o, "condition"), "expressions").([]any)
		for i, e := range expressions {
			if e, ok := e.(string); ok {
				p.expression(fmt.Sprintf("trigger.condition.expressions[%d]", i), e)
			}
		}
	}
}

// method checks an invocation method by its type and compiles its templates.
func (p *parser) method(o *jqtemplate.Object) {
	if o == nil {
		return
	}
	d, name := p.d, text(o, "type")
	schemas := p.schemas.methods[d.Generation]
	if s := schemas[name]; s != nil {
		p.faults.validate(s, p.plain["invocationMethod"], "invocationMethod")
	}
	d.Method = Method{Type: strings.ReplaceAll(name, "AZURE-DEVOPS", "AZURE_DEVOPS"), Raw: o}
	if d.Generation == V1 {
		return
	}
	if _, list := member(o, "body").([]any); list && strings.EqualFold(text(o, "method"), "GET") {
		p.faults.add("invocationMethod.body", "a GET has no array for a body; its members go into the query")
	}
	template := new(jqtemplate.Object)
	for k, v := range o.All() {
		if k != "type" {
			template.Set(k, v)
		}
	}
	t, err := jqtemplate.Parse(template, "invocationMethod")
	if err != nil {
		p.faults.addErr("invocationMethod", err)
		return
	}
	d.Method.Template = t
	d.Warnings = append(d.Warnings, t.Warnings()...)
}

// expression compiles an expression and keeps a warning when it does not compile.
func (p *parser) expression(path, expression string) {
	_, err := jqtemplate.ParseExpression(expression)
	if err == nil {
		return
	}
	w := jqtemplate.Warning{Path: path, Expression: expression, Message: err.Error()}
	var f *fault.Error
	if errors.As(err, &f) && len(f.Details) > 0 {
		w.Message = f.Details[0].Message
		if f.Details[0].Position != nil {
			w.Position = *f.Details[0].Position
		}
	}
	p.d.Warnings = append(p.d.Warnings, w)
}

// member returns a member of an object, nil when there is no object or no member.
func member(o *jqtemplate.Object, name string) any {
	v, _ := o.Get(name)
	return v
}

func text(o *jqtemplate.Object, name string) string {
	s, _ := member(o, name).(string)
	return s
}

func object(o *jqtemplate.Object, name string) *jqtemplate.Object {
	v, _ := member(o, name).(*jqtemplate.Object)
	return v
}
