package github

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	gogithub "github.com/google/go-github/v62/github"

	"longshore/pkg/backend"
	"longshore/pkg/egress"
	"longshore/pkg/run"
)

const (
	// secondaryWait is the least wait that GitHub asks for after a secondary rate limit that names no
	// time ("Rate limits for the REST API").
	secondaryWait = time.Minute
	// maxMessage is how much of GitHub's own message is repeated, in bytes.
	maxMessage = 500
)

// failure says what a call means that was not answered with 2xx: the verdict table of backend.Answer,
// but for rate limits, which are waited for, and with GitHub's own message behind a 4xx.
func (s *session) failure(ctx context.Context, resp *gogithub.Response, err error) backend.Outcome {
	var fault *egress.Error
	if resp == nil || resp.Response == nil || resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		o := backend.Fault(err)
		switch {
		case errors.As(err, &fault):
		case ctx.Err() != nil:
			o.Error = egress.HostPort(s.backend.base) + " did not answer in time"
			o.NoAnswer = true
		case resp != nil && resp.Response != nil:
			o.StatusCode = resp.StatusCode
			o.Error = "GitHub's answer cannot be read"
			if errors.Is(err, errTooLong) {
				o.Error = "GitHub's answer is too long"
			}
		}
		return o
	}
	now := s.backend.c.Now()
	if location, ok := resp.Header[hiddenLocation]; ok {
		resp.Header["Location"] = location
	}
	o := backend.Answer(resp.Response, s.backend.base, now)
	message, wait, limited := s.limit(resp, err, now)
	if limited {
		o.Verdict, o.Limited = run.Retry, true
		o.RetryAfter = min(max(wait, o.RetryAfter), backend.MaxRetryAfter)
		o.Error += ": a rate limit of GitHub's is reached until " + now.Add(o.RetryAfter).UTC().Format("15:04:05") + " UTC"
		return o
	}
	if o.StatusCode >= 400 && o.StatusCode <= 499 && message != "" {
		o.Error += ": " + message
	}
	switch {
	case o.StatusCode == http.StatusUnauthorized:
		// The next call begins with a new token of the App.
		s.forget()
		o.Error += "; have the credentials of GitHub expired, or been revoked?"
	case o.StatusCode == http.StatusForbidden:
		o.Error += "; do the credentials have the permission to write actions?"
	case o.StatusCode >= 300 && o.StatusCode <= 399 && o.Verdict == run.Fail:
		o.Error += "; was the repository renamed or moved?"
	}
	return o
}

// limit returns GitHub's message, and whether the answer is one of a rate limit and for how long.
func (s *session) limit(resp *gogithub.Response, err error, now time.Time) (message string, wait time.Duration, limited bool) {
	var (
		primary   *gogithub.RateLimitError
		secondary *gogithub.AbuseRateLimitError
		other     *gogithub.ErrorResponse
		reset     time.Time
	)
	switch {
	case errors.As(err, &primary):
		limited, reset = true, primary.Rate.Reset.Time
	case errors.As(err, &secondary):
		limited = true
		if secondary.RetryAfter != nil {
			wait = *secondary.RetryAfter
		}
	case errors.As(err, &other):
		message = s.clean(sentence(other))
		if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusTooManyRequests {
			break
		}
		if resp.Header.Get("X-RateLimit-Remaining") == "0" {
			seconds, _ := strconv.ParseInt(resp.Header.Get("X-RateLimit-Reset"), 10, 64)
			limited, reset = true, time.Unix(seconds, 0)
			break
		}
		wait = backend.RetryAfter(resp.Header.Get("Retry-After"), now)
		limited = wait > 0 || strings.Contains(strings.ToLower(message), "rate limit")
	}
	if reset.After(now.Add(-skew)) {
		// A reset in this very second is waited for as well.
		wait = max(reset.Sub(now), time.Second)
	}
	if limited && wait <= 0 {
		wait = secondaryWait
	}
	return message, wait, limited
}

// sentence is GitHub's message with what it says of single faults.
func sentence(e *gogithub.ErrorResponse) string {
	parts := []string{e.Message}
	for _, fault := range e.Errors {
		if fault.Message != "" && fault.Message != e.Message {
			parts = append(parts, fault.Message)
		}
	}
	return strings.Join(parts, "; ")
}

// token is what GitHub's tokens and the App's own look like.
var token = regexp.MustCompile(`gh[a-z]_[A-Za-z0-9_]{8,}|github_pat_[A-Za-z0-9_]{8,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]+`)

// clean makes a text of GitHub's fit for an error: one line, bounded, without credentials.
func (s *session) clean(text string) string {
	for _, secret := range s.access.credentials.tokens() {
		if len(secret) >= 4 {
			text = strings.ReplaceAll(text, secret, "******")
		}
	}
	text = token.ReplaceAllString(text, "******")
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, ""), func(r rune) bool {
		return r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\uFFFD'
	}), " ")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}

// maybeSent reports whether a request that got no answer may have reached GitHub. It has not when no
// connection came about.
func maybeSent(err error) bool {
	var (
		fault       *egress.Error
		dns         *net.DNSError
		op          *net.OpError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &fault) && fault.Refused, errors.As(err, &dns), errors.As(err, &certificate), errors.As(err, &record):
		return false
	}
	return !errors.As(err, &op) || op.Op != "dial"
}
