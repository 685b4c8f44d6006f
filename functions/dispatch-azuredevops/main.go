// Dispatch-azuredevops calls incoming webhooks of Azure DevOps. The queue of that backend starts it.
package main

import (
	"context"
	"fmt"
	"time"

	"longshore/pkg/awsevent"
	"longshore/pkg/backend/azuredevops"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/boot/dispatchfunction"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
	"longshore/pkg/signature"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	var own struct {
		boot.ClientSecret
		EgressAllow string `env:"LONGSHORE_EGRESS_ALLOW"`
		URL         string `env:"LONGSHORE_AZURE_DEVOPS_URL"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	allow, err := egress.ParseAllow(own.EgressAllow)
	if err != nil {
		return nil, fmt.Errorf("LONGSHORE_EGRESS_ALLOW: %w", err)
	}
	secrets := awssecret.New(awssecret.NewClient(e.AWS), time.Now, func(v []awssecret.Value) (signature.Secrets, error) {
		return signature.Secrets{Current: v[0].Current, Previous: v[0].Previous}, nil
	}, awssecret.Secret{Plain: own.Plain, PlainPrevious: own.Previous, ARN: own.ARN, Rotates: true})
	b, err := azuredevops.New(azuredevops.Config{
		URL: own.URL, Secrets: secrets.Get, Version: boot.Version, CallTimeout: time.Duration(e.CallTimeout),
		Client: egress.New(egress.Config{Allow: allow.With(egress.Host(own.URL)), ConnectTimeout: time.Duration(e.ConnectTimeout)}),
	})
	if err != nil {
		return nil, fmt.Errorf("LONGSHORE_AZURE_DEVOPS_URL: %w", err)
	}
	return dispatchfunction.Handler(e, invocation.BackendAzureDevOps, b)
}
