package jqtemplate

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// block is the text between {{ and }}: offsets in bytes, braces excluded.
type block struct{ start, end int }

// braceFault is one unbalanced or nested pair of braces.
type braceFault struct {
	// position is where the fault is seen, in UTF-16 units.
	position int
	message  string
}

// scanBlocks finds the blocks of a string. Inside a block quotes hide braces, also in a comment, and
// a backslash hides the character behind it. A pair of braces is seen at its second one by looking
// back, so that in `\}}` the hidden brace still counts as the first of a pair; the third of three
// braces in a row belongs to no pair. It ends at the fault that makes them max: each counts its position
// from the start of the text.
func scanBlocks(s string, max int) (blocks []block, faults []braceFault) {
	if !strings.Contains(s, "{{") && !strings.Contains(s, "}}") {
		return nil, nil
	}
	fail := func(at int, format string, args ...any) {
		faults = append(faults, braceFault{utf16Len(s[:at]), fmt.Sprintf(format, args...)})
	}
	open, nested, quote := -1, 0, byte(0)
	for i := 0; i < len(s) && len(faults) < max; i++ {
		c := s[i]
		paired := i > 0 && s[i-1] == c && quote == 0
		switch {
		case open >= 0 && c == '\\':
			i++
		case open >= 0 && (c == '"' || c == '\''):
			switch quote {
			case 0:
				quote = c
			case c:
				quote = 0
			}
		case c == '{' && paired:
			if open < 0 {
				open = i + 1
			} else {
				fail(i-1, "Found double braces in index %d inside other one in index %d", utf16Len(s[:i-1]), utf16Len(s[:open-2]))
				nested++ // Its end is no second fault.
			}
			if strings.HasPrefix(s[i+1:], "{") {
				i++
			}
		case c == '}' && paired:
			switch {
			case open < 0:
				fail(i-1, "Found closing double braces in index %d without opening double braces", utf16Len(s[:i-1]))
			case nested > 0:
				nested--
			default:
				blocks = append(blocks, block{open, i - 1})
				open = -1
			}
			if strings.HasPrefix(s[i+1:], "}") {
				i++
			}
		}
	}
	if open >= 0 && len(faults) < max {
		fail(open-2, "Found opening double braces in index %d without closing double braces", utf16Len(s[:open-2]))
	}
	return blocks, faults
}

// isWhole tells whether a string that holds one block is nothing but that block, so that the result
// keeps its type. The brace that is left over in `{{.a}}}` is dropped.
func isWhole(s string) bool {
	s = strings.TrimFunc(s, isSpace)
	return strings.HasPrefix(s, "{{") && strings.HasSuffix(s, "}}")
}

// isSpreadKey tells whether an object's key asks for the members of its value.
func isSpreadKey(key string) bool {
	trim := func(s string) string { return strings.TrimFunc(s, isSpace) }
	s, opened := strings.CutPrefix(trim(key), "{{")
	s, closed := strings.CutSuffix(s, "}}")
	s, named := strings.CutPrefix(trim(s), "spreadValue(")
	s, called := strings.CutSuffix(s, ")")
	return opened && closed && named && called && trim(s) == ""
}

// Literal returns the text of a template string before its first block; all of it if there is none.
func Literal(s string) string {
	text, _, _ := strings.Cut(s, "{{")
	return text
}

// rewriteQuotes makes double quotes of the single quotes that stand at a border. It is the regular
// expression (^|\s)'(?!\s|")|(?<!\s|")'(\s|$) → $1"$2, applied from left to right without overlap,
// which RE2 cannot say. Offsets in the text do not change.
func rewriteQuotes(s string) string {
	if !strings.Contains(s, "'") {
		return s
	}
	out := []byte(s)
	// blocks tells whether a character keeps a quote from being taken for a border's.
	blocks := func(r rune) bool { return isSpace(r) || r == '"' }
	taken := 0 // Up to here the text belongs to the previous match.
	for i := 0; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		before, beforeSize := utf8.DecodeLastRuneInString(s[:i])
		after, afterSize := utf8.DecodeRuneInString(s[i+1:])
		atStart, atEnd := beforeSize == 0, afterSize == 0
		switch {
		case (atStart || isSpace(before) && i-beforeSize >= taken) && (atEnd || !blocks(after)):
			out[i] = '"'
			taken = i + 1
		case (atStart || !blocks(before)) && (atEnd || isSpace(after)):
			out[i] = '"'
			taken = i + 1 + afterSize
		}
	}
	return string(out)
}

// isSpace tells what JavaScript takes for white space: \s and trim (ECMA-262, section 22.1.3.32).
func isSpace(r rune) bool {
	switch r {
	case '\t', '\n', '\v', '\f', '\r', ' ', 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF:
		return true
	}
	return r >= 0x2000 && r <= 0x200A
}

// utf16Len returns the length of a text in UTF-16 units.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}
