package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJQ(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tests := map[string]struct {
		body string
		// result is JSON text, empty for none.
		result   string
		error    string
		position any
	}{
		"expression":                 {`{"expression":".a + 1","data":{"a":1}}`, `2`, "", nil},
		"null":                       {`{"expression":".b","data":{"a":1}}`, `null`, "", nil},
		"no data":                    {`{"expression":"."}`, `null`, "", nil},
		"undefined":                  {`{"expression":"empty","data":1}`, ``, "", nil},
		"object":                     {`{"expression":"{a:.}","data":"<x>"}`, `{"a":"<x>"}`, "", nil},
		"failing":                    {`{"expression":".a","data":"text"}`, `null`, "some", nil},
		"does not compile":           {`{"expression":".a |","data":{}}`, ``, "some", "some"},
		"no environment":             {`{"expression":"env | length"}`, `0`, "", nil},
		"template":                   {`{"template":{"x":"{{ .a }}","y":"a {{ .a }}"},"data":{"a":1}}`, `{"x":1,"y":"a 1"}`, "", nil},
		"template text":              {`{"template":"{{ .a }}","data":{"a":[1]}}`, `[1]`, "", nil},
		"template null":              {`{"template":null,"data":1}`, `null`, "", nil},
		"failing template":           {`{"template":"{{ .a.b }}","data":{"a":"text"}}`, `null`, "some", nil},
		"template does not compile":  {`{"template":["{{ .a | }}"],"data":{}}`, `[null]`, "some", "some"},
		"template of unequal braces": {`{"template":"{{ .a","data":{}}`, ``, "some", "some"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := *f
			f.t = t
			g := f.call("POST", "/v1/jq", test.body).want(200)
			var raw struct {
				Result json.RawMessage `json:"result"`
			}
			if err := json.Unmarshal(g.text, &raw); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.result, string(raw.Result)); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if (test.error != "") != (g.body["error"] != nil) {
				t.Errorf("got error %v, want %q", g.body["error"], test.error)
			}
			if (test.position != nil) != (g.body["position"] != nil) {
				t.Errorf("got position %v, want %v", g.body["position"], test.position)
			}
		})
	}
}

func TestJQRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tests := map[string]struct {
		body, word, holds string
	}{
		"both":            {`{"expression":".","template":"x"}`, "invalid_request", "either expression or template"},
		"neither":         {`{"data":1}`, "invalid_request", "either expression or template"},
		"a null":          {`{"expression":null}`, "invalid_request", "either expression or template"},
		"a number":        {`{"expression":1}`, "invalid_request", "expression: must be a string"},
		"a limit":         {`{"expression":"[range(1e9)] | length"}`, "template_limit", ""},
		"a template's":    {`{"template":"{{ last(range(1e12)) }}"}`, "template_limit", ""},
		"an unknown name": {`{"expression":".","x":1}`, "invalid_request", "x: is not a member"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := *f
			f.t = t
			if got := f.call("POST", "/v1/jq", test.body).fault(422, test.word); !strings.Contains(got, test.holds) {
				t.Errorf("got message %q, want it to hold %q", got, test.holds)
			}
		})
	}
}
