package api

import (
	"context"
	"fmt"
	"net/http"

	"longshore/pkg/approval"
	"longshore/pkg/run"
)

// Decider decides about runs that wait for approval; *approval.Approval is one.
type Decider interface {
	Decide(ctx context.Context, q approval.Request) (*run.Record, error)
}

// decideRun answers PATCH /v1/actions/runs/{run_id}/approval.
func (s *server) decideRun(r *request) (*answer, error) {
	if s.Decider == nil {
		return nil, noRoute()
	}
	b, err := members(r.body)
	if err != nil {
		return nil, err
	}
	q := approval.Request{Caller: r.caller, RunAs: r.query().runAs(b), State: run.Approved}
	b.required("status", 0)
	if b.word("status", "APPROVE", "DECLINE") == "DECLINE" {
		q.State = run.Refused
	}
	if text := b.text("description", run.MaxDecisionText); text != nil {
		q.Description = *text
	}
	if err := b.done(); err != nil {
		return nil, err
	}
	// As for a report: nothing can fail once it is done.
	record, err := s.read(r)
	if err != nil {
		return nil, err
	}
	deleted, err := s.deleted(r, record)
	if err != nil {
		return nil, err
	}
	q.RunID = record.ID
	if record, err = s.Decider.Decide(r.Context(), q); err != nil {
		return nil, fmt.Errorf("decide about run: %w", err)
	}
	return runAnswer(http.StatusOK, record, deleted)
}

// approverView is an approver as answers show one.
type approverView struct {
	UserID      string            `json:"userId"`
	State       run.DecisionState `json:"state"`
	Description *string           `json:"description"`
}

// listApprovers answers GET /v1/actions/runs/{run_id}/approvers.
func (s *server) listApprovers(r *request) (*answer, error) {
	q := r.query()
	pending := q.flag("include_pending_approvers")
	if err := q.done(); err != nil {
		return nil, err
	}
	record, err := s.read(r)
	if err != nil {
		return nil, err
	}
	views := []approverView{}
	for _, d := range approval.List(record, pending != nil && *pending) {
		views = append(views, approverView{d.UserID, d.State, orNil(d.Description)})
	}
	return ok(struct {
		OK        bool           `json:"ok"`
		Approvers []approverView `json:"approvers"`
	}{true, views})
}

// address is the scheme and host that a request came to. A gateway in front says which scheme its
// client used; API Gateway's events are requests whose URL has it.
func address(r *http.Request) string {
	scheme := "http"
	if r.URL.Scheme == "https" || r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
