package value

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
)

// Encode writes a value as JavaScript's JSON.stringify would: compact, no HTML or ASCII escaping,
// JavaScript's number text, integer-like keys first, ascending. NaN and infinities become null, bytes
// that are no UTF-8 become U+FFFD. It panics when v holds anything but the types of a JSON value.
func Encode(v any) []byte { return encode(v, nil, slices.Clone[[]byte]) }

// EncodeString is Encode for who needs the text as a string.
func EncodeString(v any) string {
	return encode(v, nil, func(text []byte) string { return string(text) })
}

// buffers are where values are written that are then copied in their size. It keeps none that is larger
// than what is usual.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const usualText = 64 << 10

func encode[T any](v any, number func(buf []byte, f float64) []byte, keep func([]byte) T) T {
	buffer := buffers.Get().(*[]byte)
	e := Encoder{Buf: (*buffer)[:0], Limit: math.MaxInt, MaxDepth: math.MaxInt, Number: number}
	if err := e.Value(v, 0); err != nil {
		panic(err) // Cannot happen without limits.
	}
	text := keep(e.Buf)
	if cap(e.Buf) <= usualText {
		*buffer = e.Buf
		buffers.Put(buffer)
	}
	return text
}

// The limits of a value: its text's length, and how deep it nests.
var (
	ErrTooLong = errors.New("value too long")
	ErrTooDeep = errors.New("value nested too deep")
)

// Encoder appends JSON text to Buf until a limit is passed.
type Encoder struct {
	Buf []byte
	// Limit bounds len(Buf), MaxDepth the nesting.
	Limit, MaxDepth int
	// Foreign is set when the value holds what plain JSON has not: U+0000, bytes that are no UTF-8, a
	// Number.
	Foreign bool
	// Number writes a number that JSON can say; nil means AppendNumber.
	Number func(buf []byte, f float64) []byte
}

// EncodePython writes a value as Encode does, but numbers as Python's json.dumps writes those that it
// has read from what Encode writes: whoever reads the text with Python and writes it again has the same.
func EncodePython(v any) []byte {
	return encode(v, appendPython, slices.Clone[[]byte])
}

// appendPython writes a number as float.__repr__ does. It differs from JavaScript below 1e-4, where
// Python begins to write exponents, of two digits at least.
func appendPython(buf []byte, f float64) []byte {
	if abs := math.Abs(f); abs != 0 && abs < 1e-4 {
		return strconv.AppendFloat(buf, f, 'e', -1, 64)
	}
	return AppendNumber(buf, f)
}

func (e *Encoder) Value(v any, depth int) error {
	switch v := v.(type) {
	case nil:
		e.Buf = append(e.Buf, "null"...)
	case bool:
		e.Buf = strconv.AppendBool(e.Buf, v)
	case float64:
		if e.Number != nil {
			e.Buf = e.Number(e.Buf, v)
		} else {
			e.Buf = AppendNumber(e.Buf, v)
		}
	case Number:
		e.Foreign = true
		e.Buf = AppendNumber(e.Buf, v.F)
	case string:
		return e.String(v)
	case []any:
		if depth >= e.MaxDepth {
			return ErrTooDeep
		}
		e.Buf = append(e.Buf, '[')
		for i, item := range v {
			if i > 0 {
				e.Buf = append(e.Buf, ',')
			}
			if err := e.Value(item, depth+1); err != nil {
				return err
			}
		}
		e.Buf = append(e.Buf, ']')
	case *Object:
		if depth >= e.MaxDepth {
			return ErrTooDeep
		}
		e.Buf = append(e.Buf, '{')
		for i, m := range v.Ordered() {
			if i > 0 {
				e.Buf = append(e.Buf, ',')
			}
			if err := e.String(m.Key); err != nil {
				return err
			}
			e.Buf = append(e.Buf, ':')
			if err := e.Value(m.Value, depth+1); err != nil {
				return err
			}
		}
		e.Buf = append(e.Buf, '}')
	default:
		panic(fmt.Sprintf("value: %T is no JSON value", v))
	}
	if len(e.Buf) > e.Limit {
		return ErrTooLong
	}
	return nil
}

// plain tells whether a byte stands for itself in a JSON string.
func plain(b byte) bool {
	return b-' ' < utf8.RuneSelf-' ' && b != '"' && b != '\\'
}

// plainLength is how many bytes a text begins with that stand for themselves, or a few less: it looks at
// eight at once.
func plainLength(s string) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		t := s[i : i+8]
		w := uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 |
			uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
		quote, slash := w^('"'*ones), w^('\\'*ones)
		// Each term has the highest bit of a byte set if that is below a space, a quote, a backslash or
		// above ASCII; a borrow can set it for the byte behind one of those, too.
		if ((w-' '*ones)|(quote-ones)|(slash-ones)|w)&highs != 0 {
			break
		}
	}
	return i
}

// StringSize is how long a text is as JSON; ok is false where Encoder would set Foreign.
func StringSize(s string) (n int, ok bool) {
	n = len(s) + 2
	for i := plainLength(s); i < len(s); {
		b := s[i]
		switch {
		case plain(b):
			i++
			continue
		case b >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				return 0, false
			}
			i += size
			continue
		case b == 0:
			return 0, false
		case b == '"', b == '\\', b == '\b', b == '\f', b == '\n', b == '\r', b == '\t':
			n++
		default:
			n += len(`\u0000`) - 1
		}
		i++
		i += plainLength(s[i:])
	}
	return n, true
}

func (e *Encoder) String(s string) error {
	if len(s) > e.Limit-len(e.Buf) {
		return ErrTooLong
	}
	const hex = "0123456789abcdef"
	buf := append(slices.Grow(e.Buf, len(s)+2), '"')
	start := 0
	for i := plainLength(s); i < len(s); {
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
				e.Foreign = true
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
			e.Foreign = e.Foreign || b == 0
			buf = append(buf, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		}
		i++
		start = i
		i += plainLength(s[i:])
	}
	buf = append(buf, s[start:]...)
	e.Buf = append(buf, '"')
	if len(e.Buf) > e.Limit {
		return ErrTooLong
	}
	return nil
}

// AppendNumber writes a number as ECMA-262, section 6.1.6.1.20, Number::toString does; what JSON
// cannot say is null.
func AppendNumber(buf []byte, f float64) []byte {
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
