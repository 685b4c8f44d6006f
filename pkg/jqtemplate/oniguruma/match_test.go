package oniguruma_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/jqtemplate/oniguruma"
)

// strings returns the texts of all matches.
func texts(t *testing.T, pattern, flags, text string) []string {
	t.Helper()
	re, err := oniguruma.Compile(pattern, flags)
	if err != nil {
		t.Fatalf("%s: %v", pattern, err)
	}
	matches, err := re.Match(context.Background(), text, true)
	if err != nil {
		t.Fatalf("%s: %v", pattern, err)
	}
	var out []string
	for _, m := range matches {
		out = append(out, m.String)
	}
	return out
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, flags, text string
		want                 []string
	}{
		{"a++", "", "aab", []string{"aa"}},
		{"foo", "i", "Foo foo", []string{"Foo", "foo"}},
		{"a*", "l", "baac", []string{"aa", "", ""}},
	} {
		if diff := cmp.Diff(c.want, texts(t, c.pattern, c.flags, c.text)); diff != "" {
			t.Errorf("%s %s: %s", c.pattern, c.flags, diff)
		}
	}
}
