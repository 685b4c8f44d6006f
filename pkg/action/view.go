package action

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"longshore/pkg/jqtemplate"
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
	o, err := parseMembers(r.Definition)
	if err != nil {
		return nil, fmt.Errorf("show action %s: %w", r.Identifier, err)
	}
	if d != nil {
		if err := convert(o, d, version); err != nil {
			return nil, fmt.Errorf("show action %s: %w", r.Identifier, err)
		}
	}
	o.setText("id", r.ID)
	o.setText("createdAt", timeText(r.CreatedAt))
	o.setText("updatedAt", timeText(r.UpdatedAt))
	o.setText("createdBy", r.CreatedBy)
	o.setText("updatedBy", r.UpdatedBy)
	return o.encode(), nil
}

func timeText(t time.Time) string { return t.UTC().Format(timeFormat) }

func convert(o *members, d *Definition, version string) error {
	switch {
	case d.Kind == Automation:
		return nil
	case d.Generation == V2 && version == "v1" && v1Members[d.Method.Type] != nil:
		return toV1(o, d)
	case d.Generation == V1 && version == "v2":
		return toV2(o, d)
	case d.Generation == V2:
		trigger, err := parseMembers(o.get("trigger"))
		if err != nil {
			return err
		}
		inputs, err := userInputs(trigger.get("userInputs"))
		if err != nil {
			return err
		}
		trigger.set("userInputs", inputs)
		o.set("trigger", trigger.encode())
	}
	return nil
}

// userInputs returns user inputs that always have properties.
func userInputs(text json.RawMessage) (json.RawMessage, error) {
	inputs := new(members)
	if isSet(text) {
		var err error
		if inputs, err = parseMembers(text); err != nil {
			return nil, err
		}
	}
	if !isSet(inputs.get("properties")) {
		inputs.set("properties", json.RawMessage(`{}`))
	}
	return inputs.encode(), nil
}

func isSet(text json.RawMessage) bool { return len(text) > 0 && string(text) != "null" }

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
func toV1(o *members, d *Definition) error {
	trigger, err := parseMembers(o.get("trigger"))
	if err != nil {
		return err
	}
	inputs, err := userInputs(trigger.get("userInputs"))
	if err != nil {
		return err
	}
	o.setText("trigger", d.Operation)
	o.set("userInputs", inputs)
	if blueprint := trigger.get("blueprintIdentifier"); isSet(blueprint) {
		o.set("blueprint", blueprint)
	}
	method, err := parseMembers(o.get("invocationMethod"))
	if err != nil {
		return err
	}
	method.keep(v1Members[d.Method.Type])
	if d.Method.Type == "AZURE_DEVOPS" {
		method.setText("type", "AZURE-DEVOPS")
	}
	o.set("invocationMethod", method.encode())
	return nil
}

// toV2 turns an action of v1 into v2: what belongs to the trigger moves into it. The invocation method
// stays, for v2 has no other way to say what it does.
func toV2(o *members, d *Definition) error {
	inputs, err := userInputs(o.get("userInputs"))
	if err != nil {
		return err
	}
	trigger := new(members)
	trigger.setText("type", SelfService)
	trigger.setText("operation", d.Operation)
	trigger.set("userInputs", inputs)
	if blueprint := o.get("blueprint"); isSet(blueprint) {
		trigger.set("blueprintIdentifier", blueprint)
	}
	o.set("trigger", trigger.encode())
	o.remove("userInputs", "blueprint")
	return nil
}

// members are an object's members in order, their values as text: so numbers, escapes and order below
// stay as they were sent. Of a repeated member the last value counts, at the first place.
type members []struct {
	name  string
	value json.RawMessage
}

func parseMembers(text []byte) (*members, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, _ := d.Token(); t != json.Delim('{') {
		return nil, errors.New("read definition: it is no object")
	}
	m := new(members)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("read definition: %w", err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("read definition: %w", err)
		}
		name, _ := t.(string)
		m.set(name, value)
	}
	return m, nil
}

func (m *members) find(name string) int {
	for i := range *m {
		if (*m)[i].name == name {
			return i
		}
	}
	return -1
}

func (m *members) get(name string) json.RawMessage {
	if i := m.find(name); i >= 0 {
		return (*m)[i].value
	}
	return nil
}

func (m *members) set(name string, value json.RawMessage) {
	if i := m.find(name); i >= 0 {
		(*m)[i].value = value
		return
	}
	*m = append(*m, struct {
		name  string
		value json.RawMessage
	}{name, value})
}

func (m *members) setText(name, text string) { m.set(name, jqtemplate.Encode(text)) }

func (m *members) remove(names ...string) {
	kept := new(members)
	for _, e := range *m {
		if !slices.Contains(names, e.name) {
			*kept = append(*kept, e)
		}
	}
	*m = *kept
}

func (m *members) keep(names []string) {
	kept := new(members)
	for _, e := range *m {
		if slices.Contains(names, e.name) {
			*kept = append(*kept, e)
		}
	}
	*m = *kept
}

func (m *members) encode() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, e := range *m {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(jqtemplate.Encode(e.name))
		b.WriteByte(':')
		b.Write(e.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}
