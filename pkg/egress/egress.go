// Package egress is the HTTP client of everything in Longshore that calls out.
//
// It promises that no call reaches a loopback, link-local, private or reserved address unless the
// deployment allows it, judged by the address that is connected to, at each connect; that a request
// goes out once or not at all, since retries belong to the run; that no redirect is followed and no
// proxy of the environment is used; and that its errors hold nothing of a request but the target's
// host.
package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"code.dny.dev/ssrf"
)

const (
	// DefaultConnectTimeout is how long resolving a name and connecting may take, and again the TLS
	// handshake.
	DefaultConnectTimeout = 5 * time.Second
	// maxHeader bounds the head of an answer, in bytes.
	maxHeader = 64 << 10
	// idleTimeout is shorter than what servers grant an idle connection (Node.js: 5 s), so that a
	// request seldom meets one that is being closed. It is compared with the wall clock as well,
	// which goes on while a Lambda is frozen.
	idleTimeout = 4 * time.Second
	// writeBuffer takes a usual request whole, so that it is sent by one system call.
	writeBuffer = 16 << 10
	// maxIdle connections are kept to one host, maxIdleAll to all together.
	maxIdle, maxIdleAll = 100, 200
)

// Config is what a Client needs. The zero value calls public addresses only.
type Config struct {
	// Allow lists what else may be called.
	Allow Allow
	// ConnectTimeout is DefaultConnectTimeout if it is 0.
	ConnectTimeout time.Duration
	// RootCAs are the authorities whose certificates are believed; nil for the system's.
	RootCAs *x509.CertPool
	// Resolver looks names up; nil for the system's.
	Resolver *net.Resolver
}

// Client makes guarded calls. It is safe for concurrent use and keeps idle connections; a program
// needs one per allow list.
type Client struct {
	kept, fresh *http.Transport
}

// New returns a client.
func New(c Config) *Client {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = DefaultConnectTimeout
	}
	g := &guard{
		allow:  c.Allow,
		public: ssrf.New(ssrf.WithAnyPort()),
		dialer: net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: 30 * time.Second, Resolver: c.Resolver},
	}
	// HTTP/1.1 only: net/http re-sends an HTTP/2 request by itself when the target resets its stream
	// with PROTOCOL_ERROR, whatever the target had done by then.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	kept := &http.Transport{
		Protocols:              protocols,
		DialContext:            g.dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs},
		TLSHandshakeTimeout:    c.ConnectTimeout,
		MaxIdleConns:           maxIdleAll,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
		WriteBufferSize:        writeBuffer,
		// The answer is kept as the target wrote it.
		DisableCompression: true,
	}
	fresh := kept.Clone()
	fresh.DisableKeepAlives = true
	return &Client{kept: kept, fresh: fresh}
}

// Do sends the request once and returns the answer, whatever its status; the caller closes its
// body. The deadline is the request's context's. Credentials in the URL become basic authorization
// unless the request has an Authorization header. The request is not changed. Errors, those of
// reading the answer's body included, are of type *Error.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	host := HostPort(req.URL)
	if req.URL.Hostname() == "" || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, &Error{Sentence: "refused by the egress guard: the URL is not absolute, with http or https", Refused: true}
	}
	out := req.WithContext(req.Context())
	out.Header = req.Header.Clone()
	if out.Header == nil {
		out.Header = http.Header{}
	}
	if u := req.URL.User; u != nil && out.Header.Get("Authorization") == "" {
		password, _ := u.Password()
		out.SetBasicAuth(u.Username(), password)
	}
	hide(out.Header, "Idempotency-Key", "idempotency-key")
	hide(out.Header, "X-Idempotency-Key", "x-idempotency-key")

	transport := c.kept
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		// net/http re-sends these when a used connection breaks, but not on one of their own.
		transport = c.fresh
	}
	resp, err := transport.RoundTrip(out)
	if err != nil {
		if ended := req.Context().Err(); ended != nil {
			err = ended
		}
		return nil, explain(host, false, err)
	}
	resp.Body = &body{ReadCloser: resp.Body, host: host}
	return resp, nil
}

// Close closes idle connections.
func (c *Client) Close() {
	c.kept.CloseIdleConnections()
	c.fresh.CloseIdleConnections()
}

// hide stores a header under a key that net/http does not look for: it takes a request that has
// Idempotency-Key in its map for one that it may re-send by itself. On the wire the case of a name
// means nothing.
func hide(h http.Header, name, as string) {
	if values, ok := h[name]; ok {
		delete(h, name)
		h[as] = append(h[as], values...)
	}
}

// body reports the errors of reading an answer as *Error.
type body struct {
	io.ReadCloser
	host string
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = explain(b.host, true, err)
	}
	return n, err
}

// ReadUpTo reads at most limit bytes and reports whether there were more. With an error it returns
// what had come before it.
func ReadUpTo(r io.Reader, limit int64) (read []byte, more bool, err error) {
	read, err = io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(read)) > limit {
		return read[:limit], true, nil
	}
	return read, false, err
}

// HostPort returns the host of a URL with its port, that of the scheme if it names none. It is what
// errors call a target.
func HostPort(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
