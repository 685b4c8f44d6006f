package invocation_test

import (
	"testing"

	"longshore/pkg/invocation"
)

func TestProject(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		`{"groupName":"acme","projectName":"shop"}`:       "acme/shop",
		`{"groupName":"/acme/a.b/","projectName":"c/d/"}`: "acme/a.b/c/d",
		`{"groupName":"","projectName":"shop"}`:           "",
		`{"projectName":"acme/shop"}`:                     "",
		`{"groupName":"acme","projectName":""}`:           "",
		`{"groupName":"acme/..","projectName":"shop"}`:    "",
		`{"groupName":"acme","projectName":"."}`:          "",
		`{"groupName":"acme//a","projectName":"shop"}`:    "",
		`{"groupName":1,"projectName":"shop"}`:            "",
		`[]`:                                              "",
	} {
		i := &invocation.Invocation{Type: "GITLAB", Payload: []byte(payload)}
		if got := i.Project(); got != want {
			t.Errorf("%s: got %q, want %q", payload, got, want)
		}
		i.Type = "GITHUB"
		if got := i.Project(); got != "" {
			t.Errorf("%s: got %q for another type", payload, got)
		}
	}
}
