package identity_test

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/audit"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
)

// The token of one call says which, and what its changes follow from.
func TestTokenOfOneCall(t *testing.T) {
	t.Parallel()
	now := start
	c := config(start)
	c.Now = func() time.Time { return now }
	made := tokens(t, c)
	call := identity.Call{Method: "POST", Path: "/v1/actions/ä b/runs", Cause: audit.Cause{EventID: "event_1", RunID: "r_1", Depth: 3}}
	token, err := made.SignCall(call)
	if err != nil {
		t.Fatal(err)
	}
	got, err := made.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	want := identity.Caller{OrgID: "org_1", Machine: true, ID: "client_1", Call: &call}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("caller (-want +got):\n%s", diff)
	}
	if got.Cause() != call.Cause {
		t.Errorf("got cause %+v, want %+v", got.Cause(), call.Cause)
	}
	// A program that does not know of such tokens must not take it for the organization's.
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatal(err)
	}
	if claims["isMachine"] != false {
		t.Errorf("got claims %v, want none of a machine's", claims)
	}
	now = start.Add(identity.CallLifetime + 10*time.Second)
	if _, err := made.Verify(t.Context(), token); fault.KindOf(err) != fault.Unauthorized {
		t.Errorf("after its time: got %v, want unauthorized", err)
	}
	if identity.CallLifetime != time.Minute {
		t.Errorf("a call's token lives for %s, want a minute", identity.CallLifetime)
	}
	if _, err := made.SignCall(identity.Call{Method: "GET", Path: "/" + strings.Repeat("a", 20_000)}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a path that fits no token: got %v, want invalid", err)
	}
}
