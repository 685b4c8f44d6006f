package catalog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
)

func faults(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *fault.Error
	if !errors.As(err, &e) || e.Kind != fault.Invalid || len(e.Details) == 0 {
		t.Fatalf("got %v, want a fault.Invalid with details", err)
	}
	return strings.Split(e.Message, "\n")
}

func TestFaults(t *testing.T) {
	t.Parallel()
	const dateTime = "must be a date-time of RFC 3339, such as 2026-01-31T09:30:00Z"
	tests := []struct {
		name, search string
		want         []string
	}{
		{"no object", `[]`, []string{"q: must be an object with combinator and rules"}},
		{"nothing", `{}`, []string{"q.combinator: is required", "q.rules: is required"}},
		{"wrong members", `{"combinator":"AND","rules":{},"x y":1}`,
			[]string{`q["x y"]: unknown field`, `q.combinator: must be "and" or "or"`, "q.rules: must be an array"}},
		{"all at once", `{"combinator":"and","rules":[5,{"combinator":"or","rules":[{"property":"p","operator":"~","value":1},
			{"property":"p","operator":"=","value":1,"extra":2}]},{"property":"p","value":1}]}`, []string{
			"q.rules[0]: must be an object: a rule, or a group with combinator and rules",
			"q.rules[1].rules[0].operator: must be one of =, !=, >, >=, <, <=, isEmpty, isNotEmpty, between, notBetween, contains, doesNotContains, containsAny, beginsWith, doesNotBeginsWith, endsWith, doesNotEndsWith, in, notIn, matchAny, isExpired, isNotExpired, relatedTo",
			"q.rules[1].rules[1].extra: unknown field",
			"q.rules[2].operator: is required",
		}},
		{"no property", one(`{"operator":"=","value":1}`), []string{"q.rules[0].property: is required"}},
		{"no value", one(`{"operator":"=","property":"p"}`), []string{"q.rules[0].value: is required"}},
		{"property of a wrong type", one(`{"operator":"=","property":5,"value":1}`),
			[]string{"q.rules[0].property: must be a string, or an object with property and context"}},
		{"an empty property", one(`{"operator":"=","property":"","value":1}`), []string{"q.rules[0].property: must not be empty"}},
		{"an unknown built-in property", one(`{"operator":"=","property":"$id","value":1}`),
			[]string{"q.rules[0].property: there is no such built-in property; those are $identifier, $title, $blueprint, $team, $owned_by_team, $icon, $createdAt, $updatedAt, $createdBy, $updatedBy"}},
		{"context", one(`{"operator":"=","property":{"property":"","context":"me"},"value":{"context":"user"}}`),
			[]string{"q.rules[0].property.property: must not be empty", `q.rules[0].property.context: must be "user" or "userTeams"`, "q.rules[0].value.property: is required"}},
		{"isEmpty with a value", one(`{"operator":"isEmpty","property":"p","value":1}`), []string{"q.rules[0].value: unknown field"}},
		{"isEmpty of a context", one(`{"operator":"isEmpty","property":{"property":"x","context":"user"}}`),
			[]string{"q.rules[0].property: must be a string beside isEmpty"}},
		{"= with an object", one(`{"operator":"=","property":"p","value":{"a":1}}`),
			[]string{"q.rules[0].value.a: unknown field", "q.rules[0].value.from: is required", "q.rules[0].value.to: is required"}},
		{"!= with an object", one(`{"operator":"!=","property":"p","value":{"preset":"today"}}`),
			[]string{"q.rules[0].value: must be null, a string, a number, a boolean or an array of such"}},
		{"a query that is not allowed", one(`{"operator":"!=","property":"p","value":{"jqQuery":".x"}}`),
			[]string{"q.rules[0].value: must be null, a string, a number, a boolean or an array of such"}},
		{"list elements", one(`{"operator":"in","property":"p","value":["a",null,{}]}`),
			[]string{"q.rules[0].value[1]: must be a string, a number or a boolean", "q.rules[0].value[2]: must be a string, a number or a boolean"}},
		{"> with text", one(`{"operator":">","property":"p","value":"x"}`), []string{"q.rules[0].value: must be a number or a " + strings.TrimPrefix(dateTime, "must be a ")}},
		{"> with null", one(`{"operator":">","property":"p","value":null}`), []string{"q.rules[0].value: must be a number or a " + strings.TrimPrefix(dateTime, "must be a ")}},
		{"between text", one(`{"operator":"between","property":"p","value":"x"}`), []string{"q.rules[0].value: must be an object with from and to, or with preset"}},
		{"between nothing", one(`{"operator":"between","property":"p","value":{"from":"2026-01-01"}}`),
			[]string{"q.rules[0].value.from: " + dateTime, "q.rules[0].value.to: is required"}},
		{"an unknown preset", one(`{"operator":"between","property":"p","value":{"preset":"ever","from":1}}`),
			[]string{"q.rules[0].value.from: unknown field", "q.rules[0].value.preset: must be one of today, tomorrow, yesterday, lastDay, lastWeek, last2Weeks, lastMonth, last3Months, last6Months, last12Months"}},
		{"matchAny", one(`{"operator":"matchAny","property":"p","value":[5]},{"operator":"matchAny","property":"p","value":5}`),
			[]string{"q.rules[0].value[0]: must be a string", "q.rules[1].value: must be a string or an array of strings"}},
		{"scorecard", one(`{"operator":"=","scorecard":"s","scorecardRule":"r","value":"Passed"}`),
			[]string{"q.rules[0].scorecard: rules about scorecards are not supported: this catalog has no scorecards"}},
		{"relation", one(`{"relation":"","targetProperty":"x","operator":">","value":1}`), []string{
			"q.rules[0].relation: must not be empty", `q.rules[0].targetProperty: must be "$title" or "$identifier"`, "q.rules[0].operator: > cannot stand beside relation"}},
		{"schema", one(`{"propertySchema":{"format":5,"items":{},"x":1},"operator":"in","value":[1]}`), []string{
			"q.rules[0].propertySchema.x: unknown field", "q.rules[0].propertySchema.type: is required", "q.rules[0].propertySchema.format: must be a string",
			"q.rules[0].propertySchema.items.type: is required", "q.rules[0].operator: beside propertySchema must be =, != or contains",
			"q.rules[0].value: must be null, a string, a number or a boolean"}},
		{"schema of a wrong type", one(`{"propertySchema":"string","operator":"=","value":1},{"propertySchema":{"type":"array","items":5},"operator":"="}`), []string{
			"q.rules[0].propertySchema: must be an object with type, and optionally format and items",
			"q.rules[1].propertySchema.items: must be an object with type, and optionally format"}},
		{"relatedTo", one(`{"operator":"relatedTo","blueprint":5,"direction":"left","required":"x","property":"p"}`), []string{
			"q.rules[0].property: unknown field", "q.rules[0].blueprint: must be a string", `q.rules[0].direction: must be "upstream" or "downstream"`,
			"q.rules[0].required: must be a boolean", "q.rules[0].value: is required"}},
		{"relatedTo values", one(`{"operator":"relatedTo","blueprint":"b","value":[1]},{"operator":"relatedTo","blueprint":"b","value":1}`),
			[]string{"q.rules[0].value[0]: must be a string", "q.rules[1].value: must be a string or an array of strings"}},
		{"path", one(`{"operator":"=","property":{"path":["",5,{"maxHops":16},{"relation":"r","maxHops":1.5}],"fromBlueprint":1},"value":"x"},
			{"operator":"matchAny","property":{"path":[]},"value":"x"},{"operator":"matchAny","property":{"path":"a"},"value":"x"}`), []string{
			"q.rules[0].operator: beside a path must be matchAny", "q.rules[0].property.fromBlueprint: must be a string",
			"q.rules[0].property.path[0]: must not be empty", "q.rules[0].property.path[1]: must be a relation, or an object with relation and maxHops",
			"q.rules[0].property.path[2].relation: is required", "q.rules[0].property.path[2].maxHops: must be a whole number from 1 to 15",
			"q.rules[0].property.path[3].maxHops: must be a whole number from 1 to 15",
			"q.rules[1].property.path: must have 1 to 15 steps", "q.rules[2].property.path: must be an array of relations"}},
		{"20 deep", strings.Repeat(`{"combinator":"and","rules":[`, 20) + strings.Repeat(`]}`, 20), nil},
		{"21 deep", strings.Repeat(`{"combinator":"and","rules":[`, 21) + strings.Repeat(`]}`, 21),
			[]string{"q" + strings.Repeat(".rules[0]", 20) + ": groups may nest at most 20 deep"}},
		{"1,000 rules", one(strings.TrimSuffix(strings.Repeat(`{"property":"p","operator":"isEmpty"},`, 1000), ",")), nil},
		{"1,001 rules in two groups", one(`{"combinator":"or","rules":[` + strings.TrimSuffix(strings.Repeat(`{"property":"p","operator":"isEmpty"},`, 999), ",") + `]},5,6`),
			[]string{"q.rules[1]: a search may have at most 1000 rules"}},
		{"1,000 values", one(`{"property":"p","operator":"in","value":[` + strings.TrimSuffix(strings.Repeat("1,", 1000), ",") + `]}`), nil},
		{"10,000 values in all", one(strings.TrimSuffix(strings.Repeat(`{"property":"p","operator":"in","value":[`+strings.TrimSuffix(strings.Repeat("1,", 1000), ",")+`]},`, 10), ",")), nil},
		{"12,000 values in all", one(strings.TrimSuffix(strings.Repeat(`{"property":"p","operator":"in","value":[`+strings.TrimSuffix(strings.Repeat("1,", 1000), ",")+`]},`, 12), ",")),
			[]string{"q.rules[10].value: the rules of a search may have at most 10000 values together"}},
		{"1,001 values", one(`{"property":"p","operator":"in","value":[` + strings.TrimSuffix(strings.Repeat("1,", 1001), ",") + `]},
			{"operator":"relatedTo","blueprint":"b","value":[` + strings.TrimSuffix(strings.Repeat(`"x",`, 1001), ",") + `]}`),
			[]string{"q.rules[0].value: may have at most 1000 values, has 1001", "q.rules[1].value: may have at most 1000 values, has 1001"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := catalog.ParseSearch(decode(t, tt.search), "q", catalog.SearchOptions{})
			byPath := cmpopts.SortSlices(func(a, b string) bool { return a < b })
			if diff := cmp.Diff(tt.want, faults(t, err), byPath); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFaultsWithoutAPrefix(t *testing.T) {
	t.Parallel()
	_, err := catalog.ParseSearch(decode(t, one(`{"property":"p","operator":5}`)), "", catalog.SearchOptions{})
	if got := faults(t, err); len(got) == 0 || !strings.HasPrefix(got[0], "rules[0].operator: ") {
		t.Errorf("got %q", got)
	}
}

// TestHostile holds that no search makes an answer much longer than itself, or takes long.
func TestHostile(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	tests := []struct {
		name, search string
	}{
		{"many faults", one(strings.TrimSuffix(strings.Repeat(`5,`, 100_000), ","))},
		{"many unknown members", one(`{"property":"p","operator":"isEmpty"` + func() string {
			var b strings.Builder
			for i := range 50_000 {
				fmt.Fprintf(&b, `,"m%d":1`, i)
			}
			return b.String()
		}() + `}`)},
		{"a long member", one(`{"property":"p","operator":"isEmpty","` + long + `":1}`)},
		{"a long operator", one(`{"property":"p","operator":"` + long + `"}`)},
		{"many wrong values", one(`{"property":"p","operator":"matchAny","value":[` + strings.TrimSuffix(strings.Repeat("1,", 1000), ",") + `]}`)},
		{"deep", strings.Repeat(`{"combinator":"and","rules":[`, 200) + strings.Repeat(`]}`, 200)},
		{"wide and deep", strings.Repeat(`{"combinator":"and","rules":[5,`, 19) + "5" + strings.Repeat(`]}`, 19)},
		{"deep value", one(`{"property":"p","operator":"=","value":` + strings.Repeat("[", 400) + strings.Repeat("]", 400) + `}`)},
		{"a number out of range", one(`{"operator":"matchAny","property":{"path":[{"relation":"r","maxHops":1e300}]},"value":"x"}`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, o := range []catalog.SearchOptions{{}, {AllowTemplates: true}} {
				_, err := catalog.ParseSearch(decode(t, tt.search), "query", o)
				if err == nil {
					t.Fatal("no fault")
				}
				if n := len(err.Error()); n > max(64<<10, len(tt.search)) {
					t.Errorf("the faults have %d bytes", n)
				}
			}
		})
	}
}
