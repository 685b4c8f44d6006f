package apifunction

import (
	"fmt"
	"time"

	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/inbound"
	"longshore/pkg/signature"
)

// Receivers take the events of other systems.
type Receivers struct {
	GitHub, GitLab inbound.Receiver
}

// Events returns what takes other systems' events and ends their runs. Without the secret of a system
// its receiver answers that no such events are taken.
func Events(e *boot.Env, runs inbound.Runs) (Receivers, error) {
	var own struct {
		GitHubSecret string `env:"LONGSHORE_GITHUB_WEBHOOK_SECRET"`
		GitHubARN    string `env:"LONGSHORE_GITHUB_WEBHOOK_SECRET_ARN"`
		GitLabToken  string `env:"LONGSHORE_GITLAB_WEBHOOK_TOKEN"`
		GitLabARN    string `env:"LONGSHORE_GITLAB_WEBHOOK_TOKEN_ARN"`
	}
	if err := boot.Read(&own); err != nil {
		return Receivers{}, fmt.Errorf("read settings: %w", err)
	}
	client := awssecret.NewClient(e.AWS)
	cached := func(plain, arn string) *awssecret.Built[signature.Secrets] {
		return awssecret.New(client, time.Now, func(v []awssecret.Value) (signature.Secrets, error) {
			return signature.Secrets{Current: v[0].Current, Previous: v[0].Previous}, nil
		}, awssecret.Secret{Plain: plain, ARN: arn, Rotates: true})
	}
	ender := inbound.Ender{Runs: runs, Log: e.Log}
	return Receivers{
		GitHub: &inbound.GitHub{Ender: ender, Secrets: cached(own.GitHubSecret, own.GitHubARN).Get},
		GitLab: &inbound.GitLab{Ender: ender, Tokens: cached(own.GitLabToken, own.GitLabARN).Get},
	}, nil
}
