package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// now is a Wednesday noon; the preset "today" is its whole day.
var now = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)

func decode(t testing.TB, text string) any {
	t.Helper()
	v, err := jqtemplate.Decode([]byte(text))
	if err != nil {
		t.Fatalf("decode %s: %v", text, err)
	}
	return v
}

func object(t testing.TB, text string) *jqtemplate.Object {
	t.Helper()
	return decode(t, text).(*jqtemplate.Object)
}

func parseSearch(t testing.TB, text string, o catalog.SearchOptions) *catalog.Search {
	t.Helper()
	s, err := catalog.ParseSearch(decode(t, text), "", o)
	if err != nil {
		t.Fatalf("parse %s: %v", text, err)
	}
	return s
}

// one is a search of one rule.
func one(rule string) string { return `{"combinator":"and","rules":[` + rule + `]}` }

func TestPresets(t *testing.T) {
	t.Parallel()
	tests := []struct {
		preset, from, to string
	}{
		{"today", "2026-03-31T00:00:00Z", "2026-03-31T23:59:59.999Z"},
		{"tomorrow", "2026-04-01T00:00:00Z", "2026-04-01T23:59:59.999Z"},
		{"yesterday", "2026-03-30T00:00:00Z", "2026-03-30T23:59:59.999Z"},
		{"lastDay", "2026-03-30T12:00:00Z", "2026-03-31T12:00:00Z"},
		{"lastWeek", "2026-03-24T12:00:00Z", "2026-03-31T12:00:00Z"},
		{"last2Weeks", "2026-03-17T12:00:00Z", "2026-03-31T12:00:00Z"},
		{"lastMonth", "2026-02-28T12:00:00Z", "2026-03-31T12:00:00Z"},
		{"last3Months", "2025-12-31T12:00:00Z", "2026-03-31T12:00:00Z"},
		{"last6Months", "2025-09-30T12:00:00Z", "2026-03-31T12:00:00Z"},
		{"last12Months", "2025-03-31T12:00:00Z", "2026-03-31T12:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.preset, func(t *testing.T) {
			t.Parallel()
			s := parseSearch(t, one(`{"property":"$createdAt","operator":"between","value":{"preset":"`+tt.preset+`"}}`), catalog.SearchOptions{})
			from, to := instant(t, tt.from), instant(t, tt.to)
			for at, want := range map[time.Time]bool{
				from: true, to: true,
				from.Add(-time.Millisecond): false,
				to.Add(time.Millisecond):    false,
			} {
				// A caller's zone does not move the days.
				zone := time.FixedZone("", 14*3600)
				if got := s.Matches(&catalog.Subject{CreatedAt: at}, now.In(zone)); got != want {
					t.Errorf("%s: got %t, want %t", at, got, want)
				}
			}
		})
	}
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func subject(t testing.TB) *catalog.Subject {
	return &catalog.Subject{
		Key:         catalog.Key{Blueprint: "bp_1", Identifier: "api"},
		Blueprint:   "service",
		Title:       "The API",
		Team:        []string{"core", "ops"},
		OwnedByTeam: []string{"owners"},
		CreatedAt:   now.Add(-time.Hour),
		UpdatedAt:   now,
		CreatedBy:   "usr_1",
		Properties: object(t, `{"env":"prod","replicas":3,"owner":"a@example.com","mails":["b@example.com"],
			"until":"2026-03-31T13:00:00Z","$title":"not the title"}`),
		Schema: object(t, `{"env":{"type":"string"},"replicas":{"type":"number"},"owner":{"type":"string","format":"user"},
			"mails":{"type":"array","items":{"type":"string","format":"user"}},"until":{"type":"string","format":"timer"},
			"odd":5,"oddType":{"type":["string"]}}`),
		Relations: object(t, `{"cluster":"c1","libs":["l1","l2"],"none":null,"empty":[]}`),
		RelatedTitle: func(relation, identifier string) string {
			return strings.ToUpper(relation + " " + identifier)
		},
	}
}

func TestRulesOnWhatAnEntityHas(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, rule string
		want       bool
	}{
		{"identifier", `{"property":"$identifier","operator":"=","value":"api"}`, true},
		{"identifier in", `{"property":"$identifier","operator":"in","value":["x","api"]}`, true},
		{"identifier by another case", `{"property":"$identifier","operator":"=","value":"API"}`, false},
		{"blueprint", `{"property":"$blueprint","operator":"=","value":"service"}`, true},
		{"title", `{"property":"$title","operator":"contains","value":"API"}`, true},
		{"icon not set", `{"property":"$icon","operator":"isEmpty"}`, true},
		{"team contains", `{"property":"$team","operator":"contains","value":"ops"}`, true},
		{"team containsAny", `{"property":"$team","operator":"containsAny","value":["x","core"]}`, true},
		{"team containsAny is whole names", `{"property":"$team","operator":"containsAny","value":["cor"]}`, false},
		{"team as a set", `{"property":"$team","operator":"=","value":["ops","core"]}`, true},
		{"team is no text", `{"property":"$team","operator":"=","value":"ops"}`, false},
		{"team matchAny", `{"property":"$team","operator":"matchAny","value":["ops"]}`, true},
		{"owned by team", `{"property":"$owned_by_team","operator":"contains","value":"owners"}`, true},
		{"createdAt", `{"property":"$createdAt","operator":">","value":"2026-03-31T10:00:00Z"}`, true},
		{"createdAt as an instant", `{"property":"$createdAt","operator":"=","value":"2026-03-31T13:00:00+02:00"}`, true},
		{"createdAt in", `{"property":"$createdAt","operator":"in","value":["2026-03-31T11:00:00Z"]}`, true},
		{"updatedAt", `{"property":"$updatedAt","operator":"between","value":{"preset":"today"}}`, true},
		{"createdBy", `{"property":"$createdBy","operator":"=","value":"usr_1"}`, true},
		{"updatedBy of nobody", `{"property":"$updatedBy","operator":"=","value":null}`, true},
		{"timer", `{"property":"until","operator":"isNotExpired"}`, true},

		{"relation", `{"relation":"cluster","operator":"=","value":"c1"}`, true},
		{"relation with its target property", `{"relation":"cluster","targetProperty":"$identifier","operator":"=","value":"c1"}`, true},
		{"relation by title", `{"relation":"cluster","targetProperty":"$title","operator":"beginsWith","value":"CLUSTER"}`, true},
		{"relation by another title", `{"relation":"cluster","targetProperty":"$title","operator":"=","value":"c1"}`, false},
		{"many contain", `{"relation":"libs","operator":"contains","value":"l2"}`, true},
		{"many as a set", `{"relation":"libs","operator":"=","value":["l2","l1"]}`, true},
		{"many are no text", `{"relation":"libs","operator":"=","value":"l1"}`, false},
		{"many by title", `{"relation":"libs","targetProperty":"$title","operator":"containsAny","value":["LIBS L1"]}`, true},
		{"relation to nothing", `{"relation":"none","operator":"isEmpty"}`, true},
		{"relation to nothing by title", `{"relation":"none","targetProperty":"$title","operator":"=","value":null}`, true},
		{"many of none", `{"relation":"empty","operator":"isEmpty"}`, true},
		{"a relation that is not there", `{"relation":"x","operator":"!=","value":"c1"}`, true},

		{"schema", `{"propertySchema":{"type":"string","format":"user"},"operator":"=","value":"a@example.com"}`, true},
		{"schema of another format", `{"propertySchema":{"type":"string","format":"url"},"operator":"=","value":"a@example.com"}`, false},
		{"schema of any format", `{"propertySchema":{"type":"string"},"operator":"=","value":"a@example.com"}`, true},
		{"schema with items", `{"propertySchema":{"type":"array","items":{"type":"string","format":"user"}},"operator":"contains","value":"b@example.com"}`, true},
		{"schema with other items", `{"propertySchema":{"type":"array","items":{"type":"number"}},"operator":"contains","value":"b@example.com"}`, false},
		{"schema of none", `{"propertySchema":{"type":"number"},"operator":"!=","value":4}`, true},
		{"schema of one", `{"propertySchema":{"type":"number"},"operator":"!=","value":3}`, false},
		{"schema without a value", `{"propertySchema":{"type":"number"},"operator":"="}`, false},

		{"nested", `{"combinator":"or","rules":[{"property":"env","operator":"=","value":"dev"},
			{"combinator":"and","rules":[{"property":"env","operator":"=","value":"prod"},{"property":"replicas","operator":">","value":2}]}]}`, true},
		{"nested, one of and fails", `{"combinator":"or","rules":[{"property":"env","operator":"=","value":"dev"},
			{"combinator":"and","rules":[{"property":"env","operator":"=","value":"prod"},{"property":"replicas","operator":">","value":3}]}]}`, false},
		{"empty and", `{"combinator":"and","rules":[]}`, true},
		{"empty or", `{"combinator":"or","rules":[]}`, true},
		{"a template that is not allowed is text", `{"property":"env","operator":"!=","value":"{{ .x"}`, true},
		{"related before Resolve", `{"operator":"relatedTo","blueprint":"x","value":"y"}`, false},
		{"context on the left before Bind", `{"property":{"property":"env","context":"user"},"operator":"!=","value":"x"}`, false},
		{"context before Bind", `{"property":"env","operator":"!=","value":{"property":"env","context":"user"}}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := parseSearch(t, one(tt.rule), catalog.SearchOptions{}).Matches(subject(t), now); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestEdges(t *testing.T) {
	t.Parallel()
	entity := &catalog.Subject{
		Title:      "2026-03-31T12:00:00Z",
		Team:       []string{"2026-03-31T12:00:00Z"},
		Properties: object(t, `{"now":"2026-03-31T12:00:00Z","nulls":[null,"x"],"lower":"2026-03-31t12:00:00z","dates":["2026-03-31T12:00:00Z","2026-03-31T12:00:00.000Z"]}`),
	}
	tests := []struct {
		name, rule string
		want       bool
	}{
		{"expired at the very moment", `{"property":"now","operator":"isExpired"}`, true},
		{"not expired at the very moment", `{"property":"now","operator":"isNotExpired"}`, false},
		{"nothing contains null", `{"property":"nulls","operator":"contains","value":null}`, false},
		{"an array with null is not a shorter one", `{"property":"nulls","operator":"=","value":["x"]}`, false},
		{"a title never expires", `{"property":"$title","operator":"isExpired"}`, false},
		{"a title is compared as text", `{"property":"$title","operator":"=","value":"2026-03-31T12:00:00.000Z"}`, false},
		{"a title is looked up as text", `{"property":"$title","operator":"in","value":["2026-03-31T12:00:00.000Z"]}`, false},
		{"a title among date-times", `{"property":"$title","operator":"in","value":["2026-03-31T12:00:00Z"]}`, true},
		{"a team is compared as text", `{"property":"$team","operator":"contains","value":"2026-03-31T12:00:00.000Z"}`, false},
		{"teams are compared as text", `{"property":"$team","operator":"=","value":["2026-03-31T12:00:00.000Z"]}`, false},
		{"two teams are not one instant", `{"property":"$team","operator":"=","value":["2026-03-31T12:00:00Z","2026-03-31T14:00:00+02:00"]}`, false},
		{"the same teams", `{"property":"$team","operator":"=","value":["2026-03-31T12:00:00Z"]}`, true},
		{"lower case is no date-time", `{"property":"lower","operator":"isExpired"}`, false},
		{"one instant in two forms", `{"property":"dates","operator":"=","value":["2026-03-31T14:00:00+02:00"]}`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := parseSearch(t, one(tt.rule), catalog.SearchOptions{}).Matches(entity, now); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestAnEntityWithNothing(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{
		`{"property":"x","operator":"isEmpty"}`,
		`{"property":"$title","operator":"isEmpty"}`,
		`{"property":"$team","operator":"isEmpty"}`,
		`{"property":"$createdAt","operator":"isEmpty"}`,
		`{"relation":"x","targetProperty":"$title","operator":"isEmpty"}`,
		`{"propertySchema":{"type":"string"},"operator":"!=","value":"x"}`,
	} {
		if !parseSearch(t, one(rule), catalog.SearchOptions{}).Matches(&catalog.Subject{}, now) {
			t.Errorf("%s does not match", rule)
		}
	}
}

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

func TestRestrictions(t *testing.T) {
	t.Parallel()
	const bp, id = `{"property":"$blueprint","operator":"=","value":"%s"}`, `{"property":"$identifier","operator":"in","value":["%s","%s"]}`
	service, cluster := fmt.Sprintf(bp, "service"), fmt.Sprintf(bp, "cluster")
	type want struct {
		Blueprints, Identifiers   []string
		ByBlueprint, ByIdentifier bool
	}
	tests := []struct {
		name, search string
		want         want
	}{
		{"nothing", one(``), want{}},
		{"a blueprint", one(service), want{Blueprints: []string{"service"}, ByBlueprint: true}},
		{"identifiers", one(fmt.Sprintf(id, "b", "a")), want{Identifiers: []string{"a", "b"}, ByIdentifier: true}},
		{"both", one(service + "," + fmt.Sprintf(id, "b", "a") + "," + fmt.Sprintf(id, "c", "b")),
			want{Blueprints: []string{"service"}, Identifiers: []string{"b"}, ByBlueprint: true, ByIdentifier: true}},
		{"two blueprints at once", one(service + "," + cluster), want{Blueprints: []string{}, ByBlueprint: true}},
		{"one of two", `{"combinator":"or","rules":[` + service + `,` + cluster + `]}`, want{Blueprints: []string{"cluster", "service"}, ByBlueprint: true}},
		{"or something else", `{"combinator":"or","rules":[` + service + `,{"property":"p","operator":"isEmpty"}]}`, want{}},
		{"or among others", one(`{"property":"p","operator":"isEmpty"},{"combinator":"or","rules":[` + service + `,{"combinator":"and","rules":[` + cluster + `,{"property":"p","operator":"isEmpty"}]}]}`),
			want{Blueprints: []string{"cluster", "service"}, ByBlueprint: true}},
		{"negated", one(`{"property":"$blueprint","operator":"!=","value":"x"},{"property":"$identifier","operator":"notIn","value":["x"]}`), want{}},
		{"another operator", one(`{"property":"$blueprint","operator":"contains","value":"x"}`), want{}},
		{"no text", one(`{"property":"$identifier","operator":"in","value":[5]}`), want{Identifiers: []string{}, ByIdentifier: true}},
		{"a list", one(`{"property":"$identifier","operator":"=","value":["x"]}`), want{Identifiers: []string{}, ByIdentifier: true}},
		{"a context", one(`{"property":"$identifier","operator":"=","value":{"property":"service","context":"user"}}`), want{}},
		{"an empty group", `{"combinator":"or","rules":[]}`, want{}},
		{"a date-time is an identifier like any", one(`{"property":"$identifier","operator":"=","value":"2026-01-01T00:00:00Z"}`),
			want{Identifiers: []string{"2026-01-01T00:00:00Z"}, ByIdentifier: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := parseSearch(t, tt.search, catalog.SearchOptions{})
			var got want
			// Asking twice gives the same.
			for range 2 {
				got.Blueprints, got.ByBlueprint = s.Blueprints()
				got.Identifiers, got.ByIdentifier = s.Identifiers()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("restrictions (-want +got):\n%s", diff)
			}
		})
	}
	s := parseSearch(t, one(`{"property":"$identifier","operator":"in","value":["2026-01-01T00:00:00Z"]}`), catalog.SearchOptions{})
	if s.Matches(&catalog.Subject{Key: catalog.Key{Identifier: "2026-01-01T00:00:00.0Z"}}, now) {
		t.Error("an identifier matches as a date-time")
	}
}

func TestRelatedTo(t *testing.T) {
	t.Parallel()
	s := parseSearch(t, `{"combinator":"or","rules":[
		{"operator":"relatedTo","blueprint":"cluster","value":"c1"},
		{"combinator":"and","rules":[
			{"operator":"relatedTo","blueprint":"team","value":["a","b"],"direction":"upstream","required":false},
			{"operator":"matchAny","property":{"path":["r",{"relation":"s","maxHops":3}],"fromBlueprint":"x"},"value":["y"]}]}]}`, catalog.SearchOptions{})
	notRequired := false
	want := []catalog.RelatedTo{
		{Blueprint: "cluster", Values: []string{"c1"}},
		{Blueprint: "team", Values: []string{"a", "b"}, Direction: "upstream", Required: &notRequired},
		{Values: []string{"y"}, Path: []catalog.Hop{{Relation: "r", MaxHops: 1}, {Relation: "s", MaxHops: 3}}, FromBlueprint: "x"},
	}
	if diff := cmp.Diff(want, s.RelatedTo()); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	key := func(identifier string) catalog.Key { return catalog.Key{Blueprint: "bp_1", Identifier: identifier} }
	resolved, err := s.Resolve(func(r catalog.RelatedTo) (map[catalog.Key]bool, error) {
		switch r.Blueprint {
		case "cluster":
			return map[catalog.Key]bool{key("one"): true}, nil
		case "team":
			return map[catalog.Key]bool{key("two"): true, key("three"): true}, nil
		default:
			return map[catalog.Key]bool{key("two"): true}, nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	keys, ok := resolved.Keys()
	if diff := cmp.Diff(map[catalog.Key]bool{key("one"): true, key("two"): true}, keys); diff != "" || !ok {
		t.Errorf("keys, %t (-want +got):\n%s", ok, diff)
	}
	for identifier, want := range map[string]bool{"one": true, "two": true, "three": false, "four": false} {
		if got := resolved.Matches(&catalog.Subject{Key: key(identifier)}, now); got != want {
			t.Errorf("%s: got %t, want %t", identifier, got, want)
		}
		if s.Matches(&catalog.Subject{Key: key(identifier)}, now) {
			t.Errorf("%s matches the search that was not resolved", identifier)
		}
	}
	boom := errors.New("boom")
	calls := 0
	if _, err := s.Resolve(func(catalog.RelatedTo) (map[catalog.Key]bool, error) { calls++; return nil, boom }); !errors.Is(err, boom) || calls != 1 {
		t.Errorf("got %v after %d calls, want the first call's error", err, calls)
	}
}

// TestRestrictionsLeaveNothingOut holds that no entity which matches is outside what a search is
// restricted to, for searches of all shapes.
func TestRestrictionsLeaveNothingOut(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	leaves := []string{
		`{"property":"$blueprint","operator":"=","value":"a"}`, `{"property":"$blueprint","operator":"in","value":["a","b"]}`,
		`{"property":"$blueprint","operator":"!=","value":"a"}`, `{"property":"$blueprint","operator":"isNotEmpty"}`,
		`{"property":"$identifier","operator":"=","value":"x"}`, `{"property":"$identifier","operator":"matchAny","value":["x","y"]}`,
		`{"property":"$identifier","operator":"notIn","value":["x"]}`, `{"property":"$identifier","operator":"beginsWith","value":"y"}`,
		`{"property":"p","operator":"isEmpty"}`, `{"operator":"relatedTo","blueprint":"b","value":"1"}`, `{"operator":"relatedTo","blueprint":"b","value":"2"}`,
	}
	var group func(depth int) string
	group = func(depth int) string {
		var rules []string
		for range random.IntN(4) {
			if depth < 3 && random.IntN(3) == 0 {
				rules = append(rules, group(depth+1))
			} else {
				rules = append(rules, leaves[random.IntN(len(leaves))])
			}
		}
		return `{"combinator":"` + []string{"and", "or"}[random.IntN(2)] + `","rules":[` + strings.Join(rules, ",") + `]}`
	}
	for range 3000 {
		text := group(0)
		s, err := parseSearch(t, text, catalog.SearchOptions{}).Resolve(func(r catalog.RelatedTo) (map[catalog.Key]bool, error) {
			if r.Values[0] == "1" {
				return map[catalog.Key]bool{{Blueprint: "a", Identifier: "x"}: true, {Blueprint: "b", Identifier: "y"}: true}, nil
			}
			return map[catalog.Key]bool{{Blueprint: "a", Identifier: "x"}: true, {Blueprint: "c", Identifier: "z"}: false}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		blueprints, byBlueprint := s.Blueprints()
		identifiers, byIdentifier := s.Identifiers()
		keys, byKey := s.Keys()
		for _, b := range []string{"a", "b", "c"} {
			for _, id := range []string{"x", "y", "z"} {
				key := catalog.Key{Blueprint: b, Identifier: id}
				if !s.Matches(&catalog.Subject{Key: key, Blueprint: b}, now) {
					continue
				}
				if byBlueprint && !slices.Contains(blueprints, b) || byIdentifier && !slices.Contains(identifiers, id) || byKey && !keys[key] {
					t.Fatalf("%s: %v matches, but the search is restricted to %q %q %v", text, key, blueprints, identifiers, keys)
				}
			}
		}
	}
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	s := parseSearch(t, one(`{"property":"a","operator":"isEmpty"},{"property":"$title","operator":"isEmpty"},{"property":"$owned_by_team","operator":"isEmpty"},
		{"combinator":"or","rules":[{"property":"b","operator":"isEmpty"},{"relation":"r","targetProperty":"$title","operator":"isEmpty"},
		{"relation":"s","operator":"isEmpty"},{"propertySchema":{"type":"string"},"operator":"="}]}`), catalog.SearchOptions{})
	want := catalog.Needs{Properties: map[string]bool{"a": true, "b": true}, Schema: true, OwnedByTeam: true, RelatedTitles: map[string]bool{"r": true}}
	if diff := cmp.Diff(want, s.Needs()); diff != "" {
		t.Errorf("needs (-want +got):\n%s", diff)
	}
	if keys, ok := s.Keys(); ok {
		t.Errorf("got keys %v of a search without relations", keys)
	}
}

func TestBind(t *testing.T) {
	t.Parallel()
	properties := map[catalog.ContextProperty][]any{
		{Property: "email", Context: "user"}:      {"a@example.com"},
		{Property: "level", Context: "user"}:      {float64(3)},
		{Property: "groups", Context: "user"}:     {[]any{"core", "x"}},
		{Property: "nothing", Context: "user"}:    {nil},
		{Property: "env", Context: "userTeams"}:   {"dev", "prod"},
		{Property: "names", Context: "userTeams"}: {[]any{"core"}, []any{"ops"}},
	}
	tests := []struct {
		name, rule string
		want       bool
	}{
		{"user", `{"property":"owner","operator":"=","value":{"property":"email","context":"user"}}`, true},
		{"user negated", `{"property":"owner","operator":"!=","value":{"property":"email","context":"user"}}`, false},
		{"user number", `{"property":"replicas","operator":">=","value":{"property":"level","context":"user"}}`, true},
		{"user list", `{"property":"$team","operator":"containsAny","value":{"property":"groups","context":"user"}}`, true},
		{"user property that is null", `{"property":"missing","operator":"=","value":{"property":"nothing","context":"user"}}`, false},
		{"user property that is not there", `{"property":"missing","operator":"=","value":{"property":"none","context":"user"}}`, false},
		{"teams", `{"property":"env","operator":"=","value":{"property":"env","context":"userTeams"}}`, true},
		{"teams in", `{"property":"env","operator":"in","value":{"property":"env","context":"userTeams"}}`, true},
		{"teams negated", `{"property":"env","operator":"!=","value":{"property":"env","context":"userTeams"}}`, false},
		{"teams begin", `{"property":"env","operator":"beginsWith","value":{"property":"env","context":"userTeams"}}`, true},
		{"lists of teams", `{"property":"$team","operator":"matchAny","value":{"property":"names","context":"userTeams"}}`, true},
		{"a range is none of a user", `{"property":"until","operator":"between","value":{"property":"email","context":"user"}}`, false},
		{"on the left", `{"property":{"property":"level","context":"user"},"operator":">","value":2}`, true},
		{"teams on the left", `{"property":{"property":"env","context":"userTeams"},"operator":"=","value":"prod"}`, true},
		{"teams on the left, negated", `{"property":{"property":"env","context":"userTeams"},"operator":"!=","value":"prod"}`, false},
		{"nothing on the left", `{"property":{"property":"none","context":"user"},"operator":"=","value":null}`, false},
		{"on both sides", `{"property":{"property":"env","context":"userTeams"},"operator":"=","value":{"property":"env","context":"userTeams"}}`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			asked := map[catalog.ContextProperty]int{}
			s, err := parseSearch(t, one(tt.rule), catalog.SearchOptions{}).Bind(func(c catalog.ContextProperty) ([]any, error) {
				asked[c]++
				return properties[c], nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Matches(subject(t), now); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
			for c, n := range asked {
				if n != 1 {
					t.Errorf("asked %d times for %v", n, c)
				}
			}
		})
	}
	boom := errors.New("boom")
	s := parseSearch(t, one(tests[0].rule), catalog.SearchOptions{})
	if _, err := s.Bind(func(catalog.ContextProperty) ([]any, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Errorf("got %v, want the error of the property", err)
	}
	s, err := parseSearch(t, one(tests[5].rule), catalog.SearchOptions{}).Bind(func(catalog.ContextProperty) ([]any, error) { return nil, nil })
	if err != nil || s.Matches(subject(t), now) {
		t.Errorf("a property that is not there matches: %v", err)
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	data := jqtemplate.NewData(decode(t, `{"env":"prod","list":["dev","prod"],"n":3,"null":null,"object":{"a":1},
		"template":"{{ .env }}","context":{"property":"env","context":"user"},"from":"2026-03-01T00:00:00Z"}`))
	templates := catalog.SearchOptions{AllowTemplates: true}
	anyValue := catalog.SearchOptions{AllowTemplates: true, AnyValue: true}
	tests := []struct {
		name, rule string
		options    catalog.SearchOptions
		want       bool
		faults     []string
	}{
		{name: "template", rule: `{"property":"env","operator":"=","value":"{{ .env }}"}`, want: true},
		{name: "text around", rule: `{"property":"env","operator":"=","value":"p{{ .env[1:] }}"}`, want: true},
		{name: "query", rule: `{"property":"replicas","operator":"<=","value":{"jqQuery":".n"}}`, want: true},
		{name: "list", rule: `{"property":"env","operator":"in","value":"{{ .list }}"}`, want: true},
		{name: "in a list", rule: `{"property":"env","operator":"in","value":["x","{{ .env }}"]}`, want: true},
		{name: "in a range", rule: `{"property":"until","operator":"between","value":{"from":"{{ .from }}","to":"2026-04-01T00:00:00Z"}}`, want: true},
		{name: "null", rule: `{"property":"missing","operator":"=","value":"{{ .null }}"}`, want: true},
		{name: "nothing is null", rule: `{"property":"env","operator":"=","value":"{{ empty }}"}`, want: false},
		{name: "a result is no template", rule: `{"property":"env","operator":"=","value":"{{ .template }}"}`, want: false},
		{name: "a relation", rule: `{"relation":"cluster","operator":"=","value":"c{{ .n - 2 }}"}`, want: true},
		{name: "plain beside", rule: `{"property":"env","operator":"=","value":"prod"}`, want: true},
		{name: "a failing expression", rule: `{"property":"env","operator":"!=","value":"{{ error(\"x\") }}"}`,
			faults: []string{`rules[0].value: `}},
		{name: "a broken query", rule: `{"property":"env","operator":"!=","value":{"jqQuery":".["}}`,
			faults: []string{`rules[0].value.jqQuery: `}},
		{name: "a broken template", rule: `{"property":"env","operator":"!=","value":"{{ .[ }}"}`,
			faults: []string{`rules[0].value: `}},
		{name: "related that fails", rule: `{"operator":"relatedTo","blueprint":"b","value":"{{ error(\"x\") }}"},{"operator":"relatedTo","blueprint":"b","value":"{{ .n }}"}`,
			faults: []string{`rules[0].value: `, `rules[1].value: must be a string or an array of strings`}},
		{name: "a limit", rule: `{"property":"env","operator":"=","value":"{{ [range(1e9)] }}"}`,
			faults: []string{`rules[0].value: `}},
		{name: "a value of a wrong type", rule: `{"property":"env","operator":"!=","value":"{{ .object }}"},{"property":"env","operator":">","value":"{{ .env }}"}`,
			faults: []string{"rules[0].value: must be null, a string, a number, a boolean or an array of such", "rules[1].value: must be a number or a date-time"}},
		{name: "a result is no context", rule: `{"property":"env","operator":"!=","value":"{{ .context }}"}`,
			faults: []string{"rules[0].value: must be null"}},
		{name: "any value matches nothing", options: anyValue, rule: `{"property":"env","operator":"=","value":"{{ .object }}"}`, want: false},
		{name: "any value negated", options: anyValue, rule: `{"property":"env","operator":"!=","value":"{{ .object }}"}`, want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if !tt.options.AllowTemplates {
				tt.options = templates
			}
			s := parseSearch(t, one(tt.rule), tt.options)
			rendered, err := s.Render(t.Context(), data)
			if len(tt.faults) > 0 {
				got := faults(t, err)
				if len(got) != len(tt.faults) {
					t.Fatalf("got %q, want %q", got, tt.faults)
				}
				for i := range got {
					if !strings.HasPrefix(got[i], tt.faults[i]) {
						t.Errorf("got %q, want %q …", got[i], tt.faults[i])
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := rendered.Matches(subject(t), now); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestRenderWholeSearches(t *testing.T) {
	t.Parallel()
	options := catalog.SearchOptions{AllowTemplates: true}
	data := jqtemplate.NewData(decode(t, `{"id":"api","ids":["c1","c2"]}`))
	s := parseSearch(t, one(`{"property":"$identifier","operator":"=","value":"{{ .id }}"},{"operator":"relatedTo","blueprint":"cluster","value":"{{ .ids }}"},
		{"property":{"property":"id","context":"user"},"operator":"=","value":"{{ .id }}"}`), options)
	if _, ok := s.Identifiers(); ok {
		t.Error("a template restricts before it is rendered")
	}
	bind := func(s *catalog.Search) *catalog.Search {
		s, err := s.Bind(func(catalog.ContextProperty) ([]any, error) { return []any{"api"}, nil })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	render := func(s *catalog.Search) *catalog.Search {
		s, err := s.Render(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, s := range map[string]*catalog.Search{"render first": bind(render(s)), "bind first": render(bind(s))} {
		if ids, ok := s.Identifiers(); !ok || !cmp.Equal(ids, []string{"api"}) {
			t.Errorf("%s: identifiers: got %q, %t", name, ids, ok)
		}
		if diff := cmp.Diff([]catalog.RelatedTo{{Blueprint: "cluster", Values: []string{"c1", "c2"}}}, s.RelatedTo()); diff != "" {
			t.Errorf("%s: related (-want +got):\n%s", name, diff)
		}
		s, err := s.Resolve(func(catalog.RelatedTo) (map[catalog.Key]bool, error) {
			return map[catalog.Key]bool{{Blueprint: "bp_1", Identifier: "api"}: true}, nil
		})
		if err != nil || !s.Matches(subject(t), now) {
			t.Errorf("%s: does not match, %v", name, err)
		}
	}

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Render(cancelled, data); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation", err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	computed := parseSearch(t, one(`{"property":"p","operator":"=","value":"{{ [range(5)] }}"},{"property":"q","operator":"=","value":"{{ [range(5)] }}"}`), options)
	if _, err := computed.Render(late, data); len(faults(t, err)) != 1 || fault.KindOf(err) != fault.Invalid {
		t.Errorf("got %v, want a fault of the search", err)
	}
	_, err := catalog.ParseSearch(decode(t, one(`{"property":"p","operator":"=","value":"{{ .a"},{"property":"p","operator":"=","value":{"jqQuery":5}}`)), "query", options)
	got := faults(t, err)
	if len(got) != 2 || !strings.HasPrefix(got[0], "query.rules[0].value: ") || got[1] != "query.rules[1].value.jqQuery: must be a string" {
		t.Errorf("got %q", got)
	}
	s = parseSearch(t, one(`{"property":"p","operator":"=","value":"{{ .[ }}"},{"property":"p","operator":"=","value":{"jqQuery":".["}}`), options)
	var paths []string
	for _, w := range s.Warnings() {
		paths = append(paths, w.Path)
	}
	if diff := cmp.Diff([]string{"rules[0].value", "rules[1].value.jqQuery"}, paths); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestAnyValue(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, rule string
		want       bool
	}{
		{"isEmpty with a value", `{"property":"x","operator":"isEmpty","value":null}`, true},
		{"= object", `{"property":"env","operator":"=","value":{"a":1}}`, false},
		{"!= object", `{"property":"env","operator":"!=","value":{"a":1}}`, true},
		{"> text", `{"property":"env","operator":">","value":"a"}`, false},
		{"between text", `{"property":"until","operator":"between","value":"today"}`, false},
		{"notBetween text", `{"property":"until","operator":"notBetween","value":"today"}`, false},
		{"in with an odd element", `{"property":"env","operator":"in","value":["prod",{}]}`, false},
		{"schema with a list", `{"propertySchema":{"type":"string"},"operator":"=","value":["x"]}`, false},
		{"a rule that can be used", `{"property":"env","operator":"in","value":["prod"]}`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := parseSearch(t, one(tt.rule), catalog.SearchOptions{AnyValue: true}).Matches(subject(t), now); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
	_, err := catalog.ParseSearch(decode(t, one(`{"property":"p","operator":"=","value":{},"x":1},{"property":"p","operator":"=","value":[`+
		strings.TrimSuffix(strings.Repeat("1,", 1001), ",")+`]}`)), "", catalog.SearchOptions{AnyValue: true})
	want := []string{"rules[0].x: unknown field", "rules[1].value: may have at most 1000 values, has 1001"}
	if diff := cmp.Diff(want, faults(t, err)); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestMatchesAllocatesNothing(t *testing.T) {
	s := parseSearch(t, benchmarkSearch, catalog.SearchOptions{})
	entities := manySubjects(t, 10)
	if n := testing.AllocsPerRun(100, func() {
		for _, e := range entities {
			s.Matches(e, now)
		}
	}); n != 0 {
		t.Errorf("%v allocations for 10 entities", n)
	}
}

const benchmarkSearch = `{"combinator":"and","rules":[
	{"property":"$blueprint","operator":"=","value":"service"},
	{"property":"$team","operator":"containsAny","value":["core","ops"]},
	{"property":"created","operator":">","value":"2025-01-01T00:00:00Z"},
	{"combinator":"or","rules":[{"property":"env","operator":"in","value":["prod","staging"]},{"property":"replicas","operator":">","value":5}]},
	{"relation":"libs","operator":"contains","value":"l2"},
	{"property":"tags","operator":"=","value":["a","b"]}]}`

func manySubjects(t testing.TB, n int) []*catalog.Subject {
	entities := make([]*catalog.Subject, n)
	for i := range entities {
		entities[i] = &catalog.Subject{
			Key:       catalog.Key{Blueprint: "bp_1", Identifier: fmt.Sprintf("service-%d", i)},
			Blueprint: "service",
			Team:      []string{"core"},
			Properties: object(t, fmt.Sprintf(`{"env":%q,"replicas":%d,"created":"2026-01-%02dT00:00:00.000Z","tags":["b","a"],"url":"https://example.com"}`,
				[]string{"prod", "dev"}[i%2], i%10, i%28+1)),
			Relations: object(t, `{"libs":["l1","l2"]}`),
		}
	}
	return entities
}

func BenchmarkSearch10000(b *testing.B) {
	s := parseSearch(b, benchmarkSearch, catalog.SearchOptions{})
	entities := manySubjects(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		matches := 0
		for _, e := range entities {
			if s.Matches(e, now) {
				matches++
			}
		}
		if matches != 7000 {
			b.Fatalf("%d match", matches)
		}
	}
}
