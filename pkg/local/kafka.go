package local

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"longshore/pkg/api"
	"longshore/pkg/backend/azuredevops"
	"longshore/pkg/backend/kafka"
	"longshore/pkg/boot"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
)

// topicsAgain is how long after topics could not be made the next try is.
const topicsAgain = time.Minute

func openKafka(s *Server) (handle, error) {
	var config aws.Config
	if s.c.Kafka.Mechanism == kafka.IAM {
		var err error
		if config, err = boot.LoadAWS(s.background); err != nil {
			return nil, err
		}
	}
	c := s.c.Kafka.Config(s.credentials.OrgID, func(context.Context) (kafka.Credentials, error) {
		return kafka.Credentials{Username: s.c.Kafka.Username, Password: s.c.Kafka.Password}, nil
	}, s.secrets, config)
	c.CallTimeout = s.c.CallTimeout
	b, err := kafka.New(c)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, b.Close)
	s.begin = append(s.begin, func() { s.makeTopics(b) })
	return s.deliver(invocation.BackendKafka, b), nil
}

// makeTopics makes the organization's topics, so that agents can subscribe before the first run. It
// tries until it succeeds: brokers may start later.
func (s *Server) makeTopics(b *kafka.Backend) {
	for s.background.Err() == nil {
		err := b.MakeTopics(s.background)
		if err == nil {
			return
		}
		if s.background.Err() == nil {
			s.c.Log.Warn("topics of Kafka not made yet", slog.Any("error", err))
		}
		pause(s.background, topicsAgain)
	}
}

// agentKafka returns what agents reach Kafka with, nil without Kafka.
func (s *Server) agentKafka() func(context.Context) (*api.KafkaCredentials, error) {
	brokers := boot.Brokers(s.c.Kafka.Brokers)
	if len(brokers) == 0 {
		return nil
	}
	agent := s.c.AgentKafka
	return func(context.Context) (*api.KafkaCredentials, error) {
		if agent.AgentUsername == "" {
			return nil, nil
		}
		return &api.KafkaCredentials{Brokers: brokers, Username: agent.AgentUsername, Password: agent.AgentPassword}, nil
	}
}

func openAzureDevOps(s *Server) (handle, error) {
	b, err := azuredevops.New(azuredevops.Config{
		URL: s.c.AzureDevOpsURL, Secrets: s.secrets, Client: s.client(egress.Host(s.c.AzureDevOpsURL)),
		Version: s.c.Version, CallTimeout: s.c.CallTimeout,
	})
	if err != nil {
		return nil, err
	}
	return s.deliver(invocation.BackendAzureDevOps, b), nil
}
