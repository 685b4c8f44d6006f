package kafkasettings_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"longshore/pkg/backend/kafka"
	"longshore/pkg/boot/kafkasettings"
)

func TestCredentials(t *testing.T) {
	t.Parallel()
	want := kafka.Credentials{Username: "longshore", Password: `p"<`}
	for name, text := range map[string]string{
		"variables": kafkasettings.Settings{Username: want.Username, Password: want.Password}.Plain(),
		"a secret":  `{"LONGSHORE_KAFKA_USERNAME":"longshore","LONGSHORE_KAFKA_PASSWORD":"p\"<","more":1}`,
	} {
		got, err := kafkasettings.Credentials(text)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	if got := (kafkasettings.Settings{Password: "p"}).Plain(); got != "" {
		t.Errorf("without a user: got %q", got)
	}
	for _, text := range []string{"", "hunter2", `["hunter2"]`, `{"LONGSHORE_KAFKA_PASSWORD":"hunter2"}`, `{"LONGSHORE_KAFKA_USERNAME":7}`} {
		if _, err := kafkasettings.Credentials(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got error %v, want one that repeats nothing", text, err)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	s := kafkasettings.Settings{Brokers: " a:9092,,b:9092 ", TLS: true, Mechanism: kafka.IAM}
	c := s.Config("org_1", nil, nil, aws.Config{Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "k", SecretAccessKey: "s", SessionToken: "t"}, nil
	})})
	if diff := cmp.Diff([]string{"a:9092", "b:9092"}, c.Brokers); diff != "" {
		t.Errorf("brokers (-want +got):\n%s", diff)
	}
	got, err := c.IAM(t.Context())
	if want := (kafka.IAMCredentials{AccessKeyID: "k", SecretAccessKey: "s", SessionToken: "t"}); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	if b, err := kafka.New(c); err != nil {
		t.Errorf("the configuration is refused: %v", err)
	} else {
		b.Close()
	}
	// What is not complete is said when the process starts.
	s.Mechanism = kafka.Plain
	if _, err := kafka.New(s.Config("org_1", nil, nil, aws.Config{})); err == nil {
		t.Error("PLAIN without credentials is accepted")
	}
}
