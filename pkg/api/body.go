package api

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// usualBody is how long a body may say that it is and be believed before it is there.
const usualBody = 64 << 10

// readBody reads a whole body of at most MaxBody bytes.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var b bytes.Buffer
	if n := r.ContentLength; n > 0 {
		// Room for more is made once it has come, and for bytes.Buffer's last look whether there is more.
		b.Grow(int(min(n, usualBody)) + bytes.MinRead)
	}
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, MaxBody))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, fault.New(fault.TooLarge, "", "the body is larger than %d bytes", MaxBody)
	case err != nil:
		return nil, fault.Wrap(fault.Invalid, err, "the body could not be read to its end")
	}
	return b.Bytes(), nil
}

// body takes the members of a request's JSON object one by one and gathers the faults.
type body struct {
	object *jqtemplate.Object
	known  []string
	faults []fault.Detail
}

// members reads a body that has to be a JSON object.
func members(text []byte) (*body, error) {
	v, err := jqtemplate.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	object, isObject := v.(*jqtemplate.Object)
	if !isObject {
		return nil, fault.New(fault.Invalid, "", "the body must be a JSON object")
	}
	return &body{object: object}, nil
}

func (b *body) fault(path, format string, args ...any) {
	d := fault.Detail{Path: path, Message: fmt.Sprintf(format, args...)}
	if !slices.Contains(b.faults, d) {
		b.faults = append(b.faults, d)
	}
}

// know notes a member that the body may have.
func (b *body) know(name string) {
	if !slices.Contains(b.known, name) {
		b.known = append(b.known, name)
	}
}

// value takes a member; null counts as absent.
func (b *body) value(name string) any {
	b.know(name)
	v, _ := b.object.Get(name)
	return v
}

// has reports whether a member is there, null included.
func (b *body) has(name string) bool {
	_, there := b.object.Get(name)
	return there
}

// text takes a string of at most limit bytes, nil when it is absent. A limit of 0 is none.
func (b *body) text(name string, limit int) *string {
	switch v := b.value(name).(type) {
	case nil:
		return nil
	case string:
		if limit > 0 && len(v) > limit {
			b.fault(name, "must have at most %d bytes, it has %d", limit, len(v))
		}
		return &v
	default:
		b.fault(name, "must be a string")
		return nil
	}
}

// required takes a string that has to be there.
func (b *body) required(name string, limit int) string {
	if v, _ := b.object.Get(name); v == nil {
		b.know(name)
		b.fault(name, "is required and must be a string")
		return ""
	}
	if v := b.text(name, limit); v != nil {
		return *v
	}
	return ""
}

// word takes one of some strings, empty when it is absent.
func (b *body) word(name string, allowed ...string) string {
	v := b.text(name, 0)
	if v == nil {
		return ""
	}
	if !slices.Contains(allowed, *v) {
		b.fault(name, "must be one of %s", strings.Join(allowed, ", "))
	}
	return *v
}

// members takes an object, nil when it is absent.
func (b *body) members(name string) *jqtemplate.Object {
	switch v := b.value(name).(type) {
	case nil:
		return nil
	case *jqtemplate.Object:
		return v
	default:
		b.fault(name, "must be an object")
		return nil
	}
}

// done returns all faults at once, members that nobody took among them.
func (b *body) done() error {
	for name := range b.object.All() {
		if !slices.Contains(b.known, name) {
			b.fault(member(name), "is not a member of this body; it takes %s", strings.Join(b.known, ", "))
		}
	}
	return fault.InvalidDetails(b.faults)
}

// member is a name as a JSON path shows it, of a readable length.
func member(name string) string {
	const longest = 200
	if len(name) > longest {
		name = name[:longest]
		for !utf8.ValidString(name) {
			name = name[:len(name)-1]
		}
		name += "…"
	}
	return name
}
