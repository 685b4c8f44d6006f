package local

import (
	"context"
	"fmt"

	"longshore/pkg/backend"
	"longshore/pkg/backend/gitlab"
	"longshore/pkg/egress"
	"longshore/pkg/inbound"
	"longshore/pkg/invocation"
	"longshore/pkg/signature"
)

// GitLab is what a local process is told about GitLab.
type GitLab struct {
	// Credentials are needed to start pipelines; without any, runs for GitLab wait.
	Credentials gitlab.Credentials
	// URL is empty for gitlab.com.
	URL string
	// WebhookToken is what GitLab's events carry; empty takes none.
	WebhookToken string
}

func openGitLab(s *Server) (handle, error) {
	c := s.c.GitLab
	allow, err := gitlab.Allow(s.c.EgressAllow, c.URL)
	if err != nil {
		return nil, fmt.Errorf("allow the host of GitLab: %w", err)
	}
	b, err := gitlab.New(gitlab.Config{
		URL:         c.URL,
		Credentials: func(context.Context) (gitlab.Credentials, error) { return c.Credentials, nil },
		Client:      egress.New(egress.Config{Allow: allow, ConnectTimeout: s.c.ConnectTimeout}),
		Taken:       backend.TakenIn(s.stores.runs), Version: s.c.Version, CallTimeout: s.c.CallTimeout,
	})
	if err != nil {
		return nil, err
	}
	return s.deliver(invocation.BackendGitLab, b), nil
}

// gitlabEvents takes GitLab's events, where there is a token to know them by.
func (s *Server) gitlabEvents() inbound.Receiver {
	if s.c.GitLab.WebhookToken == "" {
		return nil
	}
	tokens := signature.Secrets{Current: s.c.GitLab.WebhookToken}
	return &inbound.GitLab{
		Ender:  inbound.Ender{Runs: s.stores.runs, Sealer: s.sealer, Log: s.c.Log},
		Tokens: func(context.Context) (signature.Secrets, error) { return tokens, nil },
	}
}
