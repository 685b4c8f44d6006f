// Package gitlab starts GitLab pipelines and asks how they ended: type GITLAB.
//
// It promises that one attempt is at most one request that starts a pipeline; that an attempt whose
// predecessor may have started one looks for it first; and that no token and no variable's value
// reaches the error of an outcome, though GitLab's own message does.
package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"longshore/pkg/backend"
	"longshore/pkg/egress"
)

// DefaultURL is GitLab's own service.
const DefaultURL = "https://gitlab.com"

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 8 << 20

// Config is what a Backend needs. Credentials and Client are required.
type Config struct {
	// URL is the server's address, with the path that it is installed below if there is one; empty
	// means DefaultURL.
	URL string
	// Credentials are asked at each call and cached by whoever gives them.
	Credentials func(context.Context) (Credentials, error)
	Client      *egress.Client
	// Taken says which pipelines belong to other runs; nil means none.
	Taken backend.Taken
	// Version is Longshore's, for User-Agent.
	Version string
	// CallTimeout is backend.DefaultCallTimeout if it is 0.
	CallTimeout time.Duration
	// Now is time.Now if it is nil.
	Now func() time.Time
}

// Backend delivers invocations of type GITLAB. It is safe for concurrent use.
type Backend struct {
	c Config
	// host is where all calls go.
	host string
}

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Preparer = (*Backend)(nil)
	_ backend.Lookuper = (*Backend)(nil)
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
	if c.Taken == nil {
		c.Taken = func(context.Context, string, string) (bool, error) { return false, nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	base, err := url.Parse(c.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.RawQuery != "" || base.User != nil {
		return nil, errors.New("the URL of GitLab must be http or https with a host, without credentials and query")
	}
	c.URL = strings.TrimRight(c.URL, "/")
	return &Backend{c: c, host: backend.HostOf(base)}, nil
}

// Host implements backend.Hoster.
func (b *Backend) Host() string { return b.host }

// Prepare implements backend.Preparer: without credentials nothing is sent.
func (b *Backend) Prepare(ctx context.Context) error {
	credentials, err := b.c.Credentials(ctx)
	if err == nil && !credentials.Given() {
		err = errors.New("there are none")
	}
	if err != nil {
		return fmt.Errorf("read the credentials of GitLab: %w", err)
	}
	return nil
}

// pipeline is what GitLab tells of one.
type pipeline struct {
	ID        int       `json:"id"`
	Status    string    `json:"status"`
	Source    string    `json:"source"`
	WebURL    string    `json:"web_url"`
	CreatedAt time.Time `json:"created_at"`
}
