package jqtemplate_test

import (
	"context"
	"strings"
	"testing"

	"longshore/pkg/jqtemplate"
)

// seeds adds the expressions of the recorded cases to a corpus, every nth of them.
func seeds(f *testing.F, nth int, add func(template, input []byte)) {
	f.Helper()
	for i, v := range loadVectors(f) {
		if i%nth == 0 {
			add(jqtemplate.Encode(v.template), jqtemplate.Encode(v.input))
		}
	}
}

// FuzzParse: a template is compiled or refused with its places, and every warning lies inside it.
func FuzzParse(f *testing.F) {
	seeds(f, 40, func(template, _ []byte) { f.Add(template) })
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := jqtemplate.Decode(text)
		if err != nil {
			return
		}
		tmpl, err := jqtemplate.Parse(v, "body")
		if err != nil {
			if class := jqtemplate.ErrorClass(err); class != "Error" {
				t.Errorf("got %v of class %s", err, class)
			}
			return
		}
		for _, w := range tmpl.Warnings() {
			if !strings.HasPrefix(w.Path, "body") || w.Position < 0 || w.Position > len(text) {
				t.Errorf("got warning %+v", w)
			}
			if strings.Contains(w.Message, "broke the engine") {
				t.Errorf("%s: %s", w.Expression, w.Message)
			}
		}
	})
}

// FuzzRender: a rendering ends with a value that can be read again, jq's own failure, a template's
// fault or a limit; and the same template and data always yield the same.
func FuzzRender(f *testing.F) {
	seeds(f, 20, func(template, input []byte) { f.Add(template, input) })
	f.Fuzz(func(t *testing.T, template, input []byte) {
		v, err := jqtemplate.Decode(template)
		if err != nil {
			return
		}
		data, err := jqtemplate.Decode(input)
		if err != nil {
			return
		}
		tmpl, err := jqtemplate.Parse(v, "")
		if err != nil {
			return
		}
		before := string(jqtemplate.Encode(data))
		result, err := tmpl.Render(context.Background(), jqtemplate.NewData(data), jqtemplate.Options{Report: true})
		if after := string(jqtemplate.Encode(data)); after != before {
			t.Fatalf("the data was changed: %s\nwas %s", after, before)
		}
		for _, failed := range result.Failed {
			if strings.Contains(failed.Message, "broke the engine") {
				t.Errorf("%s: %s", failed.Expression, failed.Message)
			}
		}
		if err != nil || result.Undefined {
			return
		}
		text := jqtemplate.Encode(result.Value)
		if again, err := jqtemplate.Decode(text); err != nil || string(jqtemplate.Encode(again)) != string(text) {
			t.Errorf("%.1000s cannot be read again: %v", text, err)
		}
	})
}

// FuzzFastPath: a plain path yields what the evaluator makes of it. "(path)|." is no plain path. A text
// ends at its first U+0000, as it does for jq.
func FuzzFastPath(f *testing.F) {
	for _, path := range []string{".", ".a", ".a.b", `."a b"`, ".[0]", ".[-1]", ".a[1].b", `.["x"]`, ".arr[2]", ".obj.y.x", ".[1e3]", ".a.[0]"} {
		f.Add(path, []byte(`{"a":[1,{"b":null}],"arr":[1,2,3],"obj":{"y":{"x":"deep"}},"a b":1,"x":[]}`))
		f.Add(path, []byte(`[[1],{"b":2},"text"]`))
		f.Add(path, []byte(`"text"`))
	}
	f.Fuzz(func(t *testing.T, path string, input []byte) {
		data, err := jqtemplate.Decode(input)
		if err != nil || strings.ContainsAny(path, "#()|,$'\x00") {
			return
		}
		fast, err := jqtemplate.ParseExpression(path)
		if err != nil || !fast.Plain() {
			return
		}
		slow, err := jqtemplate.ParseExpression("(" + path + ")|.")
		if err != nil {
			t.Fatalf("%s compiles alone: %v", path, err)
		}
		want, wantDefined, wantErr := slow.Eval(context.Background(), jqtemplate.NewData(data))
		got, defined, gotErr := fast.Eval(context.Background(), jqtemplate.NewData(data))
		if defined != wantDefined || (gotErr == nil) != (wantErr == nil) || string(jqtemplate.Encode(got)) != string(jqtemplate.Encode(want)) {
			t.Errorf("%s: got %v %v %v, the evaluator says %v %v %v", path, got, defined, gotErr, want, wantDefined, wantErr)
		}
		if gotErr != nil && gotErr.Error() != wantErr.Error() {
			t.Errorf("%s: got %q, the evaluator says %q", path, gotErr, wantErr)
		}
	})
}
