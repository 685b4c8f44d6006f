package oniguruma

import "slices"

// maxSteps bounds how many nodes are visited to find out whether a recursion ends.
const maxSteps = 200000

// endless looks for the ways in which a group must call itself, or does so without having gone on in
// the text.
type endless struct {
	pattern *pattern
	group   int
	open    map[int]bool
	steps   int
}

// check looks at n; head tells that nothing was matched before it.
func (e *endless) check(n *node, head bool) (must, infinite bool) {
	if e.steps++; e.steps > maxSteps {
		return false, false
	}
	switch n.kind {
	case kindSequence:
		for _, s := range n.subs {
			m, i := e.check(s, head)
			if i {
				return m, true
			}
			must = must || m
			if least, _ := e.pattern.width(s, 3); least > 0 {
				head = false
			}
		}
		return must, false
	case kindChoice, kindIf, kindIfMatch:
		must = true
		for _, s := range n.subs {
			m, i := e.check(s, head)
			if i {
				return m, true
			}
			must = must && m
		}
		return must, false
	case kindRepeat:
		if n.max == 0 {
			return false, false
		}
		must, infinite = e.check(n.subs[0], head)
		return must && n.min > 0, infinite
	case kindCall:
		if n.group == 0 {
			return false, false
		}
		return e.check(e.pattern.groups[n.group-1], head)
	case kindCapture:
		if n.group == e.group {
			return !head, head
		}
		if e.open[n.group] {
			return false, false
		}
		e.open[n.group] = true
		must, infinite = e.check(n.subs[0], head)
		e.open[n.group] = false
		return must, infinite
	case kindAtomic, kindLook, kindOptions:
		for _, s := range n.subs {
			must, infinite = e.check(s, head)
		}
		return must, infinite
	}
	return false, false
}

// check refuses the look-behinds that Oniguruma refuses.
func (p *pattern) check(n *node) error {
	if n.kind == kindLook && n.behind {
		if err := p.checkBehind(n); err != nil {
			return err
		}
	}
	for _, s := range n.subs {
		if err := p.check(s); err != nil {
			return err
		}
	}
	return nil
}

// checkBehind checks the body of a look-behind: what it matches has one width, unless an alternative may
// be empty for sure. A repetition at its beginning counts with the least of its times.
func (p *pattern) checkBehind(look *node) error {
	alternatives := look.subs
	if body := look.subs[0]; body.kind == kindChoice {
		alternatives = body.subs
	}
	for _, a := range alternatives {
		if least, _ := p.width(a, 5); least == 0 && plain(a) {
			return nil
		}
	}
	width := -1
	for _, a := range alternatives {
		a = leanLeft(a)
		least, most := p.width(a, 5)
		if p.forbiddenBehind(a, look.negated) || least != most || width >= 0 && least != width {
			return errLookBehind
		}
		width = least
	}
	return nil
}

// plain reports whether n is made of characters only, no places and no groups.
func plain(n *node) bool {
	switch n.kind {
	case kindAnchor, kindKeep, kindLook, kindCapture, kindBackref, kindCall, kindIf, kindIfMatch:
		return false
	}
	return !slices.ContainsFunc(n.subs, func(s *node) bool { return !plain(s) })
}

// leanLeft returns n with the repeated character at its beginning cut to the least of its times: looking
// behind, more of them change nothing.
func leanLeft(n *node) *node {
	switch {
	case n.kind == kindRepeat && n.mode != possessive && (n.subs[0].kind == kindLiteral || n.subs[0].kind == kindSet):
		if n.min == 0 {
			return &node{kind: kindEmpty}
		}
		lean := *n
		lean.max = n.min
		return &lean
	case n.kind == kindSequence:
		lean := *n
		lean.subs = slices.Clone(n.subs)
		for i, s := range lean.subs {
			lean.subs[i] = leanLeft(s)
			if lean.subs[i].kind != kindEmpty {
				break
			}
		}
		return &lean
	}
	return n
}

// forbiddenBehind reports whether n holds what a look-behind must not hold.
func (p *pattern) forbiddenBehind(n *node, negated bool) bool {
	switch n.kind {
	case kindLook:
		if !n.behind || n.negated && !negated {
			return true
		}
	case kindCapture:
		if negated {
			return true
		}
	case kindNewline, kindGrapheme, kindAbsent:
		return true
	case kindAnchor:
		if n.anchor == semiEndText || n.anchor == endText {
			return true
		}
	}
	return slices.ContainsFunc(n.subs, func(s *node) bool { return p.forbiddenBehind(s, negated) })
}

// onlyPlace reports whether n, or one of its alternatives, is a place in the text, which cannot be
// repeated.
func onlyPlace(n *node) bool {
	switch n.kind {
	case kindAnchor:
		return n.anchor != never
	case kindLook, kindKeep:
		return true
	case kindChoice:
		return slices.ContainsFunc(n.subs, onlyPlace)
	}
	return false
}
