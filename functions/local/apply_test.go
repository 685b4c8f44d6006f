package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/jqtemplate"
)

// Whatever definition is applied, applying it again changes nothing.
func TestApplyTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../pkg/action/testdata/view/*.json")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Glob("../../testdata/examples/*.*")
	if err != nil {
		t.Fatal(err)
	}
	if files = append(files, examples...); len(files) < 12 {
		t.Fatalf("only %d definitions were found", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			// The blueprints that the definitions name.
			w.must("apply", write(t, "blueprints.yaml", "{identifier: service, title: S, schema: {properties: {}}}\n---\n{identifier: org/repo, title: R, schema: {properties: {}}}\n"))
			first := w.must("apply", file)
			if !strings.HasPrefix(first.out, "action ") || !strings.HasSuffix(first.out, " created\n") {
				t.Errorf("the first time: %q", first.out)
			}
			identifier := strings.Fields(first.out)[1]
			before, err := w.client.Action(t.Context(), identifier)
			if err != nil {
				t.Fatal(err)
			}
			if second := w.must("apply", file); second.out != "action "+identifier+" unchanged\n" {
				t.Errorf("the second time: %q", second.out)
			}
			after, err := w.client.Action(t.Context(), identifier)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(before), string(after)); diff != "" {
				t.Error(diff)
			}
			// What the server shows can be applied as it is.
			if shown := w.must("apply", write(t, "shown.json", string(before))); shown.out != "action "+identifier+" unchanged\n" {
				t.Errorf("what the server shows: %q", shown.out)
			}
		})
	}
}

const restart = `
identifier: restart
title: Restart
trigger: {type: self-service, operation: CREATE, userInputs: {}}
invocationMethod: {type: WEBHOOK, url: "https://example.com"}
`

func TestApplyReplaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("apply", write(t, "a.yaml", restart))
	changed := write(t, "a.yaml", strings.ReplaceAll(restart, "title: Restart", `title: "{{"`)+"---\n"+strings.ReplaceAll(restart, "restart", "other"))
	got := w.must("apply", changed, "--json")
	want := `{"kind":"action","identifier":"restart","change":"changed"}
{"kind":"action","identifier":"other","change":"created"}
`
	if got.out != want {
		t.Errorf("got %s, want %s", got.out, want)
	}
	// A definition whose jq does not compile is kept, and the warning said.
	got = w.must("apply", write(t, "a.yml", strings.ReplaceAll(restart, "https://example.com", "https://example.com/{{ .inputs | }}")))
	if got.out != "action restart changed\n" || !strings.Contains(got.err, "longshore: restart: invocationMethod.url: .inputs | does not compile: ") {
		t.Errorf("printed %q, and on standard error %q", got.out, got.err)
	}
}

// A file that is wrong changes nothing, nor do those before it; a definition that is wrong is named.
func TestApplyFaults(t *testing.T) {
	t.Parallel()
	good := write(t, "good.yaml", strings.ReplaceAll(restart, "restart", "good"))
	for name, c := range map[string]struct {
		file, text string
		code       int
		want       string
	}{
		"no kind":                {"x.yaml", "identifier: service\n", 2, "x.yaml: document 1: service is no blueprint, which has a schema, no entity, which has a blueprint, and no action"},
		"no identifier":          {"x.yaml", restart + "---\ntrigger: CREATE\n", 2, "document 2: expected an object with an identifier"},
		"a list":                 {"x.json", "[1]", 2, "document 1: expected an object with an identifier"},
		"nothing":                {"x.json", " ", 2, "there is no definition in it"},
		"only a comment":         {"x.yaml", "# nothing\n", 2, "there is no definition in it"},
		"torn JSON":              {"x.json", `{"identifier":`, 2, "unexpected EOF"},
		"torn YAML":              {"x.yaml", "a: [1, 2\n", 2, "[1:4] sequence end token ']' not found"},
		"a member twice":         {"x.yaml", "a: 1\na: 2\n", 2, `[2:1] mapping key "a" already defined at [1:1]`},
		"bytes that are no text": {"x.yaml", "a: \"\xff\"\n", 2, "it is not UTF-8"},
		"an unknown anchor":      {"x.yaml", "a: *b\n", 2, "line 1, column 4: there is no anchor b before it"},
		"an alias of itself":     {"x.yaml", "a: &a [*a]\n", 2, "line 1, column 8: there is no anchor a before it"},
		"not a number":           {"x.yaml", "a: .nan\n", 2, "line 1, column 4: .nan is a value that JSON does not have"},
		"an infinity":            {"x.yaml", "a: -.inf\n", 2, "line 1, column 4: -.inf is a value that JSON does not have"},
		"a tag":                  {"x.yaml", "a: !!binary aGVsbG8=\n", 2, "line 1, column 4: !!binary aGVsbG8= is a value that JSON does not have"},
		"an integer too long":    {"x.yaml", "a: 9007199254740993\n", 2, "line 1, column 4: 9007199254740993 is beyond 2^53, where numbers lose digits; quote it"},
		"one of 30 digits":       {"x.yaml", "a: 123456789012345678901234567890\n", 2, "123456789012345678901234567890 is beyond 2^53"},
		"a merge of no object":   {"x.yaml", "a: &a 1\nb:\n  <<: *a\n", 2, "<< takes an object or a list of objects"},
		"aliases of aliases":     {"x.yaml", aliases(12), 2, "it has more than 100000 values"},
		"too deep":               {"x.yaml", "a: " + strings.Repeat("[", 600) + strings.Repeat("]", 600), 2, "it nests deeper than 512 levels"},
		"too deep in JSON":       {"x.json", strings.Repeat("[", 20000), 2, "exceeded max depth"},
		"refused by the server":  {"x.yaml", strings.ReplaceAll(restart, "WEBHOOK", "CARRIER_PIGEON"), 1, "restart: invocationMethod.type"},
		"too large for it":       {"x.yaml", restart + "description: " + strings.Repeat("x", 1<<20) + "\n", 1, "restart: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			got := w.call("apply", good, write(t, c.file, c.text))
			if got.code != c.code || !strings.Contains(got.err, c.want) {
				t.Errorf("exit status %d, error %.500q; want %d and %q", got.code, got.err, c.code, c.want)
			}
			if c.code == 2 && got.out != "" {
				t.Errorf("printed %q", got.out)
			}
			saved, err := w.client.Actions(t.Context())
			if want := map[int]int{1: 1, 2: 0}[c.code]; err != nil || len(saved) != want {
				t.Errorf("the server has %d actions, want %d: %v", len(saved), want, err)
			}
		})
	}
	big := write(t, "big.yaml", strings.Repeat("#", maxInput+1))
	if got := call(t, "", "apply", big); got.code != 2 || !strings.Contains(got.err, "big.yaml has more than 16777216 bytes") {
		t.Errorf("exit status %d, error %q", got.code, got.err)
	}
}

// aliases is a document of little text that is large when its aliases are written out.
func aliases(n int) string {
	text := "a0: &a0 [x, x, x, x]\n"
	for i := 1; i < n; i++ {
		a, b := string(rune('a'+i)), string(rune('a'+i-1))
		if i == 1 {
			b = "a0"
		}
		text += a + ": &" + a + " [*" + b + ", *" + b + ", *" + b + ", *" + b + "]\n"
	}
	return text
}

// What YAML says is read as the JSON that its author means.
func TestYAML(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		yaml string
		want []string
	}{
		"scalars":            {"a: ~\nb: true\nc: 1.10\nd: -3\ne: 0xff\nf: text\n", []string{`{"a":null,"b":true,"c":1.1,"d":-3,"e":255,"f":"text"}`}},
		"words":              {"a: on\nb: yes\nc: 2024-01-01\nd: 2024-01-01T00:00:00Z\ne: '12'\nf: !!str 12\n", []string{`{"a":"on","b":"yes","c":"2024-01-01","d":"2024-01-01T00:00:00Z","e":"12","f":"12"}`}},
		"text":               {"a: |\n  one\n  two\nb: >-\n  one\n  two\nc: \"\\u00e9{{ .x }}\"\n", []string{`{"a":"one\ntwo\n","b":"one two","c":"é{{ .x }}"}`}},
		"the longest number": {"a: 9007199254740992\nb: '9007199254740993'\n", []string{`{"a":9007199254740992,"b":"9007199254740993"}`}},
		"order":              {"z: 1\na: 2\nm: {y: 1, b: 2}\n", []string{`{"z":1,"a":2,"m":{"y":1,"b":2}}`}},
		"names":              {"1: a\ntrue: b\n2.5: c\nnull: d\n\"\": e\n", []string{`{"1":"a","true":"b","2.5":"c","null":"d","":"e"}`}},
		"anchors":            {"a: &a {x: [1, 2]}\nb: *a\n", []string{`{"a":{"x":[1,2]},"b":{"x":[1,2]}}`}},
		"an anchor again":    {"a: &a 1\nb: &a 2\nc: *a\n", []string{`{"a":1,"b":2,"c":2}`}},
		"merge":              {"a: &a {x: 1, y: 2}\nb:\n  y: 3\n  <<: *a\nc:\n  <<: *a\n  x: 4\n", []string{`{"a":{"x":1,"y":2},"b":{"y":3,"x":1},"c":{"x":4,"y":2}}`}},
		"merge of several":   {"a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc:\n  <<: [*a, *b]\n", []string{`{"a":{"x":1},"b":{"x":2,"y":2},"c":{"x":1,"y":2}}`}},
		"documents":          {"a: 1\n---\nb: 2\n", []string{`{"a":1}`, `{"b":2}`}},
		"empty documents":    {"---\n---\na: 1\n---\n# nothing\n---\n---\nb: 2\n---\n", []string{`{"a":1}`, `{"b":2}`}},
		"an end":             {"%YAML 1.2\n---\na: 1\n...\n---\nb: 2\n", []string{`{"a":1}`, `{"b":2}`}},
		"a byte order mark":  {"\ufeffa: 1\n", []string{`{"a":1}`}},
		"JSON":               {`{"a": [1, {"b": null}], "c": "\/"}`, []string{`{"a":[1,{"b":null}],"c":"/"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			values, err := fromYAML([]byte(c.yaml))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range values {
				var out strings.Builder
				if err := printJSON(&out, json.RawMessage(jqtemplate.Encode(v))); err != nil {
					t.Fatal(err)
				}
				got = append(got, strings.TrimSuffix(out.String(), "\n"))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A file whose mode keeps us out is a mistake in the call.
func TestApplyUnreadable(t *testing.T) {
	t.Parallel()
	file := write(t, "x.yaml", restart)
	if err := os.Chmod(file, 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		// Root reads everything; a folder is what it cannot read as a file.
		file = t.TempDir()
	}
	if got := call(t, "", "apply", file); got.code != 2 || !strings.Contains(got.err, file) {
		t.Errorf("exit status %d, error %q", got.code, got.err)
	}
}
