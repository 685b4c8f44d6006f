package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"longshore/pkg/egress"
	"longshore/pkg/fault"
)

const (
	// fresh is how long keys are used before the provider is asked again: a key that it withdraws is
	// believed that long.
	fresh = 15 * time.Minute
	// usable is how long keys are used while the provider does not answer.
	usable = 24 * time.Hour
	// pause is the least time between two questions, whatever tokens come. While there are keys to go on
	// with, a provider that did not answer is asked again after patience only.
	pause, patience = 10 * time.Second, time.Minute
	// fetchFor is how long the questions for one set of keys may take together.
	fetchFor = 5 * time.Second
	// maxAnswer bounds an answer of the provider, in bytes.
	maxAnswer = 8 << 20
	// maxKeys bounds how many keys of a provider are kept.
	maxKeys = 100
	// minRSA is the least length of an RSA key in bits: RFC 7518, 3.3.
	minRSA = 2048
)

// keys are those that the provider publishes.
type keys struct {
	client Doer
	issuer string
	// url is where the keys are; empty means where the issuer says.
	url string
	now func() time.Time

	// asking is held while the provider is asked, so that one question answers all who wait.
	asking sync.Mutex
	// mu guards what follows.
	mu   sync.Mutex
	list []key
	// had is when list came, asked when the last question was put, and failed what came of it.
	had, asked time.Time
	failed     error
}

// key verifies one family of signatures.
type key struct {
	id string
	// algorithm is empty when the provider does not restrict it.
	algorithm string
	public    jwt.VerificationKey
}

// find returns the keys that may have made a signature: those with the token's key id, all if it has
// none. Where there is none: fault.Unavailable when the provider does not answer, else fault.Unauthorized.
func (k *keys) find(ctx context.Context, kid any, algorithm string) (jwt.VerificationKeySet, error) {
	id, isText := kid.(string)
	if kid != nil && (!isText || id == "") {
		return jwt.VerificationKeySet{}, refused(errors.New("the key id is no text"))
	}
	set, due := k.known(id, algorithm)
	if due {
		k.refresh(ctx, len(set.Keys) == 0)
		set, _ = k.known(id, algorithm)
	}
	if len(set.Keys) > 0 {
		return set, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failed != nil {
		return set, fault.Busy(k.failed, max(time.Second, pause-k.now().Sub(k.asked)),
			"the identity provider does not answer, so that the access token cannot be checked now")
	}
	return set, fault.New(fault.Unauthorized, "", "the access token is signed with a key that the identity provider does not publish")
}

// known returns the fitting keys that are known, and whether the provider is to be asked first.
func (k *keys) known(id, algorithm string) (set jwt.VerificationKeySet, due bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	age, rest := k.now().Sub(k.had), k.now().Sub(k.asked)
	if age < usable {
		for _, c := range k.list {
			if (id == "" || c.id == id) && c.fits(algorithm) {
				set.Keys = append(set.Keys, c.public)
			}
		}
	}
	if len(set.Keys) == 0 {
		return set, rest >= pause
	}
	return set, age >= fresh && rest >= patience
}

// fits reports whether a key makes signatures of an algorithm: RFC 7518, 3.3 and 3.4.
func (c key) fits(algorithm string) bool {
	if c.algorithm != "" && c.algorithm != algorithm {
		return false
	}
	switch public := c.public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS")
	case *ecdsa.PublicKey:
		return algorithm == map[elliptic.Curve]string{
			elliptic.P256(): "ES256", elliptic.P384(): "ES384", elliptic.P521(): "ES512",
		}[public.Curve]
	}
	return false
}

// refresh asks the provider, once for all who come meanwhile; who need not wait for the answer does
// not. The question outlives the request that put it, within fetchFor: others wait for its answer.
func (k *keys) refresh(ctx context.Context, wait bool) {
	if wait {
		k.asking.Lock()
	} else if !k.asking.TryLock() {
		return
	}
	defer k.asking.Unlock()
	k.mu.Lock()
	answered := k.now().Sub(k.asked) < pause
	k.mu.Unlock()
	if answered {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchFor)
	defer cancel()
	list, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked, k.failed = k.now(), err
	if err == nil {
		k.list, k.had = list, k.asked
	}
}

// fetch reads the provider's keys.
func (k *keys) fetch(ctx context.Context) ([]key, error) {
	address := k.url
	if address == "" {
		var err error
		if address, err = k.discover(ctx); err != nil {
			return nil, err
		}
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := k.get(ctx, address, &set); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	var list []key
	for _, text := range set.Keys {
		if c, ok := readKey(text); ok && len(list) < maxKeys {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("read keys: there is none that can be used")
	}
	return list, nil
}

// discover asks the issuer where its keys are: OpenID Connect Discovery, section 4.
func (k *keys) discover(ctx context.Context) (string, error) {
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := k.get(ctx, strings.TrimSuffix(k.issuer, "/")+"/.well-known/openid-configuration", &document); err != nil {
		return "", fmt.Errorf("read the discovery document: %w", err)
	}
	if document.Issuer != k.issuer {
		return "", errors.New("read the discovery document: it is of another issuer")
	}
	if err := checkURL(document.JWKSURI); err != nil {
		return "", errors.New("read the discovery document: its jwks_uri cannot be used")
	}
	return document.JWKSURI, nil
}

// get reads a JSON document.
func (k *keys) get(ctx context.Context, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := k.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the provider answered with status %d", resp.StatusCode)
	}
	text, more, err := egress.ReadUpTo(resp.Body, maxAnswer)
	switch {
	case err != nil:
		return err
	case more:
		return fmt.Errorf("the provider's answer has more than %d bytes", maxAnswer)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return errors.New("the provider's answer is not the JSON that was expected")
	}
	return nil
}

// readKey reads one public key; ok is false for one that signs nothing we believe.
func readKey(text []byte) (_ key, ok bool) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(text, &jwk); err != nil || !jwk.Valid() || jwk.Use != "" && jwk.Use != "sig" {
		return key{}, false
	}
	switch public := jwk.Key.(type) {
	case *rsa.PublicKey:
		return key{jwk.KeyID, jwk.Algorithm, public}, public.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		return key{jwk.KeyID, jwk.Algorithm, public}, true
	}
	return key{}, false
}
