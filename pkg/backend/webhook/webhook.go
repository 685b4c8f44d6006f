// Package webhook delivers runs by HTTP, signed: type WEBHOOK.
//
// It promises that the bytes that are signed are the bytes that are sent, that one attempt is one
// request, and that nothing of the request or the answer but the target's host and status reaches
// the error of an outcome.
package webhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
	"longshore/pkg/run"
	"longshore/pkg/signature"
)

// Config is what a Backend needs. All but Own, CallTimeout and Now is required.
type Config struct {
	// Secrets returns the client secrets to sign with. It is asked at each call and caches by itself.
	Secrets func(context.Context) (signature.Secrets, error)
	Client  *egress.Client
	// Own makes calls of this deployment's own API; nil means that they are calls as any other.
	Own *Own
	// Version is Longshore's, for User-Agent.
	Version string
	// CallTimeout is backend.DefaultCallTimeout if it is 0.
	CallTimeout time.Duration
	// Now is time.Now if it is nil.
	Now func() time.Time
}

// Backend delivers invocations of type WEBHOOK. It is safe for concurrent use.
type Backend struct {
	c Config
}

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Preparer = (*Backend)(nil)
)

// New returns a backend.
func New(c Config) *Backend {
	if c.CallTimeout == 0 {
		c.CallTimeout = backend.DefaultCallTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Backend{c: c}
}

// Prepare implements backend.Preparer: without a secret to sign with nothing is sent.
func (b *Backend) Prepare(ctx context.Context) error {
	secrets, err := b.c.Secrets(ctx)
	if err == nil && secrets.Current == "" {
		err = signature.ErrNoSecret
	}
	if err != nil {
		return fmt.Errorf("read the client secret: %w", err)
	}
	return nil
}

// Call makes one attempt. A 2xx delivers the run, or ends it SUCCESS if the call is synchronized;
// then the answer is the outcome's response, with failures too.
func (b *Backend) Call(ctx context.Context, c backend.Call) backend.Outcome {
	ctx, cancel := context.WithTimeout(ctx, b.c.CallTimeout)
	defer cancel()
	if c.Invocation == nil || c.Invocation.Webhook == nil {
		return backend.Refuse("the run's invocation is no HTTP call")
	}
	w := c.Invocation.Webhook
	if w.Agent {
		return backend.Refuse("the call is to be made by an agent, never by Longshore")
	}
	secrets, err := b.c.Secrets(ctx)
	if err != nil {
		return backend.Outcome{Verdict: run.Retry, Error: "the client secret to sign with could not be read", StatusLabel: backend.DeliveryFailed}
	}
	req, refused := b.request(ctx, c.RunID, w, secrets)
	if refused != "" {
		return backend.Refuse(refused)
	}
	path, err := b.c.Own.authorize(ctx, c, w, req)
	if err != nil {
		return backend.Outcome{
			Verdict: run.Retry, Error: "the token for this deployment's own API could not be made",
			StatusLabel: backend.DeliveryFailed, Cause: err.Error(),
		}
	}
	resp, err := b.do(req, path)
	if err != nil {
		return backend.Fault(err)
	}
	defer resp.Body.Close()

	o := backend.Answer(resp, req.URL, b.c.Now())
	if path != "" {
		o.Error += why(resp)
	}
	if resp.StatusCode < 200 {
		// 101: what follows is no answer.
		return o
	}
	if !w.Synchronized {
		backend.Drain(resp.Body, cancel)
		return o
	}
	answer, more, err := egress.ReadUpTo(resp.Body, run.MaxResponse)
	o.Response = run.Response(answer, more || err != nil)
	if o.Verdict == run.Deliver {
		// The target has said that it is done: it is not asked again for the rest of its answer.
		o.Verdict = run.Succeed
	}
	return o
}

// request renders the call as an HTTP request, or says in a sentence why it cannot be made.
func (b *Backend) request(ctx context.Context, runID string, w *invocation.Webhook, secrets signature.Secrets) (req *http.Request, refused string) {
	u, err := url.Parse(w.URL)
	if err != nil {
		return nil, "the URL is not valid"
	}
	u.RawQuery = escape(u.RawQuery)
	var sent []byte
	var body io.Reader
	switch {
	case w.Body == nil:
	case w.Method == http.MethodGet:
		query, err := query(*w.Body)
		if err != nil {
			return nil, "the body of a GET must be an object, whose members go into the query"
		}
		if u.RawQuery != "" && query != "" {
			query = "&" + query
		}
		u.RawQuery += query
	default:
		sent = []byte(*w.Body)
		body = bytes.NewReader(sent)
	}
	req, err = http.NewRequestWithContext(ctx, w.Method, "", body)
	if err != nil {
		return nil, "the method is not valid"
	}
	req.URL, req.Host = u, ""

	for _, h := range w.Headers {
		switch name := http.CanonicalHeaderKey(h.Name); name {
		case "Host", "Content-Length", "Transfer-Encoding":
		default:
			req.Header[name] = append(req.Header[name], h.Value)
		}
	}
	backend.SetHeaders(ctx, req.Header, b.c.Version, runID, body != nil)
	// The signature's headers replace those of the action.
	if err := signature.Set(req.Header, secrets, runID, b.c.Now(), sent); err != nil {
		return nil, "the call cannot be signed: the client secret is empty"
	}
	return req, ""
}
