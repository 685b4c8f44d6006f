package action_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/action"
	"longshore/pkg/jqtemplate"
)

func TestEventOfAnAutomation(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		trigger string
		want    action.Event
	}{
		"entity": {`{"type":"automation","event":{"type":"ENTITY_CREATED","blueprintIdentifier":"service"}}`, action.Event{Type: action.EntityCreated, Blueprint: "service"}},
		"timer": {`{"type":"automation","event":{"type":"TIMER_PROPERTY_EXPIRED","blueprintIdentifier":"service","propertyIdentifier":"ttl"}}`,
			action.Event{Type: action.TimerPropertyExpired, Blueprint: "service", Property: "ttl"}},
		"run": {`{"type":"automation","event":{"type":"ANY_RUN_CHANGE","actionIdentifier":"deploy"}}`, action.Event{Type: action.AnyRunChange, Action: "deploy"}},
		"schedule": {`{"type":"automation","event":{"type":"SCHEDULE","expression":"cron(0 9 ? * MON-FRI *)","timezone":"Europe/Berlin"}}`,
			action.Event{Type: action.Schedule, Expression: "cron(0 9 ? * MON-FRI *)", Timezone: "Europe/Berlin"}},
		"schedule without a zone": {`{"type":"automation","event":{"type":"SCHEDULE","expression":"rate(1 day)","timezone":null}}`, action.Event{Type: action.Schedule, Expression: "rate(1 day)"}},
		"none":                    {`{"type":"self-service","operation":"CREATE"}`, action.Event{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := action.Parse(json.RawMessage(`{"identifier":"a","trigger":` + test.trigger + `,"invocationMethod":{"type":"KAFKA"}}`))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, d.Event); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
			if holds, failed, err := d.Rule.Holds(t.Context(), jqtemplate.NewData(nil)); !holds || failed != nil || err != nil {
				t.Errorf("without a condition: %v, %v, %v", holds, failed, err)
			}
		})
	}
}

// What the expressions yield is tested with events; here, what is said of those that fail.
func TestRuleSaysWhatFailed(t *testing.T) {
	t.Parallel()
	d, err := action.Parse(json.RawMessage(`{"identifier":"a","trigger":{"type":"automation","event":{"type":"RUN_CREATED","actionIdentifier":"b"},
		"condition":{"type":"JQ","combinator":"or","expressions":["false","error(\"broken\")",".a ||",".a.b"]}},"invocationMethod":{"type":"KAFKA"}}`))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jqtemplate.Decode([]byte(`{"a":{"b":true}}`))
	if err != nil {
		t.Fatal(err)
	}
	data := jqtemplate.NewData(value)
	holds, failed, err := d.Rule.Holds(t.Context(), data)
	if !holds || err != nil || len(failed) != 2 {
		t.Fatalf("holds %v, failed %+v, %v; want true and two failures", holds, failed, err)
	}
	for n, path := range []string{"trigger.condition.expressions[1]", "trigger.condition.expressions[2]"} {
		if failed[n].Path != path || failed[n].Message == "" || failed[n].Expression == "" {
			t.Errorf("failure %d is %+v, want one of %s", n, failed[n], path)
		}
	}
	if len(d.Warnings) != 1 || d.Warnings[0].Path != "trigger.condition.expressions[2]" {
		t.Errorf("warnings %+v", d.Warnings)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := d.Rule.Holds(ctx, data); err == nil {
		t.Error("whether it holds is told though nobody waits")
	}
}
