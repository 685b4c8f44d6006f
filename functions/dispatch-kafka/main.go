// Dispatch-kafka produces runs to Kafka. The queue of the Kafka backend starts it.
package main

import (
	"context"
	"fmt"
	"time"

	"longshore/pkg/awsevent"
	"longshore/pkg/backend/kafka"
	"longshore/pkg/boot"
	"longshore/pkg/boot/awssecret"
	"longshore/pkg/boot/dispatchfunction"
	"longshore/pkg/boot/kafkasettings"
	"longshore/pkg/invocation"
	"longshore/pkg/signature"
)

func main() { boot.Main(run) }

func run(_ context.Context, e *boot.Env) (awsevent.Handler, error) {
	var own struct {
		Signing boot.ClientSecret
		kafkasettings.Settings
		ARN string `env:"LONGSHORE_KAFKA_SECRET_ARN"`
	}
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	client := awssecret.NewClient(e.AWS)
	signing := awssecret.New(client, time.Now, func(v []awssecret.Value) (signature.Secrets, error) {
		return signature.Secrets{Current: v[0].Current, Previous: v[0].Previous}, nil
	}, awssecret.Secret{Plain: own.Signing.Plain, PlainPrevious: own.Signing.Previous, ARN: own.Signing.ARN, Rotates: true})
	credentials := awssecret.New(client, time.Now, func(v []awssecret.Value) (kafka.Credentials, error) {
		return kafkasettings.Credentials(v[0].Current)
	}, awssecret.Secret{Plain: own.Plain(), ARN: own.ARN})
	config := own.Config(e.OrgID, credentials.Get, signing.Get, e.AWS)
	config.CallTimeout = time.Duration(e.CallTimeout)
	b, err := kafka.New(config)
	if err != nil {
		return nil, err
	}
	return dispatchfunction.Handler(e, invocation.BackendKafka, b)
}
