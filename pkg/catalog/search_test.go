package catalog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"longshore/pkg/catalog"
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
