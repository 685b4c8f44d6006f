package local_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"longshore/pkg/secret"
)

// What is hunted: secrets of the organization, one with what escapes change, one that is JSON, of which a
// member is used, one that is an address which may not be called, so that the refusal would name it; and
// encrypted inputs, a string and a member of an object.
const (
	huntedToken    = "tok/\"en\\ é+ <1234567890>"
	huntedMember   = "member-s3cret-of-it"
	huntedJSON     = `{"user":"ada","password":"` + huntedMember + `"}`
	huntedAddress  = "169.254.77.177"
	huntedInput    = `hunter2"+/<ü>`
	huntedPassword = "correct horse battery"
	// inClear is an input that is not encrypted: the hunt must find it, or it looks in the wrong places.
	inClear = "in-clear-everywhere"
)

var (
	huntedSecrets = []string{huntedToken, huntedMember, huntedJSON, huntedAddress}
	huntedInputs  = []string{huntedInput, huntedPassword}
)

// sights of a text: plain, in JSON with and without HTML's characters escaped, once and twice, in a URL, and
// in base64 wherever it begins in what is encoded.
func sights(text string) []string {
	quote := func(text string, html bool) string {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(html)
		_ = encoder.Encode(text)
		return strings.TrimSuffix(b.String()[1:], "\"\n")
	}
	forms := []string{text, url.QueryEscape(text), url.PathEscape(text)}
	for _, html := range []bool{false, true} {
		forms = append(forms, quote(text, html), quote(quote(text, html), html))
	}
	for shift, skip := range []int{0, 2, 3} {
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			// The characters at both ends depend on what stands beside the text.
			encoded := e.EncodeToString([]byte(strings.Repeat("x", shift) + text))
			forms = append(forms, encoded[skip:len(encoded)-1])
		}
	}
	return forms
}

// seen returns the spelling in which one of the values is in a text, "" for none.
func seen(text string, values ...string) string {
	for _, value := range values {
		for _, form := range sights(value) {
			if strings.Contains(text, form) {
				return form
			}
		}
	}
	return ""
}

// clean fails the test if a text holds what is hunted, in the spellings of this test or those that the mask
// of answers knows.
func clean(t *testing.T, where, text string) {
	t.Helper()
	values := slices.Concat(huntedSecrets, huntedInputs)
	if form := seen(text, values...); form != "" {
		t.Errorf("%s holds %q", where, form)
	} else if secret.NewMask(values).Text(text) != text {
		t.Errorf("%s holds a secret in another spelling", where)
	}
}

// shared is a text that many may write.
type shared struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// echo is a receiver that answers with all it gets; kept has it.
func echo(t *testing.T, kept *shared) *httptest.Server {
	t.Helper()
	times := map[string]int{}
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintln(kept, "call of "+r.URL.Path, r.URL.String(), r.Header, string(body))
		mu.Lock()
		times[r.URL.Path]++
		n := times[r.URL.Path]
		mu.Unlock()
		switch {
		case r.URL.Path == "/retry" && n == 1:
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Location", r.URL.String())
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/fail":
			w.WriteHeader(http.StatusBadRequest)
		}
		if r.URL.Path == "/fail" && n == 2 {
			// Not JSON.
			fmt.Fprintf(w, "no: %s %v %s", r.URL, r.Header, body)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"url": r.URL.String(), "headers": r.Header, "data": string(body), "json": json.RawMessage(body), "raw": body,
		})
	}))
	t.Cleanup(server.Close)
	return server
}
