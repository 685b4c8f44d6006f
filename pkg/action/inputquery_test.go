package action_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// scope is what the queries of these tests see beside the form.
func scope(t testing.TB) action.Scope {
	t.Helper()
	object := func(text string) *jqtemplate.Object {
		v, err := jqtemplate.Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return v.(*jqtemplate.Object)
	}
	return action.Scope{
		Entity: object(`{"identifier":"cart","properties":{"tier":"gold","tags":["x","y"],"size":2}}`),
		User:   object(`{"id":"client","email":"a@example.com"}`),
	}
}

// failedLines returns the queries that counted as absent.
func failedLines(failed []jqtemplate.Warning) (lines []string) {
	for _, w := range failed {
		lines = append(lines, strings.TrimPrefix(w.Path, "trigger.userInputs.")+": "+w.Message)
	}
	return lines
}

func TestQueries(t *testing.T) {
	t.Parallel()
	// one declares the input a with those members, beside some of other types.
	one := func(members, rest string) string {
		return `{"properties":{"a":{` + members + `},"b":{"type":"boolean"},"l":{"type":"array","items":{"type":"string"}}}` + rest + `}`
	}
	for name, c := range map[string]struct {
		userInputs, given string
		// want is the completed inputs; empty when faults are wanted.
		want           string
		faults, failed []string
	}{
		// Defaults.
		"default": {
			userInputs: one(`"type":"string","default":{"jqQuery":".entity.properties.tier + \"-\" + .user.email"}`, ""), given: `{}`, want: `{"a":"gold-a@example.com"}`,
		},
		"default of the form": {
			userInputs: one(`"type":"string","default":{"jqQuery":"if .form.b then \"yes\" else \"no\" end"}`, ""), given: `{"b":true}`, want: `{"b":true,"a":"yes"}`,
		},
		"default in single quotes": {
			userInputs: one(`"type":"string","default":{"jqQuery":"if .form.b then 'yes' else 'no' end"}`, ""), given: `{"b":true}`, want: `{"b":true,"a":"yes"}`,
		},
		"default that is not needed": {
			userInputs: one(`"type":"string","default":{"jqQuery":"error(\"x\")"}`, ""), given: `{"a":"x"}`, want: `{"a":"x"}`,
		},
		"default of what is empty": {
			userInputs: one(`"type":"string","default":{"jqQuery":"\"x\""}`, ""), given: `{"a":null}`, want: `{"a":null}`,
		},
		"default of nothing and null": {
			userInputs: `{"properties":{"a":{"type":"string","default":{"jqQuery":"empty"}},"c":{"type":"number","default":{"jqQuery":".form.none"}}}}`, given: `{}`, want: `{}`,
		},
		"default that fails": {
			userInputs: one(`"type":"string","default":{"jqQuery":".entity.properties.tier + 1"}`, ""), given: `{}`, want: `{}`,
			failed: []string{`properties.a.default.jqQuery: jq: error: string ("gold") and number (1) cannot be added`},
		},
		"default that does not compile": {
			userInputs: one(`"type":"string","default":{"jqQuery":".form["}`, ""), given: `{}`, want: `{}`,
			failed: []string{`properties.a.default.jqQuery: jq: compile error: unexpected EOF`},
		},
		"default of another type": {
			userInputs: `{"properties":{"s":{"type":"string","default":{"jqQuery":"1"}},"n":{"type":"number","default":{"jqQuery":"'1'"}},
				"o":{"type":"object","default":{"jqQuery":"[]"}},"l":{"type":"array","default":{"jqQuery":"{}"}},"b":{"type":"boolean","default":{"jqQuery":"0"}}}}`,
			given: `{}`, want: `{}`,
			failed: []string{
				"properties.s.default.jqQuery: yields no string", "properties.n.default.jqQuery: yields no number", "properties.o.default.jqQuery: yields no object",
				"properties.l.default.jqQuery: yields no array", "properties.b.default.jqQuery: yields no boolean",
			},
		},
		"default of every type": {
			userInputs: `{"properties":{"s":{"type":"string","default":{"jqQuery":"'1'"}},"n":{"type":"number","default":{"jqQuery":"1"}},"o":{"type":"object","default":{"jqQuery":"{}"}},
				"l":{"type":"array","default":{"jqQuery":"[1]"}},"b":{"type":"boolean","default":{"jqQuery":"false"}},"e":{"type":"string","format":"entity","default":{"jqQuery":"{identifier: .entity.identifier}"}}}}`,
			given: `{}`, want: `{"s":"1","n":1,"o":{},"l":[1],"b":false,"e":{"identifier":"cart"}}`,
		},
		"default is checked": {
			userInputs: one(`"type":"string","minLength":3,"default":{"jqQuery":"'x'"}`, ""), given: `{}`, faults: []string{"properties.a: must have at least 3 characters"},
		},
		"default meets required": {
			userInputs: one(`"type":"string","default":{"jqQuery":"'x'"}`, `,"required":["a"]`), given: `{}`, want: `{"a":"x"}`,
		},
		"default that fails does not meet required": {
			userInputs: one(`"type":"string","default":{"jqQuery":"error(\"x\")"}`, `,"required":["a"]`), given: `{}`, faults: []string{"properties.a: is required"},
			failed: []string{"properties.a.default.jqQuery: jq: error: x"},
		},
		"defaults of one another, whatever their order": {
			userInputs: `{"properties":{"c":{"type":"string","default":{"jqQuery":".form.b + 'c'"}},"b":{"type":"string","default":{"jqQuery":".form.a + 'b'"}},"a":{"type":"string","default":"a"}}}`,
			given:      `{}`, want: `{"c":"abc","b":"ab","a":"a"}`,
		},
		"defaults in a circle that settles": {
			userInputs: `{"properties":{"a":{"type":"string","default":{"jqQuery":".form.b // 'x'"}},"b":{"type":"string","default":{"jqQuery":".form.a"}}}}`,
			given:      `{}`, want: `{"a":"x","b":"x"}`,
		},
		"defaults in a circle that never does": {
			userInputs: `{"properties":{"a":{"type":"number","default":{"jqQuery":"(.form.b // 0) + 1"}},"b":{"type":"number","default":{"jqQuery":"(.form.a // 0) + 1"}},
				"c":{"type":"string","default":{"jqQuery":"if .form.a then 'from a' else 'alone' end"}}}}`,
			given: `{}`, want: `{"c":"alone"}`,
			failed: []string{
				"properties.a.default.jqQuery: does not settle: it still changes after 4 rounds",
				"properties.b.default.jqQuery: does not settle: it still changes after 4 rounds",
			},
		},
		"a circle that is cut by what is given": {
			userInputs: `{"properties":{"a":{"type":"number","default":{"jqQuery":"(.form.b // 0) + 1"}},"b":{"type":"number","default":{"jqQuery":"(.form.a // 0) + 1"}}}}`,
			given:      `{"a":5}`, want: `{"a":5,"b":6}`,
		},

		// Visible, disabled, required.
		"visible": {userInputs: one(`"type":"string","visible":{"jqQuery":".form.b"}`, `,"required":["a"]`), given: `{"b":false}`, want: `{"b":false}`},
		"visible, if so": {
			userInputs: one(`"type":"string","visible":{"jqQuery":".form.b"}`, `,"required":["a"]`), given: `{"b":true}`, faults: []string{"properties.a: is required"},
		},
		"visible unless exactly false": {
			userInputs: one(`"type":"string","visible":{"jqQuery":".form.b"}`, `,"required":["a"]`), given: `{}`, faults: []string{"properties.a: is required"},
		},
		"visible of another type": {
			userInputs: one(`"type":"string","visible":{"jqQuery":"0"}`, `,"required":["a"]`), given: `{}`, faults: []string{"properties.a: is required"},
			failed: []string{"properties.a.visible.jqQuery: yields no boolean"},
		},
		"visible that fails": {
			userInputs: one(`"type":"string","visible":{"jqQuery":"1 + {}"}`, `,"required":["a"]`), given: `{}`, faults: []string{"properties.a: is required"},
			failed: []string{"properties.a.visible.jqQuery: jq: error: number (1) and object ({}) cannot be added"},
		},
		"visible of a default": {
			userInputs: `{"properties":{"a":{"type":"string","visible":{"jqQuery":".form.c != 'x'"}},"c":{"type":"string","default":{"jqQuery":"'x'"}}},"required":["a"]}`,
			given:      `{}`, want: `{"c":"x"}`,
		},
		"not visible, its default fills in":     {userInputs: one(`"type":"string","visible":{"jqQuery":"false"},"default":{"jqQuery":"'x'"}`, ""), given: `{}`, want: `{"a":"x"}`},
		"not visible, what is given is checked": {userInputs: one(`"type":"string","visible":{"jqQuery":"false"}`, ""), given: `{"a":1}`, faults: []string{"properties.a: must be a string, got a number"}},
		"disabled":                              {userInputs: one(`"type":"string","disabled":{"jqQuery":"true"}`, `,"required":["a"]`), given: `{}`, want: `{}`},
		"enabled unless exactly true": {
			userInputs: one(`"type":"string","disabled":{"jqQuery":"'true'"}`, `,"required":["a"]`), given: `{}`, faults: []string{"properties.a: is required"},
			failed: []string{"properties.a.disabled.jqQuery: yields no boolean"},
		},
		"in a step that is not visible": {
			userInputs: one(`"type":"string"`, `,"required":["a","b"],"steps":[{"title":"1","order":["a","b"],"visible":{"jqQuery":".entity.properties.size > 2"}},{"title":"2","order":["b"]}]`),
			given:      `{}`, faults: []string{"properties.b: is required"},
		},
		"in a step that is visible": {
			userInputs: one(`"type":"string"`, `,"required":["a"],"steps":[{"title":"1","order":["a"],"visible":{"jqQuery":".entity.properties.size > 1"}}]`),
			given:      `{}`, faults: []string{"properties.a: is required"},
		},
		"a title's visible decides nothing": {
			userInputs: one(`"type":"string"`, `,"required":["a"],"order":["t","a"],"titles":{"t":{"title":"T","visible":{"jqQuery":"error(\"x\")"}}}`), given: `{"a":"x"}`, want: `{"a":"x"}`,
		},
		"required": {
			userInputs: one(`"type":"string"`, `,"required":{"jqQuery":"if .form.b then [\"a\",\"l\"] else [] end"}`), given: `{"b":true}`,
			faults: []string{"properties.a: is required", "properties.l: is required"},
		},
		"required, if not": {userInputs: one(`"type":"string"`, `,"required":{"jqQuery":"if .form.b then [\"a\"] else [] end"}`), given: `{}`, want: `{}`},
		"required that fails": {
			userInputs: one(`"type":"string"`, `,"required":{"jqQuery":"[\"a\"] + 1"}`), given: `{}`, want: `{}`,
			failed: []string{`required.jqQuery: jq: error: array (["a"]) and number (1) cannot be added`},
		},
		"required of another type": {
			userInputs: one(`"type":"string"`, `,"required":{"jqQuery":"[\"a\", 1]"}`), given: `{}`, want: `{}`, failed: []string{"required.jqQuery: yields no list of names"},
		},

		// What is in a schema.
		"enum": {
			userInputs: one(`"type":"string","enum":{"jqQuery":".entity.properties.tags"}`, ""), given: `{"a":"z"}`, faults: []string{`properties.a: must be one of "x", "y"`},
		},
		"enum that has it": {userInputs: one(`"type":"string","enum":{"jqQuery":".entity.properties.tags"}`, ""), given: `{"a":"y"}`, want: `{"a":"y"}`},
		"enum that fails": {
			userInputs: one(`"type":"string","enum":{"jqQuery":".entity.properties.tags.x"}`, ""), given: `{"a":"z"}`, want: `{"a":"z"}`,
			failed: []string{`properties.a.enum.jqQuery: jq: error: Cannot index array with string "x"`},
		},
		"enum of another type": {
			userInputs: one(`"type":"string","enum":{"jqQuery":"'z'"}`, ""), given: `{"a":"z"}`, want: `{"a":"z"}`, failed: []string{"properties.a.enum.jqQuery: yields no list"},
		},
		"enum of null":              {userInputs: one(`"type":"string","enum":{"jqQuery":".form.none"}`, ""), given: `{"a":"z"}`, want: `{"a":"z"}`},
		"enum of what is not given": {userInputs: one(`"type":"string","enum":{"jqQuery":"error(\"x\")"}`, ""), given: `{}`, want: `{}`},
		"pattern": {
			userInputs: one(`"type":"string","pattern":{"jqQuery":"'^(?!admin)' + .entity.properties.tier"}`, ""), given: `{"a":"silver"}`,
			faults: []string{"properties.a: must match the pattern ^(?!admin)gold"},
		},
		"pattern with look-behind": {userInputs: one(`"type":"string","pattern":{"jqQuery":"'(?<=go)ld$'"}`, ""), given: `{"a":"gold"}`, want: `{"a":"gold"}`},
		"pattern that is none": {
			userInputs: one(`"type":"string","pattern":{"jqQuery":"'('"}`, ""), given: `{"a":"z"}`, want: `{"a":"z"}`, failed: []string{"properties.a.pattern.jqQuery: yields no regular expression"},
		},
		"sizes": {
			userInputs: `{"properties":{"a":{"type":"array","minItems":{"jqQuery":".entity.properties.size"}},"c":{"type":"array","maxItems":{"jqQuery":"1"}}}}`, given: `{"a":[1],"c":[1,2]}`,
			faults: []string{"properties.a: must have at least 2 items", "properties.c: must have at most 1 item"},
		},
		"sizes that are none": {
			userInputs: `{"properties":{"a":{"type":"array","minItems":{"jqQuery":"1.5"},"maxItems":{"jqQuery":"-1"}},"c":{"type":"array","minItems":{"jqQuery":"'1'"},"maxItems":{"jqQuery":"1e10"}}}}`,
			given:      `{"a":[1],"c":[]}`, want: `{"a":[1],"c":[]}`,
			failed: []string{
				"properties.a.minItems.jqQuery: yields no whole number from 0", "properties.a.maxItems.jqQuery: yields no whole number from 0",
				"properties.c.minItems.jqQuery: yields no whole number from 0", "properties.c.maxItems.jqQuery: yields no whole number from 0",
			},
		},
		"in items and members": {
			userInputs: `{"properties":{"a":{"type":"array","items":{"type":"string","enum":{"jqQuery":".entity.properties.tags"}}},
				"o":{"type":"object","properties":{"x":{"type":"string","pattern":{"jqQuery":"'^x'"}}},"required":{"jqQuery":"[\"y\"]"},"additionalProperties":{"type":"array","maxItems":{"jqQuery":"0"}}}}}`,
			given: `{"a":["x","z"],"o":{"x":"z","z":[1]}}`,
			faults: []string{
				`properties.a[1]: must be one of "x", "y"`, "properties.o.x: must match the pattern ^x", "properties.o.y: is required", "properties.o.z: must have at most 0 items",
			},
		},
		"all faults at once": {
			userInputs: `{"properties":{"a":{"type":"string","enum":{"jqQuery":"[\"x\"]"}},"c":{"type":"string","format":"email"},"d":{"type":"number","maximum":1},"e":{"type":"string"}},"required":{"jqQuery":"[\"e\"]"}}`,
			given:      `{"a":"z","c":"c","d":2}`,
			faults:     []string{`properties.a: must be "x"`, "properties.c: must be an e-mail address", "properties.d: must be at most 1", "properties.e: is required"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done, err := inputs(t, c.userInputs).Complete(t.Context(), decode(t, c.given), scope(t))
			if diff := cmp.Diff(c.faults, faultLines(t, err)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if done == nil {
				t.Fatal("no result")
			}
			if text := string(jqtemplate.Encode(done.Values)); err == nil && text != c.want {
				t.Errorf("completed %s, want %s", text, c.want)
			}
			if diff := cmp.Diff(c.failed, failedLines(done.Failed)); diff != "" {
				t.Errorf("counted as absent (-want +got):\n%s", diff)
			}
		})
	}
}

// A chain in which each default needs the next one settles, however long it is.
func TestDefaultsChain(t *testing.T) {
	t.Parallel()
	const n = 40
	var properties []string
	for i := range n {
		properties = append(properties, fmt.Sprintf(`"i%d":{"type":"number","default":{"jqQuery":".form.i%d + 1"}}`, i, i+1))
	}
	in := inputs(t, `{"properties":{`+strings.Join(properties, ",")+fmt.Sprintf(`,"i%d":{"type":"number","default":1}}}`, n))
	done, err := in.Complete(t.Context(), nil, action.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := done.Values.Get("i0"); got != float64(n+1) || len(done.Failed) != 0 {
		t.Errorf("the first is %v, failed %v, want %d", got, done.Failed, n+1)
	}
}

func TestQueriesAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		userInputs string
		want       string
	}{
		"one that never ends":  {`{"properties":{"a":{"type":"string","default":{"jqQuery":"def f: f; f"}}}}`, "trigger.userInputs.properties.a.default.jqQuery: "},
		"one that is too long": {`{"properties":{"a":{"type":"string","default":{"jqQuery":"'x' * 2000000"}}}}`, "trigger.userInputs.properties.a.default.jqQuery: "},
		"many that are long": {`{"properties":{` + strings.Join(func() (list []string) {
			for i := range 9 {
				list = append(list, fmt.Sprintf(`"a%d":{"type":"string","default":{"jqQuery":"'x' * 900000"}}`, i))
			}
			return list
		}(), ",") + `}}`, "yield more than 4194304 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done, err := inputs(t, c.userInputs).Complete(t.Context(), nil, action.Scope{})
			if !fault.Is(err, "template_limit") || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.want) || done != nil {
				t.Errorf("got %v, %v, want template_limit with %q", done, err, c.want)
			}
		})
	}
	t.Run("the caller's time", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		gone, leave := context.WithCancel(t.Context())
		leave()
		for _, query := range []string{"'x' + 'y'", ".form.b"} {
			in := inputs(t, `{"properties":{"a":{"type":"string","default":{"jqQuery":"`+query+`"}}}}`)
			if done, err := in.Complete(ctx, nil, action.Scope{}); !fault.Is(err, "template_limit") || done != nil {
				t.Errorf("%s: got %v, %v, want template_limit", query, done, err)
			}
			if done, err := in.Complete(gone, nil, action.Scope{}); !errors.Is(err, context.Canceled) || done != nil {
				t.Errorf("%s: got %v, %v, want what became of the caller", query, done, err)
			}
		}
	})
}
