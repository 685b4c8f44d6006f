package oniguruma

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// maxTranslated bounds the translation of a pattern, in bytes: calls are copied in.
const maxTranslated = 128 << 10

// recursions are how often a group may be entered inside itself: the deepest of them whose copies fit.
// Deeper recursion does not match.
var recursions = [...]int{20, 10, 5, 3, 2}

// translator writes a pattern for regexp2, without any of its options: case and line ends are spelled
// out, so that only Oniguruma's meaning counts.
type translator struct {
	pattern *pattern
	out     strings.Builder
	depth   int              // how often a group may be entered inside itself
	open    []int            // the groups entered by calls
	texts   map[*span]string // of sets that were written, by their first span
	past    bool
	behind  bool // inside of a look-behind, where a letter stands for one letter only
	full    bool
	cut     bool // a call was left out
}

// translate returns the pattern for regexp2. With past the search has gone on from where it began, so
// that \G does not match any more.
func translate(p *pattern, past bool) (string, error) {
	for _, depth := range recursions {
		t := translator{pattern: p, depth: depth, past: past, texts: map[*span]string{}}
		t.node(p.root)
		if !t.full {
			return t.out.String(), nil
		}
		if !t.cut {
			break
		}
	}
	return "", errTooLarge
}

// keepGroup is the number of the group that marks \K.
func (p *pattern) keepGroup() int { return len(p.groups) + 1 }

func (t *translator) write(parts ...string) {
	for _, s := range parts {
		t.out.WriteString(s)
	}
	t.full = t.full || t.out.Len() > maxTranslated
}

// wrap writes n between an opening text and ')'.
func (t *translator) wrap(open string, n *node) {
	t.write(open)
	t.node(n)
	t.write(")")
}

func (t *translator) node(n *node) {
	if t.full {
		return
	}
	switch n.kind {
	case kindLiteral:
		t.letters([]*node{n})
	case kindSet:
		t.set(n)
	case kindSequence:
		t.sequence(n.subs)
	case kindChoice:
		t.write("(?:")
		for i, s := range n.subs {
			if i > 0 {
				t.write("|")
			}
			t.node(s)
		}
		t.write(")")
	case kindRepeat:
		t.repeat(n)
	case kindCapture:
		t.wrap("(?<"+strconv.Itoa(n.group)+">", n.subs[0])
	case kindOptions:
		if len(n.subs) > 0 {
			t.wrap("(?:", n.subs[0])
		}
	case kindAtomic:
		t.wrap("(?>", n.subs[0])
	case kindLook:
		open := "(?"
		if n.behind {
			open += "<"
		}
		if n.negated {
			open += "!"
		} else {
			open += "="
		}
		saved := t.behind
		t.behind = t.behind || n.behind
		t.wrap(open, n.subs[0])
		t.behind = saved
	case kindBackref:
		t.backref(n)
	case kindCall:
		t.call(n)
	case kindIf:
		t.ifSet(n, n.refs)
	case kindIfMatch:
		t.wrap("(?:(?>", n.subs[0])
		t.node(n.subs[1])
		t.wrap("|(?!", n.subs[0])
		t.node(n.subs[2])
		t.write(")")
	case kindAbsent:
		t.wrap("(?:(?!", n.subs[0])
		t.write(`[\s\S])*`)
	case kindAnchor:
		if n.anchor == beginSearch && t.past {
			n = &node{kind: kindAnchor, anchor: never}
		}
		t.write(anchorText(n.anchor))
	case kindKeep:
		t.write("(?<", strconv.Itoa(t.pattern.keepGroup()), ">)")
	case kindNewline:
		t.write(`(?>\r\n|[\n-\r\u0085\u2028\u2029])`)
	case kindGrapheme:
		t.write(grapheme)
	}
}

// sequence writes nodes one after another, letters that ignore case together: "ss" is "ß" too.
func (t *translator) sequence(subs []*node) {
	for i := 0; i < len(subs) && !t.full; {
		if subs[i].kind != kindLiteral || !subs[i].fold {
			t.node(subs[i])
			i++
			continue
		}
		end := i
		for end < len(subs) && subs[end].kind == kindLiteral && subs[end].fold {
			end++
		}
		t.letters(subs[i:end])
		i = end
	}
}

// letters writes characters of text.
func (t *translator) letters(subs []*node) {
	if !subs[0].fold {
		for _, s := range subs {
			t.write(quote(s.r))
		}
		return
	}
	text := make([]rune, len(subs))
	for i, s := range subs {
		text[i] = s.r
	}
	for i := 0; i < len(text); {
		if t.behind {
			t.cases(text[i])
			i++
			continue
		}
		if whole, length := lettersFor(text[i:]); length > 1 {
			t.write("(?:")
			for _, r := range text[i : i+length] {
				t.cases(r)
			}
			for _, r := range whole {
				t.write("|", quote(r))
			}
			t.write(")")
			i += length
			continue
		}
		if parts := expand(text[i]); parts != nil {
			t.write("(?:")
			t.cases(text[i])
			t.write("|")
			for _, r := range parts {
				t.cases(r)
			}
			same, _ := lettersFor(parts)
			for _, r := range same {
				t.write("|", quote(r))
			}
			t.write(")")
		} else {
			t.cases(text[i])
		}
		i++
	}
}

// cases writes a letter of either case.
func (t *translator) cases(r rune) {
	all := cases(r)
	if len(all) == 1 {
		t.write(quote(r))
		return
	}
	t.write("[")
	for _, o := range all {
		t.write(quote(o))
	}
	t.write("]")
}

// set writes one of a set's members; where case is ignored, also what a member folds to.
func (t *translator) set(n *node) {
	longer := n.longer()
	if len(longer) == 0 {
		t.write(t.setText(n.set))
		return
	}
	t.write("(?:", t.setText(n.set))
	for _, e := range longer {
		t.write("|")
		for _, r := range e.folded {
			t.cases(r)
		}
	}
	t.write(")")
}

// setText is setText, once for a set.
func (t *translator) setText(s runeSet) string {
	if len(s) == 0 {
		return setText(s)
	}
	text, ok := t.texts[&s[0]]
	if !ok {
		text = setText(s)
		t.texts[&s[0]] = text
	}
	return text
}

func (t *translator) repeat(n *node) {
	if n.mode == possessive {
		t.write("(?>")
	}
	t.wrap("(?:", n.subs[0])
	switch {
	case n.min == 0 && n.max < 0:
		t.write("*")
	case n.min == 1 && n.max < 0:
		t.write("+")
	case n.min == 0 && n.max == 1:
		t.write("?")
	case n.max < 0:
		t.write("{", strconv.Itoa(n.min), ",}")
	default:
		t.write("{", strconv.Itoa(n.min), ",", strconv.Itoa(n.max), "}")
	}
	switch n.mode {
	case lazy:
		t.write("?")
	case possessive:
		t.write(")")
	}
}

// backref writes the text of a group again; of groups with the same name that of the last that is set.
func (t *translator) backref(n *node) {
	open := "(?:"
	if n.fold {
		open = "(?i:"
	}
	t.write(open)
	for i, g := range slices.Backward(n.refs) {
		t.write(`\k<`, strconv.Itoa(g), ">")
		if i > 0 {
			t.write("|")
		}
	}
	t.write(")")
}

// call writes a copy of the group that is called.
func (t *translator) call(n *node) {
	inside := 0
	for _, g := range t.open {
		if g == n.group {
			inside++
		}
	}
	if inside >= t.depth || len(t.open) > maxNesting/2 {
		t.cut = true
		t.write("(?!)")
		return
	}
	t.open = append(t.open, n.group)
	if n.group == 0 {
		t.wrap("(?:", t.pattern.root)
	} else {
		t.node(t.pattern.groups[n.group-1])
	}
	t.open = t.open[:len(t.open)-1]
}

// ifSet writes the first of n's parts if a group of refs is set, else the second.
func (t *translator) ifSet(n *node, refs []int) {
	t.write("(?(", strconv.Itoa(refs[0]), ")")
	t.wrap("(?:", n.subs[0])
	t.write("|")
	if len(refs) > 1 {
		t.ifSet(n, refs[1:])
	} else {
		t.wrap("(?:", n.subs[1])
	}
	t.write(")")
}

func anchorText(a anchor) string {
	switch a {
	case beginText:
		return `\A`
	case endText:
		return `\z`
	case semiEndText:
		return `(?=\n?\z)`
	case beginLine:
		return `(?:\A|(?<=\n)(?!\z))`
	case endLine:
		return `(?=\n|\z)`
	case beginSearch:
		return `\G`
	case wordBoundary:
		return boundary()
	case notWordBoundary:
		return "(?!" + boundary() + ")"
	case graphemeBoundary:
		return graphemeEdge
	case notGraphemeBoundary:
		return "(?!" + graphemeEdge + ")"
	}
	return "(?!)"
}

// boundary is \b for Oniguruma's \w.
var boundary = sync.OnceValue(func() string {
	w := setText(classes().word)
	return "(?:(?<=" + w + ")(?!" + w + ")|(?<!" + w + ")(?=" + w + "))"
})

// grapheme is \X, and graphemeEdge \y, by the main rules of UAX #29: line ends, Hangul syllables, flags,
// joined emoji, marks.
const (
	marks    = `[\p{Mn}\p{Me}\p{Mc}\u200c\u200d🏻-🏿]`
	controls = `[\p{Cc}\u2028\u2029\u200b]`
	picture  = `[\u00a9\u00ae\u203c-\u3299🀀-🫿]`
	grapheme = `(?>\r\n|` + controls +
		`|(?:[🇦-🇿]{2}` +
		`|[\u1100-\u115f\ua960-\ua97c]*(?:[\uac00-\ud7a3]|[\u1160-\u11a7\ud7b0-\ud7c6])[\u1160-\u11a7\ud7b0-\ud7c6]*[\u11a8-\u11ff\ud7cb-\ud7fb]*` +
		`|[\u1100-\u115f\ua960-\ua97c]+` +
		`|` + picture + `(?:[\p{Mn}\p{Me}🏻-🏿]*\u200d` + picture + `)*` +
		`|[\s\S])` + marks + `*)`
	graphemeEdge = `(?:\A|\z|(?<=` + controls + `)(?<!\r(?=\n))|(?<!` + controls + `)(?!` + marks + `))`
)

// quote writes a character for regexp2, inside or outside of a class.
func quote(r rune) string {
	switch {
	case r < ' ' || r == 0x7f:
		return `\x` + string("0123456789abcdef"[r>>4]) + string("0123456789abcdef"[r&15])
	case strings.ContainsRune(`\*+?|{}[]()^$.#-`, r): // Not more: \' and \< begin a reference there.
		return `\` + string(r)
	}
	return string(r)
}

// shorthand is a set that regexp2 can be given by name: it searches tables faster than spans.
type shorthand struct {
	set  runeSet
	text string
}

var shorthands = sync.OnceValue(func() []shorthand {
	return []shorthand{
		{classes().word, `\p{L}\p{M}\p{N}\p{Pc}`},
		{tableSet(unicode.L), `\p{L}`},
		{tableSet(unicode.Lu), `\p{Lu}`},
		{tableSet(unicode.Ll), `\p{Ll}`},
		{tableSet(unicode.M), `\p{M}`},
		{tableSet(unicode.Nd), `\p{Nd}`},
		{tableSet(unicode.P), `\p{P}`},
		{tableSet(unicode.S), `\p{S}`},
	}
})

// setText writes a class with the members of s.
func setText(s runeSet) string {
	if len(s) > 0 && len(s) <= 16 && s[len(s)-1].hi < unicode.MaxRune {
		if text := spansText(s.minus(surrogates)); text != "" {
			return "[" + text + "]"
		}
	}
	complement := s.complement()
	switch {
	case len(s) == 0:
		return "(?!)"
	case len(complement) == 0:
		return `[\s\S]`
	}
	direct, inverse := members(s), members(complement)
	if len(inverse) < len(direct) {
		return "[^" + inverse + "]"
	}
	return "[" + direct + "]"
}

// members writes the members of s, shorthands first.
func members(s runeSet) string {
	s = s.minus(surrogates)
	names := ""
	for _, h := range shorthands() {
		if len(s) < len(h.set)/2 || len(h.set.minus(s)) > 0 {
			continue
		}
		if rest := s.minus(h.set); len(rest) < len(s) {
			names += h.text
			s = rest
		}
	}
	if text := spansText(s) + names; text != "" {
		return text
	}
	return noRune
}

// surrogates are no characters of a text; noRune is a class of none.
var surrogates = newSet(span{0xd800, 0xdfff})

const noRune = `\ud800`

func spansText(s runeSet) string {
	var b strings.Builder
	for _, sp := range s {
		b.WriteString(quote(sp.lo))
		if sp.hi > sp.lo {
			b.WriteString("-")
			b.WriteString(quote(sp.hi))
		}
	}
	return b.String()
}
