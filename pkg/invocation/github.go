package invocation

import "encoding/json"

// Workflow is where GitHub is to start a workflow, of type GITHUB or INTEGRATION_ACTION.
type Workflow struct {
	Org  string `json:"org"`
	Repo string `json:"repo"`
	// Workflow is a file name or a number.
	Workflow json.RawMessage `json:"workflow"`
	// Inputs are a JSON object, not of strings yet.
	Inputs json.RawMessage `json:"workflowInputs"`
	// Report says whether the workflow's end ends the run; nil means that it does.
	Report *bool `json:"reportWorkflowStatus"`
}

// Workflow reads the payload of a GitHub invocation; false for one of another kind.
func (i *Invocation) Workflow() (Workflow, bool) {
	var w struct {
		Workflow
		Properties *Workflow `json:"integrationActionExecutionProperties"`
	}
	err := json.Unmarshal(i.Payload, &w)
	switch {
	case err != nil || i.Backend != BackendGitHub:
		return Workflow{}, false
	case w.Properties != nil:
		return *w.Properties, true
	}
	return w.Workflow, true
}

// Repository is org/repo of a GitHub invocation, empty for any other.
func (i *Invocation) Repository() string {
	w, ok := i.Workflow()
	if !ok || w.Org == "" || w.Repo == "" {
		return ""
	}
	return w.Org + "/" + w.Repo
}
