// Package jqtemplate renders payload templates: {{ jq }} in any JSON value becomes a JSON value.
//
// It is the only user of gojq. A template is compiled once and rendered often, from any number of
// goroutines. It promises that nothing a template does reaches the environment, files or the
// network, and that a rendering ends by its deadline and within its output limit.
package jqtemplate

import "context"

// Template is a compiled template.
type Template struct{}

// Parse compiles a template: any JSON value as Decode returns it. Unbalanced and nested braces are
// refused with all their places: a fault.Invalid with Details (Path, Message, Position). Path
// begins with prefix. JQ that does not compile is no error; see Warnings.
func Parse(template any, prefix string) (*Template, error) { panic("not implemented") }

// Warning is an expression that does not compile, or one that failed in a rendering.
type Warning struct {
	// Path is the JSON path of the string that holds the expression.
	Path       string `json:"path"`
	Expression string `json:"expression"`
	// Position is the expression's place in its string, in UTF-16 units from 0.
	Position int    `json:"position"`
	Message  string `json:"message"`
}

// Warnings returns the expressions that do not compile; rendering them yields null.
func (t *Template) Warnings() []Warning { panic("not implemented") }

// Data is a JSON value made ready for any number of renderings.
type Data struct{}

// NewData prepares a value. It must not be changed afterwards.
func NewData(v any) *Data { panic("not implemented") }

// Options of a rendering.
type Options struct {
	// Strict makes a failing expression fail the rendering; otherwise it yields null.
	Strict bool
	// Report collects the expressions that yielded null because they failed.
	Report bool
}

// Result is a rendered template.
type Result struct {
	// Value is meaningless when Undefined is set: the whole template rendered to nothing.
	Value     any
	Undefined bool
	// Failed lists expressions that yielded null because they failed, if Options.Report is set.
	Failed []Warning
}

// Render renders the template. Its errors are of kind fault.Invalid, with Details that name the
// path: a template fault (an object key or a spread value of the wrong type), in strict mode a
// failing expression, or a limit (code template_limit): 1 s, 1 MiB of output, or ctx's deadline.
// ErrorClass tells them apart.
func (t *Template) Render(ctx context.Context, data *Data, o Options) (Result, error) {
	panic("not implemented")
}

// Expression is one compiled jq expression without braces.
type Expression struct{}

// ParseExpression compiles an expression. When it does not compile the error is a fault.Invalid
// with one Detail that has a Position.
func ParseExpression(text string) (*Expression, error) { panic("not implemented") }

// Eval evaluates the expression; defined is false when it yields nothing. The error is the
// expression's own failure (fault.Invalid) or a limit (code template_limit).
func (e *Expression) Eval(ctx context.Context, data *Data) (value any, defined bool, err error) {
	panic("not implemented")
}
