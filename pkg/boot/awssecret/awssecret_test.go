package awssecret_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"longshore/pkg/boot/awssecret"
	"longshore/pkg/fault"
)

// manager is a Secrets Manager that holds one secret.
type manager struct {
	stages map[string]string
	// made is when the values were.
	made  time.Time
	err   error
	calls int
}

func (m *manager) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	m.calls++
	if m.err != nil {
		return nil, m.err
	}
	value, ok := m.stages[aws.ToString(in.VersionStage)]
	if !ok {
		return nil, &types.ResourceNotFoundException{}
	}
	return &secretsmanager.GetSecretValueOutput{SecretString: &value, CreatedDate: &m.made}, nil
}

func join(values []awssecret.Value) (string, error) {
	return values[0].Current + "," + values[0].Previous, nil
}

func TestARotatedSecretIsNoticedWithinFiveMinutes(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	m := &manager{stages: map[string]string{"AWSCURRENT": "one"}, made: now}
	b := awssecret.New(m, func() time.Time { return now }, join, awssecret.Secret{ARN: "arn", Rotates: true})
	get := func(want string) {
		t.Helper()
		if got, err := b.Get(t.Context()); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	get("one,")
	m.stages = map[string]string{"AWSCURRENT": "two", "AWSPREVIOUS": "one"}
	now = now.Add(awssecret.Age - time.Second)
	get("one,")
	if m.calls != 2 {
		t.Errorf("Secrets Manager was asked %d times within five minutes, want once a stage", m.calls)
	}
	now = now.Add(time.Second)
	get("two,one")
	m.err = errors.New("unreachable")
	now = now.Add(awssecret.Age)
	get("two,one")
}

// A secret that was rotated because somebody else has it is not valid for ever, though AWS keeps it.
func TestThePreviousSecretEndsAfterADay(t *testing.T) {
	t.Parallel()
	made := time.Unix(1_000_000, 0)
	m := &manager{stages: map[string]string{"AWSCURRENT": "two", "AWSPREVIOUS": "one"}, made: made}
	now := made.Add(awssecret.PreviousFor - time.Second)
	b := awssecret.New(m, func() time.Time { return now }, join, awssecret.Secret{ARN: "arn", Rotates: true})
	for _, want := range []string{"two,one", "two,"} {
		if got, err := b.Get(t.Context()); err != nil || got != want {
			t.Errorf("%s after the rotation: got %q, %v, want %q", now.Sub(made), got, err, want)
		}
		now = now.Add(awssecret.Age)
	}
}

func TestAPlainVariableAsksNobody(t *testing.T) {
	t.Parallel()
	m := &manager{err: errors.New("must not be asked")}
	b := awssecret.New(m, time.Now, join, awssecret.Secret{Plain: "here", PlainPrevious: "before", ARN: "arn"})
	if got, err := b.Get(t.Context()); err != nil || got != "here,before" || m.calls != 0 {
		t.Errorf("got %q, %v after %d calls", got, err, m.calls)
	}
}

func TestWithoutSecretsTheDeploymentIsUnavailable(t *testing.T) {
	t.Parallel()
	b := awssecret.New(&manager{err: errors.New("AccessDenied: arn:aws:secret")}, time.Now, join, awssecret.Secret{ARN: "arn"})
	_, err := b.Get(t.Context())
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v, want an unavailable fault", err)
	}
}
