package action

import (
	"encoding/json"
	"strconv"

	"longshore/pkg/audit"
)

// Change returns the entry of a change of a definition in the audit log; before and after are nil for what
// is not there. Of what they have, Record and Definition are read; a Definition may be nil.
func Change(kind string, before, after *Entry, by audit.Author) *audit.Entry {
	of, found := after, int64(0)
	if of == nil {
		of = before
	}
	if before != nil {
		found = before.Record.Rev
	}
	e := audit.Entry{
		Action: kind, Resource: audit.Action, Identifier: of.Record.Identifier, By: by,
		Before: audited(before), After: audited(after),
	}
	if of.Definition != nil {
		e.Blueprint = of.Definition.Blueprint
	}
	return audit.New(e, of.Record.ID+"#"+strconv.FormatInt(found, 10), found)
}

// PermissionsChange returns the entry of a change of a definition's permissions: before and after as they
// are returned.
func PermissionsChange(of *Entry, before, after json.RawMessage, by audit.Author) *audit.Entry {
	e := audit.Entry{
		Action: audit.Update, Resource: audit.Permission, Identifier: of.Record.Identifier, By: by, Before: before, After: after,
	}
	if of.Definition != nil {
		e.Blueprint = of.Definition.Blueprint
	}
	return audit.New(e, of.Record.ID+"#"+strconv.FormatInt(of.Record.Rev, 10), of.Record.Rev)
}

// audited is what the audit log has of a definition: what the API shows of it. What must not be read by
// whoever reads the log has to be masked here.
func audited(e *Entry) json.RawMessage {
	if e == nil {
		return nil
	}
	view, err := View(e.Record, e.Definition, "")
	if err != nil {
		return e.Record.Definition
	}
	return view
}
