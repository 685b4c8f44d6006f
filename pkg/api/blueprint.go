package api

import (
	"encoding/json"
	"fmt"
	"net/http"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// withCatalog is a handler of a route of the catalog. A function without one has no such route.
func withCatalog(handle func(*server, *request) (*answer, error)) func(*server, *request) (*answer, error) {
	return func(s *server, r *request) (*answer, error) {
		if s.Catalog == nil {
			return nil, noRoute()
		}
		return handle(s, r)
	}
}

// author is the caller as the author of a change.
func (s *server) author(r *request) catalog.Author {
	by := catalog.Author{ID: r.caller.ID, Origin: origin(r.caller), Cause: r.caller.Cause(), At: s.now()}
	if r.caller.User != nil {
		by.Email = r.caller.User.Email
	}
	return by
}

// on is a flag that is off when it is absent.
func (q *query) on(name string) bool {
	value := q.flag(name)
	return value != nil && *value
}

// blueprintBody answers with one blueprint.
type blueprintBody struct {
	OK        bool            `json:"ok"`
	Blueprint json.RawMessage `json:"blueprint"`
	// Warnings are the calculations that do not compile; nil leaves them out.
	Warnings []jqtemplate.Warning `json:"warnings,omitzero"`
}

// savedBlueprint answers with a blueprint that was written.
func savedBlueprint(status int, k *catalog.Kept) (*answer, error) {
	view, err := catalog.BlueprintView(k.Record)
	if err != nil {
		return nil, err
	}
	warnings := append([]jqtemplate.Warning{}, k.Definition.Warnings...)
	return &answer{status: status, body: blueprintBody{OK: true, Blueprint: view, Warnings: warnings}}, nil
}

// listBlueprints answers GET /v1/blueprints.
func (s *server) listBlueprints(r *request) (*answer, error) {
	kept, err := s.Catalog.Blueprints(r.Context())
	if err != nil {
		return nil, fmt.Errorf("list blueprints: %w", err)
	}
	views := []json.RawMessage{}
	for _, k := range kept {
		view, err := catalog.BlueprintView(k.Record)
		if err != nil {
			return nil, err
		}
		views = append(views, view)
	}
	return ok(struct {
		OK         bool              `json:"ok"`
		Blueprints []json.RawMessage `json:"blueprints"`
	}{true, views})
}

// getBlueprint answers GET /v1/blueprints/{blueprint_identifier}.
func (s *server) getBlueprint(r *request) (*answer, error) {
	k, err := s.Catalog.Blueprint(r.Context(), r.params["blueprint_identifier"])
	if err != nil {
		return nil, err
	}
	view, err := catalog.BlueprintView(k.Record)
	if err != nil {
		return nil, err
	}
	return ok(blueprintBody{OK: true, Blueprint: view})
}

// createBlueprint answers POST /v1/blueprints.
func (s *server) createBlueprint(r *request) (*answer, error) {
	page := r.query().flag("create_catalog_page")
	k, err := s.Catalog.CreateBlueprint(r.Context(), r.body, page == nil || *page, s.author(r))
	if err != nil {
		return nil, err
	}
	return savedBlueprint(http.StatusCreated, k)
}

// replaceBlueprint answers PUT /v1/blueprints/{blueprint_identifier}.
func (s *server) replaceBlueprint(r *request) (*answer, error) {
	k, err := s.Catalog.ReplaceBlueprint(r.Context(), r.params["blueprint_identifier"], r.body, s.author(r))
	if err != nil {
		return nil, err
	}
	return savedBlueprint(http.StatusOK, k)
}

// patchBlueprint answers PATCH /v1/blueprints/{blueprint_identifier}.
func (s *server) patchBlueprint(r *request) (*answer, error) {
	k, err := s.Catalog.PatchBlueprint(r.Context(), r.params["blueprint_identifier"], r.body, s.author(r))
	if err != nil {
		return nil, err
	}
	return savedBlueprint(http.StatusOK, k)
}

// deleteBlueprint answers DELETE /v1/blueprints/{blueprint_identifier}. Its actions go after it, where that
// is asked for; if some are left because of a fault, the same request again deletes them. Who may not delete
// one of them deletes nothing.
func (s *server) deleteBlueprint(r *request) (*answer, error) {
	identifier, withActions := r.params["blueprint_identifier"], r.query().on("delete_actions")
	if withActions {
		if _, err := s.deletableActions(r, identifier); err != nil {
			return nil, err
		}
	}
	err := s.Catalog.DeleteBlueprint(r.Context(), identifier, s.author(r))
	gone := fault.KindOf(err) == fault.NotFound
	if err != nil && !gone {
		return nil, err
	}
	if withActions {
		deleted, failed := s.deleteActionsOf(r, identifier)
		if failed != nil {
			return nil, failed
		}
		gone = gone && deleted == 0
	}
	if gone {
		return nil, err
	}
	return ok(okOnly{true})
}

// deletableActions returns the self-service actions of a blueprint. fault.Forbidden when the caller may not
// delete one of them.
func (s *server) deletableActions(r *request, blueprint string) (actions []*action.Entry, err error) {
	entries, err := s.Cache.List(r.Context())
	if err != nil {
		return nil, fmt.Errorf("list actions: %w", err)
	}
	for _, e := range entries {
		if e.Definition == nil || e.Definition.Blueprint != blueprint {
			continue
		}
		if err := s.mayChange(r, e.Definition); err != nil {
			return nil, err
		}
		actions = append(actions, e)
	}
	return actions, nil
}

// deleteActionsOf deletes the self-service actions of a blueprint and returns how many there were.
func (s *server) deleteActionsOf(r *request, blueprint string) (deleted int, err error) {
	entries, err := s.deletableActions(r, blueprint)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		by := s.author(r)
		err := s.Actions.Delete(r.Context(), e.Record.Identifier, by.ID, by.At, action.Change(audit.Delete, e, nil, by))
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return 0, fmt.Errorf("delete action: %w", err)
		}
		deleted++
	}
	return deleted, nil
}

// permissionsBody answers with permissions.
type permissionsBody struct {
	OK          bool            `json:"ok"`
	Permissions json.RawMessage `json:"permissions"`
}

// getBlueprintPermissions answers GET /v1/blueprints/{blueprint_identifier}/permissions.
func (s *server) getBlueprintPermissions(r *request) (*answer, error) {
	permissions, err := s.Catalog.Permissions(r.Context(), r.params["blueprint_identifier"])
	if err != nil {
		return nil, err
	}
	return ok(permissionsBody{true, permissions})
}

// patchBlueprintPermissions answers PATCH /v1/blueprints/{blueprint_identifier}/permissions.
func (s *server) patchBlueprintPermissions(r *request) (*answer, error) {
	permissions, err := s.Catalog.PatchPermissions(r.Context(), r.params["blueprint_identifier"], r.body, s.author(r))
	if err != nil {
		return nil, err
	}
	return ok(warnedPermissions{permissionsBody{true, permissions}, append([]jqtemplate.Warning{}, catalog.PermissionWarnings(r.body)...)})
}

// getSystemStructure answers GET /v1/blueprints/system/{blueprint_identifier}/structure.
func (s *server) getSystemStructure(r *request) (*answer, error) {
	text, err := catalog.SystemBlueprint(r.params["blueprint_identifier"])
	if fault.KindOf(err) == fault.NotFound {
		return nil, fault.New(fault.NotFound, "", "there is no such system blueprint")
	}
	if err != nil {
		return nil, err
	}
	return ok(blueprintBody{OK: true, Blueprint: text})
}

// getPage answers GET /v1/pages/{page_identifier}: of pages there are only those of blueprints.
func (s *server) getPage(r *request) (*answer, error) {
	k, err := s.Catalog.Blueprint(r.Context(), r.params["page_identifier"])
	switch {
	case fault.KindOf(err) == fault.NotFound || err == nil && !k.Record.Page:
		return nil, fault.New(fault.NotFound, "", "there is no such page")
	case err != nil:
		return nil, err
	}
	title := k.Record.Identifier
	if k.Definition != nil {
		title = k.Definition.Title
	}
	type page struct {
		Identifier string `json:"identifier"`
		Title      string `json:"title"`
		Type       string `json:"type"`
	}
	return ok(struct {
		OK   bool `json:"ok"`
		Page page `json:"page"`
	}{true, page{k.Record.Identifier, title, "blueprint-entities"}})
}
