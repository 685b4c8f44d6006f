package action_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"longshore/pkg/action"
)

func TestWorkflowInputsThatGitHubWouldRefuse(t *testing.T) {
	t.Parallel()
	// inputs are n of one value, and more.
	inputs := func(n int, value, more string) string {
		list := make([]string, 0, n+1)
		for i := range n {
			list = append(list, fmt.Sprintf(`"i%d":%s`, i, value))
		}
		if more != "" {
			list = append(list, more)
		}
		return "{" + strings.Join(list, ",") + "}"
	}
	for name, c := range map[string]struct{ inputs, want string }{
		"25":                     {inputs(25, `"x"`, ""), ""},
		"25 and a ref":           {inputs(25, `"x"`, `"ref":"main"`), ""},
		"25 and one left out":    {inputs(25, `"x"`, `"n":null`), ""},
		"26 that may be left":    {inputs(26, `"{{ .inputs.x }}"`, ""), ""},
		"26":                     {inputs(26, `"x"`, ""), "workflowInputs: GitHub takes at most 25 inputs, these are 26"},
		"26 objects":             {inputs(26, `{"a":"{{ .inputs.x }}"}`, ""), "at most 25 inputs, these are 26"},
		"as long as allowed":     {`{"a":"` + strings.Repeat("é", 65_527) + `"}`, ""},
		"longer":                 {`{"a":"` + strings.Repeat("é", 65_528) + `"}`, "workflowInputs: GitHub takes inputs of at most 65535 characters in all, these have 65536: send less"},
		"a long text to be read": {`{"a":"{{ .inputs.x }}` + strings.Repeat("é", 65_528) + `"}`, ""},
	} {
		for kind, method := range map[string]string{
			"GITHUB":             `{"type":"GITHUB","org":"o","repo":"r","workflow":"w","workflowInputs":` + c.inputs + `}`,
			"INTEGRATION_ACTION": `{"type":"INTEGRATION_ACTION","installationId":"1","integrationActionType":"dispatch_workflow","integrationActionExecutionProperties":{"org":"o","repo":"r","workflow":"w","workflowInputs":` + c.inputs + `}}`,
		} {
			_, err := action.Parse(json.RawMessage(`{"identifier":"a","trigger":{"type":"self-service","operation":"CREATE","userInputs":{"properties":{}}},"invocationMethod":` + method + `}`))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %s: %v, want %q", kind, name, err, c.want)
			}
		}
	}
}
