package github

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/bradleyfalzon/ghinstallation/v2"
	gogithub "github.com/google/go-github/v62/github"

	"longshore/pkg/backend"
	"longshore/pkg/egress"
)

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 8 << 20

// access is what has been found out with the credentials; new ones start over.
type access struct {
	credentials Credentials
	// app is nil without a GitHub App.
	app *ghinstallation.AppsTransport

	mu sync.Mutex
	// sessions are by organization in lower case, that of the token for all under "".
	sessions map[string]*session
}

// session calls GitHub with one token, or as the App in one organization.
type session struct {
	backend *Backend
	access  *access
	// key is what access has the session under.
	key    string
	client *gogithub.Client
	// installation is nil where a token is used.
	installation *ghinstallation.Transport

	mu sync.Mutex
	// login is our actor's; asked says that GitHub has been asked.
	login string
	asked bool
}

// access returns the present credentials' access.
func (b *Backend) access(ctx context.Context) (*access, error) {
	credentials, err := b.c.Credentials(ctx)
	if err != nil {
		return nil, errors.New("the credentials of GitHub cannot be read")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known != nil && reflect.DeepEqual(b.known.credentials, credentials) {
		return b.known, nil
	}
	a := &access{credentials: credentials, sessions: map[string]*session{}}
	if credentials.PrivateKey != "" {
		id, err := strconv.ParseInt(credentials.AppID, 10, 64)
		if err == nil {
			a.app, err = ghinstallation.NewAppsTransport(b.transport(), id, []byte(credentials.PrivateKey))
		}
		if err != nil {
			return nil, errors.New("the GitHub App's id or private key cannot be used")
		}
		a.app.BaseURL = strings.TrimRight(b.base.String(), "/")
	}
	b.known = a
	return a, nil
}

// session returns a session that has a valid token. Fresh says that nothing of it is from an earlier
// call.
func (b *Backend) session(ctx context.Context, org string) (s *session, fresh bool, failed *backend.Outcome) {
	a, err := b.access(ctx)
	if err != nil {
		o := backend.Fault(err)
		o.Error = err.Error()
		return nil, false, &o
	}
	for {
		if s, fresh, failed = b.kept(ctx, a, org); failed != nil {
			return nil, fresh, failed
		}
		if s.installation == nil {
			return s, fresh, nil
		}
		failed = s.renew(ctx)
		if failed == nil || fresh || failed.StatusCode != http.StatusUnauthorized && failed.StatusCode != http.StatusNotFound {
			return s, fresh, failed
		}
		// The App may have been removed from the organization and installed anew; renew has forgotten it.
	}
}

// kept returns the session of an organization, and makes it where there is none.
func (b *Backend) kept(ctx context.Context, a *access, org string) (s *session, fresh bool, failed *backend.Outcome) {
	key := strings.ToLower(org)
	if a.app == nil && a.credentials.tokens()[key] == "" {
		// One session for all: what is kept does not grow with what definitions name.
		key = ""
	}
	a.mu.Lock()
	s = a.sessions[key]
	a.mu.Unlock()
	if s != nil {
		return s, false, nil
	}
	if s, failed = b.open(ctx, a, org); failed != nil {
		return nil, true, failed
	}
	s.key = key
	a.mu.Lock()
	defer a.mu.Unlock()
	if other := a.sessions[key]; other != nil {
		return other, false, nil
	}
	a.sessions[key] = s
	return s, true, nil
}

// open chooses the credentials for an organization.
func (b *Backend) open(ctx context.Context, a *access, org string) (*session, *backend.Outcome) {
	s := &session{backend: b, access: a}
	tokens := a.credentials.tokens()
	token := tokens[strings.ToLower(org)]
	switch {
	case token != "":
	case a.app != nil:
		app := &session{backend: b, access: a, client: b.client(a.app)}
		id, failed := app.findInstallation(ctx, org)
		if failed != nil {
			return nil, failed
		}
		s.installation = ghinstallation.NewFromAppsTransport(a.app, id)
		s.client = b.client(s.installation)
		return s, nil
	default:
		token = tokens[""]
	}
	if token == "" {
		o := backend.Refuse("this deployment has no credentials of GitHub for the organization " + org)
		return nil, &o
	}
	s.client = b.client(b.transport()).WithAuthToken(token)
	return s, nil
}

// findInstallation returns the App's installation in an organization, or of a user.
func (s *session) findInstallation(ctx context.Context, org string) (int64, *backend.Outcome) {
	found, resp, err := s.client.Apps.FindOrganizationInstallation(ctx, url.PathEscape(org))
	if err != nil && resp != nil && resp.StatusCode == http.StatusNotFound {
		found, resp, err = s.client.Apps.FindUserInstallation(ctx, url.PathEscape(org))
	}
	if err != nil {
		o := s.failure(ctx, resp, err)
		switch o.StatusCode {
		case http.StatusNotFound:
			o.Error += "; is the GitHub App installed in the organization?"
		case http.StatusUnauthorized:
			o.Error += "; do the GitHub App's id and private key belong together, and is this machine's clock right?"
		}
		return 0, &o
	}
	if found.GetID() == 0 {
		o := backend.Refuse("GitHub's answer names no installation of the GitHub App")
		return 0, &o
	}
	return found.GetID(), nil
}

// renew makes sure that the installation's token is valid for the next minute. The library waits for a
// renewal that another call makes, whatever its own context says.
func (s *session) renew(ctx context.Context) *backend.Outcome {
	done := make(chan error, 1)
	go func() {
		_, err := s.installation.Token(ctx)
		done <- err
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		return nil
	}
	var refusal *ghinstallation.HTTPError
	if errors.As(err, &refusal) && refusal.Response != nil {
		defer refusal.Response.Body.Close()
		checked := gogithub.CheckResponse(refusal.Response)
		if checked == nil {
			checked = err
		}
		o := s.failure(ctx, &gogithub.Response{Response: refusal.Response}, checked)
		if o.StatusCode == http.StatusUnauthorized || o.StatusCode == http.StatusNotFound {
			// The installation may have been removed and made anew.
			s.forget()
			o.Error += "; is the GitHub App still installed in the organization, and does its private key belong to it?"
		}
		return &o
	}
	o := s.failure(ctx, nil, err)
	return &o
}

// forget has the next call begin with a new session.
func (s *session) forget() {
	s.access.mu.Lock()
	defer s.access.mu.Unlock()
	if s.access.sessions[s.key] == s {
		delete(s.access.sessions, s.key)
	}
}

// actor returns the login that our dispatches are made by, empty where GitHub does not say.
func (s *session) actor(ctx context.Context) string {
	s.mu.Lock()
	asked, known := s.asked, s.login
	s.mu.Unlock()
	if asked {
		return known
	}
	var (
		login string
		resp  *gogithub.Response
		err   error
	)
	if s.installation != nil {
		var app *gogithub.App
		if app, resp, err = s.backend.client(s.access.app).Apps.Get(ctx, ""); err == nil && app.GetSlug() != "" {
			login = app.GetSlug() + "[bot]"
		}
	} else {
		var user *gogithub.User
		if user, resp, err = s.client.Users.Get(ctx, ""); err == nil {
			login = user.GetLogin()
		}
	}
	// A token that may not ask never may; anything else is asked again.
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = err == nil || resp != nil && (resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusNotFound)
	s.login = login
	return login
}

// client returns a client that makes one request for each call.
func (b *Backend) client(t http.RoundTripper) *gogithub.Client {
	c := gogithub.NewClient(&http.Client{Transport: t})
	base := *b.base
	c.BaseURL = &base
	c.UserAgent = b.userAgent()
	return c
}

func (b *Backend) userAgent() string { return "Longshore/" + b.c.Version }

func (b *Backend) transport() http.RoundTripper { return &transport{b.c.Client, b.userAgent()} }

// hiddenLocation is where an answer's Location is kept from http.Client.
const hiddenLocation = "Hidden-Location"

// transport makes the calls of libraries through the egress guard.
type transport struct {
	client    *egress.Client
	userAgent string
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("User-Agent") == "" {
		req = req.Clone(req.Context())
		req.Header.Set("User-Agent", t.userAgent)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < http.StatusOK {
		// Behind a 101 comes no answer.
		_ = resp.Body.Close()
		resp.Body = http.NoBody
	}
	delete(resp.Header, hiddenLocation)
	if location, ok := resp.Header["Location"]; ok {
		// http.Client neither follows what it does not see, nor fails because it cannot read it.
		resp.Header[hiddenLocation] = location
		delete(resp.Header, "Location")
	}
	resp.Body = &bounded{resp.Body, maxAnswer}
	return resp, nil
}

// bounded is a body that ends with an error beyond its limit.
type bounded struct {
	io.ReadCloser
	left int64
}

var errTooLong = fmt.Errorf("the answer is longer than %d MiB", maxAnswer>>20)

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		// Whether there is more is told by one byte.
		n, err := b.ReadCloser.Read(make([]byte, 1))
		if n > 0 {
			return 0, errTooLong
		}
		return 0, err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
