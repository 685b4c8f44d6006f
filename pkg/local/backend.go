package local

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"

	"longshore/pkg/backend"
	"longshore/pkg/backend/email"
	"longshore/pkg/backend/upsertentity"
	"longshore/pkg/backend/webhook"
	"longshore/pkg/boot"
	"longshore/pkg/dispatch"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
	"longshore/pkg/queue"
	"longshore/pkg/signature"
)

// handle deals with messages of a backend's queue and returns the ids of those that have to come again.
type handle = func(context.Context, []queue.Received) (again []string)

// backends are those that a process can have, each with a queue and workers of its own. It is never
// changed.
var backends = []struct {
	// name is one of invocation's Backend constants.
	name string
	// configured says that the process has what the backend needs; runs for any other wait.
	configured func(Config) bool
	// open makes what takes messages off the queue: mostly Server.deliver of a backend.Backend.
	open func(*Server) (handle, error)
}{
	{invocation.BackendWebhook, always, openWebhook},
	{invocation.BackendUpsertEntity, always, openUpsertEntity},
	{invocation.BackendGitHub, func(c Config) bool { return c.GitHub.Credentials.Given() }, openGitHub},
	{invocation.BackendGitLab, func(c Config) bool { return c.GitLab.Credentials.Given() }, openGitLab},
}

// Backends lists the backends that a process can have.
func Backends() []string {
	names := make([]string, len(backends))
	for i, b := range backends {
		names[i] = b.name
	}
	return names
}

func always(Config) bool { return true }

// configured reports whether the process delivers the runs of a backend.
func (c Config) configured(backend string) bool {
	for _, b := range backends {
		if b.name == backend {
			return b.configured(c)
		}
	}
	return false
}

// deliver dispatches a queue's messages to a backend.
func (s *Server) deliver(name string, b backend.Backend) handle { return s.dispatcher(name, b).Handle }

func (s *Server) dispatcher(name string, b backend.Backend) *dispatch.Dispatcher {
	return dispatch.New(dispatch.Config{
		Backend: b, Name: name, Runs: s.stores.deliveries, Send: s.stores.queue, Settler: s.stores.settler, Sealer: s.sealer,
		CallTimeout: s.c.CallTimeout, Timeout: s.c.Timeout, Log: s.c.Log, Count: s.counting(name),
	})
}

// counting counts what becomes of a queue's messages.
func (s *Server) counting(name string) func(dispatch.Event) {
	return func(e dispatch.Event) {
		s.metrics.Count("longshore_messages_total", "backend", name, "event", string(e))
	}
}

// secrets are the client secrets to sign with.
func (s *Server) secrets(context.Context) (signature.Secrets, error) {
	return signature.Secrets{Current: s.credentials.ClientSecret, Previous: s.c.ClientSecretPrevious}, nil
}

// workers is how many messages of a queue are dealt with at once.
func (s *Server) workers(name string) int {
	if name == invocation.BackendUpsertEntity {
		return entityWorkers
	}
	return s.c.Workers
}

func openWebhook(s *Server) (handle, error) {
	var ses aws.Config
	if s.c.SESSender != "" {
		var err error
		if ses, err = boot.LoadAWS(s.background); err != nil {
			return nil, err
		}
	}
	return s.deliver(invocation.BackendWebhook, email.Open(s.c.SESSender, ses, webhook.New(webhook.Config{
		Secrets: s.secrets, Client: egress.New(egress.Config{Allow: s.c.EgressAllow, ConnectTimeout: s.c.ConnectTimeout}), Version: s.c.Version, CallTimeout: s.c.CallTimeout,
	}))), nil
}

// openUpsertEntity takes the messages of runs and those of slices, which share a queue.
func openUpsertEntity(s *Server) (handle, error) {
	b := upsertentity.New(upsertentity.Config{Entities: s.entities, BaseURL: s.baseURL})
	return dispatch.Both(s.dispatcher(invocation.BackendUpsertEntity, b), dispatch.NewSlices(dispatch.SlicesConfig{Migrations: s.entities, Log: s.c.Log})), nil
}
