package invocation

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// ownRoot is below what the calls of a deployment's own API lie.
const ownRoot = "/v1/"

// IsOwn reports whether the literal text of a URL, in front of any expression, is of one of the addresses
// of this deployment's API: scheme, host, port and /v1/ to the letter, in no other spelling. An empty
// address is none.
func IsOwn(literal string, addresses []string) bool { return ownAddress(literal, addresses) != "" }

// ownAddress returns the address that a literal text begins with.
func ownAddress(literal string, addresses []string) string {
	for _, a := range addresses {
		if a = strings.TrimRight(a, "/"); a != "" && strings.HasPrefix(literal, a+ownRoot) {
			return a
		}
	}
	return ""
}

// OwnPath returns the path of a call of this deployment's own API, decoded, without what the address has
// in front of /v1/; false for any other call. What expressions made of the rest of the URL has to stay
// below /v1/: a path with dot segments, empty ones, or one that reads differently once it is decoded
// again makes it another call.
func (w *Webhook) OwnPath(addresses []string) (path string, own bool) {
	address := ownAddress(w.Literal, addresses)
	// The literal text is where the rendered URL begins, unless it is whole and was rendered all the same.
	if address == "" || w.Agent || !strings.HasPrefix(w.URL, address+ownRoot) {
		return "", false
	}
	u, err := url.Parse(w.URL)
	at, addressErr := url.Parse(address)
	if err != nil || addressErr != nil || u.User != nil || u.Scheme != at.Scheme || u.Host != at.Host || u.Opaque != "" {
		return "", false
	}
	path, below := strings.CutPrefix(u.Path, at.Path)
	if !below || !strings.HasPrefix(path, ownRoot) || !isPlain(path) {
		return "", false
	}
	return path, true
}

// isPlain reports whether a decoded path is what it seems to be, whoever reads it.
func isPlain(path string) bool {
	if !utf8.ValidString(path) || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return false
	}
	// A gateway may decode it once more.
	if again, err := url.PathUnescape(path); err != nil || again != path {
		return false
	}
	for _, segment := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return !strings.Contains(path, "//")
}
