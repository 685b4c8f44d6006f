package value

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"longshore/pkg/fault"
)

// Decode reads one JSON value and nothing behind it. Of a repeated member the last value counts, at
// the first place. Numbers become doubles, as in JavaScript; those beyond the doubles become
// infinite, which Encode writes as null. A lone surrogate escape becomes U+FFFD. Invalid UTF-8 and
// values nested deeper than MaxDepth are refused: the error is a fault.Invalid that names the byte
// offset.
//
// encoding/json loses the order of members, or, token by token, takes five times as long for the
// data of a trigger as this does; and decoding that data costs more than all its template's
// expressions.
func Decode(text []byte) (any, error) {
	if !utf8.Valid(text) {
		at := 0
		for at < len(text) {
			r, size := utf8.DecodeRune(text[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		return nil, malformed(at, "invalid UTF-8")
	}
	d := decoder{text: string(text)} // One copy; strings without escapes are parts of it.
	d.space()
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	if d.space(); d.at < len(d.text) {
		return nil, malformed(d.at, "text after the value")
	}
	return v, nil
}

func malformed(at int, what string) error {
	return fault.New(fault.Invalid, "", "malformed JSON at byte %d: %s", at, what)
}

// decoder is a recursive descent over text (RFC 8259). members and items are stacks on which the
// containers that are being read collect what they hold, so that each is allocated once, in its size.
type decoder struct {
	text    string
	at      int
	members []Member
	items   []any
}

// unexpected is the fault of meeting anything but what is wanted.
func (d *decoder) unexpected(wanted string) error {
	if d.at >= len(d.text) {
		return malformed(d.at, "unexpected end, wanted "+wanted)
	}
	return malformed(d.at, "wanted "+wanted)
}

func (d *decoder) space() {
	for d.at < len(d.text) {
		switch d.text[d.at] {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return
		}
	}
}

// peek returns the byte at hand, 0 at the end.
func (d *decoder) peek() byte {
	if d.at < len(d.text) {
		return d.text[d.at]
	}
	return 0
}

func (d *decoder) value(depth int) (any, error) {
	switch c := d.peek(); c {
	case '"':
		return d.string()
	case '{', '[':
		if depth == MaxDepth {
			return nil, malformed(d.at, "nested deeper than "+strconv.Itoa(MaxDepth)+" levels")
		}
		d.at++
		d.space()
		if c == '{' {
			return d.object(depth)
		}
		return d.array(depth)
	case 't':
		return true, d.word("true")
	case 'f':
		return false, d.word("false")
	case 'n':
		return nil, d.word("null")
	default:
		return d.number()
	}
}

func (d *decoder) word(w string) error {
	if !strings.HasPrefix(d.text[d.at:], w) {
		return d.unexpected(w)
	}
	d.at += len(w)
	return nil
}

func (d *decoder) object(depth int) (any, error) {
	base := len(d.members)
	for d.peek() != '}' {
		if len(d.members) > base {
			if d.peek() != ',' {
				return nil, d.unexpected("a comma or the end of the object")
			}
			d.at++
			d.space()
		}
		if d.peek() != '"' {
			return nil, d.unexpected("a member's name")
		}
		key, err := d.string()
		if err != nil {
			return nil, err
		}
		if d.space(); d.peek() != ':' {
			return nil, d.unexpected("a colon")
		}
		d.at++
		d.space()
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		d.space()
		d.members = append(d.members, Member{key, v})
	}
	d.at++
	o := uniqueMembers(d.members[base:])
	clear(d.members[base:])
	d.members = d.members[:base]
	return o, nil
}

// uniqueMembers copies members into an object in which the last value of a repeated key wins at its
// first place.
func uniqueMembers(members []Member) *Object {
	if len(members) < indexFrom {
		o := &Object{members: make([]Member, 0, len(members))}
		for _, m := range members {
			if i := o.find(m.Key); i >= 0 {
				o.members[i].Value = m.Value
			} else {
				o.members = append(o.members, m)
			}
		}
		return o
	}
	o := &Object{members: make([]Member, 0, len(members)), index: make(map[string]int, len(members))}
	for _, m := range members {
		o.Set(m.Key, m.Value)
	}
	return o
}

func (d *decoder) array(depth int) (any, error) {
	base := len(d.items)
	for d.peek() != ']' {
		if len(d.items) > base {
			if d.peek() != ',' {
				return nil, d.unexpected("a comma or the end of the array")
			}
			d.at++
			d.space()
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		d.space()
		d.items = append(d.items, v)
	}
	d.at++
	items := make([]any, len(d.items)-base)
	copy(items, d.items[base:])
	clear(d.items[base:])
	d.items = d.items[:base]
	return items, nil
}

func (d *decoder) number() (any, error) {
	start := d.at
	if d.peek() == '-' {
		d.at++
	}
	digits, n := d.at, uint64(0)
	for c := d.peek(); c >= '0' && c <= '9'; c = d.peek() {
		n = n*10 + uint64(c-'0')
		d.at++
	}
	count := d.at - digits
	switch {
	case count == 0 && d.at > start:
		return nil, d.unexpected("a digit")
	case count == 0:
		return nil, d.unexpected("a value")
	case count > 1 && d.text[digits] == '0':
		return nil, malformed(digits, "a number with a leading zero")
	}
	whole := true
	if d.peek() == '.' {
		whole = false
		d.at++
		if err := d.digits(); err != nil {
			return nil, err
		}
	}
	if c := d.peek(); c == 'e' || c == 'E' {
		whole = false
		d.at++
		if c := d.peek(); c == '+' || c == '-' {
			d.at++
		}
		if err := d.digits(); err != nil {
			return nil, err
		}
	}
	if whole && count <= 15 {
		f := float64(n)
		if digits > start {
			f = math.Copysign(f, -1)
		}
		return f, nil
	}
	f, _ := strconv.ParseFloat(d.text[start:d.at], 64) // The syntax is checked; out of range is ±Inf or 0.
	return f, nil
}

func (d *decoder) digits() error {
	start := d.at
	for c := d.peek(); c >= '0' && c <= '9'; c = d.peek() {
		d.at++
	}
	if d.at == start {
		return d.unexpected("a digit")
	}
	return nil
}

func (d *decoder) string() (string, error) {
	d.at++
	start := d.at
	for i := start + plainLength(d.text[start:]); i < len(d.text); i++ {
		c := d.text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		switch c {
		case '"':
			d.at = i + 1
			return d.text[start:i], nil
		case '\\':
			d.at = start
			return d.escaped(i)
		default:
			return "", malformed(i, "a control character in a string")
		}
	}
	return "", malformed(len(d.text), "unexpected end in a string")
}

// escaped reads the string that starts at d.at and whose first escape is at i.
func (d *decoder) escaped(i int) (string, error) {
	buf := append(make([]byte, 0, i-d.at+32), d.text[d.at:i]...)
	for i < len(d.text) {
		c := d.text[i]
		switch {
		case c == '"':
			d.at = i + 1
			return string(buf), nil
		case c < ' ':
			return "", malformed(i, "a control character in a string")
		case c != '\\':
			buf = append(buf, c)
			i++
			continue
		}
		if i+1 == len(d.text) {
			break
		}
		switch c := d.text[i+1]; c {
		case '"', '\\', '/':
			buf = append(buf, c)
		case 'b':
			buf = append(buf, '\b')
		case 'f':
			buf = append(buf, '\f')
		case 'n':
			buf = append(buf, '\n')
		case 'r':
			buf = append(buf, '\r')
		case 't':
			buf = append(buf, '\t')
		case 'u':
			r := hexEscape(d.text[i:])
			if r < 0 {
				return "", malformed(i, "an escape without four hexadecimal digits")
			}
			i += 6
			if utf16.IsSurrogate(r) {
				low := hexEscape(d.text[i:])
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			buf = utf8.AppendRune(buf, r)
			continue
		default:
			return "", malformed(i, "an unknown escape")
		}
		i += 2
	}
	return "", malformed(len(d.text), "unexpected end in a string")
}

// hexEscape reads \uXXXX at the start of s; -1 when there is none.
func hexEscape(s string) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range []byte(s[2:6]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
