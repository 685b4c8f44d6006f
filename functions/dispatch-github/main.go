// Dispatch-github starts workflows of GitHub Actions and asks how they ended. The queue of the GitHub
// backend starts it.
package main

import (
	"context"
	"fmt"
	"time"

	"longshore/pkg/awsevent"
	"longshore/pkg/backend"
	"longshore/pkg/backend/github"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/boot/dispatchfunction"
	"longshore/pkg/boot/githubsettings"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	var own struct {
		githubsettings.Settings
		EgressAllow string `env:"LONGSHORE_EGRESS_ALLOW"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	allow, err := egress.ParseAllow(github.Allow(own.EgressAllow, own.APIURL))
	if err != nil {
		return nil, fmt.Errorf("LONGSHORE_EGRESS_ALLOW: %w", err)
	}
	credentials := awssecret.New(awssecret.NewClient(e.AWS), time.Now, func(v []awssecret.Value) (github.Credentials, error) {
		return githubsettings.Credentials(e.GitHubApp, v[0].Current)
	}, awssecret.Secret{Plain: own.Plain(), ARN: own.SecretARN})
	b, err := github.New(github.Config{
		APIURL: own.APIURL, Credentials: credentials.Get, Taken: backend.TakenIn(dispatchfunction.Runs(e)), Version: boot.Version, CallTimeout: time.Duration(e.CallTimeout),
		Client: egress.New(egress.Config{Allow: allow, ConnectTimeout: time.Duration(e.ConnectTimeout)}),
	})
	if err != nil {
		return nil, fmt.Errorf("LONGSHORE_GITHUB_API_URL: %w", err)
	}
	return dispatchfunction.Handler(e, invocation.BackendGitHub, b)
}
