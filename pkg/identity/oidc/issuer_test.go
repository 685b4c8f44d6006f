package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"longshore/pkg/identity/oidc"
)

const audience = "longshore"

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// issuer is an identity provider: a discovery document and keys, which may be exchanged.
type issuer struct {
	*httptest.Server
	mu sync.Mutex
	// keys are those published; down makes it answer 500, and answer, if set, everything.
	keys   []jose.JSONWebKey
	down   bool
	answer http.HandlerFunc
	asked  int
	now    time.Time
}

func newIssuer(t *testing.T, keys ...jose.JSONWebKey) *issuer {
	t.Helper()
	i := &issuer{keys: keys, now: start}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.asked++
		switch {
		case i.down:
			w.WriteHeader(http.StatusInternalServerError)
		case i.answer != nil:
			i.answer(w, r)
		case r.URL.Path == "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
		case r.URL.Path == "/keys":
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: i.keys})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(i.Close)
	return i
}

// provider returns one that believes the issuer, on the issuer's clock.
func (i *issuer) provider(t *testing.T, edit ...func(*oidc.Config)) *oidc.Provider {
	t.Helper()
	c := oidc.Config{Issuer: i.URL, Audience: audience, Now: func() time.Time {
		i.mu.Lock()
		defer i.mu.Unlock()
		return i.now
	}}
	for _, f := range edit {
		f(&c)
	}
	p, err := oidc.NewGuarded(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// change changes the issuer while it may be asked.
func (i *issuer) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func (i *issuer) later(d time.Duration) { i.change(func() { i.now = i.now.Add(d) }) }

// questions returns how often the issuer was asked since the last time.
func (i *issuer) questions() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := i.asked
	i.asked = 0
	return n
}

// claims are those of a good token.
func (i *issuer) claims() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": i.URL, "aud": audience, "sub": "1", "email": "ada@example.com", "email_verified": true,
		"iat": start.Unix(), "exp": start.Add(time.Hour).Unix(),
	}
}

// signing are keys made once: RSA takes its time.
var signing = sync.OnceValue(func() map[string]crypto.Signer {
	keys := map[string]crypto.Signer{}
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521(), "other": elliptic.P256()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	for name, bits := range map[string]int{"rsa": 2048, "weak": 1024} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
})

// public is a key as it is published under its name, but for what edit changes.
func public(name string, edit ...func(*jose.JSONWebKey)) jose.JSONWebKey {
	k := jose.JSONWebKey{Key: signing()[name].Public(), KeyID: name, Use: "sig"}
	for _, f := range edit {
		f(&k)
	}
	return k
}

// sign makes a token; kid empty leaves the header out.
func sign(t *testing.T, method jwt.SigningMethod, key any, kid string, claims jwt.MapClaims, header ...any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	for n := 0; n < len(header); n += 2 {
		token.Header[header[n].(string)] = header[n+1]
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// good is a token of the issuer that is valid for an hour from the start.
func (i *issuer) good(t *testing.T, name string) string {
	t.Helper()
	methods := map[string]jwt.SigningMethod{"p256": jwt.SigningMethodES256, "p384": jwt.SigningMethodES384, "p521": jwt.SigningMethodES512, "other": jwt.SigningMethodES256, "rsa": jwt.SigningMethodRS256, "weak": jwt.SigningMethodRS256}
	return sign(t, methods[name], signing()[name], name, i.claims())
}
