package gitlab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	gitlabapi "github.com/xanzy/go-gitlab"

	"longshore/pkg/backend"
	"longshore/pkg/egress"
)

// exchange is one request and its answer: the transport under go-gitlab's client, which judges no
// answer by itself then, nor waits nor repeats.
type exchange struct {
	guarded *egress.Client
	// request is set once it is made.
	request *http.Request
	// resp is the answer's head, nil while there is none; body is what came behind it.
	resp *http.Response
	body []byte
	// err is why there is no answer, or not all of it.
	err error
	// wrote says that GitLab may have seen the request.
	wrote atomic.Bool
}

// unlimited is go-gitlab's limiter: when to ask again is the run's to decide.
type unlimited struct{}

func (unlimited) Wait(context.Context) error { return nil }

// ask makes one request; what came of it stands in the exchange. The token may be empty.
func (b *Backend) ask(ctx context.Context, token, verb, path string, body any) *exchange {
	x := &exchange{guarded: b.c.Client}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	//nolint:staticcheck // Frozen in favour of a module of GitLab's own; what is used of it will not change.
	client, err := gitlabapi.NewClient(token,
		gitlabapi.WithBaseURL(b.c.URL), gitlabapi.WithoutRetries(), gitlabapi.WithCustomLimiter(unlimited{}),
		gitlabapi.WithHTTPClient(&http.Client{Transport: x, CheckRedirect: stay}))
	if err != nil {
		return x
	}
	client.UserAgent = "Longshore/" + b.c.Version
	request, err := client.NewRequest(verb, path, body, []gitlabapi.RequestOptionFunc{gitlabapi.WithContext(ctx)})
	if err != nil {
		return x
	}
	// The exchange knows more than the error, which holds the URL.
	_, _ = client.Do(request, nil)
	return x
}

// errTooLarge is an answer over the limit.
var errTooLarge = &egress.Error{Sentence: "the answer is larger than 8 MiB"}

// RoundTrip implements http.RoundTripper.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	x.request = req
	traced := req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{WroteHeaders: func() { x.wrote.Store(true) }}))
	resp, err := x.guarded.Do(traced)
	if err != nil {
		x.err = err
		return nil, err
	}
	defer resp.Body.Close()
	x.resp = resp
	// Behind a 101 comes no answer.
	if resp.StatusCode >= 200 {
		var more bool
		x.body, more, x.err = egress.ReadUpTo(resp.Body, maxAnswer)
		if more {
			x.err = errTooLarge
		}
	}
	shown := *resp
	shown.Body = io.NopCloser(bytes.NewReader(x.body))
	return &shown, nil
}

// outcome says what the answer means. Of GitLab's own message it keeps what holds none of the secrets.
func (x *exchange) outcome(now time.Time, secrets []string) backend.Outcome {
	if x.resp == nil {
		if x.err == nil {
			return backend.Refuse("the request could not be made")
		}
		return backend.Fault(x.err)
	}
	o := backend.Answer(x.resp, x.request.URL, now)
	if o.StatusCode >= 200 && o.StatusCode <= 299 {
		if x.err != nil {
			cut := backend.Fault(x.err)
			cut.StatusCode = o.StatusCode
			cut.NoAnswer = cut.NoAnswer && !errors.Is(x.err, errTooLarge)
			return cut
		}
		return o
	}
	if text := message(x.body, secrets); text != "" {
		o.Error += ": " + text
	}
	if o.StatusCode == http.StatusTooManyRequests {
		if o.RetryAfter == 0 {
			// GitLab says in seconds since the epoch when its limit is set back ("Rate limits", headers).
			o.RetryAfter = reset(x.resp.Header.Get("Ratelimit-Reset"), now)
		}
		o.Limited = o.RetryAfter > 0
	}
	return o
}

// answered reports whether there is a whole answer of 2xx.
func (x *exchange) answered() bool {
	return x.resp != nil && x.resp.StatusCode >= 200 && x.resp.StatusCode <= 299 && x.err == nil
}

// unknown reports whether GitLab may have done what it did not answer that it did. A 429 is given
// before anything is done.
func (x *exchange) unknown() bool {
	if x.resp == nil {
		return x.wrote.Load()
	}
	return x.resp.StatusCode >= 500 || x.resp.StatusCode <= 299
}
