package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"longshore/pkg/identity/oidc"
	"longshore/pkg/local"
)

// What docs/identity.md says of the first admin, with a provider of this machine.
func TestFirstAdmin(t *testing.T) {
	t.Parallel()
	need(t, "bash")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var issuer string
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1"}}}
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			answer = map[string]string{"issuer": issuer, "jwks_uri": issuer + "/keys"}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(provider.Close)
	issuer = provider.URL
	w := newWorld(t, func(c *local.Config) { c.OIDC = oidc.Config{Issuer: issuer, Audience: "portal"} })

	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": issuer, "aud": "portal", "exp": time.Now().Add(time.Hour).Unix(), "email": "Ada@example.com", "email_verified": true,
	})
	token.Header["kid"] = "1"
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	want := func(status int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/v1/users", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+signed)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status {
			t.Errorf("got %d %s, want %d", resp.StatusCode, text, status)
		}
	}
	want(http.StatusUnauthorized)
	contains(t, w.script(blocks(t, "docs/identity.md", "sh")[0], ""), "entity _user/ada@example.com created")
	want(http.StatusOK)
}
