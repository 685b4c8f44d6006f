package github

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// Credentials are how GitHub is called: for an organization that has one, with its token; else as a
// GitHub App; else with the token for all.
type Credentials struct {
	// AppID and PrivateKey (PEM) are those of a GitHub App.
	AppID      string
	PrivateKey string
	// Token is for every organization without one of its own.
	Token string
	// Tokens are by organization; case does not matter.
	Tokens map[string]string
}

// ParseTokens reads tokens as settings have them: org=token, separated by commas. Organizations
// are in lower case then. Errors hold no token.
func ParseTokens(list string) (map[string]string, error) {
	tokens := map[string]string{}
	for i, pair := range strings.Split(list, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		org, token, found := strings.Cut(pair, "=")
		org, token = strings.ToLower(strings.TrimSpace(org)), strings.TrimSpace(token)
		if !found || org == "" || token == "" {
			return nil, fmt.Errorf("entry %d of GitHub's tokens is not of the form org=token", i+1)
		}
		if tokens[org] != "" {
			return nil, fmt.Errorf("GitHub's tokens have two for %q", org)
		}
		tokens[org] = token
	}
	return tokens, nil
}

// Given reports whether there are any.
func (c Credentials) Given() bool {
	return c.AppID != "" || c.PrivateKey != "" || c.Token != "" || len(c.Tokens) > 0
}

// Validate reports every fault at once; no credentials at all are one. It repeats nothing of a key or a
// token.
func (c Credentials) Validate() error {
	if !c.Given() {
		return errors.New("there are no credentials for GitHub: give a GitHub App's id and private key, or tokens")
	}
	var faults []error
	if (c.AppID == "") != (c.PrivateKey == "") {
		faults = append(faults, errors.New("a GitHub App needs both its id and its private key"))
	}
	if _, err := strconv.ParseInt(c.AppID, 10, 64); c.AppID != "" && err != nil {
		faults = append(faults, fmt.Errorf("the GitHub App's id is %q, expected its number", c.AppID))
	}
	if _, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(c.PrivateKey)); c.PrivateKey != "" && err != nil {
		faults = append(faults, errors.New("the GitHub App's private key is no RSA key in PEM"))
	}
	for org, token := range c.tokens() {
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			faults = append(faults, fmt.Errorf("the token for %q has characters that no token has", org))
		}
	}
	return errors.Join(faults...)
}

// tokens are all tokens, the one for all under "".
func (c Credentials) tokens() map[string]string {
	all := map[string]string{}
	for org, token := range c.Tokens {
		all[strings.ToLower(org)] = token
	}
	if c.Token != "" {
		all[""] = c.Token
	}
	return all
}
