// Package invocation is what the trigger decided and a dispatcher carries out: the rendered call.
//
// An invocation is immutable. It travels in queue messages and is stored with its run, so its JSON
// form is versioned: old and new code run side by side during a deployment. Golden files under
// testdata/ keep every version readable.
package invocation

import (
	"encoding/json"
	"fmt"
)

// Version is the version that this code writes. It reads 1 to Version.
const Version = 1

// Backends: the queue that a run's messages go to, and the function that takes them off it.
const (
	BackendWebhook      = "webhook"
	BackendGitHub       = "github"
	BackendGitLab       = "gitlab"
	BackendAzureDevOps  = "azuredevops"
	BackendKafka        = "kafka"
	BackendUpsertEntity = "upsertentity"
	// BackendAgent has no queue: its runs wait to be claimed by an agent or an integration.
	BackendAgent = "agent"
)

// Invocation is one rendered call.
type Invocation struct {
	V int `json:"v"`
	// Type is the invocation method's type as Port names it, WEBHOOK for one.
	Type string `json:"type"`
	// Backend is one of the Backend constants.
	Backend string `json:"backend"`
	// Payload is the rendered invocation method as readers see it in a run: an object with "type",
	// in the order it was written, secrets masked. Never what is sent where Webhook is set: there it
	// is {type, url, agent, synchronized, method, headers, body}, headers and body {} when there are
	// none, and messages leave it out. The definitions of the first generation, whose methods have no
	// payload, get one in the place of v2's: workflowInputs, pipelineVariables, payload or body.
	Payload json.RawMessage `json:"payload,omitempty"`
	// Webhook is set for type WEBHOOK.
	Webhook *Webhook `json:"webhook,omitempty"`
}

// Webhook is an HTTP call. Everything in it was checked when the run was triggered.
type Webhook struct {
	// URL is absolute, http or https.
	URL string `json:"url"`
	// Literal is the saved definition's URL text up to its first expression; it decides whether the
	// call may carry a token of this deployment.
	Literal string `json:"literal,omitempty"`
	// Method is POST, PUT, PATCH, DELETE or GET.
	Method string `json:"method"`
	// Headers in the order of the definition; names are valid tokens, values hold no CR, LF or NUL.
	Headers []Header `json:"headers,omitempty"`
	// Body is the exact text to send; nil sends none. For GET it is a JSON object whose members go
	// into the query.
	Body *string `json:"body,omitempty"`
	// Synchronized says that the answer ends the run.
	Synchronized bool `json:"synchronized,omitempty"`
	// Agent says that an execution agent makes the call, never a dispatcher.
	Agent bool `json:"agent,omitempty"`
}

// Header is one header of a call.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Decode reads an invocation of any version up to Version. It fails on a newer one, so that old
// code leaves the message to new code.
func Decode(text []byte) (*Invocation, error) {
	var i Invocation
	if err := json.Unmarshal(text, &i); err != nil {
		return nil, fmt.Errorf("decode invocation: %w", err)
	}
	if i.V < 1 || i.V > Version {
		return nil, fmt.Errorf("decode invocation: version %d, this code reads 1 to %d", i.V, Version)
	}
	return &i, nil
}
