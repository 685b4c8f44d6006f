package jq

import (
	"strings"
	"unicode/utf8"

	"longshore/pkg/jqtemplate/value"
)

// dump appends a value as jq prints it: compact, members in their order, numbers in jq's text. It
// stops behind limit bytes, with more text than that, and below maxPrinted levels.
func dump(buf []byte, v any, limit int) []byte { return dumpAt(buf, v, limit, 0) }

// maxPrinted is MAX_PRINT_DEPTH of jq's source.
const maxPrinted = 256

func dumpAt(buf []byte, v any, limit, depth int) []byte {
	if depth > maxPrinted {
		return append(buf, "<skipped: too deep>"...)
	}
	switch v := v.(type) {
	case nil:
		return append(buf, "null"...)
	case bool:
		if v {
			return append(buf, "true"...)
		}
		return append(buf, "false"...)
	case string:
		return dumpString(buf, v, limit)
	case []any:
		buf = append(buf, '[')
		for i, item := range v {
			if i > 0 {
				buf = append(buf, ',')
			}
			if buf = dumpAt(buf, item, limit, depth+1); len(buf) > limit {
				return buf
			}
		}
		return append(buf, ']')
	case *value.Object:
		buf = append(buf, '{')
		for i, m := range v.Members() {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = append(dumpString(buf, m.Key, limit), ':')
			if buf = dumpAt(buf, m.Value, limit, depth+1); len(buf) > limit {
				return buf
			}
		}
		return append(buf, '}')
	}
	return append(buf, value.NumberText(v)...)
}

// dumpString appends a JSON string as jvp_dump_string of jq's source does.
func dumpString(buf []byte, s string, limit int) []byte {
	const hex = "0123456789abcdef"
	buf = append(buf, '"')
	for i := 0; i < len(s) && len(buf) <= limit; i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			buf = append(buf, '\\', c)
		case c == '\n':
			buf = append(buf, '\\', 'n')
		case c == '\t':
			buf = append(buf, '\\', 't')
		case c == '\r':
			buf = append(buf, '\\', 'r')
		case c == '\b':
			buf = append(buf, '\\', 'b')
		case c == '\f':
			buf = append(buf, '\\', 'f')
		case c < ' ' || c == 0x7f:
			buf = append(buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			buf = append(buf, c)
		}
	}
	return append(buf, '"')
}

// maxText bounds the JSON text of one value, in bytes: it is written into memory that grows, and
// copied.
const maxText = 8 << 20

// json returns a value's JSON text.
func (x *exec) json(v any) (string, error) {
	buf := dump(nil, v, maxText)
	if len(buf) > maxText {
		return "", ErrMemory
	}
	return string(buf), x.charge(2 * len(buf))
}

// tostring returns a string as it is and the JSON text of any other value.
func (x *exec) tostring(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	return x.json(v)
}

// text is a value in an error that nobody catches.
func text(v any) string { return string(dump(nil, v, 1000)) }

// short is a value as jq's error texts quote it: its JSON text cut to size bytes, the last three of
// them dots (jv_dump_string_trunc of jq's source).
func shortTo(v any, size int) string {
	buf := dump(nil, v, size)
	if len(buf) <= size {
		return string(buf)
	}
	cut := buf[:size-3]
	if !utf8.Valid(cut) {
		return strings.ToValidUTF8(string(cut), "\uFFFD") + "..."
	}
	return string(cut) + "..."
}

const (
	// sizeValue and sizePath are the room for a value in most error texts, and in those about paths.
	sizeValue = 14
	sizePath  = 29
)

func short(v any) string { return shortTo(v, sizeValue) }

// describe is a value's type and text.
func describe(v any) string { return typeName(v) + " (" + short(v) + ")" }

// unfit is the failure of an operation on two values.
func unfit(a, b any, message string) error {
	return failf("%s and %s %s", describe(a), describe(b), message)
}

// wrongType is the failure of an operation on one value.
func wrongType(v any, message string) error { return failf("%s %s", describe(v), message) }
