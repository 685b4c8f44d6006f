package jqtemplate

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// Encode writes a value as JavaScript's JSON.stringify would: compact, no HTML or ASCII escaping,
// JavaScript's number text, integer-like keys first, ascending. NaN and infinities become null, bytes
// that are no UTF-8 become U+FFFD. It panics when v holds anything but the types of a JSON value.
func Encode(v any) []byte {
	e := encoder{buf: make([]byte, 0, 512), limit: math.MaxInt, maxDepth: math.MaxInt}
	if err := e.value(v, 0); err != nil {
		panic(err) // Cannot happen without limits.
	}
	return e.buf
}

// The limits of a value: its text's length, and how deep it nests.
var (
	errTooLong = errors.New("value too long")
	errTooDeep = errors.New("value nested too deep")
)

// encoder appends JSON text to buf until a limit is passed.
type encoder struct {
	buf []byte
	// limit bounds len(buf), maxDepth the nesting.
	limit, maxDepth int
	// sawNUL is set when a string or key holds U+0000.
	sawNUL bool
}

func (e *encoder) value(v any, depth int) error {
	switch v := v.(type) {
	case nil:
		e.buf = append(e.buf, "null"...)
	case bool:
		e.buf = strconv.AppendBool(e.buf, v)
	case float64:
		e.buf = appendNumber(e.buf, v)
	case string:
		return e.string(v)
	case []any:
		if depth >= e.maxDepth {
			return errTooDeep
		}
		e.buf = append(e.buf, '[')
		for i, item := range v {
			if i > 0 {
				e.buf = append(e.buf, ',')
			}
			if err := e.value(item, depth+1); err != nil {
				return err
			}
		}
		e.buf = append(e.buf, ']')
	case *Object:
		if depth >= e.maxDepth {
			return errTooDeep
		}
		e.buf = append(e.buf, '{')
		for i, m := range v.ordered() {
			if i > 0 {
				e.buf = append(e.buf, ',')
			}
			if err := e.string(m.key); err != nil {
				return err
			}
			e.buf = append(e.buf, ':')
			if err := e.value(m.value, depth+1); err != nil {
				return err
			}
		}
		e.buf = append(e.buf, '}')
	default:
		panic(fmt.Sprintf("jqtemplate: %T is no JSON value", v))
	}
	if len(e.buf) > e.limit {
		return errTooLong
	}
	return nil
}

// plain tells whether a byte stands for itself in a JSON string.
func plain(b byte) bool {
	return b-' ' < utf8.RuneSelf-' ' && b != '"' && b != '\\'
}

func (e *encoder) string(s string) error {
	if len(s) > e.limit-len(e.buf) {
		return errTooLong
	}
	const hex = "0123456789abcdef"
	buf := append(e.buf, '"')
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if plain(b) {
			i++
			continue
		}
		if b >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				buf = append(buf, s[start:i]...)
				buf = append(buf, "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		buf = append(buf, s[start:i]...)
		switch b {
		case '"', '\\':
			buf = append(buf, '\\', b)
		case '\b':
			buf = append(buf, '\\', 'b')
		case '\f':
			buf = append(buf, '\\', 'f')
		case '\n':
			buf = append(buf, '\\', 'n')
		case '\r':
			buf = append(buf, '\\', 'r')
		case '\t':
			buf = append(buf, '\\', 't')
		default:
			e.sawNUL = e.sawNUL || b == 0
			buf = append(buf, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		}
		i++
		start = i
	}
	buf = append(buf, s[start:]...)
	e.buf = append(buf, '"')
	if len(e.buf) > e.limit {
		return errTooLong
	}
	return nil
}

// appendNumber writes a number as ECMA-262, section 6.1.6.1.20, Number::toString does; what JSON
// cannot say is null.
func appendNumber(buf []byte, f float64) []byte {
	switch abs := math.Abs(f); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(buf, "null"...)
	case abs < 1<<53 && f == math.Trunc(f):
		return strconv.AppendInt(buf, int64(f), 10) // Also -0, which JavaScript writes as 0.
	case abs >= 1e-6 && abs < 1e21:
		return strconv.AppendFloat(buf, f, 'f', -1, 64)
	}
	buf = strconv.AppendFloat(buf, f, 'e', -1, 64)
	// Go writes at least two digits of exponent, JavaScript as many as it needs.
	if n := len(buf); buf[n-2] == '0' && (buf[n-3] == '-' || buf[n-3] == '+') {
		buf[n-2] = buf[n-1]
		buf = buf[:n-1]
	}
	return buf
}
