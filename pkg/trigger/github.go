package trigger

import (
	"bytes"
	"encoding/json"

	"longshore/pkg/invocation"
)

// dispatchOwn sends an INTEGRATION_ACTION of this deployment's own GitHub App to the dispatcher; others
// are for integrations to claim. The id may be a string or a number.
func dispatchOwn(i *invocation.Invocation, app string) {
	if i.Type != "INTEGRATION_ACTION" || app == "" {
		return
	}
	var method struct {
		Installation json.RawMessage `json:"installationId"`
	}
	if json.Unmarshal(i.Payload, &method) == nil && string(bytes.Trim(method.Installation, `"`)) == app {
		i.Backend = invocation.BackendGitHub
	}
}
