package oniguruma

import (
	_ "embed" // the data
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// charClass holds the sets behind \w, \s, \d and the POSIX brackets, all of them Unicode's.
type charClass struct {
	word, space, digit, alphabetic runeSet
	named                          map[string]runeSet // POSIX brackets, by name
	escapes                        map[rune]runeSet   // by letter; -'w' and -'W' inside of a class
}

var unassigned = sync.OnceValue(func() runeSet {
	return tableSet(unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.Cc, unicode.Cf,
		unicode.Cs, unicode.Co).complement()
})

// classes are the character classes. \w knows every kind of number, [[:word:]] only decimal digits:
// Oniguruma 6.9.8 does so.
var classes = sync.OnceValue(func() charClass {
	alphabetic := tableSet(unicode.L, unicode.Nl, unicode.Other_Alphabetic)
	space := tableSet(unicode.White_Space)
	digit := tableSet(unicode.Nd)
	ascii := newSet(span{0, 0x7f})
	cntrl := tableSet(unicode.Cc)
	graph := space.union(cntrl, unassigned(), tableSet(unicode.Cs)).complement()
	c := charClass{
		word:       tableSet(unicode.L, unicode.M, unicode.N, unicode.Pc),
		space:      space,
		digit:      digit,
		alphabetic: alphabetic,
		named: map[string]runeSet{
			"alnum":  alphabetic.union(digit),
			"alpha":  alphabetic,
			"ascii":  ascii,
			"blank":  tableSet(unicode.Zs).union(newSet(span{'\t', '\t'})),
			"cntrl":  cntrl,
			"digit":  digit,
			"graph":  graph,
			"lower":  tableSet(unicode.Ll, unicode.Other_Lowercase),
			"print":  graph.union(tableSet(unicode.Zs)),
			"punct":  tableSet(unicode.P).union(newSet(span{'$', '$'}, span{'+', '+'}, span{'<', '>'}, span{'^', '^'}, span{'`', '`'}, span{'|', '|'}, span{'~', '~'})),
			"space":  space,
			"upper":  tableSet(unicode.Lu, unicode.Other_Uppercase),
			"word":   alphabetic.union(tableSet(unicode.M, unicode.Nd, unicode.Pc)),
			"xdigit": newSet(span{'0', '9'}, span{'A', 'F'}, span{'a', 'f'}),
		},
	}
	c.escapes = map[rune]runeSet{
		'w': c.word, 'W': c.word.complement(), -'w': c.named["word"], -'W': c.named["word"].complement(),
		'd': c.digit, 'D': c.digit.complement(), 's': c.space, 'S': c.space.complement(),
	}
	return c
})

// plainName is a property's name as Oniguruma compares it: lower case, without space, '-' and '_'.
func plainName(name string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == '_' {
			return -1
		}
		return r
	}, name))
}

// tables are Unicode's own categories, scripts and properties, by plain name.
var tables = sync.OnceValue(func() map[string]*unicode.RangeTable {
	out := map[string]*unicode.RangeTable{}
	for _, m := range []map[string]*unicode.RangeTable{unicode.Properties, unicode.Scripts, unicode.Categories} {
		for name, t := range m {
			out[plainName(name)] = t
		}
	}
	for alias, name := range unicode.CategoryAliases {
		out[plainName(alias)] = unicode.Categories[name]
	}
	for alias, name := range extra().scripts {
		if t := out[name]; t != nil {
			out[alias] = t
		}
	}
	return out
})

// property returns the set of a \p{name}: a POSIX class, a general category, a script, a block with the
// prefix In or one of the properties below. Oniguruma knows more properties, of which nobody asks in a
// template; they are reported as unknown.
func property(name string) (runeSet, bool) {
	name = plainName(name)
	if s, ok := classes().named[name]; ok && name != "punct" {
		return s, true
	}
	switch name {
	case "any":
		return newSet(span{0, unicode.MaxRune}), true
	case "assigned":
		return unassigned().complement(), true
	case "cn", "unassigned", "zzzz", "unknown":
		return unassigned(), true
	case "c", "other":
		return unassigned().union(tableSet(unicode.C)), true
	case "lc", "casedletter":
		return tableSet(unicode.Lu, unicode.Ll, unicode.Lt), true
	case "punct":
		return classes().named["punct"], true
	case "alphabetic":
		return classes().alphabetic, true
	case "lowercase":
		return classes().named["lower"], true
	case "uppercase":
		return classes().named["upper"], true
	case "cased":
		return tableSet(unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Lowercase, unicode.Other_Uppercase), true
	case "math":
		return tableSet(unicode.Sm, unicode.Other_Math), true
	case "idstart", "ids", "xidstart", "xids":
		return idStart(), true
	case "idcontinue", "idc", "xidcontinue", "xidc":
		return idStart().union(tableSet(unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc, unicode.Other_ID_Continue)), true
	}
	if s, ok := extra().sets[name]; ok {
		return s, true
	}
	if t := tables()[name]; t != nil {
		return tableSet(t), true
	}
	return nil, false
}

func idStart() runeSet {
	return tableSet(unicode.L, unicode.Nl, unicode.Other_ID_Start).
		minus(tableSet(unicode.Pattern_Syntax, unicode.Pattern_White_Space))
}

//go:embed unicode.txt
var unicodeText string

// extraData is unicodeText, read: script names by their alias, and sets, blocks among them.
type extraData struct {
	scripts map[string]string
	sets    map[string]runeSet
}

var extra = sync.OnceValue(func() extraData {
	out := extraData{scripts: map[string]string{}, sets: map[string]runeSet{}}
	number := func(text string) rune {
		n, _ := strconv.ParseInt(text, 16, 32)
		return rune(n)
	}
	for line := range strings.Lines(unicodeText) {
		words := strings.Fields(line)
		switch {
		case len(words) == 3 && words[0] == "script":
			out.scripts[words[1]] = words[2]
		case len(words) == 4 && words[0] == "block":
			out.sets["in"+words[1]] = newSet(span{number(words[2]), number(words[3])})
		case len(words) > 2 && words[0] == "set":
			var spans []span
			for _, word := range words[2:] {
				lo, hi, _ := strings.Cut(word, "-")
				spans = append(spans, span{number(lo), number(hi)})
			}
			out.sets[words[1]] = newSet(spans...)
		}
	}
	return out
})
