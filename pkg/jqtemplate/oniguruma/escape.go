package oniguruma

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// escape reads a backslash and what belongs to it, outside a class.
func (p *parser) escape() ([]*node, error) {
	one := func(n *node) ([]*node, error) { return []*node{n}, nil }
	place := func(a anchor) ([]*node, error) { return []*node{{kind: kindAnchor, anchor: a}}, nil }
	if p.pos+1 >= len(p.src) {
		return nil, errEndAtEscape
	}
	r := p.src[p.pos+1]
	if n, err := p.classEscape(false); n != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return one(&node{kind: kindSet, set: n})
	}
	p.pos += 2
	switch r {
	case 'A':
		return place(beginText)
	case 'Z':
		return place(semiEndText)
	case 'z':
		return place(endText)
	case 'G':
		p.pattern.beginSearch = true
		return place(beginSearch)
	case 'b':
		return place(wordBoundary)
	case 'B':
		return place(notWordBoundary)
	case 'y':
		return place(graphemeBoundary)
	case 'Y':
		return place(notGraphemeBoundary)
	case 'K':
		p.pattern.keep = true
		return one(&node{kind: kindKeep})
	case 'R':
		return one(&node{kind: kindNewline})
	case 'X':
		return one(&node{kind: kindGrapheme})
	case 'N':
		return one(&node{kind: kindSet, set: newSet(span{'\n', '\n'}).complement()})
	case 'O':
		return one(&node{kind: kindSet, set: newSet(span{0, unicode.MaxRune})})
	case 'Q':
		return p.quoted(), nil
	case 'k':
		if p.follows("<") || p.follows("'") {
			n, err := p.namedBackref()
			if err != nil {
				return nil, err
			}
			return one(n)
		}
	case 'g':
		if p.follows("<") || p.follows("'") {
			n, err := p.namedCall()
			if err != nil {
				return nil, err
			}
			return one(n)
		}
	}
	if r >= '1' && r <= '9' {
		p.pos--
		start := p.pos
		n, _, err := p.number(maxGroups, nil)
		if (n > 0 || err == nil) && n <= maxGroups && (n <= len(p.pattern.groups) || n <= 9) && p.pos > start {
			b := &node{kind: kindBackref, refs: []int{n}, fold: p.options.ignoreCase}
			p.numbers = append(p.numbers, b)
			return one(b)
		}
		p.pos = start
		if r >= '8' {
			p.pos++
			return one(p.literal(r))
		}
		p.pos++
	}
	p.pos -= 2
	raw, isByte, err := p.code(false)
	if err != nil {
		return nil, err
	}
	if !isByte || raw < utf8.RuneSelf {
		if raw > unicode.MaxRune || raw >= 0xd800 && raw < 0xe000 {
			return place(never)
		}
		return one(p.literal(raw))
	}
	return p.rawBytes(byte(raw))
}

// rawBytes joins the bytes of a character written as \xHH or octal. Bytes that are no character match
// nothing.
func (p *parser) rawBytes(first byte) ([]*node, error) {
	length := 1
	switch {
	case first >= 0xf0 && first < 0xf5:
		length = 4
	case first >= 0xe0 && first < 0xf0:
		length = 3
	case first >= 0xc2 && first < 0xe0:
		length = 2
	}
	text := []byte{first}
	for len(text) < length {
		if !p.follows(`\`) || p.pos+1 >= len(p.src) {
			return nil, errShortMultibyte
		}
		raw, isByte, err := p.code(false)
		if err != nil {
			return nil, err
		}
		if !isByte {
			return nil, errShortMultibyte
		}
		text = append(text, byte(raw))
	}
	r, size := utf8.DecodeRune(text)
	if r == utf8.RuneError || size != len(text) {
		return []*node{{kind: kindAnchor, anchor: never}}, nil
	}
	return []*node{p.literal(r)}, nil
}

// quoted reads text up to \E, literally.
func (p *parser) quoted() []*node {
	var out []*node
	for p.more() && !p.next(`\E`) {
		out = append(out, p.literal(p.src[p.pos]))
		p.pos++
	}
	return out
}

// classEscape reads a backslash with w, W, d, D, s, S, p or P. It returns nil, and reads nothing, if
// something else follows.
func (p *parser) classEscape(inClass bool) (runeSet, error) {
	r := p.src[p.pos+1]
	switch r {
	case 'w', 'W', 'd', 'D', 's', 'S':
		p.pos += 2
		if inClass && (r == 'w' || r == 'W') {
			r = -r
		}
		return classes().escapes[r], nil
	case 'p', 'P':
		if p.pos+2 >= len(p.src) || p.src[p.pos+2] != '{' {
			return nil, nil
		}
		p.pos += 3
		negated := r == 'P'
		if p.next("^") {
			negated = !negated
		}
		start := p.pos
		for p.more() && p.src[p.pos] != '}' {
			if c := p.src[p.pos]; c == '(' || c == ')' || c == '{' || c == '|' {
				return nil, patternError("invalid character property name {" + string(p.src[start:p.pos+1]) + "}")
			}
			p.pos++
		}
		name := string(p.src[start:p.pos])
		if !p.next("}") {
			return nil, errUnmatchedParen
		}
		s, ok := property(name)
		if !ok {
			return nil, patternError("invalid character property name {" + name + "}")
		}
		if negated {
			s = s.complement()
		}
		return nonNil(s), nil
	}
	return nil, nil
}

func nonNil(s runeSet) runeSet {
	if s == nil {
		return runeSet{}
	}
	return s
}

// code reads a backslash and the character that it stands for. isByte tells that it was written as a
// byte: \xHH or octal.
func (p *parser) code(inClass bool) (r rune, isByte bool, err error) {
	if p.pos+1 >= len(p.src) {
		return 0, false, errEndAtEscape
	}
	r = p.src[p.pos+1]
	p.pos += 2
	switch r {
	case 'n':
		return '\n', false, nil
	case 't':
		return '\t', false, nil
	case 'r':
		return '\r', false, nil
	case 'f':
		return '\f', false, nil
	case 'a':
		return '\a', false, nil
	case 'e':
		return 0x1b, false, nil
	case 'b':
		if inClass {
			return '\b', false, nil
		}
	case 'c':
		if !p.more() {
			return 0, false, errEndAtControl
		}
		c := p.src[p.pos]
		switch c {
		case '?':
			p.pos++
			return 0x7f, false, nil
		case '\\':
			if c, _, err = p.code(inClass); err != nil {
				return 0, false, err
			}
		default:
			p.pos++
		}
		return c & 0x9f, false, nil
	case 'x':
		if p.next("{") {
			return p.braced(16, 'x')
		}
		n := p.digits(16, 2)
		return n, true, nil
	case 'o':
		if p.next("{") {
			return p.braced(8, 'o')
		}
	case '0', '1', '2', '3', '4', '5', '6', '7':
		width := 2
		if r != '0' || inClass {
			p.pos--
			width = 3
		}
		return p.digits(8, width) & 0xff, true, nil
	}
	return r, false, nil
}

// digits reads at most width digits.
func (p *parser) digits(base, width int) rune {
	var n rune
	for ; width > 0 && p.more(); width-- {
		d := strings.IndexRune("0123456789abcdef", unicode.ToLower(p.src[p.pos]))
		if d < 0 || d >= base {
			break
		}
		n = n*rune(base) + rune(d)
		p.pos++
	}
	return n
}

// braced reads the digits of \x{…} or \o{…}. What is no number there is text.
func (p *parser) braced(base int, letter rune) (rune, bool, error) {
	start := p.pos
	width := 8
	if base == 8 {
		width = 11
	}
	n := int64(0)
	for ; width > 0 && p.more(); width-- {
		d := strings.IndexRune("0123456789abcdef", unicode.ToLower(p.src[p.pos]))
		if d < 0 || d >= base {
			break
		}
		n = n*int64(base) + int64(d)
		p.pos++
	}
	if width == 0 && p.more() && strings.ContainsRune("0123456789abcdefABCDEF", p.src[p.pos]) {
		return 0, false, errLongCode
	}
	if p.pos > start && p.next("}") {
		if n > 0x7fffffff {
			return 0, false, errBigCode
		}
		return rune(n), false, nil
	}
	p.pos = start - 1
	if base == 16 {
		return p.digits(16, 2), true, nil
	}
	return letter, false, nil
}
