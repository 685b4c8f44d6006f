package jq

import (
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"longshore/pkg/jqtemplate/oniguruma"
	"longshore/pkg/jqtemplate/value"
)

// regexDefinitions is empty: jq's definitions of these builtins are followed in Go.
const regexDefinitions = ``

func regexBuiltins() []native {
	return []native{
		{name: "test", args: 1, make: testCode},
		{name: "test", args: 2, make: testCode},
		{name: "match", args: 1, make: matches(func(m *oniguruma.Match) any { return matchObject(m) })},
		{name: "match", args: 2, make: matches(func(m *oniguruma.Match) any { return matchObject(m) })},
		{name: "capture", args: 1, make: matches(func(m *oniguruma.Match) any { return captureObject(m) })},
		{name: "capture", args: 2, make: matches(func(m *oniguruma.Match) any { return captureObject(m) })},
		{name: "scan", args: 1, make: scan},
		{name: "scan", args: 2, make: scan},
		{name: "split", args: 2, make: splitCode(func(x *exec, parts []any, k func(any) error) error { return k(parts) })},
		{name: "splits", args: 1, make: splitCode(eachPart)},
		{name: "splits", args: 2, make: splitCode(eachPart)},
		{name: "sub", args: 2, make: substitution("")},
		{name: "sub", args: 3, make: substitution("")},
		{name: "gsub", args: 2, make: substitution("g")},
		{name: "gsub", args: 3, make: substitution("g")},
	}
}

func eachPart(x *exec, parts []any, k func(any) error) error {
	for _, part := range parts {
		if err := x.step(); err != nil {
			return err
		}
		if err := k(part); err != nil {
			return err
		}
	}
	return nil
}

// site is a call of a regular expression's builtin in a program. It keeps the pattern that was compiled
// last, so that a constant one is compiled once.
type site struct {
	last atomic.Pointer[compiledRegexp]
}

type compiledRegexp struct {
	pattern, flags string
	re             *oniguruma.Regexp
	err            error
}

func (s *site) compile(pattern, flags string) (*oniguruma.Regexp, error) {
	c := s.last.Load()
	if c == nil || c.pattern != pattern || c.flags != flags {
		c = &compiledRegexp{pattern: pattern, flags: flags}
		if c.re, c.err = oniguruma.Compile(pattern, flags); c.err != nil {
			c.err = &Error{c.err.Error()}
		}
		s.last.Store(c)
	}
	return c.re, c.err
}

// prepare checks the arguments as f_match of jq's source does.
func (s *site) prepare(x *exec, v, pattern, flags any) (text string, re *oniguruma.Regexp, global bool, err error) {
	text, ok := v.(string)
	if !ok {
		return "", nil, false, wrongType(v, "cannot be matched, as it is not a string")
	}
	p, ok := pattern.(string)
	if !ok {
		return "", nil, false, wrongType(pattern, "cannot be matched, as it is not a string")
	}
	f, ok := flags.(string)
	if !ok && flags != nil {
		return "", nil, false, wrongType(flags, "is not a string")
	}
	if err := x.charge(4 * len(text)); err != nil { // The search makes a copy in code points.
		return "", nil, false, err
	}
	re, err = s.compile(p, f)
	return text, re, strings.Contains(f, "g"), err
}

// match returns the matches. Running out of time or room is no *Error: nothing catches it.
func (s *site) match(x *exec, v, pattern, flags any) (string, []oniguruma.Match, error) {
	text, re, global, err := s.prepare(x, v, pattern, flags)
	if err != nil {
		return "", nil, err
	}
	found, err := re.Match(x.ctx, text, global)
	if err != nil {
		return "", nil, err
	}
	n := 0
	for i := range found {
		n += 80 + 80*len(found[i].Captures)
	}
	return text, found, x.charge(n)
}

// patternAndFlags reads the one argument of a builtin that may be given both.
func patternAndFlags(args []any) (pattern, flags any, err error) {
	if len(args) > 1 {
		return args[0], args[1], nil
	}
	switch v := args[0].(type) {
	case string:
		return v, nil, nil
	case []any:
		switch {
		case len(v) > 1:
			return v[0], v[1], nil
		case len(v) == 1:
			return v[0], nil, nil
		}
	}
	return nil, nil, failf("%s not a string or array", typeName(args[0]))
}

// product calls f with each combination of the outputs of args, the last varying slowest, or with
// inOrder the first.
func product(x *exec, e *env, v any, args []*code, inOrder bool, f func(values []any) error) error {
	values := make([]any, len(args))
	var from func(i int) error
	from = func(i int) error {
		if i == len(args) {
			return f(values)
		}
		at := i
		if !inOrder {
			at = len(args) - 1 - i
		}
		return args[at].values(x, e, v, func(v any) error {
			values[at] = v
			return from(i + 1)
		})
	}
	return from(0)
}

func testCode(args []*code) *code {
	s := &site{}
	return cartesian(func(x *exec, v any, args []any) (any, error) {
		pattern, flags, err := patternAndFlags(args)
		if err != nil {
			return nil, err
		}
		text, re, _, err := s.prepare(x, v, pattern, flags)
		if err != nil {
			return nil, err
		}
		return re.Test(x.ctx, text)
	}, args)
}

// matches yields what of makes of each match.
func matches(of func(*oniguruma.Match) any) func(args []*code) *code {
	return func(args []*code) *code {
		s := &site{}
		return many(func(x *exec, e *env, in pv, k cont) error {
			return product(x, e, in.v, args, false, func(values []any) error {
				pattern, flags, err := patternAndFlags(values)
				if err != nil {
					return err
				}
				_, found, err := s.match(x, in.v, pattern, flags)
				if err != nil {
					return err
				}
				for i := range found {
					if err := x.charge(400 + 400*len(found[i].Captures)); err != nil {
						return err
					}
					if err := k(pv{of(&found[i]), in.p, in.at}); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

func matchObject(m *oniguruma.Match) *value.Object {
	captures := make([]any, len(m.Captures))
	for i, c := range m.Captures {
		o := &value.Object{}
		o.Set("offset", float64(c.Offset))
		if c.Length > 0 {
			o.Set("length", float64(c.Length))
			o.Set("string", c.String)
		} else {
			o.Set("string", captured(c))
			o.Set("length", 0.0)
		}
		if c.Named {
			o.Set("name", c.Name)
		} else {
			o.Set("name", nil)
		}
		captures[i] = o
	}
	o := &value.Object{}
	o.Set("offset", float64(m.Offset))
	o.Set("length", float64(m.Length))
	o.Set("string", m.String)
	o.Set("captures", captures)
	return o
}

// captured is the text of a group, null if it took no part.
func captured(c oniguruma.Capture) any {
	if c.Matched {
		return c.String
	}
	return nil
}

func captureObject(m *oniguruma.Match) *value.Object {
	o := &value.Object{}
	for _, c := range m.Captures {
		if c.Named {
			o.Set(c.Name, captured(c))
		}
	}
	return o
}

func scan(args []*code) *code {
	s := &site{}
	return many(func(x *exec, e *env, in pv, k cont) error {
		return product(x, e, in.v, args, true, func(values []any) error {
			flags := any("g")
			if len(values) > 1 {
				var err error
				if flags, err = add(x, flags, values[1]); err != nil {
					return err
				}
			}
			_, found, err := s.match(x, in.v, values[0], flags)
			if err != nil {
				return err
			}
			for i := range found {
				m := &found[i]
				out := any(m.String)
				if len(m.Captures) > 0 {
					if err := x.charge(16 * len(m.Captures)); err != nil {
						return err
					}
					list := make([]any, len(m.Captures))
					for j, c := range m.Captures {
						list[j] = captured(c)
					}
					out = list
				}
				if err := k(pv{out, in.p, in.at}); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// cursor finds the bytes of code points in a text, fast if they follow one another.
type cursor struct {
	text     string
	at, byte int
}

func (c *cursor) offset(n int) int {
	if n < c.at {
		c.at, c.byte = 0, 0
	}
	for c.at < n && c.byte < len(c.text) {
		_, size := utf8.DecodeRuneInString(c.text[c.byte:])
		c.byte += size
		c.at++
	}
	return c.byte
}

// splitCode cuts a text at its matches. All outputs of the flags are matched before the text is cut, as
// in jq's definition.
func splitCode(yield func(x *exec, parts []any, k func(any) error) error) func(args []*code) *code {
	return func(args []*code) *code {
		s := &site{}
		flags := constant(nil)
		if len(args) > 1 {
			flags = args[1]
		}
		return many(func(x *exec, e *env, in pv, k cont) error {
			return args[0].values(x, e, in.v, func(pattern any) error {
				text, _ := in.v.(string) // What is no text fails in match.
				parts, from, at := []any{}, 0, cursor{text: text}
				err := flags.values(x, e, in.v, func(f any) error {
					f, err := add(x, "g", f)
					if err != nil {
						return err
					}
					_, found, err := s.match(x, in.v, pattern, f)
					if err != nil {
						return err
					}
					for _, m := range found {
						to := at.offset(m.Offset)
						parts = append(parts, text[min(from, to):to])
						from = at.offset(m.Offset + m.Length)
					}
					return nil
				})
				if err != nil {
					return err
				}
				parts = append(parts, text[from:])
				if err := x.charge(32 * len(parts)); err != nil {
					return err
				}
				return yield(x, parts, func(v any) error { return k(pv{v, in.p, in.at}) })
			})
		})
	}
}

// substitution replaces matches. An output of the replacement that stands at some place among the
// outputs for its match goes into the result of that place; without any the text stays as it is.
func substitution(more string) func(args []*code) *code {
	return func(args []*code) *code {
		s := &site{}
		replacement := args[1]
		params := []*code{args[0]}
		if len(args) > 2 {
			params = append(params, args[2])
		}
		return many(func(x *exec, e *env, in pv, k cont) error {
			return product(x, e, in.v, params, true, func(values []any) error {
				flags := any(more)
				if len(values) > 1 {
					flags = values[1]
					if more != "" {
						var err error
						if flags, err = add(x, flags, more); err != nil {
							return err
						}
					}
				}
				text, found, err := s.match(x, in.v, values[0], flags)
				if err != nil {
					return err
				}
				results, rest, err := substitute(x, e, text, found, replacement)
				if err != nil {
					return err
				}
				if len(results) == 0 {
					return k(pv{in.v, in.p, in.at})
				}
				for _, r := range results {
					if err := x.charge(r.Len() + len(rest)); err != nil {
						return err
					}
					if err := k(pv{r.String() + rest, in.p, in.at}); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

// substitute returns the results up to the last match, and what follows it.
func substitute(x *exec, e *env, text string, found []oniguruma.Match, replacement *code) (results []*strings.Builder, rest string, err error) {
	at, from := cursor{text: text}, 0
	for i := range found {
		m := &found[i]
		to := at.offset(m.Offset)
		gap := text[min(from, to):to]
		from = at.offset(m.Offset + m.Length)
		if err := x.charge(64 + 64*len(m.Captures)); err != nil {
			return nil, "", err
		}
		var inserts []any
		err := replacement.values(x, e, captureObject(m), func(v any) error {
			inserts = append(inserts, v)
			return x.charge(16)
		})
		if err != nil {
			return nil, "", err
		}
		for j, insert := range inserts {
			s, ok := insert.(string)
			if !ok && insert != nil {
				return nil, "", unfit(gap, insert, "cannot be added")
			}
			if err := x.charge(2 * (len(gap) + len(s))); err != nil {
				return nil, "", err
			}
			if j == len(results) {
				results = append(results, &strings.Builder{})
			}
			results[j].WriteString(gap)
			results[j].WriteString(s)
		}
	}
	return results, text[from:], nil
}
