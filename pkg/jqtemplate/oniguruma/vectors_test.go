package oniguruma_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/jqtemplate/oniguruma"
)

// lines calls yield for each line of a compressed file of the recorded cases.
func lines(t *testing.T, name string, yield func(line []byte)) {
	t.Helper()
	f, err := os.Open("../../../testdata/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(z)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			yield(line)
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// call is a template that is nothing but one call: its parts are the function, the pattern and the
// flags, both as JSON.
var call = regexp.MustCompile(`^\{\{ \[?\.x ?\| ?(test|match)\(("(?:[^"\\]|\\.)*")(?:; ("\w*"|null))?\)\]? \}\}$`)

// value is what jq makes of matches.
func value(matches []oniguruma.Match) any {
	out := []any{}
	for _, m := range matches {
		captures := []any{}
		for _, c := range m.Captures {
			o := map[string]any{"offset": float64(c.Offset), "length": float64(c.Length), "string": nil, "name": nil}
			if c.Matched {
				o["string"] = c.String
			}
			if c.Named {
				o["name"] = c.Name
			}
			captures = append(captures, o)
		}
		out = append(out, map[string]any{
			"offset": float64(m.Offset), "length": float64(m.Length), "string": m.String, "captures": captures,
		})
	}
	return out
}

// TestVectors runs the recorded cases that are one call of test or match.
func TestVectors(t *testing.T) {
	t.Parallel()
	inputs := map[string]json.RawMessage{}
	lines(t, "inputs.json.gz", func(line []byte) {
		if err := json.Unmarshal(line, &inputs); err != nil {
			t.Fatal(err)
		}
	})
	count := 0
	lines(t, "payload.jsonl.gz", func(line []byte) {
		var v struct {
			ID       int
			Input    string
			Template any
			Expect   struct {
				OK    any
				Error *string
			}
		}
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		template, _ := v.Template.(string)
		parts := call.FindStringSubmatch(template)
		var input struct{ X string }
		if parts == nil || json.Unmarshal(inputs[v.Input], &input) != nil {
			return
		}
		count++
		var pattern, flags string
		if err := errors.Join(json.Unmarshal([]byte(parts[2]), &pattern), json.Unmarshal([]byte(`[`+parts[3]+`]`), &[]*string{&flags})); err != nil {
			t.Fatal(err)
		}
		var got any
		re, err := oniguruma.Compile(pattern, flags)
		if err == nil && parts[1] == "test" {
			got, err = re.Test(context.Background(), input.X)
		} else if err == nil {
			var matches []oniguruma.Match
			matches, err = re.Match(context.Background(), input.X, flags == "g")
			got = value(matches)
		}
		switch {
		case errors.Is(err, oniguruma.ErrTimeout): // The machine is busy.
		case err != nil && v.Expect.Error != nil:
			if want := *v.Expect.Error; "jq: error: "+err.Error() != want {
				t.Errorf("vector %d: %s: got %v, want %s", v.ID, template, err, want)
			}
		case err != nil:
			if v.Expect.OK != nil {
				t.Errorf("vector %d: %s: %v", v.ID, template, err)
			}
		default:
			if diff := cmp.Diff(v.Expect.OK, got); diff != "" {
				t.Errorf("vector %d: %s: %s", v.ID, template, diff)
			}
		}
	})
	if count < 200 {
		t.Errorf("%d cases", count)
	}
	t.Logf("%d cases", count)
}
