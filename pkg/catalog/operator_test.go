package catalog_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"longshore/pkg/catalog"

	"github.com/google/go-cmp/cmp"
)

// operatorValues are values of a property p.
var operatorValues = []struct{ name, properties string }{
	{"prod", `{"p":"prod"}`},
	{"Prod", `{"p":"Prod"}`},
	{"5 as text", `{"p":"5"}`},
	{"blank", `{"p":""}`},
	{"5", `{"p":5}`},
	{"10", `{"p":10}`},
	{"-0", `{"p":-0.0}`},
	{"true", `{"p":true}`},
	{"false", `{"p":false}`},
	{"[a b]", `{"p":["a","b"]}`},
	{"[b a a]", `{"p":["b","a","a"]}`},
	{"[prod]", `{"p":["prod"]}`},
	{"[5 true]", `{"p":[5,true]}`},
	{"[]", `{"p":[]}`},
	{"[{}]", `{"p":[{"a":1}]}`},
	{"{}", `{"p":{}}`},
	{"{a}", `{"p":{"a":"prod"}}`},
	{"past", `{"p":"2026-03-30T12:00:00Z"}`},
	{"past+2", `{"p":"2026-03-30T14:00:00.000+02:00"}`},
	{"future", `{"p":"2026-03-31T23:59:59.999Z"}`},
	{"[past]", `{"p":["2026-03-30T12:00:00Z"]}`},
	{"null", `{"p":null}`},
	{"missing", `{}`},
}

// operatorTest is a rule about p and the values that it matches, in their order.
type operatorTest struct {
	operator, value string
	want            []string
}

func (tt operatorTest) search() string {
	if tt.value == "" {
		return one(fmt.Sprintf(`{"property":"p","operator":%q}`, tt.operator))
	}
	return one(fmt.Sprintf(`{"property":"p","operator":%q,"value":%s}`, tt.operator, tt.value))
}

func operatorTests() []operatorTest {
	all := make([]string, len(operatorValues))
	for i, v := range operatorValues {
		all[i] = v.name
	}
	but := func(names ...string) []string {
		var rest []string
		for _, n := range all {
			if !strings.Contains("|"+strings.Join(names, "|")+"|", "|"+n+"|") {
				rest = append(rest, n)
			}
		}
		return rest
	}
	list := func(names ...string) []string { return names }
	return []operatorTest{
		{"=", `"prod"`, list("prod")},
		{"=", `5`, list("5")},
		{"=", `0`, list("-0")},
		{"=", `true`, list("true")},
		{"=", `null`, list("null", "missing")},
		{"=", `""`, list("blank")},
		{"=", `["a","b"]`, list("[a b]", "[b a a]")},
		{"=", `["a"]`, nil},
		{"=", `["a","b","c"]`, nil},
		{"=", `[true,5]`, list("[5 true]")},
		{"=", `[]`, list("[]")},
		{"=", `["2026-03-30T12:00:00.0Z"]`, list("[past]")},
		{"=", `"2026-03-30T12:00:00Z"`, list("past", "past+2")},
		{"=", `{"preset":"today"}`, list("future")},
		{"=", `{"from":"2026-03-30T12:00:00Z","to":"2026-03-30T12:00:00Z"}`, list("past", "past+2")},
		{"!=", `"prod"`, but("prod")},
		{"!=", `5`, but("5")},
		{"!=", `null`, but("null", "missing")},
		{"!=", `["b","a"]`, but("[a b]", "[b a a]")},
		{"!=", `"2026-03-30T12:00:00Z"`, but("past", "past+2")},
		{">", `5`, list("10")},
		{">=", `5`, list("5", "10")},
		{"<", `10`, list("5", "-0")},
		{"<=", `5`, list("5", "-0")},
		{">", `"2026-03-30T12:00:00Z"`, list("future")},
		{">=", `"2026-03-30T12:00:00Z"`, list("past", "past+2", "future")},
		{"<", `"2026-03-30T12:00:01Z"`, list("past", "past+2")},
		{"<=", `"2026-03-30T11:59:59Z"`, nil},
		{"isEmpty", ``, list("blank", "[]", "{}", "null", "missing")},
		{"isNotEmpty", ``, but("blank", "[]", "{}", "null", "missing")},
		{"between", `{"preset":"yesterday"}`, list("past", "past+2")},
		{"between", `{"from":"2026-03-30T12:00:00Z","to":"2026-04-01T00:00:00Z"}`, list("past", "past+2", "future")},
		{"between", `{"from":"2026-04-01T00:00:00Z","to":"2026-03-30T12:00:00Z"}`, nil},
		{"notBetween", `{"preset":"yesterday"}`, list("future")},
		{"notBetween", `{"from":"2026-03-30T12:00:00Z","to":"2026-04-01T00:00:00Z"}`, nil},
		{"contains", `"rod"`, list("prod", "Prod")},
		{"contains", `"prod"`, list("prod", "[prod]")},
		{"contains", `"a"`, list("[a b]", "[b a a]")},
		{"contains", `["a","b"]`, list("[a b]", "[b a a]")},
		{"contains", `["a","x"]`, nil},
		{"contains", `["pr","od"]`, list("prod")},
		{"contains", `["2026-03-30T12:00:00Z"]`, list("past", "[past]")},
		{"contains", `[]`, list("prod", "Prod", "5 as text", "blank", "[a b]", "[b a a]", "[prod]", "[5 true]", "[]", "[{}]", "past", "past+2", "future", "[past]")},
		{"contains", `5`, list("[5 true]")},
		{"contains", `true`, list("[5 true]")},
		{"contains", `null`, nil},
		{"contains", `"2026-03-30T12:00:00.000Z"`, list("[past]")},
		{"doesNotContains", `"prod"`, but("prod", "[prod]")},
		{"doesNotContains", `"a"`, but("[a b]", "[b a a]")},
		{"containsAny", `["x","a"]`, list("[a b]", "[b a a]")},
		{"containsAny", `["x","ro"]`, list("prod", "Prod")},
		{"containsAny", `"prod"`, list("prod", "[prod]")},
		{"containsAny", `[]`, nil},
		{"containsAny", `["x","2026-03-30T12:00:00.00Z"]`, list("[past]")},
		{"beginsWith", `"pr"`, list("prod")},
		{"beginsWith", `["x","Pr"]`, list("Prod")},
		{"beginsWith", `5`, nil},
		{"doesNotBeginsWith", `"pr"`, but("prod")},
		{"endsWith", `"od"`, list("prod", "Prod")},
		{"doesNotEndsWith", `"od"`, but("prod", "Prod")},
		{"in", `["prod","dev"]`, list("prod", "[prod]")},
		{"in", `"prod"`, list("prod", "[prod]")},
		{"in", `[5,true]`, list("5", "true", "[5 true]")},
		{"in", `[0]`, list("-0")},
		{"in", `["2026-03-30T12:00:00Z"]`, list("past", "past+2", "[past]")},
		{"in", `[]`, nil},
		{"in", `null`, nil},
		{"notIn", `["prod","dev"]`, but("prod", "[prod]")},
		{"notIn", `[]`, all},
		{"matchAny", `["prod","a"]`, list("prod", "[a b]", "[b a a]", "[prod]")},
		{"matchAny", `"a"`, list("[a b]", "[b a a]")},
		{"isExpired", ``, list("past", "past+2")},
		{"isNotExpired", ``, list("future")},
	}
}

func TestOperators(t *testing.T) {
	t.Parallel()
	for _, tt := range operatorTests() {
		t.Run(tt.operator+" "+tt.value, func(t *testing.T) {
			t.Parallel()
			s := parseSearch(t, tt.search(), catalog.SearchOptions{})
			var got []string
			for _, v := range operatorValues {
				if s.Matches(&catalog.Subject{Properties: object(t, v.properties)}, now) {
					got = append(got, v.name)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("values that match (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOperatorsOnEntities asks the same of entities: each value was written when the property had its
// type, null and missing with every type.
func TestOperatorsOnEntities(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, w *world) {
		names := map[string]string{}
		w.blueprint(t, `{"identifier":"e","title":"E","schema":{"properties":{}}}`)
		for _, kind := range []string{"string", "number", "boolean", "array", "object"} {
			definition := json.RawMessage(fmt.Sprintf(`{"identifier":"e","title":"E","schema":{"properties":{"p":{"type":%q}}}}`, kind))
			if _, err := w.service.ReplaceBlueprint(t.Context(), "e", definition, author); err != nil {
				t.Fatal(err)
			}
			for i, v := range operatorValues {
				p, _ := object(t, v.properties).Get("p")
				if p != nil && kindOf(p) != kind {
					continue
				}
				identifier := fmt.Sprintf("%s-%d", kind, i)
				names[identifier] = v.name
				w.entity(t, "e", fmt.Sprintf(`{"identifier":%q,"properties":%s}`, identifier, v.properties))
			}
		}
		for _, tt := range operatorTests() {
			t.Run(tt.operator+" "+tt.value, func(t *testing.T) {
				s := parseSearch(t, tt.search(), catalog.SearchOptions{})
				found, all, err := w.reader.Find(t.Context(), catalog.Find{Search: s, Blueprint: "e", Limit: 1000})
				if err != nil || !all {
					t.Fatalf("Find: all %t, %v", all, err)
				}
				var got, want []string
				for _, identifier := range identifiers(found) {
					got = append(got, identifier+" "+names[identifier])
				}
				for identifier, name := range names {
					if slices.Contains(tt.want, name) {
						want = append(want, identifier+" "+name)
					}
				}
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("entities that match (-want +got):\n%s", diff)
				}
			})
		}
	})
}

// kindOf is the type of a property with that value.
func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "boolean"
	case []any:
		return "array"
	}
	return "object"
}
