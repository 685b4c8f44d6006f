package local

import (
	"context"

	"longshore/pkg/backend"
	"longshore/pkg/backend/gitlab"
	"longshore/pkg/dispatch"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
)

// assembleGitLab builds the dispatcher of GitLab where it is configured, as its function's main does.
func (s *Server) assembleGitLab() error {
	c, st := s.c, s.stores
	if c.GitLab.Plain() == "" {
		return nil
	}
	credentials, err := gitlab.ParseCredentials(c.GitLab.Plain())
	if err != nil {
		return err
	}
	allow, err := gitlab.Allow(c.EgressAllow, c.GitLab.URL)
	if err != nil {
		return err
	}
	b, err := gitlab.New(gitlab.Config{
		URL: c.GitLab.URL, Credentials: func(context.Context) (gitlab.Credentials, error) { return credentials, nil },
		Taken: backend.TakenIn(st.runs), Version: c.Version, CallTimeout: c.CallTimeout,
		Client: egress.New(egress.Config{Allow: allow, ConnectTimeout: c.ConnectTimeout}),
	})
	if err != nil {
		return err
	}
	s.gitlab = dispatch.New(dispatch.Config{
		Backend: b, Name: invocation.BackendGitLab, Runs: st.deliveries, Send: st.queue, Settler: st.settler,
		CallTimeout: c.CallTimeout, Timeout: c.Timeout, Log: c.Log,
		Count: func(e dispatch.Event) {
			s.metrics.Count("longshore_messages_total", "backend", invocation.BackendGitLab, "event", string(e))
		},
	})
	return nil
}
