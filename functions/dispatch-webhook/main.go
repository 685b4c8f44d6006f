// Dispatch-webhook calls webhooks. The queue of the webhook backend starts it.
package main

import (
	"context"
	"fmt"
	"time"

	"longshore/pkg/awsevent"
	"longshore/pkg/backend/email"
	"longshore/pkg/backend/webhook"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/boot/dispatchfunction"
	"longshore/pkg/boot/ownapi"
	"longshore/pkg/egress"
	"longshore/pkg/invocation"
	"longshore/pkg/signature"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	var own struct {
		boot.ClientSecret
		EgressAllow string `env:"LONGSHORE_EGRESS_ALLOW"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	allow, err := egress.ParseAllow(own.EgressAllow)
	if err != nil {
		return nil, fmt.Errorf("LONGSHORE_EGRESS_ALLOW: %w", err)
	}
	client := awssecret.NewClient(e.AWS)
	secrets := awssecret.New(client, time.Now, func(v []awssecret.Value) (signature.Secrets, error) {
		return signature.Secrets{Current: v[0].Current, Previous: v[0].Previous}, nil
	}, awssecret.Secret{Plain: own.Plain, PlainPrevious: own.Previous, ARN: own.ARN, Rotates: true})
	api, err := ownapi.New(e, client)
	if err != nil {
		return nil, err
	}
	return dispatchfunction.Handler(e, invocation.BackendWebhook, email.Open(e.SESSender, e.AWS, webhook.New(webhook.Config{
		Secrets: secrets.Get, Version: boot.Version, CallTimeout: time.Duration(e.CallTimeout),
		Own:    api,
		Client: egress.New(egress.Config{Allow: allow, ConnectTimeout: time.Duration(e.ConnectTimeout)}),
	})))
}
