package oidc_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"longshore/pkg/fault"
	"longshore/pkg/identity/oidc"
)

const (
	invalid    = "the access token is not valid"
	expired    = "the access token has expired"
	otherAud   = "the access token is for another audience"
	noEmail    = "the access token has no e-mail"
	otherIss   = "the access token is of another issuer"
	unknownKey = "the access token is signed with a key that the identity provider does not publish"
	unverified = "the access token does not say that its e-mail is verified"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, public("rsa"), public("p256"), public("p384"), public("p521"), public("weak"),
		public("other", func(k *jose.JSONWebKey) { k.KeyID, k.Use = "sealing", "enc" }),
		public("p256", func(k *jose.JSONWebKey) { k.KeyID, k.Algorithm = "only-es256", "ES256" }),
		public("rsa", func(k *jose.JSONWebKey) { k.KeyID, k.Algorithm = "only-rs512", "RS512" }),
		jose.JSONWebKey{Key: []byte("a shared secret that has 32 bytes"), KeyID: "shared"})
	p := i.provider(t)
	keys := signing()
	rs256, es256 := jwt.SigningMethodRS256, jwt.SigningMethodES256
	// with signs what edit makes of good claims.
	with := func(edit func(jwt.MapClaims)) string {
		c := i.claims()
		edit(c)
		return sign(t, es256, keys["p256"], "p256", c)
	}
	set := func(name string, value any) string { return with(func(c jwt.MapClaims) { c[name] = value }) }
	without := func(name string) string { return with(func(c jwt.MapClaims) { delete(c, name) }) }
	at := func(name string, d time.Duration) string { return set(name, start.Add(d).Unix()) }
	der, err := x509.MarshalPKIXPublicKey(keys["rsa"].Public())
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good := i.good(t, "p256")
	parts := strings.Split(good, ".")
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

	tests := map[string]struct {
		token string
		// message is empty for a token that is believed.
		message string
	}{
		"RS256":                        {i.good(t, "rsa"), ""},
		"RS384":                        {sign(t, jwt.SigningMethodRS384, keys["rsa"], "rsa", i.claims()), ""},
		"RS512":                        {sign(t, jwt.SigningMethodRS512, keys["rsa"], "rsa", i.claims()), ""},
		"ES256":                        {good, ""},
		"ES384":                        {i.good(t, "p384"), ""},
		"ES512":                        {i.good(t, "p521"), ""},
		"a key with its algorithm":     {sign(t, es256, keys["p256"], "only-es256", i.claims()), ""},
		"a key with another algorithm": {sign(t, rs256, keys["rsa"], "only-rs512", i.claims()), unknownKey},
		"no key id":                    {sign(t, es256, keys["p256"], "", i.claims()), ""},
		"no key id, another key":       {sign(t, es256, keys["other"], "", i.claims()), invalid},
		"a key id that is no text":     {sign(t, es256, keys["p256"], "", i.claims(), "kid", 1), invalid},
		"an empty key id":              {sign(t, es256, keys["p256"], "", i.claims(), "kid", ""), invalid},
		"the key id of another key":    {sign(t, es256, keys["p256"], "p384", i.claims()), unknownKey},
		"an unknown key id":            {sign(t, es256, keys["p256"], "unknown", i.claims()), unknownKey},
		"another key":                  {sign(t, es256, keys["other"], "p256", i.claims()), invalid},
		"a key that is not for signing": {
			sign(t, es256, keys["other"], "sealing", i.claims()), unknownKey,
		},
		"an RSA key of 1024 bits": {i.good(t, "weak"), unknownKey},
		"PS256":                   {sign(t, jwt.SigningMethodPS256, keys["rsa"], "rsa", i.claims()), invalid},
		"alg none":                {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "p256", i.claims()), invalid},
		"alg None, no signature": {
			encode(`{"alg":"None","kid":"p256"}`) + "." + parts[1] + ".", invalid,
		},
		"HS256 with the public key's PEM": {sign(t, jwt.SigningMethodHS256, publicPEM, "rsa", i.claims()), invalid},
		"HS256 with the public key's DER": {sign(t, jwt.SigningMethodHS256, der, "rsa", i.claims()), invalid},
		"HS256 with the modulus": {
			sign(t, jwt.SigningMethodHS256, keys["rsa"].Public().(*rsa.PublicKey).N.Bytes(), "rsa", i.claims()), invalid,
		},
		"HS256 with a published secret": {
			sign(t, jwt.SigningMethodHS256, []byte("a shared secret that has 32 bytes"), "shared", i.claims()), invalid,
		},
		"a key of its own in the header": {
			sign(t, es256, keys["other"], "p256", i.claims(), "jwk", public("other")), invalid,
		},
		"an address of keys in the header": {
			sign(t, es256, keys["other"], "unknown", i.claims(), "jku", i.URL+"/keys"), unknownKey,
		},
		"a critical extension": {sign(t, es256, keys["p256"], "p256", i.claims(), "crit", []string{"b64"}), invalid},
		"another's claims": {
			parts[0] + "." + encode(`{"iss":"`+i.URL+`","aud":"longshore","exp":4102444800,"email":"eve@example.com","email_verified":true}`) + "." + parts[2], invalid,
		},
		"no signature":      {parts[0] + "." + parts[1] + ".", invalid},
		"two parts":         {parts[0] + "." + parts[1], invalid},
		"no token":          {"x", invalid},
		"empty":             {"", invalid},
		"17 KiB of nothing": {strings.Repeat("a", 17<<10), invalid},

		"audiences":                 {set("aud", []string{"portal", audience}), ""},
		"another audience":          {set("aud", "portal"), otherAud},
		"other audiences":           {set("aud", []string{"portal", audience + "2"}), otherAud},
		"the audience as a prefix":  {set("aud", "long"), otherAud},
		"no audience":               {without("aud"), invalid},
		"an empty list of them":     {set("aud", []string{}), invalid},
		"an audience of a number":   {set("aud", 1), invalid},
		"another issuer":            {set("iss", "https://evil.example.com"), otherIss},
		"the issuer with a slash":   {set("iss", i.URL+"/"), otherIss},
		"no issuer":                 {without("iss"), otherIss},
		"a list of issuers":         {set("iss", []string{i.URL}), invalid},
		"expired a minute ago":      {at("exp", -59*time.Second), ""},
		"expired":                   {at("exp", -61*time.Second), expired},
		"no expiry":                 {without("exp"), invalid},
		"an expiry that is a text":  {set("exp", "2030-01-01T00:00:00Z"), invalid},
		"valid in a minute":         {at("nbf", 59*time.Second), ""},
		"not valid yet":             {at("nbf", 61*time.Second), invalid},
		"issued in a minute":        {at("iat", 59*time.Second), ""},
		"issued in the future":      {at("iat", 61*time.Second), invalid},
		"no e-mail":                 {without("email"), noEmail},
		"an empty e-mail":           {set("email", ""), noEmail},
		"an e-mail of 1,000 bytes":  {set("email", strings.Repeat("a", 988)+"@example.com"), noEmail},
		"an e-mail that is a list":  {set("email", []string{"ada@example.com"}), invalid},
		"verified false":            {set("email_verified", false), unverified},
		"verified absent":           {without("email_verified"), unverified},
		"verified null":             {set("email_verified", nil), unverified},
		`verified "true"`:           {set("email_verified", "true"), unverified},
		"verified 1":                {set("email_verified", 1), unverified},
		"expired and another's key": {sign(t, es256, keys["other"], "p256", jwt.MapClaims{"iss": i.URL, "aud": audience, "exp": 1}), invalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			email, err := p.Verify(t.Context(), test.token)
			if test.message == "" {
				if err != nil || email != "ada@example.com" {
					t.Fatalf("got %q, %v, want ada@example.com", email, err)
				}
				return
			}
			var f *fault.Error
			if !errors.As(err, &f) || f.Kind != fault.Unauthorized || email != "" {
				t.Fatalf("got %q, %v, want it unauthorized", email, err)
			}
			if f.Message != test.message {
				t.Errorf("got %q (%v), want %q", f.Message, err, test.message)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config oidc.Config
		// holds are in the error; empty for a good one.
		holds []string
	}{
		"good":                        {oidc.Config{Issuer: "https://idp.example.com/realms/a", Audience: "a"}, nil},
		"with the keys' address":      {oidc.Config{Issuer: "https://idp.example.com", Audience: "a", JWKSURL: "https://10.0.0.1:8443/keys"}, nil},
		"on this machine":             {oidc.Config{Issuer: "http://localhost:8080", Audience: "a", JWKSURL: "http://[::1]:8080/keys"}, nil},
		"nothing":                     {oidc.Config{}, []string{"the issuer", "the audience"}},
		"plain HTTP":                  {oidc.Config{Issuer: "http://idp.example.com", Audience: "a"}, []string{"must begin with https://"}},
		"keys over plain HTTP":        {oidc.Config{Issuer: "https://idp.example.com", Audience: "a", JWKSURL: "http://idp.example.com/keys"}, []string{"the address of the keys"}},
		"a host alone":                {oidc.Config{Issuer: "idp.example.com", Audience: "a"}, []string{"https://host/path"}},
		"a password":                  {oidc.Config{Issuer: "https://u:p@idp.example.com", Audience: "a"}, []string{"https://host/path"}},
		"another scheme":              {oidc.Config{Issuer: "ftp://idp.example.com", Audience: "a"}, []string{"must begin with https://"}},
		"everything that is wrong":    {oidc.Config{Issuer: "x", JWKSURL: "y"}, []string{"the issuer", "the audience", "the address of the keys"}},
		"a host that none resolves":   {oidc.Config{Issuer: "https://idp..example.com", Audience: "a"}, []string{"host name"}},
		"a host of letters like ours": {oidc.Config{Issuer: "https://idр.example.com", Audience: "a"}, []string{"ASCII"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := oidc.NewGuarded(test.config)
			if (err == nil) != (test.holds == nil) {
				t.Fatalf("got %v", err)
			}
			for _, holds := range test.holds {
				if !strings.Contains(err.Error(), holds) {
					t.Errorf("got %v, want it to hold %q", err, holds)
				}
			}
		})
	}
}
