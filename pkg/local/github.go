package local

import (
	"context"
	"fmt"

	"longshore/pkg/backend"
	"longshore/pkg/backend/github"
	"longshore/pkg/egress"
	"longshore/pkg/inbound"
	"longshore/pkg/invocation"
	"longshore/pkg/signature"
)

// GitHub is what a local process is told about GitHub.
type GitHub struct {
	// Credentials are needed to start workflows; without any, runs for GitHub wait.
	Credentials github.Credentials
	// App is the id of the App whose integration actions are dispatched.
	App string
	// APIURL is empty for github.com.
	APIURL string
	// WebhookSecret is what GitHub's events are signed with; empty takes none.
	WebhookSecret string
}

func openGitHub(s *Server) (handle, error) {
	c := s.c.GitHub
	allow, err := egress.ParseAllow(github.Allow(s.c.EgressAllow.String(), c.APIURL))
	if err != nil {
		return nil, fmt.Errorf("allow the host of GitHub's API: %w", err)
	}
	b, err := github.New(github.Config{
		APIURL:      c.APIURL,
		Credentials: func(context.Context) (github.Credentials, error) { return c.Credentials, nil },
		Client:      egress.New(egress.Config{Allow: allow, ConnectTimeout: s.c.ConnectTimeout}),
		Taken:       backend.TakenIn(s.stores.runs), Version: s.c.Version, CallTimeout: s.c.CallTimeout,
	})
	if err != nil {
		return nil, err
	}
	return s.deliver(invocation.BackendGitHub, b), nil
}

// githubEvents takes GitHub's events, where there is a secret to know them by.
func (s *Server) githubEvents() inbound.Receiver {
	if s.c.GitHub.WebhookSecret == "" {
		return nil
	}
	secrets := signature.Secrets{Current: s.c.GitHub.WebhookSecret}
	return &inbound.GitHub{
		Ender:   inbound.Ender{Runs: s.stores.runs, Sealer: s.sealer, Log: s.c.Log},
		Secrets: func(context.Context) (signature.Secrets, error) { return secrets, nil },
	}
}

// events reports whether a backend tells by itself how its work ends.
func (s *Server) events(backend string) bool {
	return backend == invocation.BackendGitHub && s.c.GitHub.WebhookSecret != "" ||
		backend == invocation.BackendGitLab && s.c.GitLab.WebhookToken != ""
}
