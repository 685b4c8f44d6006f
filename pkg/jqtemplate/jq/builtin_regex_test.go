package jq_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"longshore/pkg/jqtemplate/jq"
	"longshore/pkg/jqtemplate/oniguruma"
)

func TestRegularExpressions(t *testing.T) {
	t.Parallel()
	checkAll(t, map[string]example{
		"test":                    {`"foo" | [test("O"), test("O"; "i"), test(["O", "i"]), test(["o"])]`, `[false,true,true,true]`},
		"test of a number":        {`1 | test("a")`, `error: number (1) cannot be matched, as it is not a string`},
		"test by a number":        {`"a" | test(1)`, `error: number not a string or array`},
		"test by no pattern":      {`"a" | test([])`, `error: array not a string or array`},
		"test by numbers":         {`"a" | test([1, "g"])`, `error: number (1) cannot be matched, as it is not a string`},
		"flags of a number":       {`"a" | test("a"; 1)`, `error: number (1) is not a string`},
		"unknown flag":            {`"a" | test("a"; "gz")`, `error: gz is not a valid modifier string`},
		"no pattern":              {`"a" | try test("(") catch .`, `"Regex failure: end pattern with unmatched parenthesis"`},
		"match":                   {`"xab" | match("(?<n>a)(b)(c)?")`, `{"offset":1,"length":2,"string":"ab","captures":[{"offset":1,"length":1,"string":"a","name":"n"},{"offset":2,"length":1,"string":"b","name":null},{"offset":-1,"string":null,"length":0,"name":null}]}`},
		"empty matches":           {`"üa" | [match("()"; "g") | .offset, .captures[0].string]`, `[0,"",1,"",1,"",2,""]`},
		"several arguments":       {`"ab" | [match("a", "b"; null, "g").offset]`, `[0,1,0,1]`},
		"capture":                 {`"2024-05" | capture("(?<y>\\d+)-(?<m>\\d+)(?<d>-)?")`, `{"y":"2024","m":"05","d":null}`},
		"capture again":           {`"ab" | capture("(?<n>.)(?<n>.)")`, `{"n":"b"}`},
		"scan":                    {`"a1b2" | [scan("[a-z]"), scan("([a-z])([0-9])"), scan("A"; "i")]`, `["a","b",["a","1"],["b","2"],"a"]`},
		"scan by an array":        {`"a" | scan(["a"])`, `error: array (["a"]) cannot be matched, as it is not a string`},
		"split":                   {`"a, b,c" | split(", *"; null)`, `["a","b","c"]`},
		"splits":                  {`"aXbxc" | [splits("x"; "i")]`, `["a","b","c"]`},
		"split by all flags":      {`"aXbxc" | [split("x", "b"; "i", "g")]`, `[["a","b","","c"],["aX","","xc"]]`},
		"split of multibyte":      {`"日x本" | [splits("x")]`, `["日","本"]`},
		"split by a number flag":  {`"a" | split("a"; 1)`, `error: string ("g") and number (1) cannot be added`},
		"sub":                     {`"aba" | [sub("a"; "x"), sub("a"; "x"; "g"), gsub("A"; "x"; "i")]`, `["xba","xbx","xbx"]`},
		"sub with captures":       {`"svc-a" | sub("(?<x>[a-z]+)-(?<y>.)"; "\(.y)-\(.x)")`, `"a-svc"`},
		"gsub of nothing":         {`"aaa" | gsub(""; "-")`, `"-a-a-a-"`},
		"gsub with nothing":       {`"aaa" | gsub("a"; empty)`, `"aaa"`},
		"gsub with null":          {`"aba" | gsub("a"; null)`, `"b"`},
		"gsub with a number":      {`"aaa" | gsub("a"; 1)`, `error: string ("") and number (1) cannot be added`},
		"gsub with several":       {`"aB" | [gsub("(?<a>.)"; "\(.a | ascii_upcase)", "\(.a | ascii_downcase)", "c")]`, `["AB","ab","cc"]`},
		"gsub with uneven":        {`"ab" | [gsub("(?<a>.)"; if .a == "a" then "x" else "y", "z" end)]`, `["xy","z"]`},
		"replacement not reached": {`"aaa" | sub("z"; error("x"))`, `"aaa"`},
		"replacement fails":       {`"aaa" | sub("a"; error("x"))`, `error: x`},
		"gsub's flags":            {`"a" | gsub("a"; "b"; 1)`, `error: number (1) and string ("g") cannot be added`},
		"patterns of the data":    {`"abc" | [("a", "b", "a") as $p | test("^" + $p)]`, `[true,false,true]`},
	})
}

// TestRegularExpressionsAreBounded sees that no try catches the end of a search.
func TestRegularExpressionsAreBounded(t *testing.T) {
	t.Parallel()
	p, err := jq.Parse(`try test("^(\\w+\\s?)*\\1$") catch 1`)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = p.Run(context.Background(), strings.Repeat("aaaaaaaa ", 40)+"!")
	if !errors.Is(err, oniguruma.ErrTimeout) {
		t.Errorf("got %v, want %v", err, oniguruma.ErrTimeout)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err = p.Run(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestConcurrentPatterns(t *testing.T) {
	t.Parallel()
	p, err := jq.Parse(`. as $p | "abc" | test($p)`)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for i := range 8 {
		go func() {
			pattern, want := "^a", true
			if i%2 == 1 {
				pattern, want = "^b", false
			}
			for range 200 {
				if v, _, err := p.Run(context.Background(), pattern); err != nil || v != want {
					done <- errors.Join(err, errors.New(pattern))
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
