package trigger

import (
	"fmt"

	"longshore/pkg/action"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/run"
)

// maxTexts bounds how many definitions of the first generation are kept as text.
const maxTexts = 256

// definitionText is a definition as run messages hold it.
type definitionText struct {
	of   *action.Entry
	text []byte
}

// definition returns a definition as GET returns it, written as receivers write it again to check a
// signature. It is encoded once for each version of the definition.
func (t *Trigger) definition(entry *action.Entry) ([]byte, error) {
	id := entry.Record.ID
	t.mu.Lock()
	kept := t.texts[id]
	t.mu.Unlock()
	if kept.of == entry {
		return kept.text, nil
	}
	view, err := action.View(entry.Record, entry.Definition, "")
	if err != nil {
		return nil, err
	}
	value, err := jqtemplate.Decode(view)
	if err != nil {
		return nil, fmt.Errorf("read action %s: %w", entry.Record.Identifier, err)
	}
	text := jqtemplate.Encode(value)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.texts) >= maxTexts {
		clear(t.texts)
	}
	t.texts[id] = definitionText{entry, text}
	return text, nil
}

type member struct {
	name  string
	value any
}

func object(members ...member) *jqtemplate.Object {
	o := new(jqtemplate.Object)
	o.Grow(len(members))
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

// triggerData is what a template sees.
func (t *Trigger) triggerData(c *checked, r *run.Run, user *jqtemplate.Object) *jqtemplate.Object {
	entity := c.entity
	if entity == nil {
		entity = new(jqtemplate.Object)
	}
	return object(
		member{"inputs", c.inputs},
		member{"trigger", object(
			member{"by", t.by(r, user)},
			member{"origin", r.Source},
			member{"at", stamp(r)},
			member{"operation", c.Definition.Operation},
		)},
		member{"event", nil},
		member{"entity", entity},
		member{"action", c.Value()},
		member{"run", object(member{"id", r.ID})},
		member{"secrets", new(jqtemplate.Object)},
		member{"user", user},
	)
}

func (t *Trigger) by(r *run.Run, user *jqtemplate.Object) *jqtemplate.Object {
	return object(member{"orgId", t.OrgID}, member{"userId", r.UserID}, member{"user", user})
}

// stamp is the time of the run.
func stamp(r *run.Run) string { return timeText(r.CreatedAt) }

// runMessage is what actions of the first generation send, and what notices tell of a run.
func (t *Trigger) runMessage(c *checked, r *run.Run, user *jqtemplate.Object, inputs []byte, status string) ([]byte, error) {
	definition, err := t.definition(c.Entry)
	if err != nil {
		return nil, err
	}
	head := jqtemplate.Encode(object(
		member{"action", r.Action.Identifier},
		member{"resourceType", "run"},
		member{"status", status},
		member{"trigger", object(
			member{"by", t.by(r, user)},
			member{"origin", r.Source},
			member{"at", stamp(r)},
		)},
		member{"context", object(
			member{"entity", orNull(r.Entity)},
			member{"blueprint", orNull(r.Blueprint)},
			member{"runId", r.ID},
		)},
	))
	var entity any
	if c.entity != nil {
		entity = c.entity
	}
	payload := with(jqtemplate.Encode(object(member{"entity", entity})), "action", definition)
	payload = with(payload, "properties", inputs)
	payload = with(payload, "censoredProperties", c.censored())
	return with(head, "payload", payload), nil
}

// with adds a member at the end of the text of an object that is not empty.
func with(object []byte, name string, value []byte) []byte {
	object = append(object[:len(object)-1], ',', '"')
	object = append(append(object, name...), '"', ':')
	return append(append(object, value...), '}')
}
