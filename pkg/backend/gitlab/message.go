package gitlab

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"longshore/pkg/backend"
)

const (
	// maxMessage is how much of GitLab's message is kept, in bytes.
	maxMessage = 300
	// leastSecret is the length from which a value that was sent is masked: shorter ones are words.
	leastSecret = 6
)

// token is what GitLab's tokens look like ("Token overview", token prefixes).
var token = regexp.MustCompile(`gl[a-z]{2,6}-[A-Za-z0-9_.-]{8,}`)

// message returns GitLab's own words from an answer's body ("REST API", "Status codes" and data
// validation): members message, error and error_description, of which the first may nest. It is empty
// for a body that has none. What was sent as a secret is masked.
func message(body []byte, secrets []string) string {
	var answer struct {
		Message     any `json:"message"`
		Error       any `json:"error"`
		Description any `json:"error_description"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	var words []string
	for _, part := range []any{answer.Message, answer.Error, answer.Description} {
		words = flatten(words, "", part, 4)
	}
	text := strings.Join(words, "; ")
	for _, secret := range secrets {
		if len(secret) >= leastSecret {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	text = token.ReplaceAllString(text, "***")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\uFFFD' }), " ")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}

// flatten adds the texts of a message; a member's name goes before its texts, but for base, GitLab's
// word for the whole.
func flatten(words []string, name string, part any, depth int) []string {
	if depth == 0 || len(words) > 10 {
		return words
	}
	switch part := part.(type) {
	case string:
		if part != "" {
			words = append(words, strings.TrimSpace(name+" "+part))
		}
	case []any:
		for _, p := range part {
			words = flatten(words, name, p, depth-1)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(part)) {
			if key == "base" {
				words = flatten(words, name, part[key], depth-1)
			} else {
				words = flatten(words, strings.TrimSpace(name+" "+key), part[key], depth-1)
			}
		}
	}
	return words
}

// reset returns the time until a limit is set back, at most an hour; 0 if that is not known or past.
func reset(header string, now time.Time) time.Duration {
	at, err := strconv.ParseInt(strings.TrimSpace(header), 10, 64)
	if err != nil || at <= now.Unix() {
		return 0
	}
	if at-now.Unix() >= int64(backend.MaxRetryAfter/time.Second) {
		return backend.MaxRetryAfter
	}
	return time.Unix(at, 0).Sub(now)
}

// hint says what to look at after GitLab refused to start a pipeline; empty for other answers.
func hint(status int, m method, g grant) string {
	switch status {
	case http.StatusBadRequest:
		if m.oddNames() {
			return "names of variables may have letters, digits and _ only"
		}
		return "is there a branch or tag of that name, and does its .gitlab-ci.yml make jobs for a pipeline of this source?"
	case http.StatusUnauthorized:
		return "is the token still valid?"
	case http.StatusForbidden:
		if g.trigger != "" {
			return "may the trigger token's owner run pipelines in the project?"
		}
		return "does the access token have the scope api, and may its user run pipelines in the project?"
	case http.StatusNotFound:
		if g.trigger != "" {
			return "is there a project of that path, and is the trigger token its own?"
		}
		return "is there a project of that path, and may the access token's user see it?"
	}
	return ""
}
