package gitlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"longshore/pkg/egress"
)

// Settings are the variables of the backend, under the same names for its function and the local
// process. Tokens may stand in a secret instead, a JSON object of the variables' names and values.
type Settings struct {
	URL           string `json:"-" name:"gitlab-url" env:"LONGSHORE_GITLAB_URL" help:"The address of GitLab; by default https://gitlab.com."`
	Token         string `json:"LONGSHORE_GITLAB_TOKEN,omitempty" name:"gitlab-token" env:"LONGSHORE_GITLAB_TOKEN" help:"An access token of GitLab with the scope api."`
	Tokens        string `json:"LONGSHORE_GITLAB_TOKENS,omitempty" name:"gitlab-tokens" env:"LONGSHORE_GITLAB_TOKENS" help:"Access tokens of groups and projects: group/project=token,…"`
	TriggerToken  string `json:"LONGSHORE_GITLAB_TRIGGER_TOKEN,omitempty" name:"gitlab-trigger-token" env:"LONGSHORE_GITLAB_TRIGGER_TOKEN" help:"A pipeline trigger token of GitLab."`
	TriggerTokens string `json:"LONGSHORE_GITLAB_TRIGGER_TOKENS,omitempty" name:"gitlab-trigger-tokens" env:"LONGSHORE_GITLAB_TRIGGER_TOKENS" help:"Pipeline trigger tokens of projects: group/project=token,…"`
	SecretARN     string `json:"-" kong:"-" env:"LONGSHORE_GITLAB_SECRET_ARN"`
}

// Plain returns the tokens that plain variables give, as ParseCredentials reads them; empty for none.
func (s Settings) Plain() string {
	text, err := json.Marshal(s)
	if err != nil || string(text) == "{}" {
		return ""
	}
	return string(text)
}

// ParseCredentials reads a JSON object of the tokens' variables; an empty text has none. Its error
// quotes nothing of the text.
func ParseCredentials(text string) (Credentials, error) {
	var s Settings
	if text != "" && json.Unmarshal([]byte(text), &s) != nil {
		return Credentials{}, errors.New("the secret of GitLab is no JSON object of variables and their values, which are strings")
	}
	var faults []error
	fault := func(name string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	}
	// Whoever writes a secret from a file adds a line break.
	c := Credentials{Token: strings.TrimSpace(s.Token), TriggerToken: strings.TrimSpace(s.TriggerToken)}
	fault("LONGSHORE_GITLAB_TOKEN", check(c.Token))
	fault("LONGSHORE_GITLAB_TRIGGER_TOKEN", check(c.TriggerToken))
	var err error
	c.Tokens, err = ParseTokens(s.Tokens)
	fault("LONGSHORE_GITLAB_TOKENS", err)
	c.TriggerTokens, err = ParseTokens(s.TriggerTokens)
	fault("LONGSHORE_GITLAB_TRIGGER_TOKENS", err)
	if len(faults) > 0 {
		return Credentials{}, errors.Join(faults...)
	}
	return c, nil
}

// Allow returns the list with the host of the URL, which the operator has named; an empty URL adds
// nothing.
func Allow(list egress.Allow, address string) (egress.Allow, error) {
	if address == "" {
		return list, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return list, errors.New("the URL of GitLab has no host")
	}
	return egress.ParseAllow(list.String() + "," + egress.HostPort(u))
}
