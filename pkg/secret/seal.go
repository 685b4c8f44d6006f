package secret

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"longshore/pkg/fault"
)

// KeySize is the length of a sealing key in bytes.
const KeySize = 32

// Key is a sealing key and the id under which what it sealed names it, 1 to 255 bytes.
type Key struct {
	ID    string
	bytes []byte
}

// NewKey returns the key of an id; with an empty one the id is made of the key. It takes KeySize bytes.
func NewKey(id string, bytes []byte) (Key, error) {
	if len(bytes) != KeySize {
		return Key{}, fmt.Errorf("a sealing key has %d bytes, not %d", KeySize, len(bytes))
	}
	if id == "" {
		// It tells keys apart, and nothing of the key's 256 bits that a search could use.
		sum := sha256.Sum256(append([]byte("longshore sealing key id\x00"), bytes...))
		id = hex.EncodeToString(sum[:8])
	}
	if len(id) > 255 {
		return Key{}, errors.New("the id of a sealing key has more than 255 bytes")
	}
	return Key{id, bytes}, nil
}

// Keys finds sealing keys.
type Keys interface {
	// Current returns the key that seals. ErrNoKey when the deployment has none; fault.Unavailable when
	// it cannot be read now.
	Current(ctx context.Context) (Key, error)
	// Find returns the key of an id. ErrNoKey when there is none; fault.Unavailable as Current.
	Find(ctx context.Context, id string) (Key, error)
}

// CodeNoKey is the word of ErrNoKey.
const CodeNoKey = "sealing_key_missing"

// ErrNoKey says that the deployment lacks a sealing key. It may get one: what needed it may be tried
// again.
var ErrNoKey = &fault.Error{
	Kind: fault.Unavailable, Code: CodeNoKey, Retryable: true, RetryAfter: time.Minute,
	Message: "secrets cannot be used: this deployment has no sealing key for them (LONGSHORE_SEALING_KEY or LONGSHORE_SEALING_KEY_ARN)",
}

// ErrSealed is what was not sealed by this key in this context, or was changed since.
var ErrSealed = errors.New("the sealed value cannot be opened: another key or place sealed it, or it is damaged")

// Ring is Keys that were given: the first seals, all open.
type Ring []Key

// Current implements Keys.
func (r Ring) Current(context.Context) (Key, error) {
	if len(r) == 0 {
		return Key{}, ErrNoKey
	}
	return r[0], nil
}

// Find implements Keys.
func (r Ring) Find(_ context.Context, id string) (Key, error) {
	for _, k := range r {
		if k.ID == id {
			return k, nil
		}
	}
	return Key{}, ErrNoKey
}

// Sealer seals with AES-256-GCM under a key that HKDF-SHA256 derives from the sealing key and a
// context: what was sealed for one run or name opens for no other. It is safe for concurrent use.
type Sealer struct{ keys Keys }

// NewSealer returns a sealer; nil keys are none.
func NewSealer(keys Keys) *Sealer {
	if keys == nil {
		keys = Ring{}
	}
	return &Sealer{keys}
}

// format is the first byte of what is sealed: format, length of the key's id, id, nonce, ciphertext.
const format = 1

// Seal seals a text. The errors are those of Keys.Current.
func (s *Sealer) Seal(ctx context.Context, context string, plain []byte) ([]byte, error) {
	key, err := s.keys.Current(ctx)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	aead, err := derive(key, context)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	head := append([]byte{format, byte(len(key.ID))}, key.ID...)
	sealed := make([]byte, len(head)+aead.NonceSize(), len(head)+aead.NonceSize()+len(plain)+aead.Overhead())
	copy(sealed, head)
	nonce := sealed[len(head):]
	_, _ = rand.Read(nonce) // It never fails.
	return aead.Seal(sealed, nonce, plain, head), nil
}

// Open returns what was sealed in the same context. ErrSealed when it was not, ErrNoKey when its key is
// gone, fault.Unavailable when that cannot be read now.
func (s *Sealer) Open(ctx context.Context, context string, sealed []byte) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != format || len(sealed) < 2+int(sealed[1]) {
		return nil, ErrSealed
	}
	head := sealed[:2+int(sealed[1])]
	key, err := s.keys.Find(ctx, string(head[2:]))
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	aead, err := derive(key, context)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	rest := sealed[len(head):]
	if len(rest) < aead.NonceSize() {
		return nil, ErrSealed
	}
	plain, err := aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], head)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// derive returns the cipher of a context.
func derive(key Key, context string) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key.bytes, nil, "longshore seal 1\x00"+context, KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	return cipher.NewGCM(block)
}
