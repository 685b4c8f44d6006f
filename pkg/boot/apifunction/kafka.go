package apifunction

import (
	"context"
	"fmt"
	"time"

	"longshore/pkg/api"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
)

// AgentKafka returns what agents reach Kafka with, nil in a deployment without Kafka.
func AgentKafka(e *boot.Env) (func(context.Context) (*api.KafkaCredentials, error), error) {
	var own struct {
		boot.AgentKafka
		Brokers string `env:"LONGSHORE_KAFKA_BROKERS"`
		ARN     string `env:"LONGSHORE_KAFKA_AGENT_SECRET_ARN"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	brokers := boot.Brokers(own.Brokers)
	if len(brokers) == 0 {
		return nil, nil
	}
	return awssecret.New(awssecret.NewClient(e.AWS), time.Now, func(v []awssecret.Value) (*api.KafkaCredentials, error) {
		agent, err := boot.ParseAgentKafka(v[0].Current)
		if err != nil || agent.AgentUsername == "" {
			return nil, err
		}
		return &api.KafkaCredentials{Brokers: brokers, Username: agent.AgentUsername, Password: agent.AgentPassword}, nil
	}, awssecret.Secret{Plain: own.Plain(), ARN: own.ARN}).Get, nil
}
