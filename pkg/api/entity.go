package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"

	"longshore/pkg/catalog"
	"longshore/pkg/document"
	"longshore/pkg/fault"
	"longshore/pkg/run"
)

// entityBody answers with one entity.
type entityBody struct {
	OK     bool            `json:"ok"`
	Entity json.RawMessage `json:"entity"`
}

// selected reads which members of entities a query asks for.
func (q *query) selected() catalog.Selection {
	return q.selection(q.list("include"), q.list("exclude"))
}

func (q *query) selection(include, exclude []string) catalog.Selection {
	selection := catalog.NewSelection(include, exclude)
	selection.ExcludeCalculated = q.on("exclude_calculated_properties")
	selection.AttachTitles = q.on("attach_title_to_relation")
	selection.AttachIdentifiers = q.on("attach_identifier_to_title_mirror_properties")
	return selection
}

// entityWrite reads how an entity is to be written. A run that the change is tied to must be in progress.
func (s *server) entityWrite(r *request) (catalog.EntityWrite, error) {
	q := r.query()
	w := catalog.EntityWrite{
		Upsert: q.on("upsert"), Merge: q.on("merge"),
		CreateMissing: q.on("create_missing_related_entities"), By: s.author(r),
	}
	tied, err := s.tiedTo(r)
	if err != nil || tied == nil {
		return w, err
	}
	// Of a call that another run makes the longer way counts.
	depth := w.By.Cause.Depth
	w.By.RunID, w.By.Cause = tied.ID, tied.Causes()
	w.By.Cause.Depth = max(depth, w.By.Cause.Depth)
	return w, nil
}

// entityTrial is entityWrite where a write may also be only tried: of new entities.
func (s *server) entityTrial(r *request) (catalog.EntityWrite, error) {
	q := r.query()
	only := q.trial("validation_only")
	if err := q.done(); err != nil {
		return catalog.EntityWrite{}, err
	}
	w, err := s.entityWrite(r)
	w.ValidationOnly = only
	return w, err
}

// tiedTo returns the run that a change is tied to, nil for none.
func (s *server) tiedTo(r *request) (*run.Run, error) {
	id := r.query().text("run_id")
	if id == "" {
		return nil, nil
	}
	if _, isID := run.IDTime(id); !isID {
		return nil, fault.New(fault.NotFound, "", "there is no such run")
	}
	head, err := s.Runs.Get(r.Context(), id)
	if err != nil {
		return nil, fmt.Errorf("get run: %w", err)
	}
	if err := s.visible(r, head); err != nil {
		return nil, err
	}
	if head.Status != run.InProgress {
		return nil, &fault.Error{
			Kind: fault.Invalid, Code: "run_not_in_progress", Message: fmt.Sprintf("the run %s is not in progress", id),
			Details: []fault.Detail{{Path: "run_id", Message: "must be a run that is in progress"}},
		}
	}
	return head, nil
}

// showEntity answers with one entity.
func (s *server) showEntity(r *request, status int, k *catalog.Kept, e *catalog.Entity, selection catalog.Selection) (*answer, error) {
	views, err := s.Catalog.View(r.Context(), k, []*catalog.Entity{e}, selection)
	if err != nil {
		return nil, fmt.Errorf("show entity: %w", err)
	}
	return &answer{status: status, body: entityBody{true, views[0]}}, nil
}

// createEntity answers POST /v1/blueprints/{blueprint_identifier}/entities.
func (s *server) createEntity(r *request) (*answer, error) {
	w, err := s.entityTrial(r)
	if err != nil {
		return nil, err
	}
	saved, err := s.Catalog.CreateEntity(r.Context(), r.params["blueprint_identifier"], r.body, w)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if saved.Created && !w.ValidationOnly {
		status = http.StatusCreated
	}
	return s.showEntity(r, status, saved.Blueprint, saved.Entity, catalog.Selection{})
}

// getEntity answers GET /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}.
func (s *server) getEntity(r *request) (*answer, error) {
	k, e, err := s.Catalog.Entity(r.Context(), r.params["blueprint_identifier"], r.params["entity_identifier"])
	if err != nil {
		return nil, err
	}
	return s.showEntity(r, http.StatusOK, k, e, r.query().selected())
}

// replaceEntity answers PUT /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}.
func (s *server) replaceEntity(r *request) (*answer, error) {
	w, err := s.entityWrite(r)
	if err != nil {
		return nil, err
	}
	saved, err := s.Catalog.ReplaceEntity(r.Context(), r.params["blueprint_identifier"], r.params["entity_identifier"], r.body, w)
	if err != nil {
		return nil, err
	}
	return s.showEntity(r, http.StatusOK, saved.Blueprint, saved.Entity, catalog.Selection{})
}

// patchEntity answers PATCH /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}.
func (s *server) patchEntity(r *request) (*answer, error) {
	w, err := s.entityWrite(r)
	if err != nil {
		return nil, err
	}
	saved, err := s.Catalog.PatchEntity(r.Context(), r.params["blueprint_identifier"], r.params["entity_identifier"], r.body, w)
	if err != nil {
		return nil, err
	}
	return s.showEntity(r, http.StatusOK, saved.Blueprint, saved.Entity, catalog.Selection{})
}

// deleteEntity answers DELETE /v1/blueprints/{blueprint_identifier}/entities/{entity_identifier}.
func (s *server) deleteEntity(r *request) (*answer, error) {
	w, err := s.entityWrite(r)
	if err != nil {
		return nil, err
	}
	err = s.Catalog.DeleteEntity(r.Context(), r.params["blueprint_identifier"], r.params["entity_identifier"],
		r.query().on("delete_dependents"), w.By)
	if err != nil {
		return nil, err
	}
	return ok(okOnly{true})
}

// listEntities answers GET /v1/blueprints/{blueprint_identifier}/entities: all of them in one answer, or
// page by page for who asks for pages.
func (s *server) listEntities(r *request) (*answer, error) {
	q := r.query()
	f := catalog.Find{Blueprint: r.params["blueprint_identifier"], Selection: q.selected(), Bytes: pageBytes, Limit: math.MaxInt32}
	paged := q.values.Has("limit") || q.text("from") != ""
	if paged {
		f.From, f.Limit = q.text("from"), q.number("limit", listedEntities, 1, maxListed)
	}
	if err := q.done(); err != nil {
		return nil, err
	}
	found, err := s.Catalog.Find(r.Context(), f)
	if err != nil {
		return nil, fmt.Errorf("list entities: %w", err)
	}
	if found.Next != "" && !paged && !q.on("allow_partial_results") {
		return nil, fault.New(fault.Invalid, "too_many_entities",
			"the blueprint has more entities than fit into an answer: ask for pages with limit and from, or use POST /v1/blueprints/{blueprint_identifier}/entities/search")
	}
	return foundEntities(found, false)
}

// countEntities answers GET /v1/blueprints/{blueprint_identifier}/entities-count.
func (s *server) countEntities(r *request) (*answer, error) {
	n, err := s.Catalog.Count(r.Context(), r.params["blueprint_identifier"])
	if err != nil {
		return nil, err
	}
	return ok(struct {
		OK    bool `json:"ok"`
		Count int  `json:"count"`
	}{true, n})
}

// writtenEntity and failedEntity are what a bulk write says of its entities.
type writtenEntity struct {
	Index      int    `json:"index"`
	Identifier string `json:"identifier"`
	Created    bool   `json:"created"`
}

type failedEntity struct {
	Index      int            `json:"index"`
	Identifier string         `json:"identifier"`
	StatusCode int            `json:"statusCode"`
	Error      string         `json:"error"`
	Message    string         `json:"message"`
	Details    []fault.Detail `json:"details,omitempty"`
}

// bulkEntities answers POST /v1/blueprints/{blueprint_identifier}/entities/bulk.
func (s *server) bulkEntities(r *request) (*answer, error) {
	texts, err := bulk(r.body)
	if err != nil {
		return nil, err
	}
	w, err := s.entityTrial(r)
	if err != nil {
		return nil, err
	}
	items, err := s.Catalog.WriteEntities(r.Context(), r.params["blueprint_identifier"], texts, w)
	if err != nil {
		return nil, err
	}
	status, written, failed := http.StatusOK, []writtenEntity{}, []failedEntity{}
	for i, item := range items {
		var f *fault.Error
		if !errors.As(item.Err, &f) {
			written = append(written, writtenEntity{i, item.Identifier, item.Created})
			continue
		}
		status = http.StatusMultiStatus
		failed = append(failed, failedEntity{i, item.Identifier, statuses[f.Kind], f.Word(), f.Message, f.Details})
	}
	return &answer{status: status, body: struct {
		OK       bool            `json:"ok"`
		Entities []writtenEntity `json:"entities"`
		Errors   []failedEntity  `json:"errors"`
	}{true, written, failed}}, nil
}

// bulk returns the texts of the entities in a body.
func bulk(text []byte) ([]json.RawMessage, error) {
	b, err := members(text)
	if err != nil {
		return nil, err
	}
	list, isList := b.value("entities").([]any)
	switch {
	case !isList:
		b.fault("entities", "is required and must be an array")
	case len(list) == 0 || len(list) > catalog.MaxBulk:
		b.fault("entities", "must have 1 to %d entities, it has %d", catalog.MaxBulk, len(list))
	}
	if err := b.done(); err != nil {
		return nil, err
	}
	compact, err := document.Compact(text)
	if err != nil {
		return nil, err
	}
	m, err := document.ParseMembers(compact)
	if err != nil {
		return nil, fmt.Errorf("read entities: %w", err)
	}
	var texts []json.RawMessage
	if err := json.Unmarshal(m.Get("entities"), &texts); err != nil {
		return nil, fmt.Errorf("read entities: %w", err)
	}
	return texts, nil
}

// bulkDelete answers POST /v1/blueprints/{blueprint_identifier}/bulk/entities/delete.
func (s *server) bulkDelete(r *request) (*answer, error) {
	b, err := members(r.body)
	if err != nil {
		return nil, err
	}
	identifiers := b.texts("entities")
	if n := len(identifiers); len(b.faults) == 0 && (n == 0 || n > catalog.MaxBulkDelete) {
		b.fault("entities", "must have 1 to %d identifiers, it has %d", catalog.MaxBulkDelete, n)
	}
	if err := b.done(); err != nil {
		return nil, err
	}
	w, err := s.entityWrite(r)
	if err != nil {
		return nil, err
	}
	deleted, err := s.Catalog.DeleteEntities(r.Context(), r.params["blueprint_identifier"], identifiers, r.query().on("delete_dependents"), w.By)
	if err != nil {
		return nil, err
	}
	return ok(struct {
		OK      bool     `json:"ok"`
		Deleted []string `json:"deletedEntities"`
	}{true, deleted})
}

// texts takes an array of strings, nil when it is absent.
func (b *body) texts(name string) []string {
	v := b.value(name)
	if v == nil {
		return nil
	}
	list, isList := v.([]any)
	texts := document.Texts(v)
	if !isList || len(texts) != len(list) {
		b.fault(name, "must be an array of strings")
	}
	return texts
}
