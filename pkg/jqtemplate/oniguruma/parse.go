package oniguruma

import (
	"strconv"
	"unicode"
)

// The bounds of a pattern. maxRepeat, maxNumber and maxGroups are Oniguruma's own.
const (
	maxPattern = 8 << 10 // bytes of a pattern's text
	maxNesting = 200     // groups inside one another
	maxRepeat  = 100000  // the greatest n of {n}
	maxGroups  = 1000
	maxNumber  = 1 << 30
)

// patternError is what Oniguruma says about a pattern that it refuses.
type patternError string

func (e patternError) Error() string { return string(e) }

const (
	errEndInGroup      patternError = "end pattern in group"
	errEndAtEscape     patternError = "end pattern at escape"
	errUnmatchedParen  patternError = "end pattern with unmatched parenthesis"
	errUnmatchedClose  patternError = "unmatched close parenthesis"
	errNoTarget        patternError = "target of repeat operator is not specified"
	errBadTarget       patternError = "target of repeat operator is invalid"
	errGroupOption     patternError = "undefined group option"
	errBackref         patternError = "invalid backref number/name"
	errBigNumber       patternError = "too big number"
	errBigRepeat       patternError = "too big number for repeat range"
	errUpperSmaller    patternError = "upper is smaller than lower in repeat range"
	errEmptyName       patternError = "group name is empty"
	errLookBehind      patternError = "invalid pattern in look-behind"
	errNeverEnding     patternError = "never ending recursion"
	errNesting         patternError = "parse depth limit over"
	errTooLarge        patternError = "too large pattern"
	errShortMultibyte  patternError = "too short multibyte code string"
	errBigCode         patternError = "too big wide-char value"
	errLongCode        patternError = "too long wide-char value"
	errInvalidCode     patternError = "invalid code point value"
	errEndAtControl    patternError = "end pattern at control"
	errEmptyClass      patternError = "empty char-class"
	errClassEnd        patternError = "premature end of char-class"
	errClassRangeEnd   patternError = "char-class value at end of range"
	errClassSpecifier  patternError = "unmatched range specifier in char-class"
	errClassEmptyRange patternError = "empty range in char class"
	errPosixBracket    patternError = "invalid POSIX bracket type"
	errCallout         patternError = "undefined callout name"
	errAbsent          patternError = "absent groups with a range are not supported"
)

// options are the switches that (?imsx) sets.
type options struct {
	ignoreCase, extended bool
	dotAll               bool // '.' matches a line's end too: jq's p, (?s)
	multiLine            bool // '^' and '$' match at lines: (?m)
}

// parser reads one pattern, in the syntax that Oniguruma calls PERL_NT.
type parser struct {
	src     []rune
	pos     int
	options options
	depth   int
	pattern pattern
	named   map[string][]int
	calls   []call
	numbers []*node // back references to be checked at the end
}

// call is a call whose group was not known when it was read.
type call struct {
	node     *node
	name     string
	number   int
	relative int // 0, or the sign of a relative number
	before   int // groups opened before the call
}

// parse reads a pattern.
func parse(text string, o options) (*pattern, error) {
	if len(text) > maxPattern {
		return nil, errTooLarge
	}
	p := &parser{src: []rune(text), options: o, named: map[string][]int{}}
	root, err := p.choice()
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.src) {
		return nil, errUnmatchedClose
	}
	p.pattern.root = root
	if err := p.resolve(); err != nil {
		return nil, err
	}
	if err := p.pattern.check(root); err != nil {
		return nil, err
	}
	return &p.pattern, nil
}

// resolve gives calls and back references their groups.
func (p *parser) resolve() error {
	groups := len(p.pattern.groups)
	for _, b := range p.numbers {
		for _, n := range b.refs {
			if n < 1 || n > groups {
				return errBackref
			}
		}
	}
	for _, c := range p.calls {
		n := c.number
		switch {
		case c.name != "":
			found := p.named[c.name]
			switch len(found) {
			case 0:
				return patternError("undefined name <" + c.name + "> reference")
			case 1:
			default:
				return patternError("multiplex definition name <" + c.name + "> call")
			}
			n = found[0]
		case c.relative < 0:
			n = c.before + 1 - c.number
		case c.relative > 0:
			n = c.before + c.number
		}
		if n < 0 || n > groups || c.relative != 0 && n == 0 {
			return patternError("undefined group <" + strconv.Itoa(c.number) + "> reference")
		}
		c.node.group = n
	}
	if len(p.calls) == 0 {
		return nil
	}
	for _, g := range p.pattern.groups {
		e := endless{pattern: &p.pattern, group: g.group, open: map[int]bool{}}
		if must, infinite := e.check(g.subs[0], true); must || infinite {
			return errNeverEnding
		}
		if e.steps > maxSteps {
			return errTooLarge
		}
	}
	return nil
}

func (p *parser) more() bool { return p.pos < len(p.src) }

// next reports whether text follows, and passes it.
func (p *parser) next(text string) bool {
	if !p.follows(text) {
		return false
	}
	p.pos += len(text)
	return true
}

// follows reports whether text, which is ASCII, follows.
func (p *parser) follows(text string) bool {
	if p.pos+len(text) > len(p.src) {
		return false
	}
	for i := range len(text) {
		if p.src[p.pos+i] != rune(text[i]) {
			return false
		}
	}
	return true
}

// choice reads alternatives up to a ')' or the end. Options set inside hold to its end.
func (p *parser) choice() (*node, error) {
	saved := p.options
	defer func() { p.options = saved }()
	var alternatives []*node
	for {
		s, err := p.sequence()
		if err != nil {
			return nil, err
		}
		alternatives = append(alternatives, s)
		if !p.next("|") {
			break
		}
	}
	if len(alternatives) == 1 {
		return alternatives[0], nil
	}
	return &node{kind: kindChoice, subs: alternatives}, nil
}

// sequence reads atoms with their quantifiers up to '|', ')' or the end.
func (p *parser) sequence() (*node, error) {
	var subs []*node
	for {
		if p.options.extended {
			p.skipBlank()
		}
		if !p.more() || p.src[p.pos] == '|' || p.src[p.pos] == ')' {
			break
		}
		atoms, err := p.atom()
		if err != nil {
			return nil, err
		}
		if len(atoms) > 0 {
			last := len(atoms) - 1
			if atoms[last].kind == kindOptions && len(atoms[last].subs) == 0 {
				subs = append(subs, atoms...)
				continue
			}
			if atoms[last], err = p.quantified(atoms[last]); err != nil {
				return nil, err
			}
		}
		subs = append(subs, atoms...)
	}
	switch len(subs) {
	case 0:
		return &node{kind: kindEmpty}, nil
	case 1:
		return subs[0], nil
	}
	return &node{kind: kindSequence, subs: subs}, nil
}

// skipBlank passes white space and comments of an extended pattern.
func (p *parser) skipBlank() {
	for p.more() {
		switch p.src[p.pos] {
		case ' ', '\t', '\n', '\r', '\f':
			p.pos++
		case '#':
			for p.more() && p.src[p.pos] != '\n' {
				p.pos++
			}
		default:
			return
		}
	}
}

// quantified reads the quantifiers behind an atom.
func (p *parser) quantified(n *node) (*node, error) {
	for {
		start := p.pos
		if p.options.extended {
			p.skipBlank()
		}
		for p.follows("(?#") {
			if err := p.comment(); err != nil {
				return nil, err
			}
			if p.options.extended {
				p.skipBlank()
			}
		}
		least, most, ok, err := p.quantifier()
		if err != nil {
			return nil, err
		}
		if !ok {
			p.pos = start
			return n, nil
		}
		if onlyPlace(n) {
			return nil, errBadTarget
		}
		r := &node{kind: kindRepeat, min: least, max: most, subs: []*node{n}}
		switch {
		case p.next("?"):
			r.mode = lazy
		case p.next("+"):
			r.mode = possessive
		}
		n = r
	}
}

// quantifier reads one of * + ? {n} {n,} {n,m}. Other braces are text.
func (p *parser) quantifier() (least, most int, ok bool, err error) {
	switch {
	case p.next("*"):
		return 0, -1, true, nil
	case p.next("+"):
		return 1, -1, true, nil
	case p.next("?"):
		return 0, 1, true, nil
	}
	start := p.pos
	if !p.next("{") {
		return 0, 0, false, nil
	}
	least, digits, err := p.number(maxRepeat, errBigRepeat)
	if err != nil {
		return 0, 0, false, err
	}
	if digits {
		most = least
		if p.next(",") {
			var bounded bool
			if most, bounded, err = p.number(maxRepeat, errBigRepeat); err != nil {
				return 0, 0, false, err
			}
			if !bounded {
				most = -1
			}
		}
		if p.next("}") {
			if most >= 0 && most < least {
				return 0, 0, false, errUpperSmaller
			}
			return least, most, true, nil
		}
	}
	p.pos = start
	return 0, 0, false, nil
}

// number reads decimal digits.
func (p *parser) number(limit int, tooBig error) (n int, ok bool, err error) {
	for p.more() && p.src[p.pos] >= '0' && p.src[p.pos] <= '9' {
		n, ok = n*10+int(p.src[p.pos]-'0'), true
		if n > limit {
			return 0, false, tooBig
		}
		p.pos++
	}
	return n, ok, nil
}

// literal is one character of text.
func (p *parser) literal(r rune) *node {
	return &node{kind: kindLiteral, r: r, fold: p.options.ignoreCase}
}

// atom reads what a quantifier can follow. A quoted text is several atoms, a comment is none.
func (p *parser) atom() ([]*node, error) {
	one := func(n *node) ([]*node, error) { return []*node{n}, nil }
	r := p.src[p.pos]
	switch r {
	case '(':
		n, err := p.group()
		if n == nil || err != nil {
			return nil, err
		}
		return one(n)
	case '[':
		p.pos++
		n, err := p.class()
		if err != nil {
			return nil, err
		}
		return one(n)
	case '\\':
		return p.escape()
	case '*', '+', '?':
		return nil, errNoTarget
	case '{':
		_, _, ok, err := p.quantifier()
		if err != nil {
			return nil, err
		}
		if ok {
			return nil, errNoTarget
		}
	case '.':
		p.pos++
		if p.options.dotAll {
			return one(&node{kind: kindSet, set: newSet(span{0, unicode.MaxRune})})
		}
		return one(&node{kind: kindSet, set: newSet(span{'\n', '\n'}).complement()})
	case '^':
		p.pos++
		if p.options.multiLine {
			return one(&node{kind: kindAnchor, anchor: beginLine})
		}
		return one(&node{kind: kindAnchor, anchor: beginText})
	case '$':
		p.pos++
		if p.options.multiLine {
			return one(&node{kind: kindAnchor, anchor: endLine})
		}
		return one(&node{kind: kindAnchor, anchor: semiEndText})
	}
	p.pos++
	return one(p.literal(r))
}

// comment passes a (?#…), of which a backslash may quote the end.
func (p *parser) comment() error {
	for p.pos += len("(?#"); p.more(); p.pos++ {
		switch p.src[p.pos] {
		case '\\':
			p.pos++
		case ')':
			p.pos++
			return nil
		}
	}
	return errEndInGroup
}
