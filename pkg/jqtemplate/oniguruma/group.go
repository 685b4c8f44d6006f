package oniguruma

import (
	"slices"
	"unicode"
)

// group reads what begins with '('. It returns nil for a comment.
func (p *parser) group() (*node, error) {
	if p.follows("(?#") {
		return nil, p.comment()
	}
	if p.depth++; p.depth > maxNesting {
		return nil, errNesting
	}
	defer func() { p.depth-- }()
	p.pos++
	if p.follows("*") {
		return p.callout()
	}
	if !p.next("?") {
		return p.capture("")
	}
	if !p.more() {
		return nil, errEndInGroup
	}
	switch {
	case p.next(":"):
		return p.body()
	case p.next("="):
		return p.wrapped(&node{kind: kindLook})
	case p.next("!"):
		return p.wrapped(&node{kind: kindLook, negated: true})
	case p.next(">"):
		return p.wrapped(&node{kind: kindAtomic})
	case p.next("<="):
		return p.wrapped(&node{kind: kindLook, behind: true})
	case p.next("<!"):
		return p.wrapped(&node{kind: kindLook, behind: true, negated: true})
	case p.next("~|"):
		return nil, errAbsent
	case p.next("~"):
		return p.wrapped(&node{kind: kindAbsent})
	case p.next("{"):
		return p.calloutContents()
	case p.follows("<"), p.follows("'"):
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		if !isWord(name[0]) || name[0] >= '0' && name[0] <= '9' || slices.ContainsFunc(name, func(r rune) bool { return r == ')' }) {
			return nil, patternError("invalid group name <" + string(name) + ">")
		}
		return p.capture(string(name))
	case p.next("("):
		return p.condition()
	case p.next("&"):
		return p.perlCall(true)
	case p.next("R)"):
		n := &node{kind: kindCall}
		return n, nil
	}
	if c := p.src[p.pos]; c >= '0' && c <= '9' || c == '+' || c == '-' && p.pos+1 < len(p.src) && (isDigit(p.src[p.pos+1]) || p.src[p.pos+1] == ')') {
		return p.perlCall(false)
	}
	return p.switches()
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func isWord(r rune) bool {
	return r == '_' || unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.Pc)
}

// body reads a group's content and its ')'.
func (p *parser) body() (*node, error) {
	n, err := p.choice()
	if err != nil {
		return nil, err
	}
	if !p.next(")") {
		return nil, errUnmatchedParen
	}
	return n, nil
}

// wrapped reads the body of n.
func (p *parser) wrapped(n *node) (*node, error) {
	b, err := p.body()
	if err != nil {
		return nil, err
	}
	n.subs = []*node{b}
	return n, nil
}

// capture reads the body of a capturing group. Groups, named or not, are numbered as they open.
func (p *parser) capture(name string) (*node, error) {
	n := &node{kind: kindCapture, group: len(p.pattern.groups) + 1}
	if n.group > maxGroups {
		return nil, patternError("too many capture groups are specified")
	}
	p.pattern.groups = append(p.pattern.groups, n)
	p.pattern.names = append(p.pattern.names, name)
	if name != "" {
		p.named[name] = append(p.named[name], n.group)
	}
	return p.wrapped(n)
}

// name reads a name in <> or quotes.
func (p *parser) name() ([]rune, error) {
	end := p.src[p.pos]
	if end == '<' {
		end = '>'
	}
	p.pos++
	length := slices.Index(p.src[p.pos:], end)
	switch {
	case length == 0:
		return nil, errEmptyName
	case length < 0 && !p.more():
		return nil, errEmptyName
	case length < 0:
		return nil, patternError("invalid group name <" + string(p.src[p.pos:]) + ">")
	}
	name := p.src[p.pos : p.pos+length]
	p.pos += length + 1
	return name, nil
}

// reference is a name read as a number, perhaps a relative one.
func reference(name []rune) (n, sign int, ok bool) {
	digits := name
	switch name[0] {
	case '-':
		sign, digits = -1, name[1:]
	case '+':
		sign, digits = 1, name[1:]
	}
	if len(digits) == 0 || len(digits) > 6 {
		return 0, 0, false
	}
	for _, r := range digits {
		if !isDigit(r) {
			return 0, 0, false
		}
		n = n*10 + int(r-'0')
	}
	return n, sign, true
}

// groupsOf returns the groups that a back reference means.
func (p *parser) groupsOf(name []rune) ([]int, error) {
	n, sign, numeric := reference(name)
	if !numeric {
		found := p.named[string(name)]
		if name[0] == '-' || name[0] == '+' || isDigit(name[0]) || !isWord(name[0]) {
			return nil, patternError("invalid group name <" + string(name) + ">")
		}
		if len(found) == 0 {
			return nil, patternError("undefined name <" + string(name) + "> reference")
		}
		return found, nil
	}
	switch sign {
	case -1:
		n = len(p.pattern.groups) + 1 - n
	case 1:
		n += len(p.pattern.groups)
	}
	if n < 1 || n > maxGroups {
		return nil, errBackref
	}
	return []int{n}, nil
}

// namedBackref reads the <name> of \k.
func (p *parser) namedBackref() (*node, error) {
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	// A level, <name+1>, tells recursions apart; without recursion it is always 0.
	for i := len(name) - 1; i > 0; i-- {
		if (name[i] == '+' || name[i] == '-') && i < len(name)-1 {
			name = name[:i]
			break
		}
		if !isDigit(name[i]) {
			break
		}
	}
	refs, err := p.groupsOf(name)
	if err != nil {
		return nil, err
	}
	n := &node{kind: kindBackref, refs: slices.Clone(refs), fold: p.options.ignoreCase}
	p.numbers = append(p.numbers, n)
	return n, nil
}

// namedCall reads the <name> of \g.
func (p *parser) namedCall() (*node, error) {
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	return p.callTo(name)
}

func (p *parser) callTo(name []rune) (*node, error) {
	c := call{node: &node{kind: kindCall}, before: len(p.pattern.groups)}
	var numeric bool
	if c.number, c.relative, numeric = reference(name); !numeric {
		if !isWord(name[0]) || isDigit(name[0]) {
			return nil, patternError("invalid group name <" + string(name) + ">")
		}
		c.name = string(name)
	}
	p.calls = append(p.calls, c)
	return c.node, nil
}

// perlCall reads (?1), (?+1), (?-1) and (?&name).
func (p *parser) perlCall(named bool) (*node, error) {
	length := slices.Index(p.src[p.pos:], ')')
	if length < 0 {
		return nil, errEndInGroup
	}
	name := p.src[p.pos : p.pos+length]
	p.pos += length + 1
	if length == 0 {
		return nil, errEmptyName
	}
	if _, _, numeric := reference(name); numeric == named {
		return nil, patternError("invalid group name <" + string(name) + ">")
	}
	return p.callTo(name)
}

// switches reads (?imsx-imsx) and (?imsx-imsx:…).
func (p *parser) switches() (*node, error) {
	o, off := p.options, false
	for ; p.more(); p.pos++ {
		switch p.src[p.pos] {
		case '-':
			off = true
		case 'x':
			o.extended = !off
		case 'i':
			o.ignoreCase = !off
		case 's':
			o.dotAll = !off
		case 'm':
			o.multiLine = !off
		case ')':
			p.pos++
			p.options = o // Up to the end of the group around it, as choice restores them.
			return &node{kind: kindOptions}, nil
		case ':':
			p.pos++
			saved := p.options
			p.options = o
			n, err := p.wrapped(&node{kind: kindOptions})
			p.options = saved
			return n, err
		default:
			return nil, errGroupOption
		}
	}
	return nil, errEndInGroup
}

// condition reads (?(cond)yes|no), of which "(?(" was read: cond is a group's name or number, or a
// pattern.
func (p *parser) condition() (*node, error) {
	n := &node{kind: kindIf}
	start := p.pos
	if refs, ok, err := p.conditionGroup(); err != nil {
		return nil, err
	} else if ok {
		n.refs = refs
		p.numbers = append(p.numbers, n)
	} else {
		p.pos = start
		cond, err := p.body()
		if err != nil {
			return nil, err
		}
		n.kind, n.subs = kindIfMatch, []*node{cond}
	}
	saved := p.options
	defer func() { p.options = saved }()
	yes, err := p.sequence()
	if err != nil {
		return nil, err
	}
	no := &node{kind: kindEmpty}
	if p.next("|") {
		if no, err = p.sequence(); err != nil {
			return nil, err
		}
	}
	for p.follows("|") {
		p.pos++
		other, err := p.sequence()
		if err != nil {
			return nil, err
		}
		no = &node{kind: kindChoice, subs: []*node{no, other}}
	}
	if !p.next(")") {
		return nil, errUnmatchedParen
	}
	n.subs = append(n.subs, yes, no)
	return n, nil
}

// conditionGroup reads a condition that names a group.
func (p *parser) conditionGroup() (refs []int, ok bool, err error) {
	var name []rune
	switch {
	case p.follows("<"), p.follows("'"):
		if name, err = p.name(); err != nil {
			return nil, false, err
		}
		if !p.next(")") {
			return nil, false, nil
		}
	default:
		length := slices.Index(p.src[p.pos:], ')')
		if length <= 0 {
			return nil, false, nil
		}
		name = p.src[p.pos : p.pos+length]
		if _, _, numeric := reference(name); !numeric {
			return nil, false, nil
		}
		p.pos += length + 1
	}
	refs, err = p.groupsOf(name)
	return slices.Clone(refs), err == nil, err
}

// callout reads (*NAME): (*FAIL) is the one that means something without a host program.
func (p *parser) callout() (*node, error) {
	length := slices.Index(p.src[p.pos:], ')')
	if length < 0 {
		return nil, errEndInGroup
	}
	name := string(p.src[p.pos+1 : p.pos+length])
	p.pos += length + 1
	switch name {
	case "FAIL":
		return &node{kind: kindAnchor, anchor: never}, nil
	case "":
		return nil, patternError("invalid callout name")
	}
	return nil, errCallout
}

// calloutContents reads (?{…}), which matches the empty text where no host program listens.
func (p *parser) calloutContents() (*node, error) {
	open := 1
	for p.next("{") {
		open++
	}
	closing := slices.Repeat([]rune{'}'}, open)
	for i := p.pos; i+open < len(p.src)+1; i++ {
		if !slices.Equal(p.src[i:i+open], closing) {
			continue
		}
		p.pos = i + open
		if p.more() && p.src[p.pos] != ')' {
			for p.more() && (p.src[p.pos] == '<' || p.src[p.pos] == '>' || p.src[p.pos] == 'X') {
				p.pos++
			}
		}
		if !p.next(")") {
			return nil, patternError("invalid callout pattern")
		}
		return &node{kind: kindEmpty}, nil
	}
	return nil, patternError("invalid callout pattern")
}
