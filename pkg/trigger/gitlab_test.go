package trigger_test

import "testing"

// TestGitLabRef: the input called ref reaches GitLab's backend whether or not it is a variable, and no
// other backend; the run message of v1 is known from a variable of its name.
func TestGitLabRef(t *testing.T) {
	t.Parallel()
	const gitlab = `{"type":"GITLAB","projectName":"p","groupName":"g"`
	for name, c := range map[string]struct {
		definition, inputs string
		first              bool
		ref                string
		message            bool
	}{
		"v2":                              {gitlab + `,"pipelineVariables":{"A":"b"}}`, `{"ref":"v1"}`, false, "v1", false},
		"v2 with a variable port_payload": {gitlab + `,"pipelineVariables":{"port_payload":{}}}`, `{"ref":""}`, false, "", false},
		"v2 without the input":            {gitlab + `,"pipelineVariables":{}}`, `{"r":"x"}`, false, "", false},
		"no string":                       {gitlab + `,"pipelineVariables":{}}`, `{"ref":7}`, false, "", false},
		"another type":                    {`{"type":"KAFKA","payload":{}}`, `{"ref":"v1"}`, false, "", false},
		"v1":                              {gitlab + `}`, `{"ref":"v1"}`, true, "v1", true},
		"v1 without user inputs":          {gitlab + `,"omitUserInputs":true}`, `{"ref":"v1"}`, true, "v1", true},
		"v1 without anything":             {gitlab + `,"omitUserInputs":true,"omitPayload":true}`, `{"ref":"v1"}`, true, "v1", false},
		"v1 of an agent":                  {gitlab + `,"agent":true}`, `{"ref":"v1"}`, true, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			if c.first {
				w.actions.add(t, v1(c.definition))
			} else {
				w.actions.add(t, v2("a", c.definition))
			}
			got := w.start(t, request(t, "a", c.inputs)).Record.Invocation
			if got.Ref != c.ref || got.RunMessage != c.message {
				t.Errorf("got the ref %q, run message %v, want %q, %v", got.Ref, got.RunMessage, c.ref, c.message)
			}
		})
	}
}
