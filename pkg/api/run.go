package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"unicode/utf8"

	"longshore/pkg/catalog"
	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
	"longshore/pkg/run"
	"longshore/pkg/trigger"
)

// Limits of what is reported on a run.
const (
	maxSummary       = 64 << 10 // bytes
	maxExternalRunID = 500      // bytes
	maxLinks         = 20
	maxLink          = 2_000 // characters
	maxListed        = 1_000
	listed           = 100
)

// startRun answers POST /v1/actions/{action_identifier}/runs, and the routes of the first generation, whose
// paths name the blueprint, or blueprint and entity.
func (s *server) startRun(r *request) (*answer, error) {
	if s.Starter == nil {
		return nil, noRoute()
	}
	b, err := members(r.body)
	if err != nil {
		return nil, err
	}
	if utf8.RuneCountInString(r.params["action_identifier"]) > maxIdentifier {
		return nil, noAction()
	}
	q := r.query()
	request := trigger.Request{
		Caller: r.caller, Action: r.params["action_identifier"],
		Properties: b.members("properties"), RunAs: q.runAs(b), IdempotencyKey: r.Header.Get("Idempotency-Key"),
		Address: address(r.Request),
	}
	if entity := b.text("entity", 0); entity != nil {
		request.Entity = *entity
	}
	request.Blueprint, _ = r.within()
	if entity, named := r.params["entity_identifier"]; named {
		if request.Entity != "" && request.Entity != entity {
			b.fault("entity", "must be %q, as in the path, or absent", entity)
		}
		request.Entity = entity
	}
	if keys := r.Header.Values("Idempotency-Key"); len(keys) > 1 || len(keys) == 1 && keys[0] == "" {
		b.fault("Idempotency-Key", "must be one header of 1 to 255 printable characters")
	}
	dry := q.trial("dry_run")
	b.faults = append(b.faults, q.faults...)
	if err := b.done(); err != nil {
		return nil, err
	}
	if dry {
		return s.dryRun(r, request)
	}
	started, err := s.Starter.Start(r.Context(), request)
	if err != nil {
		return nil, fmt.Errorf("start run: %w", err)
	}
	if started.Replayed {
		a, err := s.oneRun(r, started.Record, http.StatusOK)
		if err == nil {
			a.header = http.Header{"Idempotent-Replayed": {"true"}}
		}
		return a, err
	}
	// Its action was there a moment ago.
	return runAnswer(http.StatusAccepted, started.Record, false)
}

// runAs takes the e-mail of the user whom a machine acts for, empty for none; its faults are the body's.
func (q *query) runAs(b *body) string {
	if as := q.values["run_as"]; len(as) > 1 || len(as) == 1 && as[0] == "" {
		b.fault("run_as", "must be one e-mail address")
	}
	return q.text("run_as")
}

// dryRun answers what a request would have started.
func (s *server) dryRun(r *request, q trigger.Request) (*answer, error) {
	dry, err := s.Starter.DryRun(r.Context(), q)
	if err != nil {
		return nil, fmt.Errorf("dry run: %w", err)
	}
	return ok(struct {
		OK                bool                 `json:"ok"`
		Invocation        json.RawMessage      `json:"invocation"`
		TriggerData       json.RawMessage      `json:"triggerData"`
		FailedExpressions []failedExpression   `json:"failedExpressions"`
		Warnings          []jqtemplate.Warning `json:"warnings"`
	}{true, dry.Invocation, dry.TriggerData, failedExpressions(dry.FailedExpressions), append([]jqtemplate.Warning{}, dry.Warnings...)})
}

// failedExpression is an expression that yielded null because it failed.
type failedExpression struct {
	Path       string `json:"path"`
	Expression string `json:"expression"`
	Error      string `json:"error"`
}

func failedExpressions(failed []jqtemplate.Warning) []failedExpression {
	list := make([]failedExpression, len(failed))
	for i, f := range failed {
		list[i] = failedExpression{f.Path, f.Expression, f.Message}
	}
	return list
}

// listRuns answers GET /v1/actions/runs, newest first.
func (s *server) listRuns(r *request) (*answer, error) {
	q := r.query()
	f := run.Filter{
		Action: q.text("action"), Blueprint: q.text("blueprint"), Entity: q.text("entity"),
		UserID: q.text("user_id"), UserEmail: q.text("user_email"), ExternalRunID: q.text("external_run_id"),
		Sources: q.list("source"), Active: q.flag("active"), From: q.text("from"),
		Limit: q.number("limit", listed, 1, maxListed),
	}
	if f.UserEmail != "" && f.UserID == "" {
		// It is made of the e-mail, and stores find runs by it.
		f.UserID = catalog.UserID(f.UserEmail)
	}
	if _, isID := run.IDTime(f.From); f.From != "" && !isID {
		q.fault("from", "must be the id of a run")
	}
	if err := q.done(); err != nil {
		return nil, err
	}
	page := &run.Page{}
	if possible(f) {
		var err error
		if page, err = s.Runs.List(r.Context(), f); err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		if page.Runs, err = s.seen(r, page.Runs); err != nil {
			return nil, err
		}
	}
	runs, next, err := s.fill(r, page)
	if err != nil {
		return nil, err
	}
	return ok(struct {
		OK   bool              `json:"ok"`
		Runs []json.RawMessage `json:"runs"`
		Next *string           `json:"next"`
	}{true, runs, next})
}

// possible reports whether any run can match: a value longer than a run may have matches none, and
// a store need not be asked.
func possible(f run.Filter) bool {
	for _, v := range []struct {
		text  string
		limit int
	}{
		{f.Action, 400}, {f.Blueprint, 400}, {f.Entity, 4_000}, {f.UserID, 400}, {f.UserEmail, 400},
		{f.ExternalRunID, maxExternalRunID},
	} {
		if len(v.text) > v.limit {
			return false
		}
	}
	known := []string{run.SourceUI, run.SourceAPI, run.SourceAutomation}
	return len(f.Sources) == 0 || slices.ContainsFunc(f.Sources, func(s string) bool { return slices.Contains(known, s) })
}

// fill takes the runs of a page that fit into one answer; next leads to the others.
func (s *server) fill(r *request, page *run.Page) (runs []json.RawMessage, next *string, err error) {
	runs = []json.RawMessage{}
	if page.Next != "" {
		next = &page.Next
	}
	if len(page.Runs) == 0 {
		return runs, next, nil
	}
	there, err := s.definitions(r)
	if err != nil {
		return nil, nil, err
	}
	size := envelope
	for i, record := range page.Runs {
		text, err := showRun(record, !there(record))
		if err != nil {
			return nil, nil, err
		}
		if size += len(text) + 1; size > MaxAnswer && i > 0 {
			return runs, &page.Runs[i-1].ID, nil
		}
		runs = append(runs, text)
	}
	return runs, next, nil
}

// definitions returns whether a run's action still exists; one that was renamed does.
func (s *server) definitions(r *request) (there func(*run.Record) bool, err error) {
	entries, err := s.Cache.List(r.Context())
	if err != nil {
		return nil, fmt.Errorf("list actions: %w", err)
	}
	ids := make(map[string]bool, len(entries))
	for _, e := range entries {
		ids[e.Record.ID] = true
	}
	return func(record *run.Record) bool { return ids[record.Action.ID] }, nil
}

// deleted reports whether the action of one run is gone. Nearly always it is under its name.
func (s *server) deleted(r *request, record *run.Record) (bool, error) {
	e, err := s.Cache.Get(r.Context(), record.Action.Identifier)
	switch {
	case e != nil && e.Record.ID == record.Action.ID:
		return false, nil
	case e == nil && fault.KindOf(err) != fault.NotFound:
		return false, fmt.Errorf("get action: %w", err)
	}
	there, err := s.definitions(r)
	if err != nil {
		return false, err
	}
	return !there(record), nil
}

// runID takes the run id of the path. What cannot be one is not looked for.
func runID(r *request) (string, error) {
	id := r.params["run_id"]
	if _, isID := run.IDTime(id); !isID {
		return "", fault.New(fault.NotFound, "", "there is no such run")
	}
	return id, nil
}

// read reads the run of the path whole. A caller who may not see it is told that there is none.
func (s *server) read(r *request) (*run.Record, error) {
	id, err := runID(r)
	if err != nil {
		return nil, err
	}
	record, err := s.Runs.Read(r.Context(), id)
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	if err := s.visible(r, record.Run); err != nil {
		return nil, err
	}
	return record, nil
}

// getRun answers GET /v1/actions/runs/{run_id}.
func (s *server) getRun(r *request) (*answer, error) {
	record, err := s.read(r)
	if err != nil {
		return nil, err
	}
	return s.oneRun(r, record, http.StatusOK)
}

// oneRun answers with one run.
func (s *server) oneRun(r *request, record *run.Record, status int) (*answer, error) {
	deleted, err := s.deleted(r, record)
	if err != nil {
		return nil, err
	}
	return runAnswer(status, record, deleted)
}

// patchRun answers PATCH /v1/actions/runs/{run_id}: a report on the run.
func (s *server) patchRun(r *request) (*answer, error) {
	p, err := readPatch(r.body)
	if err != nil {
		return nil, err
	}
	// What the answer needs is read first, so that nothing can fail once the report is made.
	record, err := s.read(r)
	if err != nil {
		return nil, err
	}
	if err := s.reportable(r, record.Run); err != nil {
		return nil, err
	}
	deleted, err := s.deleted(r, record)
	if err != nil {
		return nil, err
	}
	mask, err := s.reportMask(r.Context(), record)
	if err != nil {
		return nil, err
	}
	p.StatusLabel, p.Summary, p.ExternalRunID = masked(mask, p.StatusLabel), masked(mask, p.Summary), masked(mask, p.ExternalRunID)
	if p.Link != nil {
		p.Link = mask.JSON(p.Link)
	}
	by := s.author(r)
	moved, err := s.Runs.Update(r.Context(), record.ID, func(current *run.Run) (*run.Write, error) {
		if err := current.Apply(by.At, by.ID, p); err != nil {
			return nil, err
		}
		return &run.Write{By: &by}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("report on run: %w", err)
	}
	record.Run = moved
	return runAnswer(http.StatusOK, record, deleted)
}

// readPatch reads a report; members that are null count as absent.
func readPatch(text []byte) (run.Patch, error) {
	b, err := members(text)
	if err != nil {
		return run.Patch{}, err
	}
	var p run.Patch
	if status := run.Status(b.word("status", string(run.Success), string(run.Failure), string(run.InProgress))); status != "" {
		p.Status = &status
	}
	p.StatusLabel = b.text("statusLabel", run.MaxStatusLabel)
	p.Link = link(b)
	p.Summary = b.text("summary", maxSummary)
	p.ExternalRunID = b.text("externalRunId", maxExternalRunID)
	// Deprecated: accepted and ignored.
	b.members("message")
	return p, b.done()
}

// link takes a string or an array of strings, and returns it as it is kept.
func link(b *body) json.RawMessage {
	value := b.value("link")
	list, isList := value.([]any)
	switch {
	case value == nil:
		return nil
	case !isList:
		list = []any{value}
	case len(list) > maxLinks:
		b.fault("link", "must have at most %d members, it has %d", maxLinks, len(list))
	}
	for i, v := range list {
		path := "link"
		if isList {
			path = fmt.Sprintf("link[%d]", i)
		}
		switch text, isText := v.(string); {
		case !isText && isList:
			b.fault(path, "must be a string")
		case !isText:
			b.fault(path, "must be a string or an array of strings")
		case utf8.RuneCountInString(text) > maxLink:
			b.fault(path, "must have at most %d characters", maxLink)
		}
	}
	return jqtemplate.Encode(value)
}

// redeliver answers POST /v1/actions/runs/{run_id}/redeliver. It takes no body.
func (s *server) redeliver(r *request) (*answer, error) {
	if s.Starter == nil {
		return nil, noRoute()
	}
	// As for a report: nothing can fail once it is done.
	record, err := s.read(r)
	if err != nil {
		return nil, err
	}
	if err := s.reportable(r, record.Run); err != nil {
		return nil, err
	}
	deleted, err := s.deleted(r, record)
	if err != nil {
		return nil, err
	}
	record, err = s.Starter.Redeliver(r.Context(), r.caller, record.ID)
	if err != nil {
		return nil, fmt.Errorf("redeliver run: %w", err)
	}
	return runAnswer(http.StatusAccepted, record, deleted)
}
