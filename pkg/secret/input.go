package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	// inputKey is how much of the client secret is the key of encrypted inputs, in bytes.
	inputKey = 32
	// inputIV is the length of the IV in front of an input encrypted here: Port's receivers cut 16
	// bytes off, where GCM commonly has 12.
	inputIV = 16
	// clientIV is the length of the IV in front of an input that its sender encrypted.
	clientIV = 12
	// gcmTag is the length of the tag behind either.
	gcmTag = 16
)

// EncryptInput encrypts a user input with AES-256-GCM under the first 32 bytes of the organization's
// client secret: base64 of the IV (16 random bytes), the ciphertext and the tag (16 bytes). The error
// is our own: a client secret that is too short.
func EncryptInput(clientSecret, plain string) (string, error) {
	gcm, err := inputCipher(clientSecret)
	if err != nil {
		return "", err
	}
	sealed := make([]byte, inputIV, inputIV+len(plain)+gcmTag)
	if _, err := rand.Read(sealed); err != nil {
		return "", fmt.Errorf("draw an IV: %w", err)
	}
	return base64.StdEncoding.EncodeToString(gcm.Seal(sealed, sealed, []byte(plain), nil)), nil
}

// DecryptInput returns what EncryptInput encrypted under the same client secret. The error quotes
// nothing.
func DecryptInput(clientSecret, text string) (string, error) {
	gcm, err := inputCipher(clientSecret)
	if err != nil {
		return "", err
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sealed) < inputIV {
		return "", errors.New("decrypt an input: it is no encrypted value")
	}
	plain, err := gcm.Open(nil, sealed[:inputIV], sealed[inputIV:], nil)
	if err != nil {
		return "", errors.New("decrypt an input: it was encrypted under another secret, or was changed")
	}
	return string(plain), nil
}

func inputCipher(clientSecret string) (cipher.AEAD, error) {
	if len(clientSecret) < inputKey {
		return nil, fmt.Errorf("encrypt an input: the client secret has %d bytes, it needs %d", len(clientSecret), inputKey)
	}
	block, err := aes.NewCipher([]byte(clientSecret[:inputKey]))
	if err != nil {
		return nil, fmt.Errorf("encrypt an input: %w", err)
	}
	return cipher.NewGCMWithNonceSize(block, inputIV)
}

// ClientKey is the public key of inputs that their sender encrypts, of which only the holder of the
// private key learns the value.
type ClientKey struct{ size int }

// ParseClientKey reads an RSA public key in PEM (PKIX or PKCS #1).
func ParseClientKey(text string) (*ClientKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("must be an RSA public key in PEM")
	}
	var key *rsa.PublicKey
	if any, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
		key, _ = any.(*rsa.PublicKey)
	} else {
		key, _ = x509.ParsePKCS1PublicKey(block.Bytes)
	}
	if key == nil {
		return nil, errors.New("must be an RSA public key in PEM")
	}
	return &ClientKey{key.Size()}, nil
}

// Fits reports whether a value has the form of one that was encrypted for the key: base64 of an IV (12
// bytes), an AES key encrypted with RSA-OAEP, and a ciphertext with its tag. What is inside only the
// holder of the private key can tell.
func (k *ClientKey) Fits(value string) bool {
	sealed, err := base64.StdEncoding.Strict().DecodeString(value)
	return err == nil && len(sealed) >= clientIV+k.size+gcmTag
}
