// Package awssecret keeps what is built from secrets up to date with Secrets Manager. It stands apart
// from package boot so that functions without secrets do not link its client.
package awssecret

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"longshore/pkg/fault"
)

const (
	// Age is how long values are used before Secrets Manager is asked again.
	Age = 5 * time.Minute
	// PreviousFor is how long the previous value of a secret that rotates is valid beside the current one,
	// from when that was made. Secrets Manager keeps it until the next rotation.
	PreviousFor = 24 * time.Hour
)

// Secret is one secret of a function.
type Secret struct {
	// Plain and PlainPrevious are the values of plain variables. Where Plain is set nothing is asked.
	Plain, PlainPrevious string
	// ARN of the secret; its stages AWSCURRENT and, if Rotates, for PreviousFor AWSPREVIOUS are read.
	ARN     string
	Rotates bool
}

// Value is a secret's value and the one before it, empty when there is none that is valid.
type Value struct{ Current, Previous string }

// Client is what is used of Secrets Manager.
type Client interface {
	GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, o ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// NewClient returns Secrets Manager's own client.
func NewClient(c aws.Config) Client { return secretsmanager.NewFromConfig(c) }

// Built is a value built from secrets, and built anew when they have changed. It is safe for
// concurrent use.
type Built[T any] struct {
	client  Client
	secrets []Secret
	build   func(values []Value) (T, error)
	now     func() time.Time

	mu     sync.Mutex
	values []Value
	built  T
	until  time.Time
}

// New returns a value that build makes of the secrets' values, given in the same order, when it is
// first asked for.
func New[T any](client Client, now func() time.Time, build func(values []Value) (T, error), secrets ...Secret) *Built[T] {
	return &Built[T]{client: client, secrets: secrets, build: build, now: now}
}

// Get returns the value, built from secrets that are at most Age old. While Secrets Manager cannot
// be reached it returns the one it has; without one a fault.Unavailable.
func (b *Built[T]) Get(ctx context.Context) (T, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now().Before(b.until) {
		return b.built, nil
	}
	values, err := b.read(ctx)
	if err != nil {
		if b.values != nil {
			b.until = b.now().Add(Age / 10)
			return b.built, nil
		}
		return b.built, fault.Busy(err, 5*time.Second, "The deployment's secrets cannot be read now.")
	}
	if b.values == nil || !equal(values, b.values) {
		built, err := b.build(values)
		if err != nil {
			return b.built, fmt.Errorf("build from secrets: %w", err)
		}
		b.values, b.built = values, built
	}
	b.until = b.now().Add(Age)
	return b.built, nil
}

func (b *Built[T]) read(ctx context.Context) ([]Value, error) {
	values := make([]Value, len(b.secrets))
	for i, s := range b.secrets {
		if s.Plain != "" || s.ARN == "" {
			values[i] = Value{s.Plain, s.PlainPrevious}
			continue
		}
		current, made, err := b.stage(ctx, s.ARN, "AWSCURRENT")
		if err != nil {
			return nil, err
		}
		values[i].Current = current
		if !s.Rotates || b.now().Sub(made) >= PreviousFor {
			continue
		}
		previous, _, err := b.stage(ctx, s.ARN, "AWSPREVIOUS")
		var missing *types.ResourceNotFoundException
		if err != nil && !errors.As(err, &missing) {
			return nil, err
		}
		values[i].Previous = previous
	}
	return values, nil
}

// stage reads the value of a stage, and when it was made.
func (b *Built[T]) stage(ctx context.Context, arn, stage string) (value string, made time.Time, err error) {
	out, err := b.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn, VersionStage: &stage})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("read stage %s of a secret: %w", stage, err)
	}
	return aws.ToString(out.SecretString), aws.ToTime(out.CreatedDate), nil
}

func equal(a, b []Value) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}
