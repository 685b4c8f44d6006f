package trigger

import (
	"context"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/jqtemplate"
)

// Types of invocation methods, as v2 names them.
const (
	typeWebhook      = "WEBHOOK"
	typeGitHub       = "GITHUB"
	typeGitLab       = "GITLAB"
	typeAzureDevOps  = "AZURE_DEVOPS"
	typeKafka        = "KAFKA"
	typeUpsertEntity = "UPSERT_ENTITY"
	typeIntegration  = "INTEGRATION_ACTION"
)

// invokeV2 renders a method and checks what came out. Failed is collected if report is set.
func invokeV2(ctx context.Context, d *action.Definition, data *jqtemplate.Object, report bool) (i *invocation.Invocation, failed []jqtemplate.Warning, err error) {
	r, err := render(ctx, d, data, jqtemplate.Options{Report: report})
	if err != nil {
		return nil, nil, err
	}
	return r.invocation, r.failed, fault.InvalidDetails(r.faults)
}

// rendered is a method that was rendered, and what is wrong with it.
type rendered struct {
	invocation *invocation.Invocation
	faults     faults
	// value is what the template yielded.
	value  any
	failed []jqtemplate.Warning
}

// render renders a method. The error is the template's; what cannot be sent of what it yielded is among
// the faults.
func render(ctx context.Context, d *action.Definition, data *jqtemplate.Object, o jqtemplate.Options) (*rendered, error) {
	result, err := d.Method.Template.Render(ctx, jqtemplate.NewData(data), o)
	if err != nil {
		return nil, err
	}
	var f faults
	var i *invocation.Invocation
	method, ok := result.Value.(*jqtemplate.Object)
	switch {
	case result.Undefined || !ok:
		f.kind("", "must be an object", result.Value)
	case d.Method.Type == typeWebhook:
		written, _ := get(d.Method.Raw, "url").(string)
		literal := jqtemplate.Literal(written)
		body, array := f.body(get(method, "body"))
		i = f.webhook(method, literal, body, array)
	default:
		if d.Method.Type == typeIntegration {
			f.installation(get(method, "installationId"))
		}
		i = other(d.Method.Type, f.realBooleans(method), "", nil)
		inputs, _ := get(data, "inputs").(*jqtemplate.Object)
		i.Ref = inputRef(i, inputs)
	}
	return &rendered{invocation: i, faults: f, value: result.Value, failed: result.Failed}, nil
}

// invokeV1 makes the invocation of a method of the first generation: its fields as they were written
// and, where v2 has its payload, what v1 sends. Message is the run message.
func invokeV1(d *action.Definition, inputs *jqtemplate.Object, message []byte) (*invocation.Invocation, error) {
	method := d.Method.Raw
	switch d.Method.Type {
	case typeWebhook:
		var f faults
		literal, _ := get(method, "url").(string)
		body := string(message)
		i := f.webhook(method, literal, &body, false)
		i.Webhook.Message = i.Webhook.Agent
		return i, fault.InvalidDetails(f)
	case typeGitHub:
		// GitHub takes strings only: the run message goes as its JSON text.
		text := jqtemplate.Encode(string(message))
		return other(d.Method.Type, method, "workflowInputs", portPayload(method, inputs, text, "ref")), nil
	case typeGitLab:
		i := other(d.Method.Type, method, "pipelineVariables", portPayload(method, inputs, message, ""))
		i.Ref = inputRef(i, inputs)
		i.RunMessage = i.Backend == invocation.BackendGitLab && get(method, "omitPayload") != true
		if i.Backend == invocation.BackendKafka {
			i.Message = message
		}
		return i, nil
	}
	return other(d.Method.Type, method, "payload", message), nil
}

// inputRef is the branch or tag that the input called ref names for GitLab, empty for other backends:
// it counts though the input may be no variable.
func inputRef(i *invocation.Invocation, inputs *jqtemplate.Object) string {
	if i.Backend != invocation.BackendGitLab {
		return ""
	}
	ref, _ := get(inputs, "ref").(string)
	return ref
}

// portPayload is what v1 sends to GitHub and GitLab: each user input, or with omitUserInputs only the one
// called kept, and the run message as port_payload, unless omitPayload.
func portPayload(method, inputs *jqtemplate.Object, message []byte, kept string) []byte {
	sent := new(jqtemplate.Object)
	for name, value := range inputs.All() {
		if name == kept || get(method, "omitUserInputs") != true {
			sent.Set(name, value)
		}
	}
	if get(method, "omitPayload") == true {
		return jqtemplate.Encode(sent)
	}
	sent.Delete("port_payload")
	if sent.Len() == 0 {
		return append(append([]byte(`{"port_payload":`), message...), '}')
	}
	return with(jqtemplate.Encode(sent), "port_payload", message)
}

// other is the invocation of a method that is no webhook. The payload, if any, is added under name.
func other(kind string, method *jqtemplate.Object, name string, payload []byte) *invocation.Invocation {
	text := jqtemplate.Encode(changed(object(member{"type", kind}), method, "type"))
	if payload != nil {
		text = with(text, name, payload)
	}
	i := &invocation.Invocation{V: invocation.Version, Type: kind, Payload: text}
	switch kind {
	case typeGitHub:
		i.Backend = invocation.BackendGitHub
	case typeGitLab:
		i.Backend = invocation.BackendGitLab
		if get(method, "agent") == true {
			// An agent takes GitLab runs from Kafka only.
			i.Backend = invocation.BackendKafka
		}
	case typeAzureDevOps:
		i.Backend = invocation.BackendAzureDevOps
	case typeKafka:
		i.Backend = invocation.BackendKafka
	case typeUpsertEntity:
		i.Backend = invocation.BackendUpsertEntity
	default:
		// INTEGRATION_ACTION: an integration claims it.
		i.Backend = invocation.BackendAgent
	}
	return i
}

// realBooleans returns a rendered method with a real boolean for reportWorkflowStatus, wherever the
// method has it.
func (f *faults) realBooleans(method *jqtemplate.Object) *jqtemplate.Object {
	const name, nested = "reportWorkflowStatus", "integrationActionExecutionProperties"
	if _, ok := method.Get(name); ok {
		method = changed(method, object(member{name, f.boolean(name, get(method, name), true)}), "")
	}
	if inner, ok := get(method, nested).(*jqtemplate.Object); ok {
		if _, ok := inner.Get(name); ok {
			inner = changed(inner, object(member{name, f.boolean(nested+"."+name, get(inner, name), true)}), "")
			method = changed(method, object(member{nested, inner}), "")
		}
	}
	return method
}

// changed returns a copy of o with the members of more, but the one called without; what a template
// rendered may be part of it and is not written to.
func changed(o, more *jqtemplate.Object, without string) *jqtemplate.Object {
	result := new(jqtemplate.Object)
	for name, value := range o.All() {
		result.Set(name, value)
	}
	for name, value := range more.All() {
		if name != without {
			result.Set(name, value)
		}
	}
	return result
}

// get returns a member's value, nil when there is none.
func get(o *jqtemplate.Object, name string) any {
	v, _ := o.Get(name)
	return v
}
