// Package action is an action's definition: what may be sent, how it is stored and returned, the
// inputs it takes and the invocation method it renders.
//
// A definition is stored as it was sent and returned as it was sent; defaults are assumed where a
// field is absent, never stored. Both of Port's generations become one model.
package action

import (
	"encoding/json"

	"longshore/pkg/catalog"
	"longshore/pkg/jqtemplate"
)

// Generations of definitions.
const (
	V1 = 1
	V2 = 2
)

// Kinds of trigger.
const (
	SelfService = "self-service"
	Automation  = "automation"
)

// Operations of a self-service action.
const (
	Create = "CREATE"
	Day2   = "DAY-2"
	Delete = "DELETE"
)

// MaxSize is the most bytes that a definition may have, as compact JSON.
const MaxSize = 350 << 10

// Definition is a compiled definition. It is immutable and safe for concurrent use.
type Definition struct {
	// Generation is V1 or V2: as it was written.
	Generation  int
	Identifier  string
	Title, Icon string
	// Kind is SelfService or Automation.
	Kind string
	// Operation is Create, Day2 or Delete; empty for an automation.
	Operation string
	// Blueprint is the identifier of the action's blueprint, empty without one. An automation has
	// none: the blueprint of its event is not it.
	Blueprint string
	// Event is what starts an automation, and Rule its condition, nil for none.
	Event Event
	Rule  *Rule
	// Condition is for the entities that a DAY-2 or DELETE action may run on, nil for all.
	Condition *catalog.Search
	// RequiredApproval is as it was sent, nil when absent. ApprovalRequired is its meaning.
	RequiredApproval json.RawMessage
	ApprovalRequired bool
	// Notification is how approvers are told; absent means by e-mail.
	Notification Notification
	// Publish is false for a definition that is switched off; absent means true.
	Publish bool
	// PrivateRuns says that only admins, a run's own user and its approvers may see the action's runs:
	// allowAnyoneToViewRuns is false.
	PrivateRuns bool
	// Inputs checks and completes user inputs.
	Inputs *Inputs
	Method Method
	// Warnings are the expressions that do not compile, and what of the inputs will refuse every value.
	Warnings []jqtemplate.Warning
}

// Types and formats of a Notification.
const (
	NotifyWebhook = "webhook"
	NotifyEmail   = "email"
	FormatJSON    = "json"
	FormatSlack   = "slack"
)

// Notification is how those who may approve a run are told of it.
type Notification struct {
	// Type is NotifyWebhook or NotifyEmail.
	Type string
	// Format and URL are a webhook's; the URL is no template.
	Format, URL string
}

// Method is an invocation method.
type Method struct {
	// Type is as Port's v2 names it (AZURE_DEVOPS, also for v1's AZURE-DEVOPS).
	Type string
	// Template is the whole invocationMethod object but its "type", compiled; for V1, whose methods
	// hold no templates, nil.
	Template *jqtemplate.Template
	// Secrets are those of the organization that the template may read.
	Secrets jqtemplate.Members
	// Raw is the invocationMethod object as it was written, decoded.
	Raw *jqtemplate.Object
}
