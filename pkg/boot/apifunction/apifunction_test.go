package apifunction_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"longshore/pkg/api"
	"longshore/pkg/boot"
	"longshore/pkg/boot/apifunction"
	"longshore/pkg/identity"
)

type users struct{}

func (users) Caller(_ context.Context, email string) (identity.Caller, error) {
	return identity.Caller{ID: "usr_1", User: &identity.User{Email: email, Role: identity.Member}}, nil
}

// The settings that the template gives the functions lead to users who may come in.
func TestUsersOfTheConfiguredProvider(t *testing.T) {
	t.Setenv("LONGSHORE_CLIENT_SECRET", strings.Repeat("s", 32))
	t.Setenv("LONGSHORE_TOKEN_KEY", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1"}}})
	}))
	t.Cleanup(provider.Close)
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": provider.URL, "aud": "portal", "exp": time.Now().Add(time.Hour).Unix(), "email": "ada@example.com", "email_verified": true,
	})
	token.Header["kid"] = "1"
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		issuer, audience string
		status           int
	}{
		"a provider":       {provider.URL, "portal", http.StatusNotFound},
		"another audience": {provider.URL, "longshore", http.StatusUnauthorized},
		"none":             {"", "", http.StatusUnauthorized},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("LONGSHORE_OIDC_ISSUER", test.issuer)
			t.Setenv("LONGSHORE_OIDC_AUDIENCE", test.audience)
			t.Setenv("LONGSHORE_OIDC_JWKS_URL", provider.URL+"/keys")
			e := &boot.Env{Log: slog.New(slog.DiscardHandler)}
			if err := boot.Read(&e.Settings); err != nil {
				t.Fatal(err)
			}
			e.OrgID, e.ClientID = "org_1", "client_1"
			handle, err := apifunction.New(e, users{}, func(c api.Config) http.Handler { return api.New(c) })
			if err != nil {
				t.Fatal(err)
			}
			// An unknown route is unknown to those who may come in.
			answer, err := handle(t.Context(), json.RawMessage(fmt.Sprintf(
				`{"version":"2.0","rawPath":"/v1/nothing","headers":{"authorization":"Bearer %s"},"requestContext":{"http":{"method":"GET","path":"/v1/nothing"}}}`, signed)))
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(answer)
			if err != nil {
				t.Fatal(err)
			}
			var got struct{ StatusCode int }
			if err := json.Unmarshal(text, &got); err != nil || got.StatusCode != test.status {
				t.Errorf("got %s, %v, want status %d", text, err, test.status)
			}
		})
	}
}

func TestProviderThatCannotBeTrusted(t *testing.T) {
	e := &boot.Env{Log: slog.New(slog.DiscardHandler)}
	e.OIDCIssuer = "http://idp.example.com"
	_, err := apifunction.New(e, users{}, func(c api.Config) http.Handler { return api.New(c) })
	if err == nil || !strings.Contains(err.Error(), "https://") || !strings.Contains(err.Error(), "the audience is empty") {
		t.Errorf("got %v, want every fault of the settings", err)
	}
}
