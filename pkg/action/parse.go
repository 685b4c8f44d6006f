package action

import (
	"encoding/json"
	"net/url"
	"strings"

	"longshore/pkg/catalog"
	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// Compact returns a definition's text as it is stored: see document.Compact.
func Compact(text []byte) (json.RawMessage, error) { return document.Compact(text) }

// Parse decodes a definition of either generation strictly and compiles it: v1 when its trigger is a
// string, v2 otherwise. All faults come in one fault.Invalid with their paths and positions; text
// that is no JSON object is one without a path. JQ that does not compile is no fault but a warning.
//
// An optional member may be null, which means the same as its absence.
func Parse(text json.RawMessage) (*Definition, error) { return parse(text, "") }

// ParseWithin decodes as Parse does the definition of an action of a blueprint. One that names no
// blueprint gets it; one that names another, and an automation, which has none, is refused. The text that
// it returns has the blueprint in it.
func ParseWithin(text json.RawMessage, blueprint string) (*Definition, json.RawMessage, error) {
	v, err := jqtemplate.Decode(text)
	if err != nil {
		return nil, nil, err
	}
	if o, isObject := v.(*jqtemplate.Object); isObject {
		if text, err = setBlueprint(text, o, blueprint); err != nil {
			return nil, nil, err
		}
	}
	d, err := parse(text, blueprint)
	return d, text, err
}

// setBlueprint writes a blueprint into the text of a self-service action that has none.
func setBlueprint(text json.RawMessage, o *jqtemplate.Object, blueprint string) (json.RawMessage, error) {
	trigger := document.Object(o, "trigger")
	_, first := document.Member(o, "trigger").(string)
	switch {
	case first && document.Member(o, "blueprint") == nil:
		m, err := document.ParseMembers(text)
		if err != nil {
			return nil, err
		}
		m.SetText("blueprint", blueprint)
		return m.Encode(), nil
	case document.Text(trigger, "type") == SelfService && document.Member(trigger, "blueprintIdentifier") == nil:
		m, err := document.ParseMembers(text)
		if err != nil {
			return nil, err
		}
		within, err := document.ParseMembers(m.Get("trigger"))
		if err != nil {
			return nil, err
		}
		within.SetText("blueprintIdentifier", blueprint)
		m.Set("trigger", within.Encode())
		return m.Encode(), nil
	}
	return text, nil
}

func parse(text json.RawMessage, blueprint string) (*Definition, error) {
	v, err := jqtemplate.Decode(text)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*jqtemplate.Object)
	if !ok {
		return nil, fault.New(fault.Invalid, "", "a definition must be an object")
	}
	if len(text) > MaxSize {
		if text, err = Compact(text); err != nil {
			return nil, err
		}
		if len(text) > MaxSize {
			return nil, fault.New(fault.Invalid, "", "a definition may have at most %d bytes, this one has %d", MaxSize, len(text))
		}
	}
	p, err := newParser(o)
	if err != nil {
		return nil, err
	}
	p.blueprint = blueprint
	return p.parse()
}

// parser collects the faults of one definition on the way to its compiled form. Each of its steps
// bears members of any type, so that a fault in one place does not hide those of another.
type parser struct {
	schemas *schemas
	// root is the definition, plain the same for the validator.
	root   *jqtemplate.Object
	plain  map[string]any
	d      *Definition
	faults document.Faults
	// blueprint is the one that the action must be of, empty for any.
	blueprint string
}

func newParser(o *jqtemplate.Object) (*parser, error) {
	s, err := definitionSchemas()
	if err != nil {
		return nil, err
	}
	return &parser{
		schemas: s,
		root:    o,
		plain:   document.Plain(o).(map[string]any),
		d: &Definition{
			Generation: V2,
			Identifier: document.Text(o, "identifier"),
			Title:      document.Text(o, "title"),
			Icon:       document.Text(o, "icon"),
			Publish:    true,
		},
	}, nil
}

func (p *parser) parse() (*Definition, error) {
	d := p.d
	p.faults.Finite(p.root, "")
	if publish, ok := document.Member(p.root, "publish").(bool); ok {
		d.Publish = publish
	}
	d.PrivateRuns = document.Member(p.root, "allowAnyoneToViewRuns") == false
	if v := document.Member(p.root, "requiredApproval"); v != nil {
		d.RequiredApproval = jqtemplate.Encode(v)
		d.ApprovalRequired = v != false
	}
	p.notification(document.Object(p.root, "approvalNotification"))
	var inputs *jqtemplate.Object
	inputsPath := "userInputs"
	if operation, ok := document.Member(p.root, "trigger").(string); ok {
		d.Generation, d.Kind, d.Operation = V1, SelfService, operation
		d.Blueprint = document.Text(p.root, "blueprint")
		inputs = document.Object(p.root, "userInputs")
		p.faults.Validate(p.schemas.v1, p.plain, "")
	} else {
		inputs, inputsPath = document.Object(document.Object(p.root, "trigger"), "userInputs"), "trigger.userInputs"
		p.faults.Validate(p.schemas.v2, p.plain, "")
		p.trigger(document.Object(p.root, "trigger"))
	}
	p.within()
	p.method(document.Object(p.root, "invocationMethod"))
	compiled, err := p.inputs(inputs, inputsPath)
	if err != nil {
		return nil, err
	}
	d.Inputs = compiled
	if err := p.faults.Err(); err != nil {
		return nil, err
	}
	return d, nil
}

// within checks that the definition is of the blueprint that it must be of.
func (p *parser) within() {
	path := "blueprint"
	if p.d.Generation == V2 {
		path = "trigger.blueprintIdentifier"
	}
	switch {
	case p.blueprint == "":
	case p.d.Kind == Automation:
		p.faults.Add("trigger.type", "must be self-service: an automation is of no blueprint")
	case p.d.Blueprint != "" && p.d.Blueprint != p.blueprint:
		p.faults.Add(path, "must be %q or absent", p.blueprint)
	}
}

// notification reads how approvers are told; the schema has checked its members.
func (p *parser) notification(o *jqtemplate.Object) {
	n := Notification{Type: document.Text(o, "type"), Format: document.Text(o, "format"), URL: document.Text(o, "url")}
	switch n.Type {
	case "":
		n.Type = NotifyEmail
	case NotifyWebhook:
		if n.Format == "" {
			n.Format = FormatJSON
		}
		// The schema tells what is no URL at all.
		u, err := url.Parse(n.URL)
		if err == nil && u.Host != "" && u.Scheme != "http" && u.Scheme != "https" {
			p.faults.Add("approvalNotification.url", "must be an http or https URL")
		}
	}
	p.d.Notification = n
}

// trigger checks a v2 trigger by its type.
func (p *parser) trigger(o *jqtemplate.Object) {
	d := p.d
	d.Kind = document.Text(o, "type")
	switch d.Kind {
	case SelfService:
		var shape document.Faults
		shape.Validate(p.schemas.selfService, p.plain["trigger"], "trigger")
		misshapen := shape.Err()
		if misshapen != nil {
			p.faults.AddErr("trigger", misshapen)
		}
		d.Operation, d.Blueprint = document.Text(o, "operation"), document.Text(o, "blueprintIdentifier")
		if document.Member(o, "condition") == nil {
			return
		}
		switch {
		case d.Operation == Create:
			p.faults.Add("trigger.condition", "only a DAY-2 or DELETE action has a condition")
		case d.Blueprint == "":
			p.faults.Add("trigger.condition", "needs blueprintIdentifier beside it")
		}
		// The schema names some of the same faults.
		if misshapen == nil {
			p.condition(document.Object(o, "condition"))
		}
	case Automation:
		p.faults.Validate(p.schemas.automation, p.plain["trigger"], "trigger")
		p.event(o)
	}
}

// condition compiles the condition of a self-service action.
func (p *parser) condition(o *jqtemplate.Object) {
	search := new(jqtemplate.Object)
	for name, value := range o.All() {
		if name != "type" {
			search.Set(name, value)
		}
	}
	s, err := catalog.ParseSearch(search, "trigger.condition", catalog.SearchOptions{})
	if err != nil {
		p.faults.AddErr("trigger.condition", err)
		return
	}
	p.d.Condition = s
}

// method checks an invocation method by its type and compiles its templates.
func (p *parser) method(o *jqtemplate.Object) {
	if o == nil {
		return
	}
	d, name := p.d, document.Text(o, "type")
	schemas := p.schemas.methods[d.Generation]
	if s := schemas[name]; s != nil {
		p.faults.Validate(s, p.plain["invocationMethod"], "invocationMethod")
	}
	d.Method = Method{Type: strings.ReplaceAll(name, "AZURE-DEVOPS", "AZURE_DEVOPS"), Raw: o}
	if d.Generation == V1 {
		return
	}
	if _, list := document.Member(o, "body").([]any); list && strings.EqualFold(document.Text(o, "method"), "GET") {
		p.faults.Add("invocationMethod.body", "a GET has no array for a body; its members go into the query")
	}
	p.checkWorkflow(o)
	template := new(jqtemplate.Object)
	for k, v := range o.All() {
		if k != "type" {
			template.Set(k, v)
		}
	}
	t, err := jqtemplate.Parse(template, "invocationMethod")
	if err != nil {
		p.faults.AddErr("invocationMethod", err)
		return
	}
	d.Method.Template, d.Method.Secrets = t, t.Members("secrets")
	d.Warnings = append(d.Warnings, t.Warnings()...)
}
