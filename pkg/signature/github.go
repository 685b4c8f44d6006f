package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// GitHubSignature is the header that GitHub signs its events in ("Validating webhook deliveries").
const GitHubSignature = "X-Hub-Signature-256"

// VerifyGitHub checks the signature of an event, in constant time: "sha256=" and the HMAC-SHA256 of
// the body in hexadecimal, made with any of the secrets; empty secrets match nothing. Errors:
// ErrMissing, ErrMismatch, ErrNoSecret when there is no secret to compare with.
func VerifyGitHub(h http.Header, s Secrets, body []byte) error {
	given, found := strings.CutPrefix(h.Get(GitHubSignature), "sha256=")
	if !found {
		return ErrMissing
	}
	if s.Current == "" && s.Previous == "" {
		return ErrNoSecret
	}
	digest, err := hex.DecodeString(given)
	if err != nil {
		return ErrMismatch
	}
	for _, secret := range []string{s.Current, s.Previous} {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		if secret != "" && hmac.Equal(mac.Sum(nil), digest) {
			return nil
		}
	}
	return ErrMismatch
}
