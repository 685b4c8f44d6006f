package catalog

import (
	"encoding/json"
	"strconv"

	"longshore/pkg/audit"
)

// changed names a change for the audit log: an internal id, the rev that the change found, and the
// identifier, since a renamed thing keeps its id.
func changed(id string, rev int64, identifier string) string {
	return id + "#" + strconv.FormatInt(rev, 10) + "#" + identifier
}

// entityEntry returns the entry of a change of an entity; before and after are nil for what is not there.
func (n *snapshot) entityEntry(action string, before, after *Entity, by Author) *audit.Entry {
	found, of := before, after
	if found == nil {
		found = &Entity{}
	}
	if of == nil {
		of = before
	}
	e := audit.Entry{
		Action: action, Resource: audit.Entity, Identifier: of.Identifier, Entity: of.Identifier, By: by,
		Before: n.audited(before), After: n.audited(after),
	}
	if k := n.id[of.Blueprint]; k != nil {
		e.Blueprint = k.Record.Identifier
	}
	return audit.New(e, changed(of.ID, found.Rev, of.Identifier), found.Rev)
}

// audited is what the audit log has of an entity: what the API shows of it but for what is computed. What
// must not be read by whoever reads the log, a secret value, has to be masked here; what is stored sealed
// stays sealed.
func (n *snapshot) audited(e *Entity) json.RawMessage {
	if e == nil {
		return nil
	}
	k := n.id[e.Blueprint]
	if k == nil || k.Definition == nil {
		return e.Content
	}
	c, err := parseContent(e.Content)
	if err != nil {
		return e.Content
	}
	v := &viewer{d: k.Definition}
	return v.view(&node{e, c}, nil, Selection{}).Encode()
}

// blueprintEntry returns the entry of a change of a blueprint.
func blueprintEntry(action string, before, after *Blueprint, by Author) *audit.Entry {
	found, of := before, after
	if found == nil {
		found = &Blueprint{}
	}
	if of == nil {
		of = before
	}
	return audit.New(audit.Entry{
		Action: action, Resource: audit.Blueprint, Identifier: of.Identifier, Blueprint: of.Identifier, By: by,
		Before: auditedBlueprint(before), After: auditedBlueprint(after),
	}, changed(of.ID, found.Rev, of.Identifier), found.Rev)
}

// auditedBlueprint is what the audit log has of a blueprint: what the API shows of it.
func auditedBlueprint(b *Blueprint) json.RawMessage {
	if b == nil {
		return nil
	}
	view, err := BlueprintView(b)
	if err != nil {
		return b.Definition
	}
	return view
}

// permissionsEntry returns the entry of a change of a blueprint's permissions.
func permissionsEntry(b *Blueprint, before, after json.RawMessage, by Author) *audit.Entry {
	return audit.New(audit.Entry{
		Action: audit.Update, Resource: audit.Permission, Identifier: b.Identifier, Blueprint: b.Identifier, By: by,
		Before: before, After: after,
	}, changed(b.ID, b.Rev, b.Identifier), b.Rev)
}
