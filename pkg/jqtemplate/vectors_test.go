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

// floors is the least number of recorded cases of each category that must come out right: what was
// reached, so that nothing gets worse unseen. What is missing is jq's dialect, not the template layer;
// a few cases of str expect null for lone surrogates, which become U+FFFD here.
var floors = map[string]int{
	"body": 20, "braces": 97, "date": 101, "env": 8, "fuzz": 1081, "jq": 884, "keys": 69, "multi": 6,
	"nonblock": 15, "num": 878, "order": 37, "path": 242, "quotes": 262, "regex": 607, "root": 73,
	"shape": 401, "spread": 87, "str": 1420, "trigger": 185, "types": 175,
}

// templateLayer are the categories that the template layer alone decides.
var templateLayer = []string{"braces", "keys", "spread", "nonblock", "multi", "shape", "root"}

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
	known := map[string]bool{}
	for line := range strings.Lines(string(readFile(t, "../../testdata/vectors/known-misses.txt"))) {
		if id, reason, ok := strings.Cut(strings.TrimSpace(line), " "); ok && id != "#" && reason != "" {
			known[id] = true
		}
	}
	return known
}

func TestVectors(t *testing.T) {
	t.Parallel()
	show, known := os.Getenv("VECTORS_SHOW"), knownMisses(t)
	right, all := map[string]int{}, map[string]int{}
	for _, v := range loadVectors(t) {
		category, _, _ := strings.Cut(v.category, "/")
		all[category]++
		layer := slices.Contains(templateLayer, category)
		got, want := v.text(t, v.outcome()), v.text(t, v.wanted())
		if got == want {
			right[category]++
			if known[v.id] {
				t.Errorf("vector %s is right and listed as a known miss", v.id)
			}
			continue
		}
		if show == category || layer && !known[v.id] {
			t.Logf("%s %s %.300s\n got  %.300s\n want %.300s", v.id, v.category, jqtemplate.Encode(v.template), got, want)
		}
		if layer && !known[v.id] {
			t.Errorf("vector %s is a miss without a reason", v.id)
		}
	}
	var layerRight, layerAll, sum, of int
	for _, category := range slices.Sorted(maps.Keys(all)) {
		t.Logf("%-9s %5d of %5d  %5.1f %%", category, right[category], all[category], 100*float64(right[category])/float64(all[category]))
		if right[category] < floors[category] {
			t.Errorf("%s: %d cases are right, at least %d should be", category, right[category], floors[category])
		}
		sum, of = sum+right[category], of+all[category]
		if slices.Contains(templateLayer, category) {
			layerRight, layerAll = layerRight+right[category], layerAll+all[category]
		}
	}
	t.Logf("all       %5d of %5d  %5.1f %%", sum, of, 100*float64(sum)/float64(of))
	t.Logf("template layer: %d of %d", layerRight, layerAll)
	if of < 7652 || layerRight*100 < layerAll*99 {
		t.Errorf("%d cases in all, %d of %d of the template layer are right; want 7652 cases and 99 %%", of, layerRight, layerAll)
	}
}

// beyondTheEngine are the hostile expressions that gojq alone does not bear: they take gigabytes
// before the deadline is looked at. Bounding them belongs to the dialect's issue.
var beyondTheEngine = []string{"def f: 1+f; f", "[]|.[536870911]=1|length"}

func TestHostileExpressions(t *testing.T) {
	t.Parallel()
	for _, e := range decode(t, readFile(t, "../../testdata/vectors/hostile.json")).([]any) {
		text := e.(string)
		if slices.Contains(beyondTheEngine, text) {
			continue
		}
		tmpl, err := jqtemplate.Parse("{{ "+text+" }}", "")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		_, err = tmpl.Render(context.Background(), jqtemplate.NewData(nil), jqtemplate.Options{Strict: true})
		limited := fault.Is(err, "template_limit")
		switch text {
		case "def f: f; f", "[range(infinite)]", "reduce range(9000) as $i (null;[.])":
			if !limited {
				t.Errorf("%s: got %v, want a limit", text, err)
			}
		case "reduce range(300000) as $i (null;[.])|tojson|length": // As fast as the machine is.
			if err != nil && !limited {
				t.Errorf("%s: got %v, want a value or a limit", text, err)
			}
		default:
			if limited || err != nil && !strings.HasPrefix(jqtemplate.ErrorClass(err), "Jq") {
				t.Errorf("%s: got %v, want a value or jq's own failure", text, err)
			}
		}
	}
}
