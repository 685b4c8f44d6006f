// Package apifunction is what the two functions behind API Gateway share: credentials that may be
// rotated, and the API's handler built from them. It stands apart from package boot so that other
// functions link neither the API nor the secrets' client.
package apifunction

import (
	"fmt"
	"net/http"
	"time"

	"longshore/pkg/api"
	"longshore/pkg/awsevent"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/identity"
	"longshore/pkg/identity/oidc"
)

// Keys are secrets that more than the API needs.
type Keys struct {
	// ClientSecret is the organization's current one.
	ClientSecret string
	// TokenKey does not change when the client secret does.
	TokenKey []byte
}

// New returns a handler of HTTP API events. Users are those who may come with tokens of the settings'
// provider. Build completes the configuration; it is called again when a secret has changed.
func New(e *boot.Env, users identity.Users, build func(api.Config) http.Handler) (awsevent.Handler, error) {
	return NewWithKeys(e, users, func(c api.Config, _ Keys) http.Handler { return build(c) })
}

// NewWithKeys is New for a function that needs the secrets themselves.
func NewWithKeys(e *boot.Env, users identity.Users, build func(api.Config, Keys) http.Handler) (awsevent.Handler, error) {
	var own struct {
		boot.ClientSecret
		TokenKey    string `env:"LONGSHORE_TOKEN_KEY"`
		TokenKeyARN string `env:"LONGSHORE_TOKEN_KEY_ARN"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	access := identity.Access{Users: users}
	if e.OIDCIssuer != "" {
		// It keeps the provider's keys, whatever secret changes.
		provider, err := oidc.NewGuarded(oidc.Config{Issuer: e.OIDCIssuer, Audience: e.OIDCAudience, JWKSURL: e.OIDCJWKSURL})
		if err != nil {
			return nil, err
		}
		access.Provider = provider
	}
	handlers := awssecret.New(awssecret.NewClient(e.AWS), time.Now, func(v []awssecret.Value) (http.Handler, error) {
		key, err := boot.Key("LONGSHORE_TOKEN_KEY", v[1].Current)
		if err != nil {
			return nil, err
		}
		tokens, err := identity.NewTokens(identity.Config{
			OrgID: e.OrgID, ClientID: e.ClientID, Key: key, Secrets: []string{v[0].Current, v[0].Previous},
		})
		if err != nil {
			return nil, err
		}
		current := access
		current.Tokens = tokens
		c := api.Config{Tokens: &current, Log: e.Log, Trace: e.Trace}
		if e.BaseURL != "" {
			c.Addresses = func() []string { return []string{e.BaseURL} }
		}
		return build(c, Keys{ClientSecret: v[0].Current, TokenKey: key}), nil
	},
		awssecret.Secret{Plain: own.Plain, PlainPrevious: own.Previous, ARN: own.ARN, Rotates: true},
		awssecret.Secret{Plain: own.TokenKey, ARN: own.TokenKeyARN})
	return awsevent.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, err := handlers.Get(r.Context())
		if err != nil {
			e.Log.ErrorContext(r.Context(), "build the API", "error", err)
			api.Fault(w, err)
			return
		}
		h.ServeHTTP(w, r)
	})), nil
}
