package action

import (
	"encoding/json"
	"fmt"
	"time"

	"longshore/pkg/document"
)

// timeFormat is RFC 3339 with milliseconds, of times in UTC.
const timeFormat = "2006-01-02T15:04:05.000Z"

// View returns a definition as the API returns it: the text that was sent, in its order and with its
// numbers' own text, then id, createdAt, updatedAt, createdBy, updatedBy. An action of v2 always has
// trigger.userInputs.properties. Nothing else is added.
//
// Version is "v1" or "v2"; anything else is the generation that the definition was written in. What
// v1 cannot say, automations and methods that it does not have, is returned as v2. D may be nil for a
// definition that cannot be read: it is returned as it is stored. An error is our own.
func View(r *Record, d *Definition, version string) (json.RawMessage, error) {
	o, err := document.ParseMembers(r.Definition)
	if err != nil {
		return nil, fmt.Errorf("show action %s: %w", r.Identifier, err)
	}
	if d != nil {
		if err := convert(o, d, version); err != nil {
			return nil, fmt.Errorf("show action %s: %w", r.Identifier, err)
		}
	}
	o.SetText("id", r.ID)
	o.SetText("createdAt", timeText(r.CreatedAt))
	o.SetText("updatedAt", timeText(r.UpdatedAt))
	o.SetText("createdBy", r.CreatedBy)
	o.SetText("updatedBy", r.UpdatedBy)
	return o.Encode(), nil
}

func timeText(t time.Time) string { return t.UTC().Format(timeFormat) }

func convert(o *document.Members, d *Definition, version string) error {
	switch {
	case d.Kind == Automation:
		return nil
	case d.Generation == V2 && version == "v1" && v1Members[d.Method.Type] != nil:
		return toV1(o, d)
	case d.Generation == V1 && version == "v2":
		return toV2(o, d)
	case d.Generation == V2:
		trigger, err := document.ParseMembers(o.Get("trigger"))
		if err != nil {
			return err
		}
		inputs, err := userInputs(trigger.Get("userInputs"))
		if err != nil {
			return err
		}
		trigger.Set("userInputs", inputs)
		o.Set("trigger", trigger.Encode())
	}
	return nil
}

// userInputs returns user inputs that always have properties.
func userInputs(text json.RawMessage) (json.RawMessage, error) {
	inputs := new(document.Members)
	if document.IsSet(text) {
		var err error
		if inputs, err = document.ParseMembers(text); err != nil {
			return nil, err
		}
	}
	if !document.IsSet(inputs.Get("properties")) {
		inputs.Set("properties", json.RawMessage(`{}`))
	}
	return inputs.Encode(), nil
}

// v1Members are the members of v1's invocation methods, by the type's name in v2.
var v1Members = map[string][]string{
	"WEBHOOK":      {"type", "agent", "url", "method", "synchronized"},
	"KAFKA":        {"type"},
	"GITHUB":       {"type", "org", "repo", "workflow", "reportWorkflowStatus"},
	"GITLAB":       {"type", "projectName", "groupName", "defaultRef"},
	"AZURE_DEVOPS": {"type", "org", "webhook"},
}

// toV1 turns an action of v2 into v1: trigger becomes the operation, and what it held of v1 moves to
// the top; the invocation method keeps the members that v1 has.
func toV1(o *document.Members, d *Definition) error {
	trigger, err := document.ParseMembers(o.Get("trigger"))
	if err != nil {
		return err
	}
	inputs, err := userInputs(trigger.Get("userInputs"))
	if err != nil {
		return err
	}
	o.SetText("trigger", d.Operation)
	o.Set("userInputs", inputs)
	if blueprint := trigger.Get("blueprintIdentifier"); document.IsSet(blueprint) {
		o.Set("blueprint", blueprint)
	}
	method, err := document.ParseMembers(o.Get("invocationMethod"))
	if err != nil {
		return err
	}
	method.Keep(v1Members[d.Method.Type])
	if d.Method.Type == "AZURE_DEVOPS" {
		method.SetText("type", "AZURE-DEVOPS")
	}
	o.Set("invocationMethod", method.Encode())
	return nil
}

// toV2 turns an action of v1 into v2: what belongs to the trigger moves into it. The invocation method
// stays, for v2 has no other way to say what it does.
func toV2(o *document.Members, d *Definition) error {
	inputs, err := userInputs(o.Get("userInputs"))
	if err != nil {
		return err
	}
	trigger := new(document.Members)
	trigger.SetText("type", SelfService)
	trigger.SetText("operation", d.Operation)
	trigger.Set("userInputs", inputs)
	if blueprint := o.Get("blueprint"); document.IsSet(blueprint) {
		trigger.Set("blueprintIdentifier", blueprint)
	}
	o.Set("trigger", trigger.Encode())
	o.Remove("userInputs", "blueprint")
	return nil
}
