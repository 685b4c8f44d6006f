package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"longshore/pkg/audit"
	"longshore/pkg/fault"
	"longshore/pkg/run"
)

// words takes a parameter that may be repeated or hold several values, separated by commas; a name with
// brackets behind it is the same.
func (q *query) words(name string) []string {
	var words []string
	for _, name := range []string{name, name + "[]"} {
		for _, v := range q.list(name) {
			for word := range strings.SplitSeq(v, ",") {
				if word = strings.TrimSpace(word); word != "" {
					words = append(words, word)
				}
			}
		}
	}
	return words
}

// time takes a date and time.
func (q *query) time(name string) time.Time {
	text := q.text(name)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		q.fault(name, "must be a date and time as RFC 3339 has it, such as 2026-01-31T12:00:00Z")
	}
	return t
}

// listAudit answers GET /v1/audit-log, newest first.
func (s *server) listAudit(r *request) (*answer, error) {
	if s.Audit == nil {
		return nil, noRoute()
	}
	q := r.query()
	f := audit.Filter{
		Identifier: q.text("identifier"), Entity: q.text("entity"), Blueprint: q.text("blueprint"), RunID: q.text("run_id"),
		Action: q.text("action"), Resources: q.words("resources"), Origins: q.words("origin"),
		From: q.time("from"), To: q.time("to"), Next: q.text("next"), Limit: q.number("limit", listedEntities, 1, maxListed),
	}
	if _, isID := audit.Time(f.Next); f.Next != "" && !isID {
		q.fault("next", "must be the next of an answer to the same request")
	}
	includes := q.words("includes")
	if err := q.done(); err != nil {
		return nil, err
	}
	page := &audit.Page{}
	if recorded(q) {
		if err := s.spanOf(r, &f); err != nil {
			return nil, err
		}
		var err error
		if page, err = s.Audit.List(r.Context(), f); err != nil {
			return nil, fmt.Errorf("list audit entries: %w", err)
		}
	}
	views, next, size := []json.RawMessage{}, page.Next, envelope
	for i, e := range page.Entries {
		view, err := e.View(r.caller.OrgID, includes)
		if err != nil {
			return nil, fmt.Errorf("show audit entry: %w", err)
		}
		if size += len(view) + 1; size > MaxAnswer && i > 0 {
			next = page.Entries[i-1].ID
			break
		}
		views = append(views, view)
	}
	return ok(struct {
		OK     bool              `json:"ok"`
		Audits []json.RawMessage `json:"audits"`
		Next   *string           `json:"next"`
	}{true, views, orNil(next)})
}

// recorded reports whether there can be entries of what a query asks for. Nothing here has anything to do
// with Port's webhooks and integrations, and what failed has changed nothing.
func recorded(q *query) bool {
	for _, name := range []string{"webhookId", "webhookEventId", "InstallationId"} {
		if q.text(name) != "" {
			return false
		}
	}
	status := q.text("status")
	return status == "" || status == "SUCCESS"
}

// spanOf completes a filter by a run with the time of its own changes.
func (s *server) spanOf(r *request, f *audit.Filter) error {
	created, isID := run.IDTime(f.RunID)
	if !isID {
		return nil
	}
	// Of a run that is not kept any more its creation may be.
	f.RunFrom, f.RunTo = created, created
	head, err := s.Runs.Get(r.Context(), f.RunID)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return nil
	case err != nil:
		return fmt.Errorf("get run: %w", err)
	}
	f.RunFrom, f.RunTo = head.CreatedAt, head.UpdatedAt
	return nil
}
