package oniguruma

import (
	"slices"
	"unicode"
)

// span is a range of code points, both ends included.
type span struct{ lo, hi rune }

// runeSet is a set of code points: spans in ascending order that do not touch. A runeSet is never
// changed after it was built.
type runeSet []span

// newSet returns the union of spans, in any order.
func newSet(spans ...span) runeSet {
	sorted := slices.Clone(spans)
	slices.SortFunc(sorted, func(a, b span) int { return int(a.lo - b.lo) })
	out := make(runeSet, 0, len(sorted))
	for _, s := range sorted {
		switch last := len(out) - 1; {
		case s.lo > s.hi:
		case last >= 0 && s.lo <= out[last].hi+1:
			out[last].hi = max(out[last].hi, s.hi)
		default:
			out = append(out, s)
		}
	}
	return out
}

// tableSet returns the code points of Unicode tables.
func tableSet(tables ...*unicode.RangeTable) runeSet {
	var spans []span
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			spans = append(spans, span{lo, hi})
			return
		}
		for r := lo; r <= hi; r += stride {
			spans = append(spans, span{r, r})
		}
	}
	for _, t := range tables {
		for _, r := range t.R16 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range t.R32 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
	}
	return newSet(spans...)
}

func (s runeSet) union(others ...runeSet) runeSet {
	all := slices.Clone(s)
	for _, o := range others {
		all = append(all, o...)
	}
	return newSet(all...)
}

func (s runeSet) complement() runeSet {
	out := make(runeSet, 0, len(s)+1)
	next := rune(0)
	for _, sp := range s {
		if sp.lo > next {
			out = append(out, span{next, sp.lo - 1})
		}
		next = sp.hi + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, span{next, unicode.MaxRune})
	}
	return out
}

func (s runeSet) intersect(o runeSet) runeSet {
	var out runeSet
	for i, j := 0, 0; i < len(s) && j < len(o); {
		if lo, hi := max(s[i].lo, o[j].lo), min(s[i].hi, o[j].hi); lo <= hi {
			out = append(out, span{lo, hi})
		}
		if s[i].hi < o[j].hi {
			i++
		} else {
			j++
		}
	}
	return out
}

func (s runeSet) minus(o runeSet) runeSet { return s.intersect(o.complement()) }

func (s runeSet) has(r rune) bool {
	_, found := slices.BinarySearchFunc(s, r, func(sp span, r rune) int {
		switch {
		case sp.hi < r:
			return -1
		case sp.lo > r:
			return 1
		}
		return 0
	})
	return found
}

// single returns the only member of a set of one.
func (s runeSet) single() (rune, bool) {
	if len(s) == 1 && s[0].lo == s[0].hi {
		return s[0].lo, true
	}
	return 0, false
}

// folded returns the set with every letter's other cases.
func (s runeSet) folded() runeSet {
	spans := slices.Clone(s)
	for _, c := range casedRunes() {
		if !s.has(c) {
			continue
		}
		for r := unicode.SimpleFold(c); r != c; r = unicode.SimpleFold(r) {
			spans = append(spans, span{r, r})
		}
	}
	return newSet(spans...)
}
