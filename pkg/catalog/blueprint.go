package catalog

import (
	"encoding/json"
	"fmt"
	"time"

	"longshore/pkg/document"
)

// timeFormat is RFC 3339 with milliseconds, of times in UTC.
const timeFormat = "2006-01-02T15:04:05.000Z"

func timeText(t time.Time) string { return t.UTC().Format(timeFormat) }

// indexed returns the path of an item.
func indexed(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// CompactBlueprint returns a blueprint's text as it is stored: compact, without the times and authors
// that a client sends back with what it read, and with the given identifier if it has none.
func CompactBlueprint(text []byte, identifier string) (json.RawMessage, error) {
	if _, err := decodeObject(text, "a blueprint"); err != nil {
		return nil, err
	}
	compact, err := document.Compact(text)
	if err != nil {
		return nil, err
	}
	m, err := document.ParseMembers(compact)
	if err != nil {
		return nil, fmt.Errorf("compact blueprint: %w", err)
	}
	m.Remove("createdAt", "updatedAt", "createdBy", "updatedBy")
	if identifier != "" && !document.IsSet(m.Get("identifier")) {
		m.SetText("identifier", identifier)
	}
	return m.Encode(), nil
}

// groups are the members of a blueprint that hold named things beside its schema. Answers always have
// them.
func groups() []string {
	return []string{"relations", "mirrorProperties", "calculationProperties", "aggregationProperties"}
}

// BlueprintView returns a blueprint as the API returns it: the text that was sent, in its order and
// with its numbers' own text; relations and the three groups of computed properties, {} where they are
// absent; many and required of every relation; then createdAt, updatedAt, createdBy, updatedBy.
// Nothing else is added. An error is our own.
func BlueprintView(b *Blueprint) (json.RawMessage, error) {
	m, err := document.ParseMembers(b.Definition)
	if err != nil {
		return nil, fmt.Errorf("show blueprint %s: %w", b.Identifier, err)
	}
	if err := completeBlueprint(m); err != nil {
		return nil, fmt.Errorf("show blueprint %s: %w", b.Identifier, err)
	}
	m.SetText("createdAt", timeText(b.CreatedAt))
	m.SetText("updatedAt", timeText(b.UpdatedAt))
	m.SetText("createdBy", b.CreatedBy)
	m.SetText("updatedBy", b.UpdatedBy)
	return m.Encode(), nil
}

func completeBlueprint(m *document.Members) error {
	for _, name := range groups() {
		if !document.IsSet(m.Get(name)) {
			m.Set(name, json.RawMessage(`{}`))
		}
	}
	relations, err := document.ParseMembers(m.Get("relations"))
	if err != nil {
		return fmt.Errorf("relations: %w", err)
	}
	for name, text := range relations.All() {
		relation, err := document.ParseMembers(text)
		if err != nil {
			return fmt.Errorf("relation %s: %w", name, err)
		}
		for _, flag := range []string{"required", "many"} {
			if !document.IsSet(relation.Get(flag)) {
				relation.Set(flag, json.RawMessage(`false`))
			}
		}
		relations.Set(name, relation.Encode())
	}
	m.Set("relations", relations.Encode())
	return nil
}

// MergeBlueprint returns the text of a stored blueprint changed by the body of a PATCH. Members that
// are not given stay, a null takes an optional one away. Of the schema, properties are merged one by
// one and member by member (in a PATCH a property need not say its type), and the list of required
// ones is replaced; relations and computed properties are merged one by one, each replaced whole; every
// other member is replaced. The result is not checked: see ParseBlueprint. The error is a
// fault.Invalid, or our own for a stored text that is none.
func MergeBlueprint(stored, patch json.RawMessage) (json.RawMessage, error) {
	change, err := CompactBlueprint(patch, "")
	if err != nil {
		return nil, err
	}
	given, err := document.ParseMembers(change)
	if err != nil {
		return nil, fmt.Errorf("merge blueprint: %w", err)
	}
	m, err := document.ParseMembers(stored)
	if err != nil {
		return nil, fmt.Errorf("merge blueprint: %w", err)
	}
	depth := map[string]int{"schema": 3}
	for _, name := range groups() {
		depth[name] = 1
	}
	for name, value := range given.All() {
		switch name {
		case "identifier", "title", "schema": // These are required: null is a fault.
			m.Set(name, mergeText(m.Get(name), value, depth[name]))
		default:
			mergeMember(m, name, value, depth[name])
		}
	}
	return m.Encode(), nil
}

func mergeMember(m *document.Members, name string, value json.RawMessage, depth int) {
	if !document.IsSet(value) {
		m.Remove(name)
		return
	}
	m.Set(name, mergeText(m.Get(name), value, depth))
}

// mergeText merges objects down to a depth; anything else is replaced.
func mergeText(stored, given json.RawMessage, depth int) json.RawMessage {
	if depth == 0 {
		return given
	}
	change, err := document.ParseMembers(given)
	if err != nil {
		return given
	}
	m, err := document.ParseMembers(stored)
	if err != nil {
		return given
	}
	for name, value := range change.All() {
		mergeMember(m, name, value, depth-1)
	}
	return m.Encode()
}
