package jq_test

import "testing"

func TestFormats(t *testing.T) {
	t.Parallel()
	checkAll(t, map[string]example{
		"text":                   {`[1, "a"] | @text`, `"[1,\"a\"]"`},
		"json":                   {`"a\u0001" | @json`, `"\"a\\u0001\""`},
		"html":                   {`"<&\u0027\">" | @html`, `"&lt;&amp;&apos;&quot;&gt;"`},
		"html of an object":      {`{a: 1} | @html`, `"{&quot;a&quot;:1}"`},
		"uri":                    {`"ü/?-_.~!*" | @uri`, `"%C3%BC%2F%3F-_.~%21%2A"`},
		"urid":                   {`"%C3%BC+%41%ff" | @urid`, `"ü+A�"`},
		"urid of half an escape": {`"%4" | @urid`, `error: string ("%4") is not a valid uri encoding`},
		"csv":                    {`[1.50, "a\"b", null, true, nan] | @csv`, `"1.50,\"a\"\"b\",,true,"`},
		"csv of an array":        {`[[1]] | @csv`, `error: array ([1]) is not valid in a csv row`},
		"csv of a number":        {`2.5 | @csv`, `error: number (2.5) cannot be csv-formatted, only array`},
		"tsv":                    {`["a\tb\r\n\\", null, 2] | @tsv`, `"a\\tb\\r\\n\\\\\t\t2"`},
		"tsv of a text":          {`"a" | @tsv`, `error: string ("a") cannot be tsv-formatted, only array`},
		"sh":                     {`["it\u0027s", 1, null] | @sh`, `"'it'\\''s' 1 null"`},
		"sh of an object":        {`{} | @sh`, `error: object ({}) can not be escaped for shell`},
		"base64":                 {`"üa" | @base64`, `"w7xh"`},
		"base64d":                {`["YWI", "YWI=YWI=", "=", "YWJj/+8="] | map(@base64d)`, `["ab","ab","","abc��"]`},
		"base64d of one letter":  {`"a=" | @base64d`, `error: string ("a=") trailing base64 byte found`},
		"base64d of no letter":   {`"!!!" | @base64d`, `error: string ("!!!") is not valid base64 data`},
		"no format":              {`try @foo catch .`, `"foo is not a valid format"`},
		"in a text":              {`@uri "?q=\("a b")&\(1)"`, `"?q=a%20b&1"`},
		"by name":                {`[1] | format("csv")`, `"1"`},
		"by a name of none":      {`"x" | format("nope")`, `error: nope is not a valid format`},
		"by a number":            {`"x" | format(1)`, `error: number (1) is not a valid format`},
		"NUL":                    {`"\u0000" | [@html, @sh, ([.] | @csv, @tsv)]`, `["\\0","'\\0'","\"\\0\"","\\0"]`},
	})
}
