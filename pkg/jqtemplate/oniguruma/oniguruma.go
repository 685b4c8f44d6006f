// Package oniguruma matches text with regular expressions as jq 1.7.1 does: with the patterns of
// Oniguruma 6.9.8 in its syntax PERL_NT, in UTF-8, every plain group capturing.
//
// A pattern is parsed as Oniguruma parses it and translated for dlclark/regexp2, which backtracks in the
// same order. What jq does around the search is here too: flags, global search, which after an empty
// match goes on one byte, not one character, and the shape of matches and captures.
//
// Promises. No pattern and no text makes a function panic. A search ends after half a second or when its
// context does, whatever comes first, the latter looked at between matches; the library watches the
// time with one goroutine that ends by itself a second after the last search. Patterns, texts and numbers of
// matches are bounded. A Regexp is immutable and may be used by many goroutines at once; the package
// itself has no state.
//
// Known differences: recursion (\g<name> inside its group) ends at a depth of 20 or less; absent groups
// with a range, (?~|…), and callouts other than (*FAIL) are refused; \X and \y know the main rules only; Unicode is the
// version of the Go library, 15, not 14; where two letters fold to one ("ss", "ß"), the first way to
// read the pattern is the only one tried; a search that Oniguruma gives up after ten million steps goes
// on here until its time is over.
package oniguruma

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/dlclark/regexp2"
)

// The bounds of a search.
const (
	matchTimeout = 500 * time.Millisecond // of one match; regexp2 looks at a clock of 100 ms
	totalTimeout = time.Second            // of all matches of a search
	maxText      = 1 << 19                // bytes of the text
	smallText    = 1 << 11                // code points; what a larger text needed is not kept
	maxResults   = 1 << 17                // matches and captures of one search together
	maxLonger    = 200                    // how often flag l looks for a longer match
)

// ErrTimeout is in the error of a search that was ended because of its time.
var ErrTimeout = errors.New("the regular expression takes too long")

// ErrTooLarge is in the error of a search that was refused or ended because of its size.
var ErrTooLarge = errors.New("the regular expression has too much to match")

// Regexp is a compiled pattern with its flags.
type Regexp struct {
	groups            int
	names             []string
	keep              int // the group that marks \K, or 0
	notEmpty, longest bool
	// first is for the place where a search begins, where \G matches, and for what is searched from there
	// in one go; past is for the places behind it. They are the same for a pattern without \G.
	first, past *program
}

// program is a translated pattern.
type program struct {
	text     string
	notEmpty bool
	search   deferred
	anchored deferred // matches only where the search begins
}

func newProgram(text string, notEmpty bool) *program {
	p := &program{text: text, notEmpty: notEmpty, search: deferred{text: text}}
	p.anchored.text = p.atLeast(0)
	return p
}

// atLeast is the pattern for matches that begin where the search does and are at least so long.
func (p *program) atLeast(length int) string {
	text := `\G(?:` + p.text + ")"
	if p.notEmpty {
		text += `(?!\G)`
	}
	if length > 0 {
		text += `(?<!\G[\s\S]{0,` + strconv.Itoa(length-1) + "})"
	}
	return text
}

// deferred is a pattern that is compiled when it is first asked for.
type deferred struct {
	text string
	re   atomic.Pointer[regexp2.Regexp]
}

func (l *deferred) get() (*regexp2.Regexp, error) {
	if re := l.re.Load(); re != nil {
		return re, nil
	}
	re, err := compile(l.text)
	if err == nil {
		l.re.Store(re)
	}
	return re, err
}

// forget lets go what was compiled, and with it the stacks that the library keeps in it from search to
// search, as large as the largest needed.
func (p *program) forget() {
	p.search.re.Store(nil)
	p.anchored.re.Store(nil)
}

// Compile reads a pattern and jq's flags, any of "gixsnpl"; g is accepted and means nothing here. The
// error's text is jq's own.
func Compile(pattern, flags string) (*Regexp, error) {
	var o options
	re := &Regexp{}
	for _, f := range flags {
		switch f {
		case 'g', 's': // s is what PERL_NT does anyway.
		case 'i':
			o.ignoreCase = true
		case 'x':
			o.extended = true
		case 'p':
			o.dotAll = true
		case 'n':
			re.notEmpty = true
		case 'l':
			re.longest = true
		default:
			return nil, fmt.Errorf("%s is not a valid modifier string", flags)
		}
	}
	if err := re.compile(pattern, o); err != nil {
		return nil, fmt.Errorf("Regex failure: %w", err) //nolint:staticcheck // The text is jq's.
	}
	return re, nil
}

func (re *Regexp) compile(text string, o options) error {
	p, err := parse(text, o)
	if err != nil {
		return err
	}
	re.groups, re.names = len(p.groups), p.names
	if p.keep {
		re.keep = p.keepGroup()
	}
	translated, err := translate(p, false)
	if err != nil {
		return err
	}
	re.first = newProgram(translated, re.notEmpty)
	re.past = re.first
	if p.beginSearch {
		past, err := translate(p, true)
		if err != nil {
			return err
		}
		re.past = newProgram(past, re.notEmpty)
	}
	_, err = re.first.search.get()
	return err
}

// compile compiles a translated pattern. A fault of the library is the pattern's.
func compile(text string) (re *regexp2.Regexp, err error) {
	defer func() {
		if r := recover(); r != nil {
			re, err = nil, patternError("pattern is not supported")
		}
	}()
	if re, err = regexp2.Compile(text, regexp2.None); err != nil {
		return nil, patternError("pattern is not supported")
	}
	re.MatchTimeout = matchTimeout
	return re, nil
}
