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
	"longshore/pkg/metric"
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
	// workers is how many messages are in hand at once; 0 means Config.Workers.
	workers int
	// open makes what takes messages off the queue: mostly Server.deliver of a backend.Backend.
	open func(*Server) (handle, error)
}{
	{invocation.BackendWebhook, always, 0, openWebhook},
	{invocation.BackendUpsertEntity, always, entityWorkers, openUpsertEntity},
	{invocation.BackendGitHub, func(c Config) bool { return c.GitHub.Credentials.Given() }, 0, openGitHub},
	{invocation.BackendGitLab, func(c Config) bool { return c.GitLab.Credentials.Given() }, 0, openGitLab},
	{invocation.BackendAzureDevOps, always, 0, openAzureDevOps},
	{invocation.BackendKafka, func(c Config) bool { return len(boot.Brokers(c.Kafka.Brokers)) > 0 }, 0, openKafka},
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

// configured reports whether the process takes messages off a backend's queue. Where URLs of queues are
// given, it does not for one without.
func (c Config) configured(backend string) bool {
	if c.AWS && !c.AWSCreate && len(c.Queues) > 0 && c.Queues[backend] == "" {
		return false
	}
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
		Breaker: s.breaker, PerHost: max(s.c.Workers/2, 1), Now: s.c.clock,
		CallTimeout: s.c.CallTimeout, Timeout: s.c.Timeout, Log: s.c.Log, Count: s.counting(name),
		Metrics: s.metrics, Trace: s.tracer,
	})
}

// counting counts what becomes of a queue's messages.
func (s *Server) counting(name string) func(dispatch.Event) {
	return func(e dispatch.Event) {
		s.metrics.Count(metric.Messages, "backend", name, "event", string(e))
	}
}

// secrets are the client secrets to sign with.
func (s *Server) secrets(context.Context) (signature.Secrets, error) {
	return signature.Secrets{Current: s.credentials.ClientSecret, Previous: s.c.ClientSecretPrevious}, nil
}

// workersOf returns how many of a backend's messages are in hand at once.
func (s *Server) workersOf(backend string) int {
	for _, b := range backends {
		if b.name == backend && b.workers > 0 {
			return b.workers
		}
	}
	return s.c.Workers
}

// client is a guarded client that may also call what more lists.
func (s *Server) client(more ...egress.Allow) *egress.Client {
	return egress.New(egress.Config{Allow: s.c.EgressAllow.With(more...), ConnectTimeout: s.c.ConnectTimeout})
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
		Secrets: s.secrets, Client: s.client(), Version: s.c.Version, CallTimeout: s.c.CallTimeout,
		Own: &webhook.Own{Addresses: s.addresses, Token: s.callToken, Handler: s.handler},
	}))), nil
}

// openUpsertEntity takes the messages of runs and those of slices, which share a queue.
func openUpsertEntity(s *Server) (handle, error) {
	b := upsertentity.New(upsertentity.Config{Entities: s.entities, BaseURL: s.baseURL})
	return dispatch.Both(s.dispatcher(invocation.BackendUpsertEntity, b), dispatch.NewSlices(dispatch.SlicesConfig{Migrations: s.entities, Log: s.c.Log})), nil
}
