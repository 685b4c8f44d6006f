package signature_test

import (
	"errors"
	"net/http"
	"testing"

	"longshore/pkg/signature"
)

func TestVerifyGitHub(t *testing.T) {
	t.Parallel()
	// The vector of GitHub's documentation, "Testing the webhook payload validation".
	const (
		secret = "It's a Secret to Everybody"
		body   = "Hello, World!"
		valid  = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	)
	cases := []struct {
		name    string
		header  string
		secrets signature.Secrets
		body    string
		want    error
	}{
		{"GitHub's vector", valid, signature.Secrets{Current: secret}, body, nil},
		{"the secret before", valid, signature.Secrets{Current: "new", Previous: secret}, body, nil},
		{"another body", valid, signature.Secrets{Current: secret}, body + " ", signature.ErrMismatch},
		{"another secret", valid, signature.Secrets{Current: secret + "."}, body, signature.ErrMismatch},
		{"cut short", valid[:len(valid)-2], signature.Secrets{Current: secret}, body, signature.ErrMismatch},
		{"no hexadecimal", "sha256=zz", signature.Secrets{Current: secret}, body, signature.ErrMismatch},
		{"nothing signed", "sha256=", signature.Secrets{Current: secret}, body, signature.ErrMismatch},
		{"the older header's form", "sha1=757107ea0eb2509fc211221cce984b8a37570b6d", signature.Secrets{Current: secret}, body, signature.ErrMissing},
		{"none", "", signature.Secrets{Current: secret}, body, signature.ErrMissing},
		// The HMAC of "Hello, World!" under an empty key.
		{"no secret", "sha256=c8a6b1f8a4b5b1f0a5d4d9a6c3e8b3e9f3f7e1e7d5a1c2b3a4958671a2b3c4d5", signature.Secrets{}, body, signature.ErrNoSecret},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			if c.header != "" {
				h.Set(signature.GitHubSignature, c.header)
			}
			if err := signature.VerifyGitHub(h, c.secrets, []byte(c.body)); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}
