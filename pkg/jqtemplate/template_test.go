package jqtemplate_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

func parse(t testing.TB, template, prefix string) *jqtemplate.Template {
	t.Helper()
	tmpl, err := jqtemplate.Parse(decode(t, []byte(template)), prefix)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func details(t *testing.T, err error) []fault.Detail {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid {
		t.Fatalf("got %v, want a fault.Invalid", err)
	}
	return f.Details
}

func at(position int) *int { return &position }

func TestParseReportsEveryBraceFault(t *testing.T) {
	t.Parallel()
	const opening, closing = "Found opening double braces in index ", "Found closing double braces in index "
	for name, c := range map[string]struct {
		template string
		want     []fault.Detail
	}{
		"root": {`"😀 {{ .a"`, []fault.Detail{{Path: "body", Position: at(3), Message: opening + "3 without closing double braces"}}},
		"everywhere": {
			`{"url":"x }} }}","deep":[{"x":"{{ {{.a}} }}"},"{{'"],"h":{"X-Id":"{{","a b":"}}","{{":1}}`,
			[]fault.Detail{
				{Path: "body.url", Position: at(2), Message: closing + "2 without opening double braces"},
				{Path: "body.url", Position: at(5), Message: closing + "5 without opening double braces"},
				{Path: "body.deep[0].x", Position: at(3), Message: "Found double braces in index 3 inside other one in index 0"},
				{Path: "body.deep[1]", Position: at(0), Message: opening + "0 without closing double braces"},
				{Path: "body.h.X-Id", Position: at(0), Message: opening + "0 without closing double braces"},
				{Path: `body.h["a b"]`, Position: at(0), Message: closing + "0 without opening double braces"},
				{Path: `body.h["{{"]`, Position: at(0), Message: opening + "0 without closing double braces"},
			},
		},
		"many": {`"` + strings.Repeat("}}x", 1<<20) + `"`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := jqtemplate.Parse(decode(t, []byte(c.template)), "body")
			got := details(t, err)
			if c.want == nil {
				if len(got) != 100 {
					t.Errorf("got %d faults, want the first 100", len(got))
				}
				return
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if class := jqtemplate.ErrorClass(err); class != "Error" {
				t.Errorf("got class %s", class)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	got := parse(t, `{"a":"é {{ .x | foo }}","b":["{{ .ok }}","{{ .a ) }}"],"{{ 'x' | }}":"{{}}","m":"{{ import \"a\" as a; 1 }}"}`, "body").Warnings()
	want := []jqtemplate.Warning{
		{Path: "body.a", Expression: ".x | foo", Position: 10, Message: "jq: compile error: foo/0 is not defined"},
		{Path: "body.b[1]", Expression: ".a )", Position: 6, Message: `jq: compile error: unexpected token ")"`},
		{Path: `body["{{ 'x' | }}"]`, Expression: "'x' |", Position: 9, Message: "jq: compile error: unexpected EOF"},
	}
	if len(got) != 5 {
		t.Fatalf("got %d warnings: %v", len(got), got)
	}
	if d := cmp.Diff(want, got[:3]); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if got[4].Path != "body.m" || !strings.Contains(got[4].Message, "module") {
		t.Errorf("an import: got %+v", got[4])
	}
	long := parse(t, `"{{ `+strings.Repeat("(", 70000)+` }}"`, "").Warnings()
	if len(long) != 1 || !strings.Contains(long[0].Message, "over 65536 bytes") {
		t.Errorf("a long expression: got %d warnings", len(long))
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	tmpl := parse(t, `{"a":"{{ .s.x }}","b":"n={{ .n | error }} {{ .s | error }}","c":["{{ .ok","}}"],"c":"{{ .s | }}"}`, "body")
	result, err := tmpl.Render(context.Background(), jqtemplate.NewData(decode(t, []byte(`{"s":"str","n":1}`))), jqtemplate.Options{Report: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(jqtemplate.Encode(result.Value)), `{"a":null,"b":"n=undefined null","c":null}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want := []jqtemplate.Warning{
		{Path: "body.a", Expression: ".s.x", Position: 3, Message: `jq: error: Cannot index string with string "x"`},
		{Path: "body.b", Expression: ".s | error", Position: 22, Message: "jq: error: str"},
		{Path: "body.c", Expression: ".s |", Position: 8, Message: "jq: compile error: unexpected EOF"},
	}
	if d := cmp.Diff(want, result.Failed); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestRenderFaultsNameTheirPlace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		template, class string
		want            fault.Detail
	}{
		"key": {`{"h":{"{{ .n }}":1}}`, "Error", fault.Detail{
			Path: `body.h["{{ .n }}"]`, Message: "Evaluated object key should be undefined, null or string. Original key: {{ .n }}, evaluated to: 1"}},
		"spread": {`[{"{{spreadValue()}}":"{{.s}}"}]`, "Error", fault.Detail{
			Path: `body[0]["{{spreadValue()}}"]`, Message: `Evaluated value should be an object if the key is {{spreadValue()}}. Original value: {{.s}}, evaluated to: "str"`}},
		"spread of null": {`{"{{spreadValue()}}":null}`, "TypeError", fault.Detail{
			Path: `body["{{spreadValue()}}"]`, Message: "Cannot convert undefined or null to object"}},
		"failure": {`{"a":["x{{ .s[0].b }}"]}`, "JqExecError", fault.Detail{
			Path: "body.a[0]", Position: at(4), Message: "jq: error: Cannot index string with number"}},
		"compile": {`{"a":"{{ .s | }}"}`, "JqExecCompileError", fault.Detail{
			Path: "body.a", Position: at(8), Message: "jq: compile error: unexpected EOF"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(t, c.template, "body").Render(context.Background(),
				jqtemplate.NewData(decode(t, []byte(`{"s":"str","n":1}`))), jqtemplate.Options{Strict: true})
			if d := cmp.Diff([]fault.Detail{c.want}, details(t, err)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if got := jqtemplate.ErrorClass(err); got != c.class {
				t.Errorf("got class %s, want %s", got, c.class)
			}
		})
	}
}

// Plain paths are walked without the engine; the engine's answer to the same path, behind a pipe, must
// be the same value, and both must keep the order of members.
func TestPlainPathsAreWhatTheEngineSays(t *testing.T) {
	t.Parallel()
	data := jqtemplate.NewData(decode(t, []byte(
		`{"a":{"z":1,"b":[10,20,{"y":1,"c":"d"}],"":"empty"},"n":null,"s":"str","x y":{"é":true},"t":false,"f":1.5,"0":"zero"}`)))
	for _, path := range []string{
		".", ".a", ".a.b", ".a.b[0]", ".a.b[-1]", ".a.b[-1].c", ".a.b[3]", ".a.b[-4]", `.a["z"]`, `.a[""]`, `."x y"`, `."x y"."é"`, `.["x y"]["é"]`,
		".n", ".n.x", ".n[0]", ".n[0].x", ".zz", ".zz.y[1]", `.["0"]`, ".t", ".f", ". ", ".a .b", ".a\n.b [0]", ".a.b.[1]",
		".a[0]", ".a.b.c", ".s.x", ".t.x", ".f[0]", ".t[0]", `."a\u002eb"`,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			say := func(text string) string {
				e, err := jqtemplate.ParseExpression(text)
				if err != nil {
					t.Fatal(err)
				}
				v, defined, err := e.Eval(context.Background(), data)
				if err != nil {
					return jqtemplate.ErrorClass(err)
				}
				if !defined {
					return "undefined"
				}
				return string(jqtemplate.Encode(v))
			}
			walked, run := say(path), say("("+path+")")
			if walked != run {
				t.Errorf("walked %s, run %s", walked, run)
			}
		})
	}
}

func TestOrderOfObjects(t *testing.T) {
	t.Parallel()
	data := jqtemplate.NewData(decode(t, []byte(`{"z":{"y":1,"x":{"c":1,"b":{}}},"a":[{"q":1,"p":2}]}`)))
	for expression, want := range map[string]string{
		".z":                   `{"y":1,"x":{"c":1,"b":{}}}`,
		"[.z.x, .a[]]":         `[{"c":1,"b":{}},{"q":1,"p":2}]`,
		".a | map(select(.q))": `[{"q":1,"p":2}]`,
		"first(..|objects)":    `{"z":{"y":1,"x":{"c":1,"b":{}}},"a":[{"q":1,"p":2}]}`,
		"{k: .z.x}":            `{"k":{"c":1,"b":{}}}`,
		".z.x.c = 2 | .z.x.b":  `{}`,
		".z.x.c = 2 | .z":      `{"y":1,"x":{"c":2,"b":{}}}`,
	} {
		t.Run(expression, func(t *testing.T) {
			t.Parallel()
			e, err := jqtemplate.ParseExpression(expression)
			if err != nil {
				t.Fatal(err)
			}
			v, _, err := e.Eval(context.Background(), data)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(jqtemplate.Encode(v)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestParseExpressionPosition(t *testing.T) {
	t.Parallel()
	for text, position := range map[string]int{".a |": 4, "é | )": 0, `"😀" | )`: 7, "foo": 0, "": 0, ".a | {{": 6} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			_, err := jqtemplate.ParseExpression(text)
			got := details(t, err)
			if len(got) != 1 || got[0].Position == nil || *got[0].Position != position {
				t.Errorf("got %v, want position %d", err, position)
			}
			if class := jqtemplate.ErrorClass(err); class != "JqExecCompileError" {
				t.Errorf("got class %s", class)
			}
		})
	}
}

func TestNothingIsReachable(t *testing.T) {
	t.Setenv("LONGSHORE_TEMPLATE_TEST", "secret")
	for expression, want := range map[string]string{
		"env": "{}", "$ENV": "{}", "env.LONGSHORE_TEMPLATE_TEST": "null", "$ENV.LONGSHORE_TEMPLATE_TEST": "null", "[inputs]": "[]", "input_filename": "null",
	} {
		e, err := jqtemplate.ParseExpression(expression)
		if err != nil {
			t.Fatal(err)
		}
		v, _, err := e.Eval(context.Background(), jqtemplate.NewData(nil))
		if got := string(jqtemplate.Encode(v)); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", expression, got, err, want)
		}
	}
	for _, expression := range []string{`import "a" as a; 1`, `include "a"; 1`, `import "a" as $a; 1`, `"a" | modulemeta`, "input", "getpath([0]; 1)"} {
		e, err := jqtemplate.ParseExpression(expression)
		if err == nil {
			_, _, err = e.Eval(context.Background(), jqtemplate.NewData(nil))
		}
		if err == nil {
			t.Errorf("%s: no error", expression)
		}
	}
}

// One template and one Data serve any number of goroutines, and none changes what another sees.
func TestConcurrentRenderings(t *testing.T) {
	t.Parallel()
	tmpl := benchTemplate(t)
	changes := parse(t, `["{{ .inputs.tags[0] = 1 | .inputs }}","{{ del(.inputs) }}","{{ .inputs | to_entries | sort_by(.key) | from_entries }}","{{ {a:{b:[{c:1}]},d:2} | del(.d) }}","{{ .inputs | map_values(empty) }}","{{ reduce range(9) as $i (.; .inputs.replicas += 1) | .inputs }}"]`, "")
	data := jqtemplate.NewData(decode(t, readFile(t, benchData["small"])))
	want := strings.TrimSpace(string(readFile(t, "../../testdata/bench/small.expected.json")))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 5 {
				if _, err := changes.Render(context.Background(), data, jqtemplate.Options{Strict: true}); err != nil {
					t.Error(err)
				}
				result, err := tmpl.Render(context.Background(), data, jqtemplate.Options{Strict: true})
				if got := string(jqtemplate.Encode(result.Value)); err != nil || got != want {
					t.Errorf("got %s, %v", got, err)
				}
			}
		})
	}
	group.Wait()
}

// What a caller changes in a result stays out of the template.
func TestResultsAreTheCallersOwn(t *testing.T) {
	t.Parallel()
	tmpl := parse(t, `{"headers":{"a":"b"},"list":[1]}`, "")
	for range 2 {
		result, err := tmpl.Render(context.Background(), jqtemplate.NewData(nil), jqtemplate.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(jqtemplate.Encode(result.Value)); got != `{"headers":{"a":"b"},"list":[1]}` {
			t.Fatalf("got %s", got)
		}
		headers, _ := result.Value.(*jqtemplate.Object).Get("headers")
		headers.(*jqtemplate.Object).Set("a", "changed")
		list, _ := result.Value.(*jqtemplate.Object).Get("list")
		list.([]any)[0] = "changed"
	}
}

func TestLiteral(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "plain": "plain", "{{ .a }}": "", "https://api/v1/{{ .a }}/x{{.b}}": "https://api/v1/", "a{b} {{.c}}": "a{b} ", "{{": "",
	} {
		if got := jqtemplate.Literal(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
