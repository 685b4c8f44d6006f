package main

import (
	"bytes"
	"context"
	"fmt"

	"longshore/pkg/action"
	"longshore/pkg/api/client"
	values "longshore/pkg/document"
	"longshore/pkg/jqtemplate"
)

// takePermissions takes the permissions beside an action out of its document.
func (d *document) takePermissions() error {
	members, err := values.ParseMembers(d.text)
	if err != nil {
		return err
	}
	text := members.Get("permissions")
	if text == nil {
		return nil
	}
	members.Remove("permissions")
	d.text = members.Encode()
	d.value.Delete("permissions")
	if !values.IsSet(text) {
		return nil
	}
	// It is known before anything is written.
	if _, err := action.ParsePermissions(text); err != nil {
		return fmt.Errorf("permissions of action %s: %w", d.identifier, err)
	}
	d.permissions = text
	return nil
}

// applyPermissions makes the server's permissions have what a document says; what it does not say stays.
func applyPermissions(ctx context.Context, server *client.Client, d *document) (wrote bool, warnings []jqtemplate.Warning, err error) {
	current, err := server.Permissions(ctx, d.identifier)
	if err != nil {
		return false, nil, err
	}
	same, err := samePermissions(current, d.permissions)
	if err != nil || same {
		return false, nil, err
	}
	saved, err := server.PatchPermissions(ctx, d.identifier, d.permissions)
	return err == nil, saved.Warnings, err
}

// samePermissions reports whether permissions have all that others say.
func samePermissions(current, wanted []byte) (bool, error) {
	has, err := decodeObject(current)
	if err != nil {
		return false, err
	}
	says, err := decodeObject(wanted)
	if err != nil {
		return false, err
	}
	for name := range says.All() {
		for part, value := range member(says, name).All() {
			// Null says nothing, but of a policy.
			if value == nil && part != "policy" {
				continue
			}
			if !bytes.Equal(jqtemplate.Encode(values.Member(member(has, name), part)), jqtemplate.Encode(value)) {
				return false, nil
			}
		}
	}
	return true, nil
}
