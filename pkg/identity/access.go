package identity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"longshore/pkg/fault"
)

// Users finds users.
type Users interface {
	// Caller returns the user with an e-mail as a caller, whatever its case. fault.NotFound when there is
	// none, or when the user is disabled.
	Caller(ctx context.Context, email string) (Caller, error)
}

// Provider checks the tokens that somebody else issues to people.
type Provider interface {
	// Verify returns the verified e-mail that a token stands for. fault.Unauthorized for a token that is
	// none, fault.Unavailable when that cannot be told now.
	Verify(ctx context.Context, token string) (email string, err error)
}

// Access checks machine tokens and, where there is a provider, those of users.
type Access struct {
	*Tokens
	// Provider is nil where only machine tokens are taken. Users is required with it.
	Provider Provider
	Users    Users
}

// Verify tells who a token stands for. The user is looked up each time, so that one who was disabled or
// lost a role has lost it at once. fault.Unauthorized for everybody who may not come in,
// fault.Unavailable when a user's token or record cannot be read now.
func (a *Access) Verify(ctx context.Context, token string) (Caller, error) {
	// The header only says who is to check the token; each takes its own algorithms and no other.
	if a.Provider == nil || algorithm(token) == jwt.SigningMethodHS256.Alg() {
		return a.Tokens.Verify(ctx, token)
	}
	email, err := a.Provider.Verify(ctx, token)
	if err != nil {
		return Caller{}, err
	}
	caller, err := a.Users.Caller(ctx, email)
	if fault.KindOf(err) == fault.NotFound {
		return Caller{}, fault.Wrap(fault.Unauthorized, err, "the access token is of nobody who is an active user here")
	}
	return caller, err
}

// algorithm returns what a token's header says; empty when it says nothing that can be read.
func algorithm(token string) string {
	head, _, _ := strings.Cut(token, ".")
	if len(head) > maxToken {
		return ""
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil || json.Unmarshal(text, &header) != nil {
		return ""
	}
	return header.Algorithm
}
