package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// without is an answered action without what the server adds.
func without(t *testing.T, action any) map[string]any {
	t.Helper()
	a := map[string]any{}
	for name, value := range action.(map[string]any) {
		switch name {
		case "id", "createdAt", "updatedAt", "createdBy", "updatedBy":
		default:
			a[name] = value
		}
	}
	return a
}

func decoded(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestActionIsReturnedAsItWasSent(t *testing.T) {
	t.Parallel()
	for name, definition := range map[string]string{"v2": deploy, "v1": older, "automation": automation, "kafka": kafka} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			want := decoded(t, definition)
			created := f.define(definition)
			read := f.call("GET", "/v1/actions/"+want["identifier"].(string), "").want(http.StatusOK)
			listed := f.call("GET", "/v1/actions", "").want(http.StatusOK).list("actions")
			if diff := cmp.Diff(want, without(t, created.at("action"))); diff != "" {
				t.Errorf("POST (-sent +got):\n%s", diff)
			}
			if diff := cmp.Diff(created.at("action"), read.at("action")); diff != "" {
				t.Errorf("GET (-POST +GET):\n%s", diff)
			}
			if diff := cmp.Diff([]any{read.at("action")}, listed); diff != "" {
				t.Errorf("list (-GET +list):\n%s", diff)
			}
			if created.at("action", "createdBy") != clientID || created.at("action", "updatedBy") != clientID {
				t.Errorf("got %s, want it made by %s", created.text, clientID)
			}
			if got := created.list("warnings"); len(got) != 0 {
				t.Errorf("got warnings %v", got)
			}
		})
	}
}

func TestActionInTheOtherGeneration(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(deploy)
	f.define(older)
	v1 := f.call("GET", "/v1/actions/deploy?version=v1", "").want(200)
	if v1.at("action", "trigger") != "CREATE" {
		t.Errorf("got %s, want v1", v1.text)
	}
	v2 := f.call("GET", "/v1/actions/older?version=v2", "").want(200)
	if v2.at("action", "trigger", "type") != "self-service" {
		t.Errorf("got %s, want v2", v2.text)
	}
	for _, a := range f.call("GET", "/v1/actions?version=v1", "").want(200).list("actions") {
		if a.(map[string]any)["trigger"] != "CREATE" {
			t.Errorf("got %v in the list, want v1", a)
		}
	}
	as := f.call("GET", "/v1/actions/deploy?version=v9", "").want(200)
	if diff := cmp.Diff(decoded(t, deploy), without(t, as.at("action"))); diff != "" {
		t.Errorf("an unknown version means its own (-want +got):\n%s", diff)
	}
}

func TestActionWarnings(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	definition := strings.Replace(deploy, "{{ .inputs.service }}", "a {{ .inputs | }}", 1)
	g := f.call("POST", "/v1/actions", definition).want(http.StatusCreated)
	warnings := g.list("warnings")
	if len(warnings) != 1 {
		t.Fatalf("got %s, want one warning", g.text)
	}
	warning := warnings[0].(map[string]any)
	if warning["path"] != "invocationMethod.body.service" || warning["message"] == "" {
		t.Errorf("got warning %v", warning)
	}
	g = f.call("PUT", "/v1/actions/deploy", definition).want(http.StatusOK)
	if diff := cmp.Diff(warnings, g.list("warnings")); diff != "" {
		t.Errorf("PUT's warnings (-POST +PUT):\n%s", diff)
	}
}

func TestActionReplace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	before := f.define(deploy).at("action").(map[string]any)
	renamed := strings.NewReplacer(`"deploy"`, `"roll-out"`, `"Deploy"`, `"Roll out"`).Replace(deploy)
	after := f.call("PUT", "/v1/actions/deploy", renamed).want(http.StatusOK).at("action").(map[string]any)
	for _, name := range []string{"id", "createdAt", "createdBy"} {
		if before[name] != after[name] {
			t.Errorf("%s changed from %v to %v", name, before[name], after[name])
		}
	}
	if diff := cmp.Diff(decoded(t, renamed), without(t, after)); diff != "" {
		t.Errorf("replaced (-sent +got):\n%s", diff)
	}
	f.call("GET", "/v1/actions/deploy", "").fault(404, "not_found")
	f.call("GET", "/v1/actions/roll-out", "").want(200)
	// The identifier is free at once.
	again := f.define(deploy).at("action", "id")
	if again == before["id"] {
		t.Errorf("a new action has the id of another, %v", again)
	}
	f.call("PUT", "/v1/actions/deploy", renamed).fault(409, "identifier_taken")
	f.call("POST", "/v1/actions", deploy).fault(409, "identifier_taken")
	f.call("PUT", "/v1/actions/none", deploy).fault(404, "not_found")
}

func TestActionReplaceRaces(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.define(deploy)
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			definition := strings.Replace(deploy, `"Deploy"`, fmt.Sprintf(`"Deploy %d"`, i), 1)
			f.call("PUT", "/v1/actions/deploy", definition).want(http.StatusOK)
		})
	}
	wg.Wait()
	title := f.call("GET", "/v1/actions/deploy", "").want(200).at("action", "title").(string)
	if !strings.HasPrefix(title, "Deploy ") {
		t.Errorf("got title %q", title)
	}
}

func TestActionDelete(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.start()
	f.call("GET", "/v1/actions/runs/"+id, "").want(200)
	g := f.call("DELETE", "/v1/actions/deploy", "").want(http.StatusOK)
	if diff := cmp.Diff(map[string]any{"ok": true}, g.body); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	f.call("DELETE", "/v1/actions/deploy", "").fault(404, "not_found")
	f.call("GET", "/v1/actions/deploy", "").fault(404, "not_found")
	f.call("POST", "/v1/actions/deploy/runs", `{"properties":{"service":"x"}}`).fault(404, "not_found")
}

// A run says whether its action is gone, also when another took its identifier or it was renamed.
func TestRunOfADeletedAction(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.start()
	deleted := func(want bool) {
		t.Helper()
		one := f.call("GET", "/v1/actions/runs/"+id, "").want(200)
		if one.at("run", "action", "identifier") != "deploy" || one.at("run", "action", "deleted") != want {
			t.Errorf("got action %v of the run, want deploy, deleted %v", one.at("run", "action"), want)
		}
		list := f.call("GET", "/v1/actions/runs", "").want(200).list("runs")
		if diff := cmp.Diff([]any{one.at("run")}, list); diff != "" {
			t.Errorf("list (-one +list):\n%s", diff)
		}
	}
	deleted(false)
	f.call("PUT", "/v1/actions/deploy", strings.Replace(deploy, `"deploy"`, `"renamed"`, 1)).want(200)
	deleted(false)
	f.call("DELETE", "/v1/actions/renamed", "").want(200)
	deleted(true)
	f.define(deploy)
	deleted(true)
}

func TestActionListFilters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blueprints()
	for _, definition := range []string{deploy, kafka, older, automation,
		`{"identifier":"off","trigger":{"type":"self-service","operation":"DELETE","blueprintIdentifier":"service"},"invocationMethod":{"type":"KAFKA","payload":{}},"publish":false}`,
	} {
		f.define(definition)
	}
	tests := map[string]struct {
		query string
		want  []string
	}{
		"all":                     {"", []string{"deploy", "off", "older", "publish", "watch"}},
		"one identifier":          {"action_identifier=older", []string{"older"}},
		"two identifiers":         {"action_identifier=older&action_identifier=watch", []string{"older", "watch"}},
		"an unknown one":          {"action_identifier=none", nil},
		"an empty one":            {"action_identifier=", []string{"deploy", "off", "older", "publish", "watch"}},
		"blueprint":               {"blueprint_identifier=service", []string{"off"}},
		"operation":               {"operation=DELETE", []string{"off"}},
		"operations":              {"operation=DELETE&operation=CREATE", []string{"deploy", "off", "older", "publish"}},
		"published":               {"published=true", []string{"deploy", "older", "publish", "watch"}},
		"not published":           {"published=false", []string{"off"}},
		"published is no boolean": {"published=maybe", []string{"deploy", "off", "older", "publish", "watch"}},
		"automations":             {"trigger_type=automation", []string{"watch"}},
		"self-service":            {"trigger_type=self-service", []string{"deploy", "off", "older", "publish"}},
		"event":                   {"trigger_event=RUN_UPDATED", []string{"watch"}},
		"another event":           {"trigger_event=RUN_CREATED", nil},
		"event of an action":      {"trigger_event_action_identifier=deploy", []string{"watch"}},
		"two filters":             {"trigger_type=self-service&operation=CREATE&action_identifier=deploy&action_identifier=off", []string{"deploy"}},
		"unknown parameter":       {"nothing=1", []string{"deploy", "off", "older", "publish", "watch"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := *f
			f.t = t
			var got []string
			for _, a := range f.call("GET", "/v1/actions?"+test.query, "").want(200).list("actions") {
				got = append(got, a.(map[string]any)["identifier"].(string))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("identifiers (-want +got):\n%s", diff)
			}
		})
	}
}

// A definition is refused that names a blueprint which is not there, when it is made and when it is
// replaced; what an input of format entity has is looked up when the input is given.
func TestActionNamesABlueprint(t *testing.T) {
	t.Parallel()
	const there = "service"
	tests := map[string]struct {
		// path is where the definition names the blueprint; empty if it may name one that is not there.
		path, definition string
	}{
		"v1":                   {"blueprint", `{"identifier":"a","blueprint":"%s","trigger":"DAY-2","userInputs":{"properties":{}},"invocationMethod":{"type":"KAFKA"}}`},
		"v2":                   {"trigger.blueprintIdentifier", `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE","blueprintIdentifier":"%s"},"invocationMethod":{"type":"KAFKA"}}`},
		"an entity's event":    {"trigger.event.blueprintIdentifier", `{"identifier":"a","trigger":{"type":"automation","event":{"type":"ENTITY_CREATED","blueprintIdentifier":"%s"}},"invocationMethod":{"type":"KAFKA"}}`},
		"a timer's event":      {"trigger.event.blueprintIdentifier", `{"identifier":"a","trigger":{"type":"automation","event":{"type":"TIMER_PROPERTY_EXPIRED","blueprintIdentifier":"%s","propertyIdentifier":"p"}},"invocationMethod":{"type":"KAFKA"}}`},
		"an upsert":            {"invocationMethod.blueprintIdentifier", `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":{"type":"UPSERT_ENTITY","blueprintIdentifier":"%s","mapping":{}}}`},
		"an upsert's template": {"", `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":{"type":"UPSERT_ENTITY","blueprintIdentifier":"{{ .inputs.%s }}","mapping":{}}}`},
		"an input":             {"", `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"x":{"type":"string","format":"entity","blueprint":"%s"}}}},"invocationMethod":{"type":"KAFKA"}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.blueprints()
			missing := fmt.Sprintf(test.definition, "gone")
			if test.path == "" {
				f.define(missing)
				return
			}
			refused := func(method, target string) {
				t.Helper()
				before := f.snapshot()
				got := f.call(method, target, missing).fault(422, "invalid_request")
				if want := test.path + ": there is no such blueprint"; got != want {
					t.Errorf("%s: got %q, want %q", method, got, want)
				}
				f.unchanged(before)
			}
			refused("POST", "/v1/actions")
			f.define(fmt.Sprintf(test.definition, there))
			refused("PUT", "/v1/actions/a")
			f.call("PUT", "/v1/actions/a", fmt.Sprintf(test.definition, "system")).want(200)
		})
	}
	f := newFixture(t)
	got := f.call("POST", "/v1/actions", `{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE","blueprintIdentifier":"x"},`+
		`"invocationMethod":{"type":"UPSERT_ENTITY","blueprintIdentifier":"y","mapping":{}}}`)
	if want := "trigger.blueprintIdentifier: there is no such blueprint\ninvocationMethod.blueprintIdentifier: there is no such blueprint"; got.fault(422, "invalid_request") != want {
		t.Errorf("got %s, want both faults", got.text)
	}
	got = f.call("POST", "/v1/actions", `{"identifier":"a","more":1,"trigger":{"type":"self-service","operation":"CREATE","blueprintIdentifier":".."},`+
		`"invocationMethod":{"type":"UPSERT_ENTITY","blueprintIdentifier":"y","mapping":{}}}`)
	const one, other, missing = "more: unknown field\ntrigger.blueprintIdentifier: must be", "\ninvocationMethod.blueprintIdentifier: ", "there is no such blueprint"
	if text := got.fault(422, "invalid_request"); !strings.HasPrefix(text, one) || !strings.HasSuffix(text, other+missing) || strings.Count(text, missing) != 1 {
		t.Errorf("got %s, want the definition's other faults too, and one for each member", text)
	}
}

// All definitions together may be more than an answer can hold.
func TestActionListThatIsTooLarge(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	long := strings.Repeat("x", 340<<10)
	for i := range 15 {
		f.define(fmt.Sprintf(`{"identifier":"a%d","description":"%s","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":{"type":"KAFKA","payload":{}}}`, i, long))
	}
	f.call("GET", "/v1/actions", "").fault(422, "answer_too_large")
	f.call("GET", "/v1/actions?action_identifier=a3", "").want(200)
}
