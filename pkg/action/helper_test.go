package action_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// with returns a minimal v2 definition to whose top level, trigger, user inputs or invocation method
// members are added. A member that repeats one of the minimal ones replaces it.
func with(place, members string) string {
	parts := map[string]string{"top": "", "trigger": "", "inputs": "", "method": ""}
	if members != "" {
		members = "," + members
	}
	if _, ok := parts[place]; !ok {
		panic("no place " + place)
	}
	parts[place] = members
	return fmt.Sprintf(`{"identifier":"deploy","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{}%s}%s},`+
		`"invocationMethod":{"type":"WEBHOOK","url":"https://example.com"%s}%s}`,
		parts["inputs"], parts["trigger"], parts["method"], parts["top"])
}

// method returns a v2 definition with that invocation method.
func method(text string) string {
	return `{"identifier":"deploy","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":` + text + `}`
}

// methodV1 returns a v1 definition with that invocation method.
func methodV1(text string) string {
	return `{"identifier":"deploy","trigger":"CREATE","invocationMethod":` + text + `}`
}

// trigger returns a v2 definition with that trigger.
func trigger(text string) string {
	return `{"identifier":"deploy","trigger":` + text + `,"invocationMethod":{"type":"KAFKA"}}`
}

// input returns a v2 definition with one input, called alpha.
func input(schema string) string {
	return trigger(`{"type":"self-service","operation":"CREATE","userInputs":{"properties":{"alpha":` + schema + `}}}`)
}

func parse(t *testing.T, text string) *action.Definition {
	t.Helper()
	d, err := action.Parse(json.RawMessage(text))
	if err != nil {
		t.Fatalf("Parse(%.200s): %v", text, err)
	}
	return d
}

// faultLines returns a fault.Invalid as its lines, with "@n" where it has a position.
func faultLines(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid {
		t.Fatalf("got error %v, want a fault of kind Invalid", err)
	}
	if len(f.Details) == 0 {
		return []string{f.Message}
	}
	var lines []string
	for _, d := range f.Details {
		line := d.Path + ": " + d.Message
		if d.Position != nil {
			line += fmt.Sprintf(" @%d", *d.Position)
		}
		lines = append(lines, line)
	}
	return lines
}

func decode(t *testing.T, text string) *jqtemplate.Object {
	t.Helper()
	v, err := jqtemplate.Decode([]byte(text))
	if err != nil {
		t.Fatalf("decode %.200s: %v", text, err)
	}
	o, ok := v.(*jqtemplate.Object)
	if !ok {
		t.Fatalf("%.200s is no object", text)
	}
	return o
}

var created = time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)

// meta is what View adds to the definitions of record.
const meta = `,"id":"action_0123456789abcdef","createdAt":"2026-01-02T03:04:05.006Z","updatedAt":"2026-01-02T03:05:05.000Z","createdBy":"client_1","updatedBy":"client_2"}`

func record(t *testing.T, text string) *action.Record {
	t.Helper()
	compact, err := action.Compact([]byte(text))
	if err != nil {
		t.Fatalf("Compact: %v", err)
	}
	return &action.Record{
		Identifier: "deploy", ID: "action_0123456789abcdef", Definition: compact,
		CreatedAt: created, UpdatedAt: created.Add(time.Minute - 6*time.Millisecond).In(time.FixedZone("", 3600)),
		CreatedBy: "client_1", UpdatedBy: "client_2", Rev: 1,
	}
}

func sorted(lines []string) []string { return slices.Sorted(slices.Values(lines)) }
