package audit

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Members returns the names of what the API shows of an entry, in the order in which it does.
func Members() []string {
	return []string{"identifier", "action", "resourceType", "status", "context", "diff", "trigger", "additionalData"}
}

// View returns an entry of an organization as the API returns it: of the members those that are named, all
// when none is.
func (e *Entry) View(orgID string, members []string) (json.RawMessage, error) {
	type user struct {
		Email string `json:"email"`
	}
	type by struct {
		UserID string `json:"userId"`
		OrgID  string `json:"orgId,omitempty"`
		User   *user  `json:"user,omitempty"`
	}
	who := by{UserID: e.By.ID, OrgID: orgID}
	if e.By.Email != "" {
		who.User = &user{e.By.Email}
	}
	values := map[string]any{
		"identifier":   e.ID,
		"action":       e.Action,
		"resourceType": e.Resource,
		// What was refused has changed nothing and has no entry.
		"status":  "SUCCESS",
		"context": e.context(),
		"diff": struct {
			Before json.RawMessage `json:"before"`
			After  json.RawMessage `json:"after"`
		}{e.Before, e.After},
		"trigger": struct {
			By     by     `json:"by"`
			Origin string `json:"origin"`
			At     string `json:"at"`
		}{who, e.By.Origin, e.By.At.UTC().Format("2006-01-02T15:04:05.000Z")},
		"additionalData": struct{}{},
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	separator := byte('{')
	for _, name := range Members() {
		if len(members) > 0 && !slices.Contains(members, name) {
			continue
		}
		b.WriteByte(separator)
		separator = ','
		b.WriteString(`"` + name + `":`)
		if err := encoder.Encode(values[name]); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1) // the line's end
	}
	if separator == '{' {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// context names what an entry is about. Members that say nothing are absent.
func (e *Entry) context() any {
	c := struct {
		Blueprint string `json:"blueprint,omitempty"`
		Entity    string `json:"entity,omitempty"`
		Action    string `json:"action,omitempty"`
		Secret    string `json:"secret,omitempty"`
		RunID     string `json:"runId,omitempty"`
	}{Blueprint: e.Blueprint, Entity: e.Entity, RunID: e.Run()}
	switch e.Resource {
	case Action:
		c.Action = e.Identifier
	case Permission:
		// Those of a blueprint belong to it alone.
		if e.Blueprint != e.Identifier {
			c.Action = e.Identifier
		}
	case Secret:
		c.Secret = e.Identifier
	}
	return c
}
