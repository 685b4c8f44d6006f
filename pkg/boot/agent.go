package boot

import (
	"encoding/json"
	"errors"
	"strings"
)

// AgentKafka is what agents reach Kafka with: a user of their own, never the dispatcher's.
type AgentKafka struct {
	AgentUsername string `name:"kafka-agent-username" env:"LONGSHORE_KAFKA_AGENT_USERNAME" json:"LONGSHORE_KAFKA_AGENT_USERNAME" help:"The Kafka user that is handed out to agents."`
	AgentPassword string `name:"kafka-agent-password" env:"LONGSHORE_KAFKA_AGENT_PASSWORD" json:"LONGSHORE_KAFKA_AGENT_PASSWORD" help:"Its password."`
}

// Plain is the text of a secret that has what the variables have, empty when they have no user: a
// variable that is set wins.
func (a AgentKafka) Plain() string {
	if a.AgentUsername == "" {
		return ""
	}
	text, _ := json.Marshal(a) // Strings can always be written.
	return string(text)
}

// Brokers returns the addresses of the brokers in LONGSHORE_KAFKA_BROKERS, which are separated by commas.
func Brokers(text string) []string {
	var list []string
	for b := range strings.SplitSeq(text, ",") {
		if b = strings.TrimSpace(b); b != "" {
			list = append(list, b)
		}
	}
	return list
}

// ParseAgentKafka reads a secret's text; empty is none. Its error repeats nothing of it.
func ParseAgentKafka(text string) (a AgentKafka, err error) {
	if text != "" && (json.Unmarshal([]byte(text), &a) != nil || a.AgentUsername == "") {
		return AgentKafka{}, errors.New("the secret of Kafka's agents is no JSON object with LONGSHORE_KAFKA_AGENT_USERNAME and LONGSHORE_KAFKA_AGENT_PASSWORD")
	}
	return a, nil
}
