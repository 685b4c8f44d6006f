package local_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"longshore/pkg/identity/oidc"
)

// issuer is an identity provider that publishes keys, which may be exchanged; its clock is that of the server
// that asks it.
type issuer struct {
	*httptest.Server
	mu   sync.Mutex
	keys map[string]*ecdsa.PrivateKey
	now  time.Time
}

func newIssuer(t *testing.T, kids ...string) *issuer {
	t.Helper()
	i := &issuer{now: time.Now(), keys: map[string]*ecdsa.PrivateKey{}}
	for _, kid := range kids {
		i.keys[kid] = newKey(t)
	}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
			return
		}
		var set jose.JSONWebKeySet
		for kid, key := range i.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: kid, Use: "sig"})
		}
		_ = json.NewEncoder(w).Encode(set)
	}))
	t.Cleanup(i.Close)
	return i
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// clock is the issuer's.
func (i *issuer) clock() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.now
}

// rotate publishes a key in place of another, a while later.
func (i *issuer) rotate(old, kid string, key *ecdsa.PrivateKey, later time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.keys, old)
	i.keys[kid] = key
	i.now = i.now.Add(later)
}

// sign makes a token of ada's with these claims in place of the good ones; nil takes one out.
func (i *issuer) sign(t *testing.T, method jwt.SigningMethod, key any, kid string, change jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{
		"iss": i.URL, "aud": "longshore", "email": "ADA@example.com", "email_verified": true, "exp": i.clock().Add(time.Hour).Unix(),
	}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = kid
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What each kind of token is answered with by a server that trusts a provider, on routes that read and that
// start runs. What is refused starts nothing.
func TestTokens(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, "1")
	key := i.keys["1"]
	c := config(t.TempDir())
	c.OIDC = oidc.Config{Issuer: i.URL, Audience: "longshore", Now: i.clock}
	_, q, own := open(t, c)
	q.call("POST", "/v1/blueprints/_user/entities", `{"identifier":"ada@example.com"}`)
	q.call("POST", "/v1/blueprints/_user/entities", `{"identifier":"off@example.com","properties":{"status":"disabled"}}`)
	q.call("POST", "/v1/actions", `{"identifier":"act","trigger":{"type":"self-service","operation":"CREATE"},"invocationMethod":{"type":"WEBHOOK","url":"http://192.0.2.1/"}}`)

	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	es256 := jwt.SigningMethodES256
	good := i.sign(t, es256, key, "1", nil)
	with := func(name string, value any) string { return i.sign(t, es256, key, "1", jwt.MapClaims{name: value}) }
	at := func(name string, d time.Duration) string { return with(name, i.clock().Add(d).Unix()) }
	parts := strings.Split(good, ".")
	// The machine's key id is no secret: its tokens show it.
	var machine struct{ Kid string }
	head, err := base64.RawURLEncoding.DecodeString(strings.Split(q.token, ".")[0])
	if err != nil || json.Unmarshal(head, &machine) != nil {
		t.Fatal(err)
	}
	machineClaims := jwt.MapClaims{"sub": own.ClientID, "orgId": "org", "isMachine": true}
	const (
		form    = "the Authorization header must take the form: Bearer <access token>"
		invalid = "the access token is not valid"
		unknown = "the access token is signed with a key that the identity provider does not publish"
		verify  = "the access token does not say that its e-mail is verified"
		nobody  = "the access token is of nobody who is an active user here"
	)
	tests := map[string]struct{ header, message string }{
		"a user's":                {"Bearer " + good, ""},
		"in small letters":        {"bearer " + good, ""},
		"expired within leeway":   {"Bearer " + at("exp", -30*time.Second), ""},
		"missing":                 {"", "the Authorization header is missing; it takes the form: Bearer <access token>"},
		"no scheme":               {good, form},
		"another scheme":          {"Basic " + good, form},
		"empty":                   {"Bearer ", form},
		"malformed":               {"Bearer abc", invalid},
		"two parts":               {"Bearer " + parts[0] + "." + parts[1], invalid},
		"no signature":            {"Bearer " + parts[0] + "." + parts[1] + ".", invalid},
		"another's signature":     {"Bearer " + parts[0] + "." + strings.Split(with("email", "off@example.com"), ".")[1] + "." + parts[2], invalid},
		"expired":                 {"Bearer " + at("exp", -2*time.Minute), "the access token has expired"},
		"no expiry":               {"Bearer " + with("exp", nil), invalid},
		"not valid yet":           {"Bearer " + at("nbf", 2*time.Minute), invalid},
		"a wrong key":             {"Bearer " + i.sign(t, es256, newKey(t), "1", nil), invalid},
		"a key of nobody":         {"Bearer " + i.sign(t, es256, newKey(t), "2", nil), unknown},
		"a wrong audience":        {"Bearer " + with("aud", "portal"), "the access token is for another audience"},
		"no audience":             {"Bearer " + with("aud", nil), invalid},
		"another issuer":          {"Bearer " + with("iss", "https://idp.example.com"), "the access token is of another issuer"},
		"alg none":                {"Bearer " + i.sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "1", nil), invalid},
		"alg none, a signature":   {"Bearer " + base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"1"}`)) + "." + parts[1] + "." + parts[2], invalid},
		"HS256 by the public key": {"Bearer " + i.sign(t, jwt.SigningMethodHS256, public, "1", nil), invalid},
		"HS256 by its DER":        {"Bearer " + i.sign(t, jwt.SigningMethodHS256, der, "1", nil), invalid},
		"a machine by that key":   {"Bearer " + i.sign(t, jwt.SigningMethodHS256, public, machine.Kid, machineClaims), invalid},
		"a machine by a user's":   {"Bearer " + i.sign(t, es256, key, machine.Kid, machineClaims), unknown},
		"HS256 by the secret":     {"Bearer " + i.sign(t, jwt.SigningMethodHS256, []byte(own.ClientSecret), machine.Kid, machineClaims), invalid},
		"verified false":          {"Bearer " + with("email_verified", false), verify},
		"verified in quotes":      {"Bearer " + with("email_verified", "true"), verify},
		"verified not":            {"Bearer " + with("email_verified", nil), verify},
		"no e-mail":               {"Bearer " + with("email", nil), "the access token has no e-mail"},
		"of nobody":               {"Bearer " + with("email", "eve@example.com"), nobody},
		"of a disabled user":      {"Bearer " + with("email", "off@example.com"), nobody},
	}
	for name, test := range tests {
		for path, wants := range map[string]int{"GET /v1/actions": 200, "POST /v1/actions/act/runs?dry_run=true": 200, "POST /v1/actions/act/runs": 202, "GET /v1/nothing": 404} {
			if test.message == "" && wants == 202 {
				continue
			}
			status, message := q.with(path, test.header)
			if test.message != "" {
				wants = http.StatusUnauthorized
			}
			if status != wants || test.message != "" && message != test.message {
				t.Errorf("%s, %s: got %d %q, want %d %q", name, path, status, message, wants, test.message)
			}
		}
	}
	if runs := q.call("GET", "/v1/actions/runs", "")["runs"].([]any); len(runs) != 0 {
		t.Errorf("there are %d runs, want none", len(runs))
	}
	if entries := q.call("GET", "/v1/audit-log?resources=run", "")["audits"].([]any); len(entries) != 0 {
		t.Errorf("there are %d entries of runs, want none", len(entries))
	}

	// The provider rotates its key: the next one counts when a token first names it, the one before
	// no more once the keys were read again.
	next := newKey(t)
	i.rotate("1", "2", next, 11*time.Second)
	for _, step := range []struct {
		name, token string
		status      int
		message     string
	}{
		{"the new key", i.sign(t, es256, next, "2", nil), 200, ""},
		{"the old key", i.sign(t, es256, key, "1", nil), 401, unknown},
		{"a token of before", good, 401, unknown},
		{"the old key under the new name", i.sign(t, es256, key, "2", nil), 401, invalid},
	} {
		if status, message := q.with("GET /v1/actions", "Bearer "+step.token); status != step.status || message != step.message {
			t.Errorf("after the rotation, %s: got %d %q, want %d %q", step.name, status, message, step.status, step.message)
		}
	}
	// Machines need no provider, and whoever asks while it is away is told to come again.
	i.Close()
	if status, _ := q.with("GET /v1/actions", "Bearer "+q.token); status != 200 {
		t.Errorf("a machine got %d without the provider", status)
	}
	if status, _ := q.with("GET /v1/actions", "Bearer "+i.sign(t, es256, next, "2", nil)); status != 200 {
		t.Errorf("a known key got %d without the provider", status)
	}
	i.rotate("", "3", next, 11*time.Second)
	if status, message := q.with("GET /v1/actions", "Bearer "+i.sign(t, es256, next, "3", nil)); status != 503 {
		t.Errorf("an unknown key without the provider: got %d %q, want 503", status, message)
	}
}

// with sends a request with another Authorization header, empty for none, and returns what a refusal says.
func (q *caller) with(request, header string) (status int, message string) {
	q.t.Helper()
	method, path, _ := strings.Cut(request, " ")
	r, err := http.NewRequestWithContext(q.t.Context(), method, q.url+path, strings.NewReader("{}"))
	if err != nil {
		q.t.Fatal(err)
	}
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		q.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		q.t.Fatal(err)
	}
	var fault struct{ Message string }
	if err := json.Unmarshal(text, &fault); err != nil {
		q.t.Fatal(fmt.Errorf("%s: %w", text, err))
	}
	return answer.StatusCode, fault.Message
}
