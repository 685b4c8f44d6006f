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
		// What anybody could make: the HMAC under an empty key.
		{"no previous secret", "sha256=2bbcfa9524f3218c7a34b30e6936f8b1a4516cb097f1a85a1c7d98b5977ec769", signature.Secrets{Current: secret}, body, signature.ErrMismatch},
		{"no secret", "sha256=2bbcfa9524f3218c7a34b30e6936f8b1a4516cb097f1a85a1c7d98b5977ec769", signature.Secrets{}, body, signature.ErrNoSecret},
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
