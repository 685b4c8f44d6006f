package api

import (
	"fmt"
	"net/http"

	"longshore/pkg/inbound"
)

// githubEvent answers POST /webhooks/github.
func (s *server) githubEvent(r *request) (*answer, error) { return receive(r, s.GitHubEvents) }

// gitlabEvent answers POST /webhooks/gitlab.
func (s *server) gitlabEvent(r *request) (*answer, error) { return receive(r, s.GitLabEvents) }

// receive hands an event to its receiver. What it did is nobody's business outside: the answer to
// every event of a known sender is the same.
func receive(r *request, receiver inbound.Receiver) (*answer, error) {
	if receiver == nil {
		return nil, noRoute()
	}
	if err := receiver.Receive(r.Context(), r.Header, r.body); err != nil {
		return nil, fmt.Errorf("receive event: %w", err)
	}
	return &answer{status: http.StatusAccepted, body: okOnly{true}}, nil
}
