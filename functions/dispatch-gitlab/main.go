// Dispatch-gitlab starts GitLab pipelines and asks how they ended. The queue of the gitlab backend
// starts it.
package main

import (
	"context"
	"fmt"
	"time"

	"longshore/pkg/awsevent"
	"longshore/pkg/backend"
	"longshore/pkg/backend/gitlab"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/boot/dispatchfunction"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	var own struct {
		gitlab.Settings
		EgressAllow string `env:"LONGSHORE_EGRESS_ALLOW"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	allow, err := egress.ParseAllow(own.EgressAllow)
	if err == nil {
		allow, err = gitlab.Allow(allow, own.URL)
	}
	if err != nil {
		return nil, fmt.Errorf("read LONGSHORE_EGRESS_ALLOW and LONGSHORE_GITLAB_URL: %w", err)
	}
	credentials := awssecret.New(awssecret.NewClient(e.AWS), time.Now, func(v []awssecret.Value) (gitlab.Credentials, error) {
		return gitlab.ParseCredentials(v[0].Current)
	}, awssecret.Secret{Plain: own.Plain(), ARN: own.SecretARN})
	b, err := gitlab.New(gitlab.Config{
		URL: own.URL, Credentials: credentials.Get, Taken: backend.TakenIn(dispatchfunction.Runs(e)), Version: boot.Version, CallTimeout: time.Duration(e.CallTimeout),
		Client: egress.New(egress.Config{Allow: allow, ConnectTimeout: time.Duration(e.ConnectTimeout)}),
	})
	if err != nil {
		return nil, fmt.Errorf("read LONGSHORE_GITLAB_URL: %w", err)
	}
	return dispatchfunction.Handler(e, invocation.BackendGitLab, b)
}
