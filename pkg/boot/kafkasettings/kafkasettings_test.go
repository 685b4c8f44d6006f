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

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings kafkasettings.Settings
		want     string
	}{
		"nothing":        {kafkasettings.Settings{}, ""},
		"IAM":            {kafkasettings.Settings{Mechanism: "AWS_MSK_IAM"}, ""},
		"a user":         {kafkasettings.Settings{Mechanism: "PLAIN", Username: "u", Password: "hunter2"}, ""},
		"no user":        {kafkasettings.Settings{Mechanism: "SCRAM-SHA-256", Password: "hunter2"}, "LONGSHORE_KAFKA_USERNAME"},
		"no password":    {kafkasettings.Settings{Mechanism: "SCRAM-SHA-512", Username: "u"}, "LONGSHORE_KAFKA_PASSWORD"},
		"no such method": {kafkasettings.Settings{Mechanism: "GSSAPI", Password: "hunter2"}, "expected PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or AWS_MSK_IAM"},
	} {
		err := c.settings.Validate()
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: got %v, want %q in it and no secret", name, err, c.want)
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
