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

	"longshore/pkg/boot"
	"longshore/pkg/fault"
	"longshore/pkg/secret"
)

// Sealer returns the sealer of the settings LONGSHORE_SEALING_KEY, or of the secret that
// LONGSHORE_SEALING_KEY_ARN names; without either one that answers secret.ErrNoKey.
func Sealer(c aws.Config) (*secret.Sealer, error) {
	var own boot.SealingKey
	if err := boot.Read(&own); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	if own.Plain != "" || own.ARN == "" {
		ring, err := own.Ring()
		if err != nil {
			return nil, err
		}
		return secret.NewSealer(ring), nil
	}
	return secret.NewSealer(NewSealingKeys(NewClient(c), own.ARN, time.Now)), nil
}

// SealingKeys are the versions of a secret in Secrets Manager: AWSCURRENT seals, and whatever is sealed
// names the version that opens it. It is safe for concurrent use.
type SealingKeys struct {
	client Client
	arn    string
	now    func() time.Time

	mu      sync.Mutex
	current secret.Key
	until   time.Time
	// known are versions, which never change.
	known map[string]secret.Key
}

var _ secret.Keys = (*SealingKeys)(nil)

// NewSealingKeys returns the keys of a secret.
func NewSealingKeys(client Client, arn string, now func() time.Time) *SealingKeys {
	return &SealingKeys{client: client, arn: arn, now: now, known: map[string]secret.Key{}}
}

// Current implements secret.Keys: the key is at most Age old. While Secrets Manager cannot be reached it
// is the one before.
func (k *SealingKeys) Current(ctx context.Context) (secret.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now().Before(k.until) {
		return k.current, nil
	}
	key, err := k.read(ctx, &secretsmanager.GetSecretValueInput{SecretId: &k.arn, VersionStage: aws.String("AWSCURRENT")})
	if err != nil {
		if k.current.ID == "" {
			return secret.Key{}, err
		}
		k.until = k.now().Add(Age / 10)
		return k.current, nil
	}
	k.current, k.until = key, k.now().Add(Age)
	return key, nil
}

// minVersion is the length of the shortest version id (Secrets Manager, GetSecretValue, VersionId).
const minVersion = 32

// Find implements secret.Keys.
func (k *SealingKeys) Find(ctx context.Context, id string) (secret.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.known[id]; ok {
		return key, nil
	}
	if len(id) < minVersion {
		return secret.Key{}, secret.ErrNoKey // A key of a plain variable.
	}
	return k.read(ctx, &secretsmanager.GetSecretValueInput{SecretId: &k.arn, VersionId: &id})
}

func (k *SealingKeys) read(ctx context.Context, in *secretsmanager.GetSecretValueInput) (secret.Key, error) {
	out, err := k.client.GetSecretValue(ctx, in)
	var missing *types.ResourceNotFoundException
	switch {
	case errors.As(err, &missing):
		return secret.Key{}, fmt.Errorf("read the sealing key: %w", secret.ErrNoKey)
	case err != nil:
		return secret.Key{}, fault.Busy(err, 5*time.Second, "The deployment's sealing key cannot be read now.")
	}
	plain, err := boot.Key("the sealing key", aws.ToString(out.SecretString))
	if err != nil {
		return secret.Key{}, err
	}
	key, err := secret.NewKey(aws.ToString(out.VersionId), plain)
	if err == nil {
		k.known[key.ID] = key
	}
	return key, err
}
