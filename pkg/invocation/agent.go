package invocation

import "encoding/json"

// AgentInstallation is the installation id of every agent that makes calls of webhooks.
const AgentInstallation = "_PORT_EXEC_AGENT"

// MaxInstallation is the longest installation id in bytes: the heads of runs, which have it, stay small.
const MaxInstallation = 1_000

// Installation is who claims the run of an invocation: agents, or the integration that the action names;
// empty for one that a dispatcher delivers.
func (i *Invocation) Installation() string {
	switch {
	case i.Backend != BackendAgent:
		return ""
	case i.Webhook != nil:
		return AgentInstallation
	}
	var method struct {
		InstallationID string `json:"installationId"`
	}
	// An installation that is no string was refused.
	_ = json.Unmarshal(i.Payload, &method)
	return method.InstallationID
}
