package oniguruma_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/jqtemplate/oniguruma"
)

// search compiles and returns all matches.
func search(t *testing.T, pattern, flags, text string) []oniguruma.Match {
	t.Helper()
	re, err := oniguruma.Compile(pattern, flags)
	if err != nil {
		t.Fatalf("%s: %v", pattern, err)
	}
	matches, err := re.Match(context.Background(), text, true)
	if err != nil {
		t.Fatalf("%s: %v", pattern, err)
	}
	return matches
}

// joined writes matches as text@offset.
func joined(matches []oniguruma.Match) string {
	var out []string
	for _, m := range matches {
		out = append(out, m.String)
	}
	return strings.Join(out, "|")
}

// TestMeaning checks what a pattern means: the texts of all its matches. Each was also asked of
// Oniguruma 6.9.8.
func TestMeaning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ family, pattern, flags, text, want string }{
		{"lines", "^.", "", "a\nb", "a"},
		{"lines", ".$", "", "a\nb\n", "b"},
		{"lines", "(?m)^.", "", "a\nb\n", "a|b"},
		{"lines", "(?m).$", "", "a\nb", "a|b"},
		{"lines", "a.b", "", "a\nb", ""},
		{"lines", "a.b", "p", "a\nb", "a\nb"},
		{"lines", "(?s)a.b", "", "a\nb", "a\nb"},
		{"lines", "a.b", "s", "a\nb", ""},
		{"lines", `b\Z`, "", "b\n", "b"},
		{"lines", `b\z`, "", "b\n", ""},
		{"lines", `\R`, "", "\r\n\n\u2028", "\r\n|\n|\u2028"},
		{"lines", `\N\O`, "", "a\n", "a\n"},

		{"case", "foo", "i", "Foo fOO", "Foo|fOO"},
		{"case", "(?i:f)oo", "", "Foo FOO", "Foo"},
		{"case", "a(?i)b|c", "", "aB C", "aB|C"},
		{"case", "ss", "i", "ß SS ẞ", "ß|SS|ẞ"},
		{"case", "ß", "i", "ß SS", "ß|SS"},
		{"case", "k", "i", "K\u212a", "K|\u212a"},
		{"case", "i", "i", "İ", ""},
		{"case", "[a-c]+", "i", "aBCd", "aBC"},
		{"case", "[^a]", "i", "Aab", "b"},
		{"case", `\p{Lu}`, "i", "aB", "B"},
		{"case", `(a)\1`, "i", "aA", "aA"},

		{"extended", "f o o # c", "x", "foo", "foo"},
		{"extended", `f\ o[ ]o`, "x", "f o o", "f o o"},
		{"extended", "a(?#c)+", "", "aa", "aa"},

		{"classes", `\w+`, "", "ünï_1²-日本", "ünï_1²|日本"},
		{"classes", `[\w]+`, "", "1²", "1"},
		{"classes", `\d+`, "", "1٣x", "1٣"},
		{"classes", `\s`, "", "a\u00a0b\u200bc", "\u00a0"},
		{"classes", `\bfoo\b`, "", "foo füfoo foo", "foo|foo"},
		{"classes", "[[:alpha:]]+", "", "aé1", "aé"},
		{"classes", "[[:^alpha:]]+", "", "aé1", "1"},
		{"classes", "[[:punct:]]+", "", "a+=é!", "+=|!"},
		{"classes", "[a[b]]", "", "[]b]a]", "[]|b]|a]"},
		{"classes", "[a&&b]", "", "&", "&"},
		{"classes", "[]a]+", "", "a]", "a]"},
		{"classes", "[a-c-e]+", "", "b-e", "b-e"},
		{"classes", `[\]\-\\]+`, "", `]-\`, `]-\`},
		{"classes", `[\b]`, "", "a\b", "\b"},
		{"classes", `\p{Han}+`, "", "a日本", "日本"},
		{"classes", `\p{^L}+`, "", "a1é", "1"},
		{"classes", `\P{script_not}?`, "", "", "error"},
		{"classes", `\p{In_Basic Latin}+`, "", "aé", "a"},
		{"classes", `\p{Greek}\p{Cyrl}`, "", "λж", "λж"},

		{"escapes", `\h\H\u0041\v`, "", "hHu0041v", "hHu0041v"},
		{"escapes", `\x41\x{65e5}\101\o{102}`, "", "A日AB", "A日AB"},
		{"escapes", `\xc3\xbc`, "", "ü", "ü"},
		{"escapes", `\xfc`, "", "ü", ""},
		{"escapes", `\Qa.b\E+`, "", "a.bb", "a.bb"},
		{"escapes", `'2'\<1>(?:')`, "", "'2'<1>'", "'2'<1>'"},
		{"escapes", `\a\e\t\cA`, "", "\a\x1b\t\x01", "\a\x1b\t\x01"},

		{"quantifiers", "a{,2}", "", "aa{,2}", "a{,2}"},
		{"quantifiers", "a{2}?", "", "aaa", "aa"},
		{"quantifiers", "a{1,2}+a", "", "aa", ""},
		{"quantifiers", "a{1", "", "a{1", "a{1"},
		{"quantifiers", "a++b|a+?", "", "aa", "a|a"},
		{"quantifiers", "(?>a+)a", "", "aaa", ""},
		{"quantifiers", "(?:a?)*b", "", "aab", "aab"},

		{"around", `(?<=-)bar(?!x)`, "", "-bar", "bar"},
		{"around", `(?<=a*)b`, "", "aab", "b"},
		{"around", `(?<=a|bc)d`, "", "", "error"},
		{"around", `(?<!(a))b`, "", "", "error"},
		{"around", `a\Kb`, "", "ab", "b"},
		{"around", `\Ga`, "", "aaba", "a|a"},
		{"around", `\G\w`, "", "éa", "é|a"},

		{"groups", `(?<c>.)\k<c>`, "", "aab", "aa"},
		{"groups", `(.)\k<-1>`, "", "aab", "aa"},
		{"groups", `(?<a>x)(?<a>y)\k<a>`, "", "xyy", "xyy"},
		{"groups", `(?<p>\((?:[^()]|\g<p>)*\))`, "", "(a(b)c) )", "(a(b)c)"},
		{"groups", `(a|b\g<1>c)`, "", "bbacc", "bbacc"},
		{"groups", `(a)?(?(1)b|c)`, "", "abc", "ab|c"},
		{"groups", `/\*(?~\*/)\*/`, "", "/* a */ b */", "/* a */"},
		{"groups", `(*FAIL)|a`, "", "a", "a"},
		{"groups", `(?{x})a`, "", "a", "a"},
		{"groups", `\X`, "", "e\u0301🇩🇪👩\u200d👧x", "e\u0301|🇩🇪|👩\u200d👧|x"},

		{"flags", "a*", "n", "baac", "aa"},
		{"flags", "a??", "n", "a", "a"},
		{"flags", "a*", "l", "baac", "aa||"},
		{"flags", "a|ab", "l", "aab", "ab"},
		{"flags", "foo", "gxs", "foofoo", "foo|foo"},
	} {
		re, err := oniguruma.Compile(c.pattern, c.flags)
		if err != nil {
			if c.want != "error" {
				t.Errorf("%s: %q %s: %v", c.family, c.pattern, c.flags, err)
			}
			continue
		}
		matches, err := re.Match(context.Background(), c.text, true)
		if got := joined(matches); err != nil || got != c.want {
			t.Errorf("%s: %q %s on %q: got %q, %v, want %q", c.family, c.pattern, c.flags, c.text, got, err, c.want)
		}
	}
}

// TestEmptyMatches checks where the search goes on after an empty match: a byte later, which may be
// inside a character and then counts as the place behind it.
func TestEmptyMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          []int
	}{
		{"", "", []int{0}},
		{"", "ab", []int{0, 1, 2}},
		{"", "é日", []int{0, 1, 1, 2, 2, 2}},
		{"a*", "aa", []int{0, 2}},
		{"$", "ab", []int{2}},
		{"^", "ab", []int{0}},
		{"(?=a)", "aéa", []int{0, 2}},
		{`\b`, "é", []int{0, 1, 1}},
		{`o\K`, "foo", []int{2}},
	} {
		var got []int
		for _, m := range search(t, c.pattern, "", c.text) {
			got = append(got, m.Offset)
			if m.Length != 0 && c.pattern != "a*" {
				t.Errorf("%q: length %d", c.pattern, m.Length)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q on %q: %s", c.pattern, c.text, diff)
		}
	}
}

func TestCaptures(t *testing.T) {
	t.Parallel()
	type m = oniguruma.Match
	type c = oniguruma.Capture
	for _, test := range []struct {
		name, pattern, text string
		want                []m
	}{
		{"numbers follow the text, names or not", "(f)(?<x>o)(o)", "éfoo", []m{{1, 3, "foo", []c{
			{1, 1, "f", "", false, true}, {2, 1, "o", "x", true, true}, {3, 1, "o", "", false, true},
		}}}},
		{"unmatched", "(a)|(?<n>b)", "b", []m{{0, 1, "b", []c{
			{-1, 0, "", "", false, false}, {0, 1, "b", "n", true, true},
		}}}},
		{"empty capture", "a()", "a", []m{{0, 1, "a", []c{{1, 0, "", "", false, true}}}}},
		{"in an empty match all are empty", "(a)?(?=(b))", "b", []m{{0, 0, "", []c{
			{0, 0, "", "", false, true}, {0, 0, "", "", false, true},
		}}}},
		{"last of a repetition", "(?:(a)|(b))*", "ab", []m{{0, 2, "ab", []c{
			{0, 1, "a", "", false, true}, {1, 1, "b", "", false, true},
		}}}},
		{"a call sets the group", `(?<n>a|b)\g<n>`, "ab", []m{{0, 2, "ab", []c{{1, 1, "b", "n", true, true}}}}},
	} {
		got := search(t, test.pattern, "", test.text)
		if diff := cmp.Diff(test.want, got[:1]); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ pattern, flags, want string }{
		{"a", "gz", "gz is not a valid modifier string"},
		{"(", "", "Regex failure: end pattern with unmatched parenthesis"},
		{"(?<a>", "", "Regex failure: end pattern with unmatched parenthesis"},
		{")", "", "Regex failure: unmatched close parenthesis"},
		{"*", "", "Regex failure: target of repeat operator is not specified"},
		{"^*", "", "Regex failure: target of repeat operator is invalid"},
		{"[", "", "Regex failure: premature end of char-class"},
		{"[]", "", "Regex failure: empty char-class"},
		{"[b-a]", "", "Regex failure: empty range in char class"},
		{`[a-\d]`, "", "Regex failure: char-class value at end of range"},
		{`[\d-a]`, "", "Regex failure: unmatched range specifier in char-class"},
		{"[[:foo:]]", "", "Regex failure: invalid POSIX bracket type"},
		{`\`, "", "Regex failure: end pattern at escape"},
		{"(?P<y>a)", "", "Regex failure: undefined group option"},
		{"(?u)a", "", "Regex failure: undefined group option"},
		{"(?", "", "Regex failure: end pattern in group"},
		{"(?<>a)", "", "Regex failure: group name is empty"},
		{"(?<1>a)", "", "Regex failure: invalid group name <1>"},
		{`\1`, "", "Regex failure: invalid backref number/name"},
		{`\k<b>`, "", "Regex failure: undefined name <b> reference"},
		{`(?<n>a\g<n>)`, "", "Regex failure: never ending recursion"},
		{`(?<n>\g<n>a|b)`, "", "Regex failure: never ending recursion"},
		{`\p{Foo}`, "", "Regex failure: invalid character property name {Foo}"},
		{"a{100001}", "", "Regex failure: too big number for repeat range"},
		{"a{3,2}", "", "Regex failure: upper is smaller than lower in repeat range"},
		{"(?<=(?=a))b", "", "Regex failure: invalid pattern in look-behind"},
		{strings.Repeat("(", 300) + strings.Repeat(")", 300), "", "Regex failure: parse depth limit over"},
		{strings.Repeat("a", 9000), "", "Regex failure: too large pattern"},
		{"(*FOO)", "", "Regex failure: undefined callout name"},
	} {
		_, err := oniguruma.Compile(c.pattern, c.flags)
		if err == nil || err.Error() != c.want {
			t.Errorf("%.40q %s: got %v, want %s", c.pattern, c.flags, err, c.want)
		}
	}
}

// TestHostile checks that nothing takes much longer than the time-out, whatever it is asked.
func TestHostile(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("a", 50000)
	for _, c := range []struct {
		pattern, flags, text string
		want                 error
	}{
		{"(a+)+$", "", strings.Repeat("a", 37) + "!", oniguruma.ErrTimeout},
		{"(a*)*b", "", many, oniguruma.ErrTimeout},
		{"((a{1000}){1000}){1000}", "", many, oniguruma.ErrTimeout},
		{"a*", "l", strings.Repeat("ab", 20000), oniguruma.ErrTimeout},
		{"", "", strings.Repeat("a", 1<<19), oniguruma.ErrTooLarge},
		{"a", "", strings.Repeat("a", 1<<20), oniguruma.ErrTooLarge},
		{"", "", strings.Repeat("日", 1000), nil},
		{"x*", "n", many[:1000], nil},
		{strings.Repeat(`(?<!\w)`, 1000), "", "a", nil},
		{`(?<p>\((?:[^()]|\g<p>)*\))`, "", strings.Repeat("(", 300), nil},
	} {
		start := time.Now()
		re, err := oniguruma.Compile(c.pattern, c.flags)
		if err != nil {
			t.Errorf("%.20q: %v", c.pattern, err)
			continue
		}
		_, err = re.Match(context.Background(), c.text, true)
		// On a busy machine any search may be late.
		if !errors.Is(err, c.want) && !errors.Is(err, oniguruma.ErrTimeout) {
			t.Errorf("%.20q: got %v, want %v", c.pattern, err, c.want)
		}
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("%.20q: took %v", c.pattern, took)
		}
	}
	for name, pattern := range map[string]string{
		"calls of calls": `(?<a>x)(?<b>\g<a>\g<a>)(?<c>\g<b>\g<b>)(?<d>\g<c>\g<c>)(?<e>\g<d>\g<d>)(?<f>\g<e>\g<e>)` +
			`(?<g>\g<f>\g<f>)(?<h>\g<g>\g<g>)(?<i>\g<h>\g<h>)(?<j>\g<i>\g<i>)(?<k>\g<j>\g<j>)(?<l>\g<k>\g<k>)(?<m>\g<l>\g<l>)(?<n>\g<m>\g<m>)`,
		"each calls all": `(?<a>x|` + strings.Repeat(`y\g<b>`, 50) + `)(?<b>x|` + strings.Repeat(`y\g<a>`, 50) + `)`,
	} {
		start := time.Now()
		_, _ = oniguruma.Compile(pattern, "")
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	re, err := oniguruma.Compile("a", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = re.Test(ctx, "a")
	if !errors.Is(err, oniguruma.ErrTimeout) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a time-out because of the context", err)
	}
}

// TestConcurrent runs one Regexp in many goroutines, for the race detector.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	re, err := oniguruma.Compile(`(?<n>\w)\k<n>|\G`, "n")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				matches, err := re.Match(context.Background(), "aab日日"+strings.Repeat(" ", 2100), true)
				if !errors.Is(err, oniguruma.ErrTimeout) && (err != nil || joined(matches) != "aa|日日") {
					t.Errorf("got %v, %v", matches, err)
				}
			}
		})
	}
	group.Wait()
}

var seeds = []string{
	"", "a", "(a*)*b", "(?<n>a)\\g<n>", "[a-z&&[^b]]", "\\p{Foo}", "\\x{65e5}\\xc3\\xbc", "(?<=a|b)\\K\\G", "(?i)ss[ß]",
	"(?(1)a|b)", "(?~ab)", "\\Q.\\E{2,}+", "[[:alpha:]-\\d]", "(?{x})(*FAIL)", "\\k<-1>", "(?<a>b)(?&a)(?1)(?R)", "a{,2}{3}?",
	`'2170000000\<1>`,
}

// FuzzCompile looks for panics and for patterns that parse and then do not compile.
func FuzzCompile(f *testing.F) {
	for _, s := range seeds {
		f.Add(s, "gixsnpl")
	}
	f.Fuzz(func(t *testing.T, pattern, flags string) {
		start := time.Now()
		re, err := oniguruma.Compile(pattern, flags)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%q: took %v", pattern, took)
		}
		if (re == nil) == (err == nil) {
			t.Errorf("%q: got %v and %v", pattern, re, err)
		}
		if err != nil && strings.Contains(err.Error(), "not supported") && !strings.Contains(err.Error(), "range") {
			t.Errorf("%q %s: %v", pattern, flags, err)
		}
	})
}

// FuzzMatch looks for panics and for matches that do not lie in the text.
func FuzzMatch(f *testing.F) {
	for i, s := range seeds {
		f.Add(s, []string{"", "i", "x", "n", "l", "p"}[i%6], "aab日é\nß SS")
	}
	f.Fuzz(func(t *testing.T, pattern, flags, text string) {
		re, err := oniguruma.Compile(pattern, flags)
		if err != nil || len(text) > 1000 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		matches, err := re.Match(ctx, text, true)
		if err != nil {
			return
		}
		length := len([]rune(strings.ToValidUTF8(text, "\ufffd")))
		for _, m := range matches {
			if m.Offset < 0 || m.Length != len([]rune(m.String)) || m.Offset+m.Length > length {
				t.Errorf("%q on %q: %+v", pattern, text, m)
			}
			for _, c := range m.Captures {
				if c.Length != len([]rune(c.String)) || c.Offset+c.Length > length {
					t.Errorf("%q on %q: %+v", pattern, text, c)
				}
			}
		}
	})
}
