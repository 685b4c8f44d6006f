package awssecret_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"longshore/pkg/boot/awssecret"
	"longshore/pkg/fault"
	"longshore/pkg/secret"
)

// versions is a Secrets Manager that holds one secret with its versions.
type versions struct {
	current string
	values  map[string]string
	err     error
	calls   int
}

func (m *versions) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	m.calls++
	if m.err != nil {
		return nil, m.err
	}
	id := aws.ToString(in.VersionId)
	if aws.ToString(in.VersionStage) == "AWSCURRENT" {
		id = m.current
	}
	value, ok := m.values[id]
	if !ok {
		return nil, &types.ResourceNotFoundException{}
	}
	return &secretsmanager.GetSecretValueOutput{SecretString: &value, VersionId: &id}, nil
}

func sealingKey(fill string) string {
	return base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat(fill, 32)))
}

// What was sealed before a rotation is opened by the version that it names, as long as that is there.
func TestSealingKeysRotate(t *testing.T) {
	t.Parallel()
	const one, two = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
	m := &versions{current: one, values: map[string]string{one: sealingKey("a")}}
	now := time.Unix(0, 0)
	start := func() *secret.Sealer {
		return secret.NewSealer(awssecret.NewSealingKeys(m, "arn", func() time.Time { return now }))
	}
	s := start()
	first, err := s.Seal(t.Context(), "c", []byte("value"))
	if err != nil {
		t.Fatal(err)
	}
	m.current, m.values[two] = two, sealingKey("b")
	now = now.Add(awssecret.Age)
	second, err := s.Seal(t.Context(), "c", []byte("value"))
	if err != nil || !strings.Contains(string(second), two) || !strings.Contains(string(first), one) {
		t.Fatalf("sealed values do not name their versions: %q, %q, %v", first, second, err)
	}
	if _, err := s.Open(t.Context(), "c", first); err != nil || m.calls != 2 {
		t.Errorf("%v after %d calls, want the versions kept", err, m.calls)
	}
	// Another process reads the version that a value names.
	for _, sealed := range [][]byte{first, second} {
		if got, err := start().Open(t.Context(), "c", sealed); err != nil || string(got) != "value" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	delete(m.values, one)
	if _, err := start().Open(t.Context(), "c", first); !errors.Is(err, secret.ErrNoKey) {
		t.Errorf("a version that is gone: got %v, want no key", err)
	}
	m.err = errors.New("AccessDenied: arn:aws:secret")
	now = now.Add(awssecret.Age)
	if _, err := s.Seal(t.Context(), "c", nil); err != nil {
		t.Errorf("seal while Secrets Manager is unreachable: %v", err)
	}
	if _, err := start().Open(t.Context(), "c", second); fault.KindOf(err) != fault.Unavailable || errors.Is(err, secret.ErrNoKey) {
		t.Errorf("open while it is unreachable: got %v, want an unavailable fault", err)
	}
	if _, err := start().Seal(t.Context(), "c", nil); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("seal without having reached it: got %v", err)
	}
}

// A value that a plain key sealed is none of a secret's versions, and nobody is asked for it.
func TestSealingKeysOfPlainVariables(t *testing.T) {
	t.Setenv("LONGSHORE_SEALING_KEY", sealingKey("c"))
	t.Setenv("LONGSHORE_SEALING_KEY_PREVIOUS", sealingKey("b")+","+sealingKey("a"))
	t.Setenv("LONGSHORE_SEALING_KEY_ARN", "arn")
	s, err := awssecret.Sealer(aws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Seal(t.Context(), "c", []byte("value"))
	if err != nil {
		t.Fatal(err)
	}
	m := &versions{}
	if _, err := secret.NewSealer(awssecret.NewSealingKeys(m, "arn", time.Now)).Open(t.Context(), "c", sealed); !errors.Is(err, secret.ErrNoKey) || m.calls != 0 {
		t.Errorf("got %v after %d calls, want no key and none", err, m.calls)
	}
	t.Setenv("LONGSHORE_SEALING_KEY", sealingKey("a"))
	t.Setenv("LONGSHORE_SEALING_KEY_PREVIOUS", sealingKey("c"))
	if s, err = awssecret.Sealer(aws.Config{}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Open(t.Context(), "c", sealed); err != nil || string(got) != "value" {
		t.Errorf("after a rotation: got %q, %v", got, err)
	}
	for name, value := range map[string]string{"LONGSHORE_SEALING_KEY": "short", "LONGSHORE_SEALING_KEY_PREVIOUS": "short,too"} {
		t.Setenv(name, value)
		if _, err := awssecret.Sealer(aws.Config{}); err == nil || strings.Contains(err.Error(), value) {
			t.Errorf("%s=%s: got %v, want an error that does not hold it", name, value, err)
		}
	}
	t.Setenv("LONGSHORE_SEALING_KEY", "")
	t.Setenv("LONGSHORE_SEALING_KEY_PREVIOUS", "")
	t.Setenv("LONGSHORE_SEALING_KEY_ARN", "")
	s, err = awssecret.Sealer(aws.Config{})
	if err != nil {
		t.Fatalf("a deployment without a key does not start: %v", err)
	}
	if _, err := s.Seal(t.Context(), "c", nil); !errors.Is(err, secret.ErrNoKey) {
		t.Errorf("got %v, want no key", err)
	}
}
