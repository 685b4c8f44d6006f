package run

import (
	"fmt"

	"longshore/pkg/invocation"
)

// Waiting says why a deployment cannot send the runs of a backend, nothing when it can: it is the
// text of Delivery.Waiting and of the run's log line. Agents fetch their runs themselves.
func Waiting(backend string, configured func(backend string) bool) string {
	switch {
	case backend == invocation.BackendAgent:
		return "the run waits until an agent or an integration claims it"
	case !configured(backend):
		return fmt.Sprintf("backend %s is not configured in this deployment: the run waits until it is", backend)
	}
	return ""
}
