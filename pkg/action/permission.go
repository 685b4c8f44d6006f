package action

import (
	"encoding/json"
	"fmt"

	"longshore/pkg/catalog"
	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// Permissions say who may execute an action and who may approve its runs.
type Permissions struct {
	Execute, Approve *catalog.Block
	// Warnings are the expressions of policies that do not compile.
	Warnings []jqtemplate.Warning
}

// defaultPermissions are assumed where nothing was written, member by member; they are never stored.
const defaultPermissions = `{"execute":{"users":[],"roles":["Admin","Member"],"teams":[],"ownedByTeam":false,"policy":null},` +
	`"approve":{"users":[],"roles":["Admin"],"teams":[],"policy":null}}`

// PermissionsView returns permissions as the API returns them: what was written, in the text that was
// sent, and the defaults for all else. Stored is nil when nothing was ever written. An error is our own.
func PermissionsView(stored json.RawMessage) (json.RawMessage, error) {
	if stored == nil {
		return json.RawMessage(defaultPermissions), nil
	}
	view, err := overlay(json.RawMessage(defaultPermissions), stored, false)
	if err != nil {
		return nil, fmt.Errorf("show permissions: %w", err)
	}
	return view, nil
}

// MergePermissions returns what is stored after a change that ParsePermissions accepts, as compact text:
// the members of execute and approve are taken over one by one, lists and policies whole. Null changes
// nothing, but for a policy, which it removes.
func MergePermissions(stored, change json.RawMessage) (json.RawMessage, error) {
	change, err := document.Compact(change)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		stored = json.RawMessage(`{}`)
	}
	merged, err := overlay(stored, change, true)
	if err != nil {
		return nil, fmt.Errorf("merge permissions: %w", err)
	}
	return merged, nil
}

// overlay takes the members of the blocks of one text over into those of another; with removes a policy
// that is null takes the other's away.
func overlay(under, over json.RawMessage, removes bool) (json.RawMessage, error) {
	all, err := document.ParseMembers(under)
	if err != nil {
		return nil, err
	}
	given, err := document.ParseMembers(over)
	if err != nil {
		return nil, err
	}
	for name, text := range given.All() {
		if !document.IsSet(text) {
			continue
		}
		members, err := document.ParseMembers(text)
		if err != nil {
			return nil, err
		}
		block := new(document.Members)
		if old := all.Get(name); document.IsSet(old) {
			if block, err = document.ParseMembers(old); err != nil {
				return nil, err
			}
		}
		for name, value := range members.All() {
			switch {
			case document.IsSet(value):
				block.Set(name, value)
			case name == "policy" && removes:
				block.Remove(name)
			}
		}
		all.Set(name, block.Encode())
	}
	return all.Encode(), nil
}

// ParsePermissions checks permissions, or a change of them, and compiles their policies. All faults come
// in one fault.Invalid with their paths. JQ that does not compile is no fault but a warning.
func ParsePermissions(text json.RawMessage) (*Permissions, error) {
	v, err := jqtemplate.Decode(text)
	if err != nil {
		return nil, err
	}
	o, isObject := v.(*jqtemplate.Object)
	if !isObject {
		return nil, fault.New(fault.Invalid, "", "permissions must be an object")
	}
	p := new(Permissions)
	var faults document.Faults
	faults.Finite(o, "")
	for name, v := range o.All() {
		path := document.Below("", name)
		switch name {
		case "execute":
			p.Execute = catalog.ParseBlock(&faults, v, path, catalog.ActionBlock())
		case "approve":
			p.Approve = catalog.ParseBlock(&faults, v, path, catalog.ApprovalBlock())
		default:
			faults.Add(path, "is not a member of permissions; they have execute and approve")
		}
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	for _, b := range []*catalog.Block{p.Execute, p.Approve} {
		if b != nil && b.Policy != nil {
			p.Warnings = append(p.Warnings, b.Policy.Warnings...)
		}
	}
	return p, nil
}

// compilePermissions compiles the permissions of a record, the defaults where nothing was written.
func compilePermissions(r *Record) (*Permissions, error) {
	text, err := PermissionsView(r.Permissions)
	if err == nil {
		var p *Permissions
		if p, err = ParsePermissions(text); err == nil {
			return p, nil
		}
	}
	return nil, &fault.Error{
		Kind: fault.Invalid, Code: CodeUnreadable, Err: err,
		Message: fmt.Sprintf("the stored permissions of action %s cannot be read by this version; save them anew", r.Identifier),
	}
}

// Fits refuses a record that is too large to be stored: a fault.Invalid.
func (r *Record) Fits() error {
	if size := len(r.Definition) + len(r.Permissions); size > MaxSize {
		return fault.New(fault.Invalid, "", "a definition and its permissions may have at most %d bytes together, these have %d", MaxSize, size)
	}
	return nil
}
