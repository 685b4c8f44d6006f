package oniguruma

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// Match is one match: Offset and Length count code points.
type Match struct {
	Offset, Length int
	String         string
	Captures       []Capture // one for each group, in order
}

// Capture is what a group matched. jq says null for the String of a group that did not take part, and
// for the Name of one without.
type Capture struct {
	Offset, Length int // Offset is -1 if the group did not take part
	String         string
	Name           string
	Named, Matched bool
}

// found is a match in code points of the text.
type found struct {
	begin, end int
	groups     [][2]int // {-1, -1} for a group that did not take part
}

// subject is a text to search.
type subject struct {
	text  string
	runes []rune
	bytes []int32 // where each code point begins; nil if all are ASCII
	until time.Time
	inner []rune // scratch of findInside
	// held is what this search compiled or took over, whoever forgets it meanwhile.
	held map[*deferred]*regexp2.Regexp
}

// late returns an error when the search has to end.
func (s *subject) late(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
	case time.Now().After(s.until):
		return fmt.Errorf("%w: over %v", ErrTimeout, totalTimeout)
	}
	return nil
}

func newSubject(text string) *subject {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "�")
	}
	s := &subject{text: text, runes: []rune(text), until: time.Now().Add(totalTimeout), held: map[*deferred]*regexp2.Regexp{}}
	if len(s.runes) != len(text) {
		s.bytes = make([]int32, 0, len(s.runes)+1)
		for i := range text {
			s.bytes = append(s.bytes, int32(i))
		}
		s.bytes = append(s.bytes, int32(len(text)))
	}
	return s
}

// slice returns the text between two code points.
func (s *subject) slice(begin, end int) string {
	if s.bytes != nil {
		begin, end = int(s.bytes[begin]), int(s.bytes[end])
	}
	return s.text[begin:end]
}

// Match returns the first match in text, with global all of them, in order. The error says that time or
// size was exceeded.
func (re *Regexp) Match(ctx context.Context, text string, global bool) ([]Match, error) {
	var out []Match
	err := re.each(ctx, text, func(s *subject, f found) bool {
		out = append(out, re.match(s, f))
		return global
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Test reports whether text has a match.
func (re *Regexp) Test(ctx context.Context, text string) (bool, error) {
	matched := false
	err := re.each(ctx, text, func(*subject, found) bool {
		matched = true
		return false
	})
	return matched, err
}

// each calls yield for each match, while it returns true. The search goes on where a match ended, after
// an empty one a byte later, which may be inside a character.
func (re *Regexp) each(ctx context.Context, text string, yield func(*subject, found) bool) error {
	if len(text) > maxText {
		return fmt.Errorf("%w: a text of %d bytes", ErrTooLarge, len(text))
	}
	s := newSubject(text)
	if len(s.runes) > smallText {
		defer re.first.forget()
		defer re.past.forget()
	}
	// start is a code point; inside is how many bytes of the one before it are still to be searched.
	for start, inside, results := 0, 0, 0; start <= len(s.runes); {
		f, left, ok, err := re.find(ctx, s, start, inside)
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		if results += 1 + re.groups; results > maxResults {
			return fmt.Errorf("%w: more than %d matches and captures", ErrTooLarge, maxResults)
		}
		if !yield(s, f) {
			return nil
		}
		switch {
		case f.begin != f.end:
			start, inside = f.end, 0
		case left > 0:
			start, inside = f.end, left-1
		case f.end == len(s.runes):
			return nil
		default:
			start, inside = f.end+1, utf8.RuneLen(s.runes[f.end])-1
		}
	}
	return nil
}

// find returns the next match from start on. left is how many bytes of the character before f.begin
// follow the match, if it is inside of that character.
func (re *Regexp) find(ctx context.Context, s *subject, start, inside int) (f found, left int, ok bool, err error) {
	program := re.first
	for ; inside > 0; inside-- {
		if err := s.late(ctx); err != nil {
			return found{}, 0, false, err
		}
		if f, ok, err = re.findInside(program, s, start, inside); ok || err != nil {
			return f, inside, ok, err
		}
		program = re.past
	}
	if re.longest {
		f, ok, err = re.findLongest(ctx, program, s, start)
	} else {
		f, ok, err = re.findFirst(ctx, program, s, start)
	}
	return f, 0, ok, err
}

// findFirst returns the first match.
func (re *Regexp) findFirst(ctx context.Context, program *program, s *subject, start int) (found, bool, error) {
	for ; start <= len(s.runes); start++ {
		if err := s.late(ctx); err != nil {
			return found{}, false, err
		}
		m, err := s.run(&program.search, s.runes, start)
		if m == nil || err != nil {
			return found{}, false, err
		}
		if !re.notEmpty || m.Length > 0 {
			return re.found(m), true, nil
		}
		// An empty match does not count, but another way to match may begin at its place.
		if m.Index > start {
			program, start = re.past, m.Index
		}
		m, err = s.run(&program.anchored, s.runes, start)
		if m != nil || err != nil {
			return re.found(m), m != nil, err
		}
		program = re.past
	}
	return found{}, false, nil
}

// context window of findInside, in code points on each side; shorter texts are seen whole.
const window = 2048

// findInside looks for a match that begins inside the character before start, whose last bytes, inside
// of them, look to Oniguruma like characters of their own: U+0080 to U+00BF.
func (re *Regexp) findInside(program *program, s *subject, start, inside int) (found, bool, error) {
	from, to := max(0, start-window), min(len(s.runes), start+window)
	encoded := utf8.AppendRune(nil, s.runes[start-1])
	runes := append(s.inner[:0], s.runes[from:start]...)
	for _, b := range encoded[len(encoded)-inside:] {
		runes = append(runes, rune(b))
	}
	runes = append(runes, s.runes[start:to]...)
	s.inner = runes
	m, err := s.run(&program.anchored, runes, start-from)
	if m == nil || err != nil {
		return found{}, false, err
	}
	f := re.found(m)
	// Back to the places of the text: what lies inside the character is at its end.
	place := func(i int) int {
		switch i += from; {
		case i <= start:
			return i
		case i <= start+inside:
			return start
		}
		return i - inside
	}
	f.begin, f.end = place(f.begin), place(f.end)
	for i, g := range f.groups {
		if g[0] >= 0 {
			f.groups[i] = [2]int{place(g[0]), place(g[1])}
		}
	}
	return f, true, nil
}

// findLongest returns what Oniguruma calls the longest match: at each place from start on the first way to
// match that is longer, in bytes, than the best before.
func (re *Regexp) findLongest(ctx context.Context, program *program, s *subject, start int) (best found, ok bool, err error) {
	compiled, bytes := map[int]*deferred{}, -1
	for ; start <= len(s.runes); start++ {
		if err := s.late(ctx); err != nil {
			return found{}, false, err
		}
		m, err := s.run(&program.search, s.runes, start)
		if m == nil || err != nil {
			return best, ok && err == nil, err
		}
		if m.Index > start {
			program, start = re.past, m.Index
		}
		// The least length in code points that is longer in bytes.
		least := s.after(s.offset(start)+bytes+1) - start
		if start+least > len(s.runes) {
			continue
		}
		longer := compiled[least]
		if longer == nil {
			if len(compiled) > maxLonger {
				return found{}, false, fmt.Errorf("%w: flag l", ErrTimeout)
			}
			longer = &deferred{text: program.atLeast(least)}
			compiled[least] = longer
		}
		if m, err = s.run(longer, s.runes, start); err != nil {
			return found{}, false, err
		}
		if m != nil {
			best, ok, bytes = re.found(m), true, s.offset(m.Index+m.Length)-s.offset(m.Index)
		}
		if program != re.past {
			program = re.past
			clear(compiled)
		}
	}
	return best, ok, nil
}

// offset returns where a code point begins, in bytes.
func (s *subject) offset(i int) int {
	if s.bytes == nil {
		return i
	}
	return int(s.bytes[i])
}

// after returns the first code point that begins at a byte or behind it, or one more than there are.
func (s *subject) after(offset int) int {
	if s.bytes == nil {
		return min(offset, len(s.runes)+1)
	}
	i, _ := slices.BinarySearch(s.bytes, int32(offset))
	return i
}

// run searches once. A fault of the library is the end of the search.
func (s *subject) run(pattern *deferred, text []rune, start int) (m *regexp2.Match, err error) {
	defer func() {
		if r := recover(); r != nil {
			m, err = nil, fmt.Errorf("%w: the search broke", ErrTooLarge)
		}
	}()
	re := s.held[pattern]
	if re == nil {
		if re, err = pattern.get(); err != nil {
			return nil, err
		}
		s.held[pattern] = re
	}
	if m, err = re.FindRunesMatchStartingAt(text, start); err != nil {
		return nil, fmt.Errorf("%w: over %v", ErrTimeout, matchTimeout)
	}
	return m, nil
}

// found reads the library's match.
func (re *Regexp) found(m *regexp2.Match) found {
	if m == nil {
		return found{}
	}
	f := found{begin: m.Index, end: m.Index + m.Length, groups: make([][2]int, re.groups)}
	place := func(number int) [2]int {
		if g := m.GroupByNumber(number); g != nil && len(g.Captures) > 0 {
			return [2]int{g.Index, g.Index + g.Length}
		}
		return [2]int{-1, -1}
	}
	for i := range f.groups {
		f.groups[i] = place(i + 1)
	}
	if re.keep > 0 {
		if at := place(re.keep); at[0] >= 0 {
			f.begin = min(at[0], f.end)
		}
	}
	return f
}

// match is what jq says about a match. In an empty match every group is empty and lies there.
func (re *Regexp) match(s *subject, f found) Match {
	m := Match{Offset: f.begin, Length: f.end - f.begin, String: s.slice(f.begin, f.end)}
	if re.groups > 0 {
		m.Captures = make([]Capture, re.groups)
	}
	for i, g := range f.groups {
		c := Capture{Offset: -1, Name: re.names[i], Named: re.names[i] != ""}
		switch {
		case f.begin == f.end:
			c.Offset, c.Matched = f.begin, true
		case g[0] >= 0:
			c.Offset, c.Length, c.Matched = g[0], g[1]-g[0], true
			c.String = s.slice(g[0], g[1])
		}
		m.Captures[i] = c
	}
	return m
}
