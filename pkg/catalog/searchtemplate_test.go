package catalog_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

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
