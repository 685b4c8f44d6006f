// Package signature signs what Longshore sends and verifies what a receiver got: Port's two
// headers, and those of Standard Webhooks.
//
// It is pure: no clock, no network, no state. Secrets are compared in constant time, and no error
// holds a secret, a signature or a body.
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Header names. Port documents its two under "Webhook", "Validating webhook signatures"; the other
// three are those of the Standard Webhooks specification, "Webhook headers".
const (
	PortTimestamp     = "X-Port-Timestamp"
	PortSignature     = "X-Port-Signature"
	StandardID        = "Webhook-Id"
	StandardTimestamp = "Webhook-Timestamp"
	StandardSignature = "Webhook-Signature"
)

// version stands in front of every signature, separated by a comma.
const version = "v1"

// What is wrong with a signature.
var (
	// ErrMissing is a request without the headers that its signature needs.
	ErrMissing = errors.New("the signature headers are missing")
	// ErrTimestamp is a timestamp that is not a whole number of seconds since the epoch.
	ErrTimestamp = errors.New("the timestamp is not a number of seconds since 1970")
	// ErrTolerance is a timestamp further from the present than was allowed.
	ErrTolerance = errors.New("the timestamp is too far from the present")
	// ErrMismatch is a signature made with another secret, or over another timestamp or body.
	ErrMismatch = errors.New("the signature does not match")
	// ErrNoSecret is a client secret without a byte, which anybody could sign with.
	ErrNoSecret = errors.New("the client secret is empty")
)

// Secrets are the client secrets that are valid at once: for a day after a rotation there are two.
type Secrets struct {
	Current string
	// Previous is empty when there is only one.
	Previous string
}

// Set writes all signature headers of a request, in place of any that are there. The body is signed byte for byte; nil signs
// nothing after the dot. Id is the run's. Port's header can carry one signature, the current
// secret's; Standard Webhooks' carries one for each valid secret, the current one first. The only
// error is ErrNoSecret.
func Set(h http.Header, s Secrets, id string, at time.Time, body []byte) error {
	if s.Current == "" {
		return ErrNoSecret
	}
	seconds := strconv.FormatInt(at.Unix(), 10)
	signatures := standard(s.Current, id, seconds, body)
	if s.Previous != "" && s.Previous != s.Current {
		signatures += " " + standard(s.Previous, id, seconds, body)
	}
	h.Set(PortTimestamp, seconds)
	h.Set(PortSignature, Port(s.Current, seconds, body))
	h.Set(StandardID, id)
	h.Set(StandardTimestamp, seconds)
	h.Set(StandardSignature, signatures)
	return nil
}

// Port returns the value of x-port-signature: "v1," and the standard base64, with padding, of
// HMAC-SHA256 under the client secret over timestamp, a dot and the body.
func Port(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return version + "," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// StandardSecret returns a client secret as libraries of Standard Webhooks take it: "whsec_" and
// the standard base64 of its bytes.
func StandardSecret(secret string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret))
}

// standard returns a signature of Standard Webhooks: "v1," and the base64 of HMAC-SHA256 under the client
// secret over id, timestamp and body, with dots between. Its library would copy the body twice.
func standard(secret, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return version + "," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Check says how strictly a signature is verified.
type Check struct {
	// Now is the present; it matters with a Tolerance only.
	Now time.Time
	// Tolerance is how far before or after Now the timestamp may lie; 0 accepts any.
	Tolerance time.Duration
}

// VerifyPort checks x-port-timestamp and x-port-signature of a request that somebody with the
// client secret is said to have sent. It returns nil or one of this package's errors.
func VerifyPort(h http.Header, secret string, body []byte, c Check) error {
	timestamp, given := h.Get(PortTimestamp), h.Get(PortSignature)
	if err := c.check(secret, timestamp, given); err != nil {
		return err
	}
	if !hmac.Equal([]byte(given), []byte(Port(secret, timestamp, body))) {
		return ErrMismatch
	}
	return nil
}

// VerifyStandard checks the headers of Standard Webhooks; any one signature that matches will do.
// It returns nil or one of this package's errors.
func VerifyStandard(h http.Header, secret string, body []byte, c Check) error {
	if h.Get(StandardID) == "" {
		return ErrMissing
	}
	if err := c.check(secret, h.Get(StandardTimestamp), h.Get(StandardSignature)); err != nil {
		return err
	}
	w, err := standardwebhooks.NewWebhook(StandardSecret(secret))
	if err != nil {
		return fmt.Errorf("read the client secret: %w", err)
	}
	if w.VerifyIgnoringTimestamp(body, h) != nil {
		return ErrMismatch
	}
	return nil
}

func (c Check) check(secret, timestamp, given string) error {
	if secret == "" {
		return ErrNoSecret
	}
	if timestamp == "" || given == "" {
		return ErrMissing
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return ErrTimestamp
	}
	if c.Tolerance > 0 {
		// Compared as seconds: the difference of two far times overflows a Duration.
		distance := float64(c.Now.Unix()) - float64(seconds)
		if max(distance, -distance) > c.Tolerance.Seconds() {
			return ErrTolerance
		}
	}
	return nil
}
