package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MinMasked is how many characters a value has at least that is searched for: shorter ones stand in
// every text.
const MinMasked = 6

// Mask finds values in what others wrote, and hides them: as they are; escaped for JSON or a URL,
// however often and in whatever spelling; and inside base64 of either alphabet, wherever in the encoded
// text the value began. Nil hides nothing. It is safe for concurrent use.
type Mask struct {
	// raw are searched for in a text as it is, folded in its folded form.
	raw, folded patterns
}

// patterns are by how they begin: one look at each place of a text finds all of them.
type patterns map[[MinMasked]byte][]pattern

// add adds a pattern of at least MinMasked bytes.
func (ps patterns) add(p pattern) {
	key := [MinMasked]byte([]byte(p.text[:MinMasked]))
	if !slices.Contains(ps[key], p) {
		ps[key] = append(ps[key], p)
	}
}

// pattern is a text that gives a secret away.
type pattern struct {
	text string
	// encoded is base64, whose neighbours hold bits of the value too.
	encoded bool
}

// NewMask returns a mask of values, those below MinMasked characters left out; nil when none is left.
func NewMask(values []string) *Mask {
	m := &Mask{patterns{}, patterns{}}
	for _, value := range values {
		if utf8.RuneCountInString(value) >= MinMasked {
			m.add(value)
		}
	}
	if len(m.raw) == 0 {
		return nil
	}
	return m
}

func (m *Mask) add(value string) {
	m.raw.add(pattern{value, false})
	if f, _ := fold(value); len(f) >= MinMasked {
		m.folded.add(pattern{f, false})
	} else {
		// Escapes are most of the value: only its usual spellings are searched for.
		for _, spelling := range spellings(value) {
			m.raw.add(pattern{spelling, false})
		}
	}
	for _, inner := range append(spellings(value), value) {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			for before := range 3 {
				text := aligned(encoding, inner, before)
				m.raw.add(pattern{text, true})
				f, _ := fold(text)
				m.folded.add(pattern{f, true})
			}
		}
	}
}

// spellings are the usual escaped forms of a value that differ from it.
func spellings(value string) []string {
	var html, plain bytes.Buffer
	_ = json.NewEncoder(&html).Encode(value) // Strings have JSON.
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	_ = e.Encode(value)
	unquoted := func(b []byte) string { return string(b[1 : len(b)-2]) }
	all := []string{unquoted(html.Bytes()), unquoted(plain.Bytes()), url.QueryEscape(value), url.PathEscape(value)}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == value })
}

// aligned returns those characters of the base64 of a text that holds the value after so many bytes
// (modulo 3) which depend on the value alone.
func aligned(encoding *base64.Encoding, value string, before int) string {
	text := encoding.EncodeToString(append(make([]byte, before), value...))
	first := []int{0, 2, 3}[before]
	whole := (before + len(value)) * 8 / 6
	return text[first:whole]
}

// span is a part of a text.
type span struct{ from, to int }

// Text returns a text with each value in it replaced by Hidden. A text that ends within a value, since
// it was cut there, ends before it.
func (m *Mask) Text(s string) string {
	if m == nil || len(s) < MinMasked {
		return s
	}
	hits := m.hits(s)
	if len(hits) == 0 {
		return s
	}
	slices.SortFunc(hits, func(a, b span) int { return a.from - b.from })
	var out strings.Builder
	at := 0
	for i := 0; i < len(hits); {
		hit := hits[i]
		for i++; i < len(hits) && hits[i].from <= hit.to; i++ {
			hit.to = max(hit.to, hits[i].to)
		}
		out.WriteString(s[at:hit.from])
		out.WriteString(Hidden)
		at = hit.to
	}
	out.WriteString(s[at:])
	return out.String()
}

func (m *Mask) hits(s string) []span {
	var hits []span
	find(s, m.raw, func(from, to int, p pattern) { hits = append(hits, widened(s, span{from, to}, p)) })
	folded, origin := fold(s)
	if origin == nil {
		find(folded, m.folded, func(from, to int, p pattern) { hits = append(hits, widened(s, span{from, to}, p)) })
	} else {
		find(folded, m.folded, func(from, to int, p pattern) {
			hits = append(hits, widened(s, span{origin[from], origin[to]}, p))
		})
	}
	return hits
}

// find reports where the patterns are in a text, and where its end begins one.
func find(s string, ps patterns, hit func(from, to int, p pattern)) {
	var window [MinMasked]byte
	for at := 0; at+MinMasked <= len(s); at++ {
		copy(window[:], s[at:])
		for _, p := range ps[window] {
			switch rest := s[at:]; {
			case strings.HasPrefix(rest, p.text):
				hit(at, at+len(p.text), p)
			case strings.HasPrefix(p.text, rest):
				hit(at, len(s), p)
			}
		}
	}
}

// widened takes in the neighbours of base64 that share bits with it.
func widened(s string, at span, p pattern) span {
	if !p.encoded {
		return at
	}
	isEncoded := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("+/-_", c) >= 0
	}
	if at.from > 0 && isEncoded(s[at.from-1]) {
		at.from--
	}
	if at.to < len(s) && isEncoded(s[at.to]) {
		at.to++
	}
	return at
}

// JSON returns the text of a JSON value with each secret hidden, as JSON. A value in which they cannot
// be hidden one by one is hidden as a whole.
func (m *Mask) JSON(text []byte) []byte {
	if m == nil {
		return text
	}
	var out []byte
	for i := 0; i < len(text); {
		end := i + 1
		switch c := text[i]; {
		case c == '"':
			for end < len(text) && text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			end = min(end+1, len(text))
			out = append(out, m.quoted(text[i:end])...)
		case c == '-' || c >= '0' && c <= '9':
			for end < len(text) && strings.IndexByte("0123456789+-.eE", text[end]) >= 0 {
				end++
			}
			if number := string(text[i:end]); m.Text(number) != number {
				out = append(out, `"`+Hidden+`"`...)
			} else {
				out = append(out, number...)
			}
		default:
			out = append(out, c)
		}
		i = end
	}
	if !json.Valid(out) || len(m.hits(string(out))) > 0 {
		return []byte(`"` + Hidden + `"`)
	}
	return out
}

// quoted masks a string of JSON, which stays as it was written if it holds nothing.
func (m *Mask) quoted(text []byte) []byte {
	var s string
	if json.Unmarshal(text, &s) != nil {
		return []byte(`"` + Hidden + `"`)
	}
	masked := m.Text(s)
	if masked == s {
		return text
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(masked) // Strings have JSON.
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// maxFolds bounds how often what was escaped is escaped again.
const maxFolds = 6

// fold undoes the escapes of JSON and of URLs until none is left, so that a value and all its spellings
// become one text. Origin maps offsets to those of s, the end included; nil when nothing changed. Text
// that only looks like an escape is folded too, in a value as in what it is searched in.
func fold(s string) (folded string, origin []int) {
	for range maxFolds {
		if !strings.ContainsAny(s, `\%+`) {
			break
		}
		next, at := foldOnce(s)
		if next == s {
			break
		}
		if origin != nil {
			for i, o := range at {
				at[i] = origin[o]
			}
		}
		s, origin = next, at
	}
	return s, origin
}

func foldOnce(s string) (string, []int) {
	out, origin := make([]byte, 0, len(s)), make([]int, 0, len(s)+1)
	put := func(from int, b ...byte) {
		for range b {
			origin = append(origin, from)
		}
		out = append(out, b...)
	}
	for i := 0; i < len(s); {
		switch c := s[i]; c {
		case '\\':
			r, next := unescape(s, i)
			put(i, r...)
			i = next
		case '%':
			if b, ok := hexByte(s, i+1, 2); ok {
				put(i, byte(b))
				i += 3
				continue
			}
			put(i, c)
			i++
		case '+':
			put(i, ' ')
			i++
		default:
			put(i, c)
			i++
		}
	}
	return string(out), append(origin, len(s))
}

// unescape reads an escape of JSON, whose backslash may be a run of them, since escaping again doubles
// it. A run with nothing behind it stands for nothing.
func unescape(s string, i int) (plain []byte, next int) {
	for i < len(s) && s[i] == '\\' {
		i++
	}
	if i == len(s) {
		return nil, i
	}
	switch s[i] {
	case 'b':
		return []byte{'\b'}, i + 1
	case 'f':
		return []byte{'\f'}, i + 1
	case 'n':
		return []byte{'\n'}, i + 1
	case 'r':
		return []byte{'\r'}, i + 1
	case 't':
		return []byte{'\t'}, i + 1
	case 'u':
		first, ok := hexByte(s, i+1, 4)
		if !ok {
			break
		}
		if j := i + 5; utf16.IsSurrogate(rune(first)) && j < len(s) && s[j] == '\\' {
			for j < len(s) && s[j] == '\\' {
				j++
			}
			if j < len(s) && s[j] == 'u' {
				if second, ok := hexByte(s, j+1, 4); ok {
					if r := utf16.DecodeRune(rune(first), rune(second)); r != utf8.RuneError {
						return utf8.AppendRune(nil, r), j + 5
					}
				}
			}
		}
		return utf8.AppendRune(nil, rune(first)), i + 5
	}
	// The character itself is read next: it may begin an escape of a URL.
	return nil, i
}

func hexByte(s string, at, digits int) (uint64, bool) {
	if at+digits > len(s) {
		return 0, false
	}
	n, err := strconv.ParseUint(s[at:at+digits], 16, 32)
	return n, err == nil
}
