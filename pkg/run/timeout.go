package run

import (
	"time"

	"longshore/pkg/invocation"
)

// Time-outs of a deployment that sets none.
const (
	// Timeout is that of most backends.
	Timeout = 7 * 24 * time.Hour
	// WorkflowTimeout is that of GitHub and GitLab: a workflow may run, and wait, for 35 days.
	WorkflowTimeout = 35 * 24 * time.Hour
)

// Timeouts returns how long a run of a backend may stay IN_PROGRESS after its delivery or,
// undelivered, after its start. A setting above 0 holds for every backend; 0 means the defaults.
func Timeouts(setting time.Duration) func(backend string) time.Duration {
	return func(backend string) time.Duration {
		switch {
		case setting > 0:
			return setting
		case backend == invocation.BackendGitHub, backend == invocation.BackendGitLab:
			return WorkflowTimeout
		}
		return Timeout
	}
}
