package action

import (
	"strings"
	"unicode/utf8"

	"longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// GitHub's limits of a workflow's inputs, in number and in characters of their compact JSON.
const (
	maxWorkflowInputs     = 25
	maxWorkflowCharacters = 65_535
)

// workflowInputs refuses what GitHub would refuse at every run. What a template may leave out is not
// counted here: the dispatcher looks at what came out.
func (p *parser) workflowInputs(inputs *jqtemplate.Object, path string) {
	if inputs == nil {
		return
	}
	certain := new(jqtemplate.Object)
	for name, v := range inputs.All() {
		text, isText := v.(string)
		switch {
		case v == nil, name == "ref", name == "", strings.Contains(name, "{{"), strings.Contains(text, "{{"):
			continue
		case !isText:
			text = string(jqtemplate.Encode(v))
			if strings.Contains(text, "{{") {
				// It is sent, but nobody knows how long it is.
				text = ""
			}
		}
		certain.Set(name, text)
	}
	if n := certain.Len(); n > maxWorkflowInputs {
		p.faults.Add(path, "GitHub takes at most %d inputs, these are %d: put what belongs together into one input as JSON", maxWorkflowInputs, n)
	}
	if n := utf8.RuneCount(jqtemplate.Encode(certain)); n > maxWorkflowCharacters {
		p.faults.Add(path, "GitHub takes inputs of at most %d characters in all, these have %d: send less, an identifier to fetch the rest by for one", maxWorkflowCharacters, n)
	}
}

// checkWorkflow finds the inputs of a method that starts a workflow.
func (p *parser) checkWorkflow(method *jqtemplate.Object) {
	const properties = "integrationActionExecutionProperties"
	switch document.Text(method, "type") {
	case "GITHUB":
		p.workflowInputs(document.Object(method, "workflowInputs"), "invocationMethod.workflowInputs")
	case "INTEGRATION_ACTION":
		p.workflowInputs(document.Object(document.Object(method, properties), "workflowInputs"), "invocationMethod."+properties+".workflowInputs")
	}
}
