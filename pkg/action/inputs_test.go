package action_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/jqtemplate"
)

// inputs returns the inputs of a v2 definition with those userInputs.
func inputs(t testing.TB, userInputs string) *action.Inputs {
	t.Helper()
	d, err := action.Parse([]byte(trigger(`{"type":"self-service","operation":"CREATE","userInputs":` + userInputs + `}`)))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return d.Inputs
}

// complete returns the values of completed inputs, nil with an error.
func complete(t testing.TB, in *action.Inputs, given *jqtemplate.Object) (*jqtemplate.Object, error) {
	t.Helper()
	done, err := in.Complete(t.Context(), given, action.Scope{})
	if err != nil {
		return nil, err
	}
	return done.Values, nil
}

func TestComplete(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, userInputs, given string
		// want is the completed inputs; empty when faults are wanted.
		want   string
		faults []string
	}{
		{"none declared", `{"properties":{}}`, `{"b":1,"a":[null]}`, `{"b":1,"a":[null]}`, nil},
		{"null for all inputs", `null`, `{"a":1}`, `{"a":1}`, nil},
		{"undeclared ones pass as they are", `{"properties":{"a":{"type":"number"}}}`, `{"z":{"b":null},"a":1,"c":"x"}`, `{"z":{"b":null},"a":1,"c":"x"}`, nil},
		{
			"defaults follow in the order declared",
			`{"properties":{"b":{"type":"number","default":0},"a":{"type":"string","default":""},"c":{"type":"boolean","default":false},"d":{"type":"array","default":[]},"e":{"type":"object","default":{"y":1,"x":2}}}}`,
			`{"x":1,"a":"given"}`, `{"x":1,"a":"given","b":0,"c":false,"d":[],"e":{"y":1,"x":2}}`, nil,
		},
		{"a default of null is none", `{"properties":{"a":{"type":"string","default":null}}}`, `{}`, `{}`, nil},
		{"a default in items is not filled in", `{"properties":{"a":{"type":"array","items":{"type":"string","default":"x"}}}}`, `{"a":[]}`, `{"a":[]}`, nil},
		{"a default that is wrong", `{"properties":{"a":{"type":"string","default":1}}}`, `{}`, "", []string{"properties.a: must be a string, got a number"}},
		{"a default meets required", `{"properties":{"a":{"type":"string","default":"x"}},"required":["a"]}`, `{}`, `{"a":"x"}`, nil},

		// Required.
		{"required", `{"properties":{"a":{"type":"string"},"b":{"type":"number"}},"required":["b","a","c"]}`, `{}`, "", []string{"properties.a: is required", "properties.b: is required", "properties.c: is required"}},
		{"null is no value", `{"properties":{"a":{"type":"string"}},"required":["a"]}`, `{"a":null}`, "", []string{"properties.a: is required"}},
		{"null for what is not required", `{"properties":{"a":{"type":"string","minLength":1,"default":"x"}}}`, `{"a":null}`, `{"a":null}`, nil},
		{"an empty string is a value", `{"properties":{"a":{"type":"string"}},"required":["a"]}`, `{"a":""}`, `{"a":""}`, nil},
		{"not visible, not given", `{"properties":{"a":{"type":"string","visible":false}},"required":["a"]}`, `{}`, `{}`, nil},
		{"disabled, not given", `{"properties":{"a":{"type":"string","disabled":true}},"required":["a"]}`, `{}`, `{}`, nil},
		{"enabled and visible", `{"properties":{"a":{"type":"string","disabled":false,"visible":true}},"required":["a"]}`, `{}`, "", []string{"properties.a: is required"}},
		{"not visible, with default", `{"properties":{"a":{"type":"string","visible":false,"default":"x"}}}`, `{}`, `{"a":"x"}`, nil},
		{"not visible, given and wrong", `{"properties":{"a":{"type":"string","visible":false}}}`, `{"a":1}`, "", []string{"properties.a: must be a string, got a number"}},
		{"in a step that is not visible", `{"properties":{"a":{"type":"string"},"b":{"type":"string"}},"required":["a","b"],"steps":[{"title":"1","order":["a","b"],"visible":false},{"title":"2","order":["b"]}]}`, `{}`, "", []string{"properties.b: is required"}},

		// Types.
		{
			"every type", `{"properties":{"s":{"type":"string"},"n":{"type":"number"},"b":{"type":"boolean"},"o":{"type":"object"},"a":{"type":"array"}}}`,
			`{"s":1,"n":"1","b":"true","o":[],"a":{}}`, "", []string{
				"properties.a: must be an array, got an object", "properties.b: must be a boolean, got a string", "properties.n: must be a number, got a string",
				"properties.o: must be an object, got an array", "properties.s: must be a string, got a number",
			},
		},
		{"an odd name", `{"properties":{"a@b":{"type":"string"}}}`, `{"a@b":1}`, "", []string{`properties["a@b"]: must be a string, got a number`}},

		// Strings.
		{"enum", `{"properties":{"a":{"type":"string","enum":["x","y"]}}}`, `{"a":"z"}`, "", []string{`properties.a: must be one of "x", "y"`}},
		{"enum of numbers", `{"properties":{"a":{"type":"number","enum":[1,2.5]}}}`, `{"a":2.5}`, `{"a":2.5}`, nil},
		{"enum of zero, null and objects", `{"properties":{"a":{"type":"array","items":{"enum":[-0,null,{"x":1,"y":[2]}]}}}}`, `{"a":[0,null,{"y":[2],"x":1}]}`, `{"a":[0,null,{"y":[2],"x":1}]}`, nil},
		{"enum is strict about types", `{"properties":{"a":{"type":"array","items":{"enum":["1",{"x":1}]}}}}`, `{"a":[1,"{\"x\":1}",{"x":"1"},"1"]}`, "", []string{
			`properties.a[0]: must be one of "1", {"x":1}`, `properties.a[1]: must be one of "1", {"x":1}`, `properties.a[2]: must be one of "1", {"x":1}`,
		}},
		{"const", `{"properties":{"a":{"type":"object","const":{"x":"<"}}}}`, `{"a":{}}`, "", []string{`properties.a: must be {"x":"<"}`}},
		{"enum and format", `{"properties":{"a":{"type":"string","format":"ipv4","enum":["10.0.0.1","x"]}}}`, `{"a":"x"}`, "", []string{"properties.a: must be an IPv4 address"}},
		{"an empty enum is no enum", `{"properties":{"a":{"type":"string","enum":[]}}}`, `{"a":"z"}`, `{"a":"z"}`, nil},
		{"lengths count characters", `{"properties":{"a":{"type":"string","maxLength":2},"b":{"type":"string","minLength":2}}}`, `{"a":"😀é","b":"😀"}`, "", []string{"properties.b: must have at least 2 characters"}},
		{"too long", `{"properties":{"a":{"type":"string","maxLength":1}}}`, `{"a":"ab"}`, "", []string{"properties.a: must have at most 1 character"}},
		{"pattern with look-ahead", `{"properties":{"a":{"type":"string","pattern":"^(?!admin$)[a-z]+$"}}}`, `{"a":"admin"}`, "", []string{"properties.a: must match the pattern ^(?!admin$)[a-z]+$"}},
		{"pattern with look-behind", `{"properties":{"a":{"type":"string","pattern":"(?<=-)v\\d+$"},"b":{"type":"string","pattern":"(?<!x)y"}}}`, `{"a":"app-v2","b":"xy"}`, "", []string{"properties.b: must match the pattern (?<!x)y"}},
		{"pattern is not anchored", `{"properties":{"a":{"type":"string","pattern":"b"}}}`, `{"a":"abc"}`, `{"a":"abc"}`, nil},
		{"$ is the very end", `{"properties":{"a":{"type":"string","pattern":"^a$"}}}`, "{\"a\":\"a\\n\"}", "", []string{"properties.a: must match the pattern ^a$"}},
		{"digits are ASCII, letters are Unicode", `{"properties":{"a":{"type":"string","pattern":"^\\p{L}+\\d$"},"b":{"type":"string","pattern":"^\\d$"}}}`, `{"a":"größe1","b":"٣"}`, "", []string{`properties.b: must match the pattern ^\d$`}},
		{"a character beyond the BMP is one", `{"properties":{"a":{"type":"string","pattern":"^.\\u{1F600}$"}}}`, `{"a":"😀😀"}`, `{"a":"😀😀"}`, nil},

		// Formats.
		{
			"good formats", `{"properties":{"d":{"type":"string","format":"date-time"},"u":{"type":"string","format":"url"},"e":{"type":"string","format":"email"},"4":{"type":"string","format":"ipv4"},"6":{"type":"string","format":"ipv6"}}}`,
			`{"d":"2026-01-31T09:30:00.123Z","u":"https://example.com/ü?x={y}","e":"a.b+c@example.com","4":"10.0.0.1","6":"fe80::1"}`,
			`{"4":"10.0.0.1","6":"fe80::1","d":"2026-01-31T09:30:00.123Z","u":"https://example.com/ü?x={y}","e":"a.b+c@example.com"}`, nil,
		},
		{
			"addresses that are none", `{"properties":{"a":{"type":"string","format":"email"},"b":{"type":"string","format":"email"},"c":{"type":"string","format":"email"},"d":{"type":"string","format":"email"}}}`,
			`{"a":"@b","b":"a@b.","c":"A <a@b.c>","d":"a@b.c, d@e.f"}`, "", []string{
				"properties.a: must be an e-mail address", "properties.b: must be an e-mail address",
				"properties.c: must be an e-mail address", "properties.d: must be an e-mail address",
			},
		},
		{
			"bad formats", `{"properties":{"d":{"type":"string","format":"date-time"},"u":{"type":"string","format":"url"},"v":{"type":"string","format":"url"},"e":{"type":"string","format":"email"},"4":{"type":"string","format":"ipv4"},"6":{"type":"string","format":"ipv6"}}}`,
			`{"d":"2026-02-30T09:30:00Z","u":"example.com","v":"mailto:a@b","e":"a@","4":"10.0.0.256","6":"10.0.0.1"}`, "", []string{
				"properties.4: must be an IPv4 address", "properties.6: must be an IPv6 address",
				"properties.d: must be a date-time of RFC 3339, such as 2026-01-31T09:30:00Z", "properties.e: must be an e-mail address",
				"properties.u: must be an absolute URL with scheme and host", "properties.v: must be an absolute URL with scheme and host",
			},
		},
		{
			"formats that any string meets", `{"properties":{"y":{"type":"string","format":"yaml"},"m":{"type":"string","format":"markdown"},"l":{"type":"string","format":"multi-line"},"p":{"type":"string","format":"proto"},"u":{"type":"string","format":"labeled-url"},"s":{"type":"string","format":"user"},"t":{"type":"string","format":"team"}}}`,
			`{"y":": [","m":"#","l":"\n","p":"x","u":"no url","s":"nobody","t":""}`, `{"y":": [","m":"#","l":"\n","p":"x","u":"no url","s":"nobody","t":""}`, nil,
		},
		{"an entity by identifier or as object", `{"properties":{"a":{"type":"string","format":"entity"},"b":{"type":"string","format":"entity"}}}`, `{"a":"x","b":{"identifier":"y","title":"Y"}}`, `{"a":"x","b":{"identifier":"y","title":"Y"}}`, nil},
		{"an entity without identifier", `{"properties":{"a":{"type":"string","format":"entity"},"l":{"type":"array","items":{"type":"string","format":"entity"}}}}`, `{"a":{"title":"x"},"l":["x",{"identifier":1},2]}`, "", []string{
			"properties.a.identifier: is required", "properties.l[1].identifier: must be a string, got a number", "properties.l[2]: must be a string or an object, got a number",
		}},
		{"a format of something else than a string", `{"properties":{"a":{"type":"number","format":"email"}}}`, `{"a":1}`, `{"a":1}`, nil},

		// Numbers.
		{
			"bounds", `{"properties":{"a":{"type":"number","minimum":1.5},"b":{"type":"number","maximum":1e21},"c":{"type":"number","exclusiveMinimum":1},"d":{"type":"number","exclusiveMaximum":1},"e":{"type":"number","multipleOf":0.5}}}`,
			`{"a":1,"b":2e21,"c":1,"d":1,"e":0.7}`, "", []string{
				"properties.a: must be at least 1.5", "properties.b: must be at most 1e+21", "properties.c: must be more than 1", "properties.d: must be less than 1", "properties.e: must be a multiple of 0.5",
			},
		},
		{"at the bounds", `{"properties":{"a":{"type":"number","minimum":0.1,"maximum":0.1}}}`, `{"a":0.1}`, `{"a":0.1}`, nil},
		{"beyond the doubles", `{"properties":{"a":{"type":"number","maximum":5},"b":{"type":"number","minimum":5}}}`, `{"a":1e999,"b":-1e999}`, "", []string{"properties.a: must be at most 5", "properties.b: must be at least 5"}},

		// Arrays and objects.
		{"items", `{"properties":{"a":{"type":"array","minItems":2,"items":{"type":"string","pattern":"^x"}},"b":{"type":"array","maxItems":1},"c":{"type":"array","uniqueItems":true}}}`, `{"a":["y"],"b":[1,2],"c":[{"x":1,"y":2},3,{"y":2,"x":1}]}`, "", []string{
			"properties.a: must have at least 2 items", "properties.a[0]: must match the pattern ^x", "properties.b: must have at most 1 item", "properties.c: must have no equal items, 0 and 2 are",
		}},
		{"members", `{"properties":{"a":{"type":"object","properties":{"x":{"type":"string"},"y":{"type":"array","items":{"type":"object","required":["z","z"]}}},"required":["w"],"additionalProperties":false}}}`, `{"a":{"x":1,"y":[{}],"v":1}}`, "", []string{
			"properties.a.v: unknown field", "properties.a.w: is required", "properties.a.x: must be a string, got a number", "properties.a.y[0].z: is required",
		}},
		{"null inside is a value", `{"properties":{"a":{"type":"object","properties":{"x":{"type":"string"}}}}}`, `{"a":{"x":null}}`, "", []string{"properties.a.x: must be a string, got null"}},
		{"a member called properties", `{"properties":{"a":{"type":"object","properties":{"properties":{"type":"string"},"default":{"type":"number"}}}}}`, `{"a":{"properties":1,"default":"x"}}`, "", []string{"properties.a.default: must be a number, got a string", "properties.a.properties: must be a string, got a number"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := complete(t, inputs(t, tt.userInputs), decode(t, tt.given))
			if diff := cmp.Diff(tt.faults, faultLines(t, err)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			text := ""
			if got != nil {
				text = string(jqtemplate.Encode(got))
			}
			if diff := cmp.Diff(tt.want, text); diff != "" {
				t.Errorf("completed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCompleteChangesNeitherSide(t *testing.T) {
	t.Parallel()
	in := inputs(t, `{"properties":{"a":{"type":"array","default":[1]},"b":{"type":"string"}}}`)
	given := decode(t, `{"b":"x"}`)
	first, err := complete(t, in, given)
	if err != nil {
		t.Fatalf("Complete: %v", err)
	}
	first.Set("c", true)
	if got := string(jqtemplate.Encode(given)); got != `{"b":"x"}` {
		t.Errorf("the given inputs are now %s", got)
	}
	second, err := complete(t, in, nil)
	if err != nil {
		t.Fatalf("Complete(nil): %v", err)
	}
	if got := string(jqtemplate.Encode(second)); got != `{"a":[1]}` {
		t.Errorf("completed nothing to %s", got)
	}
}

func TestCompleteOfZeroInputs(t *testing.T) {
	t.Parallel()
	got, err := complete(t, new(action.Inputs), decode(t, `{"a":1}`))
	if err != nil || string(jqtemplate.Encode(got)) != `{"a":1}` {
		t.Errorf("Complete = %v, %v", got, err)
	}
}

func TestCompleteQuotesNoValue(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	in := inputs(t, `{"properties":{"a":{"type":"string","pattern":"^x"},"b":{"type":"string","enum":["x"]},"c":{"type":"string","format":"email"},"d":{"type":"number"},"e":{"type":"string","maxLength":1}}}`)
	_, err := complete(t, in, decode(t, `{"a":"hunter2","b":"hunter2","c":"hunter2","d":"hunter2","e":"hunter2"}`))
	if got := faultLines(t, err); len(got) != 5 || strings.Contains(err.Error(), secret) {
		t.Errorf("faults %q, want 5 without the value", got)
	}
}

// TestCompleteBoundsPatterns gives a list on which each match runs into its timeout: all together
// must not take a thousand of them.
func TestCompleteBoundsPatterns(t *testing.T) {
	t.Parallel()
	in := inputs(t, `{"properties":{"a":{"type":"array","items":{"type":"string","pattern":"^(a+)+$"}},"b":{"type":"string","pattern":"^b$"}}}`)
	slow := strings.Repeat(`"`+strings.Repeat("a", 50)+`!",`, 1000)
	_, err := complete(t, in, decode(t, `{"a":[`+strings.TrimSuffix(slow, ",")+`]}`))
	got := faultLines(t, err)
	if want := "properties.a[999]: matching the pattern ^(a+)+$ takes too long"; len(got) != 1000 || !slices.Contains(got, want) {
		t.Errorf("%d faults, want 1000, one of them %q", len(got), want)
	}
	// The next request has time of its own.
	if _, err := complete(t, in, decode(t, `{"a":["aaa"],"b":"b"}`)); err != nil {
		t.Errorf("Complete afterwards: %v", err)
	}
}

func TestCompleteConcurrently(t *testing.T) {
	t.Parallel()
	in := inputs(t, `{"properties":{"a":{"type":"string","pattern":"^(?=x)"},"b":{"type":"number","default":1}},"required":["a"]}`)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			text, ok := `{"a":"x"}`, true
			if i%2 == 0 {
				text, ok = `{"a":"y"}`, false
			}
			if _, err := complete(t, in, decode(t, text)); (err == nil) != ok {
				t.Errorf("Complete(%s): %v", text, err)
			}
		})
	}
	wg.Wait()
}

func BenchmarkComplete(b *testing.B) {
	for name, userInputs := range map[string]string{
		"plain":   `{"properties":{"a":{"type":"string"},"b":{"type":"number","default":1},"c":{"type":"array","items":{"type":"string"}}},"required":["a"]}`,
		"pattern": `{"properties":{"a":{"type":"string","pattern":"^[a-z]+$"},"b":{"type":"number","default":1},"c":{"type":"array","items":{"type":"string"}}},"required":["a"]}`,
	} {
		in := inputs(b, userInputs)
		v, err := jqtemplate.Decode([]byte(`{"a":"service","c":["x","y"]}`))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := complete(b, in, v.(*jqtemplate.Object)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
