// Package azuredevops delivers runs to Azure DevOps' incoming webhooks, which start pipelines: type
// AZURE_DEVOPS.
//
// It promises that the bytes that are signed are the bytes that are sent, that one attempt is one
// request, and that nothing of the request or the answer but the host and the status reaches the error
// of an outcome. The pipeline itself reports how its run ends.
package azuredevops

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the digest that Azure's service connection checks
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/egress"
	"longshore/pkg/signature"
)

// DefaultURL is Azure's own service.
const DefaultURL = "https://dev.azure.com"

// apiVersion is that of the route of incoming webhooks ("Incoming WebHook" service connections).
const apiVersion = "6.0-preview"

// Config is what a Backend needs. All but URL, CallTimeout and Now is required.
type Config struct {
	// URL is the address of the service, or of a server without its collection, which stands where the service
	// has the organization; empty means DefaultURL.
	URL string
	// Secrets returns the client secrets to sign with. It is asked at each call and caches by itself.
	Secrets func(context.Context) (signature.Secrets, error)
	Client  *egress.Client
	// Version is Longshore's, for User-Agent.
	Version string
	// CallTimeout is backend.DefaultCallTimeout if it is 0.
	CallTimeout time.Duration
	// Now is time.Now if it is nil.
	Now func() time.Time
}

// Backend delivers invocations of type AZURE_DEVOPS. It is safe for concurrent use.
type Backend struct {
	c    Config
	base *url.URL
}

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Preparer = (*Backend)(nil)
	_ backend.Hoster   = (*Backend)(nil)
)

// New returns a backend; its error says what is wrong with the URL.
func New(c Config) (*Backend, error) {
	if c.URL == "" {
		c.URL = DefaultURL
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = backend.DefaultCallTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	base, err := url.Parse(c.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.RawQuery != "" || base.User != nil {
		return nil, errors.New("the URL of Azure DevOps must be http or https with a host, without credentials and query")
	}
	if base.Path == "" {
		base.Path = "/"
	}
	return &Backend{c: c, base: base}, nil
}

// Host implements backend.Hoster.
func (b *Backend) Host() string { return backend.HostOf(b.base) }

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

// method is the rendered invocation method.
type method struct {
	Org     string          `json:"org"`
	Webhook string          `json:"webhook"`
	Payload json.RawMessage `json:"payload"`
}

// Call makes one attempt. A 2xx delivers the run.
func (b *Backend) Call(ctx context.Context, c backend.Call) backend.Outcome {
	ctx, cancel := context.WithTimeout(ctx, b.c.CallTimeout)
	defer cancel()
	if c.Invocation == nil || c.Invocation.Type != "AZURE_DEVOPS" {
		return backend.Refuse("the run's invocation is none of Azure DevOps")
	}
	var m method
	if err := json.Unmarshal(c.Invocation.Payload, &m); err != nil {
		return backend.Refuse("the invocation cannot be read: org and webhook must be strings")
	}
	for _, name := range []struct{ field, value string }{{"org", m.Org}, {"webhook", m.Webhook}} {
		if name.value == "" || name.value == "." || name.value == ".." {
			return backend.Refuse("the invocation's " + name.field + " is no name")
		}
	}
	secrets, err := b.c.Secrets(ctx)
	if err != nil {
		return backend.Fault(err)
	}
	req, err := b.request(ctx, c.RunID, m, secrets)
	if err != nil {
		return backend.Refuse("the call cannot be signed: the client secret is empty")
	}
	resp, err := b.c.Client.Do(req)
	if err != nil {
		return backend.Fault(err)
	}
	defer resp.Body.Close()
	o := backend.Answer(resp, req.URL, b.c.Now())
	switch o.StatusCode {
	case http.StatusNotFound:
		o.Error += "; is there an incoming webhook service connection of that name in the organization?"
	case http.StatusUnauthorized, http.StatusForbidden:
		o.Error += "; does the service connection's secret equal the client secret, and its header name X-Port-Signature?"
	}
	if resp.StatusCode >= 200 {
		// Behind a 101 comes no answer.
		backend.Drain(resp.Body, cancel)
	}
	return o
}

// request renders the call. Its only error is signature.ErrNoSecret.
func (b *Backend) request(ctx context.Context, runID string, m method, secrets signature.Secrets) (*http.Request, error) {
	u := b.base.JoinPath(url.PathEscape(m.Org), "_apis/public/distributedtask/webhooks", url.PathEscape(m.Webhook))
	u.RawQuery = url.Values{"api-version": {apiVersion}}.Encode()
	body := []byte(m.Payload)
	if len(body) == 0 {
		body = []byte("{}")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.URL = u
	backend.SetHeaders(ctx, req.Header, b.c.Version, runID, true)
	if err := signature.Set(req.Header, secrets, runID, b.c.Now(), body); err != nil {
		return nil, err
	}
	req.Header.Set(signature.PortSignature, digest(secrets.Current, body))
	return req, nil
}

// digest is what Azure compares the header with that its service connection names: HMAC-SHA1 of the
// body in lower-case hexadecimal, without a prefix.
func digest(secret string, body []byte) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
