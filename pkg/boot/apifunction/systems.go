package apifunction

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"longshore/pkg/api"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/inbound"
	"longshore/pkg/signature"
	"longshore/pkg/store/dynamostore"
)

// Systems returns what completes the API's configuration with what other systems meet: the receivers of
// their events, which end runs, what agents reach Kafka with, and which hosts fail. Without the secret of a system its
// receiver answers that no such events are taken.
func Systems(e *boot.Env, runs inbound.Runs) (func(*api.Config), error) {
	var own struct {
		GitHubSecret string `env:"LONGSHORE_GITHUB_WEBHOOK_SECRET"`
		GitHubARN    string `env:"LONGSHORE_GITHUB_WEBHOOK_SECRET_ARN"`
		GitLabToken  string `env:"LONGSHORE_GITLAB_WEBHOOK_TOKEN"`
		GitLabARN    string `env:"LONGSHORE_GITLAB_WEBHOOK_TOKEN_ARN"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	client := awssecret.NewClient(e.AWS)
	cached := func(plain, arn string) *awssecret.Built[signature.Secrets] {
		return awssecret.New(client, time.Now, func(v []awssecret.Value) (signature.Secrets, error) {
			// Whoever writes a secret from a file adds a line break, which the other system has not.
			return signature.Secrets{Current: strings.TrimSpace(v[0].Current), Previous: strings.TrimSpace(v[0].Previous)}, nil
		}, awssecret.Secret{Plain: plain, ARN: arn, Rotates: true})
	}
	sealer, err := awssecret.Sealer(e.AWS)
	if err != nil {
		return nil, err
	}
	ender := inbound.Ender{Runs: runs, Sealer: sealer, Log: e.Log}
	agents, err := AgentKafka(e)
	if err != nil {
		return nil, err
	}
	hosts := dynamostore.NewHosts(dynamodb.NewFromConfig(e.AWS), e.RunsTable, time.Now)
	github, gitlab := cached(own.GitHubSecret, own.GitHubARN), cached(own.GitLabToken, own.GitLabARN)
	return func(c *api.Config) {
		c.GitHubEvents = &inbound.GitHub{Ender: ender, Secrets: github.Get}
		c.GitLabEvents = &inbound.GitLab{Ender: ender, Tokens: gitlab.Get}
		c.AgentKafka = agents
		c.Hosts, c.Configured = hosts, e.Configured
	}, nil
}
