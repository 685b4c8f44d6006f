package trigger

import (
	"context"
	"fmt"

	"longshore/pkg/invocation"
)

// Ways that runs go to agents, as the organization's setting portAgentStreamerName has them.
const (
	StreamerPolling = "POLLING"
	StreamerKafka   = "KAFKA"
)

// Streamer tells which way runs go to agents.
type Streamer interface {
	// Streamer returns StreamerKafka, or anything else for polling. fault.Unavailable.
	Streamer(ctx context.Context) (string, error)
}

// route decides how a run reaches an agent, and who claims one that waits for it; of a run with secrets
// it is asked about what is sent. Runs that already wait stay where they are.
func (t *Trigger) route(ctx context.Context, p *plan, i *invocation.Invocation) error {
	defer func() { p.installation = i.Installation() }()
	if i.Webhook == nil || !i.Webhook.Agent || t.Streamer == nil {
		return nil
	}
	name, err := t.Streamer.Streamer(ctx)
	if err != nil {
		return notRecorded(fmt.Errorf("read how runs go to agents: %w", err))
	}
	if name == StreamerKafka {
		i.Backend = invocation.BackendKafka
	}
	return nil
}

// installation checks the installation of an INTEGRATION_ACTION: nobody would ever claim a run of none.
func (f *faults) installation(value any) {
	const expected = "must be a string of 1 to 1,000 bytes"
	if text, ok := value.(string); !ok {
		f.kind("installationId", expected, value)
	} else if text == "" || len(text) > invocation.MaxInstallation {
		f.add("installationId", fmt.Sprintf("%s, but it rendered to %d", expected, len(text)))
	}
}
