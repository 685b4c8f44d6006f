package backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"longshore/pkg/egress"
	"longshore/pkg/run"
)

// MaxRetryAfter is the longest wait that a target may ask for.
const MaxRetryAfter = time.Hour

// DeliveryFailed is the status label of a run that ends because its delivery can no longer succeed.
const DeliveryFailed = "delivery failed"

// Answer says what the status of an HTTP answer means for a delivery:
//
//	2xx                      Deliver
//	408, 425, 429, 5xx       Retry, after Retry-After where the target sends it
//	everything else          Fail: 3xx too, since redirects are not followed
//
// Requested is the URL that was called, for a Location without a host; now is what an HTTP date in
// Retry-After is compared with.
func Answer(resp *http.Response, requested *url.URL, now time.Time) Outcome {
	code := resp.StatusCode
	o := Outcome{StatusCode: code}
	if code >= 200 && code <= 299 {
		o.Verdict = run.Deliver
		return o
	}
	o.StatusLabel = DeliveryFailed
	// The target's own reason phrase may hold anything; ours is the registered one.
	o.Error = strings.TrimSpace(fmt.Sprintf("the target answered %d %s", code, http.StatusText(code)))
	switch {
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests,
		code >= 500 && code <= 599:
		o.Verdict = run.Retry
		o.RetryAfter = RetryAfter(resp.Header.Get("Retry-After"), now)
	case code >= 300 && code <= 399:
		o.Verdict = run.Fail
		if host := locationHost(resp.Header.Get("Location"), requested); host != "" {
			o.Error += ", which points to " + host
		}
		o.Error += "; redirects are not followed"
	default:
		o.Verdict = run.Fail
	}
	return o
}

// Fault says what a call without a whole answer means for a delivery: Fail if the egress guard
// refused it, else Retry. Err is what egress.Client.Do or reading an answer's body returned; the
// text of any other error is left out.
func Fault(err error) Outcome {
	o := Outcome{Verdict: run.Retry, Error: "the call failed", StatusLabel: DeliveryFailed}
	var e *egress.Error
	if errors.As(err, &e) {
		o.Error = e.Sentence
		// A call that this process gave up says nothing about its target.
		o.NoAnswer = !e.Refused && !errors.Is(err, context.Canceled)
		if e.Refused {
			o.Verdict = run.Fail
		}
	}
	return o
}

// Refuse is the outcome of an invocation that cannot be carried out, now or later. The sentence
// holds nothing of the invocation that could be a secret.
func Refuse(sentence string) Outcome {
	return Outcome{Verdict: run.Fail, Error: sentence, StatusLabel: DeliveryFailed}
}

// RetryAfter reads the header's value, whole seconds or an HTTP date (RFC 9110, section 10.2.3), as
// the time from now, at most MaxRetryAfter. It is 0 for no value, one that is neither, and a moment
// that has passed.
func RetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value != "" && strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return MaxRetryAfter
		}
		return min(time.Duration(seconds)*time.Second, MaxRetryAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	// Compared before it is subtracted: far dates overflow a Duration.
	if at.After(now.Add(MaxRetryAfter)) {
		return MaxRetryAfter
	}
	if at.Before(now) {
		return 0
	}
	return at.Sub(now)
}

// locationHost returns the host that a Location leads to, empty for none that can be read.
func locationHost(location string, requested *url.URL) string {
	if location == "" {
		return ""
	}
	u, err := requested.Parse(location)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	host := u.Hostname()
	if host == "" || len(host) > 253 || strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789.-_:") != "" {
		return ""
	}
	return host
}
