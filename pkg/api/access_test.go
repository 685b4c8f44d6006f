package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"longshore/pkg/api"
	"longshore/pkg/fault"
)

// provider believes whoever says "user." and an e-mail.
type provider struct{}

// Verify implements identity.Provider.
func (provider) Verify(_ context.Context, token string) (string, error) {
	if email, ok := strings.CutPrefix(token, "user."); ok {
		return email, nil
	}
	return "", fault.New(fault.Unauthorized, "", "the access token is not valid")
}

// as returns the API as a user sees it, whose entity of _user is made with these properties and teams.
func (f *fixture) as(email, properties string, teams ...string) *fixture {
	f.t.Helper()
	f.call("POST", "/v1/blueprints/_user/entities?upsert=true",
		`{"identifier":"`+email+`","team":["`+strings.Join(teams, `","`)+`"],"properties":`+properties+`}`)
	return f.signedIn(email)
}

// signedIn returns the API as whoever has that e-mail sees it.
func (f *fixture) signedIn(email string) *fixture {
	other := *f
	other.token = "user." + email
	return &other
}

// on returns the API for another test.
func (f *fixture) on(t *testing.T) *fixture {
	other := *f
	other.t = t
	return &other
}

var _ = api.Routes
var _ = http.StatusOK
