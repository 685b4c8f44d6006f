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

// ParseMembers reads an object's text.
func ParseMembers(text []byte) (*Members, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, _ := d.Token(); t != json.Delim('{') {
		return nil, errors.New("read document: it is no object")
	}
	m := new(Members)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("read document: %w", err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("read document: %w", err)
		}
		name, _ := t.(string)
		m.Set(name, value)
	}
	return m, nil
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
	var b bytes.Buffer
	b.WriteByte('{')
	for i, e := range m.list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(jqtemplate.Encode(e.name))
		b.WriteByte(':')
		b.Write(e.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// IsSet reports whether a member's text is there and not null.
func IsSet(text json.RawMessage) bool { return len(text) > 0 && string(text) != "null" }
