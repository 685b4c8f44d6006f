package run

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

const (
	// MaxResponse is how much of a target's answer is kept, in bytes.
	MaxResponse = 256 << 10
	// maxStored is how long the JSON text of a stored answer may become by escapes, in bytes: it has
	// to fit into an item of DynamoDB (400 KiB) with what stands beside it.
	maxStored = 384 << 10
	// maxDepth is how deep a JSON answer may be nested to be kept as JSON, far below what decoders
	// of a whole run can follow.
	maxDepth = 1000
)

// Response makes what is kept of a target's answer, valid JSON: the answer itself where it is JSON and
// whole, else its text as a string, without what is no UTF-8. More says that the answer was longer. An
// empty answer is nil.
func Response(answer []byte, more bool) json.RawMessage {
	trimmed := bytes.Trim(answer, " \t\r\n")
	if len(trimmed) == 0 {
		return nil
	}
	if !more && utf8.Valid(trimmed) && depth(trimmed) <= maxDepth && json.Valid(trimmed) {
		return trimmed
	}
	if more {
		answer = wholeRunes(answer)
	}
	text := strings.ToValidUTF8(string(answer), "\uFFFD")
	for {
		quoted := quote(text)
		if len(quoted) <= maxStored {
			return quoted
		}
		// Escapes make at most six bytes of one, so few rounds do.
		text = string(wholeRunes([]byte(text[:len(text)*maxStored/len(quoted)])))
	}
}

// wholeRunes cuts off the beginning of a character whose end is missing.
func wholeRunes(text []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		last := text[len(text)-n:]
		if utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return text[:len(text)-n]
			}
			break
		}
	}
	return text
}

// quote returns the text as a JSON string, without the escapes that only HTML needs.
func quote(text string) json.RawMessage {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		return nil // a string always encodes
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// depth returns how deep arrays and objects are nested in a JSON text.
func depth(text []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[', c == '{':
			now++
			deepest = max(deepest, now)
		case c == ']', c == '}':
			now--
		}
	}
	return deepest
}
