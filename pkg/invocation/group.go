package invocation

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/url"
	"strings"

	"longshore/pkg/secret"
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
	return i.Webhook.host(maxGroup)
}

// maxHost is the longest host in bytes: stores keep it as a part of a key.
const maxHost = 300

// Host returns the host that a dispatcher calls for the invocation: scheme, host and port of a webhook.
// It is empty for any other invocation, for nil, and where the host is not known because it is masked.
// One over 300 bytes, or that is not printable ASCII, becomes its SHA-256.
func (i *Invocation) Host() string {
	if i == nil || i.Webhook == nil || i.Backend != BackendWebhook {
		return ""
	}
	host := i.Webhook.host(maxHost)
	if !strings.HasPrefix(host, "http") && len(host) != 2*sha256.Size || strings.Contains(host, secret.Hidden) {
		return ""
	}
	return host
}

// host is scheme, host and port of the call, its SHA-256 where it is longer than limit or cannot be
// printed.
func (w *Webhook) host(limit int) string {
	u, err := url.Parse(w.URL)
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
	if len(group) > limit || strings.ContainsFunc(group, func(r rune) bool { return r <= ' ' || r > '~' }) {
		sum := sha256.Sum256([]byte(group))
		return hex.EncodeToString(sum[:])
	}
	return group
}
