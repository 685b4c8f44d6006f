package trigger

import "longshore/pkg/invocation"

// dispatchOwn sends an INTEGRATION_ACTION of this deployment's own GitHub App to the dispatcher; others
// are for integrations to claim.
func dispatchOwn(i *invocation.Invocation, app string) {
	if i.Type == typeIntegration && app != "" && i.Installation() == app {
		i.Backend = invocation.BackendGitHub
	}
}
