package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"longshore/pkg/action"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/identity"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/permission"
	"longshore/pkg/run"
)

// warnedPermissions answers with permissions that were written.
type warnedPermissions struct {
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
			return ok(warnedPermissions{permissionsBody{true, view}, append([]jqtemplate.Warning{}, change.Warnings...)})
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
	if err := s.mayChange(r, e.Definition); err != nil {
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
	before, err := action.PermissionsView(e.Record.Permissions)
	if err != nil {
		return nil, err
	}
	by := s.author(r)
	if err := s.Actions.Replace(r.Context(), record.Identifier, &record, action.PermissionsChange(e, before, view, by)); err != nil {
		return nil, fmt.Errorf("write permissions: %w", err)
	}
	return view, nil
}

// permitted returns a request by a user whose changes of entities are judged by the permissions of their
// blueprints, whatever route they come by.
func (s *server) permitted(r *http.Request, caller identity.Caller) *http.Request {
	if caller.Call != nil {
		return r.WithContext(catalog.WithPermit(r.Context(), permitOwnChange))
	}
	if caller.User == nil || s.judge == nil {
		return r
	}
	return r.WithContext(catalog.WithPermit(r.Context(), func(ctx context.Context, c *catalog.Change) error {
		return s.judge.MayWrite(ctx, caller, c)
	}))
}

// definitionOf returns the definition of a run's action, whatever it is called now; nil when it is gone.
func (s *server) definitionOf(r *request, of *run.Run) (*action.Entry, error) {
	e, err := s.Cache.Get(r.Context(), of.Action.Identifier)
	switch {
	case e != nil && e.Record.ID == of.Action.ID:
		return e, nil
	case e == nil && fault.KindOf(err) != fault.NotFound:
		return nil, fmt.Errorf("get action: %w", err)
	}
	entries, err := s.Cache.List(r.Context())
	if err != nil {
		return nil, fmt.Errorf("list actions: %w", err)
	}
	for _, e := range entries {
		if e.Record.ID == of.Action.ID {
			return e, nil
		}
	}
	return nil, nil
}

// visible refuses a caller who may not see a run, as if there were none.
func (s *server) visible(r *request, of *run.Run) error {
	if permission.MayReport(r.caller, of) {
		return nil
	}
	e, err := s.definitionOf(r, of)
	if err != nil || !permission.Private(e, of) {
		return err
	}
	approvers, err := s.approversOf(r, of)
	if err != nil {
		return err
	}
	if !permission.MaySee(r.caller, of, true, approvers) {
		return fault.New(fault.NotFound, "", "there is no such run")
	}
	return nil
}

// seen returns which runs of a page the caller may see.
func (s *server) seen(r *request, page []*run.Record) ([]*run.Record, error) {
	var entries []*action.Entry
	var seen []*run.Record
	for _, record := range page {
		if !permission.MayReport(r.caller, record.Run) {
			if entries == nil {
				var err error
				if entries, err = s.Cache.List(r.Context()); err != nil {
					return nil, fmt.Errorf("list actions: %w", err)
				}
			}
			var of *action.Entry
			for _, e := range entries {
				if e.Record.ID == record.Action.ID {
					of = e
				}
			}
			if !permission.MaySee(r.caller, record.Run, permission.Private(of, record.Run), approvers(record)) {
				continue
			}
		}
		seen = append(seen, record)
	}
	return seen, nil
}

// reportable refuses a caller who may not report on a run; who may not see it learns nothing of it.
func (s *server) reportable(r *request, of *run.Run) error {
	if permission.MayReport(r.caller, of) {
		return nil
	}
	if err := s.visible(r, of); err != nil {
		return err
	}
	return fault.New(fault.Forbidden, "", "only the run's own user, admins and the organization's client may change run %s", of.ID)
}

// approversOf reads who may approve a run.
func (s *server) approversOf(r *request, of *run.Run) ([]permission.Approver, error) {
	record, err := s.Runs.Read(r.Context(), of.ID)
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	return approvers(record), nil
}

// approvers are those who may approve a run that waits, or could.
func approvers(record *run.Record) []permission.Approver {
	if record.Approval == nil {
		return nil
	}
	list := make([]permission.Approver, len(record.Approval.Approvers))
	for i, a := range record.Approval.Approvers {
		list[i] = permission.Approver{UserID: a.UserID, Email: a.Email}
	}
	return list
}
