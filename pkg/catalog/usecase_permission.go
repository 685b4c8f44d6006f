package catalog

import (
	"context"
	"encoding/json"
	"fmt"

	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// permissionKinds are the kinds of writes that a blueprint's permissions are about.
func permissionKinds() []string { return []string{"register", "unregister", "update"} }

// Permissions returns a blueprint's permissions: those that were written, else the defaults, by which
// admins may do everything.
func (s *Service) Permissions(ctx context.Context, identifier string) (json.RawMessage, error) {
	k, err := s.Blueprint(ctx, identifier)
	if err != nil {
		return nil, err
	}
	return k.permissions(), nil
}

func (k *Kept) permissions() json.RawMessage {
	if k.Record.Permissions != nil {
		return k.Record.Permissions
	}
	block := func() any {
		o := new(jqtemplate.Object)
		o.Set("users", []any{})
		o.Set("roles", []any{"Admin"})
		o.Set("teams", []any{})
		o.Set("ownedByTeam", false)
		return o
	}
	entities, properties, relations := new(jqtemplate.Object), new(jqtemplate.Object), new(jqtemplate.Object)
	for _, kind := range permissionKinds() {
		entities.Set(kind, block())
	}
	if d := k.Definition; d != nil {
		for _, p := range d.Properties {
			properties.Set(p.Name, block())
		}
		for _, r := range d.Relations {
			relations.Set(r.Name, block())
		}
	}
	entities.Set("updateProperties", properties)
	entities.Set("updateRelations", relations)
	all := new(jqtemplate.Object)
	all.Set("entities", entities)
	return jqtemplate.Encode(all)
}

// PatchPermissions merges a change into a blueprint's permissions and returns them: blocks are merged
// member by member, lists and policies replaced; null removes a block or a policy.
func (s *Service) PatchPermissions(ctx context.Context, identifier string, text json.RawMessage, by Author) (json.RawMessage, error) {
	if err := checkPermissions(text); err != nil {
		return nil, err
	}
	change, err := document.Compact(text)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		k, err := s.Blueprint(ctx, identifier)
		if err != nil {
			return nil, err
		}
		b := *k.Record
		b.Permissions = mergePermissions(k.permissions(), change)
		if err := b.fits(); err != nil {
			return nil, err
		}
		err = s.store.ReplaceBlueprint(ctx, identifier, &b, permissionsEntry(&b, k.permissions(), b.Permissions, by))
		if err == nil {
			return b.Permissions, nil
		}
		if !again(ctx, err, try) {
			return nil, fmt.Errorf("write permissions: %w", err)
		}
	}
}

func mergePermissions(stored, change json.RawMessage) json.RawMessage {
	all, err := document.ParseMembers(stored)
	if err != nil {
		return change
	}
	given, err := document.ParseMembers(change)
	if err != nil {
		return stored
	}
	given, err = document.ParseMembers(or(given.Get("entities")))
	if err != nil {
		return stored
	}
	entities, err := document.ParseMembers(all.Get("entities"))
	if err != nil {
		entities = new(document.Members)
	}
	for name, value := range given.All() {
		depth := 1
		if name == "updateProperties" || name == "updateRelations" {
			depth = 2
		}
		mergeMember(entities, name, value, depth)
	}
	all.Set("entities", entities.Encode())
	return all.Encode()
}

// fits refuses a blueprint that is too large to be stored.
func (b *Blueprint) fits() error {
	if size := len(b.Definition) + len(b.Permissions); size > MaxBlueprint {
		return fault.New(fault.Invalid, "", "a blueprint and its permissions may have at most %d bytes together, these have %d", MaxBlueprint, size)
	}
	return nil
}

// PermissionWarnings returns the expressions in a change of permissions that do not compile.
func PermissionWarnings(text json.RawMessage) []jqtemplate.Warning {
	warnings, _ := permissionWarnings(text)
	return warnings
}

// checkPermissions finds the faults of a change of permissions.
func checkPermissions(text json.RawMessage) error {
	_, err := permissionWarnings(text)
	return err
}

func permissionWarnings(text json.RawMessage) ([]jqtemplate.Warning, error) {
	o, err := decodeObject(text, "the body")
	if err != nil {
		return nil, err
	}
	var faults document.Faults
	var warnings []jqtemplate.Warning
	block := func(v any, path string) {
		if b := parseBlock(&faults, v, path, ActionBlock(), true); b != nil && b.Policy != nil {
			warnings = append(warnings, b.Policy.Warnings...)
		}
	}
	faults.Finite(o, "")
	for name := range o.All() {
		if name != "entities" {
			faults.Add(document.Below("", name), "is not a member of permissions; they have entities")
		}
	}
	if v, ok := o.Get("entities"); ok && v != nil && document.Object(o, "entities") == nil {
		faults.Add("entities", "must be an object")
	}
	for name, v := range document.Object(o, "entities").All() {
		path := document.Below("entities", name)
		switch name {
		case "read", "register", "unregister", "update":
			block(v, path)
		case "updateProperties", "updateRelations":
			group, isObject := v.(*jqtemplate.Object)
			if !isObject && v != nil {
				faults.Add(path, "must be an object")
			}
			for member, v := range group.All() {
				block(v, document.Below(path, member))
			}
		default:
			faults.Add(path, "is not known; there are read, register, unregister, update, updateProperties, updateRelations")
		}
	}
	return warnings, faults.Err()
}
