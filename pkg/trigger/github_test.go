package trigger_test

import (
	"strings"
	"testing"

	"longshore/pkg/invocation"
	"longshore/pkg/trigger"
)

func TestIntegrationActionOfTheOwnApp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ app, installation, backend string }{
		"the own App's":         {"4711", `"4711"`, "github"},
		"by a template":         {"4711", `"{{ .inputs.i }}"`, "github"},
		"another's":             {"4711", `"4712"`, "agent"},
		"one that begins alike": {"4711", `"47111"`, "agent"},
		"without an App":        {"", `"4711"`, "agent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(_ *world, config *trigger.Config) {
				config.GitHubApp = c.app
				config.Configured = func(string) bool { return true }
			})
			w.actions.add(t, v2("a", `{"type":"INTEGRATION_ACTION","installationId":`+c.installation+
				`,"integrationActionType":"dispatch_workflow","integrationActionExecutionProperties":{"org":"o","repo":"r","workflow":"w","workflowInputs":{"x":"{{ .inputs.i }}"}}}`))
			got := w.start(t, request(t, "a", `{"i":"4711"}`)).Record
			if got.Backend != c.backend || got.Invocation.Backend != c.backend {
				t.Errorf("run goes to %s, its invocation to %s, want %s", got.Backend, got.Invocation.Backend, c.backend)
			}
			if sent := len(w.queue.sent) > 0; sent != (c.backend == "github") {
				t.Errorf("%d messages were sent", len(w.queue.sent))
			}
			if got.Pending.Installation != map[string]string{"agent": strings.Trim(c.installation, `"`)}[c.backend] {
				t.Errorf("%q may claim the run", got.Pending.Installation)
			}
			if got.Invocation.Repository() != map[string]string{"github": "o/r"}[c.backend] {
				t.Errorf("repository %q", got.Invocation.Repository())
			}
			if !strings.Contains(string(got.Invocation.Payload), `"x":"4711"`) {
				t.Errorf("payload %s", got.Invocation.Payload)
			}
		})
	}
}

// What is sealed goes to the dispatcher too.
func TestIntegrationActionOfTheOwnAppWithSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *trigger.Config) {
		c.Secrets, c.Sealer, c.GitHubApp = newVault(), sealer(t), "4711"
		c.Configured = func(string) bool { return true }
	})
	w.actions.add(t, v2("a", `{"type":"INTEGRATION_ACTION","installationId":"4711","integrationActionType":"dispatch_workflow",
		"integrationActionExecutionProperties":{"org":"{{ .secrets.TOKEN }}","repo":"r","workflow":"w"}}`))
	record := w.start(t, request(t, "a", "")).Record
	sealed, err := w.store.Sealed(t.Context(), record.ID)
	if err != nil {
		t.Fatal(err)
	}
	sent, _, err := invocation.Open(t.Context(), sealer(t), record.ID, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if sent.Repository() != token+"/r" || record.Invocation.Repository() != "******/r" || record.Backend != "github" || record.Pending.Installation != "" {
		t.Errorf("sends to %q, shows %q, run goes to %s and may be claimed by %q",
			sent.Repository(), record.Invocation.Repository(), record.Backend, record.Pending.Installation)
	}
}

// TestGitHubRef: the input called ref of an action of the first generation reaches GitHub's backend, which
// takes it for the branch or tag, whatever else is sent.
func TestGitHubRef(t *testing.T) {
	t.Parallel()
	const github = `{"type":"GITHUB","org":"o","repo":"r","workflow":"w","omitPayload":true`
	for name, c := range map[string]struct{ definition, inputs, want string }{
		"with user inputs":    {github + `}`, `{"a":"x","ref":"v1"}`, github + `,"workflowInputs":{"a":"x","ref":"v1"}}`},
		"without user inputs": {github + `,"omitUserInputs":true}`, `{"a":"x","ref":"v1"}`, github + `,"omitUserInputs":true,"workflowInputs":{"ref":"v1"}}`},
		"without a ref":       {github + `,"omitUserInputs":true}`, `{"a":"x"}`, github + `,"omitUserInputs":true,"workflowInputs":{}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.actions.add(t, v1(c.definition))
			if got := string(w.start(t, request(t, "a", c.inputs)).Record.Invocation.Payload); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
