package jqtemplate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate/jq"
	"longshore/pkg/jqtemplate/oniguruma"
	"longshore/pkg/jqtemplate/value"
)

// The classes of errors that the recorded vectors tell apart.
const (
	classTemplate = "Error"
	classNull     = "TypeError"
	classFailed   = "JqExecError"
	classCompile  = "JqExecCompileError"
)

// codeLimit is the word of a rendering that hit a limit.
const codeLimit = "template_limit"

// classified is a fault with the class that the original engine's clients know it by.
type classified struct {
	class string
	fault *fault.Error
}

func (c *classified) Error() string { return c.fault.Error() }
func (c *classified) Unwrap() error { return c.fault }

// ErrorClass returns the name of the original engine's exception for an error of Parse, Render or
// Eval: JqExecCompileError for jq that does not compile, JqExecError for an expression that fails,
// TypeError for spreadValue() of null, and Error for everything else.
func ErrorClass(err error) string {
	var c *classified
	if errors.As(err, &c) {
		return c.class
	}
	return classTemplate
}

// isTemplateFault reports whether an error is an object key or a spread value of the wrong type.
func isTemplateFault(err error) bool {
	var c *classified
	return errors.As(err, &c) && (c.class == classTemplate || c.class == classNull)
}

// invalid returns a fault of one place. A negative position says nothing.
func invalid(class string, at *place, position int, message string) error {
	d := fault.Detail{Path: at.String(), Message: message}
	if position >= 0 {
		d.Position = &position
	}
	var f *fault.Error
	errors.As(fault.InvalidDetails([]fault.Detail{d}), &f)
	return &classified{class, f}
}

// exceeded returns the fault of a rendering that hit a limit.
func exceeded(what string) error {
	return fault.New(fault.Invalid, codeLimit, "the template was stopped: %s", what)
}

// limitFault turns the reason why an evaluation was stopped into what the caller gets. ctx is the
// caller's own.
func limitFault(ctx context.Context, reason error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("render template: %w", ctx.Err())
	case ctx.Err() != nil:
		return exceeded("the time for the request ran out")
	case errors.Is(reason, value.ErrTooLong):
		return exceeded(fmt.Sprintf("its output is over %d bytes", maxOutput))
	case errors.Is(reason, value.ErrTooDeep):
		return exceeded(fmt.Sprintf("its output nests deeper than %d levels", MaxDepth))
	case errors.Is(reason, jq.ErrMemory), errors.Is(reason, jq.ErrDepth),
		errors.Is(reason, oniguruma.ErrTimeout), errors.Is(reason, oniguruma.ErrTooLarge):
		return exceeded(reason.Error())
	default:
		return exceeded(fmt.Sprintf("it took longer than %s", maxTime))
	}
}

// place is a position in a template, for faults; its text is made only when it is needed.
type place struct {
	parent *place
	// key is a member's name, or with index >= 0 ignored.
	key   string
	index int
}

// maxPath bounds the text of a path, in bytes: keys may be as long as a template.
const maxPath = 1000

// String returns the JSON path: invocationMethod.body.deep[0].x. Keys that would read as something
// else are quoted in brackets.
func (p *place) String() string {
	var chain []*place
	for ; p != nil; p = p.parent {
		chain = append(chain, p)
	}
	var b strings.Builder
	for i := len(chain) - 1; i >= 0 && b.Len() <= maxPath; i-- {
		switch c := chain[i]; {
		case c.index >= 0:
			b.WriteString("[" + strconv.Itoa(c.index) + "]")
		case c.parent == nil:
			b.WriteString(c.key) // The prefix, as it was given.
		case isName(c.key):
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(c.key)
		default:
			b.WriteString("[" + string(Encode(c.key)) + "]")
		}
	}
	if b.Len() > maxPath {
		return strings.ToValidUTF8(b.String()[:maxPath], "") + "…"
	}
	return b.String()
}

func isName(key string) bool {
	for i := range len(key) {
		switch c := key[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '$':
		default:
			return false
		}
	}
	return key != ""
}
