package gitlab

import (
	"errors"
	"fmt"
	"strings"
)

// Credentials are the tokens of a deployment. Keys of the maps are the full paths of projects and
// groups, whose case is ignored as GitLab ignores it; the longest that a project lies in counts.
type Credentials struct {
	// Token is an access token for what Tokens has nothing for: personal, or of a group or project,
	// with the scope api. It starts pipelines and reads them.
	Token  string
	Tokens map[string]string
	// TriggerToken is a pipeline trigger token, which belongs to one project, for what TriggerTokens
	// has nothing for. It starts pipelines and reads nothing.
	TriggerToken  string
	TriggerTokens map[string]string
}

// Given reports whether there are any.
func (c Credentials) Given() bool {
	return c.Token != "" || len(c.Tokens) > 0 || c.TriggerToken != "" || len(c.TriggerTokens) > 0
}

// check refuses what cannot stand in a header.
func check(token string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return errors.New("it has characters that no token has")
	}
	return nil
}

// ParseTokens reads path=token,path=token. The error names no token.
func ParseTokens(text string) (map[string]string, error) {
	tokens := map[string]string{}
	var faults []error
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		path, token, found := strings.Cut(entry, "=")
		path, token = fold(path), strings.TrimSpace(token)
		switch {
		case !found:
			// What stands there may be a token.
			faults = append(faults, errors.New("an entry has no =, expected group/project=token"))
		case path == "" || token == "":
			faults = append(faults, errors.New("an entry lacks its path or its token, expected group/project=token"))
		case tokens[path] != "":
			faults = append(faults, fmt.Errorf("%q has two tokens", path))
		case check(token) != nil:
			faults = append(faults, fmt.Errorf("the token of %q: %w", path, check(token)))
		}
		tokens[path] = token
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return tokens, nil
}

// fold makes spellings of one path equal.
func fold(path string) string { return strings.ToLower(strings.Trim(strings.TrimSpace(path), "/")) }

// grant is what a project's pipelines are started and read with.
type grant struct {
	// trigger is the trigger token to start with; empty means that access starts too.
	trigger string
	// access reads, and is empty where only a public project can be read.
	access string
}

// of returns the tokens of a project: the trigger token starts its pipelines unless the access token
// is meant for a narrower part of the server. It reports whether there is one to start with.
func (c Credentials) of(project string) (g grant, found bool) {
	trigger, narrow := narrowest(c.TriggerTokens, project, c.TriggerToken)
	access, narrower := narrowest(c.Tokens, project, c.Token)
	g.access = access
	if trigger != "" && (access == "" || narrow >= narrower) {
		g.trigger = trigger
	}
	return g, trigger != "" || access != ""
}

// narrowest returns the token under the longest path that the project is, or lies in, and how long
// that is.
func narrowest(tokens map[string]string, project, otherwise string) (token string, length int) {
	token = otherwise
	project = fold(project) + "/"
	for path, t := range tokens {
		path = fold(path) + "/"
		if len(path) > length && strings.HasPrefix(project, path) {
			token, length = t, len(path)
		}
	}
	return token, length
}
