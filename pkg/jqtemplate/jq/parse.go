package jq

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"longshore/pkg/jqtemplate/value"
)

// maxParsed is how deep a text that is parsed may nest (MAX_PARSING_DEPTH of jq's source).
const maxParsed = 10000

// parse reads the one JSON value of a text as jq's own parser (jv_parse.c) does, which takes more
// than JSON, and has its error texts.
func (x *exec) parse(s string) (any, error) {
	if err := x.work(len(s)); err != nil {
		return nil, err
	}
	v, message, err := x.parseOne(s)
	if err != nil {
		return nil, err
	}
	if message != "" {
		shown, _, _ := strings.Cut(s, "\x00")
		if err := x.charge(2 * len(shown)); err != nil {
			return nil, err
		}
		return nil, &Error{message + " (while parsing '" + shown + "')"}
	}
	return v, nil
}

func (x *exec) parseOne(s string) (any, string, error) {
	const bom = "\uFEFF"
	if rest, ok := strings.CutPrefix(s, bom); ok {
		s = rest
	} else if s != "" && s[0] == bom[0] {
		return nil, "Malformed BOM", nil
	}
	p := parser{x: x, text: s, line: 1}
	v, there, message := p.value()
	if message == "" && p.limit == nil {
		if !there {
			return nil, "Expected JSON value", nil
		}
		// What follows must not be a value; a malformed one is told by its own fault.
		if _, more, text := p.value(); text != "" || more {
			message = text
			if text == "" {
				message = "Unexpected extra JSON values"
			}
		}
	}
	return v, message, p.limit
}

// parser is the state of struct jv_parser: the containers and keys that are open, the value that was
// read last and belongs nowhere yet, and the token that is being collected.
type parser struct {
	x            *exec
	text         string
	at           int
	line, column int
	stack        []open
	next         any
	has          bool // whether next is a value
	token        int  // where the token begins
	tokenEnd     int
	limit        error
}

// open is a container that is being read, or the key of a member.
type open struct {
	kind   byte // '[', '{' or '"'
	key    string
	items  []any
	object *value.Object
}

// value reads up to the end of the next value at the top; there is false if the text ends before.
func (p *parser) value() (v any, there bool, message string) {
	if p.at > len(p.text) {
		return nil, false, ""
	}
	for p.at < len(p.text) && p.limit == nil {
		c := p.text[p.at]
		p.column++
		if c == '\n' {
			p.line++
			p.column = 0
		}
		switch c {
		case '\x1e': // The separator of JSON text sequences drops what is open.
			message = p.literal()
			p.at++
			p.drop()
			if message == "" && (!p.has || len(p.stack) > 0) {
				p.stack, p.has = nil, false
				return nil, false, ""
			}
		case '"':
			if message = p.literal(); message != "" {
				break
			}
			if p.has && len(p.stack) == 0 {
				p.column-- // The quote is read again, for the next value.
				return p.take()
			}
			if message = p.string(); message == unfinished {
				p.at = len(p.text) + 1
				return nil, false, p.place(unfinished + " at EOF")
			}
		case ' ', '\t', '\r', '\n', '[', ']', '{', '}', ',', ':':
			message = p.literal()
			p.at++
			p.drop()
			if done := p.has && len(p.stack) == 0; message == "" && c > ' ' {
				if done {
					v, there, _ = p.take()
				}
				if message = p.structure(c); message == "" && done {
					return v, there, ""
				}
			}
		default:
			if p.token == p.tokenEnd {
				p.token = p.at
			}
			p.at++
			p.tokenEnd = p.at
			continue
		}
		if message != "" {
			p.at = len(p.text) + 1
			return nil, false, p.place(message)
		}
		if p.has && len(p.stack) == 0 {
			return p.take()
		}
	}
	p.at = len(p.text) + 1
	if message = p.literal(); message != "" {
		return nil, false, p.place(message + " at EOF")
	}
	if len(p.stack) > 0 {
		return nil, false, p.place("Unfinished JSON term at EOF")
	}
	if !p.has {
		return nil, false, ""
	}
	return p.take()
}

const unfinished = "Unfinished string"

func (p *parser) drop() { p.token, p.tokenEnd = p.at, p.at }

func (p *parser) place(message string) string {
	return message + " at line " + strconv.Itoa(p.line) + ", column " + strconv.Itoa(p.column)
}

func (p *parser) take() (any, bool, string) {
	v := p.next
	p.next, p.has = nil, false
	return v, true, ""
}

// put makes v the value that was read last.
func (p *parser) put(v any) string {
	if p.has {
		return "Expected separator between values"
	}
	p.next, p.has = v, true
	if err := p.x.charge(32); err != nil && p.limit == nil {
		p.limit = err
	}
	return ""
}

func (p *parser) top() *open {
	if len(p.stack) == 0 {
		return &open{}
	}
	return &p.stack[len(p.stack)-1]
}

func (p *parser) push(o open) {
	p.stack = append(p.stack, o)
	p.next, p.has = nil, false
	if err := p.x.charge(64); err != nil && p.limit == nil {
		p.limit = err
	}
}

// pop makes the container on top the value that was read last.
func (p *parser) pop() {
	o := p.top()
	if p.has = true; o.kind == '[' {
		p.next = o.items
	} else {
		p.next = o.object
	}
	p.stack = p.stack[:len(p.stack)-1]
}

// member puts the value that was read last into the object below the key on top.
func (p *parser) member() {
	key := p.top().key
	p.stack = p.stack[:len(p.stack)-1]
	p.top().object.Set(key, p.next)
	p.next, p.has = nil, false
}

func (p *parser) structure(c byte) string {
	o := p.top()
	switch c {
	case '[', '{':
		if len(p.stack) >= maxParsed {
			return "Exceeds depth limit for parsing"
		}
		if p.has {
			return "Expected separator between values"
		}
		if c == '[' {
			p.push(open{kind: '[', items: []any{}})
		} else {
			p.push(open{kind: '{', object: &value.Object{}})
		}
	case ':':
		key, isText := p.next.(string)
		switch {
		case !p.has:
			return "Expected string key before ':'"
		case o.kind != '{':
			return "':' not as part of an object"
		case !isText:
			return "Object keys must be strings"
		}
		p.push(open{kind: '"', key: key})
	case ',':
		switch {
		case !p.has:
			return "Expected value before ','"
		case o.kind == '{' || o.kind == 0: // At the top a value is taken before its comma is read.
			return "Objects must consist of key:value pairs"
		case o.kind == '[':
			o.items = append(o.items, p.next)
			p.next, p.has = nil, false
		default:
			p.member()
		}
	case ']':
		if o.kind != '[' {
			return "Unmatched ']'"
		}
		if p.has {
			o.items = append(o.items, p.next)
		} else if len(o.items) > 0 {
			return "Expected another array element"
		}
		p.pop()
	case '}':
		switch {
		case o.kind == 0:
			return "Unmatched '}'"
		case p.has:
			if o.kind != '"' {
				return "Objects must consist of key:value pairs"
			}
			p.member()
		case o.kind != '{':
			return "Unmatched '}'"
		case o.object.Len() > 0:
			return "Expected another key-value pair"
		}
		p.pop()
	}
	return ""
}

// literal ends the token that is being collected.
func (p *parser) literal() string {
	t := p.text[p.token:p.tokenEnd]
	p.token = p.tokenEnd
	if t == "" {
		return ""
	}
	word, v := "", any(nil)
	switch t[0] {
	case 't':
		word, v = "true", true
	case 'f':
		word, v = "false", false
	case '\'':
		return "Invalid string literal; expected \", but got '"
	case 'n':
		if word = "null"; len(t) == 3 {
			word, v = "nan", math.NaN()
		}
	}
	if word == "" {
		t, _, _ = strings.Cut(t, "\x00") // A NUL ends what is read as a number.
		n, ok := parseNumber(t)
		if !ok {
			return "Invalid numeric literal"
		}
		return p.put(n)
	}
	if t != word {
		return "Invalid literal"
	}
	return p.put(v)
}

// parseNumber reads a number as decNumber does: signs, points without digits on one side, NaN and
// Infinity in any case.
func parseNumber(t string) (any, bool) {
	digits, sign := t, 1.0
	if t == "" {
		return nil, false
	}
	if t[0] == '+' || t[0] == '-' {
		digits = t[1:]
		if t[0] == '-' {
			sign = -1
		}
	}
	switch strings.ToLower(digits) {
	case "nan":
		return math.NaN(), true
	case "inf", "infinity":
		return math.Inf(int(sign)), true
	}
	mantissa, exponent := digits, "0"
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		mantissa, exponent = digits[:i], strings.TrimPrefix(digits[i+1:], "+")
		if len(digits)-i-1-len(exponent) == 0 {
			exponent = strings.TrimPrefix(exponent, "-")
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if whole+fraction == "" || exponent == "" || strings.Trim(whole+fraction+exponent, "0123456789") != "" {
		return nil, false
	}
	return value.Literal(strings.TrimPrefix(t, "+")), true
}

// string reads a string from its quote on.
func (p *parser) string() string {
	from := p.at + 1
	i := from
	special := false
	for ; i < len(p.text) && p.text[i] != '"'; i++ {
		p.column++
		special = special || p.text[i] < ' '
		switch p.text[i] {
		case '\n':
			p.line++
			p.column = 0
		case '\\':
			special = true
			if i++; i < len(p.text) {
				if p.column++; p.text[i] == '\n' {
					p.line++
					p.column = 0
				}
			}
		}
	}
	if i >= len(p.text) {
		return unfinished
	}
	p.column++
	s := p.text[from:i]
	p.at = i + 1
	p.drop()
	if special {
		var message string
		if s, message = unescape(s); message != "" {
			return message
		}
	}
	if err := p.x.charge(len(s)); err != nil && p.limit == nil {
		p.limit = err
	}
	return p.put(s)
}

// unescape reads a string's escapes. A control character is refused, but for NUL and U+001F, which
// jq's source lets pass.
func unescape(s string) (string, string) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '\\' {
			if c > 0 && c < 0x1f {
				return "", "Invalid string: control characters from U+0000 through U+001F must be escaped"
			}
			out = append(out, c)
			continue
		}
		i++ // The last character is no backslash that begins an escape.
		switch c := s[i]; c {
		case '\\', '"', '/':
			out = append(out, c)
		case 'b', 'f', 't', 'n', 'r':
			out = append(out, "\b\f\t\n\r"[strings.IndexByte("bftnr", c)])
		case 'u':
			r, n, message := unescapeRune(s[i+1:])
			if message != "" {
				return "", message
			}
			i += n
			out = utf8.AppendRune(out, r)
		default:
			return "", "Invalid escape"
		}
	}
	return string(out), ""
}

// unescapeRune reads what stands behind \u, and the second half of a pair; a lone second half becomes
// U+FFFD.
func unescapeRune(s string) (r rune, size int, message string) {
	const pair = "Invalid \\uXXXX\\uXXXX surrogate pair escape"
	if len(s) < 4 {
		return 0, 0, "Invalid \\uXXXX escape"
	}
	high, err := strconv.ParseUint(s[:4], 16, 32)
	if err != nil {
		return 0, 0, "Invalid characters in \\uXXXX escape"
	}
	if high < 0xd800 || high > 0xdbff {
		return rune(high), 4, ""
	}
	if len(s) < 10 || s[4:6] != "\\u" {
		return 0, 0, pair
	}
	low, err := strconv.ParseUint(s[6:10], 16, 32)
	if err != nil || low < 0xdc00 || low > 0xdfff {
		return 0, 0, pair
	}
	return rune(0x10000 + (high-0xd800)<<10 + (low - 0xdc00)), 10, ""
}
