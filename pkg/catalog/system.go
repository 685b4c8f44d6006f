package catalog

import (
	"encoding/json"
	"fmt"

	"longshore/pkg/document"
	"longshore/pkg/fault"
)

// The blueprints of users and teams. They are there from the beginning and are never deleted.
const (
	UserBlueprint = "_user"
	TeamBlueprint = "_team"
)

// IsSystem reports whether a blueprint is built in.
func IsSystem(identifier string) bool {
	return identifier == UserBlueprint || identifier == TeamBlueprint
}

// SystemBlueprint returns the built-in part of a blueprint as compact text: what it is at the
// beginning, and what it keeps. fault.NotFound for a blueprint that is not built in.
func SystemBlueprint(identifier string) (json.RawMessage, error) {
	if !IsSystem(identifier) {
		return nil, fault.New(fault.NotFound, "", "there is no system blueprint %q", identifier)
	}
	text, err := schemaFiles.ReadFile("schema/system.json")
	if err != nil {
		return nil, fmt.Errorf("read system blueprints: %w", err)
	}
	all, err := document.ParseMembers(text)
	if err != nil {
		return nil, fmt.Errorf("read system blueprints: %w", err)
	}
	return document.Compact(all.Get(identifier))
}

// CompleteSystem returns the text of a system blueprint as it is stored after a PUT of text, or after
// a PATCH merged it: a client may add and remove properties, relations and whatever else is its own;
// the built-in ones are put back as they are. Members at the top that it leaves out are those of the
// beginning. The result is not checked: see ParseBlueprint. A fault.Invalid when it would be renamed.
func CompleteSystem(identifier string, text json.RawMessage) (json.RawMessage, error) {
	own, err := SystemBlueprint(identifier)
	if err != nil {
		return nil, err
	}
	compact, err := CompactBlueprint(text, identifier)
	if err != nil {
		return nil, err
	}
	sent, err := document.ParseMembers(compact)
	if err != nil {
		return nil, fmt.Errorf("complete blueprint %s: %w", identifier, err)
	}
	var name string
	if err := json.Unmarshal(sent.Get("identifier"), &name); err != nil || name != identifier {
		return nil, fault.InvalidDetails([]fault.Detail{{Path: "identifier", Message: "a system blueprint cannot be renamed"}})
	}
	builtIn, err := document.ParseMembers(own)
	if err != nil {
		return nil, fmt.Errorf("complete blueprint %s: %w", identifier, err)
	}
	for name, value := range builtIn.All() {
		given := sent.Get(name)
		switch {
		case name == "schema":
			sent.Set(name, putBack(given, value, 2))
		case document.IsSet(given) && name != "identifier":
			sent.Set(name, putBack(given, value, 1))
		default:
			sent.Set(name, value)
		}
	}
	return sent.Encode(), nil
}

// putBack returns the given text with the members of the built-in one, in objects down to a depth.
// What is no object where the built-in one is, is left for ParseBlueprint to refuse.
func putBack(given, builtIn json.RawMessage, depth int) json.RawMessage {
	if !document.IsSet(given) || depth == 0 {
		if depth == 0 || len(given) == 0 {
			return builtIn
		}
		return given
	}
	m, err := document.ParseMembers(given)
	if err != nil {
		return given
	}
	own, err := document.ParseMembers(builtIn)
	if err != nil {
		return given
	}
	for name, value := range own.All() {
		m.Set(name, putBack(m.Get(name), value, depth-1))
	}
	return m.Encode()
}
