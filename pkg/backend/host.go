package backend

import (
	"net/http"
	"net/url"
	"strings"

	"longshore/pkg/breaker"
	"longshore/pkg/egress"
	"longshore/pkg/run"
)

// Hoster is a Backend whose calls all go to one host. Those of any other go where invocation.Host says.
type Hoster interface {
	// Host is scheme, host and port; empty for none.
	Host() string
}

// HostOf is the host of a URL, as invocation.Host writes it.
func HostOf(u *url.URL) string { return strings.ToLower(u.Scheme + "://" + egress.HostPort(u)) }

// Result is what an attempt says about its host: any answer below 500 is one of a host that works.
func (o Outcome) Result() breaker.Result {
	switch {
	case o.NoAnswer, o.StatusCode >= http.StatusInternalServerError:
		return breaker.Failed
	case o.StatusCode != 0, o.Verdict == run.Deliver, o.Verdict == run.Succeed:
		return breaker.Answered
	}
	return breaker.Nothing
}

// Found is what a look-up says about its host.
func Found(f run.Finding) breaker.Result {
	switch {
	case f.NoAnswer:
		return breaker.Failed
	case f.Waiting == "":
		return breaker.Answered
	}
	return breaker.Nothing
}
