package action_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

func TestHostileDefinitions(t *testing.T) {
	t.Parallel()
	// groups is a dataset as deep as its text allows, with a fault in each rule.
	groups := func(depth int) string {
		return strings.Repeat(`{"combinator":"x","rules":[`, depth) + strings.Repeat(`]}`, depth)
	}
	tests := []struct {
		name, text string
		// want is part of the message; empty when the definition is good.
		want string
	}{
		{"nothing", ``, "malformed JSON at byte 0"},
		{"invalid UTF-8", with("top", "\"title\":\"a\xffb\""), "invalid UTF-8"},
		{"two values", with("top", "") + `{}`, "text after the value"},
		{"a comment", `/**/` + with("top", ""), "malformed JSON at byte 0"},
		{"deep lists", with("method", `"body":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)), "nested deeper than 512 levels"},
		{"deep groups", input(`{"type":"string","dataset":` + groups(240) + `}`), "combinator: must be one of"},
		{"deep items", input(strings.Repeat(`{"type":"array","items":`, 500) + `{}` + strings.Repeat(`}`, 500)), ""},
		{"one byte over the size", sized(action.MaxSize + 1), "a definition may have at most 358400 bytes, this one has 358401"},
		{"all of the size", sized(action.MaxSize), ""},
		{"white space does not count", strings.Repeat(" ", 600<<10) + with("top", ""), ""},
		{"unknown fields beyond count", with("top", strings.TrimSuffix(manyMembers(34_000), ",")), "more faults are not listed"},
		{"an unknown field as long as the definition", with("top", `"`+strings.Repeat("x", 300<<10)+`":1`), "xxx…: unknown field"},
		{"a long enum in a fault", input(`{"type":"string","enum":"` + strings.Repeat("x", 300<<10) + `"}`), "must be an array or an object, got a string"},
		{"a pattern of nothing but groups", input(`{"type":"string","pattern":"` + strings.Repeat("(", 20_000) + strings.Repeat(")", 20_000) + `"}`), ""},
		{"a pattern that repeats repetitions", input(`{"type":"string","pattern":"((((a{1,1000}){1,1000}){1,1000}){1,1000}){1,1000}"}`), ""},
		{"numbers beyond the doubles", input(`{"type":"number","minimum":-1e999,"maximum":1e999,"multipleOf":1e-999}`), "multipleOf: must be more than 0"},
		{"lengths beyond integers", input(`{"type":"string","maxLength":1e300}`), "must be at most 2147483647"},
		{"names of the object's prototype", with("method", `"headers":{"__proto__":"x","constructor":"y"}`), ""},
		{"an identifier with NUL", with("top", `"identifier":"a\u0000"`), identifierRule},
		{"schema keywords as input names", trigger(`{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"properties":{"type":"object","properties":{"$id":{"type":"string"},"$ref":{"type":"string"}}},"type":{"type":"string"}}}}`), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, err := action.Parse(json.RawMessage(tt.text))
			if tt.want == "" {
				if err != nil {
					t.Fatalf("Parse: %.500v", err)
				}
				view, err := action.View(record(t, tt.text), d, "v1")
				if _, bad := jqtemplate.Decode(view); err != nil || bad != nil {
					t.Errorf("View: %v, %v", err, bad)
				}
				return
			}
			var f *fault.Error
			if !errors.As(err, &f) || f.Kind != fault.Invalid || !strings.Contains(f.Message, tt.want) {
				t.Fatalf("Parse: %.500v, want a fault with %q", err, tt.want)
			}
			if text, err := json.Marshal(f.Details); err != nil || len(f.Message)+len(text) > 2<<20 {
				t.Errorf("the fault takes %d bytes, %v", len(f.Message)+len(text), err)
			}
		})
	}
}

// sized returns a good definition of exactly that many bytes.
func sized(n int) string {
	text := with("top", `"description":""`)
	return strings.Replace(text, `"description":""`, `"description":"`+strings.Repeat("x", n-len(text))+`"`, 1)
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"` + string(rune('a'+i%26)) + strings.Repeat("x", i%3) + string(rune('0'+i%10)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676%26)) + `":1,`)
	}
	return b.String()
}

func TestHostileInputs(t *testing.T) {
	t.Parallel()
	in := inputs(t, `{"properties":{"a":{"type":"array","uniqueItems":true,"items":{"type":"number"}},"o":{"type":"object"},`+
		`"e":{"type":"array","items":{"type":"number","enum":[`+numbers(20_000)+`]}}}}`)
	heavy := inputs(t, `{"properties":{"m":{"type":"array","items":{"type":"object","required":["`+strings.ReplaceAll(numbers(10_000), ",", `","`)+`"]}}}}`)
	tests := []struct {
		name        string
		in          *action.Inputs
		given, want string
	}{
		{"a long list without equals", in, `{"a":[` + numbers(100_000) + `]}`, ""},
		{"a long list of wrong types", in, `{"a":[` + strings.TrimSuffix(strings.Repeat(`"x",`, 100_000), ",") + `]}`, "more faults are not listed"},
		{"a long list against a long enum", in, `{"e":[` + strings.TrimSuffix(strings.Repeat(`19999,`, 100), ",") + `]}`, ""},
		{"a long list that is not in a long enum", in, `{"e":[` + strings.TrimSuffix(strings.Repeat(`20000,`, 100), ",") + `]}`, "must be one of 0, 1, 2, 3,"},
		{"a long list of objects that lack much", heavy, `{"m":[` + strings.TrimSuffix(strings.Repeat(`{},`, 10_000), ",") + `]}`, "properties: has too many values to be checked"},
		{"a deep object", in, `{"o":` + strings.Repeat(`{"o":`, 500) + `1` + strings.Repeat(`}`, 500) + `}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := complete(t, tt.in, decode(t, tt.given))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Complete: %.500v, want %q", err, tt.want)
			}
		})
	}
}

func numbers(n int) string {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	text, _ := json.Marshal(list)
	return strings.Trim(string(text), "[]")
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		with("top", `"requiredApproval":true`), method(`{"type":"GITLAB","projectName":"p","groupName":"g"}`), methodV1(`{"type":"KAFKA"}`),
		input(`{"type":"array","items":{"type":"string","pattern":"^(?=a)"},"default":["a"]}`),
		trigger(`{"type":"automation","event":{"type":"SCHEDULE","expression":"rate(1 day)"}}`), `{}`, `[]`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := action.Parse(text)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("Parse: %v", err)
			}
			return
		}
		compact, err := action.Compact(text)
		if err != nil {
			t.Fatalf("Compact of what was read: %v", err)
		}
		again, err := action.Parse(compact)
		if err != nil || again.Identifier != d.Identifier {
			t.Fatalf("Parse of what is stored: %v", err)
		}
		for _, version := range []string{"", "v1", "v2"} {
			view, err := action.View(&action.Record{Definition: compact}, d, version)
			if _, bad := jqtemplate.Decode(view); err != nil || bad != nil {
				t.Fatalf("View(%q): %v, %v", version, err, bad)
			}
		}
	})
}

// Inputs are refused with the places of their faults, or completed; what was completed is complete.
func FuzzComplete(f *testing.F) {
	f.Add([]byte(`{"a":{"type":"string","pattern":"^(?=a)","default":"a"},"b":{"type":"array","items":{"type":"number"}}}`), []byte(`{"b":[1,"x"]}`))
	f.Add([]byte(`{"a":{"type":"string","enum":["x"],"visible":{"jqQuery":".form.b == 1"}},"b":{"type":"number"}}`), []byte(`{"a":"x","b":1e400}`))
	f.Add([]byte(`{"a":{"type":"object","properties":{"n":{"type":"integer","default":1}}},"t":{"type":"string","format":"date-time"}}`), []byte(`{"a":{},"t":"2026-02-30T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, properties, given []byte) {
		d, err := action.Parse(json.RawMessage(trigger(`{"type":"self-service","operation":"CREATE","userInputs":{"properties":` + string(properties) + `}}`)))
		if err != nil {
			return
		}
		value, err := jqtemplate.Decode(given)
		values, ok := value.(*jqtemplate.Object)
		if err != nil || !ok {
			return
		}
		done, err := complete(t, d.Inputs, values)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("Complete: %v", err)
			}
			return
		}
		again, err := complete(t, d.Inputs, done)
		if err != nil {
			t.Fatalf("what was completed to %s is refused: %v", jqtemplate.Encode(done), err)
		}
		if first, second := string(jqtemplate.Encode(done)), string(jqtemplate.Encode(again)); first != second {
			t.Fatalf("completed to %s, and then to %s", first, second)
		}
	})
}
