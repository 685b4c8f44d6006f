// Package jqtemplate renders payload templates: {{ jq }} in any JSON value becomes a JSON value.
//
// A template is compiled once and rendered often, from any number of goroutines. It promises that
// nothing a template does reaches the environment, files or the network, and that a rendering ends by
// its deadline, within its output limit and within the bounds of package jq.
//
// A rendered value may share parts with the data it was rendered from, and data that was decoded
// with its text; none of them may be changed afterwards.
package jqtemplate

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate/value"
)

// maxFaults bounds how many faults, warnings or failed expressions of one template are listed.
const maxFaults = 100

// Template is a compiled template.
type Template struct {
	root     node
	warnings []Warning
	programs compiler
}

// Parse compiles a template: any JSON value as Decode returns it. Unbalanced and nested braces are
// refused with all their places, the first 100: a fault.Invalid with Details (Path, Message,
// Position). Path begins with prefix. JQ that does not compile is no error; see Warnings.
func Parse(template any, prefix string) (*Template, error) {
	p := parser{compiler: compiler{}}
	root := p.node(template, &place{key: prefix, index: -1}, 0)
	if err := fault.InvalidDetails(p.faults); err != nil {
		return nil, err
	}
	return &Template{root, p.warnings, p.compiler}, nil
}

// Warning is an expression that does not compile, or one that failed in a rendering.
type Warning struct {
	// Path is the JSON path of the string that holds the expression; of a key, its member's.
	Path       string `json:"path"`
	Expression string `json:"expression"`
	// Position is a place in that string, in UTF-16 units from 0: where the expression cannot be
	// read any further if that is known, else where it begins.
	Position int    `json:"position"`
	Message  string `json:"message"`
}

// Warnings returns the expressions that do not compile, the first 100; rendering them yields null.
func (t *Template) Warnings() []Warning { return t.warnings }

// Options of a rendering.
type Options struct {
	// Strict makes a failing expression fail the rendering; otherwise it yields null.
	Strict bool
	// Report collects the expressions that yielded null because they failed.
	Report bool
	// Lenient leaves out members of objects that template faults would fail the rendering for.
	Lenient bool
}

// Result is a rendered template.
type Result struct {
	// Value is meaningless when Undefined is set: the whole template rendered to nothing.
	Value     any
	Undefined bool
	// Failed lists expressions that yielded null because they failed, the first 100, if
	// Options.Report is set.
	Failed []Warning
}

// Render renders the template. Its errors are of kind fault.Invalid: with Details that name the
// path, a template fault (an object key or a spread value of the wrong type) or in strict mode a
// failing expression; with code template_limit a limit: 1 s, 1 MiB of output, MaxDepth or ctx's
// deadline. ErrorClass tells them apart. A cancelled ctx is its own error. The message of a template
// fault quotes the value that was met.
func (t *Template) Render(ctx context.Context, data *Data, o Options) (Result, error) {
	r := newRendering(ctx, data, o)
	defer r.close()
	v, defined, err := t.root.render(r, 0)
	if err != nil {
		return Result{}, err
	}
	return Result{Value: v, Undefined: !defined, Failed: r.failed}, nil
}

// Expression is one compiled jq expression without braces.
type Expression struct{ expression }

// ParseExpression compiles an expression. When it does not compile the error is a fault.Invalid
// with one Detail that has a Position.
func ParseExpression(text string) (*Expression, error) {
	e := &Expression{expression{program: compiler{}.compile(text), text: text, place: &place{index: -1}}}
	if e.program.fault != nil {
		return nil, e.fault()
	}
	return e, nil
}

// Plain reports whether the expression is a plain path such as .a.b[0], which is walked rather than
// evaluated.
func (e *Expression) Plain() bool { return e.program.code == nil }

// Eval evaluates the expression; defined is false when it yields nothing. The error is the
// expression's own failure (fault.Invalid) or a limit (code template_limit), the same as Render's.
func (e *Expression) Eval(ctx context.Context, data *Data) (value any, defined bool, err error) {
	r := newRendering(ctx, data, Options{Strict: true})
	defer r.close()
	return (&whole{&e.expression}).render(r, 0)
}

// expression is one block of a template.
type expression struct {
	program *program
	// text is the expression as it was written, at start bytes into source.
	text   string
	source string
	start  int
	place  *place
}

// position is where the expression cannot be read any further, or where it begins.
func (e *expression) position() int {
	at := e.program.faultAt
	if at == 0 {
		at = len(e.text) - len(strings.TrimLeftFunc(e.text, isSpace))
	}
	return utf16Len(e.source[:e.start]) + utf16Len(e.text[:at])
}

// warning describes the expression's failure.
func (e *expression) warning(message string) Warning {
	return Warning{Path: e.place.String(), Expression: strings.TrimFunc(e.text, isSpace), Position: e.position(), Message: message}
}

// fault is the error of an expression that does not compile.
func (e *expression) fault() error {
	return invalid(classCompile, e.place, e.position(), compileMessage(e.program))
}

func compileMessage(p *program) string { return "jq: compile error: " + p.fault.Error() }

// parser builds the nodes of a template.
type parser struct {
	compiler compiler
	faults   []fault.Detail
	warnings []Warning
}

func (p *parser) node(template any, at *place, depth int) node {
	if depth > MaxDepth {
		p.fail(at, nil, fmt.Sprintf("The template is nested deeper than %d levels", MaxDepth))
		return &literal{}
	}
	switch t := template.(type) {
	case string:
		return p.string(t, at)
	case []any:
		items := make([]node, len(t))
		for i, item := range t {
			items[i] = p.node(item, &place{parent: at, index: i}, depth+1)
		}
		return &list{items}
	case *Object:
		o := &object{members: make([]templateMember, 0, t.Len())}
		for _, m := range t.Ordered() {
			if m.Key == "" {
				continue // A key that renders to "" drops its member.
			}
			here := &place{parent: at, key: m.Key, index: -1}
			tm := templateMember{source: m.Key, place: here}
			if isSpreadKey(m.Key) {
				tm.value = p.node(m.Value, here, depth+1)
				tm.spread, tm.spreadSource = true, javaScriptText(m.Value)
			} else {
				tm.key = p.string(m.Key, here)
				tm.value = p.node(m.Value, here, depth+1)
			}
			o.members = append(o.members, tm)
		}
		return o
	default:
		return newLiteral(t)
	}
}

func (p *parser) fail(at *place, position *int, message string) {
	if len(p.faults) < maxFaults {
		p.faults = append(p.faults, fault.Detail{Path: at.String(), Message: message, Position: position})
	}
}

func (p *parser) string(s string, at *place) node {
	blocks, faults := scanBlocks(s, maxFaults-len(p.faults))
	for _, f := range faults {
		p.fail(at, &f.position, f.message)
	}
	if len(blocks) == 0 || len(p.faults) > 0 {
		return newLiteral(s)
	}
	expressions := make([]expression, len(blocks))
	for i, b := range blocks {
		e := expression{text: s[b.start:b.end], source: s, start: b.start, place: at}
		e.program = p.compiler.compile(e.text)
		if e.program.fault != nil && len(p.warnings) < maxFaults {
			p.warnings = append(p.warnings, e.warning(compileMessage(e.program)))
		}
		expressions[i] = e
	}
	if len(blocks) == 1 && isWhole(s) {
		return &whole{&expressions[0]}
	}
	parts := make([]part, len(blocks))
	from := 0
	for i, b := range blocks {
		parts[i] = part{s[from : b.start-2], &expressions[i]}
		from = b.end + 2
	}
	return &text{parts, s[from:]}
}

// javaScriptText is a scalar as JavaScript's String() has it.
func javaScriptText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return string(value.AppendNumber(nil, v))
	}
	return "" // Arrays and objects spread; null is another fault.
}
