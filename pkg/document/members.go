package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"

	"longshore/pkg/jqtemplate"
)

// Members are an object's members in order, their values as text: so numbers, escapes and order below
// stay as they were sent. Of a repeated member the last value counts, at the first place. The zero
// value is empty and ready.
type Members struct {
	list []member
	// at leads into list once there are many.
	at map[string]int
}

type member struct {
	name  string
	value json.RawMessage
}

// fewMembers is how many members are looked through one by one.
const fewMembers = 16

// ParseMembers reads an object's text. It shares its values with the text, and does not look into them:
// whatever was decoded before, or is stored, is good.
func ParseMembers(text []byte) (*Members, error) {
	s := scanner{text: text}
	if s.next() != '{' {
		return nil, errors.New("read document: it is no object")
	}
	s.at++
	m := new(Members)
	if s.next() == '}' {
		return m, s.end()
	}
	for {
		name, err := s.name()
		if err != nil {
			return nil, err
		}
		value := s.value()
		if len(value) == 0 {
			return nil, s.malformed()
		}
		m.Set(name, value)
		switch s.next() {
		case ',':
			s.at++
		case '}':
			return m, s.end()
		default:
			return nil, s.malformed()
		}
	}
}

// scanner steps through the text of an object.
type scanner struct {
	text []byte
	at   int
}

func (s *scanner) malformed() error {
	return fmt.Errorf("read document: malformed JSON at byte %d", s.at)
}

// next skips white space and returns the byte behind it, 0 at the end.
func (s *scanner) next() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// end takes the object's last brace, behind which nothing may stand.
func (s *scanner) end() error {
	s.at++
	if s.next(); s.at < len(s.text) {
		return s.malformed()
	}
	return nil
}

// name takes a member's name and the colon.
func (s *scanner) name() (string, error) {
	if s.next() != '"' {
		return "", s.malformed()
	}
	start := s.at
	s.skipString()
	quoted := s.text[start:s.at]
	if len(quoted) < 2 || s.next() != ':' {
		return "", s.malformed()
	}
	s.at++
	if isPlain(quoted[1 : len(quoted)-1]) {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	var name string
	if err := json.Unmarshal(quoted, &name); err != nil {
		return "", fmt.Errorf("read document: %w", err)
	}
	return name, nil
}

// skipString goes behind the string that begins here.
func (s *scanner) skipString() {
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return
		}
	}
	s.at = len(s.text)
}

// value takes the text of a value; it is empty where there is none.
func (s *scanner) value() json.RawMessage {
	s.next()
	start, depth := s.at, 0
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case '"':
			s.skipString()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return trimmed(s.text[start:s.at])
			}
			depth--
		case ',':
			if depth == 0 {
				return trimmed(s.text[start:s.at])
			}
		}
		s.at++
	}
	return nil
}

// trimmed returns a value without the white space behind it, fit to be appended to.
func trimmed(text []byte) json.RawMessage {
	text = bytes.TrimRight(text, " \t\n\r")
	return text[:len(text):len(text)]
}

// isPlain reports whether a string stands in JSON as it is, and can do so byte by byte.
func isPlain[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func (m *Members) find(name string) int {
	if m.at != nil {
		if i, ok := m.at[name]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(m.list, func(e member) bool { return e.name == name })
}

// Len returns the number of members.
func (m *Members) Len() int { return len(m.list) }

// All yields the members in order.
func (m *Members) All() iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for _, e := range m.list {
			if !yield(e.name, e.value) {
				return
			}
		}
	}
}

// Get returns a member's text, nil when there is none.
func (m *Members) Get(name string) json.RawMessage {
	if i := m.find(name); i >= 0 {
		return m.list[i].value
	}
	return nil
}

// Set adds a member, or gives one that is there another value in its place.
func (m *Members) Set(name string, value json.RawMessage) {
	if i := m.find(name); i >= 0 {
		m.list[i].value = value
		return
	}
	m.list = append(m.list, member{name, value})
	switch {
	case m.at != nil:
		m.at[name] = len(m.list) - 1
	case len(m.list) > fewMembers:
		m.index()
	}
}

// SetText sets a member to a string.
func (m *Members) SetText(name, text string) { m.Set(name, jqtemplate.Encode(text)) }

// Remove removes members; the others keep their order.
func (m *Members) Remove(names ...string) {
	m.filter(func(e member) bool { return slices.Contains(names, e.name) })
}

// Keep removes all other members.
func (m *Members) Keep(names []string) {
	m.filter(func(e member) bool { return !slices.Contains(names, e.name) })
}

func (m *Members) filter(drop func(member) bool) {
	m.list = slices.DeleteFunc(m.list, drop)
	m.at = nil
	if len(m.list) > fewMembers {
		m.index()
	}
}

func (m *Members) index() {
	m.at = make(map[string]int, 2*len(m.list))
	for i, e := range m.list {
		m.at[e.name] = i
	}
}

// Encode returns the object's text.
func (m *Members) Encode() json.RawMessage {
	size := 2
	for _, e := range m.list {
		size += len(e.name) + len(e.value) + 4
	}
	b := append(make(json.RawMessage, 0, size), '{')
	for i, e := range m.list {
		if i > 0 {
			b = append(b, ',')
		}
		if isPlain(e.name) {
			b = append(append(append(b, '"'), e.name...), '"')
		} else {
			b = append(b, jqtemplate.Encode(e.name)...)
		}
		b = append(append(b, ':'), e.value...)
	}
	return append(b, '}')
}

// IsSet reports whether a member's text is there and not null.
func IsSet(text json.RawMessage) bool { return len(text) > 0 && string(text) != "null" }
