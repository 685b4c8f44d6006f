// Package invocation is what the trigger decided and a dispatcher carries out: the rendered call.
//
// An invocation is immutable. It travels in queue messages and is stored with its run, so its JSON
// form is versioned: old and new code run side by side during a deployment. Golden files under
// testdata/ keep every version readable.
package invocation

import (
	"bytes"
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
	// Payload is the rendered invocation method with its "type", in the order it was written. A
	// webhook has none: Readable makes it of the call.
	Payload json.RawMessage `json:"payload,omitempty"`
	// Webhook is set for type WEBHOOK.
	Webhook *Webhook `json:"webhook,omitempty"`
	// Message is the run message of an action of the first generation, for a GITLAB run that an agent
	// takes from Kafka: agents get that, not the payload.
	Message json.RawMessage `json:"message,omitempty"`
	// Key is the key of the record of TypeChange: changes of one thing stay in their order.
	Key string `json:"key,omitempty"`
	// Email is set for TypeEmail.
	Email *Email `json:"email,omitempty"`
	// Ref is the input called ref, for type GITLAB: the branch or tag, unless a variable names one.
	Ref string `json:"ref,omitempty"`
	// RunMessage says that the variable port_payload of type GITLAB is the run message of v1.
	RunMessage bool `json:"runMessage,omitempty"`
}

// TypeEmail is the type of an e-mail to approvers. No definition has it.
const TypeEmail = "EMAIL"

// TypeChange is the type of a changelog message for Kafka, whose Payload is the message. No definition has
// it.
const TypeChange = "CHANGE"

// MaxRecipients is how many recipients one e-mail takes (SES, SendEmail: 50).
const MaxRecipients = 50

// Email is an e-mail in plain text. Recipients do not see each other.
type Email struct {
	To      []string `json:"to"`
	Subject string   `json:"subject"`
	Text    string   `json:"text"`
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
	// Message says that Body is a run message, as actions of the first generation send it.
	Message bool `json:"message,omitempty"`
}

// Header is one header of a call.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Readable returns the rendered invocation method as readers see it in a run: an object with "type".
// That of a webhook has real booleans, and always the objects "headers" and "body" (the body may be
// an array).
func (i *Invocation) Readable() json.RawMessage {
	if i.Webhook == nil {
		return i.Payload
	}
	return i.AppendReadable(nil)
}

// AppendReadable appends what Readable returns.
func (i *Invocation) AppendReadable(text []byte) []byte {
	if i.Webhook == nil {
		return append(text, i.Payload...)
	}
	w := i.Webhook
	headers := make(map[string]string, len(w.Headers))
	for _, h := range w.Headers {
		headers[h.Name] = h.Value
	}
	b := bytes.NewBuffer(text)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	// Strings and booleans can always be written.
	_ = e.Encode(struct {
		Type         string            `json:"type"`
		URL          string            `json:"url"`
		Agent        bool              `json:"agent"`
		Synchronized bool              `json:"synchronized"`
		Method       string            `json:"method"`
		Headers      map[string]string `json:"headers"`
	}{i.Type, w.URL, w.Agent, w.Synchronized, w.Method, headers})
	b.Truncate(b.Len() - len("}\n"))
	b.WriteString(`,"body":`)
	if w.Body == nil {
		b.WriteString("{}}")
	} else {
		b.WriteString(*w.Body)
		b.WriteByte('}')
	}
	return b.Bytes()
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
