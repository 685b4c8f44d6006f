package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// query makes a URL's query of a JSON object: a member's name and value in the object's order,
// strings as they are, anything else as compact JSON. Null makes an empty one. Any other text is an
// error.
func query(body string) (string, error) {
	d := json.NewDecoder(strings.NewReader(body))
	first, err := d.Token()
	if err != nil {
		return "", fmt.Errorf("read the body: %w", err)
	}
	if first == nil {
		return "", nil
	}
	if first != json.Delim('{') {
		return "", errors.New("the body is no object")
	}
	var out strings.Builder
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return "", fmt.Errorf("read a member's name: %w", err)
		}
		key, ok := name.(string)
		if !ok {
			return "", errors.New("the body is no object")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return "", fmt.Errorf("read a member: %w", err)
		}
		text, err := plain(value)
		if err != nil {
			return "", err
		}
		if out.Len() > 0 {
			out.WriteByte('&')
		}
		out.WriteString(url.QueryEscape(key))
		out.WriteByte('=')
		out.WriteString(url.QueryEscape(text))
	}
	if _, err := d.Token(); err != nil {
		return "", fmt.Errorf("read the body's end: %w", err)
	}
	return out.String(), nil
}

// escape percent-encodes what may not stand in a query as it is, as a browser does (WHATWG URL,
// "query percent-encode set"): net/http would send it unchanged, and a space ends a request's target.
func escape(query string) string {
	var out strings.Builder
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' {
			fmt.Fprintf(&out, "%%%02X", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

// plain returns a string's text, and any other value as compact JSON.
func plain(value json.RawMessage) (string, error) {
	if value[0] == '"' {
		var s string
		if err := json.Unmarshal(value, &s); err != nil {
			return "", fmt.Errorf("read a string: %w", err)
		}
		return s, nil
	}
	var out bytes.Buffer
	if err := json.Compact(&out, value); err != nil {
		return "", fmt.Errorf("read a value: %w", err)
	}
	return out.String(), nil
}
