package jqtemplate

import (
	"context"
	"errors"
	"strconv"
	"time"

	"longshore/pkg/jqtemplate/value"
)

const (
	// maxTime bounds one rendering.
	maxTime = time.Second
	// maxOutput bounds what one rendering yields, in bytes of compact JSON. Names and values that
	// another one replaces later count too.
	maxOutput = 1 << 20
)

// rendering is one run of a template.
type rendering struct {
	ctx     context.Context
	data    *Data
	options Options
	// left is how much output may still come, in bytes.
	left int
	// timed is ctx with the deadline, made when the first program runs that is no plain path.
	timed  context.Context
	cancel context.CancelFunc
	// scratch is where values are written to measure them, text where strings are put together.
	scratch, text []byte
	failed        []Warning
}

func newRendering(ctx context.Context, data *Data, o Options) *rendering {
	return &rendering{ctx: ctx, data: data, options: o, left: maxOutput,
		scratch: make([]byte, 0, 256), text: make([]byte, 0, 256)}
}

func (r *rendering) close() {
	if r.cancel != nil {
		r.cancel()
	}
}

// evaluate runs an expression under the null rule: one that fails yields null, or in strict mode
// ends the rendering.
func (r *rendering) evaluate(e *expression) (any, bool, error) {
	if e.program.fault != nil {
		if r.options.Strict {
			return nil, false, e.fault()
		}
		r.report(e, compileMessage(e.program))
		return nil, true, nil
	}
	ctx := r.ctx
	if e.program.code != nil {
		if r.timed == nil {
			r.timed, r.cancel = context.WithTimeout(r.ctx, maxTime)
		}
		ctx = r.timed
	}
	v, defined, err := e.program.run(ctx, r.data)
	if err == nil {
		return v, defined, nil
	}
	var failure jqError
	if !errors.As(err, &failure) {
		return nil, false, limitFault(r.ctx, err)
	}
	message := "jq: error: " + failure.Error()
	if r.options.Strict {
		return nil, false, invalid(classFailed, e.place, e.position(), message)
	}
	r.report(e, message)
	return nil, true, nil
}

func (r *rendering) report(e *expression, message string) {
	if r.options.Report && len(r.failed) < maxFaults {
		r.failed = append(r.failed, e.warning(message))
	}
}

// spend takes bytes of output from what is left.
func (r *rendering) spend(n int) error {
	if r.left -= n; r.left < 0 {
		return limitFault(r.ctx, value.ErrTooLong)
	}
	return nil
}

// write appends a value's compact JSON to buf, the text of one value that is being made, within the
// limits. It returns the value too: another one if v is not plain JSON.
func (r *rendering) write(buf []byte, v any, depth int) ([]byte, any, error) {
	base := len(buf)
	e := value.Encoder{Buf: buf, Limit: r.left, MaxDepth: MaxDepth - depth}
	err := e.Value(v, 0)
	if err == nil && e.Foreign {
		v = plain(v)
		e.Buf = e.Buf[:base]
		err = e.Value(v, 0)
	}
	if err != nil {
		return nil, nil, limitFault(r.ctx, err)
	}
	return e.Buf, v, nil
}

// node is a part of a compiled template. render returns its value, or that there is none.
type node interface {
	render(r *rendering, depth int) (v any, defined bool, err error)
}

// literal is a scalar without expressions.
type literal struct {
	value any
	size  int
}

func newLiteral(v any) *literal { return &literal{v, len(Encode(v))} }

func (l *literal) render(r *rendering, _ int) (any, bool, error) {
	return l.value, true, r.spend(l.size)
}

// whole is a string that is one block: the result keeps its type.
type whole struct{ *expression }

func (w *whole) render(r *rendering, depth int) (any, bool, error) {
	v, defined, err := r.evaluate(w.expression)
	if err != nil || !defined {
		return nil, false, err
	}
	if s, isText := v.(string); isText {
		if n, ok := value.StringSize(s); ok {
			return v, true, r.spend(n)
		}
	}
	r.scratch, v, err = r.write(r.scratch[:0], v, depth)
	if err != nil {
		return nil, false, err
	}
	return v, true, r.spend(len(r.scratch))
}

// text is a string with blocks in it.
type text struct {
	parts []part
	tail  string
}

// part is a block and the text before it.
type part struct {
	before string
	*expression
}

func (t *text) render(r *rendering, _ int) (any, bool, error) {
	buf := r.text[:0]
	for _, p := range t.parts {
		buf = append(buf, p.before...)
		v, defined, err := r.evaluate(p.expression)
		if err != nil {
			return nil, false, err
		}
		switch s, ok := v.(string); {
		case !defined:
			buf = append(buf, "undefined"...)
		case ok:
			buf = append(buf, cutText(s)...)
		default:
			if buf, _, err = r.write(buf, v, 0); err != nil {
				return nil, false, err
			}
		}
		if len(buf) > r.left {
			return nil, false, limitFault(r.ctx, value.ErrTooLong)
		}
	}
	r.text = append(buf, t.tail...)
	s := string(r.text)
	var err error
	if r.scratch, _, err = r.write(r.scratch[:0], s, 0); err != nil {
		return nil, false, err
	}
	return s, true, r.spend(len(r.scratch))
}

// list is an array.
type list struct{ items []node }

func (l *list) render(r *rendering, depth int) (any, bool, error) {
	if err := r.spend(2 + len(l.items)); err != nil {
		return nil, false, err
	}
	out := make([]any, len(l.items))
	for i, item := range l.items {
		v, defined, err := item.render(r, depth+1)
		if err != nil {
			return nil, false, err
		}
		if defined {
			out[i] = v
		}
	}
	return out, true, nil
}

// object is an object.
type object struct{ members []templateMember }

type templateMember struct {
	key   node // Nil for a spread.
	value node
	// source is the key as it was written.
	source string
	place  *place
	// spread asks for the members of the value; spreadSource is the value's text as it was written.
	spread       bool
	spreadSource string
}

func (o *object) render(r *rendering, depth int) (any, bool, error) {
	if err := r.spend(2); err != nil {
		return nil, false, err
	}
	out := &Object{}
	out.Grow(len(o.members))
	for i := range o.members {
		m := &o.members[i]
		var err error
		if m.spread {
			err = m.spreadInto(out, r, depth)
		} else {
			err = m.renderInto(out, r, depth)
		}
		if err != nil && (!r.options.Lenient || !isTemplateFault(err)) {
			return nil, false, err
		}
	}
	return out, true, nil
}

func (m *templateMember) renderInto(out *Object, r *rendering, depth int) error {
	key, defined, err := m.key.render(r, depth)
	if err != nil {
		return err
	}
	if !defined || key == nil || key == "" {
		return nil
	}
	name, ok := key.(string)
	if !ok {
		return invalid(classTemplate, m.place, -1, "Evaluated object key should be undefined, null or string. Original key: "+
			m.source+", evaluated to: "+string(Encode(key)))
	}
	v, defined, err := m.value.render(r, depth+1)
	if err == nil && defined {
		out.Set(name, v)
	}
	return err
}

// spreadInto puts the members of the value in its key's place.
func (m *templateMember) spreadInto(out *Object, r *rendering, depth int) error {
	v, defined, err := m.value.render(r, depth+1)
	if err != nil {
		return err
	}
	evaluated := "undefined"
	if defined {
		switch v := v.(type) {
		case *Object:
			out.Grow(v.Len())
			for key, item := range v.All() {
				out.Set(key, item)
			}
			return nil
		case []any:
			for i, item := range v {
				out.Set(strconv.Itoa(i), item)
			}
			return nil
		case nil:
			return invalid(classNull, m.place, -1, "Cannot convert undefined or null to object")
		}
		evaluated = string(Encode(v))
	}
	return invalid(classTemplate, m.place, -1, "Evaluated value should be an object if the key is "+m.source+
		". Original value: "+m.spreadSource+", evaluated to: "+evaluated)
}
