package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"longshore/pkg/audit"
	"longshore/pkg/fault"
)

const (
	// Lifetime is how long an access token is valid: 10,800 seconds, as clients are told.
	Lifetime = 3 * time.Hour
	// CallLifetime is how long the token of one call of the deployment's own API is valid.
	CallLifetime = time.Minute
	// MinKey is the least length of the signing key in bytes: HS256's own output (RFC 7518, 3.2).
	MinKey = 32

	// leeway is how far the clocks of two hosts of a deployment may differ.
	leeway = 5 * time.Second
	// maxToken is the longest token in bytes that is looked at; our own have about 350, those of one call
	// have the call's path as well.
	maxToken = 16 << 10
)

// Config is what Tokens need.
type Config struct {
	OrgID string
	// ClientID is the organization's one client.
	ClientID string
	// Secrets are the client's valid secrets: the current one and, during a rotation, the previous
	// one. Empty ones count as absent; without any, Issue refuses everybody.
	Secrets []string
	// Key signs the tokens: at least MinKey bytes, independent of the secrets, so that rotating a
	// secret ends no session.
	Key []byte
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Tokens issues and checks access tokens. It reads no store, keeps nothing but which tokens it has
// found valid, and is safe for concurrent use.
type Tokens struct {
	orgID    string
	clientID [sha256.Size]byte
	client   string
	secrets  [][sha256.Size]byte
	key      []byte
	keyID    string
	parser   *jwt.Parser
	now      func() time.Time

	mu sync.RWMutex
	// valid are tokens that Verify has accepted, by their SHA-256: clients send one token with many
	// requests, and reading one takes longer than most of what they ask for.
	valid map[[sha256.Size]byte]accepted
}

// accepted is a token that is valid until a time.
type accepted struct {
	caller Caller
	until  time.Time
}

// maxValid is how many valid tokens are remembered; beyond it all are forgotten.
const maxValid = 1024

// claims of an access token: RFC 7519's registered ones, and Port's own.
type claims struct {
	jwt.RegisteredClaims
	OrgID     string `json:"orgId"`
	IsMachine bool   `json:"isMachine"`
	// Call is set, and IsMachine false, in a token of one call: code that does not know of those takes it
	// for nobody's.
	Call *callClaims `json:"call,omitempty"`
}

// callClaims are a Call.
type callClaims struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Run    string `json:"runId,omitempty"`
	Event  string `json:"eventId,omitempty"`
	Depth  int    `json:"depth,omitempty"`
}

// NewTokens checks the configuration; its error names everything that is wrong with it.
func NewTokens(c Config) (*Tokens, error) {
	var faults []error
	if c.OrgID == "" {
		faults = append(faults, errors.New("the organization's id is empty"))
	}
	if c.ClientID == "" {
		faults = append(faults, errors.New("the client id is empty"))
	}
	if len(c.Key) < MinKey {
		faults = append(faults, fmt.Errorf("the token key has %d bytes, it needs %d", len(c.Key), MinKey))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("configure tokens: %w", errors.Join(faults...))
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	mac := hmac.New(sha256.New, c.Key)
	mac.Write([]byte("longshore key id"))
	t := &Tokens{
		orgID: c.OrgID, client: c.ClientID, clientID: sha256.Sum256([]byte(c.ClientID)),
		key: c.Key, keyID: hex.EncodeToString(mac.Sum(nil)[:8]), now: c.Now,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway),
			jwt.WithStrictDecoding(), jwt.WithTimeFunc(c.Now)),
	}
	for _, secret := range c.Secrets {
		if secret != "" {
			t.secrets = append(t.secrets, sha256.Sum256([]byte(secret)))
		}
	}
	return t, nil
}

// Issue exchanges the client's credentials for an access token and the time it is valid for. All
// comparisons are made, each in constant time. Wrong credentials are a fault.Unauthorized that does
// not say which one is wrong.
func (t *Tokens) Issue(clientID, clientSecret string) (token string, expiresIn time.Duration, err error) {
	id, secret := sha256.Sum256([]byte(clientID)), sha256.Sum256([]byte(clientSecret))
	known := 0
	for _, s := range t.secrets {
		known |= subtle.ConstantTimeCompare(secret[:], s[:])
	}
	if known&subtle.ConstantTimeCompare(id[:], t.clientID[:]) != 1 {
		return "", 0, fault.New(fault.Unauthorized, "", "the client id or the client secret is wrong")
	}
	token, err = t.Sign()
	return token, Lifetime, err
}

// Sign makes a token of the organization's own client, for calls that a deployment makes to itself.
func (t *Tokens) Sign() (string, error) { return t.sign(claims{IsMachine: true}, Lifetime) }

// SignCall makes a token of the organization's own client that is good for one call, for CallLifetime:
// the API takes it with that method and path only, and nowhere near secrets, users, credentials and
// tokens. A path that makes the token longer than any is taken is a fault.Invalid.
func (t *Tokens) SignCall(c Call) (string, error) {
	text, err := t.sign(claims{Call: &callClaims{c.Method, c.Path, c.Cause.RunID, c.Cause.EventID, c.Cause.Depth}}, CallLifetime)
	if err == nil && len(text) > maxToken {
		return "", fault.New(fault.Invalid, "", "the path is too long for a token")
	}
	return text, err
}

// sign makes a token of the organization's own client.
func (t *Tokens) sign(c claims, lifetime time.Duration) (string, error) {
	now := t.now()
	c.RegisteredClaims = jwt.RegisteredClaims{
		Subject:   t.client,
		IssuedAt:  jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
	}
	c.OrgID = t.orgID
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, c)
	token.Header["kid"] = t.keyID
	text, err := token.SignedString(t.key)
	if err != nil {
		return "", fmt.Errorf("sign access token: %w", err)
	}
	return text, nil
}

// Verify tells who a token stands for. Every token that is not ours, not valid any more, or not of
// this organization is a fault.Unauthorized; only an expired one of our own says more than that.
func (t *Tokens) Verify(_ context.Context, token string) (Caller, error) {
	var c claims
	if len(token) > maxToken {
		return Caller{}, refused(errors.New("longer than any of ours"))
	}
	sum := sha256.Sum256([]byte(token))
	t.mu.RLock()
	known, found := t.valid[sum]
	t.mu.RUnlock()
	if found && t.now().Before(known.until) {
		return known.caller, nil
	}
	_, err := t.parser.ParseWithClaims(token, &c, func(parsed *jwt.Token) (any, error) {
		if kid, _ := parsed.Header["kid"].(string); kid != t.keyID {
			return nil, errors.New("signed with another key")
		}
		return t.key, nil
	})
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Caller{}, fault.Wrap(fault.Unauthorized, err, "the access token has expired")
	case err != nil:
		return Caller{}, refused(err)
	case c.OrgID != t.orgID || c.IsMachine == (c.Call != nil) || c.Subject == "":
		return Caller{}, refused(errors.New("not a machine token of this organization"))
	}
	caller := Caller{OrgID: c.OrgID, Machine: true, ID: c.Subject}
	if of := c.Call; of != nil {
		caller.Call = &Call{Method: of.Method, Path: of.Path, Cause: audit.Cause{EventID: of.Event, RunID: of.Run, Depth: of.Depth}}
		// It is used once: nothing is gained by remembering it.
		return caller, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.valid) >= maxValid || t.valid == nil {
		t.valid = map[[sha256.Size]byte]accepted{}
	}
	t.valid[sum] = accepted{caller, c.ExpiresAt.Add(leeway)}
	return caller, nil
}

func refused(cause error) error {
	return fault.Wrap(fault.Unauthorized, cause, "the access token is not valid")
}
