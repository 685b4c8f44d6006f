// Package oidc checks the tokens that an OpenID Connect provider issues to people.
//
// It promises that a token is believed only if a key that the provider publishes signed it, with an
// RS or ES algorithm, for this audience, and if the provider has verified the e-mail in it; that the
// provider is asked rarely, whatever tokens come; and that a provider that does not answer is told
// apart from a token that is wrong.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"longshore/pkg/egress"
	"longshore/pkg/fault"
)

const (
	// Leeway is how far the provider's clock may be from ours.
	Leeway = 60 * time.Second
	// maxToken is the longest token in bytes that is looked at. Providers put groups into theirs.
	maxToken = 16 << 10
	// maxEmail is the longest e-mail address, in bytes: RFC 5321, 4.5.3.1.3, without its brackets.
	maxEmail = 254
)

// methods are the algorithms of signatures. HS256 is not among them: a public key is no secret.
func methods() []string {
	return []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"}
}

// Config is what a Provider needs. Issuer and Audience are required.
type Config struct {
	// Issuer is the provider's URL, as it stands in its tokens.
	Issuer string
	// Audience must be among those of a token.
	Audience string
	// JWKSURL is where the provider publishes its keys; empty means where its discovery document says.
	JWKSURL string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Provider checks the tokens of one provider. It is safe for concurrent use.
type Provider struct {
	parser *jwt.Parser
	keys   *keys
}

// Doer makes guarded calls; *egress.Client is one.
type Doer interface {
	Do(req *http.Request) (*http.Response, error)
}

// Allow lists the hosts of the configured URLs, which may be called wherever they are. A host that
// only the discovery document names is not among them.
func (c Config) Allow() (egress.Allow, error) {
	var hosts []string
	for _, text := range []string{c.Issuer, c.JWKSURL} {
		if u, err := url.Parse(text); err == nil && text != "" {
			hosts = append(hosts, egress.HostPort(u))
		}
	}
	return egress.ParseAllow(strings.Join(hosts, ","))
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var faults []error
	if err := checkURL(c.Issuer); err != nil {
		faults = append(faults, fmt.Errorf("the issuer %w", err))
	}
	if c.Audience == "" {
		faults = append(faults, errors.New("the audience is empty: every token of the issuer would do, whoever it is meant for"))
	}
	if c.JWKSURL != "" {
		if err := checkURL(c.JWKSURL); err != nil {
			faults = append(faults, fmt.Errorf("the address of the keys %w", err))
		}
	}
	if len(faults) == 0 {
		if _, err := c.Allow(); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// checkURL refuses addresses that somebody on the way could answer for: who gives the keys decides
// who is whom.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return errors.New("must have the form https://host/path")
	case u.Scheme == "https", u.Scheme == "http" && onLoopback(u.Hostname()):
		return nil
	}
	return errors.New("must begin with https:// (http:// is for this machine's own addresses only)")
}

func onLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// New returns a provider that fetches its keys with client when they are first needed.
func New(c Config, client Doer) (*Provider, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("configure the provider of users' tokens: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Provider{
		parser: jwt.NewParser(
			jwt.WithValidMethods(methods()), jwt.WithIssuer(c.Issuer), jwt.WithAudience(c.Audience),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(Leeway),
			jwt.WithStrictDecoding(), jwt.WithTimeFunc(c.Now)),
		keys: &keys{client: client, issuer: c.Issuer, url: c.JWKSURL, now: c.Now},
	}, nil
}

// NewGuarded returns a provider over a client of its own that calls public addresses and the hosts of
// the configured URLs.
func NewGuarded(c Config) (*Provider, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("configure the provider of users' tokens: %w", err)
	}
	allow, err := c.Allow()
	if err != nil {
		return nil, err
	}
	return New(c, egress.New(egress.Config{Allow: allow}))
}

// claims of a token: RFC 7519's registered ones, and OpenID Connect Core's, section 5.1.
type claims struct {
	jwt.RegisteredClaims
	Email string `json:"email"`
	// EmailVerified must be the boolean: a provider that writes "true" may write anything.
	EmailVerified any `json:"email_verified"`
}

// Verify returns the e-mail that a token stands for. fault.Unauthorized for every token that is not
// the provider's, not for this audience or not valid now; fault.Unavailable when its key is not known
// and the provider does not answer.
func (p *Provider) Verify(ctx context.Context, token string) (email string, err error) {
	if len(token) > maxToken {
		return "", refused(errors.New("longer than any that is believed"))
	}
	var c claims
	_, err = p.parser.ParseWithClaims(token, &c, func(parsed *jwt.Token) (any, error) {
		// RFC 7515, 4.1.11: an extension that must be understood and is not.
		if _, critical := parsed.Header["crit"]; critical {
			return nil, refused(errors.New("it has critical extensions"))
		}
		// The provider is not asked for the keys of others.
		if c.Issuer != p.keys.issuer {
			return nil, fault.New(fault.Unauthorized, "", "the access token is of another issuer")
		}
		return p.keys.find(ctx, parsed.Header["kid"], parsed.Method.Alg())
	})
	var f *fault.Error
	switch {
	case err == nil:
	case errors.As(err, &f):
		return "", f
	// The claims of a token are looked at only once its signature was found right.
	case errors.Is(err, jwt.ErrTokenExpired):
		return "", fault.Wrap(fault.Unauthorized, err, "the access token has expired")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return "", fault.Wrap(fault.Unauthorized, err, "the access token is for another audience")
	default:
		return "", refused(err)
	}
	switch {
	case c.Email == "" || len(c.Email) > maxEmail:
		return "", fault.New(fault.Unauthorized, "", "the access token has no e-mail")
	case c.EmailVerified != true:
		return "", fault.New(fault.Unauthorized, "", "the access token does not say that its e-mail is verified")
	}
	return c.Email, nil
}

func refused(cause error) error {
	return fault.Wrap(fault.Unauthorized, cause, "the access token is not valid")
}
