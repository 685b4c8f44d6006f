package jq_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"longshore/pkg/jqtemplate/jq"
	"longshore/pkg/jqtemplate/value"
)

// outcome is an expression's first output as JSON, or its failure behind "error: ".
func outcome(t *testing.T, source string) string {
	t.Helper()
	p, err := jq.Parse(source)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	v, defined, err := p.Run(context.Background(), nil)
	var e *jq.Error
	switch {
	case errors.As(err, &e):
		return "error: " + e.Error()
	case err != nil:
		t.Fatalf("%s: %v", source, err)
	case !defined:
		return "nothing"
	}
	return string(value.Encode(v))
}

type example struct{ source, want string }

func checkAll(t *testing.T, examples map[string]example) {
	t.Helper()
	for name, x := range examples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := outcome(t, x.source); got != x.want {
				t.Errorf("%s\n got %s\nwant %s", x.source, got, x.want)
			}
		})
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	checkAll(t, map[string]example{
		"lengths":                 {`["日本", [1,2], {a: 1}, null, -1.5] | map(length)`, `[2,2,1,0,1.5]`},
		"length of a boolean":     {`true | length`, `error: boolean (true) has no length`},
		"bytes":                   {`"é" | utf8bytelength`, `2`},
		"bytes of a number":       {`1 | utf8bytelength`, `error: number (1) only strings have UTF-8 byte length`},
		"only ASCII changes case": {`"aÉé" | [ascii_downcase, ascii_upcase]`, `["aÉé","AÉé"]`},
		"case of a number":        {`1 | ascii_downcase`, `error: explode input must be a string`},
		"explode":                 {`"a😀" | explode`, `[97,128512]`},
		"implode":                 {`[97, 128512, 55357, 1114112, -1, 1e10] | implode`, `"a😀����"`},
		"implode a text":          {`[1, "a"] | implode`, `error: string ("a") can't be imploded, unicode codepoint needs to be numeric`},
		"implode a number":        {`1 | implode`, `error: implode input must be an array`},
		"trim":                    {`"\t a \n" | [trim, ltrim, rtrim]`, `["a","a \n","\t a"]`},
		"trim a number":           {`1 | trim`, `error: number (1) trim input must be a string`},
		"affixes":                 {`"xax" | [ltrimstr("x"), rtrimstr("x"), trimstr("x"), ltrimstr(1)]`, `["ax","xa","a","xax"]`},
		"affix of a number":       {`1 | ltrimstr("x")`, `1`},
		"starts and ends":         {`"abc" | [startswith("a"), endswith("b")]`, `[true,false]`},
		"starts with a number":    {`"abc" | startswith(1)`, `error: startswith() requires string inputs`},
		"number ends":             {`1 | endswith("a")`, `error: endswith() requires string inputs`},
		"split":                   {`"a,b" | [split(","), split("")]`, `[["a","b"],["a",",","b"]]`},
		"split at a number":       {`"a,b" | split(1)`, `error: split input and separator must be strings`},
		"join":                    {`["a", null, 1.5, true] | join("-")`, `"a--1.5-true"`},
		"join nothing":            {`[] | join(1)`, `""`},
		"join one":                {`["a"] | join(1)`, `"a"`},
		"join by a number":        {`["a", "b"] | join(1)`, `error: string ("a") and number (1) cannot be added`},
		"join by null":            {`["a", "b"] | join(null)`, `"ab"`},
		"join an array":           {`["a", [1]] | join(",")`, `error: string ("a,") and array ([1]) cannot be added`},
		"join members":            {`{a: 1, b: 2} | join(",")`, `"1,2"`},
		"join a number":           {`1 | join(",")`, `error: Cannot iterate over number (1)`},
		"indices count bytes":     {`"日本日" | [indices("日"), index("本"), rindex("日")]`, `[[0,6],3,6]`},
		"indices overlap":         {`"ababab" | indices("aba")`, `[0,2]`},
		"indices of nothing":      {`"ab" | [indices(""), index(""), rindex("")]`, `[[],null,null]`},
		"indices of items":        {`[1, 2, 1, 2] | [indices(1), indices([1, 2]), indices([]), index(2), rindex(2)]`, `[[0,2],[0,2],null,1,3]`},
		"indices of null":         {`null | [indices(1), index("a"), rindex("a")]`, `[null,null,null]`},
	})
}

func TestParsing(t *testing.T) {
	t.Parallel()
	checkAll(t, map[string]example{
		"number":                {`" 1.50 " | tonumber | tojson`, `"1.50"`},
		"number of a number":    {`1 | tonumber`, `1`},
		"number of null":        {`null | tonumber`, `error: null (null) cannot be parsed as a number`},
		"number of an array":    {`"[1]" | tonumber`, `error: string ("[1]") cannot be parsed as a number`},
		"no number":             {`"abc" | tonumber`, `error: Invalid numeric literal at EOF at line 1, column 3 (while parsing 'abc')`},
		"odd numbers":           {`["+1", ".5", "1.", "007", "1E2"] | map(tonumber)`, `[1,0.5,1,7,100]`},
		"no exponent":           {`"1e" | tonumber`, `error: Invalid numeric literal at EOF at line 1, column 2 (while parsing '1e')`},
		"signs":                 {`"1e+-2" | tonumber`, `error: Invalid numeric literal at EOF at line 1, column 5 (while parsing '1e+-2')`},
		"NaN":                   {`["nan", "-NaN"] | map(tonumber | isnan)`, `[true,true]`},
		"infinite":              {`"[-Infinity]" | fromjson | tojson`, `"[-1.7976931348623157e+308]"`},
		"order and spelling":    {`"{\"b\":1.000,\"a\":[1e1000]}" | fromjson | tojson`, `"{\"b\":1.000,\"a\":[1E+1000]}"`},
		"escapes":               {`"\"\\u00e9\\ud83d\\ude00\\udc00\\n\\/\"" | fromjson`, `"é😀�\n/"`},
		"half a pair":           {`"\"\\ud83d\"" | fromjson`, `error: Invalid \uXXXX\uXXXX surrogate pair escape at line 1, column 8 (while parsing '"\ud83d"')`},
		"unknown escape":        {`"\"\\x\"" | fromjson`, `error: Invalid escape at line 1, column 4 (while parsing '"\x"')`},
		"short escape":          {`"\"\\u12\"" | fromjson`, `error: Invalid \uXXXX escape at line 1, column 6 (while parsing '"\u12"')`},
		"no hex":                {`"\"\\u12zz\"" | fromjson`, `error: Invalid characters in \uXXXX escape at line 1, column 8 (while parsing '"\u12zz"')`},
		"control character":     {`"\"\t\"" | fromjson`, "error: Invalid string: control characters from U+0000 through U+001F must be escaped at line 1, column 3 (while parsing '\"\t\"')"},
		"nothing":               {`"" | fromjson`, `error: Expected JSON value (while parsing '')`},
		"two values":            {`"1 2" | fromjson`, `error: Unexpected extra JSON values (while parsing '1 2')`},
		"a value and a fault":   {`"1 ]" | fromjson`, `error: Unmatched ']' at line 1, column 3 (while parsing '1 ]')`},
		"open array":            {`"[1,\n2" | fromjson`, "error: Unfinished JSON term at EOF at line 2, column 1 (while parsing '[1,\n2')"},
		"open text":             {`"\"a" | fromjson`, `error: Unfinished string at EOF at line 1, column 2 (while parsing '"a')`},
		"no item":               {`"[1,]" | fromjson`, `error: Expected another array element at line 1, column 4 (while parsing '[1,]')`},
		"no member":             {`"{\"a\":1,}" | fromjson`, `error: Expected another key-value pair at line 1, column 8 (while parsing '{"a":1,}')`},
		"no value":              {`"[,]" | fromjson`, `error: Expected value before ',' at line 1, column 2 (while parsing '[,]')`},
		"no colon":              {`"{\"a\"}" | fromjson`, `error: Objects must consist of key:value pairs at line 1, column 5 (while parsing '{"a"}')`},
		"key of a number":       {`"{1:2}" | fromjson`, `error: Object keys must be strings at line 1, column 3 (while parsing '{1:2}')`},
		"no separator":          {`"[1 2]" | fromjson`, `error: Expected separator between values at line 1, column 5 (while parsing '[1 2]')`},
		"comma at the top":      {`"1,2" | fromjson`, `error: Expected value before ',' at line 1, column 2 (while parsing '1,2')`},
		"word":                  {`"tru" | fromjson`, `error: Invalid literal at EOF at line 1, column 3 (while parsing 'tru')`},
		"single quotes":         {`"[\u0027a\u0027]" | fromjson`, `error: Invalid string literal; expected ", but got ' at line 1, column 5 (while parsing '['a']')`},
		"byte order mark":       {`"\ufeff1" | fromjson`, `1`},
		"broken mark":           {`"\uff581" | fromjson`, `error: Malformed BOM (while parsing 'ｘ1')`},
		"of a number":           {`1 | fromjson`, `error: number (1) only strings can be parsed`},
		"depth":                 {`[limit(10001; repeat("["))] | join("") | try fromjson catch .[:62]`, `"Exceeds depth limit for parsing at line 1, column 10001 (while"`},
		"booleans":              {`["true", false] | map(toboolean)`, `[true,false]`},
		"boolean of a number":   {`1 | toboolean`, `error: number (1) cannot be parsed as a boolean`},
		"text of values":        {`[1.50, "a", null, [1]] | map(tostring)`, `["1.50","a","null","[1]"]`},
		"JSON of texts":         {`"a\"\u007f" | tojson`, `"\"a\\\"\\u007f\""`},
		"separator drops":       {`"[1\u001e" | fromjson`, "error: Expected JSON value (while parsing '[1\u001e')"},
		"control behind escape": {`"\"\\\\\t\"" | try fromjson catch .[:14]`, `"Invalid string"`},
		"value, then separator": {`"1\u001e[" | fromjson`, "error: Unfinished JSON term at EOF at line 1, column 3 (while parsing '1\u001e[')"},
	})
}

// TestParsingIsBounded sees that what a text grows into counts.
func TestParsingIsBounded(t *testing.T) {
	t.Parallel()
	p, err := jq.Parse(`try fromjson catch 1`)
	if err != nil {
		t.Fatal(err)
	}
	text := "[" + strings.Repeat("[],", 2<<20) + "1]"
	if _, _, err = p.Run(context.Background(), text); !errors.Is(err, jq.ErrMemory) {
		t.Errorf("got %v, want %v", err, jq.ErrMemory)
	}
}
