package trigger_test

import (
	"context"
	"errors"
	"testing"

	"longshore/pkg/fault"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

// streamer is the organization's setting.
type streamer struct {
	name string
	err  error
}

func (s *streamer) Streamer(context.Context) (string, error) { return s.name, s.err }

const (
	agentWebhook = `{"type":"WEBHOOK","url":"http://inside","agent":true}`
	integration  = `{"type":"INTEGRATION_ACTION","installationId":"ocean-{{ .inputs.n }}","integrationActionType":"dispatch_workflow",` +
		`"integrationActionExecutionProperties":{"org":"o","repo":"r","workflow":"w"}}`
)

// Runs of agents wait to be claimed, unless the organization has set Kafka when they start.
func TestWayToAgents(t *testing.T) {
	t.Parallel()
	setting := &streamer{name: trigger.StreamerPolling}
	w := newWorld(t, func(_ *world, c *trigger.Config) { c.Streamer = setting })
	for _, definition := range []string{
		v2("a", agentWebhook), v2("i", integration),
		`{"identifier":"old","trigger":"CREATE","userInputs":{"properties":{}},"invocationMethod":` + agentWebhook + `}`,
	} {
		w.actions.add(t, definition)
	}
	start := func(action string) *run.Record { t.Helper(); return w.start(t, request(t, action, `{}`)).Record }
	polled := start("a")
	if want := (run.Claimable{Installation: invocation.AgentInstallation, Method: "WEBHOOK"}); polled.Backend != invocation.BackendAgent || polled.Pending != want {
		t.Errorf("polled run: backend %s, %+v", polled.Backend, polled.Pending)
	}
	if got := start("i"); got.Pending != (run.Claimable{Installation: "ocean-null", Method: "INTEGRATION_ACTION"}) {
		t.Errorf("run of an integration: %+v", got.Pending)
	}
	if len(w.queue.sent) != 0 {
		t.Errorf("sent %+v, want nothing", w.queue.sent)
	}

	setting.name = trigger.StreamerKafka
	for action, message := range map[string]bool{"a": false, "old": true} {
		got := start(action)
		if got.Backend != invocation.BackendKafka || got.Pending != (run.Claimable{}) || got.Invocation.Webhook.Message != message {
			t.Errorf("%s by Kafka: backend %s, %+v, run message %t", action, got.Backend, got.Pending, got.Invocation.Webhook.Message)
		}
	}
	if got := start("i"); got.Backend != invocation.BackendAgent {
		t.Errorf("run of an integration: backend %s", got.Backend)
	}
	// What waits stays where it is.
	if got := w.read(t, polled.ID); got.Backend != invocation.BackendAgent || got.Pending.Installation == "" {
		t.Errorf("run that waited: backend %s, %+v", got.Backend, got.Pending)
	}
}

// A setting that cannot be read: nothing is accepted.
func TestWayToAgentsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *trigger.Config) { c.Streamer = &streamer{err: errors.New("throttled")} })
	w.actions.add(t, v2("a", agentWebhook))
	w.actions.add(t, v2("b", `{"type":"WEBHOOK","url":"https://example.com"}`))
	_, err := w.Start(t.Context(), request(t, "a", `{}`))
	wantFault(t, err, fault.Unavailable, "unavailable", "nothing was accepted")
	w.wantNothing(t)
	// Other runs do not ask.
	w.start(t, request(t, "b", `{}`))
}
