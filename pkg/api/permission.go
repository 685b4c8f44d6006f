package api

import (
	"encoding/json"
	"fmt"

	"longshore/pkg/action"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// actionPermissionsBody answers with an action's permissions.
type actionPermissionsBody struct {
	permissionsBody
	// Warnings are the expressions that do not compile; nil leaves them out.
	Warnings []jqtemplate.Warning `json:"warnings,omitzero"`
}

// getActionPermissions answers GET /v1/actions/{action_identifier}/permissions.
func (s *server) getActionPermissions(r *request) (*answer, error) {
	e, err := s.entry(r)
	if err != nil {
		return nil, err
	}
	view, err := action.PermissionsView(e.Record.Permissions)
	if err != nil {
		return nil, err
	}
	return ok(permissionsBody{true, view})
}

// patchActionPermissions answers PATCH /v1/actions/{action_identifier}/permissions.
func (s *server) patchActionPermissions(r *request) (*answer, error) {
	change, err := action.ParsePermissions(r.body)
	if err != nil {
		return nil, fmt.Errorf("read permissions: %w", err)
	}
	for try := 1; ; try++ {
		view, err := s.mergePermissions(r)
		if err == nil {
			return ok(actionPermissionsBody{permissionsBody{true, view}, append([]jqtemplate.Warning{}, change.Warnings...)})
		}
		if !fault.Is(err, "conflict") || try == replaceTries {
			return nil, err
		}
	}
}

// mergePermissions writes a change of permissions and returns them as they are now.
func (s *server) mergePermissions(r *request) (json.RawMessage, error) {
	e, err := s.entry(r)
	if err != nil {
		return nil, err
	}
	record := *e.Record
	if record.Permissions, err = action.MergePermissions(record.Permissions, r.body); err != nil {
		return nil, err
	}
	if err := record.Fits(); err != nil {
		return nil, err
	}
	// What cannot be shown is not stored.
	view, err := action.PermissionsView(record.Permissions)
	if err != nil {
		return nil, err
	}
	if err := s.Actions.Replace(r.Context(), record.Identifier, &record); err != nil {
		return nil, fmt.Errorf("write permissions: %w", err)
	}
	return view, nil
}
