package jqtemplate_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// exact are the categories of which 99 % have to come out as recorded, taken together; of all cases 95 %.
var exact = []string{
	"trigger", "body", "path", "keys", "spread", "braces", "quotes", "shape", "nonblock", "multi", "order", "env", "root", "types",
}

type vector struct {
	id, category string
	input        any
	template     any
	strict       bool
	expect       *jqtemplate.Object
}

func gunzip(t testing.TB, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func decode(t testing.TB, text []byte) any {
	t.Helper()
	v, err := jqtemplate.Decode(text)
	if err != nil {
		t.Fatalf("decode %.80q: %v", text, err)
	}
	return v
}

func member[T any](o *jqtemplate.Object, key string) T {
	v, _ := o.Get(key)
	x, _ := v.(T)
	return x
}

func loadVectors(t testing.TB) []vector {
	t.Helper()
	inputs := decode(t, gunzip(t, "../../testdata/vectors/inputs.json.gz")).(*jqtemplate.Object)
	var vectors []vector
	lines := bufio.NewScanner(bytes.NewReader(gunzip(t, "../../testdata/vectors/payload.jsonl.gz")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		o := decode(t, lines.Bytes()).(*jqtemplate.Object)
		v := vector{
			id:       strconv.Itoa(int(member[float64](o, "id"))),
			category: member[string](o, "cat"),
			strict:   member[bool](o, "strict"),
			expect:   member[*jqtemplate.Object](o, "expect"),
		}
		v.template, _ = o.Get("template")
		v.input, _ = inputs.Get(member[string](o, "input"))
		vectors = append(vectors, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return vectors
}

// outcome renders a vector and says it as the vectors do. jq's own error texts are left out.
func (v vector) outcome() *jqtemplate.Object {
	out := &jqtemplate.Object{}
	tmpl, err := jqtemplate.Parse(v.template, "")
	var result jqtemplate.Result
	if err == nil {
		result, err = tmpl.Render(context.Background(), jqtemplate.NewData(v.input), jqtemplate.Options{Strict: v.strict})
	}
	switch {
	case err != nil:
		out.Set("error", "")
		var f *fault.Error
		if !strings.HasPrefix(jqtemplate.ErrorClass(err), "Jq") && errors.As(err, &f) && len(f.Details) > 0 {
			out.Set("error", f.Details[0].Message)
		}
		out.Set("errorClass", jqtemplate.ErrorClass(err))
	case result.Undefined:
		out.Set("undefined", true)
	default:
		out.Set("ok", result.Value)
	}
	return out
}

// wanted is what outcome should return.
func (v vector) wanted() *jqtemplate.Object {
	out := &jqtemplate.Object{}
	for key, value := range v.expect.All() {
		switch {
		case key == "holes":
		case key == "error" && strings.HasPrefix(member[string](v.expect, "errorClass"), "Jq"):
			out.Set(key, "")
		default:
			out.Set(key, value)
		}
	}
	return out
}

// text is a value to compare: its JSON, and unless the order counts, with sorted members.
func (v vector) text(t *testing.T, o *jqtemplate.Object) string {
	text := jqtemplate.Encode(o)
	if strings.HasPrefix(v.category, "order") {
		return string(text)
	}
	var unordered any
	if err := json.Unmarshal(text, &unordered); err != nil {
		t.Fatalf("vector %s: %v", v.id, err)
	}
	sorted, err := json.Marshal(unordered)
	if err != nil {
		t.Fatal(err)
	}
	return string(sorted)
}

// knownMisses reads the ids of the explained misses.
func knownMisses(t *testing.T) map[string]bool {
	t.Helper()
	known, reason := map[string]bool{}, ""
	for line := range strings.Lines(string(readFile(t, "../../testdata/vectors/known-misses.txt"))) {
		switch text := strings.TrimSpace(line); {
		case strings.HasPrefix(text, "#"):
		case strings.HasPrefix(text, "= "):
			reason = text
		default:
			for _, id := range strings.Fields(text) {
				if reason == "" || known[id] {
					t.Errorf("vector %s is listed without a reason, or twice", id)
				}
				known[id] = true
			}
		}
	}
	return known
}

func TestVectors(t *testing.T) {
	t.Parallel()
	known := knownMisses(t)
	right, all := map[string]int{}, map[string]int{}
	for _, v := range loadVectors(t) {
		category, _, _ := strings.Cut(v.category, "/")
		all[category]++
		got, want := v.text(t, v.outcome()), v.text(t, v.wanted())
		switch {
		case got == want:
			right[category]++
			if known[v.id] {
				t.Errorf("vector %s is right and listed as a known miss", v.id)
			}
		case !known[v.id]:
			t.Errorf("vector %s is a miss without a reason: %s %.300s\n got  %.300s\n want %.300s",
				v.id, v.category, jqtemplate.Encode(v.template), got, want)
		}
	}
	var exactRight, exactAll, sum, of int
	for _, category := range slices.Sorted(maps.Keys(all)) {
		t.Logf("%-9s %5d of %5d  %5.1f %%", category, right[category], all[category], 100*float64(right[category])/float64(all[category]))
		sum, of = sum+right[category], of+all[category]
		if slices.Contains(exact, category) {
			exactRight, exactAll = exactRight+right[category], exactAll+all[category]
		}
	}
	t.Logf("all       %5d of %5d  %5.1f %%; of the exact categories %d of %d", sum, of, 100*float64(sum)/float64(of), exactRight, exactAll)
	if of < 7652 || sum*100 < of*95 || exactRight*100 < exactAll*99 {
		t.Errorf("%d of %d cases are right, %d of %d of the exact categories; want 7652 cases, 95 %% and 99 %%", sum, of, exactRight, exactAll)
	}
}
