package trigger_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/jqtemplate"
)

// shown is a definition as GET returns it.
func shown(t *testing.T, r *action.Record) string {
	t.Helper()
	definition, err := action.Parse(r.Definition)
	if err != nil {
		t.Fatal(err)
	}
	view, err := action.View(r, definition, "")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jqtemplate.Decode(view)
	if err != nil {
		t.Fatal(err)
	}
	return string(jqtemplate.Encode(value))
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	entry := w.actions.add(t, `{"identifier":"a","title":"A",
		"trigger":{"type":"self-service","operation":"DAY-2","userInputs":{"properties":{"n":{"type":"number","default":2}}}},
		"invocationMethod":{"type":"WEBHOOK","url":"https://example.com/{{ .run.id }}",
			"body":{"failed":"{{ .inputs.n.x }}","broken":"{{ .inputs[ }}","secret":"{{ .secrets }}","fine":"{{ .action.encryptedProperties }}"}}}`)
	q := request(t, "a", `{"more":"x"}`)
	q.IdempotencyKey = "k"
	got, err := w.DryRun(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	wantCall := `{"type":"WEBHOOK","url":"https://example.com/` + runID(1) + `","agent":false,"synchronized":false,"method":"POST",` +
		`"headers":{},"body":{"failed":null,"broken":null,"secret":{},"fine":[]}}`
	if diff := cmp.Diff(wantCall, string(got.Invocation)); diff != "" {
		t.Errorf("invocation (-want +got):\n%s", diff)
	}
	definition := strings.TrimSuffix(shown(t, entry), "}") + `,"blueprint":null,"encryptedProperties":[]}`
	want := `{"inputs":{"more":"x","n":2},` +
		`"trigger":{"by":{"orgId":"org_1","userId":"client","user":` + machine + `},"origin":"API","at":"` + at + `","operation":"DAY-2"},` +
		`"event":null,"entity":{},"action":` + definition + `,"run":{"id":"` + runID(1) + `"},"user":` + machine + `}`
	if diff := cmp.Diff(want, string(got.TriggerData)); diff != "" {
		t.Errorf("trigger data (-want +got):\n%s", diff)
	}
	// The one that does not compile is a warning and, since it yielded null, may be listed as failed too.
	failed := map[string]string{}
	for _, f := range got.FailedExpressions {
		failed[f.Path] = f.Expression
		if f.Message == "" {
			t.Errorf("%s failed without a message", f.Path)
		}
	}
	if e, ok := failed["invocationMethod.body.failed"]; !ok || strings.TrimSpace(e) != ".inputs.n.x" {
		t.Errorf("failed expressions are %+v", got.FailedExpressions)
	}
	if len(got.Warnings) != 1 || got.Warnings[0].Path != "invocationMethod.body.broken" {
		t.Errorf("warnings are %+v", got.Warnings)
	}
	w.wantNothing(t)

	// The key was not bound: another request may have it.
	q = request(t, "a", `{"more":"y"}`)
	q.IdempotencyKey = "k"
	if w.start(t, q).Replayed {
		t.Error("the dry run bound the key")
	}
}

// TestDryRunFirstGeneration: a method without templates has trigger data all the same.
func TestDryRunFirstGeneration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.actions.add(t, v1(`{"type":"WEBHOOK","url":"https://example.com"}`))
	got, err := w.DryRun(t.Context(), request(t, "a", `{"s":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	var call struct {
		Body struct {
			Payload struct{ Properties, Action map[string]any }
		}
	}
	if err := json.Unmarshal(got.Invocation, &call); err != nil {
		t.Fatal(err)
	}
	var data struct {
		Inputs map[string]any
		Action struct {
			Blueprint           string
			EncryptedProperties []string
		}
	}
	if err := json.Unmarshal(got.TriggerData, &data); err != nil {
		t.Fatal(err)
	}
	if data.Inputs["s"] != "x" || data.Action.Blueprint != "service" || data.Action.EncryptedProperties == nil {
		t.Errorf("trigger data is %s", got.TriggerData)
	}
	if call.Body.Payload.Properties["s"] != "x" || call.Body.Payload.Action["id"] == nil {
		t.Errorf("invocation is %s", got.Invocation)
	}
	if _, ok := call.Body.Payload.Action["encryptedProperties"]; ok {
		t.Error("the run message's definition has what trigger data adds")
	}
	w.wantNothing(t)
}
