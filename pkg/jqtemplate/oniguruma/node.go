package oniguruma

// kind says what a node is.
type kind uint8

const (
	kindEmpty    kind = iota
	kindLiteral       // r
	kindSet           // set
	kindSequence      // subs, one after another
	kindChoice        // subs, the first that matches
	kindRepeat        // subs[0], min to max times (max < 0: any number)
	kindCapture       // subs[0], kept as group
	kindAtomic        // subs[0], never entered again
	kindLook          // subs[0], looked at: behind, negated
	kindBackref       // any one of refs
	kindCall          // the group numbered group, 0 is the whole pattern
	kindIf            // subs[0] if a group of refs is set, else subs[1]
	kindIfMatch       // subs[0], then subs[1] if it matched, else subs[2]
	kindAbsent        // any text up to where subs[0] matches
	kindAnchor        // anchor
	kindKeep          // the match begins here
	kindOptions       // subs[0], or nothing: where options were set
	kindNewline       // \R
	kindGrapheme      // \X
)

// repetition says how eagerly a kindRepeat takes.
type repetition uint8

const (
	greedy repetition = iota
	lazy
	possessive
)

// anchor is a place in the text.
type anchor uint8

const (
	beginText anchor = iota
	endText
	semiEndText
	beginLine
	endLine
	beginSearch
	wordBoundary
	notWordBoundary
	graphemeBoundary
	notGraphemeBoundary
	never
)

// node is a part of a parsed pattern. Which fields it uses stands at its kind.
type node struct {
	kind     kind
	anchor   anchor
	mode     repetition
	fold     bool // letters of either case match
	behind   bool
	negated  bool
	r        rune
	min, max int
	group    int
	refs     []int
	set      runeSet
	subs     []*node
}

// pattern is a parsed pattern.
type pattern struct {
	root   *node
	groups []*node // capture groups in the order of their numbers; groups[0] is group 1
	names  []string
	// keep tells that \K, beginSearch that \G is in it.
	keep, beginSearch bool
	steps             int // nodes that width has visited
}

// maxWidthSteps bounds the work of width for one pattern; beyond it nothing is known.
const maxWidthSteps = 1 << 20

// width returns how many code points a node can match at least and at most, -1 for no bound. The calls
// in it are followed as deep as depth.
func (p *pattern) width(n *node, depth int) (least, most int) {
	if p.steps++; p.steps > maxWidthSteps {
		return 0, -1
	}
	sum := func(a, b int) int {
		if a < 0 || b < 0 {
			return -1
		}
		return min(a+b, maxRepeat*4)
	}
	switch n.kind {
	case kindLiteral:
		return 1, 1
	case kindSet:
		if len(n.longer()) > 0 {
			return 1, 3
		}
		return 1, 1
	case kindSequence:
		for _, s := range n.subs {
			l, m := p.width(s, depth)
			least, most = sum(least, l), sum(most, m)
		}
		return least, most
	case kindChoice:
		least = -1
		for _, s := range n.subs {
			l, m := p.width(s, depth)
			if least < 0 || l < least {
				least = l
			}
			if m < 0 || most < 0 {
				most = -1
			} else {
				most = max(most, m)
			}
		}
		return max(least, 0), most
	case kindRepeat:
		l, m := p.width(n.subs[0], depth)
		least = min(l*n.min, maxRepeat*4)
		switch {
		case m == 0:
			return least, 0
		case m < 0 || n.max < 0:
			return least, -1
		}
		return least, min(m*n.max, maxRepeat*4)
	case kindOptions:
		if len(n.subs) == 0 {
			return 0, 0
		}
		return p.width(n.subs[0], depth)
	case kindCapture, kindAtomic:
		return p.width(n.subs[0], depth)
	case kindCall:
		if depth <= 0 || n.group == 0 {
			return 0, -1
		}
		return p.width(p.groups[n.group-1], depth-1)
	case kindIf, kindIfMatch, kindBackref, kindAbsent:
		return 0, -1
	case kindNewline:
		return 1, 2
	case kindGrapheme:
		return 1, -1
	}
	return 0, 0
}

// longer returns the members of a set that match what they fold to, two letters or three.
func (n *node) longer() []expansion {
	if !n.fold {
		return nil
	}
	var out []expansion
	for _, e := range expansions() {
		if n.set.has(e.letter) {
			out = append(out, e)
		}
	}
	return out
}
