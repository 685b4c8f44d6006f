// Package kafkasettings is what the operator says about Kafka, for the dispatcher and the local process.
// It stands apart from package boot so that other functions do not link Kafka's client.
package kafkasettings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

	"longshore/pkg/backend/kafka"
	"longshore/pkg/boot"
	"longshore/pkg/signature"
)

// Settings are read from the environment, or from flags. Without Brokers, which may be set beside them,
// Kafka is not configured.
type Settings struct {
	Brokers   string `name:"kafka-brokers" env:"LONGSHORE_KAFKA_BROKERS" help:"Addresses of some of the Kafka cluster's brokers, host:port, separated by commas."`
	TLS       bool   `name:"kafka-tls" env:"LONGSHORE_KAFKA_TLS" help:"Whether connections to Kafka are encrypted."`
	Mechanism string `name:"kafka-sasl-mechanism" env:"LONGSHORE_KAFKA_SASL_MECHANISM" help:"PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or AWS_MSK_IAM; without it nobody logs in."`
	Username  string `name:"kafka-username" env:"LONGSHORE_KAFKA_USERNAME" help:"The user that records are produced as."`
	Password  string `name:"kafka-password" env:"LONGSHORE_KAFKA_PASSWORD" help:"Its password."`
}

// Validate reports what is wrong with the settings of a process that has all of them in variables.
func (s Settings) Validate() error {
	switch s.Mechanism {
	case "", kafka.IAM:
		return nil
	case kafka.Plain, kafka.ScramSHA256, kafka.ScramSHA512:
		if s.Username == "" || s.Password == "" {
			return fmt.Errorf("LONGSHORE_KAFKA_SASL_MECHANISM is %s, it needs LONGSHORE_KAFKA_USERNAME and LONGSHORE_KAFKA_PASSWORD", s.Mechanism)
		}
		return nil
	}
	return fmt.Errorf("LONGSHORE_KAFKA_SASL_MECHANISM is %q, expected %s, %s, %s or %s", s.Mechanism, kafka.Plain, kafka.ScramSHA256, kafka.ScramSHA512, kafka.IAM)
}

// Plain is the text of a secret that has what the variables have, empty when they have no user: a
// variable that is set wins.
func (s Settings) Plain() string {
	if s.Username == "" {
		return ""
	}
	text, _ := json.Marshal(secret{s.Username, s.Password}) // Strings can always be written.
	return string(text)
}

// secret is the JSON object of the secret that holds the dispatcher's user.
type secret struct {
	Username string `json:"LONGSHORE_KAFKA_USERNAME"`
	Password string `json:"LONGSHORE_KAFKA_PASSWORD"`
}

// Credentials reads a secret's text. Its error repeats nothing of it.
func Credentials(text string) (kafka.Credentials, error) {
	var s secret
	if json.Unmarshal([]byte(text), &s) != nil || s.Username == "" {
		return kafka.Credentials{}, errors.New("the secret of Kafka is no JSON object with LONGSHORE_KAFKA_USERNAME and LONGSHORE_KAFKA_PASSWORD")
	}
	return kafka.Credentials(s), nil
}

// Config is the configuration of a backend. Credentials is asked for the user, signing for what signs
// messages to agents; config is needed for AWS_MSK_IAM alone.
func (s Settings) Config(orgID string, credentials func(context.Context) (kafka.Credentials, error),
	signing func(context.Context) (signature.Secrets, error), config aws.Config,
) kafka.Config {
	c := kafka.Config{
		Brokers: boot.Brokers(s.Brokers), OrgID: orgID, TLS: s.TLS, Mechanism: s.Mechanism, Credentials: credentials, Secrets: signing,
	}
	if s.Mechanism == kafka.IAM && config.Credentials != nil {
		c.IAM = func(ctx context.Context) (kafka.IAMCredentials, error) {
			v, err := config.Credentials.Retrieve(ctx)
			if err != nil {
				return kafka.IAMCredentials{}, err
			}
			return kafka.IAMCredentials{AccessKeyID: v.AccessKeyID, SecretAccessKey: v.SecretAccessKey, SessionToken: v.SessionToken}, nil
		}
	}
	return c
}
