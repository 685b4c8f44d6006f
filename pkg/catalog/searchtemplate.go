package catalog

import (
	"context"
	"errors"
	"slices"
	"strings"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// valueTemplate is the value of a rule that is made when the search is used.
type valueTemplate struct {
	path       string
	template   *jqtemplate.Template
	expression *jqtemplate.Expression
	// broken is why the expression does not compile.
	broken error
}

func (t *valueTemplate) render(ctx context.Context, data *jqtemplate.Data) (any, error) {
	switch {
	case t.broken != nil:
		return nil, t.broken
	case t.expression != nil:
		v, _, err := t.expression.Eval(ctx, data)
		return v, err
	}
	result, err := t.template.Render(ctx, data, jqtemplate.Options{Strict: true})
	if err != nil || result.Undefined {
		return nil, err
	}
	return result.Value, nil
}

// value compiles the value of a comparison.
func (p *searchParser) value(c *comparison, v any, path string) {
	if c.template = p.template(v, path); c.template != nil {
		return
	}
	if o, ok := v.(*jqtemplate.Object); ok && c.schema == nil && c.relation == "" {
		if _, ok := o.Get("context"); ok {
			c.value = p.context(o, path)
			return
		}
	}
	if c.schema != nil && !p.AnyValue {
		switch v.(type) {
		case nil, string, float64, bool:
		default:
			p.faults.Add(path, "must be null, a string, a number or a boolean")
			return
		}
	}
	c.operands = p.operands(c.operator, v, path)
}

// template compiles a value that is to be rendered; nil if it is none.
func (p *searchParser) template(v any, path string) *valueTemplate {
	if !p.AllowTemplates {
		return nil
	}
	if o, ok := v.(*jqtemplate.Object); ok && o.Len() == 1 {
		if v, ok := o.Get("jqQuery"); ok {
			path := member(path, "jqQuery")
			text, ok := v.(string)
			if !ok {
				p.faults.Add(path, "must be a string")
				return &valueTemplate{path: path}
			}
			expression, err := jqtemplate.ParseExpression(text)
			if err != nil {
				w := jqtemplate.Warning{Path: path, Expression: text, Message: err.Error()}
				var f *fault.Error
				if errors.As(err, &f) && len(f.Details) > 0 {
					w.Message = f.Details[0].Message
					if f.Details[0].Position != nil {
						w.Position = *f.Details[0].Position
					}
				}
				p.warnings = append(p.warnings, w)
			}
			return &valueTemplate{path: path, expression: expression, broken: err}
		}
	}
	if !holdsTemplate(v) {
		return nil
	}
	t, err := jqtemplate.Parse(v, path)
	if err != nil {
		p.faults.AddErr(path, err)
		return &valueTemplate{path: path}
	}
	p.warnings = append(p.warnings, t.Warnings()...)
	return &valueTemplate{path: path, template: t}
}

func holdsTemplate(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "{{")
	case []any:
		return slices.ContainsFunc(v, holdsTemplate)
	case *jqtemplate.Object:
		for name, v := range v.All() {
			if strings.Contains(name, "{{") || holdsTemplate(v) {
				return true
			}
		}
	}
	return false
}
