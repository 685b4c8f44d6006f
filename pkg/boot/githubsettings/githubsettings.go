// Package githubsettings is what the operator says about GitHub, for the dispatcher and the local
// process. It stands apart from package boot so that other functions do not link GitHub's client.
package githubsettings

import (
	"cmp"
	"errors"
	"strings"

	"longshore/pkg/backend/github"
)

// Settings are read from the environment, or from flags. All are optional. The App's id is
// boot.Settings', since the trigger needs it too.
type Settings struct {
	Token      string `name:"github-token" env:"LONGSHORE_GITHUB_TOKEN" help:"A token of GitHub for every organization without one of its own."`
	Tokens     string `name:"github-tokens" env:"LONGSHORE_GITHUB_TOKENS" help:"Tokens of GitHub by organization: org=token, separated by commas."`
	PrivateKey string `name:"github-private-key" env:"LONGSHORE_GITHUB_PRIVATE_KEY" help:"The GitHub App's private key in PEM; line breaks may be written as \\n."`
	APIURL     string `name:"github-api-url" env:"LONGSHORE_GITHUB_API_URL" help:"The address of GitHub's API, for Enterprise Server: https://HOST/api/v3."`
}

// Credentials puts the settings, the App's id and a secret's text together, empty for no secret, and
// checks the API's address as well. A setting wins over what the secret has in its place. Without any it
// returns none, and no error. Errors repeat nothing secret.
func (s Settings) Credentials(appID, secret string) (github.Credentials, error) {
	var c github.Credentials
	var faults []error
	if secret != "" {
		var err error
		c, err = github.ParseCredentials(secret)
		faults = append(faults, err)
	}
	tokens, err := github.ParseTokens(s.Tokens)
	faults = append(faults, err)
	if _, err := github.New(github.Config{APIURL: s.APIURL}); err != nil {
		faults = append(faults, err)
	}
	for org, token := range c.Tokens {
		if tokens[org] == "" {
			tokens[org] = token
		}
	}
	if len(tokens) > 0 {
		c.Tokens = tokens
	}
	c.Token = cmp.Or(s.Token, c.Token)
	c.PrivateKey = cmp.Or(strings.ReplaceAll(s.PrivateKey, `\n`, "\n"), c.PrivateKey)
	if c.PrivateKey != "" {
		// The id alone says only whose integration actions are dispatched, with whatever credentials.
		c.AppID = cmp.Or(appID, c.AppID)
	}
	if err := errors.Join(faults...); err != nil || !c.Given() {
		return c, err
	}
	return c, c.Validate()
}
