package invocation

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/url"
	"strings"
)

// maxGroup is the longest group (SQS, SendMessage, MessageGroupId: 128 characters).
const maxGroup = 128

// Group returns the group of the invocation's messages in a fair queue, so that one slow host does
// not hold up the others: scheme, host and port of a call, nothing for any other invocation and for
// nil. It is printable ASCII of at most 128 characters; a host that is not becomes its SHA-256.
func (i *Invocation) Group() string {
	if i == nil || i.Webhook == nil {
		return ""
	}
	u, err := url.Parse(i.Webhook.URL)
	if err != nil {
		return ""
	}
	port := u.Port()
	switch {
	case port == "" && u.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	group := u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
	if len(group) > maxGroup || strings.ContainsFunc(group, func(r rune) bool { return r <= ' ' || r > '~' }) {
		sum := sha256.Sum256([]byte(group))
		return hex.EncodeToString(sum[:])
	}
	return group
}
