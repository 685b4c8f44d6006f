package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"unicode/utf8"

	"longshore/pkg/action"
	"longshore/pkg/audit"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

// replaceTries is how often a PUT starts over because somebody else wrote the definition meanwhile.
const replaceTries = 5

// maxIdentifier is the longest identifier of an action, in characters.
const maxIdentifier = 100

// actionBody answers with one definition.
type actionBody struct {
	OK     bool            `json:"ok"`
	Action json.RawMessage `json:"action"`
	// Warnings are the expressions that do not compile; nil leaves them out.
	Warnings []jqtemplate.Warning `json:"warnings,omitzero"`
}

// listActions answers GET /v1/actions.
func (s *server) listActions(r *request) (*answer, error) {
	q := r.query()
	selects, version := selection(q), r.version()
	if blueprint, within := r.within(); within {
		if err := s.ofBlueprint(r); err != nil {
			return nil, err
		}
		selected := selects
		selects = func(e *action.Entry) bool {
			return e.Definition != nil && e.Definition.Blueprint == blueprint && selected(e)
		}
	}
	entries, err := s.Cache.List(r.Context())
	if err != nil {
		return nil, fmt.Errorf("list actions: %w", err)
	}
	views := []json.RawMessage{}
	for _, e := range entries {
		if !selects(e) {
			continue
		}
		view, err := action.View(e.Record, e.Definition, version)
		if err != nil {
			return nil, err
		}
		views = append(views, view)
	}
	return ok(struct {
		OK      bool              `json:"ok"`
		Actions []json.RawMessage `json:"actions"`
	}{true, views})
}

// selection returns which definitions a query asks for: its parameters are ANDed, the values of one
// ORed. Of a definition that cannot be read only the identifier is known.
func selection(q *query) func(*action.Entry) bool {
	identifiers, blueprints := q.list("action_identifier"), q.list("blueprint_identifier")
	operations, kinds, published := q.list("operation"), q.list("trigger_type"), q.flag("published")
	events, eventActions := q.list("trigger_event"), q.list("trigger_event_action_identifier")
	in := func(list []string, value string) bool { return len(list) == 0 || slices.Contains(list, value) }
	return func(e *action.Entry) bool {
		d := e.Definition
		if d == nil {
			d = &action.Definition{}
		}
		return in(identifiers, e.Record.Identifier) && in(blueprints, d.Blueprint) && in(operations, d.Operation) &&
			in(kinds, d.Kind) && (published == nil || *published == d.Publish) &&
			in(events, d.Event.Type) && in(eventActions, d.Event.Action)
	}
}

// within is a member's value, nil where there is none.
func within(v any, name string) any {
	o, isObject := v.(*jqtemplate.Object)
	if !isObject {
		return nil
	}
	member, _ := o.Get(name)
	return member
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// entry finds the definition that the path names, one that cannot be read too. What is longer than an
// identifier is not looked for.
func (s *server) entry(r *request) (*action.Entry, error) {
	identifier := r.params["action_identifier"]
	if utf8.RuneCountInString(identifier) > maxIdentifier {
		return nil, noAction()
	}
	e, err := s.Cache.Get(r.Context(), identifier)
	if e == nil {
		return nil, err
	}
	if blueprint, within := r.within(); within && (e.Definition == nil || e.Definition.Blueprint != blueprint) {
		return nil, noAction()
	}
	return e, nil
}

func noAction() error { return fault.New(fault.NotFound, "", "there is no such action") }

// getAction answers GET /v1/actions/{action_identifier}.
func (s *server) getAction(r *request) (*answer, error) {
	e, err := s.entry(r)
	if err != nil {
		return nil, err
	}
	view, err := action.View(e.Record, e.Definition, r.version())
	if err != nil {
		return nil, err
	}
	return ok(actionBody{OK: true, Action: view})
}

// createAction answers POST /v1/actions.
func (s *server) createAction(r *request) (*answer, error) {
	d, definition, err := s.define(r)
	if err != nil {
		return nil, err
	}
	if err := s.mayChange(r, d); err != nil {
		return nil, err
	}
	by := s.author(r)
	if err := action.CheckPassed(definition, nil, by.At); err != nil {
		return nil, err
	}
	record := &action.Record{
		Identifier: d.Identifier, ID: action.NewID(), Definition: definition,
		CreatedAt: by.At, UpdatedAt: by.At, CreatedBy: by.ID, UpdatedBy: by.ID,
	}
	// What cannot be shown is not stored.
	view, err := action.View(record, d, r.written())
	if err != nil {
		return nil, err
	}
	if err := s.Actions.Create(r.Context(), record, action.Change(audit.Create, nil, &action.Entry{Record: record, Definition: d}, by)); err != nil {
		return nil, fmt.Errorf("create action: %w", err)
	}
	return &answer{status: http.StatusCreated, body: saved(view, d)}, nil
}

// replaceAction answers PUT /v1/actions/{action_identifier}. The definition may carry another
// identifier; id, creation and the one who created it stay.
func (s *server) replaceAction(r *request) (*answer, error) {
	d, definition, err := s.define(r)
	if err != nil {
		return nil, err
	}
	if err := s.mayChange(r, d); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		view, err := s.replace(r, d, definition)
		if err == nil {
			return ok(saved(view, d))
		}
		if !fault.Is(err, "conflict") || try == replaceTries {
			return nil, err
		}
	}
}

func (s *server) replace(r *request, d *action.Definition, definition json.RawMessage) (json.RawMessage, error) {
	old, err := s.entry(r)
	if err != nil {
		return nil, err
	}
	if err := s.mayChange(r, old.Definition); err != nil {
		return nil, err
	}
	record := *old.Record
	record.Identifier, record.Definition = d.Identifier, definition
	by := s.author(r)
	record.UpdatedAt, record.UpdatedBy = by.At, by.ID
	if err := action.CheckPassed(definition, old.Record.Definition, by.At); err != nil {
		return nil, err
	}
	if err := record.Fits(); err != nil {
		return nil, err
	}
	view, err := action.View(&record, d, r.written())
	if err != nil {
		return nil, err
	}
	change := action.Change(audit.Update, old, &action.Entry{Record: &record, Definition: d}, by)
	if err := s.Actions.Replace(r.Context(), old.Record.Identifier, &record, change); err != nil {
		return nil, fmt.Errorf("replace action: %w", err)
	}
	return view, nil
}

// deleteAction answers DELETE /v1/actions/{action_identifier}.
func (s *server) deleteAction(r *request) (*answer, error) {
	e, err := s.entry(r)
	if err != nil {
		return nil, err
	}
	if err := s.mayChange(r, e.Definition); err != nil {
		return nil, err
	}
	by := s.author(r)
	if err := s.Actions.Delete(r.Context(), e.Record.Identifier, by.ID, by.At, action.Change(audit.Delete, e, nil, by)); err != nil {
		return nil, fmt.Errorf("delete action: %w", err)
	}
	return ok(okOnly{true})
}

// define reads a definition and the text of it that is stored. The blueprints that it names must be there,
// and so must that of the path, of which the action then is.
func (s *server) define(r *request) (*action.Definition, json.RawMessage, error) {
	if s.Catalog == nil {
		return nil, nil, noRoute()
	}
	d, text, err := s.parse(r)
	var wrong []fault.Detail
	if err = action.CheckTimetable(r.body, err); err != nil {
		f, isInvalid := invalid(err)
		if !isInvalid || len(f.Details) == 0 {
			return nil, nil, fmt.Errorf("read definition: %w", err)
		}
		wrong = f.Details
	}
	for _, named := range action.NamedBlueprints(text) {
		if slices.ContainsFunc(wrong, func(w fault.Detail) bool { return w.Path == named.Path }) {
			continue
		}
		switch _, err := s.Catalog.Blueprint(r.Context(), named.Identifier); {
		case fault.KindOf(err) == fault.NotFound:
			wrong = append(wrong, fault.Detail{Path: named.Path, Message: "there is no such blueprint"})
		case err != nil:
			return nil, nil, fmt.Errorf("look for blueprint: %w", err)
		}
	}
	if err := fault.InvalidDetails(wrong); err != nil {
		return nil, nil, err
	}
	definition, err := action.Compact(text)
	return d, definition, err
}

// saved answers with a definition that was written, and with what does not compile in it.
func saved(view json.RawMessage, d *action.Definition) actionBody {
	return actionBody{OK: true, Action: view, Warnings: append([]jqtemplate.Warning{}, d.Warnings...)}
}
