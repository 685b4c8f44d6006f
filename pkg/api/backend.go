package api

import (
	"context"

	"longshore/pkg/breaker"
	"longshore/pkg/invocation"
)

// Hosts is what the API needs of breaker.Store.
type Hosts interface {
	Hosts(ctx context.Context, backend string) ([]breaker.Host, error)
}

// backendTypes are the backends in the order they are answered, each with the type of invocation that
// goes to it. It is never changed.
var backendTypes = []struct{ backend, name string }{
	{invocation.BackendWebhook, "WEBHOOK"},
	{invocation.BackendGitHub, "GITHUB"},
	{invocation.BackendGitLab, "GITLAB"},
	{invocation.BackendAzureDevOps, "AZURE_DEVOPS"},
	{invocation.BackendKafka, "KAFKA"},
	{invocation.BackendUpsertEntity, "UPSERT_ENTITY"},
}

type backendView struct {
	Type       string     `json:"type"`
	Configured bool       `json:"configured"`
	Hosts      []hostView `json:"hosts"`
}

type hostView struct {
	Host     string        `json:"host"`
	State    breaker.State `json:"state"`
	Failures int           `json:"failures"`
	// OpenUntil is when a call is let through again, nil of a breaker that is closed.
	OpenUntil *string `json:"openUntil"`
}

// listBackends answers with every backend and those of its hosts that failed lately.
func (s *server) listBackends(r *request) (*answer, error) {
	if s.Hosts == nil {
		return nil, noRoute()
	}
	views := make([]backendView, len(backendTypes))
	now := s.now()
	for i, b := range backendTypes {
		hosts, err := s.Hosts.Hosts(r.Context(), b.backend)
		if err != nil {
			return nil, err
		}
		views[i] = backendView{Type: b.name, Configured: s.Configured(b.backend), Hosts: make([]hostView, len(hosts))}
		for j, h := range hosts {
			view := hostView{Host: h.Name, State: h.State(now), Failures: h.Failures, OpenUntil: stampOrNil(h.OpenUntil)}
			views[i].Hosts[j] = view
		}
	}
	return ok(struct {
		OK       bool          `json:"ok"`
		Backends []backendView `json:"backends"`
	}{true, views})
}
