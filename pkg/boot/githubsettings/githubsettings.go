// Package githubsettings is what the operator says about GitHub, for the dispatcher and the local
// process. It stands apart from package boot so that other functions do not link GitHub's client.
package githubsettings

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"longshore/pkg/backend/github"
)

// Settings are read from the environment, or from flags. All are optional. The credentials may stand in a
// secret instead, a JSON object of the variables' names and values. The App's id is boot.Settings', since the
// trigger needs it too.
type Settings struct {
	Token      string `json:"LONGSHORE_GITHUB_TOKEN,omitempty" name:"github-token" env:"LONGSHORE_GITHUB_TOKEN" help:"A token of GitHub for every organization without one of its own."`
	Tokens     string `json:"LONGSHORE_GITHUB_TOKENS,omitempty" name:"github-tokens" env:"LONGSHORE_GITHUB_TOKENS" help:"Tokens of GitHub by organization: org=token, separated by commas."`
	PrivateKey string `json:"LONGSHORE_GITHUB_APP_PRIVATE_KEY,omitempty" name:"github-app-private-key" env:"LONGSHORE_GITHUB_APP_PRIVATE_KEY" help:"The GitHub App's private key in PEM, or the file that it is in; line breaks may be written as \\n."`
	APIURL     string `json:"-" name:"github-api-url" env:"LONGSHORE_GITHUB_API_URL" help:"The address of GitHub's API, for Enterprise Server: https://HOST/api/v3."`
	SecretARN  string `json:"-" kong:"-" env:"LONGSHORE_GITHUB_SECRET_ARN"`
}

// Plain returns the credentials that plain variables give, as Credentials reads them; empty for none.
func (s Settings) Plain() string {
	text, err := json.Marshal(s)
	if err != nil || string(text) == "{}" {
		return ""
	}
	return string(text)
}

// Credentials reads a JSON object of the credentials' variables, LONGSHORE_GITHUB_APP_ID among them; the App's
// id that is given beside it wins. An empty text has none, which is no error. Errors repeat nothing secret.
func Credentials(appID, text string) (github.Credentials, error) {
	var s struct {
		Settings
		AppID string `json:"LONGSHORE_GITHUB_APP_ID"`
	}
	if text != "" && json.Unmarshal([]byte(text), &s) != nil {
		return github.Credentials{}, errors.New("the secret of GitHub is no JSON object of variables and their values, which are strings")
	}
	// Whoever writes a secret from a file adds a line break.
	c := github.Credentials{Token: strings.TrimSpace(s.Token)}
	var err error
	if c.Tokens, err = github.ParseTokens(s.Tokens); err != nil {
		return github.Credentials{}, fmt.Errorf("LONGSHORE_GITHUB_TOKENS: %w", err)
	}
	if c.PrivateKey, err = privateKey(s.PrivateKey); err != nil {
		return github.Credentials{}, err
	}
	if c.PrivateKey != "" {
		// The id alone says only whose integration actions are dispatched, with whatever credentials.
		c.AppID = cmp.Or(appID, s.AppID)
	}
	if !c.Given() {
		return c, nil
	}
	return c, c.Validate()
}

// privateKey returns the PEM text that a variable has, or that is in the file that it names.
func privateKey(value string) (string, error) {
	if value == "" || strings.Contains(value, "-----BEGIN") {
		return strings.ReplaceAll(value, `\n`, "\n"), nil
	}
	text, err := os.ReadFile(value)
	if err != nil {
		// What was meant to be a key must not be repeated as a path.
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			err = path.Err
		}
		return "", fmt.Errorf("LONGSHORE_GITHUB_APP_PRIVATE_KEY is no key in PEM, nor a file that can be read: %w", err)
	}
	return string(text), nil
}
