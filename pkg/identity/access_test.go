package identity_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/identity"
)

// provider believes every token that ends in its word, and says what it was asked.
type provider struct{ asked []string }

func (p *provider) Verify(_ context.Context, token string) (string, error) {
	p.asked = append(p.asked, token)
	switch {
	case strings.HasSuffix(token, ".down"):
		return "", fault.Busy(errors.New("refused"), 1, "the identity provider does not answer")
	case strings.HasSuffix(token, ".good"):
		return "ada@example.com", nil
	}
	return "", fault.New(fault.Unauthorized, "", "the access token is not valid")
}

type users map[string]error

func (u users) Caller(_ context.Context, email string) (identity.Caller, error) {
	if err := u[email]; err != nil {
		return identity.Caller{}, err
	}
	return identity.Caller{OrgID: "org_1", ID: "usr_1", User: &identity.User{Email: email, Role: identity.Member}}, nil
}

func TestAccess(t *testing.T) {
	t.Parallel()
	own := tokens(t, config(start))
	machine, err := own.Sign()
	if err != nil {
		t.Fatal(err)
	}
	forged, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "client_1", "orgId": "org_1", "isMachine": true, "exp": start.Unix() + 60}).SignedString([]byte("good"))
	if err != nil {
		t.Fatal(err)
	}
	nobody := fault.New(fault.NotFound, "", "there is no such user")
	down := fault.Busy(errors.New("throttled"), 1, "the store is busy")
	client := identity.Caller{OrgID: "org_1", Machine: true, ID: "client_1"}
	ada := identity.Caller{OrgID: "org_1", ID: "usr_1", User: &identity.User{Email: "ada@example.com", Role: identity.Member}}
	tests := map[string]struct {
		token string
		found error
		want  identity.Caller
		kind  fault.Kind
		// asks says that the provider is to be asked.
		asks bool
	}{
		"a machine":                    {token: machine, want: client},
		"a user":                       {token: "e30.e30.good", want: ada, asks: true},
		"a user's token without alg":   {token: "x.good", want: ada, asks: true},
		"a user whom nobody knows":     {token: "e30.e30.good", found: nobody, kind: fault.Unauthorized, asks: true},
		"users that cannot be read":    {token: "e30.e30.good", found: down, kind: fault.Unavailable, asks: true},
		"a fault of ours":              {token: "e30.e30.good", found: errors.New("broken"), kind: fault.Internal, asks: true},
		"a token that nobody believes": {token: "e30.e30.bad", kind: fault.Unauthorized, asks: true},
		"a provider that is down":      {token: "e30.e30.down", kind: fault.Unavailable, asks: true},
		"HS256 with another key":       {token: forged, kind: fault.Unauthorized},
		"nothing":                      {token: "", kind: fault.Unauthorized, asks: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &provider{}
			a := &identity.Access{Tokens: own, Provider: p, Users: users{"ada@example.com": test.found}}
			got, err := a.Verify(t.Context(), test.token)
			if (err != nil) != (test.want == identity.Caller{}) || err != nil && fault.KindOf(err) != test.kind {
				t.Fatalf("got %+v, %v", got, err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("caller (-want +got):\n%s", diff)
			}
			if (len(p.asked) > 0) != test.asks {
				t.Errorf("the provider was asked %d times", len(p.asked))
			}
		})
	}
}

func TestAccessOfMachinesAlone(t *testing.T) {
	t.Parallel()
	own := tokens(t, config(start))
	machine, err := own.Sign()
	if err != nil {
		t.Fatal(err)
	}
	a := &identity.Access{Tokens: own}
	if _, err := a.Verify(t.Context(), machine); err != nil {
		t.Error(err)
	}
	if _, err := a.Verify(t.Context(), "e30.e30.good"); fault.KindOf(err) != fault.Unauthorized {
		t.Errorf("got %v, want a user's token refused", err)
	}
}

func TestRightsOfACaller(t *testing.T) {
	t.Parallel()
	of := func(role identity.Role, moderates ...string) identity.Caller {
		return identity.Caller{ID: "usr_1", User: &identity.User{Role: role, Moderates: moderates}}
	}
	tests := map[string]struct {
		caller                 identity.Caller
		administers, moderates bool
	}{
		"a machine":                {identity.Caller{Machine: true, ID: "client_1"}, true, false},
		"an admin":                 {of(identity.Admin), true, false},
		"an admin with a list":     {of(identity.Admin, "service"), true, false},
		"a moderator":              {of(identity.Moderator, "service"), false, true},
		"a moderator of another":   {of(identity.Moderator, "Service"), false, false},
		"a member with a list":     {of(identity.Member, "service"), false, false},
		"a role that nobody knows": {of("admin", "service"), false, false},
		"nobody":                   {identity.Caller{}, false, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := test.caller.Administers(); got != test.administers {
				t.Errorf("administers: %t", got)
			}
			if got := test.caller.Moderates("service"); got != test.moderates {
				t.Errorf("moderates: %t", got)
			}
			if test.caller.Moderates("") {
				t.Error("moderates the blueprint without a name")
			}
		})
	}
}
