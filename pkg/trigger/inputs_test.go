package trigger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/trigger"
)

// withInputs is an action "a" with those user inputs, whose body is the inputs as templates see them.
func withInputs(operation, userInputs string) string {
	return `{"identifier":"a","trigger":{"type":"self-service",` + operation + `,"userInputs":` + userInputs + `},
		"invocationMethod":{"type":"WEBHOOK","url":"https://example.com","body":{"{{ spreadValue() }}":"{{ .inputs }}"}}}`
}

const create, day2 = `"operation":"CREATE"`, `"operation":"DAY-2","blueprintIdentifier":"service"`

// addPeople makes two users and two teams beside addCart's entities.
func (w *world) addPeople(t *testing.T) {
	t.Helper()
	w.addCart(t)
	s := catalog.NewService(w.catalog, func() time.Time { return start })
	by := catalog.Author{ID: "client", At: start}
	for _, e := range [][2]string{
		{catalog.UserBlueprint, `{"identifier":"Ada@example.com","properties":{"status":"Active"}}`},
		{catalog.UserBlueprint, `{"identifier":"bob@example.com","properties":{"status":"Disabled"}}`},
		{catalog.TeamBlueprint, `{"identifier":"web","title":"The web team"}`},
		{catalog.TeamBlueprint, `{"identifier":"ops"}`},
	} {
		if _, err := s.CreateEntity(t.Context(), e[0], json.RawMessage(e[1]), catalog.EntityWrite{By: by}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQueriesSeeEntityAndUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.addCart(t)
	w.actions.add(t, withInputs(day2, `{"properties":{"tier":{"type":"string","default":{"jqQuery":".entity.properties.tier + \"/\" + .user.id"}},
		"n":{"type":"number","default":{"jqQuery":".entity.properties.tier + 1"}},"m":{"type":"string","visible":{"jqQuery":"error(\"x\")"}}}}`))
	q := onEntity(t)
	got := w.start(t, q).Record
	if want := `{"tier":"gold/client"}`; string(got.Properties) != want || *got.Invocation.Webhook.Body != want {
		t.Errorf("properties %s, body %s, want %s", got.Properties, *got.Invocation.Webhook.Body, want)
	}
	want := []string{"These queries of the inputs count as absent:\n" +
		`trigger.userInputs.properties.n.default.jqQuery: jq: error: string ("gold") and number (1) cannot be added` + "\n" +
		"trigger.userInputs.properties.m.visible.jqQuery: jq: error: x"}
	if diff := cmp.Diff(want, w.logs(t, got.ID)); diff != "" {
		t.Errorf("log lines (-want +got):\n%s", diff)
	}
	dry, err := w.DryRun(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range dry.FailedExpressions {
		paths = append(paths, f.Path)
	}
	if want := []string{"trigger.userInputs.properties.n.default.jqQuery", "trigger.userInputs.properties.m.visible.jqQuery"}; !cmp.Equal(want, paths) {
		t.Errorf("failed expressions at %v, want %v", paths, want)
	}
}

// A run that waits says so beside what its queries did.
func TestFirstLineHasAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"s":{"type":"string","enum":{"jqQuery":"1"}}}}},"invocationMethod":{"type":"KAFKA"}}`)
	lines := w.logs(t, w.start(t, request(t, "a", `{"s":"x"}`)).Record.ID)
	if len(lines) != 1 || !strings.Contains(lines[0], "s.enum.jqQuery: yields no list\n") || !strings.Contains(lines[0], "not configured") {
		t.Errorf("lines are %q", lines)
	}
}

func TestNamedInputs(t *testing.T) {
	t.Parallel()
	service := `"type":"string","format":"entity","blueprint":"service"`
	gold := `,"dataset":{"combinator":"and","rules":[{"property":"$blueprint","operator":"=","value":"service"},
		{"combinator":"or","rules":[{"property":"tier","operator":"=","value":{"jqQuery":".form.tier"}},{"property":"tier","operator":"=","value":"{{ .form.other }}"}]}]}`
	for name, c := range map[string]struct {
		userInputs, given string
		// body is what templates see, stored what the run has when that is something else.
		body, stored string
		faults       []string
	}{
		"an entity":              {userInputs: `{"properties":{"e":{` + service + `}}}`, given: `{"e":"cart"}`, body: `{"e":"cart"}`},
		"an entity as an object": {userInputs: `{"properties":{"e":{` + service + `}}}`, given: `{"e":{"identifier":"cart","x":1}}`, body: `{"e":{"identifier":"cart","x":1}}`},
		"an entity of any kind":  {userInputs: `{"properties":{"e":{"type":"string","format":"entity"}}}`, given: `{"e":"cart"}`, body: `{"e":"cart"}`},
		"nothing that is needed": {userInputs: `{"properties":{"e":{` + service + `}}}`, given: `{"e":null}`, body: `{"e":null}`},
		"entities have titles":   {userInputs: `{"properties":{"l":{"type":"array","items":{` + service + `}}}}`, given: `{"l":["cart",{"identifier":"till","title":"theirs","x":1}]}`, body: `{"l":[{"identifier":"cart","title":"Cart"},{"identifier":"till","title":null,"x":1}]}`, stored: `{"l":["cart",{"identifier":"till","title":"theirs","x":1}]}`},
		"users and teams":        {userInputs: `{"properties":{"u":{"type":"array","items":{"type":"string","format":"user"}},"t":{"type":"array","items":{"type":"string","format":"team"}}}}`, given: `{"u":["Ada@example.com","ada@EXAMPLE.com","bob@example.com"],"t":["web","The web team","ops"]}`, body: `{"u":["Ada@example.com","ada@EXAMPLE.com","bob@example.com"],"t":["web","The web team","ops"]}`},
		"what is not there": {
			userInputs: `{"properties":{"e":{` + service + `},"l":{"type":"array","items":{` + service + `}},"any":{"type":"string","format":"entity"},"b":{"type":"string","format":"entity","blueprint":"nowhere"},
				"u":{"type":"string","format":"user"},"t":{"type":"string","format":"team"},"n":{"type":"number"}},"required":["r"]}`,
			given: `{"e":"Cart","l":["cart","hunter2"],"any":"hunter2","b":"x","u":"eve@example.com","t":"the web team","n":"1"}`,
			faults: []string{
				"properties.any: must be the identifier of an entity, there is no such entity",
				"properties.b: must be the identifier of an entity of nowhere, there is no such blueprint",
				"properties.e: must be the identifier of an entity of service, there is no such entity",
				"properties.l[1]: must be the identifier of an entity of service, there is no such entity",
				"properties.n: must be a number, got a string",
				"properties.r: is required",
				"properties.t: must be the identifier or the name of a team, there is no such team",
				"properties.u: must be the e-mail of a user, there is no such user",
			},
		},
		"what names nothing": {
			userInputs: `{"properties":{"e":{` + service + `},"l":{` + service + `},"t":{"type":"string","format":"team"}}}`, given: `{"e":"","l":"` + strings.Repeat("x", 1001) + `","t":""}`,
			faults: []string{
				"properties.e: must be the identifier of an entity of service, there is no such entity", "properties.l: must be the identifier of an entity of service, there is no such entity",
				"properties.t: must be the identifier or the name of a team, there is no such team",
			},
		},
		"in the dataset": {
			userInputs: `{"properties":{"e":{` + service + gold + `},"l":{"type":"array","items":{` + service + gold + `}},"tier":{"type":"string"},"other":{"type":"string"}}}`,
			given:      `{"e":"cart","l":["cart","till"],"tier":"gold","other":"silver"}`,
			body:       `{"e":"cart","l":[{"identifier":"cart","title":"Cart"},{"identifier":"till","title":null}],"tier":"gold","other":"silver"}`,
			stored:     `{"e":"cart","l":["cart","till"],"tier":"gold","other":"silver"}`,
		},
		"not in the dataset": {
			userInputs: `{"properties":{"e":{` + service + gold + `},"l":{"type":"array","items":{` + service + gold + `}},"tier":{"type":"string"}}}`,
			given:      `{"e":"till","l":["cart","till"],"tier":"gold"}`,
			faults:     []string{"properties.e: must be an entity of the input's dataset, this one is not", "properties.l[1]: must be an entity of the input's dataset, this one is not"},
		},
		"related to another": {
			userInputs: `{"properties":{"e":{` + service + `,"dataset":{"combinator":"and","rules":[{"operator":"relatedTo","blueprint":"service","value":"{{ .inputs.of }}"}]}},"of":{"type":"string"}}}`,
			given:      `{"e":"till","of":"cart"}`, body: `{"e":"till","of":"cart"}`,
		},
		"not related to another": {
			userInputs: `{"properties":{"e":{` + service + `,"dataset":{"combinator":"and","rules":[{"operator":"relatedTo","blueprint":"service","value":"{{ .inputs.of }}"}]}},"of":{"type":"string"}}}`,
			given:      `{"e":"till","of":"none"}`, faults: []string{"properties.e: must be an entity of the input's dataset, this one is not"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.addPeople(t)
			w.actions.add(t, withInputs(create, c.userInputs))
			started, err := w.Start(t.Context(), request(t, "a", c.given))
			if c.faults != nil {
				e := wantFault(t, err, fault.Invalid, "invalid_request")
				if diff := cmp.Diff(c.faults, slices.Sorted(slices.Values(strings.Split(e.Message, "\n")))); diff != "" {
					t.Errorf("faults (-want +got):\n%s", diff)
				}
				if len(e.Details) != len(c.faults) {
					t.Errorf("%d details, want %d", len(e.Details), len(c.faults))
				}
				w.wantNothing(t)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.stored == "" {
				c.stored = c.body
			}
			if diff := cmp.Diff([]string{c.body, c.stored}, []string{*started.Record.Invocation.Webhook.Body, string(w.read(t, started.Record.ID).Properties)}); diff != "" {
				t.Errorf("body and stored properties (-want +got):\n%s", diff)
			}
		})
	}
}

// Where nobody has written users yet, there is none: nothing is made by a trigger.
func TestNamedInputsOfAnEmptyCatalog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, withInputs(create, `{"properties":{"u":{"type":"string","format":"user"}}}`))
	_, err := w.Start(t.Context(), request(t, "a", `{"u":"ada@example.com"}`))
	wantFault(t, err, fault.Invalid, "invalid_request", "properties.u: must be the e-mail of a user")
	if blueprints, err := w.catalog.Blueprints(t.Context()); err != nil || len(blueprints) != 0 {
		t.Errorf("blueprints %v, %v", blueprints, err)
	}
}

func TestNamedInputsNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *trigger.Config) {
		c.Entities = unread{fault.Busy(errors.New("throttled"), 0, "the store is busy")}
	})
	w.actions.add(t, withInputs(create, `{"properties":{"u":{"type":"string","format":"user"}}}`))
	_, err := w.Start(t.Context(), request(t, "a", `{"u":"ada@example.com"}`))
	if e := wantFault(t, err, fault.Unavailable, "unavailable"); !e.Retryable {
		t.Errorf("got %+v", e)
	}
	w.wantNothing(t)
}

// unread is a catalog that cannot be read.
type unread struct{ err error }

func (u unread) Caller(context.Context, string) func(catalog.ContextProperty) ([]any, error) {
	return nil
}

func (u unread) Lookup(context.Context, string, string, *catalog.Search) (*jqtemplate.Object, bool, error) {
	return nil, false, u.err
}

func (u unread) Resolve(context.Context, []catalog.Reference) ([]catalog.Referent, error) {
	return nil, u.err
}

// What names no blueprint is looked for in each, within bounds.
func TestNamedInputsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	s := catalog.NewService(w.catalog, func() time.Time { return start })
	for n := range 9 { // The two built-in ones are made beside them.
		text := fmt.Sprintf(`{"identifier":"b%d","title":"B","schema":{"properties":{}}}`, n)
		if _, err := s.CreateBlueprint(t.Context(), json.RawMessage(text), false, catalog.Author{ID: "client", At: start}); err != nil {
			t.Fatal(err)
		}
	}
	w.actions.add(t, withInputs(create, `{"properties":{"l":{"type":"array","items":{"type":"string","format":"entity"}},
		"b":{"type":"array","items":{"type":"string","format":"entity","blueprint":"b1"}}}}`))
	names := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("e%d", i)
		}
		text, _ := json.Marshal(list)
		return string(text)
	}
	_, err := w.Start(t.Context(), request(t, "a", `{"l":`+names(1000)+`}`))
	wantFault(t, err, fault.Invalid, "search_too_broad")
	_, err = w.Start(t.Context(), request(t, "a", `{"b":`+names(1000)+`}`))
	if e := wantFault(t, err, fault.Invalid, "invalid_request"); len(e.Details) != 1000 {
		t.Errorf("%d details, want 1000", len(e.Details))
	}
	_, err = w.Start(t.Context(), request(t, "a", `{"b":`+names(1001)+`}`))
	wantFault(t, err, fault.Invalid, "invalid_request", "properties.b: the inputs may name at most 1000 entities")
	w.wantNothing(t)
}

// Queries, datasets and all that is made for one request are the request's own.
func TestInputsConcurrently(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.addCart(t)
	w.actions.add(t, withInputs(create, `{"properties":{"n":{"type":"string"},"d":{"type":"string","default":{"jqQuery":".form.n + \"!\""}},
		"e":{"type":"string","enum":{"jqQuery":"[.form.n]"}},"s":{"type":"string","encryption":"aes256-gcm"},
		"c":{"type":"string","format":"entity","blueprint":"service","dataset":{"combinator":"and","rules":[{"property":"tier","operator":"=","value":"{{ .form.n }}"}]}}}}`))
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			n := map[bool]string{true: "gold", false: "silver"}[i%2 == 0]
			got, err := w.Start(t.Context(), request(t, "a", fmt.Sprintf(`{"n":%q,"e":%q,"s":%q,"c":"cart"}`, n, n, n)))
			if n == "silver" {
				if err == nil || !strings.Contains(err.Error(), "properties.c: must be an entity of the input's dataset") {
					t.Errorf("silver: %v", err)
				}
				return
			}
			if err != nil || !strings.Contains(string(got.Record.Properties), `"d":"gold!"`) {
				t.Errorf("gold: %v", err)
			}
		})
	}
	all.Wait()
}
