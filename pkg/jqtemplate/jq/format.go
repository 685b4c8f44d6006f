package jq

import (
	"encoding/base64"
	"strings"

	"github.com/itchyny/gojq"

	"longshore/pkg/jqtemplate/value"
)

// formats are the @formats: what they make of a value. The original knows neither @base32 nor @base32d.
var formats = map[string]func(x *exec, v any) (string, error){
	"@text":    (*exec).tostring,
	"@json":    (*exec).json,
	"@html":    escaping(&htmlEscapes),
	"@uri":     escaping(&uriEscapes),
	"@urid":    decoding(unescapeURI),
	"@csv":     row("cannot be csv-formatted, only array", ",", `"`, &csvEscapes),
	"@tsv":     row("cannot be tsv-formatted, only array", "\t", "", &tsvEscapes),
	"@sh":      shell,
	"@base64":  decoding(func(s string) (string, error) { return base64.StdEncoding.EncodeToString([]byte(s)), nil }),
	"@base64d": decoding(decodeBase64),
}

func (c *compiler) format(name string, str *gojq.String, s *scope, level int) *code {
	f := formats[name]
	if f == nil {
		f = func(*exec, any) (string, error) { return "", failf("%s is not a valid format", name[1:]) }
	}
	if str != nil {
		return c.string(str, f, s, level)
	}
	return single(func(x *exec, _ *env, v any) (any, error) { return f(x, v) })
}

// formatted is format/1: the format of a name.
func formatted(x *exec, v, name any) (any, error) {
	s, ok := name.(string)
	if !ok {
		return nil, wrongType(name, "is not a valid format")
	}
	f := formats["@"+s]
	if f == nil {
		return nil, failf("%s is not a valid format", s)
	}
	return f(x, v)
}

// escapes are what stands for each byte, "" for the byte itself.
type escapes [256]string

func (e *escapes) size(s string) int {
	n := 0
	for i := range len(s) {
		n += max(1, len(e[s[i]]))
	}
	return n
}

func (x *exec) escape(s string, e *escapes) (string, error) {
	n := e.size(s)
	if n == len(s) {
		return s, x.work(len(s))
	}
	if err := x.charge(n); err != nil {
		return "", err
	}
	out := make([]byte, 0, n)
	for i := range len(s) {
		if to := e[s[i]]; to != "" {
			out = append(out, to...)
		} else {
			out = append(out, s[i])
		}
	}
	return string(out), nil
}

// jq's table of escapes writes a NUL as \0 in every format that has one.
var (
	htmlEscapes = escapes{0: `\0`, '&': "&amp;", '<': "&lt;", '>': "&gt;", '\'': "&apos;", '"': "&quot;"}
	csvEscapes  = escapes{0: `\0`, '"': `""`}
	tsvEscapes  = escapes{0: `\0`, '\t': `\t`, '\r': `\r`, '\n': `\n`, '\\': `\\`}
	shEscapes   = escapes{0: `\0`, '\'': `'\''`}
	uriEscapes  = func() (e escapes) {
		const hex = "0123456789ABCDEF"
		for c := range len(e) {
			e[c] = string([]byte{'%', hex[c>>4], hex[c&15]})
		}
		for _, c := range []byte(alphabet64[:62] + "-_.~") {
			e[c] = ""
		}
		return e
	}()
)

func escaping(e *escapes) func(x *exec, v any) (string, error) {
	return func(x *exec, v any) (string, error) {
		s, err := x.tostring(v)
		if err != nil {
			return "", err
		}
		return x.escape(s, e)
	}
}

// decoding changes a value's text into one of twice its size at most.
func decoding(f func(s string) (string, error)) func(x *exec, v any) (string, error) {
	return func(x *exec, v any) (string, error) {
		s, err := x.tostring(v)
		if err != nil {
			return "", err
		}
		if err := x.charge(2*len(s) + 8); err != nil {
			return "", err
		}
		return f(s)
	}
}

// row joins the items of an array.
func row(message, separator, quote string, e *escapes) func(x *exec, v any) (string, error) {
	return func(x *exec, v any) (string, error) {
		list, ok := v.([]any)
		if !ok {
			return "", wrongType(v, message)
		}
		var out strings.Builder
		for i, item := range list {
			if i > 0 {
				out.WriteString(separator)
			}
			var s string
			var err error
			switch item := item.(type) {
			case nil:
			case string:
				s, err = x.escape(item, e)
				s = quote + s + quote
			case []any, *value.Object:
				return "", wrongType(item, "is not valid in a csv row")
			default:
				if f, ok := value.Float(item); !ok || f == f { // Not a NaN is left out.
					s, err = x.json(item)
				}
			}
			if err != nil {
				return "", err
			}
			if err := x.charge(2 * (len(s) + len(separator))); err != nil {
				return "", err
			}
			out.WriteString(s)
		}
		return out.String(), nil
	}
}

func shell(x *exec, v any) (string, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out strings.Builder
	for i, item := range list {
		if i > 0 {
			out.WriteByte(' ')
		}
		var s string
		var err error
		switch item := item.(type) {
		case string:
			s, err = x.escape(item, &shEscapes)
			s = "'" + s + "'"
		case []any, *value.Object:
			return "", wrongType(item, "can not be escaped for shell")
		default:
			s, err = x.json(item)
		}
		if err != nil {
			return "", err
		}
		if err := x.charge(2 * (len(s) + 1)); err != nil {
			return "", err
		}
		out.WriteString(s)
	}
	return out.String(), nil
}

// unescapeURI is of jq 1.8: a % that begins no escape is refused.
func unescapeURI(s string) (string, error) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
			return "", wrongType(s, "is not a valid uri encoding")
		}
		out = append(out, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
		i += 2
	}
	return repair(out), nil
}

func unhex(c byte) int { return strings.IndexByte("0123456789abcdef", lower(c)) }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

const alphabet64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// decodeBase64 reads up to the first =, whatever follows it, and does without padding.
func decodeBase64(text string) (string, error) {
	s, _, _ := strings.Cut(text, "=")
	out := make([]byte, 0, len(s)*6/8)
	block, have := 0, 0
	for i := range len(s) {
		digit := strings.IndexByte(alphabet64, s[i])
		if digit < 0 {
			return "", wrongType(text, "is not valid base64 data")
		}
		block = block<<6 | digit
		if have += 6; have >= 8 {
			have -= 8
			out = append(out, byte(block>>have))
			block &= 1<<have - 1
		}
	}
	if have >= 6 {
		return "", wrongType(text, "trailing base64 byte found")
	}
	return repair(out), nil
}

// repair puts U+FFFD for each ill-formed sequence as jvp_utf8_next of jq's source finds them: a first
// byte together with the continuation bytes that it may have.
func repair(b []byte) string {
	valid := true
	for i := 0; i < len(b) && valid; i++ {
		valid = b[i] < 0x80
	}
	if valid {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, n := decodeRune(b)
		out.WriteRune(r)
		b = b[n:]
	}
	return out.String()
}

func decodeRune(b []byte) (rune, int) {
	const bad = '\uFFFD'
	var n int
	var first rune
	c := rune(b[0])
	switch {
	case c < 0x80:
		return c, 1
	case c < 0xc2 || c > 0xf4:
		return bad, 1
	case c < 0xe0:
		c, n, first = c&0x1f, 2, 0x80
	case c < 0xf0:
		c, n, first = c&0x0f, 3, 0x800
	default:
		c, n, first = c&0x07, 4, 0x10000
	}
	if len(b) < n {
		return bad, len(b)
	}
	for i := 1; i < n; i++ {
		if b[i]&0xc0 != 0x80 {
			return bad, i
		}
		c = c<<6 | rune(b[i]&0x3f)
	}
	if c < first || c > 0x10ffff || c >= 0xd800 && c <= 0xdfff {
		return bad, n
	}
	return c, n
}
