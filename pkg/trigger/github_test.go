package trigger_test

import (
	"strings"
	"testing"

	"longshore/pkg/trigger"
)

func TestIntegrationActionOfTheOwnApp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ app, installation, backend string }{
		"the own App's":          {"4711", `"4711"`, "github"},
		"by a template":          {"4711", `"{{ .inputs.i }}"`, "github"},
		"as a number":            {"4711", `"{{ .inputs.i | tonumber }}"`, "github"},
		"another's":              {"4711", `"4712"`, "agent"},
		"one that begins alike":  {"4711", `"47111"`, "agent"},
		"without an App":         {"", `"4711"`, "agent"},
		"without an App, and id": {"", `""`, "agent"},
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
			if got.Invocation.Repository() != map[string]string{"github": "o/r"}[c.backend] {
				t.Errorf("repository %q", got.Invocation.Repository())
			}
			if !strings.Contains(string(got.Invocation.Payload), `"x":"4711"`) {
				t.Errorf("payload %s", got.Invocation.Payload)
			}
		})
	}
}
