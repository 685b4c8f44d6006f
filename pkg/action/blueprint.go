package action

import (
	"encoding/json"
	"strings"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// NamedBlueprint is a blueprint that a definition names, and where.
type NamedBlueprint struct{ Path, Identifier string }

// NamedBlueprints returns the blueprints that must be there when a definition is saved: the action's, that of
// an automation's event, and that of an UPSERT_ENTITY unless it is a template. One that an input of format
// entity has is none of them: values of such an input are looked up when they are given. It compiles nothing,
// so that it also reads what Parse refuses.
func NamedBlueprints(definition json.RawMessage) (list []NamedBlueprint) {
	v, err := jqtemplate.Decode(definition)
	if err != nil {
		return nil
	}
	root, _ := v.(*jqtemplate.Object)
	name := func(o *jqtemplate.Object, path, member string) {
		if identifier := document.Text(o, member); identifier != "" && !strings.Contains(identifier, "{{") {
			list = append(list, NamedBlueprint{document.Below(path, member), identifier})
		}
	}
	if _, first := document.Member(root, "trigger").(string); first {
		name(root, "", "blueprint")
	}
	trigger, method := document.Object(root, "trigger"), document.Object(root, "invocationMethod")
	switch document.Text(trigger, "type") {
	case SelfService:
		name(trigger, "trigger", "blueprintIdentifier")
	case Automation:
		name(document.Object(trigger, "event"), "trigger.event", "blueprintIdentifier")
	}
	if document.Text(method, "type") == "UPSERT_ENTITY" {
		name(method, "invocationMethod", "blueprintIdentifier")
	}
	return list
}
