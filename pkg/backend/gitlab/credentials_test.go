package gitlab_test

import (
	"context"
	"strings"
	"testing"

	"longshore/pkg/backend"
	"longshore/pkg/backend/gitlab"
	"longshore/pkg/backend/gitlab/gitlabtest"
	"longshore/pkg/run"
)

// A token that has expired between two runs ends the second, and the one that replaces it is used at once.
func TestTokenThatExpires(t *testing.T) {
	t.Parallel()
	for kind, token := range map[string]func(string) gitlab.Credentials{
		"access token":  func(token string) gitlab.Credentials { return gitlab.Credentials{Token: token} },
		"trigger token": func(token string) gitlab.Credentials { return gitlab.Credentials{TriggerToken: token} },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := server(t)
			s.Tokens["new-one"], s.Projects[0].Triggers["new-one"] = gitlabtest.User{Name: "longshore"}, "owner"
			current := token(map[string]string{"access token": access, "trigger token": trigger}[kind])
			b := open(t, gitlab.Config{URL: s.URL, Credentials: func(context.Context) (gitlab.Credentials, error) { return current, nil }})
			call := func() backend.Outcome { return b.Call(t.Context(), method(`,"defaultRef":"main"`)) }
			if got := call(); got.Verdict != run.Deliver {
				t.Fatalf("before: %+v", got)
			}
			delete(s.Tokens, access)
			delete(s.Projects[0].Triggers, trigger)
			if got := call(); got.Verdict != run.Fail || got.StatusCode/100 != 4 || strings.Contains(got.Error, access) || strings.Contains(got.Error, trigger) {
				t.Errorf("expired: got %+v, want a final failure without the token", got)
			}
			current = token("new-one")
			if got := call(); got.Verdict != run.Deliver {
				t.Errorf("replaced: got %+v, want delivered", got)
			}
			if n := len(s.Pipelines()); n != 2 {
				t.Errorf("%d pipelines were started, want 2", n)
			}
		})
	}
}
