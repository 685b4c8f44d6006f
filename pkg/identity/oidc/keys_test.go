package oidc_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"longshore/pkg/fault"
	"longshore/pkg/identity/oidc"
)

// wantKind fails the test unless a token gets that fault; Internal is none. It returns when to ask again.
func wantKind(t *testing.T, p *oidc.Provider, token string, want fault.Kind) (retryAfter time.Duration) {
	t.Helper()
	_, err := p.Verify(t.Context(), token)
	var f *fault.Error
	if want == fault.Internal {
		if err != nil {
			t.Fatalf("got %v, want the token to be believed", err)
		}
		return 0
	}
	if !errors.As(err, &f) || f.Kind != want {
		t.Fatalf("got %v, want kind %d", err, want)
	}
	return f.RetryAfter
}

const believed = fault.Internal

func TestKeysAreKept(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, public("rsa"), public("p256"))
	p := i.provider(t)
	for range 20 {
		wantKind(t, p, i.good(t, "rsa"), believed)
		wantKind(t, p, i.good(t, "p256"), believed)
	}
	if got := i.questions(); got != 2 {
		t.Errorf("the issuer was asked %d times, want its document and its keys once", got)
	}
}

func TestManyAtOnceAskOnce(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, public("p256"))
	p := i.provider(t)
	token := i.good(t, "p256")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := p.Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := i.questions(); got != 2 {
		t.Errorf("the issuer was asked %d times, want its document and its keys once", got)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, public("rsa"))
	p := i.provider(t)
	wantKind(t, p, i.good(t, "rsa"), believed)

	// The next key is published and used at once; the one before still is.
	i.later(time.Minute)
	i.change(func() { i.keys = append(i.keys, public("p256")) })
	wantKind(t, p, i.good(t, "p256"), believed)
	wantKind(t, p, i.good(t, "rsa"), believed)

	// A key that is withdrawn is believed for a quarter of an hour at most.
	i.change(func() { i.keys = i.keys[1:] })
	i.later(14 * time.Minute)
	wantKind(t, p, i.good(t, "rsa"), believed)
	i.later(time.Minute)
	wantKind(t, p, i.good(t, "p256"), believed)
	wantKind(t, p, i.good(t, "rsa"), fault.Unauthorized)

	// Another key under the same id.
	i.later(20 * time.Minute)
	i.change(func() { i.keys = []jose.JSONWebKey{public("other", func(k *jose.JSONWebKey) { k.KeyID = "p256" })} })
	wantKind(t, p, i.good(t, "p256"), fault.Unauthorized)
}

func TestUnknownKeysAskRarely(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, public("p256"))
	p := i.provider(t)
	for range 30 {
		wantKind(t, p, i.good(t, "other"), fault.Unauthorized)
	}
	if got := i.questions(); got != 2 {
		t.Errorf("the issuer was asked %d times, want once", got)
	}
	i.later(11 * time.Second)
	for range 30 {
		wantKind(t, p, i.good(t, "other"), fault.Unauthorized)
	}
	if got := i.questions(); got != 2 {
		t.Errorf("the issuer was asked %d times after the pause, want once", got)
	}
	// Those of others do not count.
	i.later(11 * time.Second)
	foreign := i.claims()
	foreign["iss"] = "https://evil.example.com"
	wantKind(t, p, sign(t, jwt.SigningMethodES256, signing()["other"], "other", foreign), fault.Unauthorized)
	if got := i.questions(); got != 0 {
		t.Errorf("the issuer was asked %d times for a token of another one", got)
	}
}

func TestProviderIsDown(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, public("p256"))
	p := i.provider(t)
	i.change(func() { i.down = true })
	if after := wantKind(t, p, i.good(t, "p256"), fault.Unavailable); after <= 0 || after > time.Minute {
		t.Errorf("got Retry-After %v, want some seconds", after)
	}
	i.questions()
	wantKind(t, p, i.good(t, "p256"), fault.Unavailable)
	if got := i.questions(); got != 0 {
		t.Errorf("an issuer that had just failed was asked %d times", got)
	}

	i.change(func() { i.down = false })
	i.later(11 * time.Second)
	wantKind(t, p, i.good(t, "p256"), believed)

	// What is known goes on for a day, and the issuer is left in peace.
	i.change(func() { i.down = true })
	i.later(time.Hour)
	i.questions()
	late := func(name string) string {
		c := i.claims()
		c["exp"] = start.Add(1000 * time.Hour).Unix()
		return sign(t, jwt.SigningMethodES256, signing()[name], name, c)
	}
	for range 10 {
		wantKind(t, p, late("p256"), believed)
	}
	if got := i.questions(); got != 1 {
		t.Errorf("the issuer was asked %d times, want once", got)
	}
	i.later(30 * time.Second)
	wantKind(t, p, late("p256"), believed)
	if got := i.questions(); got != 0 {
		t.Errorf("an issuer that did not answer half a minute ago was asked %d times", got)
	}
	// A key that nobody can look up is no wrong one.
	wantKind(t, p, late("other"), fault.Unavailable)
	i.later(22 * time.Hour)
	wantKind(t, p, late("p256"), believed)
	i.later(2 * time.Hour)
	wantKind(t, p, late("p256"), fault.Unavailable)
	i.change(func() { i.down = false })
	i.later(time.Minute)
	wantKind(t, p, late("p256"), believed)
}

func TestProviderAnswersOtherwise(t *testing.T) {
	t.Parallel()
	elsewhere := newIssuer(t, public("p256"))
	write := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
	}
	of := func(issuer, jwks string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/.well-known/") {
				write(map[string]any{"issuer": issuer, "jwks_uri": jwks})(w, r)
				return
			}
			write(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public("p256")}})(w, r)
		}
	}
	document := func(i *issuer, jwks string) http.HandlerFunc { return of(i.URL, jwks) }
	tests := map[string]func(*issuer) http.HandlerFunc{
		"a redirect": func(*issuer) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
			}
		},
		"no JSON": func(*issuer) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<p>")) }
		},
		"an empty object":         func(*issuer) http.HandlerFunc { return write(struct{}{}) },
		"the document of another": func(i *issuer) http.HandlerFunc { return of(i.URL+"/", i.URL+"/keys") },
		"no address of keys":      func(i *issuer) http.HandlerFunc { return document(i, "") },
		"a relative address":      func(i *issuer) http.HandlerFunc { return document(i, "/keys") },
		"another port here":       func(i *issuer) http.HandlerFunc { return document(i, elsewhere.URL+"/keys") },
		"instance metadata":       func(i *issuer) http.HandlerFunc { return document(i, "https://169.254.169.254/latest/meta-data") },
		"plain HTTP elsewhere":    func(i *issuer) http.HandlerFunc { return document(i, "http://idp.example.com/keys") },
		"a file":                  func(i *issuer) http.HandlerFunc { return document(i, "file:///etc/passwd") },
		"more than 8 MiB":         func(*issuer) http.HandlerFunc { return write(map[string]any{"issuer": strings.Repeat("x", 9<<20)}) },
		"no key that can be used": func(i *issuer) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/.well-known/") {
					document(i, i.URL+"/keys")(w, r)
					return
				}
				_, _ = w.Write([]byte(`{"keys":[null,1,{},{"kty":"oct","k":"AAAA","kid":"p256"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"p256"},{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
			}
		},
	}
	t.Run("as it should", func(t *testing.T) {
		t.Parallel()
		i := newIssuer(t)
		i.answer = document(i, i.URL+"/keys")
		wantKind(t, i.provider(t), i.good(t, "p256"), believed)
	})
	t.Cleanup(func() {
		if got := elsewhere.questions(); got != 0 {
			t.Errorf("an address that nobody configured was asked %d times", got)
		}
	})
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			i.answer = answer(i)
			wantKind(t, i.provider(t), i.good(t, "p256"), fault.Unavailable)
		})
	}
}

func TestKeysAtAConfiguredAddress(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public("p256")}})
	}))
	t.Cleanup(keys.Close)
	p := i.provider(t, func(c *oidc.Config) { c.JWKSURL = keys.URL + "/jwks" })
	wantKind(t, p, i.good(t, "p256"), believed)
	if got := i.questions(); got != 0 {
		t.Errorf("the issuer was asked %d times, want the keys' address alone", got)
	}
}
