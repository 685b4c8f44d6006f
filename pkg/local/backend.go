package local

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"

	"longshore/pkg/backend"
	"longshore/pkg/backend/email"
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
	{invocation.BackendAzureDevOps, always, openAzureDevOps},
	{invocation.BackendKafka, func(c Config) bool { return len(boot.Brokers(c.Kafka.Brokers)) > 0 }, openKafka},
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

// configured reports whether the process delivers the runs of a backend. Where URLs of queues are given,
// a backend without one is not.
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
func (s *Server) deliver(name string, b backend.Backend) handle {
	return dispatch.New(dispatch.Config{
		Backend: b, Name: name, Runs: s.stores.deliveries, Send: s.stores.queue, Settler: s.stores.settler(name),
		CallTimeout: s.c.CallTimeout, Timeout: s.c.Timeout, Log: s.c.Log, Count: s.counting(name),
	}).Handle
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
	}))), nil
}
