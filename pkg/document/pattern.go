package document

import (
	"time"

	"github.com/dlclark/regexp2"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	// matchTimeout bounds one match of a pattern. regexp2 looks at a coarse clock, so that a match may
	// take some 100 ms more.
	matchTimeout = 50 * time.Millisecond
	// matchBudget bounds all matches of one validation together: a list of a thousand strings
	// must not take a thousand timeouts.
	matchBudget = time.Second
)

// budget is the time that the patterns of one validation have left. It belongs to one validation at a
// time.
type budget struct {
	left time.Duration
	// spent holds the patterns that ran out of time.
	spent map[string]bool
}

// reset makes the budget ready for the next validation.
func (b *budget) reset() { b.left, b.spent = matchBudget, nil }

// compile is a jsonschema.RegexpEngine. A nil budget sets no limit.
func (b *budget) compile(text string) (jsonschema.Regexp, error) {
	re, err := compilePattern(text)
	if err != nil {
		return nil, err
	}
	if b != nil {
		re.MatchTimeout = matchTimeout
	}
	return &pattern{re: re, budget: b}, nil
}

// compilePattern compiles a pattern as JavaScript does in its Unicode mode (ECMA-262, section 22.2).
func compilePattern(text string) (*regexp2.Regexp, error) {
	return regexp2.Compile(text, regexp2.ECMAScript|regexp2.Unicode)
}

// pattern is one compiled regular expression that takes its time from a budget.
type pattern struct {
	re     *regexp2.Regexp
	budget *budget
}

func (p *pattern) String() string { return p.re.String() }

// MatchString reports whether s matches; it does not when the time runs out.
func (p *pattern) MatchString(s string) bool {
	b := p.budget
	if b == nil {
		ok, err := p.re.MatchString(s)
		return ok && err == nil
	}
	if b.left > 0 {
		start := time.Now()
		ok, err := p.re.MatchString(s)
		b.left -= time.Since(start)
		if err == nil {
			return ok
		}
	}
	if b.spent == nil {
		b.spent = map[string]bool{}
	}
	b.spent[p.re.String()] = true
	return false
}
