package identity_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/fault"
	"longshore/pkg/identity"
)

const (
	current  = "the-current-secret-of-the-client-0001"
	previous = "the-previous-secret-of-the-client-001"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func key(fill string) []byte { return []byte(strings.Repeat(fill, identity.MinKey)) }

func config(now time.Time) identity.Config {
	return identity.Config{
		OrgID: "org_1", ClientID: "client_1", Secrets: []string{current, previous},
		Key: key("k"), Now: func() time.Time { return now },
	}
}

func tokens(t *testing.T, c identity.Config) *identity.Tokens {
	t.Helper()
	made, err := identity.NewTokens(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestIssue(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		id, secret string
		secrets    []string
		ok         bool
	}{
		"current secret":                   {"client_1", current, []string{current, previous}, true},
		"previous secret":                  {"client_1", previous, []string{current, previous}, true},
		"no previous secret":               {"client_1", current, []string{current, ""}, true},
		"wrong secret":                     {"client_1", current + "x", []string{current, previous}, false},
		"prefix of the secret":             {"client_1", current[:10], []string{current}, false},
		"wrong client":                     {"client_2", current, []string{current}, false},
		"everything empty":                 {"", "", []string{"", ""}, false},
		"empty secret is never one":        {"client_1", "", []string{current, ""}, false},
		"a deployment without any secret":  {"client_1", "", nil, false},
		"secret and client the other way":  {current, "client_1", []string{current}, false},
		"secret with a zero byte appended": {"client_1", current + "\x00", []string{current}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config(start)
			c.Secrets = test.secrets
			made := tokens(t, c)
			token, expiresIn, err := made.Issue(test.id, test.secret)
			if !test.ok {
				if fault.KindOf(err) != fault.Unauthorized || token != "" {
					t.Fatalf("got token %q and error %v, want none and unauthorized", token, err)
				}
				want := "the client id or the client secret is wrong"
				if diff := cmp.Diff(want, err.Error()); diff != "" {
					t.Errorf("every refusal reads the same (-want +got):\n%s", diff)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if expiresIn != 10800*time.Second {
				t.Errorf("got lifetime %v, want 3 hours", expiresIn)
			}
			got, err := made.Verify(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			want := identity.Caller{OrgID: "org_1", Machine: true, ID: "client_1"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("caller (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTokenIsTheOnePublished(t *testing.T) {
	t.Parallel()
	token, _, err := tokens(t, config(start)).Issue("client_1", current)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("got %d parts, want 3", len(parts))
	}
	var header, body map[string]any
	for i, into := range []*map[string]any{&header, &body} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	kid, _ := header["kid"].(string)
	if header["alg"] != "HS256" || kid == "" {
		t.Errorf("got header %v, want HS256 and a kid", header)
	}
	want := map[string]any{
		"sub": "client_1", "orgId": "org_1", "isMachine": true,
		"iat": float64(start.Unix()), "exp": float64(start.Unix() + 10800),
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if strings.Contains(token, current) {
		t.Error("the token holds the client secret")
	}
}

func TestRotatingTheSecretEndsNoSession(t *testing.T) {
	t.Parallel()
	token, _, err := tokens(t, config(start)).Issue("client_1", current)
	if err != nil {
		t.Fatal(err)
	}
	rotated := config(start)
	rotated.Secrets = []string{"quite-another-secret-of-the-client-1"}
	if _, err := tokens(t, rotated).Verify(t.Context(), token); err != nil {
		t.Errorf("got %v, want the token to stay valid", err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	made := tokens(t, config(start))
	good, err := made.Sign()
	if err != nil {
		t.Fatal(err)
	}
	parsed, _, err := jwt.NewParser().ParseUnverified(good, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	kid, _ := parsed.Header["kid"].(string)
	// forge makes a token as somebody who knows everything but, unless told, the key.
	forge := func(method jwt.SigningMethod, key any, change func(jwt.MapClaims, map[string]any)) string {
		claims := jwt.MapClaims{
			"sub": "client_1", "orgId": "org_1", "isMachine": true,
			"iat": start.Unix(), "exp": start.Unix() + 60,
		}
		token := jwt.NewWithClaims(method, claims)
		token.Header["kid"] = kid
		if change != nil {
			change(claims, token.Header)
		}
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	other := config(start)
	other.Key = key("o")
	foreign, err := tokens(t, other).Sign()
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	lastChanged := good[:len(good)-1] + string('A'+(good[len(good)-1]-'A'+1)%26)

	const invalid = "the access token is not valid"
	tests := map[string]struct {
		token, message string
	}{
		"empty":               {"", invalid},
		"no token":            {"abc", invalid},
		"two parts":           {parts[0] + "." + parts[1], invalid},
		"no signature":        {parts[0] + "." + parts[1] + ".", invalid},
		"changed signature":   {lastChanged, invalid},
		"four parts":          {good + ".x", invalid},
		"a space behind":      {good + " ", invalid},
		"longer than allowed": {strings.Repeat("a", 1<<20), invalid},
		"another key":         {foreign, invalid},
		"another key, our kid": {
			forge(jwt.SigningMethodHS256, key("o"), nil), invalid,
		},
		"alg none": {
			forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil), invalid,
		},
		"HS512 with the right key": {forge(jwt.SigningMethodHS512, key("k"), nil), invalid},
		"no kid": {
			forge(jwt.SigningMethodHS256, key("k"), func(_ jwt.MapClaims, h map[string]any) { delete(h, "kid") }), invalid,
		},
		"kid is no string": {
			forge(jwt.SigningMethodHS256, key("k"), func(_ jwt.MapClaims, h map[string]any) { h["kid"] = 1 }), invalid,
		},
		"no expiry": {
			forge(jwt.SigningMethodHS256, key("k"), func(c jwt.MapClaims, _ map[string]any) { delete(c, "exp") }), invalid,
		},
		"issued in the future": {
			forge(jwt.SigningMethodHS256, key("k"), func(c jwt.MapClaims, _ map[string]any) { c["iat"] = start.Unix() + 30 }), invalid,
		},
		"another organization": {
			forge(jwt.SigningMethodHS256, key("k"), func(c jwt.MapClaims, _ map[string]any) { c["orgId"] = "org_2" }), invalid,
		},
		"no machine": {
			forge(jwt.SigningMethodHS256, key("k"), func(c jwt.MapClaims, _ map[string]any) { c["isMachine"] = false }), invalid,
		},
		"a machine, of one call": {
			forge(jwt.SigningMethodHS256, key("k"), func(c jwt.MapClaims, _ map[string]any) { c["call"] = map[string]any{"method": "GET", "path": "/"} }), invalid,
		},
		"no subject": {
			forge(jwt.SigningMethodHS256, key("k"), func(c jwt.MapClaims, _ map[string]any) { delete(c, "sub") }), invalid,
		},
		"claims of the wrong type": {
			forge(jwt.SigningMethodHS256, key("k"), func(c jwt.MapClaims, _ map[string]any) { c["orgId"] = []int{1} }), invalid,
		},
		"expired": {
			forge(jwt.SigningMethodHS256, key("k"), func(c jwt.MapClaims, _ map[string]any) { c["exp"] = start.Unix() - 10 }),
			"the access token has expired",
		},
		"expired and forged": {
			forge(jwt.SigningMethodHS256, key("o"), func(c jwt.MapClaims, _ map[string]any) { c["exp"] = start.Unix() - 10 }), invalid,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller, err := made.Verify(t.Context(), test.token)
			var f *fault.Error
			if !errors.As(err, &f) || f.Kind != fault.Unauthorized {
				t.Fatalf("got %+v and %v, want unauthorized", caller, err)
			}
			if diff := cmp.Diff(test.message, f.Message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if caller != (identity.Caller{}) {
				t.Errorf("got caller %+v beside the error", caller)
			}
		})
	}
	if _, err := made.Verify(t.Context(), good); err != nil {
		t.Errorf("the token that the others were made from is refused: %v", err)
	}
	if _, err := made.Verify(t.Context(), forge(jwt.SigningMethodHS256, key("k"), nil)); err != nil {
		t.Errorf("forge with the right key and nothing changed is refused: %v", err)
	}
}

func TestVerifyAllowsClocksToDifferALittle(t *testing.T) {
	t.Parallel()
	token, err := tokens(t, config(start)).Sign()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		at time.Time
		ok bool
	}{
		"3 s before it was issued":  {start.Add(-3 * time.Second), true},
		"10 s before it was issued": {start.Add(-10 * time.Second), false},
		"3 s after its end":         {start.Add(identity.Lifetime + 3*time.Second), true},
		"10 s after its end":        {start.Add(identity.Lifetime + 10*time.Second), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := tokens(t, config(test.at)).Verify(t.Context(), token); (err == nil) != test.ok {
				t.Errorf("got %v, want accepted %v", err, test.ok)
			}
		})
	}
}

func TestNewTokensNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := identity.NewTokens(identity.Config{Key: []byte("short")})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"organization's id", "client id", "5 bytes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to name %q", err, want)
		}
	}
}

// A token that was found valid is not valid for ever.
func TestAcceptedTokenExpires(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	tokens, err := identity.NewTokens(identity.Config{
		OrgID: "org_1", ClientID: "client_1", Key: key("k"), Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Sign()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := tokens.Verify(t.Context(), token); err != nil {
			t.Fatalf("fresh token: %v", err)
		}
	}
	now = now.Add(identity.Lifetime + time.Minute)
	for range 2 {
		if _, err := tokens.Verify(t.Context(), token); fault.KindOf(err) != fault.Unauthorized {
			t.Errorf("old token: %v, want unauthorized", err)
		}
	}
}
