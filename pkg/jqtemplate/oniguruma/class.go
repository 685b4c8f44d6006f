package oniguruma

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// What the last member of a class was, and what may follow it.
type classState uint8

const (
	classStart    classState = iota // nothing yet
	classValue                      // a character, which may begin a range
	classProperty                   // \w or the like
	classRange                      // a '-' behind a character
	classComplete                   // a whole range
)

// class reads a bracket expression of which '[' was read. '&&' and '[' have no meaning inside it.
func (p *parser) class() (*node, error) {
	negated := p.next("^")
	if p.follows("]") && !slices.Contains(p.src[p.pos+1:], ']') {
		return nil, errEmptyClass
	}
	var (
		spans []span
		sets  []runeSet
		from  rune
		state = classStart
	)
	value := func(r rune) error {
		switch state {
		case classRange:
			if r < from {
				return errClassEmptyRange
			}
			spans = append(spans, span{from, r})
			state = classComplete
		default:
			spans = append(spans, span{r, r})
			from, state = r, classValue
		}
		return nil
	}
	for first := true; ; first = false {
		if !p.more() {
			return nil, errClassEnd
		}
		if !first && p.next("]") {
			if state == classRange {
				spans = append(spans, span{'-', '-'})
			}
			break
		}
		set, r, err := p.classMember()
		if err != nil {
			return nil, err
		}
		switch {
		case set != nil && state == classRange:
			return nil, errClassRangeEnd
		case set != nil:
			sets = append(sets, set)
			state = classProperty
		case r != dash:
			if err := value(r); err != nil {
				return nil, err
			}
		case state == classValue && !p.follows("]"):
			state = classRange
		case state == classProperty && !p.follows("]"):
			return nil, errClassSpecifier
		case state == classComplete:
			state = classProperty // A second range operator, [a-c-e], is text.
			spans = append(spans, span{'-', '-'})
			from, state = '-', classValue
		default:
			if err := value('-'); err != nil {
				return nil, err
			}
		}
	}
	s := newSet(spans...).union(sets...)
	n := &node{kind: kindSet, set: s}
	if p.options.ignoreCase {
		n.set = s.folded()
		n.fold = !negated
	}
	if negated {
		n.set = n.set.complement()
	} else if r, ok := s.single(); ok && len(sets) == 0 {
		return p.literal(r), nil
	}
	return n, nil
}

// dash is a '-' that was not quoted.
const dash rune = -1

// classMember reads one member of a class: a set or a character.
func (p *parser) classMember() (runeSet, rune, error) {
	r := p.src[p.pos]
	switch {
	case r == '-':
		p.pos++
		return nil, dash, nil
	case r == '\\':
		if p.pos+1 >= len(p.src) {
			return nil, 0, errEndAtEscape
		}
		if s, err := p.classEscape(true); s != nil || err != nil {
			return s, 0, err
		}
		code, isByte, err := p.code(true)
		if err != nil {
			return nil, 0, err
		}
		if isByte && code >= utf8.RuneSelf {
			n, err := p.rawBytes(byte(code))
			if err != nil {
				return nil, 0, err
			}
			if n[0].kind != kindLiteral {
				return runeSet{}, 0, nil
			}
			code = n[0].r
		}
		if code > unicode.MaxRune {
			return nil, 0, errInvalidCode
		}
		return nil, code, nil
	case p.follows("[:"):
		s, err := p.posixBracket()
		if s != nil || err != nil {
			return s, 0, err
		}
	}
	p.pos++
	return nil, r, nil
}

// posixBracket reads [:name:] or [:^name:]. It returns nil, and reads nothing, if there is none.
func (p *parser) posixBracket() (runeSet, error) {
	start := p.pos
	closed := false
	for i := p.pos + 2; i+1 < len(p.src); i++ {
		if p.src[i] == '\\' {
			i++
			continue
		}
		if p.src[i] == ']' {
			break
		}
		if p.src[i] == ':' && p.src[i+1] == ']' {
			closed = true
			break
		}
	}
	if !closed {
		return nil, nil
	}
	p.pos += 2
	negated := p.next("^")
	for name, s := range classes().named {
		if p.follows(name + ":]") {
			p.pos += len(name) + 2
			if negated {
				s = s.complement()
			}
			return nonNil(s), nil
		}
	}
	for i := 0; p.more() && p.src[p.pos] != ':' && p.src[p.pos] != ']' && i <= 20; i++ {
		p.pos++
	}
	if p.follows(":]") {
		return nil, errPosixBracket
	}
	p.pos = start
	return nil, nil
}
