package jqtime_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/jqtemplate/jqtime"
)

// call is a template that is nothing but one call: its parts are the input, a member or JSON, the function
// and its argument.
var call = regexp.MustCompile(`^\{\{ (\.\w+|"[^"]*"|-?[\d.e]+|\[[^\]]*\]) ?\| ?(strftime|strptime|mktime|gmtime|todate|fromdate)(?:\(("[^"]*")\))? \}\}$`)

// TestVectors runs the recorded cases that are one call of a function.
func TestVectors(t *testing.T) {
	t.Parallel()
	members := map[string]any{ // Of the input of these cases.
		".d": "2025-01-15T09:30:45Z", ".dms": "2025-01-15T09:30:45.678Z", ".off": "2025-01-15T09:30:45+02:00",
		".ts": 1736933445.0, ".tsf": 1736933445.678, ".tsm": 1736933445678.0, ".day": "2025-01-15",
		".leap": "2024-02-29T23:59:59Z", ".old": "1969-12-31T23:59:59Z", ".bad": "not a date", ".neg": -1.0,
	}
	f, err := os.Open("../../../testdata/vectors/payload.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	count := 0
	for lines.Scan() {
		var v struct {
			ID       int
			Cat      string
			Template any
			Expect   struct {
				OK    any
				Error *string
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		template, _ := v.Template.(string)
		parts := call.FindStringSubmatch(template)
		if parts == nil || v.Cat != "date" {
			continue
		}
		count++
		input, member := members[parts[1]]
		if !member {
			if err := json.Unmarshal([]byte(parts[1]), &input); err != nil {
				t.Fatal(err)
			}
		}
		var argument any
		if parts[3] != "" {
			if err := json.Unmarshal([]byte(parts[3]), &argument); err != nil {
				t.Fatal(err)
			}
		}
		got, err := apply(parts[2], input, argument)
		switch {
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
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if count < 70 {
		t.Errorf("%d cases", count)
	}
	t.Logf("%d cases", count)
}

// apply calls a function as jq's definitions do.
func apply(name string, input, argument any) (any, error) {
	switch name {
	case "strftime":
		return jqtime.Strftime(input, argument)
	case "todate":
		return jqtime.Strftime(input, jqtime.ISO8601)
	case "strptime":
		return anyOf(jqtime.Strptime(input, argument))
	case "gmtime":
		return anyOf(jqtime.Gmtime(input))
	case "mktime":
		return jqtime.Mktime(input)
	}
	a, err := jqtime.Strptime(input, jqtime.ISO8601)
	if err != nil {
		return nil, err
	}
	return jqtime.Mktime(a)
}

func anyOf(a []any, err error) (any, error) { return a, err }
