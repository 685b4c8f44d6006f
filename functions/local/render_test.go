package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRender(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		template, data string
		strict         bool
		want           result
	}{
		"a value":            {`{"b":"{{ .n }}","a":["x{{ .n }}"]}`, `{"n":1.50}`, false, result{0, `{"b":1.5,"a":["x1.5"]}` + "\n", ""}},
		"nothing":            {`"{{ empty }}"`, `{}`, false, result{}},
		"null":               {`"{{ .x }}"`, `{}`, false, result{0, "null\n", ""}},
		"no escapes":         {`"{{ .x }}"`, `{"x":"<é>&"}`, false, result{0, `"<é>&"` + "\n", ""}},
		"one that fails":     {`{"a":"{{ error(\"no\") }}"}`, `{}`, false, result{0, `{"a":null}` + "\n", "longshore: a: error(\"no\"): jq: error: no\n"}},
		"at the root":        {`"{{ error(\"no\") }}"`, `{}`, false, result{0, "null\n", "longshore: template: error(\"no\"): jq: error: no\n"}},
		"one that is strict": {`{"a":"{{ error(\"no\") }}"}`, `{}`, true, result{1, "", "longshore: a: jq: error: no\n"}},
		"unbalanced":         {`{"a":"{{ .x"}`, `{}`, false, result{1, "", "longshore: a: Found opening double braces in index 0 without closing double braces\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"render", "--template", write(t, "template.json", c.template), "--data", write(t, "data.json", c.data)}
			if c.strict {
				args = append(args, "--strict")
			}
			if diff := cmp.Diff(c.want, call(t, "", args...), cmp.AllowUnexported(result{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRenderTornFiles(t *testing.T) {
	t.Parallel()
	good, torn := write(t, "good.json", "1"), write(t, "torn.json", `{"a":`)
	for _, args := range [][]string{{"--template", torn, "--data", good}, {"--template", good, "--data", torn}} {
		got := call(t, "", append([]string{"render"}, args...)...)
		if got.code != 2 || got.out != "" || !strings.Contains(got.err, "torn.json: ") {
			t.Errorf("exit status %d, output %q, error %q", got.code, got.out, got.err)
		}
	}
}

// Each line has its answer, in order; a bad one never ends the batch.
func TestRenderBatch(t *testing.T) {
	t.Parallel()
	in := `{"input":{"x":1},"template":"{{ .x }}"}
{"input":
{"input":{},"template":"{{ error(\"no\") }}","strict":true}
{"input":{},"template":"{{ .x"}

{"input":{},"template":"{{ empty }}"}
{"input":{"x":"last"},"template":{"a":"{{ .x }}"}}`
	got := call(t, in, "render", "--batch")
	if got.code != 0 || got.err != "" {
		t.Fatalf("exit status %d, error %q", got.code, got.err)
	}
	answers := lines(got.out)
	for i, want := range map[int]string{0: `{"ok":1}`, len(answers) - 2: `{"undefined":true}`, len(answers) - 1: `{"ok":{"a":"last"}}`} {
		if answers[i] != want {
			t.Errorf("answer %d is %s, want %s", i, answers[i], want)
		}
	}
	for _, answer := range answers[1 : len(answers)-2] {
		if a := decoded(t, answer); a["error"] == nil || a["errorClass"] == nil {
			t.Errorf("got %s, want an error and its class", answer)
		}
	}
	if len(answers) < 6 {
		t.Errorf("%d answers: %q", len(answers), answers)
	}
}
