package document_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

func TestMembers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		change     func(*document.Members)
		want       string
	}{
		{"nothing", `{}`, func(*document.Members) {}, `{}`},
		{"as they were sent", `{"b":1.50,"a":"\u0041","10":[ 1, null ]}`, func(*document.Members) {}, `{"b":1.50,"a":"\u0041","10":[ 1, null ]}`},
		{"the last of a repeated member", `{"a":1,"b":2,"a":3}`, func(*document.Members) {}, `{"a":3,"b":2}`},
		{"white space", " { \"a\" : [ {} , \"]}\\\\\" ]\t, \"b\"\n:\r1 } ", func(*document.Members) {}, "{\"a\":[ {} , \"]}\\\\\" ],\"b\":1}"},
		{"names with escapes", `{"\u0061\"é":{"x":"\"}"},"a":""}`, func(m *document.Members) { m.SetText("a", "\x00") }, `{"a\"é":{"x":"\"}"},"a":"\u0000"}`},
		{"set", `{"a":1,"b":2}`, func(m *document.Members) { m.Set("a", json.RawMessage(`7`)); m.SetText("c", `"<`) }, `{"a":7,"b":2,"c":"\"<"}`},
		{"remove", `{"a":1,"b":2,"c":3}`, func(m *document.Members) { m.Remove("a", "c", "z") }, `{"b":2}`},
		{"keep", `{"a":1,"b":2,"c":3}`, func(m *document.Members) { m.Keep([]string{"c", "a"}) }, `{"a":1,"c":3}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, err := document.ParseMembers([]byte(tt.text))
			if err != nil {
				t.Fatalf("ParseMembers: %v", err)
			}
			tt.change(m)
			if diff := cmp.Diff(tt.want, string(m.Encode())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, text := range []string{``, `[]`, `null`, `{`, `{"`, `{"a`, `{"a\`, `{"a"`, `{"a":`, `{"a":}`, `{"a":,`, `{"a":1`, `{"a":"`, `{"a":[}`, `{"a":1,}`, `{,}`, `{a:1}`, `{"a" 1}`, `{} {}`, `{"\x":1}`} {
		if m, err := document.ParseMembers([]byte(text)); err == nil {
			t.Errorf("ParseMembers(%s): %v", text, m)
		}
	}
}

func TestManyMembers(t *testing.T) {
	t.Parallel()
	m, want := new(document.Members), new(document.Members)
	for i := range 1000 {
		m.Set(fmt.Sprint("m", i), json.RawMessage(`0`))
	}
	for i := range 1000 {
		m.Set(fmt.Sprint("m", i), json.RawMessage(`1`))
	}
	for i := 0; i < 1000; i += 2 {
		m.Remove(fmt.Sprint("m", i))
		want.Set(fmt.Sprint("m", i+1), json.RawMessage(`1`))
	}
	if m.Len() != 500 || m.Get("m0") != nil || string(m.Get("m999")) != "1" {
		t.Errorf("got %d members, m0 %s, m999 %s", m.Len(), m.Get("m0"), m.Get("m999"))
	}
	if diff := cmp.Diff(string(want.Encode()), string(m.Encode())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	tests := []struct{ path, name, want string }{
		{"", "a", "a"}, {"a", "b", "a.b"}, {"a", "b c", `a["b c"]`}, {"", "", `[""]`}, {"a", "ü", `a["ü"]`}, {"a", "$b-1_", "a.$b-1_"},
	}
	for _, tt := range tests {
		if got := document.Below(tt.path, tt.name); got != tt.want {
			t.Errorf("Below(%q, %q) is %s, want %s", tt.path, tt.name, got, tt.want)
		}
	}
}

func TestFaultsAreBounded(t *testing.T) {
	t.Parallel()
	var f document.Faults
	if f.Err() != nil || f.Any() {
		t.Errorf("no faults: %v", f.Err())
	}
	for i := range 100_000 {
		f.Add(fmt.Sprint("p", i), "is not valid")
	}
	c := f.Clone()
	f.Add("", "one more")
	var e *fault.Error
	if !errors.As(c.Err(), &e) || len(e.Message) > 1<<20 || !strings.HasSuffix(e.Message, "more faults are not listed") {
		t.Errorf("got a fault of %d bytes", len(e.Message))
	}
}

func TestCheckerFromManySides(t *testing.T) {
	t.Parallel()
	var d document.Draft
	if err := d.Pattern(`^(a+)+$`); err != nil {
		t.Fatalf("Pattern: %v", err)
	}
	c, err := d.Checker(map[string]any{"properties": map[string]any{
		"slow": map[string]any{"pattern": `^(a+)+$`},
		"enum": map[string]any{"format": d.Enum([]any{"x", 1.0, []any{"y"}})},
	}})
	if err != nil {
		t.Fatalf("Checker: %v", err)
	}
	var f document.Faults
	for _, v := range []any{"x", 1.0, []any{"y"}, "y"} {
		if err := c.Check(&f, map[string]any{"enum": v}, "v"); err != nil {
			t.Errorf("Check: %v", err)
		}
	}
	if err := f.Err(); err == nil || err.Error() != `v.enum: must be one of "x", 1, ["y"]` {
		t.Errorf("values of an enum: %v", err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for text, want := range map[string]string{
				"aaa": "", "b": "v.slow: must match the pattern ^(a+)+$",
				strings.Repeat("a", 60) + "b": "v.slow: matching the pattern ^(a+)+$ takes too long",
			} {
				var f document.Faults
				if err := c.Check(&f, map[string]any{"slow": text}, "v"); err != nil {
					t.Errorf("Check: %v", err)
				}
				got := ""
				if err := f.Err(); err != nil {
					got = err.Error()
				}
				if got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
	all.Wait()
}

func TestExpression(t *testing.T) {
	t.Parallel()
	if e, w := document.Expression("p", ".a"); e == nil || w != nil {
		t.Errorf("got %v, %v", e, w)
	}
	e, w := document.Expression("p", ".a +")
	if e != nil || w == nil || w.Path != "p" || w.Expression != ".a +" || w.Message == "" {
		t.Errorf("got %v, %+v", e, w)
	}
}

func TestFinite(t *testing.T) {
	t.Parallel()
	v, err := jqtemplate.Decode([]byte(`{"a":[1,-1e999],"b":{"c":1e999}}`))
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	var f document.Faults
	f.Finite(v, "")
	want := "a[1]: must be a number between -1.8e308 and 1.8e308\nb.c: must be a number between -1.8e308 and 1.8e308"
	if err := f.Err(); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if got := document.Plain(v).(map[string]any)["b"].(map[string]any)["c"]; got != 1.7976931348623157e308 {
		t.Errorf("plain: %v", got)
	}
}

func FuzzMembers(f *testing.F) {
	for _, text := range []string{`{}`, ` { "a" : [ {} , "]}\\" ] , "b":1.50,"\u0061":"é"} `, `{"a":{"b":[]},"a":null}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := document.ParseMembers(text)
		if !json.Valid(text) {
			return
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(text, &want) != nil || want == nil {
			if err == nil {
				t.Fatalf("got members of %s", text)
			}
			return
		}
		if err != nil {
			t.Fatalf("ParseMembers: %v", err)
		}
		got := map[string]json.RawMessage{}
		for name, value := range m.All() {
			got[name] = value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}
