package trigger

import (
	"fmt"

	"longshore/pkg/action"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/run"
)

// maxPrepared bounds how many definitions are kept prepared.
const maxPrepared = 1024

// prepared is a definition with what every run of it shares. It is immutable.
type prepared struct {
	*action.Entry
	// shown is the definition as trigger data has it.
	shown *jqtemplate.Object
	// text is the definition as GET returns it, encoded; for V1, whose run messages hold it.
	text []byte
}

// prepare returns a definition's shared parts, made once for each version of it.
func (t *Trigger) prepare(entry *action.Entry) (*prepared, error) {
	t.mu.Lock()
	p := t.prepared[entry.Record.ID]
	t.mu.Unlock()
	if p != nil && p.Entry == entry {
		return p, nil
	}
	view, err := action.View(entry.Record, entry.Definition, "")
	if err != nil {
		return nil, fmt.Errorf("show action %s: %w", entry.Record.Identifier, err)
	}
	p = &prepared{Entry: entry, shown: new(jqtemplate.Object)}
	if entry.Definition.Generation == action.V1 {
		p.text = jqtemplate.Encode(view)
	}
	for name, value := range view.All() {
		p.shown.Set(name, value)
	}
	p.shown.Set("blueprint", orNull(entry.Definition.Blueprint))
	// Definitions with encrypted inputs are refused before they come here.
	p.shown.Set("encryptedProperties", []any{})
	t.mu.Lock()
	if len(t.prepared) >= maxPrepared {
		clear(t.prepared)
	}
	t.prepared[entry.Record.ID] = p
	t.mu.Unlock()
	return p, nil
}

type member struct {
	name  string
	value any
}

func object(members ...member) *jqtemplate.Object {
	o := new(jqtemplate.Object)
	for _, m := range members {
		o.Set(m.name, m.value)
	}
	return o
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// user is a machine as trigger data, run messages and runs show it: a user of whom only the id is
// known.
func user(id string) *jqtemplate.Object {
	return object(member{"id", id}, member{"email", nil}, member{"firstName", nil}, member{"lastName", nil},
		member{"phoneNumber", nil}, member{"picture", nil}, member{"providers", nil}, member{"status", nil},
		member{"createdAt", nil}, member{"updatedAt", nil})
}

// triggerData is what a template sees.
func (t *Trigger) triggerData(c *checked, r *run.Run, user *jqtemplate.Object) *jqtemplate.Object {
	return object(
		member{"inputs", c.inputs},
		member{"trigger", object(
			member{"by", t.by(r, user)},
			member{"origin", r.Source},
			member{"at", stamp(r)},
			member{"operation", c.Definition.Operation},
		)},
		member{"event", nil},
		member{"entity", new(jqtemplate.Object)},
		member{"action", c.shown},
		member{"run", object(member{"id", r.ID})},
		member{"secrets", new(jqtemplate.Object)},
		member{"user", user},
	)
}

func (t *Trigger) by(r *run.Run, user *jqtemplate.Object) *jqtemplate.Object {
	return object(member{"orgId", t.OrgID}, member{"userId", r.UserID}, member{"user", user})
}

// stamp is the time of the run in RFC 3339 with milliseconds.
func stamp(r *run.Run) string { return r.CreatedAt.Format("2006-01-02T15:04:05.000Z07:00") }

// runMessage is what actions of the first generation send. The definition in it, its largest part,
// was encoded once.
func (t *Trigger) runMessage(c *checked, r *run.Run, user *jqtemplate.Object, inputs []byte) []byte {
	head := jqtemplate.Encode(object(
		member{"action", r.Action.Identifier},
		member{"resourceType", "run"},
		member{"status", "TRIGGERED"},
		member{"trigger", object(
			member{"by", t.by(r, user)},
			member{"origin", r.Source},
			member{"at", stamp(r)},
		)},
		member{"context", object(
			member{"entity", nil},
			member{"blueprint", orNull(r.Blueprint)},
			member{"runId", r.ID},
		)},
	))
	payload := with([]byte(`{"entity":null}`), "action", c.text)
	payload = with(payload, "properties", inputs)
	payload = with(payload, "censoredProperties", []byte("[]"))
	return with(head, "payload", payload)
}

// with adds a member at the end of the text of an object that is not empty.
func with(object []byte, name string, value []byte) []byte {
	object = append(object[:len(object)-1], ',', '"')
	object = append(append(object, name...), '"', ':')
	return append(append(object, value...), '}')
}
